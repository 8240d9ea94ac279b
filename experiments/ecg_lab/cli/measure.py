"""Commands that measure the method: scores, ablations, robustness, fidelity, page maps, confidence, words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_hough.cli.arguments import AllowTrained, MaxMinutes, Readout, Records, Seed, Workers
from ecg_hough.cli.screen import live_line, plain_errors, print_table, progress_bar, resumable
from ecg_lab.cli.extras import EXTRAS

if TYPE_CHECKING:
    from ecg_lab.benchmark import BenchmarkResult

Folders = Annotated[
    list[Path], typer.Argument(metavar="DATA...", help="Folders of pages with their true WFDB records.")
]


def benchmark(
    folders: Folders,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the predicted records.")] = Path(
        "output/benchmark"
    ),
    results: Annotated[
        Path | None,
        typer.Option(
            help="JSON file of the figures.",
            show_default="experiments/results/benchmark.json for its folders, else output/benchmark.json",
        ),
    ] = None,
    readout: Annotated[Readout, typer.Option(help="As for predict.")] = Readout.trace,
    allow_trained: AllowTrained = False,
    workers: Workers = 1,
) -> None:
    """Predict and evaluate folders of pages whose truth is known; print accuracy, speed and memory.

    Example: `ecg-lab benchmark data/ecg_image_kit -o output/benchmark`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.benchmark import default_results, run_benchmark

        for folder in folders:
            file = results or default_results(folder, readout.value)
            result = run_benchmark(
                folder,
                out / folder.name,
                readout=readout.value,
                workers=workers,
                allow_trained=allow_trained,
                results=file,
            )
            _print_benchmark(result)
            typer.echo(f"Figures in {file}")


def _print_benchmark(result: BenchmarkResult) -> None:
    for table in (result.table(), result.layout_table(), result.coverage_table()):
        print_table(table)
    timed, memory = result.figures["timed_page"], result.figures["peak_memory_mib"]
    if timed["again_s"] is not None:
        size = f"{timed['cols']} x {timed['rows']} px"
        typer.echo(f"A page of {size}: {timed['first_s']:.2f} s the first, {timed['again_s']:.2f} s again")
    for process, size_mib in (memory or {}).items():
        typer.echo(f"Peak memory, {process.replace('_', ' ')}: {size_mib:.0f} MiB")
    drawn = result.figures["renderer_pages_per_s"]
    typer.echo("Renderer, pages/s at 200 dpi: " + ", ".join(f"{k} {v}" for k, v in drawn.items()))


