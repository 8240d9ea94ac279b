"""The package's own reader of pages, for batches. In: a path. Out: the record, or `PageError`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ecg_hough.batch.lineage import PageReader
from ecg_hough.document import PagesRead, read_document, stacked
from ecg_hough.documents.pages import parse_pages
from ecg_hough.header.redact import redacted
from ecg_hough.image.reading import read_page
from ecg_hough.networks.canvas import CANVAS_PX
from ecg_hough.networks.runtime import check_weights, load_ahead, use_weights
from ecg_hough.options import HEADER_LEVELS, READOUTS, HeaderLevel, check_arguments
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import FS_HZ, given_layout

FIRST_SHAPES: dict[str, tuple[int, ...] | None] = {
    "leads": (1, 3, CANVAS_PX, CANVAS_PX),
    "words": None,
    "marks": None,
    "traces": (1, 5, 256, 576),
}
"""What the networks see of a usual page, in the order in which they are needed."""
Readout = Literal["trace", "centroid"]


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
        layout, leads: what is known of the arrangement, see `paper.given_layout`.
        weights: folder of exported networks that replace shipped ones of the same names.
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
    layout: str | None = None
    leads: str | None = None
    weights: Path | None = None

    def __post_init__(self) -> None:
        if self.readout not in READOUTS:
            raise ValueError(f"readout must be {' or '.join(READOUTS)}; got {self.readout!r}")
        if self.header not in HEADER_LEVELS:
            raise ValueError(f"header must be {' or '.join(HEADER_LEVELS)}; got {self.header!r}")
        if self.redact and self.header == "all":
            raise ValueError("header must be measurements or none where names are redacted; got 'all'")
        check_arguments(fs=self.fs, speed_mm_s=self.speed_mm_s, gain_mm_mv=self.gain_mm_mv)
        parse_pages(self.pages)
        given_layout(self.layout, self.leads)
        if self.weights is not None:
            check_weights(self.weights)

    def __call__(self, path: Path, number: int = 1) -> Ecg:
        ecg = self._read(path, number)
        return ecg.measured() if self.measure else ecg

    def _read(self, path: Path, number: int) -> Ecg:
        # The networks that it loads stay loaded in this process; they load while the rest is imported.
        use_weights(self.weights)
        load_ahead(FIRST_SHAPES)
        from ecg_hough.pipeline import digitize

        return digitize(
            path,
            number,
            fs=self.fs,
            speed_mm_s=self.speed_mm_s,
            gain_mm_mv=self.gain_mm_mv,
            header=self.header,
            layout=self.layout,
            leads=self.leads,
            options=READOUTS[self.readout],
        )

    def document(self, path: Path) -> tuple[PagesRead, ...]:
        """Every page of a file that is asked for; see `document.read_document`."""
        parts = read_document(path, lambda number: self._read(path, number), parse_pages(self.pages))
        if not self.measure:
            return parts
        # Pages of one recording are measured together.
        return tuple(part if part.ecg is None else replace(part, ecg=part.ecg.measured()) for part in parts)

    def options(self) -> dict[str, Any]:
        return asdict(self) | {"weights": None if self.weights is None else str(self.weights)}

    def sources(self, path: Path) -> Sequence[Path]:
        # The cards name the networks by their sha256.
        return () if self.weights is None else sorted(self.weights.glob("*.json"))


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


def digitizer_of(options: dict[str, Any]) -> Digitizer:
    """The reader of a plan that was made for `Digitizer`, from the plan's options.

    Raises:
        ValueError: they are another reader's.
    """
    weights = options.get("weights")
    try:
        return Digitizer(**options | {"weights": None if weights is None else Path(weights)})
    except TypeError as error:
        raise ValueError(f"the plan must be one for this program's reader; got {options}") from error
