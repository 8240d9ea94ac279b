"""Commands that run other systems' methods: `predict`, `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecg_hough.cli.arguments import Formats, Fs, Gain, OutFolder, Speed, Verbose, Workers
from ecg_hough.cli.predict import (
    Labels,
    Overlay,
    Overwrite,
    Pages,
    chosen_extras,
    page_printer,
    print_report,
)
from ecg_hough.cli.screen import plain_errors, print_table, progress_bar
from ecg_lab.cli.extras import EXTRAS
from ecg_lab.cli.measure import Folders


def predict(
    inputs: Pages,
    out: OutFolder,
    method: Annotated[str, typer.Option(help="Whose method, see docs/methods.md.")],
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of label maps STEM.labels.png, for methods that read masks.",
            show_default="our leads network's",
        ),
    ] = None,
    fs: Fs = 500,
    formats: Formats = None,
    overlay: Overlay = False,
    labels: Labels = False,
    speed: Speed = None,
    gain: Gain = None,
    overwrite: Overwrite = False,
    workers: Workers = 1,
    verbose: Verbose = 0,
) -> None:
    """Digitise pages with another system's method, as `ecg-hough predict` does with ours.

    Examples:

    - `ecg-lab predict page.png -o out --method ecgminer`
    - masks of your own: `ecg-lab predict pages/ -o out --method krones2024 --masks masks/`
    """
    with plain_errors(EXTRAS):
        from ecg_hough.batch.predict import predict_pages
        from ecg_hough.output.export import check_formats
        from ecg_lab.methods import reader_of

        check_formats(formats or (), fs=fs)
        read = reader_of(method, masks=masks, fs=fs, speed_mm_s=speed, gain_mm_mv=gain)
        with progress_bar("digitising") as bar:
            report = predict_pages(
                inputs,
                out,
                read=read,
                extras=chosen_extras(formats, overlay, labels),
                workers=workers,
                overwrite=overwrite,
                on_page=page_printer(bar),
            )
    print_report(report, out)


def compare(
    folders: Folders,
    methods: Annotated[str | None, typer.Option(help="Names, comma between.", show_default="all")] = None,
    pages: Annotated[
        int | None, typer.Option(min=1, help="Pages of each profile, the first ones.", show_default="all")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="JSON file of the figures.",
            show_default="experiments/results/compare.json with all its pages and methods, "
            "else output/compare.json",
        ),
    ] = None,
    predictions: Annotated[
        Path, typer.Option(help="Folder for the predicted records; finished pages are not done again.")
    ] = Path("output/compare"),
    workers: Workers = 1,
) -> None:
    """Every method on the same pages: one table, method by profile, with intervals.

    Methods that read masks appear twice where the pages' true masks are known: with our leads network's
    masks and with the true ones. A stopped run is resumed.

    Example: `ecg-lab compare data/ludb --methods ours,ecgminer --pages 8`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.compare import compare_methods, default_results

        chosen = None if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
        results = out or default_results(folders, methods=chosen, pages=pages)
        with progress_bar("comparing") as on_progress:
            result = compare_methods(
                folders,
                predictions,
                methods=chosen,
                pages=pages,
                workers=workers,
                results=results,
                on_progress=on_progress,
            )
        print_table(result.table())
        print_table(result.pitch_table())
    typer.echo(f"Figures in {results}")
