"""What reads one page of a batch, and of which code and weights a result was made.

In: a path. Out: the record, or `PageError`. Results are known again by options, versions and own files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

import ecg_hough
from ecg_hough.document import PagesRead, read_document, stacked
from ecg_hough.documents.pages import parse_pages
from ecg_hough.header.redact import redacted
from ecg_hough.image.reading import read_page
from ecg_hough.options import HEADER_LEVELS, READOUTS, HeaderLevel, check_arguments
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import FS_HZ

CODE_FOLDER = Path(__file__).parents[1]
WEIGHTS_FOLDER = CODE_FOLDER / "networks" / "weights"
OTHER_ROOMS = ("batch", "render", "datasets", "scores", "training", "cli")
"""Rooms of the package whose code changes neither what is read from a page nor what is written for it."""

Readout = Literal["trace", "centroid"]


class PageReader(Protocol):
    """What reads one page: the package's own `Digitizer`, or another system's method.

    With several processes it is sent to each of them, so it must be picklable: a frozen dataclass at the top
    of a module is.
    """

    def __call__(self, path: Path) -> Ecg:
        """Read the page; `PageError` where it cannot be read."""

    def options(self) -> dict[str, Any]:
        """What it takes as known of the pages, and how it reads them; ready for JSON."""

    def sources(self, path: Path) -> Sequence[Path]:
        """Files that decide the record besides the page and this package: own code, masks of the page."""


@dataclass(frozen=True)
class Digitizer:
    """Reads a page with `pipeline.digitize`; the attributes are its arguments.

    Attributes:
        fs: sampling frequency of the record, Hz.
        speed_mm_s, gain_mm_mv: paper speed and gain; None takes them from the page or the standard.
        readout: "trace", or "centroid" for the column-centroid baseline.
        pages: of a file of several, such as "1,3-5"; "" reads all.
        header: what is read of the printed header: "none", "measurements" or "all".
        redact: whether overlays show the page without names, see `header.redact`; patient and time are then
            not read.
        measure: whether heart rate, intervals, axes and amplitudes are measured on the record.
    Raises:
        ValueError: a bad argument.
    """

    fs: int = FS_HZ
    speed_mm_s: float | None = None
    gain_mm_mv: float | None = None
    readout: Readout = "trace"
    pages: str = ""
    header: HeaderLevel = "none"
    measure: bool = False
    redact: bool = False

    def __post_init__(self) -> None:
        if self.readout not in READOUTS:
            raise ValueError(f"readout must be {' or '.join(READOUTS)}; got {self.readout!r}")
        if self.header not in HEADER_LEVELS:
            raise ValueError(f"header must be {' or '.join(HEADER_LEVELS)}; got {self.header!r}")
        if self.redact and self.header == "all":
            raise ValueError("header must be measurements or none where names are redacted; got 'all'")
        check_arguments(fs=self.fs, speed_mm_s=self.speed_mm_s, gain_mm_mv=self.gain_mm_mv)
        parse_pages(self.pages)

    def __call__(self, path: Path, number: int = 1) -> Ecg:
        # The networks that it loads stay loaded in this process.
        from ecg_hough.pipeline import digitize

        ecg = digitize(
            path,
            number,
            fs=self.fs,
            speed_mm_s=self.speed_mm_s,
            gain_mm_mv=self.gain_mm_mv,
            header=self.header,
            options=READOUTS[self.readout],
        )
        return ecg.measured() if self.measure else ecg

    def document(self, path: Path) -> tuple[PagesRead, ...]:
        """Every page of a file that is asked for; see `document.read_document`."""
        parts = read_document(path, lambda number: self(path, number), parse_pages(self.pages))
        if not self.measure:
            return parts
        # Pages of one recording are measured together.
        return tuple(part if part.ecg is None else replace(part, ecg=part.ecg.measured()) for part in parts)

    def options(self) -> dict[str, Any]:
        return asdict(self)

    def sources(self, path: Path) -> Sequence[Path]:
        return ()


SHIPPED_READER = Digitizer()


def picture_of(read: PageReader, path: Path, pages: tuple[int, ...], ecg: Ecg) -> NDArray[np.uint8]:
    """What overlays are drawn on, (rows, cols, 3) uint8 RGB: the pages, without names if that was asked for.

    Raises:
        PageError: they cannot be read, or their rows are not known.
    """
    image = stacked(path, pages)
    if not (isinstance(read, Digitizer) and read.redact):
        return image
    drawing = read_page(path, pages[0]).drawing if len(pages) == 1 else None
    return redacted(image, ecg, words=() if drawing is None else drawing.words)


def read_file(read: PageReader, path: Path) -> tuple[PagesRead, ...]:
    """What a reader makes of a file: all its pages, or the one that other systems' methods read.

    Raises:
        PageError: the file cannot be read.
    """
    document = getattr(read, "document", None)
    return document(path) if document is not None else (PagesRead((1,), read(path)),)


def versions() -> dict[str, str]:
    """The package, and hashes of the code that reads and writes a page and of the weights.

    The version alone stays the same while the code is worked on, and a benchmark must not score the files of
    older code. Code that only renders, trains, scores or prints changes no page.
    """
    weights = sorted(path for path in WEIGHTS_FOLDER.glob("*") if path.is_file())
    return {
        "ecg_hough": ecg_hough.__version__,
        "code": digest_of(page_code(CODE_FOLDER), CODE_FOLDER),
        "weights": digest_of(weights, WEIGHTS_FOLDER),
    }


def page_code(folder: Path) -> list[Path]:
    """Modules of the package in `folder` that read and write a page: all but `OTHER_ROOMS`."""
    modules = (path.relative_to(folder) for path in folder.rglob("*.py"))
    return sorted(folder / one for one in modules if one.parts[0] not in (*OTHER_ROOMS, "__init__.py"))


def digest_of(paths: Iterable[Path], folder: Path) -> str:
    """First digits of the sha256 of files' names, relative to `folder`, and contents."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
