"""Commands that read pages: `predict` and `info`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecg_hough.cli.arguments import (
    PAGE_SECONDS,
    Formats,
    Fs,
    Gain,
    Header,
    HeaderWords,
    LayoutName,
    LeadRows,
    OutFolder,
    PageMib,
    PageNumbers,
    PageSeconds,
    Readout,
    Speed,
    Verbose,
    WeightsFolder,
    Workers,
)
from ecg_hough.cli.screen import FAILED, OnProgress, decisions, plain_errors, progress_bar
from ecg_hough.cli.support import write_report
from ecg_hough.errors import PageError

if TYPE_CHECKING:
    from ecg_hough.batch.predict import BatchReport, PageFailure, PageResult
    from ecg_hough.output.ecg import Ecg

Pages = Annotated[
    list[Path],
    typer.Argument(
        metavar="IN...",
        help="Images, PDFs, DICOM files, zip archives, folders (searched recursively); - is standard input.",
    ),
]
Overlay = Annotated[
    bool, typer.Option("--overlay", help="Write STEM.overlay.png too: the traces drawn on the page.")
]
Labels = Annotated[
    bool, typer.Option("--labels", help="Write STEM.labels.png too: the lead of every pixel, 1-12.")
]
Measure = Annotated[
    bool,
    typer.Option("--measure", help="Measure heart rate, intervals, axes and amplitudes, into the JSON."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Do finished pages again.")]

FOUND_FROM = {
    "given": "as given",
    "text": "read from the print",
    "pulse": "measured on the calibration pulse",
    "beats": "from the beat intervals",
    "heart rate": "from the printed heart rate",
    "assumed": "assumed, the standard",
}
"""Where paper speed and gain come from, by `Record.speed_from` and `gain_from`."""
SOURCES = {"picture": "its picture", "vector": "its own paths, the samples themselves"}
"""What was read, by `Record.source_kind`."""
NAMED_MAX = 20
"""Files passed over that are named on the screen; `report.json` names all."""
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
    formats: Formats = None,
    overlay: Overlay = False,
    labels: Labels = False,
    header: Header = HeaderWords.measurements,
    measure: Measure = False,
    redact: Annotated[
        bool, typer.Option("--redact", help="Draw overlays on the page without names; patient is not read.")
    ] = False,
    readout: Annotated[
        Readout, typer.Option(help="trace: the best. centroid: the column read-out of the 2024 winner.")
    ] = Readout.trace,
    speed: Speed = None,
    gain: Gain = None,
    layout: LayoutName = None,
    leads: LeadRows = None,
    weights: WeightsFolder = None,
    pages: PageNumbers = "",
    overwrite: Overwrite = False,
    workers: Workers = 1,
    page_seconds: PageSeconds = PAGE_SECONDS,
    page_mib: PageMib = None,
    verbose: Verbose = 0,
) -> None:
    """Digitise pages: STEM.hea, STEM.dat and STEM.json for each, report.json for all.

    Examples:

    - one scan, with a picture to check it: `ecg-hough predict scan.png -o out --overlay`
    - a folder, as DICOM and CSV too, on four cores:
      `ecg-hough predict scans/ -o out --format dicom,csv --workers 4`
    - paper at 50 mm/s and 5 mm/mV: `ecg-hough predict slow.jpg -o out --speed 50 --gain 5`
    - a page whose leads you know: `ecg-hough predict page.png -o out --layout 6x2+1`
    - networks that you trained: `ecg-hough predict scans/ -o out --weights output/weights`
    - two pages of a PDF: `ecg-hough predict report.pdf -o out --pages 2-3`
    - from another program: `curl -s URL | ecg-hough predict - -o out`

    Every page of a file is read. Pages of one recording, such as limb leads on one and chest leads on the
    next, become one record; other pages become one record each, STEM_p2 that of page 2. Where a PDF holds the
    traces themselves, their samples are taken from it. Files of other kinds, and pages of text, are named and
    passed over.

    Pages already done with the same options are skipped. A page that fails is named with the reason, the
    others go on, and the exit status is then 1. A page that takes too long or too much memory is begun three
    times, then it has failed. The signals are 12 leads in standard order, in mV, NaN where
    the page shows nothing.
    """
    with plain_errors():
        from ecg_hough.batch.predict import predict_pages
        from ecg_hough.batch.reader import Digitizer
        from ecg_hough.batch.workers import Limits, end_by_sigterm
        from ecg_hough.output.export import check_formats

        check_formats(formats or (), fs=fs)
        read = Digitizer(
            fs,
            speed,
            gain,
            readout.value,
            pages,
            header=header.value,
            measure=measure,
            redact=redact,
            layout=layout,
            leads=leads,
            weights=weights,
        )
        end_by_sigterm()
        with progress_bar("digitising") as bar:
            report = predict_pages(
                inputs,
                out,
                read=read,
                extras=chosen_extras(formats, overlay, labels),
                workers=workers,
                limits=Limits(page_seconds, page_mib),
                overwrite=overwrite,
                on_page=page_printer(bar),
            )
    print_report(report, out)


def chosen_extras(formats: Collection[str] | None, overlay: bool, labels: bool) -> list[str]:
    """The names of the wanted files in `batch.EXTRAS`: what is always written is none of them."""
    from ecg_hough.output.export import ALWAYS

    pictures = {"overlay": overlay, "labels": labels}
    names = [name for name in formats or () if name not in ALWAYS]
    return names + [name for name, is_wanted in pictures.items() if is_wanted]


def page_printer(bar: OnProgress) -> Callable[[PageResult, int], None]:
    """Prints a page's failure or warnings above the bar, and moves it on."""
    from ecg_hough.batch.pages import printable

    n_done = 0

    def show(result: PageResult, total: int) -> None:
        nonlocal n_done
        n_done += 1
        name = result.path.name
        if result.status == "failed":
            bar.print(printable(f"{name}: {result.stage}: {result.message}"))
        elif result.status == "passed" and result.stem:  # a page; files of other kinds are named at the end
            bar.print(printable(f"{name}: passed over: {result.message}"))
        of_page = f"page {result.pages[0]}: " if result.pages[0] != 1 else ""
        for warning in result.warnings:
            bar.print(printable(f"{name}: {of_page}warning: {warning}"))
        bar(n_done, total)

    return show


