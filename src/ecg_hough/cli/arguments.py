"""Arguments that several commands take, each with its type, limits and help."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ecg_hough.cli.screen import show_log


class Readout(StrEnum):
    """How a trace becomes a signal."""

    trace = "trace"
    centroid = "centroid"


class HeaderWords(StrEnum):
    """What is read of the printed header."""

    measurements = "measurements"
    all = "all"
    none = "none"


Profile = StrEnum("Profile", ["clean", "scan", "bw", "fax", "worn", "photo", "mixed", "vendors", "kit"])


def positive(value: float | None) -> float | None:
    """The value, if it is None or a positive number; else a usage error."""
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise typer.BadParameter(f"must be positive and finite; got {value:g}")
    return value


def _page_numbers(text: str) -> str:
    from ecg_hough.documents.pages import parse_pages

    try:
        parse_pages(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return text


def _verbose(count: int) -> int:
    if count:
        show_log(count)
    return count


Header = Annotated[
    HeaderWords,
    typer.Option(
        help="What is read of the printed header: measurements; all: patient and time too; none. "
        'Pictures need pip install "ecg-hough\\[ocr]", PDFs with a text layer do not.'
    ),
]
RECORD_FORMATS = (
    "wfdb", "csv", "dicom", "dicom-printed", "edf", "fhir", "fhir-r5", "aecg", "npz", "mat", "parquet",
)  # fmt: skip
"""Formats of `output.export.SIGNAL_FORMATS`, without importing it."""


def formats_of(values: list[str] | None) -> list[str]:
    """Names of formats from `--format a,b --format c`; a usage error names one that there is not."""
    names = [name.strip() for value in values or () for name in value.split(",") if name.strip()]
    if unknown := [name for name in names if name not in RECORD_FORMATS]:
        raise typer.BadParameter(f"must be of {', '.join(RECORD_FORMATS)}; got {', '.join(unknown)}")
    return list(dict.fromkeys(names))


Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        callback=formats_of,
        help="Write the record in these formats too, comma between: "
        "csv, dicom, dicom-printed, edf, fhir, fhir-r5, aecg, npz, mat, parquet.",
        show_default="wfdb alone",
    ),
]
OutFolder = Annotated[Path, typer.Option("--out", "-o", help="Output folder; made if missing.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same pages.")]
Records = Annotated[
    Path | None,
    typer.Option(exists=True, file_okay=False, help="Folder of WFDB records.", show_default="made-up ECGs"),
]
HeldOutRecords = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        help="Folder of WFDB records; half of the pages show those held out.",
        show_default="made-up ECGs",
    ),
]
PageNumbers = Annotated[
    str,
    typer.Option(
        "--pages",
        callback=_page_numbers,
        help="Pages to read of a PDF, TIFF or DICOM file, such as 1,3-5 or 2-.",
        show_default="all",
    ),
]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
PAGE_SECONDS = 120.0
"""That a page may take unless the user says otherwise."""
PageSeconds = Annotated[
    float, typer.Option(callback=positive, help="Time that a page may take, of several pages.")
]
PageMib = Annotated[
    float | None,
    typer.Option(
        callback=positive,
        help="Memory that the process of a page may hold, MiB.",
        show_default="the machine's, shared",
    ),
]
Fs = Annotated[int, typer.Option(min=50, max=10_000, help="Sampling frequency in Hz.")]
Speed = Annotated[
    float | None,
    typer.Option(callback=positive, help="Paper speed in mm/s, if you know it.", show_default="read, or 25"),
]
Gain = Annotated[
    float | None,
    typer.Option(callback=positive, help="Gain in mm/mV, if you know it.", show_default="read, or 10"),
]
MaxMinutes = Annotated[float | None, typer.Option(callback=positive, help="Pause after this time.")]
Dpi = Annotated[
    float | None,
    typer.Option(min=30, callback=positive, help="Resolution.", show_default="100 to 300, drawn"),
]
AllowTrained = Annotated[
    bool,
    typer.Option(
        "--allow-trained", help="Score records too that the networks were, or may have been, trained on."
    ),
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        callback=_verbose,
        help="Show what each stage found; -vv with every limit that rejected something.",
    ),
]
LayoutName = Annotated[
    str | None,
    typer.Option(
        "--layout",
        help="Layout, if you know it: a shape, + and the number of rhythm strips, -cabrera; e.g. 3x4+1, 6x2, "
        "12x1-cabrera.",
        show_default="found",
    ),
]
LeadRows = Annotated[
    str | None,
    typer.Option(
        "--leads",
        help="Leads as they are printed, if you know them: from left to right, / between rows; e.g. "
        '"I aVR V1 V4 / II aVL V2 V5 / III aVF V3 V6 / II".',
        show_default="found",
    ),
]
WeightsFolder = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        exists=True,
        file_okay=False,
        help="Folder of exported networks to use in place of the shipped ones of the same names.",
        show_default="the shipped ones",
    ),
]
MovedPages = Annotated[
    list[Path] | None,
    typer.Option(
        "--pages",
        exists=True,
        help="Folder or file with the pages, where they have moved; may be given several times.",
        show_default="where they were read",
    ),
]