def ablations(
    folders: Folders,
    n: Annotated[
        list[int] | None,
        typer.Option(
            "-n",
            "--n",
            min=1,
            help="Pages of each profile, the first ones; given once, or once for each folder.",
            show_default="all",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="CSV file; STEM.pages.csv has the rows per page.",
            show_default="experiments/ablations/ablations.csv with all its pages and changes, "
            "else output/ablations.csv",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--change", help="Measure this change and the full method; again for more.", show_default="all"
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make finished rows again.")] = False,
    allow_trained: AllowTrained = False,
) -> None:
    """What each step of the method is worth: the same pages read with one change at a time.

    One page at a time, so that its seconds mean something. A stopped run is resumed; rows of other weights
    are made again.

    Examples:

    - 4 pages a profile: `ecg-lab ablations data/ecg_image_kit data/ludb -n 4`
    - 2 a profile of the first folder, 6 of the second: `ecg-lab ablations data/kit data/ludb -n 2 -n 6`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.ablations import default_out, measure_ablations, summary_table

        out = out or default_out(folders, n=n or (), changes=changes or ())
        with progress_bar("leaving out") as on_progress:
            rows = measure_ablations(
                folders,
                out,
                n=n or (),
                changes=changes or (),
                overwrite=overwrite,
                allow_trained=allow_trained,
                on_progress=on_progress,
            )
        print_table(summary_table(rows))
    typer.echo(f"{len(rows)} rows in {out}")


def robustness(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="CSV file; angles.csv goes into the same folder.",
            show_default="experiments/results/robustness.csv with all its pages and distortions, "
            "else output/robustness.csv; angles.csv likewise",
        ),
    ] = None,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Pages a step.")] = 2,
    only: Annotated[
        list[str] | None, typer.Option(help="A distortion; may be repeated.", show_default="all")
    ] = None,
    angles: Annotated[int, typer.Option(min=0, help="Pages for the table of angles; 0 makes none.")] = 40,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make finished rows again.")] = False,
    workers: Workers = 1,
) -> None:
    """Accuracy against the severity of thirteen distortions, for the trace network and for column centroids.

    A stopped run is resumed; rows of other weights are made again.

    Example: `ecg-lab robustness -n 4 --only blur --only noise`
    """
    with plain_errors(EXTRAS):
        from ecg_lab import robustness as lab

        chosen = tuple(only or lab.SEVERITIES)
        table = out or lab.default_out(n=n, distortions=chosen)
        with progress_bar("distorting") as on_progress:
            rows = lab.measure_robustness(
                table, n=n, distortions=chosen, workers=workers, overwrite=overwrite, on_progress=on_progress
            )
        print_table(lab.summary_table(rows))
        typer.echo(f"{len(rows)} rows in {table}")
        if angles:
            turned = lab.default_angles(angles) if out is None else out.with_name("angles.csv")
            with progress_bar("turning") as on_progress:
                found = lab.measure_angles(angles, on_progress=on_progress)
            turned.parent.mkdir(parents=True, exist_ok=True)
            found.to_csv(turned, index=False)
            typer.echo(f"Angles in {turned}")


def fidelity(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted WFDB records.")],
    truth: Annotated[Path, typer.Argument(help="Folder of true WFDB records of the same names.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="CSV of the agreement; STEM_pairs.csv.gz has the pairs.",
            show_default="experiments/results/fidelity.csv for a method and folder that are in it, "
            "else output/fidelity.csv",
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="Name of what made the predictions.")] = "ours",
) -> None:
    """Heart rate, intervals, amplitudes and ST level on true and digitised signals: bias and 95% limits.

    Needs the notebooks extra. Rows of other methods and data stay in the files.

    Example: `ecg-lab fidelity output/samples samples/truth -o output/fidelity.csv`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.fidelity import compare_measures, default_out, store, summary_table

        with progress_bar("measuring") as on_progress:
            pairs = compare_measures(predictions, truth, method=method, on_progress=on_progress)
        out = out or default_out(pairs)
        print_table(summary_table(store(pairs, out)))
    typer.echo(f"Agreement in {out}")


def geometry_benchmark(
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Pages of each set.")] = 20,
    seed: Seed = 0,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="clean, scan, bw, worn, photo, hard or low; again for more.", show_default="all"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="JSON file of the figures.",
            show_default="experiments/results/geometry.json with its pages, else output/geometry.json",
        ),
    ] = None,
) -> None:
    """Find the page maps of rendered pages and compare them with the true ones, in px.

    Example: `ecg-lab geometry-benchmark -n 5 --set photo --set hard`
    """
    with plain_errors(EXTRAS), progress_bar("finding maps") as on_progress:
        from ecg_lab.geometry_benchmark import SETS, default_results, run_geometry_benchmark

        out = out or default_results(n, seed, sets or SETS)
        result = run_geometry_benchmark(
            n=n, seed=seed, sets=sets or SETS, results=out, on_progress=on_progress
        )
    print_table(result.table())
    typer.echo(f"Figures in {out}")


