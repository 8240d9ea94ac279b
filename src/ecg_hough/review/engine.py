"""Pages that are open, and corrections of them: checked, computed, and only then written into the log.

In: the folder's pages and the store. Out: `Corrected` of a page at its last version. A page is read once,
when it is first opened; the last few stay in memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ecg_hough.document import stacked
from ecg_hough.elements import Window
from ecg_hough.errors import PageError
from ecg_hough.image.reading import Picture, read_page
from ecg_hough.networks.runtime import use_weights
from ecg_hough.output.ecg import Ecg
from ecg_hough.review.corrected import Corrected, corrected, index_of, span_mm
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
    undone,
)
from ecg_hough.review.library import PageEntry, Pages
from ecg_hough.review.places import How
from ecg_hough.review.reading import Reading
from ecg_hough.review.store import ConflictError, Store, now
from ecg_hough.traces.redraw import redraw

OPEN_MAX = 4
"""Pages that stay in memory: 200 MB each where the picture has 12 megapixels."""
OF_SEVERAL = (
    "this record is of several pages: it can be accepted or rejected, not corrected; to correct it, read each"
    " of its pages by itself into another folder, with predict --pages 1, then --pages 2, and review that"
)
KEPT_EVERY = 4
"""Read-outs, a sixteenth of a millimetre, of which one is kept in the log of what was there before."""
SAME_MV = 0.002
"""Greatest difference between the record as written, in steps of 1 µV, and the page as read now."""


@dataclass
class OpenPage:
    """A page in memory.

    Attributes:
        entry: what it is; reading: of the machine; None of a record of several pages, whose traces are not
            corrected.
        picture: what is shown; saved: the record as written.
        lock: held by who computes on it.
    """

    entry: PageEntry
    reading: Reading | None
    picture: Picture
    saved: Ecg | None
    lock: threading.Lock = field(default_factory=threading.Lock)
    _last: tuple[tuple[int, ...], Corrected] | None = None

    @cached_property
    def differs(self) -> bool:
        """Whether the page is read otherwise now than when its record was written, by another version."""
        if self.saved is None or self.reading is None:
            return False
        signals, written = corrected(self.reading).record.signals, self.saved.signals
        if signals.shape != written.shape:
            return True
        both = np.isfinite(signals) & np.isfinite(written)
        far = np.abs(signals - written)[both]
        return bool(far.size and far.max() > SAME_MV) or int(both.sum()) != int(np.isfinite(signals).sum())

    def corrected(self, log: tuple[Entry, ...]) -> Corrected:
        """The page with a log's corrections; the last one is kept.

        Raises:
            PageError: it cannot be read with them.
            ValueError: it is a record of several pages.
        """
        if self.reading is None:
            raise ValueError(OF_SEVERAL)
        key = tuple(entry.version for entry in in_force(log))
        if self._last is None or self._last[0] != key:
            self._last = (key, corrected(self.reading, log))
        return self._last[1]


def reading_of(path: Path, number: int = 1, how: How | None = None, saved: Ecg | None = None) -> Reading:
    """The reading of a page of a file, of which only the picture is decoded yet.

    Raises:
        PageError: the page cannot be read.
    """
    return Reading(read_page(path, number), how or How(), saved)


class Engine:
    """Corrects the pages of a folder.

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
        if len(entry.numbers) > 1:
            picture = Picture(stacked(path, entry.numbers), path.name)
            return OpenPage(entry, None, picture, saved)
        how = How.of(entry.request, saved)
        use_weights(how.weights)
        reading = reading_of(path, entry.numbers[0], how, saved)
        return OpenPage(entry, reading, reading.picture, saved)

    def now(self, page_id: int) -> tuple[Corrected, tuple[Entry, ...]]:
        """A page with all of its log, and the log.

        Raises:
            PageError, ValueError, KeyError: see `open` and `OpenPage.corrected`.
        """
        page, log = self.open(page_id), self.store.log(page_id)
        with page.lock:
            return page.corrected(log), log

    def correct(self, page_id: int, seen: int, who: str, correction: Correction) -> Entry:
        """Compute a correction and write it into the log.

        Args:
            seen: version of the page that the person saw.

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
            before, after = self._around(page, log, correction)
            page.corrected((*log, Entry(seen + 1, who, now(), correction, before, after)))
            return self.store.append(page_id, seen, who, correction, before, after)

    def _around(
        self, page: OpenPage, log: tuple[Entry, ...], correction: Correction
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What was there before a correction, and what is found by it."""
        if isinstance(correction, Undo):
            return {"version": in_force(log)[-1].version}, {}
        if isinstance(correction, Redo):
            return {"version": undone(log)[-1].version}, {}
        try:
            state = page.corrected(log)
        except PageError:  # a page that is not read yet
            return {}, {}
        after = _redrawn(state, correction) if isinstance(correction, Redraw) else {}
        return before_of(state, correction), after


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
