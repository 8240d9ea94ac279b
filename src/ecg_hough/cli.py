"""The command line: parses, calls the library and prints; nothing is computed here.

Heavy modules are imported inside the commands, so that `ecg-hough --help` is instant.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import ecg_hough
from ecg_hough.errors import PageError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ecg_hough.batch import PageResult
    from ecg_hough.output.ecg import Ecg
    from ecg_lab.kaggle import Check, Pace

log = logging.getLogger("ecg_hough")

FAILED, BAD_ARGUMENT = 1, 2
"""Exit statuses: some page or step failed; the command line makes no sense."""
PACE_EVERY = 100
"""Pages between two lines on the pace of a long run."""
EXPERIMENTS = ("neurokit2",)
"""Packages of the experiments extra; all others that may be missing are of the train extra."""

app = typer.Typer(
    name="ecg-hough",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Readout(StrEnum):
    """How a trace becomes a signal."""

    trace = "trace"
    centroid = "centroid"


Profile = StrEnum("Profile", ["clean", "scan", "bw", "fax", "worn", "photo", "mixed"])
Source = StrEnum("Source", ["renderer", "kit", "ptbxl", "chapman", "ludb"])
Device = StrEnum("Device", ["auto", "cpu", "cuda"])
Planes = StrEnum("Planes", ["rgb", "red"])
CanvasKind = StrEnum("CanvasKind", ["canvas704", "page", "words"])

OutFolder = Annotated[Path, typer.Option("--out", "-o", help="Output folder; made if missing.")]
Seed = Annotated[int, typer.Option(help="Same seed, same pages.")]
Records = Annotated[
    Path | None,
    typer.Option(exists=True, file_okay=False, help="Folder of WFDB records.", show_default="made-up ECGs"),
]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
HeldOutRecords = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        help="Folder of WFDB records; half of the pages show those held out.",
        show_default="made-up ECGs",
    ),
]
Speed = Annotated[
    float | None, typer.Option(help="Paper speed in mm/s, if you know it.", show_default="read, or 25")
]
AllowTrained = Annotated[
    bool,
    typer.Option("--allow-trained", help="Score records too that the shipped networks were trained on."),
]
Gain = Annotated[
    float | None, typer.Option(help="Gain in mm/mV, if you know it.", show_default="read, or 10")
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ecg-hough {ecg_hough.__version__}")
        raise typer.Exit


@app.callback()
def main(
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Show the log; -vv for every detail.")
    ] = 0,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Images of printed 12-lead ECGs to calibrated signals in millivolts.

    Start with `ecg-hough predict page.png -o out`.
    """
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    log.setLevel(level)