def confidence(
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 40,
    seed: Seed = 4000,
    records: Records = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="JSON file of the figures.",
            show_default="experiments/results/confidence.json with its pages, else output/confidence.json",
        ),
    ] = None,
) -> None:
    """How often true samples lie in their 90% intervals, on rendered pages.

    Only records that no shipped network was trained on are drawn.

    Example: `ecg-lab confidence -n 20 --records data/ptbxl`
    """
    with plain_errors(EXTRAS), progress_bar("digitising") as on_progress:
        from ecg_hough.datasets.split import split_records
        from ecg_hough.output.export import write_document
        from ecg_lab.confidence_check import check_confidence, default_results

        held_out = split_records(records)[1] if records is not None else []
        figures = check_confidence(n, seed=seed, records=held_out, on_progress=on_progress)
        out = out or default_results(n, seed)
        write_document(figures, out)
    typer.echo(f"Coverage of 90% intervals: {100 * figures['coverage']:.1f}%. Figures in {out}")


def words(
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 60,
    seed: Seed = 0,
    weights: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Exported weights (.onnx).", show_default="shipped"),
    ] = None,
) -> None:
    """How many printed lead names, speeds and gains the words network reads, on pages of every layout.

    Example: `ecg-lab words -n 60 --seed 31`
    """
    with plain_errors(EXTRAS), progress_bar("reading") as on_progress:
        from ecg_lab.words_check import check_words, summary_table

        counts = check_words(n, seed, weights, on_progress=on_progress)
    print_table(summary_table(counts))


def headers(
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 100,
    seed: Seed = 9000,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="JSON file of the figures.",
            show_default="experiments/results/headers.json with its pages, else output/",
        ),
    ] = None,
) -> None:
    """How many printed measurements are read right, on pages with headers in five languages, clean to worn.

    Example: `ecg-lab headers -n 20`
    """
    with plain_errors(EXTRAS), progress_bar("reading") as on_progress:
        from ecg_hough.output.export import write_document
        from ecg_lab.header_pages import check_headers, default_results

        figures = check_headers(n, seed, on_progress=on_progress)
        out = out or default_results(n, seed)
        write_document(figures, out)
    for name, count in figures["counts"].items():
        share = 100.0 / max(count["shown"], 1)
        typer.echo(
            f"{name:<8}{count['shown']:5} values, {share * count['right']:.1f}% right, "
            f"{share * count['wrong']:.1f}% wrong"
        )
    typer.echo(f"Figures in {out}")


def redaction(
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 200,
    seed: Seed = 9000,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="JSON file of the figures.",
            show_default="experiments/results/redaction.json with its pages, else output/",
        ),
    ] = None,
) -> None:
    """How many names, numbers and dates `ecg-hough redact` covers, on pages with known headers.

    Example: `ecg-lab redaction -n 20`
    """
    with plain_errors(EXTRAS), progress_bar("blanking") as on_progress:
        from ecg_hough.output.export import write_document
        from ecg_lab.header_pages import REDACTED, check_redaction, default_results

        figures = check_redaction(n, seed, on_progress=on_progress)
        out = out or default_results(n, seed, REDACTED)
        write_document(figures, out)
    for name, count in figures["counts"].items():
        said = ", ".join(f"{key} {value}" for key, value in count.items())
        typer.echo(f"{name:<8}{said}")
    typer.echo(f"Figures in {out}")


def delineators(
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of records.")] = 80,
    pages: Annotated[int, typer.Option(min=0, help="Of these, rendered and read back.")] = 24,
    seed: Seed = 8000,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="JSON file of the figures.",
            show_default="experiments/results/delineators.json with its records, else output/",
        ),
    ] = None,
) -> None:
    """How well heart rate and intervals are measured, by our way and by NeuroKit2's delineators.

    The records are generated, so that the true begin and end of every wave are known.

    Example: `ecg-lab delineators -n 16 --pages 4`
    """
    with plain_errors(EXTRAS), progress_bar("measuring") as on_progress:
        from ecg_hough.output.export import write_document
        from ecg_lab.delineators import check_delineators, default_results, summary_table

        figures = check_delineators(n, pages=min(pages, n), seed=seed, on_progress=on_progress)
        out = out or default_results(n, pages, seed)
        write_document(figures, out)
    print_table(summary_table(figures))
    typer.echo(f"Figures in {out}")


