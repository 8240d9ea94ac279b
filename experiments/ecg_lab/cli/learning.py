"""The command that measures learning from corrections: `learn-bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecg_hough.cli.arguments import HeldOutRecords, Seed
from ecg_hough.cli.screen import live_line, plain_errors
from ecg_lab.cli.extras import EXTRAS


def learn_bench(
    folder: Annotated[
        Path, typer.Option(help="For pages, reviews and weights; a run goes on with what is there.")
    ] = Path("output/learn_bench"),
    pool: Annotated[int, typer.Option(min=1, help="Pages of each kind to choose from.")] = 30,
    trial: Annotated[int, typer.Option(min=1, help="Pages of each kind that are scored.")] = 10,
    corrected: Annotated[int, typer.Option("-n", "--n", min=1, help="Pages that are corrected.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training.")] = 300,
    batch_size: Annotated[int, typer.Option(min=1, help="Crops a step.")] = 4,
    standard: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Folder of pages that must not be lost on.")
    ] = Path("samples"),
    records: HeldOutRecords = None,
    seed: Seed = 41,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the training.", show_default="all cores")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON file of the figures.")] = Path(
        "output/learn_bench.json"
    ),
) -> None:
    """Learn from pages of a vendor that the networks have not seen: suggested ones against random ones.

    The vendor prints a line at the zero of every lead. A simulated person corrects the pages freehand.

    Examples:

    - `ecg-lab learn-bench --records data/ptbxl`
    - small: `ecg-lab learn-bench --pool 12 --trial 6 -n 10 --steps 150 --batch-size 3`
    """
    with plain_errors(EXTRAS), live_line("learning") as show:
        from ecg_hough.output.export import write_document
        from ecg_hough.training.learn import LearnSettings
        from ecg_lab.learn_bench import BenchSettings, bench

        learning = LearnSettings(steps=steps, batch_size=batch_size, seed=seed, threads=threads)
        found = bench(
            folder,
            standard=standard,
            records=records,
            settings=BenchSettings(pool, trial, corrected, seed, learning),
            on_progress=lambda what, done, n: show(f"{what} {done}/{n}"),
        )
        write_document(found, out)
    for name, figures in found["figures"].items():
        for kind in ("ruled", "usual"):
            one = figures[kind]
            wrong = f"{one['wrong_pct']:g} % of {one['leads']} leads wrong"
            typer.echo(f"{name}: {kind} pages {one['snr_db']:.1f} dB, {wrong}")
