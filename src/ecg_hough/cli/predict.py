"""Commands that read pages: `predict` and `info`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_hough.cli.arguments import Fs, Gain, OutFolder, Readout, Speed, Verbose, Workers
from ecg_hough.cli.screen import FAILED, OnProgress, decisions, plain_errors, progress_bar
from ecg_hough.errors import PageError

if TYPE_CHECKING:
    from ecg_hough.batch import BatchReport, PageResult
    from ecg_hough.output.ecg import Ecg

Pages = Annotated[
    list[Path], typer.Argument(metavar="IN...", help="Images, PDFs, or folders (searched recursively).")
]
Csv = Annotated[bool, typer.Option("--csv", help="Write STEM.csv too.")]
Overlay = Annotated[
    bool, typer.Option("--overlay", help="Write STEM.overlay.png too: the traces drawn on the page.")
]
Labels = Annotated[
    bool, typer.Option("--labels", help="Write STEM.labels.png too: the lead of every pixel, 1-12.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Do finished pages again.")]

FOUND_FROM = {
    "given": "as given",
    "text": "read from the print",
    "pulse": "measured on the calibration pulse",
    "beats": "from the beat intervals",
    "assumed": "assumed, the standard",
}
"""Where paper speed and gain come from, by `Record.speed_from` and `gain_from`."""
COLUMNS = {
    "sequential": "one after the other in time",
    "simultaneous": "all of the same seconds",
    "one": "one column",
}
"""The time of the columns, by `Record.columns`."""


def predict(
    inputs: Pages,
    out: OutFolder,
    fs: Fs = 500,
    csv: Csv = False,
    overlay: Overlay = False,
    labels: Labels = False,
    readout: Annotated[
        Readout, typer.Option(help="trace: the best. centroid: the column read-out of the 2024 winner.")
    ] = Readout.trace,
    speed: Speed = None,
    gain: Gain = None,
    overwrite: Overwrite = False,
    workers: Workers = 1,
    verbose: Verbose = 0,
) -> None:
    """Digitise pages: STEM.hea, STEM.dat and STEM.json for each, report.json for all.

    Examples:

    - one scan, with a picture to check it: `ecg-hough predict scan.png -o out --overlay`
    - a folder, CSV too, on four cores: `ecg-hough predict scans/ -o out --csv --workers 4`
    - paper at 50 mm/s and 5 mm/mV: `ecg-hough predict slow.jpg -o out --speed 50 --gain 5`

    Pages already done with the same options are skipped. A page that fails is named with the reason, the
    others go on, and the exit status is then 1. The signals are 12 leads in standard order, in mV, NaN where
    the page shows nothing.
    """
    with plain_errors():
        from ecg_hough.batch import Digitizer, predict_pages

        read = Digitizer(fs, speed, gain, readout.value)
        with progress_bar("digitising") as bar:
            report = predict_pages(
                inputs,
                out,
                read=read,
                extras=chosen_extras(csv, overlay, labels),
                workers=workers,
                overwrite=overwrite,
                on_page=page_printer(bar),
            )
    print_report(report, out)


def chosen_extras(csv: bool, overlay: bool, labels: bool) -> list[str]:
    """The names of the wanted files in `batch.EXTRAS`."""
    wanted = {"csv": csv, "overlay": overlay, "labels": labels}
    return [name for name, is_wanted in wanted.items() if is_wanted]


def page_printer(bar: OnProgress) -> Callable[[PageResult, int], None]:
    """Prints a page's failure or warnings above the bar, and moves it on."""
    n_done = 0

    def show(result: PageResult, total: int) -> None:
        nonlocal n_done
        n_done += 1
        if result.status == "failed":
            bar.print(f"{result.path.name}: {result.stage}: {result.message}")
        for warning in result.warnings:
            bar.print(f"{result.path.name}: warning: {warning}")
        bar(n_done, total)

    return show