def print_report(report: BatchReport, out: Path) -> None:
    """One line on a finished run, and one on what was passed over; exits with status 1 if a page failed."""
    if report.passed:
        typer.echo(f"{len(report.passed)} passed over: {_named(report.passed)}")
    typer.echo(
        f"{len(report.done)} digitised, {len(report.skipped)} skipped (finished before), "
        f"{len(report.failed)} failed, in {report.seconds:.1f} s. Results in {out}"
    )
    if report.failed:
        raise typer.Exit(FAILED)


def _named(passed: tuple[PageFailure, ...]) -> str:
    """The first of what was passed over by name, and the numbers of the others by their suffix."""
    from ecg_hough.batch.pages import printable

    names = [printable(one.path.name) for one in passed[:NAMED_MAX]]
    others = Counter(one.path.suffix or "without a suffix" for one in passed[NAMED_MAX:])
    return ", ".join([*names, *(f"{n} more {suffix}" for suffix, n in others.most_common())])


def info(
    page: Annotated[Path, typer.Argument(help="An image, PDF or DICOM file.")],
    number: Annotated[int, typer.Option("--page", min=1, help="Page of a file of several.")] = 1,
    speed: Speed = None,
    gain: Gain = None,
    header: Header = HeaderWords.measurements,
    measure: Measure = False,
    layout: LayoutName = None,
    leads: LeadRows = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.zip",
            help="Write a report for an issue instead: versions, JSON, evidence, and the overlay on the page "
            "without names. Look at it before you send it.",
        ),
    ] = None,
    verbose: Verbose = 0,
) -> None:
    """Show what is read from one page, and by which evidence. Writes nothing but the report you ask for.

    Angle, grid, layout, scale, leads and warnings come first, then what each stage saw, with its weight, and
    what was used.

    Examples:

    - `ecg-hough info scan.png`
    - which limit rejected a pulse, a separator or a printed scale: `ecg-hough info scan.png -vv`
    - a file to send with a question: `ecg-hough info scan.png --report report.zip`
    """
    known: dict[str, Any] = {"speed_mm_s": speed, "gain_mm_mv": gain, "layout": layout, "leads": leads}
    with plain_errors():
        if report is not None:
            write_report(page, report, number, known)
            return
        from ecg_hough.pipeline import digitize

        with decisions() as seen:
            try:
                ecg = digitize(page, number, header=header.value, **known)
                ecg = ecg.measured() if measure else ecg
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
        "page": f"{ecg.source}, page {ecg.pages[0]}" if ecg.pages != (1,) else ecg.source,
        "read from": SOURCES.get(ecg.source_kind, ecg.source_kind),
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
    _print_measurements(ecg)
    for warning in ecg.warnings:
        typer.echo(f"warning: {warning}")


def _print_measurements(ecg: Ecg) -> None:
    """A line a measurement: value, expected error, and the printed value where one was read."""
    digits = {"mV": 2, "ms": 0, "deg": 0, "1/min": 0, "%": 1}
    for one in ecg.measurements:
        n = digits[one.unit]
        name = one.name if one.lead is None else f"{one.name} of {one.lead}"
        line = f"  {name:<13}{one.value:8.{n}f} +- {one.sd:.{n}f} {one.unit}"
        if one.printed is not None:
            line += f", printed {one.printed:g}" + ("" if one.agrees else ", which disagrees")
        typer.echo(line)


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