@app.command()
def predict(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="IN...", help="Images, PDFs, or folders (searched recursively).")
    ],
    out: OutFolder,
    fs: Annotated[int, typer.Option(min=50, max=10_000, help="Sampling frequency in Hz.")] = 500,
    csv: Annotated[bool, typer.Option("--csv", help="Write STEM.csv too.")] = False,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Write STEM.overlay.png too: the traces drawn on the page.")
    ] = False,
    labels: Annotated[
        bool, typer.Option("--labels", help="Write STEM.labels.png too: the lead of every pixel, 1-12.")
    ] = False,
    readout: Annotated[
        Readout, typer.Option(help="trace: the best. centroid: the column read-out of the 2024 winner.")
    ] = Readout.trace,
    speed: Speed = None,
    gain: Gain = None,
    method: Annotated[
        str, typer.Option(help="Another system's method, see docs/methods.md.", show_default="ours")
    ] = "ours",
    masks: Annotated[
        Path | None,
        typer.Option(help="Folder of label maps STEM.labels.png, for methods that read masks."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do finished pages again.")] = False,
    workers: Workers = 1,
) -> None:
    """Digitise pages: STEM.hea, STEM.dat and STEM.json for each, report.json for all.

    Examples:

    - one scan, with a picture to check it: `ecg-hough predict scan.png -o out --overlay`
    - a folder, CSV too, on four cores: `ecg-hough predict scans/ -o out --csv --workers 4`
    - paper at 50 mm/s and 5 mm/mV: `ecg-hough predict slow.jpg -o out --speed 50 --gain 5`

    Pages already done with the same options are skipped. A page that fails is named with the reason and
    the rest go on; the exit status is then 1. The signals are 12 leads in standard order, in mV, NaN
    where the page shows nothing.
    """
    with _plain_errors():
        from ecg_hough.batch import predict_pages

        with _progress_bar("digitising") as on_progress:
            n_done = 0

            def show(result: PageResult, total: int) -> None:
                nonlocal n_done
                n_done += 1
                for line in _page_lines(result):
                    on_progress.print(line)
                on_progress(n_done, total)

            report = predict_pages(
                inputs,
                out,
                fs=fs,
                speed_mm_s=speed,
                gain_mm_mv=gain,
                readout=readout.value,
                csv=csv,
                overlay=overlay,
                labels=labels,
                method=method,
                masks=masks,
                workers=workers,
                overwrite=overwrite,
                on_page=show,
            )
    typer.echo(
        f"{len(report.done)} digitised, {len(report.skipped)} skipped (finished before), "
        f"{len(report.failed)} failed, in {report.seconds:.1f} s. Results in {out}"
    )
    if report.failed:
        raise typer.Exit(FAILED)


def _page_lines(result: PageResult) -> list[str]:
    """What a user must know of one page: its failure, or its warnings."""
    if result.status == "failed":
        return [f"{result.path.name}: {result.stage}: {result.message}"]
    return [f"{result.path.name}: warning: {warning}" for warning in result.warnings]


@app.command()
def info(
    page: Annotated[Path, typer.Argument(help="An image or PDF.")],
    speed: Speed = None,
    gain: Gain = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Show what is read from one page: angle, grid pitch, layout, leads, warnings. Writes nothing.

    Example: `ecg-hough info scan.png`
    """
    with _plain_errors():
        from ecg_hough.pipeline import digitize

        ecg = digitize(page, speed_mm_s=speed, gain_mm_mv=gain)
        if as_json:
            from ecg_hough.output.export import json_bytes

            typer.echo(json_bytes(ecg.to_dict()).decode(), nl=False)
        else:
            _print_info(ecg)


def _print_info(ecg: Ecg) -> None:
    pitch = "no grid" if ecg.px_per_mm is None else "{:.3f} x {:.3f} px/mm".format(*ecg.px_per_mm)
    turns = f", {90 * ecg.quarter_turns}° before" if ecg.quarter_turns else ""
    found = sum(status.found for status in ecg.lead_status)
    for name, value in {
        "page": ecg.source,
        "angle": f"{ecg.angle_deg:+.2f}°{turns}",
        "grid pitch": f"{pitch} (rows x columns)" if ecg.px_per_mm else pitch,
        "layout": ecg.layout,
        "paper speed, gain": f"{ecg.speed_mm_s:g} mm/s, {ecg.gain_mm_mv:g} mm/mV",
        "quality": f"{ecg.quality:.2f}",
        "leads found": f"{found} of {len(ecg.leads)}",
    }.items():
        typer.echo(f"{name + ':':<19}{value}")
    for status in ecg.lead_status:
        if status.found:
            span = f"{status.start_s:6.2f} to {status.end_s:6.2f} s, confidence {status.confidence:.2f}"
            typer.echo(f"  {status.lead:<4} {span}")
        else:
            typer.echo(f"  {status.lead:<4} {status.reason or 'not found'}")
    for warning in ecg.warnings:
        typer.echo(f"warning: {warning}")


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted WFDB records.")],
    truth: Annotated[Path, typer.Argument(help="Folder of true WFDB records of the same names.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for leads.csv, summary.json and scores.png.")
    ] = None,
    allow_trained: AllowTrained = False,
    workers: Workers = 2,
) -> None:
    """Score predictions against the truth: Challenge 2024 SNR, Kaggle SNR, correlation, errors, timing.

    Example: `ecg-hough evaluate out/ truth/ -o scores/`
    """
    with _plain_errors():
        from ecg_hough.scores.evaluation import evaluate as score

        evaluation = score(predictions, truth, workers=workers, allow_trained=allow_trained)
        _print_table(evaluation.table())
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            evaluation.to_csv(out / "leads.csv")
            evaluation.to_json(out / "summary.json")
            evaluation.plot(out / "scores.png")
            typer.echo(f"Tables and figure in {out}")


@app.command()
def benchmark(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Folders of pages with their WFDB truth beside.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the predicted records.")] = Path(
        "output/benchmark"
    ),
    readout: Annotated[Readout, typer.Option(help="As for predict.")] = Readout.trace,
    allow_trained: AllowTrained = False,
    workers: Workers = 1,
) -> None:
    """Predict and evaluate folders of pages whose truth is known; print accuracy, speed and memory.

    The figures are kept in experiments/results/benchmark.json.

    Example: `ecg-hough benchmark data/ecg_image_kit -o output/benchmark`
    """
    with _plain_errors():
        from ecg_lab.benchmark import run_benchmark

        for folder in folders:
            result = run_benchmark(
                folder,
                out / folder.name,
                readout=readout.value,
                workers=workers,
                allow_trained=allow_trained,
            )
            for table in (result.table(), result.layout_table(), result.coverage_table()):
                if table is not None:
                    _print_table(table)
            timed, memory = result.figures["timed_page"], result.figures["peak_memory_mib"]
            if timed["again_s"] is not None:
                size = f"{timed['cols']} x {timed['rows']} px"
                typer.echo(
                    f"A page of {size}: {timed['first_s']:.2f} s the first, {timed['again_s']:.2f} s again"
                )
            for process, size_mib in (memory or {}).items():
                typer.echo(f"Peak memory, {process.replace('_', ' ')}: {size_mib:.0f} MiB")
            drawn = result.figures["renderer_pages_per_s"]
            typer.echo("Renderer, pages/s at 200 dpi: " + ", ".join(f"{k} {v}" for k, v in drawn.items()))


@app.command()
def robustness(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="CSV file; angles.csv is written beside it.")
    ] = Path("experiments/results/robustness.csv"),
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Pages a step.")] = 2,
    only: Annotated[
        list[str] | None, typer.Option(help="A distortion; may be repeated.", show_default="all")
    ] = None,
    angles: Annotated[int, typer.Option(min=0, help="Pages for the table of angles; 0 makes none.")] = 40,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make finished rows again.")] = False,
    workers: Workers = 1,
) -> None:
    """Accuracy against the severity of thirteen distortions, for the trace network and for column centroids.

    A stopped run goes on where it was; rows of other weights are made again.

    Example: `ecg-hough robustness -n 4 --only blur --only noise`
    """
    with _plain_errors():
        from ecg_lab.robustness import SEVERITIES, measure_angles, measure_robustness, summary_table

        with _progress_bar("distorting") as on_progress:
            rows = measure_robustness(
                out,
                n=n,
                distortions=tuple(only or SEVERITIES),
                workers=workers,
                overwrite=overwrite,
                on_progress=on_progress,
            )
        if angles:
            with _progress_bar("turning") as on_progress:
                measure_angles(angles, on_progress=on_progress).to_csv(
                    out.with_name("angles.csv"), index=False
                )
        _print_table(summary_table(rows))
    typer.echo(f"{len(rows)} rows in {out}")


@app.command()
def fidelity(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted WFDB records.")],
    truth: Annotated[Path, typer.Argument(help="Folder of true WFDB records of the same names.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="CSV of the agreement; the pairs are written beside it.")
    ] = Path("experiments/results/fidelity.csv"),
    method: Annotated[str, typer.Option(help="Name of what made the predictions.")] = "ours",
) -> None:
    """Heart rate, intervals, amplitudes and ST level on true and digitised signals: bias and 95% limits.

    Needs the experiments extra. Rows of other methods and data stay in the files.

    Example: `ecg-hough fidelity output/samples samples/truth -o output/fidelity.csv`
    """
    with _plain_errors():
        from ecg_lab.fidelity import compare_measures, store, summary_table

        with _progress_bar("measuring") as on_progress:
            pairs = compare_measures(predictions, truth, method=method, on_progress=on_progress)
        _print_table(summary_table(store(pairs, out)))
    typer.echo(f"Agreement in {out}")


@app.command()
def paper(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the figures.")] = Path(
        "experiments/figures"
    ),
    results: Annotated[Path, typer.Option(help="Folder of the result files.")] = Path("experiments/results"),
    samples: Annotated[Path, typer.Option(help="Folder of the sample pages.")] = Path("samples"),
) -> None:
    """Draw every figure again from the result files and the sample pages.

    Example: `ecg-hough paper -o output/figures`
    """
    with _plain_errors():
        from ecg_lab.figures import draw_all

        outcome = draw_all(
            out,
            results=results,
            samples=samples,
            on_figure=lambda name, words: typer.echo(f"{name}: {words}"),
        )
    if any(words.startswith("not drawn") for words in outcome.values()):
        raise typer.Exit(FAILED)


@app.command()
def compare(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="Folders of pages with their WFDB truth beside.")
    ],
    methods: Annotated[str | None, typer.Option(help="Names, comma between.", show_default="all")] = None,
    pages: Annotated[
        int | None, typer.Option(min=1, help="Pages of each profile, the first ones.", show_default="all")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON file of the figures.")] = Path(
        "experiments/results/compare.json"
    ),
    predictions: Annotated[
        Path, typer.Option(help="Folder for the predicted records; finished pages are not done again.")
    ] = Path("output/compare"),
    workers: Workers = 1,
) -> None:
    """Every method on the same pages: one table, method by profile, with intervals.

    Methods that read masks appear twice where the pages' true masks are known: with our leads network's
    masks and with the true ones. A stopped run goes on where it was.

    Example: `ecg-hough compare data/ludb --methods ours,ecgminer --pages 8`
    """
    with _plain_errors():
        from ecg_lab.compare import compare_methods

        chosen = None if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
        with _progress_bar("comparing") as on_progress:
            result = compare_methods(
                folders,
                predictions,
                methods=chosen,
                pages=pages,
                workers=workers,
                results=out,
                on_progress=on_progress,
            )
        for table in (result.table(), result.pitch_table()):
            if table is not None:
                _print_table(table)
    typer.echo(f"Figures in {out}")


@app.command()
def ablations(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="Folders of pages with their WFDB truth beside.")
    ],
    n: Annotated[
        int | None,
        typer.Option("-n", "--n", min=1, help="Pages of each profile, the first ones.", show_default="all"),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="CSV file; the rows per page are written beside it.")
    ] = Path("experiments/ablations/ablations.csv"),
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--change", help="Measure this change beside the full method; again for more.", show_default="all"
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make finished rows again.")] = False,
    allow_trained: AllowTrained = False,
) -> None:
    """What each step of the method is worth: the same pages read with one change at a time.

    One page at a time, so that its seconds mean something. A stopped run goes on where it was; rows of other
    weights are made again.

    Example: `ecg-hough ablations data/ecg_image_kit data/ludb -n 4`
    """
    with _plain_errors():
        from ecg_lab.ablations import measure_ablations, summary_table

        with _progress_bar("leaving out") as on_progress:
            rows = measure_ablations(
                folders,
                out,
                n=n,
                changes=changes or (),
                overwrite=overwrite,
                allow_trained=allow_trained,
                on_progress=on_progress,
            )
        _print_table(summary_table(rows))
    typer.echo(f"{len(rows)} rows in {out}")


@app.command("geometry-benchmark")
def geometry_benchmark(
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Pages of each set.")] = 20,
    seed: Seed = 0,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="clean, scan, bw, worn, photo, hard or low; again for more.", show_default="all"
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON file of the figures.")] = Path(
        "experiments/results/geometry.json"
    ),
) -> None:
    """Find the page maps of rendered pages and compare them with the true ones, in px.

    Example: `ecg-hough geometry-benchmark -n 5 --set photo --set hard`
    """
    with _plain_errors(), _progress_bar("finding maps") as on_progress:
        from ecg_lab.geometry_benchmark import SETS, run_geometry_benchmark

        result = run_geometry_benchmark(
            n=n, seed=seed, sets=tuple(sets or SETS), results=out, on_progress=on_progress
        )
    _print_table(result.table())
    typer.echo(f"Figures in {out}")


@app.command()
def confidence(
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 40,
    seed: Seed = 4000,
    records: Records = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON file of the figures.")] = Path(
        "experiments/results/confidence.json"
    ),
) -> None:
    """How often true samples lie in their 90% intervals, on rendered pages.

    Only records that no shipped network was trained on are drawn.

    Example: `ecg-hough confidence -n 20 --records data/ptbxl`
    """
    with _plain_errors(), _progress_bar("digitising") as on_progress:
        from ecg_hough.datasets.split import split_records
        from ecg_hough.output.export import write_document
        from ecg_lab.confidence_check import check_confidence

        held_out = split_records(records)[1] if records is not None else []
        figures = check_confidence(n, seed=seed, records=held_out, on_progress=on_progress)
        write_document(figures, out)
    typer.echo(f"Coverage of 90% intervals: {100 * figures['coverage']:.1f}%. Figures in {out}")


@app.command()
def render(
    out: OutFolder,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 10,
    profile: Annotated[Profile, typer.Option(help="Kind of wear.")] = Profile.mixed,
    seed: Seed = 0,
    records: Records = None,
    dpi: Annotated[
        float | None, typer.Option(min=30, help="Resolution.", show_default="100 to 300, drawn")
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Only records that no shipped network was trained on.")
    ] = False,
) -> None:
    """Render pages of printed ECGs with their true signals.

    Example, then digitise and score them:

    - `ecg-hough render -n 10 -o pages --profile scan --seed 1`
    - `ecg-hough predict pages -o out`
    - `ecg-hough evaluate out pages`
    """
    with _plain_errors(), _progress_bar("rendering") as on_progress:
        from ecg_hough.datasets.rendered import render_samples

        paths = render_samples(
            out,
            n=n,
            profile=profile.value,
            seed=seed,
            records=records,
            dpi=dpi,
            held_out=held_out,
            on_progress=on_progress,
        )
    typer.echo(f"{len(paths)} pages in {out}")


@app.command("render-benchmark")
def render_benchmark(
    out: OutFolder,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 200,
    seed: Annotated[int, typer.Option(help="Same seed, same pages; 2025 are the published ones.")] = 2025,
    records: HeldOutRecords = None,
) -> None:
    """Render pages of every common layout, drawn evenly, for the benchmark.

    Example, then score them:

    - `ecg-hough render-benchmark -o data/all_layouts --records data/ptbxl`
    - `ecg-hough benchmark data/all_layouts`
    """
    with _plain_errors(), _progress_bar("rendering") as on_progress:
        from ecg_lab.benchmark_pages import render_benchmark as draw

        paths = draw(out, n=n, seed=seed, records=records, on_progress=on_progress)
    typer.echo(f"{len(paths)} pages in {out}")


@app.command("render-plots")
def render_plots(
    out: OutFolder,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of plots.")] = 60,
    seed: Annotated[int, typer.Option(help="Same seed, same plots; 2025 are the published ones.")] = 2025,
    records: HeldOutRecords = None,
) -> None:
    """Draw ECGs as matplotlib scripts do, for the benchmark: framed panels, squares that are not square.

    Example, then score them:

    - `ecg-hough render-plots -o data/plots --records data/ptbxl`
    - `ecg-hough benchmark data/plots`
    """
    with _plain_errors(), _progress_bar("drawing") as on_progress:
        from ecg_lab.plot_pages import render_plots as draw

        paths = draw(out, n=n, seed=seed, records=records, on_progress=on_progress)
    typer.echo(f"{len(paths)} plots in {out}")


@app.command("prepare-data")
def prepare_data(
    out: OutFolder = Path("data/nnUNet_raw"),
    source: Annotated[
        Source,
        typer.Option(
            help="renderer: own pages of --records or of made-up ECGs. kit: ECG-Image-Kit pages in --folder. "
            "ptbxl: own pages of records fetched into --folder. "
            "chapman, ludb: own pages of that data set's records in --folder."
        ),
    ] = Source.renderer,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 200,
    records: Annotated[Path | None, typer.Option(help="Folder of WFDB records, for renderer.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Folder of kit pages or of a data set.")] = None,
    generated: Annotated[
        float, typer.Option(min=0, max=1, help="Share of made-up ECGs beside --records.")
    ] = 0.35,
    profile: Annotated[Profile, typer.Option(help="Kind of wear.")] = Profile.mixed,
    planes: Annotated[Planes, typer.Option(help="red: one channel, as krones2024 has it.")] = Planes.rgb,
    canvas: Annotated[
        CanvasKind,
        typer.Option(
            help="canvas704: for leads and tiny. page: whole pages, for krones2024. words: for words."
        ),
    ] = CanvasKind.canvas704,
    dpi: Annotated[
        float | None, typer.Option(min=30, help="Of rendered pages.", show_default="85-150, or 200 for page")
    ] = None,
    dataset: Annotated[str, typer.Option(help="nnU-Net's name of the data set.")] = "Dataset500_Signals",
    seed: Seed = 0,
    workers: Workers = 2,
) -> None:
    """Make a raw data set for nnU-Net: pages, label maps, dataset.json, splits by patient.

    A stopped run goes on where it was; other options for the same folder are refused.

    Example: `ecg-hough prepare-data -n 1000 --records data/ptbxl`
    """
    with _plain_errors(), _progress_bar("making pages") as on_progress:
        from ecg_hough.training.prepare_data import DataSettings, prepare

        settings = DataSettings(
            source=source.value,
            n=n,
            records=records,
            folder=folder,
            generated=generated,
            profile=profile.value,
            planes=planes.value,
            canvas=canvas.value,
            dpi=dpi,
            dataset=dataset,
            seed=seed,
        )
        root = prepare(out, settings, workers=workers, on_progress=on_progress)
    typer.echo(f"Data set in {root}")


@app.command()
def train(
    config: Annotated[str, typer.Option(help="Configuration: a name or a JSON file.")] = "leads",
    fold: Annotated[str, typer.Option(help="0 to 4, or all.")] = "0",
    data: Annotated[Path, typer.Option(help="Folder of nnUNet_raw and nnUNet_preprocessed.")] = Path("data"),
    results: Annotated[Path, typer.Option(help="Folder of the checkpoints.")] = Path("runs"),
    dataset: Annotated[str, typer.Option(help="nnU-Net's name of the data set.")] = "Dataset500_Signals",
    device: Annotated[Device, typer.Option(help="auto takes a GPU if there is one.")] = Device.auto,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs.", show_default="configuration's")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Pause after this time.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin again.")] = False,
    start_from: Annotated[
        Path | None,
        typer.Option(
            help="Another run's checkpoint (a narrower one is widened) or exported weights (.onnx).",
            show_default="new weights",
        ),
    ] = None,
    workers: Workers = 2,
) -> None:
    """Plan, preprocess and train a network with nnU-Net; goes on from the last checkpoint.

    Needs the train extra: `pip install "ecg-hough[train]"`.

    Example: `ecg-hough train --config tiny --fold 0 --max-minutes 10`
    """
    with _plain_errors(), _live("training") as show:
        from ecg_hough.training.train import TrainSettings
        from ecg_hough.training.train import train as run_training

        settings = TrainSettings(
            config=config,
            fold=fold,
            dataset=dataset,
            device=device.value,
            epochs=epochs,
            max_minutes=max_minutes,
            fresh=fresh,
            start_from=start_from,
            workers=workers,
        )
        folder = run_training(
            settings,
            data=data,
            results=results,
            on_step=lambda epoch, step, loss: show(f"epoch {epoch}  step {step}  loss {loss:.3f}"),
        )
    typer.echo(f"Checkpoints in {folder}. Next: ecg-hough export {folder}")


@app.command("train-traces")
def train_traces(
    records: Annotated[
        Path | None, typer.Option(help="Folder of WFDB records.", show_default="generated ECGs alone")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder.")] = Path("runs/traces"),
    steps: Annotated[int, typer.Option(min=1, help="Of the whole run.")] = 20_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Crops a step.")] = 6,
    learning_rate: Annotated[float, typer.Option(help="Flat for 60% of the steps, then falling.")] = 1.5e-3,
    seed: Seed = 0,
    max_minutes: Annotated[float | None, typer.Option(help="Pause after this time.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin again.")] = False,
    start_from: Annotated[
        Path | None, typer.Option(help="Exported weights (.onnx).", show_default="new weights")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render pages.")] = 1,
) -> None:
    """Train the trace network on pages that are rendered meanwhile; goes on from the last checkpoint.

    Needs the train extra: `pip install "ecg-hough[train]"`.

    Example: `ecg-hough train-traces --records data/ptbxl --max-minutes 60`
    """
    with _plain_errors(), _live("training") as show:
        from ecg_hough.training.trace_train import TraceTrainSettings
        from ecg_hough.training.trace_train import train_traces as run_training

        settings = TraceTrainSettings(
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            max_minutes=max_minutes,
            fresh=fresh,
            start_from=start_from,
            workers=workers,
        )
        folder = run_training(
            settings,
            records=records,
            out=out,
            on_step=lambda step, n, figures: show(
                f"step {step}/{n}  " + "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
            ),
        )
    typer.echo(f"Checkpoint in {folder}. Next: ecg-hough export {folder} --name traces")


Contest = Annotated[Path, typer.Argument(metavar="DATA", help="The contest's folder.")]


@app.command("kaggle-submit")
def kaggle_submit(
    data: Contest,
    out: Annotated[Path, typer.Option("--out", "-o", help="The Parquet file.")] = Path("submission.parquet"),
    work: Annotated[
        Path | None, typer.Option(help="Folder of the digitised pages.", show_default="OUT.pages")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Check the file when it is written.")] = False,
    workers: Workers = 1,
) -> None:
    """Digitise the test pages of the Kaggle contest (2025/26) into a submission; offline.

    A stopped run goes on where it was. A page that fails is named, its values are 0, and the exit status
    is 1. Needs the kaggle extra.

    Example: `ecg-hough kaggle-submit /kaggle/input/physionet-ecg-image-digitization --check`
    """
    with _plain_errors("kaggle"):
        from ecg_lab.kaggle import check_submission, submit

        with _pace_bar() as on_page:
            result = submit(data, out, work=work, workers=workers, on_page=on_page)
        for page, leads in result.missing_leads.items():
            typer.echo(f"{page}: not read, 0 mV: {', '.join(leads)}")
        typer.echo(str(result.pace))
        typer.echo(f"{result.pages} pages, {len(result.failed)} failed, {result.rows} rows in {result.path}")
        passed = _print_check(check_submission(out, data)) if check else True
    if result.failed or not passed:
        raise typer.Exit(FAILED)


@app.command("kaggle-check")
def kaggle_check(
    submission: Annotated[Path, typer.Argument(help="The Parquet file.")],
    data: Contest,
) -> None:
    """Check a submission against test.csv and sample_submission.parquet. Needs the kaggle extra.

    Example: `ecg-hough kaggle-check submission.parquet contest/`
    """
    with _plain_errors("kaggle"):
        from ecg_lab.kaggle import check_submission

        passed = _print_check(check_submission(submission, data))
    if not passed:
        raise typer.Exit(FAILED)


@app.command("kaggle-score")
def kaggle_score(
    data: Contest,
    work: Annotated[Path, typer.Option(help="Folder of the digitised pages.")] = Path("output/kaggle"),
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON file of all pages' scores.")] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only pages of this type, such as 0005; several are possible."),
    ] = None,
    n: Annotated[int | None, typer.Option("-n", "--n", min=1, help="Only the first n pages.")] = None,
    allow_trained: AllowTrained = False,
    workers: Workers = 1,
) -> None:
    """Score the contest's train pages with its own metric, under the caps of 384 and of a million.

    Example: `ecg-hough kaggle-score contest/ --type 0001 --type 0003 -n 100 -o scores.json`
    """
    with _plain_errors():
        from ecg_lab.kaggle import score_train

        with _pace_bar() as on_page:
            score = score_train(
                data,
                work,
                types=types or (),
                n=n,
                workers=workers,
                allow_trained=allow_trained,
                on_page=on_page,
            )
        _print_table(score.table())
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            score.to_json(out)
            typer.echo(f"All pages in {out}")


def _print_check(check: Check) -> bool:
    """What a check has found; whether the submission is good."""
    for problem in check.problems:
        typer.echo(f"problem: {problem}")
    for note in check.notes:
        typer.echo(f"note: {note}")
    if not check.problems:
        typer.echo(f"{check.rows} rows, as the contest asks")
    return not check.problems


@app.command("export")
def export_weights(
    folder: Annotated[Path, typer.Argument(help="Result folder of `train`, with its checkpoints.")],
    out: OutFolder = Path("output/weights"),
    name: Annotated[
        str | None, typer.Option(help="Name of the network.", show_default="leads or traces, by the run")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="latest, final or best.", show_default="newer of latest and final")
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder of nnUNet_raw, for the card.")] = Path("data"),
    records: Annotated[
        Path | None,
        typer.Option(help="Folder of the records trained on, for the card, if the run does not name them."),
    ] = None,
    average_with: Annotated[
        Path | None,
        typer.Option(help="Exported weights (.onnx) that the run started from: the mean of both is written."),
    ] = None,
) -> None:
    """Turn a checkpoint into weights that run without torch, with their card.

    Needs the train extra.

    Example: `ecg-hough export runs/Dataset500_Signals/.../fold_0 -o output/weights`
    """
    with _plain_errors():
        from ecg_hough.training.export_weights import export

        path = export(
            folder,
            out,
            name=name,
            checkpoint=checkpoint,
            data=data,
            records=records,
            average_with=average_with,
        )
    typer.echo(f"Weights in {path}")


@app.command("quantize")
def quantize_weights(
    weights: Annotated[
        Path, typer.Argument(help="Exported weights (.onnx), their card (.json) beside them.")
    ],
    pages: Annotated[list[Path], typer.Argument(help="Pages and folders of pages to measure on.")],
    seed: Annotated[int, typer.Option(help="Of the parts of pages that are drawn.")] = 0,
) -> None:
    """Measure on pages what a network needs to run in eight bits, and put it into its card.

    The weights stay as they are. Processors with bfloat16 (and so with VNNI) then run it in eight bits.

    Example: `ecg-hough render-benchmark -o output/q -n 60 --seed 31`, then `ecg-hough quantize
    output/weights/traces.onnx output/q`
    """
    with _plain_errors():
        from ecg_hough.batch import find_pages
        from ecg_hough.training.quantize_weights import measure_ranges

        with _progress_bar("measuring") as on_progress:
            found = [page.path for page in find_pages(pages)]
            ranges = measure_ranges(weights, found, seed=seed, on_progress=on_progress)
    typer.echo(f"Ranges of {len(ranges)} maps in {weights.with_suffix('.json')}")


@contextmanager
def _plain_errors(extra: str = "train") -> Iterator[None]:
    """Foreseen errors as one line and an exit status; -v shows where they came from."""
    try:
        yield
    except PageError as error:
        _stop(str(error), FAILED, error)
    except ValueError as error:
        _stop(str(error), BAD_ARGUMENT, error)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ecg_hough"):
            raise
        extra = "experiments" if error.name in EXPERIMENTS else "train"
        _stop(f'{error}: this needs the {extra} extra: pip install "ecg-hough[{extra}]"', FAILED, error)
    except OSError as error:
        _stop(str(error), FAILED, error)


def _stop(message: str, status: int, error: Exception) -> None:
    log.info("stopped by %s", type(error).__name__, exc_info=error)
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(status) from error


@dataclass(frozen=True)
class _OnProgress:
    """Callback (done, total) of a progress bar, which can print lines above itself."""

    progress: Progress
    bar: TaskID

    def __call__(self, done: int, total: int) -> None:
        self.progress.update(self.bar, completed=done, total=total)

    def print(self, line: str) -> None:
        self.progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _live(text: str) -> Iterator[Callable[[str], None]]:
    """A line that shows what a training is at, with the time it has taken."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(text)
        yield lambda words: bar.update(task, description=f"{text}  {words}")


@contextmanager
def _progress_bar(verb: str) -> Iterator[_OnProgress]:
    """A progress bar on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _OnProgress(progress, progress.add_task("", total=None))


@contextmanager
def _pace_bar() -> Iterator[Callable[[PageResult, Pace], None]]:
    """A progress bar, with failed pages above it and the pace after every hundred."""
    with _progress_bar("digitising") as on_progress:
        seen = 0

        def show(result: PageResult, pace: Pace) -> None:
            nonlocal seen
            seen += 1
            if result.status == "failed":
                on_progress.print(f"{result.path.stem}: {result.stage}: {result.message}")
            if seen % PACE_EVERY == 0:
                on_progress.print(str(pace))
            on_progress(seen, seen + pace.left)

        yield show


def _print_table(table: Any) -> None:
    from rich.console import Console

    Console().print(table)