def print_report(report: BatchReport, out: Path) -> None:
    """One line on a finished run; exits with status 1 if a page failed."""
    typer.echo(
        f"{len(report.done)} digitised, {len(report.skipped)} skipped (finished before), "
        f"{len(report.failed)} failed, in {report.seconds:.1f} s. Results in {out}"
    )
    if report.failed:
        raise typer.Exit(FAILED)


def info(
    page: Annotated[Path, typer.Argument(help="An image or PDF.")],
    speed: Speed = None,
    gain: Gain = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    verbose: Verbose = 0,
) -> None:
    """Show what is read from one page, and by which evidence. Writes nothing.

    Angle, grid, layout, scale, leads and warnings come first, then what each stage saw, with its weight, and
    what was used.

    Examples:

    - `ecg-hough info scan.png`
    - which limit rejected a pulse, a separator or a printed scale: `ecg-hough info scan.png -vv`
    """
    with plain_errors():
        from ecg_hough.pipeline import digitize

        with decisions() as seen:
            try:
                ecg = digitize(page, speed_mm_s=speed, gain_mm_mv=gain)
            except PageError:
                _print_evidence(seen, err=True)
                raise
        if as_json:
            from ecg_hough.output.export import json_bytes

            typer.echo(json_bytes(ecg.to_dict()).decode(), nl=False)
        else:
            _print_info(ecg)
            _print_evidence(seen)


def _print_info(ecg: Ecg) -> None:
    pitch = "no grid" if ecg.px_per_mm is None else "{:.3f} x {:.3f} px/mm".format(*ecg.px_per_mm)
    turns = f", {90 * ecg.quarter_turns}° before" if ecg.quarter_turns else ""
    found = sum(status.found for status in ecg.lead_status)
    for name, value in {
        "page": ecg.source,
        "angle": f"{ecg.angle_deg:+.2f}°{turns}",
        "grid pitch": f"{pitch} (rows x columns)" if ecg.px_per_mm else pitch,
        "layout": ecg.layout,
        "columns": COLUMNS.get(ecg.columns, ecg.columns),
        "paper speed": f"{ecg.speed_mm_s:g} mm/s, {FOUND_FROM.get(ecg.speed_from, ecg.speed_from)}",
        "gain": f"{ecg.gain_mm_mv:g} mm/mV, {FOUND_FROM.get(ecg.gain_from, ecg.gain_from)}",
        "agreement of leads": _agreement(ecg),
        "quality": f"{ecg.quality:.2f}",
        "leads found": f"{found} of {len(ecg.leads)}",
    }.items():
        typer.echo(f"{name + ':':<20}{value}")
    for status in ecg.lead_status:
        if status.found:
            span = f"{status.start_s:6.2f} to {status.end_s:6.2f} s, confidence {status.confidence:.2f}"
            typer.echo(f"  {status.lead:<4} {span}")
        else:
            typer.echo(f"  {status.lead:<4} {status.reason or 'not found'}")
    for warning in ecg.warnings:
        typer.echo(f"warning: {warning}")


def _print_evidence(seen: list[str], *, err: bool = False) -> None:
    """What each stage saw and used; to stderr, with `err`, where the page is refused."""
    for line in ("evidence:", *(f"  {one}" for one in seen)):
        typer.echo(line, err=err)


def _agreement(ecg: Ecg) -> str:
    """Residuals of what leads of one instant must fulfil, as far as the page shows it."""
    residuals = {"Einthoven": ecg.einthoven_mv, "Goldberger": ecg.goldberger_mv, "repeats": ecg.repeat_mv}
    known = [f"{name} {value:.3f} mV" for name, value in residuals.items() if math.isfinite(value)]
    if not known:
        return "no leads to compare"
    verdict = {True: ", within the expected errors", False: ", beyond the expected errors", None: ""}
    return ", ".join(known) + verdict[ecg.leads_agree]
