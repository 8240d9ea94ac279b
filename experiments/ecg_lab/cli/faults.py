"""Commands that disturb what the tool does, `kills` and `mutations`; and `cost`, what it takes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ecg_hough.cli.arguments import Seed, Workers
from ecg_hough.cli.screen import live_line, plain_errors, progress_bar
from ecg_lab.cli.extras import EXTRAS

Out = Annotated[Path, typer.Option("--out", "-o", help="JSON file of the figures.")]


def kills(
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Pages.")] = 1000,
    n_kills: Annotated[int, typer.Option("--kills", min=1, help="Processes to kill.")] = 20,
    way: Annotated[str, typer.Option(help="parts: a planned batch. folder: predict.")] = "parts",
    pause: Annotated[float, typer.Option(min=0, help="Seconds that a page takes.")] = 0.05,
    folder: Annotated[Path, typer.Option(help="For pages and results; emptied.")] = Path("output/kills"),
    seed: Seed = 0,
    out: Out = Path("output/kills.json"),
) -> None:
    """Kill processes of a batch at random times; the end must be that of an undisturbed one.

    Example: `ecg-lab kills -n 1000 --kills 20`
    """
    with plain_errors(EXTRAS), progress_bar("killing") as on_progress:
        from ecg_hough.output.export import write_document
        from ecg_lab.kills import kill_at_random

        found = kill_at_random(
            folder, way=way, n_pages=n, n_kills=n_kills, pause_s=pause, seed=seed, on_progress=on_progress
        )
        write_document(found.to_dict(), out)
    for name, value in found.to_dict().items():
        typer.echo(f"{name}: {value}")


def mutations(
    pages: Annotated[list[Path], typer.Argument(metavar="PAGES...", help="Pages to damage.")],
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Damaged files.")] = 10_000,
    seed: Seed = 0,
    workers: Workers = 1,
    out: Out = Path("output/mutations.json"),
) -> None:
    """Damage files and read them: none may hang, crash, or change a lead where its damage is reported.

    Example: `ecg-lab mutations samples/clean_3x4.jpg -n 100`
    """
    with plain_errors(EXTRAS), progress_bar("damaging") as on_progress:
        import pandas as pd

        from ecg_hough.output.export import write_document
        from ecg_lab.mutations import run_mutations, summary

        outcomes = run_mutations(pages, n, seed=seed, workers=workers, on_progress=on_progress)
        figures = summary(outcomes)
        write_document(figures, out)
        pd.DataFrame(map(asdict, outcomes)).to_csv(out.with_suffix(".csv"), index=False)
    for name, value in figures.items():
        if name != "first_bad":
            typer.echo(f"{name}: {value}")


def cost(
    pages: Annotated[list[Path], typer.Argument(metavar="PAGES...", help="Pages to time.")],
    megapixels: Annotated[
        list[float] | None,
        typer.Option(
            "--mpx", help="Size that the first page is scaled to; again for more.", show_default="1 to 100"
        ),
    ] = None,
    counts: Annotated[
        list[int] | None,
        typer.Option("--count", help="Copies that are read at once; again for more.", show_default="1 to 50"),
    ] = None,
    out: Out = Path("output/cost.json"),
) -> None:
    """What a page costs: seconds a stage, a process's start, pages a second, growth with pixels and pages.

    On a machine that does other work compare CPU seconds only.

    Example: `ecg-lab cost samples/clean_3x4.jpg samples/photo_3x4.jpg --mpx 2 --mpx 8 --count 1 --count 10`
    """
    with plain_errors(EXTRAS), live_line("measuring") as show:
        from ecg_hough.output.export import write_document
        from ecg_lab.cost import COUNTS, MEGAPIXELS, draw, measure

        figures = measure(
            pages, megapixels=megapixels or MEGAPIXELS, counts=counts or COUNTS, on_progress=show
        )
        write_document(figures, out)
        draw(figures).savefig(out.with_suffix(".png"), dpi=110)
    alone, share = figures["all_cores"]["wall_s"], 100 * figures["floor"]["share"]
    typer.echo(f"A page takes {figures['one_core']['cpu_s']:.2f} s of a core, {alone:.2f} s on all")
    typer.echo(f"{share:.0f} % of it are the floor: decoding and one pass of each network")
    for kind, one in figures["start"].items():
        typer.echo(f"One page as a process, {kind}: {one['wall_s']:.2f} s, {one['cpu_s']:.2f} s of a core")
    typer.echo(f"Figures in {out}")


def memory(
    pages: Annotated[list[Path], typer.Argument(metavar="PAGES...", help="Pages, which are scaled.")],
    n: Annotated[int, typer.Option("-n", "--n", min=2, help="Pages to read.")] = 1000,
    shapes: Annotated[int, typer.Option(min=1, help="Shapes of pages.")] = 50,
    out: Out = Path("output/memory.json"),
) -> None:
    """Memory of a worker over many pages of many shapes: it must not grow.

    Example: `ecg-lab memory samples/clean_3x4.jpg samples/scan_6x2.jpg -n 100`
    """
    with plain_errors(EXTRAS), progress_bar("reading") as on_progress:
        from ecg_hough.output.export import write_document
        from ecg_lab.cost import memory as measure_memory

        figures = measure_memory(pages, n, shapes, on_progress)
        write_document(figures, out)
    for name, value in figures.items():
        typer.echo(f"{name}: {value:.0f}")
