"""Pages that are open, and corrections of them: checked, computed, and only then written into the log.

In: the folder's pages and the store. Out: `CorrectedRecord`s at their last version. A record's pages are read
once, when it is first opened; the last few records stay in memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ecg_hough.elements import Window
from ecg_hough.errors import PageError
from ecg_hough.image.reading import read_page
from ecg_hough.networks.runtime import use_weights
from ecg_hough.output.ecg import Ecg
from ecg_hough.review.corrected import (
    Corrected,
    CorrectedRecord,
    corrected,
    index_of,
    joined,
    saved_page,
    span_mm,
)
from ecg_hough.review.corrections import (
    Correction,
    Edge,
    Entry,
    Gain,
    HeaderValues,
    LayoutGiven,
    Names,
    Pitch,
    Redo,
    Redraw,
    Reread,
    Speed,
    TraceCorrection,
    Undo,
    Zero,
    in_force,
    of_page,
    undone,
)
from ecg_hough.review.library import PageEntry, Pages
from ecg_hough.review.places import How
from ecg_hough.review.reading import Reading
from ecg_hough.review.store import ConflictError, Store, now
from ecg_hough.traces.redraw import redraw

OPEN_MAX = 4
"""Records that stay in memory: 200 MB for each of their pages where its picture has 12 megapixels."""
KEPT_EVERY = 4
"""Read-outs, a sixteenth of a millimetre, of which one is kept in the log of what was there before."""
SAME_MV = 0.002
"""Greatest difference between the record as written, in steps of 1 µV, and the page as read now."""


@dataclass
class OpenPage:
    """A page in memory, or the pages of one record.

    Attributes:
        entry: what it is; readings: of the machine, by the page's number in the file.
        saved: the record as written.
        lock: held by who computes on it.
    """

    entry: PageEntry
    readings: dict[int, Reading]
    saved: Ecg | None
    lock: threading.Lock = field(default_factory=threading.Lock)
    _last: dict[int, tuple[tuple[int, ...], Corrected]] = field(default_factory=dict)

    @cached_property
    def differs(self) -> bool:
        """Whether the page is read otherwise now than when its record was written, by another version."""
        if self.saved is None:
            return False
        signals, written = self.corrected(()).record.signals, self.saved.signals
        if signals.shape != written.shape:
            return True
        both = np.isfinite(signals) & np.isfinite(written)
        far = np.abs(signals - written)[both]
        return bool(far.size and far.max() > SAME_MV) or int(both.sum()) != int(np.isfinite(signals).sum())

    def corrected(self, log: tuple[Entry, ...]) -> CorrectedRecord:
        """The record with a log's corrections; what last came of each page is kept.

        Raises:
            PageError: a page cannot be read with them.
            ValueError: they do not fit a page.
        """
        pages = {number: self._page(number, of_page(log, number)) for number in self.readings}
        heights = {number: one.picture.image.shape[0] for number, one in self.readings.items()}
        return joined(pages, heights, log)

    def _page(self, number: int, log: tuple[Entry, ...]) -> Corrected:
        key = tuple(entry.version for entry in log)
        if number not in self._last or self._last[number][0] != key:
            try:
                self._last[number] = (key, corrected(self.readings[number], log))
            except PageError as error:
                if len(self.readings) == 1:
                    raise
                raise PageError(error.stage, f"page {number}: {error.message}") from error
        return self._last[number][1]


def reading_of(path: Path, number: int = 1, how: How | None = None, saved: Ecg | None = None) -> Reading:
    """The reading of a page of a file, of which only the picture is decoded yet.

    Raises:
        PageError: the page cannot be read.
    """
    return Reading(read_page(path, number), how or How(), saved)


class Engine:
    """Corrects the pages of a folder. A record of several pages has one log and one version.

    Args:
        library: the folder's pages; store: their logs.
    """

    def __init__(self, library: Pages, store: Store) -> None:
        self.library, self.store = library, store
        self.entries: dict[int, PageEntry] = {}
        self.refresh()
        self._open: OrderedDict[int, OpenPage] = OrderedDict()
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Take in pages that are new, and forget those that are gone."""
        known = {(entry.stem, entry.sha256): number for number, entry in self.entries.items()}
        self.entries = {
            known.get((entry.stem, entry.sha256)) or self.store.page_id(entry.stem, entry.sha256): entry
            for entry in self.library.entries
        }

    def open(self, page_id: int) -> OpenPage:
        """A page in memory; its picture is decoded where it is not there yet.

        Raises:
            KeyError: no such page.
            PageError: its file is not found, or cannot be read.
        """
        with self._lock:
            if page_id in self._open:
                self._open.move_to_end(page_id)
                return self._open[page_id]
            page = self._opened(self.entries[page_id])
            self._open[page_id] = page
            while len(self._open) > OPEN_MAX:
                self._open.popitem(last=False)
            return page

    def _opened(self, entry: PageEntry) -> OpenPage:
        path, saved = self.library.file_of(entry), self.library.record(entry)
        how = How.of(entry.request, saved)
        use_weights(how.weights)
        readings = {
            number: reading_of(path, number, how, saved_page(saved, number)) for number in entry.numbers
        }
        return OpenPage(entry, readings, saved)

    def now(self, page_id: int) -> tuple[CorrectedRecord, tuple[Entry, ...]]:
        """A record with all of its log, and the log.

        Raises:
            PageError, ValueError, KeyError: see `open` and `OpenPage.corrected`.
        """
        page, log = self.open(page_id), self.store.log(page_id)
        with page.lock:
            return page.corrected(log), log

    def correct(
        self, page_id: int, seen: int, who: str, correction: Correction, number: int | None = None
    ) -> Entry:
        """Compute a correction and write it into the log.

        Args:
            seen: version of the page that the person saw.
            number: in the file, of the page that it concerns; of a record of several pages it must be given,
                but for what is said of the whole record.

        Raises:
            ConflictError: another person corrected it since.
            PageError: the page cannot be read with it; nothing is written.
            ValueError: it does not fit the page; nothing is written.
        """
        page, log = self.open(page_id), self.store.log(page_id)
        if len(log) != seen:
            raise ConflictError(len(log), log[-1].who if log else "")
        with page.lock:
            if isinstance(correction, Undo) and not in_force(log):
                raise ValueError("there is nothing to undo")
            if isinstance(correction, Redo) and not undone(log):
                raise ValueError("there is nothing to redo")
            number = _concerned(page.entry, log, correction, number)
            before, after = self._around(page, log, correction, number)
            page.corrected((*log, Entry(seen + 1, who, now(), correction, before, after, number)))
            return self.store.append(page_id, seen, who, correction, before, after, number)

    def _around(
        self, page: OpenPage, log: tuple[Entry, ...], correction: Correction, number: int | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What was there before a correction, and what is found by it."""
        if isinstance(correction, Undo):
            return {"version": in_force(log)[-1].version}, {}
        if isinstance(correction, Redo):
            return {"version": undone(log)[-1].version}, {}
        try:
            state = page.corrected(log).pages[number or page.entry.numbers[0]]
        except PageError:  # a page that is not read yet
            return {}, {}
        after = _redrawn(state, correction) if isinstance(correction, Redraw) else {}
        return before_of(state, correction), after


def _concerned(
    entry: PageEntry, log: tuple[Entry, ...], correction: Correction, number: int | None
) -> int | None:
    """The page that a correction concerns, see `Entry.number`.

    Raises:
        ValueError: the record has no such page.
    """
    if len(entry.numbers) == 1 or isinstance(correction, HeaderValues):
        return None
    if isinstance(correction, Undo):
        return in_force(log)[-1].number
    if isinstance(correction, Redo):
        return undone(log)[-1].number
    if number not in entry.numbers:
        raise ValueError(f"number must be one of {', '.join(map(str, entry.numbers))}; got {number}")
    return number


def _redrawn(state: Corrected, correction: Redraw) -> dict[str, Any]:
    """Places in the ink along a stroke, px, and their expected errors, mm."""
    stroke = state.found.to_mm(np.array(correction.stroke, float))
    row = redraw(state.found.sheet, state.rows, correction.row, stroke, snap=correction.snap)
    low, high = span_mm(correction, state.found)
    here = (row.x_mm >= low) & (row.x_mm <= high)
    points = state.found.to_px(np.column_stack([row.y_mm, row.x_mm])[here])
    return {"points": np.round(points, 2).tolist(), "sd_mm": np.round(row.sd_mm[here], 4).tolist()}


def before_of(state: Corrected, correction: Correction) -> dict[str, Any]:
    """What a correction replaces, ready for JSON."""
    record, wishes = state.record, state.wishes
    match correction:
        case Names():
            leads = {f"{w.row_index}.{w.column_index}": w.lead for w in state.base.columns.windows}
            return {key: leads.get(key, "") for key in correction.names}
        case LayoutGiven():
            return {"layout": record.layout}
        case Edge():
            at = wishes.edges.get(correction.column)
            return {} if at is None else {"at": list(at)}
        case Speed():
            return {"mm_s": record.speed_mm_s}
        case Gain():
            return {"mm_mv": record.chest_gain_mm_mv if correction.group == "chest" else record.gain_mm_mv}
        case Pitch():
            down, across = record.px_per_mm or state.found.sheet.page_map.px_per_mm
            return {"down": down, "across": across}
        case Zero():
            row, column = (int(one) for one in correction.panel.split("."))
            lead = _lead_at(state, row, column=column)
            return {"down_mm": wishes.zeros_mm.get((row, column), 0.0), "lead": lead}
        case TraceCorrection():
            return _trace_before(state, correction)
        case Reread():
            return wishes.part.what
        case HeaderValues():
            return {"values": {name: wishes.header.get(name) for name in correction.values}}
    return {}


def _trace_before(state: Corrected, correction: TraceCorrection) -> dict[str, Any]:
    row = state.rows[index_of(state.rows, correction.row)]
    low, high = span_mm(correction, state.found)
    here = (row.x_mm >= low) & (row.x_mm <= high) & np.isfinite(row.y_mm)
    points = state.found.to_px(np.column_stack([row.y_mm, row.x_mm])[here][::KEPT_EVERY])
    lead = _lead_at(state, correction.row, at_mm=0.5 * (low + high))
    return {"points": np.round(points, 2).tolist(), "lead": lead}


def _lead_at(
    state: Corrected, row: int, *, column: int | None = None, at_mm: float | None = None
) -> str | None:
    """Lead of a panel of a row, by its column or by a place along the page."""

    def is_it(w: Window) -> bool:
        by_place = at_mm is not None and w.start_mm <= at_mm < w.end_mm
        return w.row_index == row and (by_place or w.column_index == column)

    return next((w.lead for w in state.base.columns.windows if is_it(w)), None)