def right_leads(
    predictions: Annotated[Path, typer.Argument(help="Folder that `predict` wrote.")],
    truth: Annotated[Path, typer.Argument(help="Folder of the true WFDB records, with the pages' stems.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV file, a row a lead.")] = Path(
        "output/right_leads.csv"
    ),
) -> None:
    """Count the leads whose time, gain or shape is wrong, and how many of them have the status ok.

    Example, on pages by other programs:

    - `ecg-hough predict ../shared/data/foreign -o output/foreign`
    - `ecg-lab right-leads output/foreign ../shared/data/foreign`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.right_leads import compare_folders, summary

        leads = compare_folders(predictions, truth)
        out.parent.mkdir(parents=True, exist_ok=True)
        leads.to_csv(out, index=False, float_format="%.3f")
        for name, value in summary(leads).items():
            typer.echo(f"{name}: {value:.4g}")
    typer.echo(f"Leads in {out}")


def wrong_waves(
    predictions: Annotated[Path, typer.Argument(help="Folder that `predict` wrote.")],
    truth: Annotated[Path, typer.Argument(help="Folder of the true WFDB records, with the pages' stems.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV file, a row a beat of a lead.")] = Path(
        "output/wrong_waves.csv"
    ),
) -> None:
    """Count the beats in which a wave is read wrongly, such as a neighbour's, and those of them at status ok.

    Example, on pages whose rows cross:

    - `ecg-lab render-crossings -o data/crossings --records data/ptbxl`
    - `ecg-hough predict data/crossings -o output/crossings --header none`
    - `ecg-lab wrong-waves output/crossings data/crossings`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.crossing_pages import summary
        from ecg_lab.crossing_pages import wrong_waves as compare

        beats = compare(predictions, truth)
        out.parent.mkdir(parents=True, exist_ok=True)
        beats.to_csv(out, index=False, float_format="%.3f")
        for name, value in summary(beats).items():
            typer.echo(f"{name}: {value:.4g}")
    typer.echo(f"Beats in {out}")


def cross_validate(
    config: Annotated[str, typer.Option(help="Configuration of a leads network.")] = "leads",
    dataset: Annotated[str, typer.Option(help="nnU-Net's name of the data set.")] = "Dataset500_Signals",
    records: Annotated[Path, typer.Option(help="Folder of the records that it shows.")] = Path("data/ptbxl"),
    data: Annotated[Path, typer.Option(help="Folder of nnUNet_raw and nnUNet_preprocessed.")] = Path("data"),
    runs: Annotated[Path, typer.Option(help="Folder of the checkpoints.")] = Path("runs"),
    folds: Annotated[str, typer.Option(help="Comma between.")] = "0,1,2,3,4",
    pages: Annotated[int, typer.Option("-n", "--n", min=1, help="Scored pages of each fold.")] = 20,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs.", show_default="configuration's")] = None,
    max_minutes: MaxMinutes = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of weights and table.")] = Path(
        "output/cross_validation"
    ),
) -> None:
    """Cross-validate a leads network: train it on all folds but one, score pages of that one's records.

    Goes on where it was stopped. Needs the train extra.

    Example: `ecg-lab cross-validate --records data/ptbxl --max-minutes 120`
    """
    with plain_errors(EXTRAS), resumable(runs), live_line("cross-validation") as show:
        from ecg_lab.cross_validation import CrossValidation
        from ecg_lab.cross_validation import cross_validate as run

        chosen = [int(fold) for fold in folds.split(",") if fold.strip()]
        settings = CrossValidation(
            config=config, dataset=dataset, data=data, results=runs, records=records, folds=chosen,
            pages=pages, epochs=epochs, max_minutes=max_minutes,
        )  # fmt: skip
        table = run(settings, out, on_progress=show)
    typer.echo(table.to_string(index=False))
    mean, sd = table["challenge_snr_db"].mean(), table["challenge_snr_db"].std()
    typer.echo(f"Challenge SNR over {len(table)} folds: {mean:.2f} dB, standard deviation {sd:.2f} dB")


