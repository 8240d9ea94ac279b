"""Commands that draw pages, figures and the gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecg_hough.cli.arguments import HeldOutRecords, OutFolder
from ecg_hough.cli.screen import FAILED, plain_errors, progress_bar
from ecg_lab.cli.extras import EXTRAS
from ecg_lab.published import FIGURES, OUTPUT, RESULTS


def render_benchmark(
    out: OutFolder,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 200,
    seed: Annotated[int, typer.Option(help="Same seed, same pages; 2025 are the published ones.")] = 2025,
    records: HeldOutRecords = None,
) -> None:
    """Render pages of every common layout, drawn evenly, for the benchmark.

    Example, then score them:

    - `ecg-lab render-benchmark -o data/all_layouts --records data/ptbxl`
    - `ecg-lab benchmark data/all_layouts`
    """
    with plain_errors(EXTRAS), progress_bar("rendering") as on_progress:
        from ecg_lab.benchmark_pages import render_benchmark as draw

        paths = draw(out, n=n, seed=seed, records=records, on_progress=on_progress)
    typer.echo(f"{len(paths)} pages in {out}")


def render_plots(
    out: OutFolder,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of plots.")] = 60,
    seed: Annotated[int, typer.Option(help="Same seed, same plots; 2025 are the published ones.")] = 2025,
    records: HeldOutRecords = None,
) -> None:
    """Draw ECGs as matplotlib scripts do, for the benchmark: framed panels, squares that are not square.

    Example, then score them:

    - `ecg-lab render-plots -o data/plots --records data/ptbxl`
    - `ecg-lab benchmark data/plots`
    """
    with plain_errors(EXTRAS), progress_bar("drawing") as on_progress:
        from ecg_lab.plot_pages import render_plots as draw

        paths = draw(out, n=n, seed=seed, records=records, on_progress=on_progress)
    typer.echo(f"{len(paths)} plots in {out}")


def render_programs(
    out: OutFolder,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 60,
    seed: Annotated[int, typer.Option(help="Same seed, same pages; 2025 are the published ones.")] = 2025,
    records: HeldOutRecords = None,
) -> None:
    """Draw ECGs by other people's programs, ecg_plot and pmecg: pages that nobody here drew.

    Example, then read and judge them:

    - `ecg-lab render-programs -o data/programs --records data/ptbxl`
    - `ecg-hough predict data/programs -o output/programs --header none`
    - `ecg-lab right-leads output/programs data/programs`
    """
    with plain_errors(EXTRAS), progress_bar("drawing") as on_progress:
        from ecg_lab.program_pages import render_programs as draw

        paths = draw(out, n=n, seed=seed, records=records, on_progress=on_progress)
    typer.echo(f"{len(paths)} pages in {out}")


def render_others(
    out: OutFolder,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 70,
    seed: Annotated[int, typer.Option(help="Same seed, same pages.")] = 0,
) -> None:
    """Draw pages that are no 12-lead ECG: other curves on ECG paper, mirrored pages, two recordings on one.

    Example: `ecg-lab render-others -o data/others -n 56 --seed 601`
    """
    with plain_errors(EXTRAS), progress_bar("drawing") as on_progress:
        from ecg_lab.other_pages import render_others as draw

        paths = draw(out, n=n, seed=seed, on_progress=on_progress)
    typer.echo(f"{len(paths)} pages in {out}")


def cut_pages(
    folders: Annotated[list[Path], typer.Argument(help="Folders of rendered pages with *.truth.json.")],
    out: OutFolder,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 48,
    seed: Annotated[int, typer.Option(help="Same seed and folders, same cuts.")] = 0,
) -> None:
    """Cut rendered pages at the ends of their traces, as programs print them, or within, as scans are cut.

    Example: `ecg-lab cut-pages data/vendors data/kit data/layouts -o data/cuts -n 48 --seed 821`
    """
    with plain_errors(EXTRAS), progress_bar("cutting") as on_progress:
        from ecg_lab.cut_pages import cut_pages as cut

        paths = cut(folders, out, n=n, seed=seed, on_progress=on_progress)
    typer.echo(f"{len(paths)} pages in {out}")


def render_crossings(
    out: OutFolder,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 40,
    seed: Annotated[int, typer.Option(help="Same seed, same pages.")] = 3939,
    records: Annotated[
        Path | None,
        typer.Option(help="Folder of WFDB records.", show_default="made-up ECGs alone"),
    ] = None,
) -> None:
    """Draw pages whose rows cross at most beats: rows 15 to 20 mm apart, waves of 3 to 6 mV.

    Example: `ecg-lab render-crossings -o data/crossings --records data/ptbxl`
    """
    with plain_errors(EXTRAS), progress_bar("drawing") as on_progress:
        from ecg_lab.crossing_pages import render_crossings as draw

        paths = draw(out, n=n, seed=seed, records=records, on_progress=on_progress)
    typer.echo(f"{len(paths)} pages in {out}")


def paper(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder of the figures.",
            show_default="experiments/figures for the published results, else output/figures",
        ),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of the result files.")] = RESULTS,
    samples: Annotated[Path, typer.Option(help="Folder of the sample pages.")] = Path("samples"),
) -> None:
    """Draw every figure again from the result files and the sample pages.

    Example: `ecg-lab paper -o output/figures`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.figures import draw_all

        outcome = draw_all(
            out or (FIGURES if results == RESULTS else OUTPUT / FIGURES.name),
            results=results,
            samples=samples,
            on_figure=lambda name, words: typer.echo(f"{name}: {words}"),
        )
    if any(words.startswith("not drawn") for words in outcome.values()):
        raise typer.Exit(FAILED)


def gallery(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the docs.")] = Path("docs"),
    seed: Annotated[int, typer.Option(help="Of the first page; 7000 is the published gallery's.")] = 7000,
) -> None:
    """Draw a page of every layout and kind of paper, read it, and write the gallery of the docs.

    Example: `ecg-lab gallery`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.gallery import write_gallery

        page = write_gallery(out, seed=seed, on_exhibit=lambda one: typer.echo(f"{one.title}: {one.words}"))
    typer.echo(str(page))


def notebooks(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="NOTEBOOK...", help="Which ones.", show_default="all of experiments/"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the results.", show_default="in place")
    ] = None,
) -> None:
    """Run notebooks and keep them with small outputs, so that they can be read without running.

    Example: `ecg-lab notebooks experiments/08_comparison.ipynb`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.notebooks import store_outputs

        chosen = paths or sorted(Path("experiments").glob("*.ipynb"))
        written = store_outputs(chosen, out=out, on_notebook=lambda name: typer.echo(f"running {name}"))
    typer.echo(f"{len(written)} notebooks run")
