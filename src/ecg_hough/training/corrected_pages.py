"""Pages of a review from which networks may learn: what people left of them.

In: a review. Out: `CorrectedPage`s with the record that a person accepted or corrected, and files of
`row_truth.KnownPage`. A page counts where a person accepted it, or corrected it and did not reject it. A
quarter of them, by the hash of the page, is held out: it is never trained on, in no later run either. Pages
of one recording are held out together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import RowTrace
from ecg_hough.errors import PageError
from ecg_hough.layout.sheet import Sheet
from ecg_hough.networks.runtime import use_weights
from ecg_hough.review.corrected import Corrected, corrected, span_mm
from ecg_hough.review.corrections import TraceCorrection, of_page
from ecg_hough.review.engine import Engine
from ecg_hough.review.library import PageEntry
from ecg_hough.review.places import How
from ecg_hough.review.store import Standing
from ecg_hough.traces.masks import row_masks
from ecg_hough.training.row_truth import KnownPage, RowTruth

HELD_OUT_OF = 4
"""One page of so many is held out."""
VAGUE_MM = 0.2
"""Expected error from which a place is not learnt: where no ink was seen, and the stroke alone is known."""
SHORT = 16
"""Read-outs, a millimetre, below which a stretch is not learnt."""


@dataclass(frozen=True)
class CorrectedPage:
    """A page as a person left it.

    Attributes:
        stem: of its record; key: of the page and of what was done to it; path, number: where it is.
        how: it was read.
        signals: (12, N) mV at how.fs, as the person left them; touched: which leads the person changed.
        held_out: never trained on.
    """

    stem: str
    key: str
    path: Path
    number: int
    how: How
    signals: NDArray[np.float64]
    touched: NDArray[np.bool_]
    held_out: bool

    @cached_property
    def is_corrected(self) -> bool:
        """Whether a person changed a lead."""
        return bool(self.touched.any())


def is_learnt(standing: Standing) -> bool:
    """Whether pages of a record count: accepted, or corrected and not rejected."""
    decision = standing.decision.decision
    return decision == "accepted" or (decision == "open" and standing.version > 0)


def is_held_out(entry: PageEntry) -> bool:
    """Whether a record's pages are held out, by the hash of its file and their numbers."""
    digest = hashlib.sha256(f"{entry.sha256}:{entry.numbers}".encode()).digest()
    return digest[0] % HELD_OUT_OF == 0


def pages_of(
    engine: Engine, folder: Path, on_progress: Callable[[int, int], object] = lambda done, n: None
) -> tuple[list[CorrectedPage], dict[str, str]]:
    """The pages of a review that count, and why others do not.

    Args:
        folder: gets a file of `KnownPage` for every page that is not held out, see `file_of`; one that is
            there already, of the same corrections, stays.
    Returns:
        The pages, and by stem the reason of those that cannot be read.
    """
    standings = engine.store.standings(list(engine.entries))
    chosen = [number for number, entry in engine.entries.items() if is_learnt(standings[number])]
    pages, without = [], {}
    try:
        for k, page_id in enumerate(chosen):
            entry = engine.entries[page_id]
            try:
                pages += _pages_of(engine, page_id, folder)
            except (PageError, ValueError) as error:
                without[entry.stem] = str(error)
            on_progress(k + 1, len(chosen))
    finally:
        use_weights(None)
    return pages, without


def file_of(page: CorrectedPage, folder: Path) -> Path:
    """Where a page's `KnownPage` is kept."""
    return folder / f"{page.key}.npz"


def _pages_of(engine: Engine, page_id: int, folder: Path) -> list[CorrectedPage]:
    """The pages of a record that count: of one that nobody accepted those that were corrected."""
    opened = engine.open(page_id)
    entry, path = opened.entry, engine.library.file_of(opened.entry)
    log, decision = engine.store.log(page_id), engine.store.standing(page_id).decision
    pages = []
    for number, reading in opened.readings.items():
        own = of_page(log, number)
        if not own and decision.decision != "accepted":
            continue
        use_weights(reading.how.weights)
        state = corrected(reading, own)
        touched = np.array([one.status == "corrected" for one in state.record.lead_status])
        key = hashlib.sha256(f"{entry.sha256}:{(number,)}".encode())
        key.update(repr(state.wishes).encode())
        page = CorrectedPage(
            entry.stem, key.hexdigest()[:32], path, number, reading.how,
            np.asarray(state.record.signals, np.float64), touched, is_held_out(entry),
        )  # fmt: skip
        if not page.held_out and not file_of(page, folder).is_file():
            known = known_page(state)
            if known is not None:
                folder.mkdir(parents=True, exist_ok=True)
                known.save(file_of(page, folder))
        pages.append(page)
    return pages


def known_page(state: Corrected) -> KnownPage | None:
    """The rows of a corrected page as truth; None where none is read, or the page holds its own paths."""
    sheet = state.found.sheet
    if any(row.drawn for row in state.found.rows.traces):
        return None  # samples of a PDF are no pixels that are read
    indices = sorted({panel.row_index for panel in sheet.layout.panels})
    masks = row_masks(sheet.probabilities, sheet.layout)
    rows: list[RowTruth] = []
    seen: list[NDArray[np.float32]] = []
    places: list[tuple[int, float, float]] = []
    for row in state.rows:
        truth = _truth(row, sheet)
        if truth is None or row.row_index not in indices:
            continue
        for entry in state.wishes.traces:
            assert isinstance(entry.correction, TraceCorrection)
            if entry.correction.row == row.row_index:
                places.append((len(rows), *span_mm(entry.correction, state.found)))
        rows.append(truth)
        seen.append(masks[indices.index(row.row_index)])
    if not rows:
        return None
    eight_bits = np.round(255 * np.clip(np.stack(seen), 0, 1)).astype(np.uint8)
    return KnownPage(sheet.image, sheet.page_map, tuple(rows), (sheet.canvas, eight_bits), tuple(places))


def _truth(row: RowTrace, sheet: Sheet) -> RowTruth | None:
    """A row's stretches that are read; None without any."""
    known = np.isfinite(row.y_mm)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(int), [0]])))
    spans = [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= SHORT]
    if not spans:
        return None
    r, c = sheet.page_map.to_pixels(np.nan_to_num(row.y_mm), row.x_mm)
    height, width = sheet.image.shape[:2]
    inside = (r > 0) & (r < height - 1) & (c > 0) & (c < width - 1)
    vague = ~(row.sd_mm < VAGUE_MM)
    x_mm, y_mm = (tuple(values[span] for span in spans) for values in (row.x_mm, row.y_mm))
    seen, unsure = (tuple(values[span] for span in spans) for values in (inside, vague))
    return RowTruth(x_mm, y_mm, seen, unsure)