def fit_trust(
    pages: Annotated[list[Path], typer.Argument(help="Folders of rendered pages with their truth.")],
    others: Annotated[
        list[Path],
        typer.Option(
            "--others", help="Folder of pages that are no 12-lead ECG; several are given by several options."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of trust.json and is_ecg.json.")] = Path(
        "output/weights"
    ),
    workers: Workers = 2,
) -> None:
    """Fit the models of how far leads can be trusted, and of what is a 12-lead ECG.

    Pages of renderers that the models are tested on must not be among these.

    Example:

    - `ecg-hough render -n 160 -o data/vendors --profile vendors --seed 811 --records data/ptbxl`
    - `ecg-hough render -n 60 -o data/kit --profile kit --seed 815 --records data/ptbxl`
    - `ecg-hough render -n 40 -o data/photo --profile photo --seed 816 --records data/ptbxl`
    - `ecg-lab render-plots -n 36 -o data/plots --seed 812 --records data/ptbxl`
    - `ecg-lab render-benchmark -n 48 -o data/layouts --seed 813 --records data/ptbxl`
    - `ecg-lab render-others -n 56 -o data/others --seed 814`
    - `ecg-lab cut-pages data/vendors data/kit data/layouts -o data/cuts -n 48 --seed 821`
    - `ecg-lab fit-trust data/{vendors,plots,layouts,kit,photo,cuts} --others data/others`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.fitting import pages_in
        from ecg_lab.trust_fit import fit_is_ecg, fit_trust, judge_pages, write_model

        with progress_bar("reading") as on_progress:
            ecgs = judge_pages(pages_in(pages), workers=workers, on_progress=on_progress)
        with progress_bar("reading others") as on_progress:
            no_ecgs = judge_pages(pages_in(others), workers=workers, on_progress=on_progress)
        out.mkdir(parents=True, exist_ok=True)
        made = {"trust": fit_trust(ecgs), "is_ecg": fit_is_ecg(ecgs, no_ecgs)}
        for name, model in made.items():
            folders, no_ecg = ([path.name for path in some] for some in (pages, others))
            write_model(model, out / f"{name}.json", folders, no_ecg)
            figures = {key: value for key, value in model["held_out"].items() if key != "reliability"}
            typer.echo(f"{name}: limit {model['limit']}; held out: {figures}")
    typer.echo(f"Models in {out}")


def fit_tips(
    pages: Annotated[list[Path], typer.Argument(help="Folders of rendered pages with their truth.")],
    workers: Workers = 2,
) -> None:
    """Fit the probability that a wave whose tip is not seen is wrong; the weights are printed.

    Example: `ecg-lab fit-tips data/vendors data/plots data/layouts data/kit data/photo`, of pages as `ecg-lab
    fit-trust --help` draws them
    """
    with plain_errors(EXTRAS):
        from ecg_lab.fitting import pages_in
        from ecg_lab.tip_fit import fit_tips as fit
        from ecg_lab.tip_fit import tips_of_pages

        with progress_bar("reading") as on_progress:
            tips = tips_of_pages(pages_in(pages), workers=workers, on_progress=on_progress)
        found = fit(tips)
    wrong = sum(tip.wrong for tip in tips) / len(tips)
    typer.echo(f"{len(tips)} waves of {len({tip.page for tip in tips})} pages, {wrong:.1%} of them wrong")
    typer.echo(f"weights {[round(float(w), 3) for w in found.weights]}, bias {found.bias:.3f}")
    for probability, share, n in found.reliability.tolist():
        typer.echo(f"held out: of {n:.0f} waves given {probability:.2f}, {share:.0%} are wrong")
