"""A page's record with a person's corrections: a pure function of the machine's reading and the page's log.

In: a page's reading and the log. Out: `Corrected`, and of several pages that are one recording
`CorrectedRecord`. The machine's reading is unchanged: every correction is applied to a copy of the stage's
result that it touches, and the later stages compute again. Every page is corrected by itself; the record is
merged again, as when the pages were first read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ecg_hough.assembly import record_of, versions_of
from ecg_hough.clinical import QUANTITIES, Header, Measurement, Patient
from ecg_hough.cores import one_blas_thread
from ecg_hough.document import merged, warnings_of
from ecg_hough.elements import RowTrace, TimeBase, Window
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import CHEST_LEADS, LEADS
from ecg_hough.record import LeadStatus
from ecg_hough.review.corrections import (
    HEADER_TEXTS,
    NO_LEAD,
    Entry,
    Nudge,
    Redraw,
    Restore,
    TraceCorrection,
    Unreadable,
    Wishes,
    in_force,
    wishes_of,
)
from ecg_hough.review.places import Found, PageReading, Placed
from ecg_hough.signals.calibrate import Calibrated, calibrate
from ecg_hough.traces.redraw import with_reach

TOUCH_MM = 1.0
"""Panels whose ends are nearer than this share an edge: both move with it."""


@dataclass(frozen=True)
class Corrected:
    """What came of a page.

    Attributes:
        record: of the page; wishes: of the log that it was made from.
        found: where the page is in its picture; rows: its traces, corrected.
        base: panels, scale and time, corrected; zeros_mm: of panels, by row and column.
    """

    record: Ecg
    wishes: Wishes
    found: Found
    rows: tuple[RowTrace, ...]
    base: TimeBase
    zeros_mm: dict[tuple[int, int], float]


@dataclass(frozen=True)
class CorrectedRecord:
    """What came of a record.

    Attributes:
        record: of all pages; pages: each by its number in the file.
    """

    record: Ecg
    pages: dict[int, Corrected]


def corrected(reading: PageReading, log: Iterable[Entry] = ()) -> Corrected:
    """The record of a page with a log's corrections.

    Raises:
        PageError: the page cannot be read with them.
        ValueError: they do not fit the page.
    """
    return _corrected(reading, wishes_of(log))


def joined(
    pages: Mapping[int, Corrected], heights_px: Mapping[int, int], log: Iterable[Entry]
) -> CorrectedRecord:
    """The record of corrected pages.

    Args:
        pages: by their number in the file, in their order; heights_px: of their pictures.
        log: of the record.
    """
    first = next(iter(pages.values())).record
    if len(pages) == 1:
        return CorrectedRecord(first, dict(pages))

    def with_next(record: Ecg, number: int) -> Ecg:
        return merged(record, pages[number].record, sum(heights_px[one] for one in record.pages))

    record = reduce(with_next, list(pages)[1:], first)
    people = tuple(dict.fromkeys(entry.who for entry in in_force(log)))
    return CorrectedRecord(
        replace(
            record,
            warnings=(*_disagreements(pages), *record.warnings),
            seconds=first.seconds,  # of the record as written, which every page has
            corrected_by=people,
        ),
        dict(pages),
    )


def saved_page(saved: Ecg | None, number: int) -> Ecg | None:
    """A record as written, with the warnings of one of its pages alone."""
    return None if saved is None else replace(saved, warnings=warnings_of(saved, number))


def _disagreements(pages: Mapping[int, Corrected]) -> tuple[str, ...]:
    """What corrections made of the pages that no pages of one recording have."""
    out = []
    records = [page.record for page in pages.values()]
    found = [{status.lead for status in record.lead_status if status.found} for record in records]
    twice = [lead for lead in LEADS if sum(lead in leads for leads in found) > 1]
    if twice:
        out.append(f"layout: more than one page shows {', '.join(twice)}; that of the last one is taken")
    speeds = {number: page.record.speed_mm_s for number, page in pages.items()}
    if len(set(speeds.values())) > 1:
        said = ", ".join(f"{speed:g} mm/s on page {number}" for number, speed in speeds.items())
        out.append(f"scale: the pages of one recording have the same paper speed; here {said}")
    return tuple(out)


def _corrected(reading: PageReading, wishes: Wishes) -> Corrected:
    found = reading.found(wishes.part)
    placed = reading.placed(wishes.part, wishes.layout, wishes.speed_mm_s)
    with one_blas_thread():
        rows = found.rows.beside_bars
        for entry in wishes.traces:
            rows = with_trace(rows, entry, found)
        base = corrected_base(placed, wishes, found)
        result = calibrate(
            rows,
            base,
            fs=reading.how.fs,
            fused_leads=reading.how.options.lead_fusion,
            zeros_moved_mm=wishes.zeros_mm,
        )
    touched = touched_leads(wishes, placed.base, base, found)
    result = replace(result, statuses=_statuses(result, touched, reading.saved))
    record = _record(reading, found, placed, wishes, (rows, base, result))
    record = replace(record, warnings=_warnings(reading, record, wishes))
    return Corrected(record, wishes, found, rows, base, result.zeros_mm)


def _record(
    reading: PageReading,
    found: Found,
    placed: Placed,
    wishes: Wishes,
    stages: tuple[tuple[RowTrace, ...], TimeBase, Calibrated],
) -> Ecg:
    """The record with all that a person said of it."""
    rows, base, result = stages
    scale = placed.scale
    limb = wishes.limb_mm_mv or scale.gain_mm_mv
    chest = wishes.chest_mm_mv or scale.chest_gain_mm_mv
    scale = replace(
        scale,
        gain_mm_mv=limb,
        chest_gain_mm_mv=chest,
        gain_from=scale.gain_from if wishes.limb_mm_mv is None else "given",
    )
    record = record_of(
        reading.picture, found.sheet, rows, base, scale, result, versions=versions_of(reading.how.options),
        seconds={},
    )  # fmt: skip
    pitch = wishes.pitch
    saved = reading.saved
    return replace(
        record,
        px_per_mm=record.px_per_mm if pitch is None else (pitch.down, pitch.across),
        quarter_turns=(record.quarter_turns + found.turns) % 4,
        traces=tuple(
            replace(trace, points=found.on_picture(trace.points.astype(np.float64)))
            for trace in record.traces
        ),
        header=with_header_values(None if saved is None else saved.header, wishes.header),
        measurements=() if saved is None or wishes.people else saved.measurements,
        seconds={} if saved is None else saved.seconds,
        source=record.source if saved is None else saved.source,
        corrected_by=wishes.people,
    )


def _warnings(reading: PageReading, record: Ecg, wishes: Wishes) -> tuple[str, ...]:
    """Warnings of the stages, and those of the record as written that come from elsewhere, as from its
    header."""
    if reading.saved is None:
        return record.warnings
    if wishes == Wishes():
        reading.own_warnings = record.warnings
        return reading.saved.warnings
    if reading.own_warnings is None:
        _corrected(reading, Wishes())
    others = (one for one in reading.saved.warnings if one not in (reading.own_warnings or ()))
    return (*record.warnings, *others)


def _statuses(result: Calibrated, touched: frozenset[str], saved: Ecg | None) -> tuple[LeadStatus, ...]:
    """The leads' statuses: those of the machine, and "corrected" where a person changed the lead."""
    before = {} if saved is None else {status.lead: status for status in saved.lead_status}
    out = []
    for status in result.statuses:
        old = before.get(status.lead)
        known = old.probability if old is not None else math.nan
        if status.lead in touched:
            out.append(replace(status, status="corrected", probability=known))
        elif not status.found:
            out.append(replace(status, status="unreadable"))
        else:
            out.append(replace(status, status="check" if old is None else old.status, probability=known))
    return tuple(out)


def touched_leads(wishes: Wishes, before: TimeBase, after: TimeBase, found: Found) -> frozenset[str]:
    """Leads that corrections changed.

    Args:
        before, after: the panels as read and as corrected.
    """
    if wishes.everywhere:
        return frozenset(LEADS)
    keys = set(wishes.names) | set(wishes.zeros_mm)
    windows = (*before.columns.windows, *after.columns.windows)
    leads = {w.lead for w in windows if (w.row_index, w.column_index) in keys}
    if wishes.limb_mm_mv is not None:
        leads |= set(LEADS) - set(CHEST_LEADS)
    if wishes.chest_mm_mv is not None:
        leads |= set(CHEST_LEADS)
    for entry in wishes.traces:
        assert isinstance(entry.correction, TraceCorrection)
        low, high = span_mm(entry.correction, found)
        leads |= {
            w.lead
            for w in after.columns.windows
            if w.row_index == entry.correction.row and w.start_mm < high and w.end_mm > low
        }
    return frozenset(leads - {NO_LEAD})


def span_mm(correction: TraceCorrection, found: Found) -> tuple[float, float]:
    """First and last place along the page of a correction of a trace, mm."""
    points = correction.stroke if isinstance(correction, Redraw) else correction.ends  # type: ignore[attr-defined]
    x_mm = found.to_mm(np.array(points, float))[:, 1]
    return float(x_mm.min()), float(x_mm.max())


def with_trace(rows: tuple[RowTrace, ...], entry: Entry, found: Found) -> tuple[RowTrace, ...]:
    """Rows with one correction of a trace.

    Raises:
        ValueError: the page has no such row.
    """
    one = entry.correction
    assert isinstance(one, TraceCorrection)
    k = index_of(rows, one.row)
    low, high = span_mm(one, found)
    row = replace(with_reach(rows[k], low, high), drawn=())
    here = (row.x_mm >= low) & (row.x_mm <= high)
    if isinstance(one, Redraw):
        row = _as_redrawn(row, here, entry, found)
    elif isinstance(one, Nudge):
        y_mm, sd_mm = (_moved(values, row.x_mm, one.right_mm) for values in (row.y_mm, row.sd_mm))
        row = _put(row, here, y_mm + one.down_mm, sd_mm, row.presence)
    elif isinstance(one, Unreadable):
        row = _put(
            row, here, np.full_like(row.y_mm, np.nan), np.full_like(row.y_mm, np.nan), 0 * row.presence
        )
    elif isinstance(one, Restore):
        read = with_reach(found.rows.traces[index_of(found.rows.traces, one.row)], row.x_mm[0], row.x_mm[-1])
        y_mm, sd_mm = (_moved_to(values, read.x_mm, row.x_mm) for values in (read.y_mm, read.sd_mm))
        row = _put(row, here, y_mm, sd_mm, np.interp(row.x_mm, read.x_mm, read.presence))
        if read.wrong is not None and row.wrong is not None:
            row = replace(row, wrong=np.where(here, np.interp(row.x_mm, read.x_mm, read.wrong), row.wrong))
    return (*rows[:k], row, *rows[k + 1 :])


def index_of(rows: Sequence[RowTrace], row_index: int) -> int:
    """Place in `rows` of the row with an index.

    Raises:
        ValueError: there is none.
    """
    for k, row in enumerate(rows):
        if row.row_index == row_index:
            return k
    raise ValueError(f"row must be one of {', '.join(str(row.row_index) for row in rows)}; got {row_index}")


def _as_redrawn(row: RowTrace, here: NDArray[np.bool_], entry: Entry, found: Found) -> RowTrace:
    """A row with the places that were found in the ink when it was drawn again."""
    if "points" not in entry.after:
        raise ValueError("a stretch that was drawn again must have its places in the log")
    places = found.to_mm(np.array(entry.after["points"], float))
    order = np.argsort(places[:, 1], kind="stable")
    y, x = places[order].T
    sd = np.array(entry.after["sd_mm"], float)[order]
    return _put(row, here, np.interp(row.x_mm, x, y), np.interp(row.x_mm, x, sd), np.ones(row.x_mm.size))


def _put(
    row: RowTrace,
    here: NDArray[np.bool_],
    y_mm: NDArray[np.float64],
    sd_mm: NDArray[np.float64],
    presence: NDArray[np.float64],
) -> RowTrace:
    """A row with other values in a stretch: what a person puts there is in no doubt."""
    return replace(
        row,
        y_mm=np.where(here, y_mm, row.y_mm),
        sd_mm=np.where(here, sd_mm, row.sd_mm),
        presence=np.where(here, presence, row.presence),
        wrong=None if row.wrong is None else np.where(here, 0.0, row.wrong),
    )


def _moved(values: NDArray[np.float64], x_mm: NDArray[np.float64], by_mm: float) -> NDArray[np.float64]:
    """Values moved along the page; NaN where NaN or nothing comes."""
    return _moved_to(values, x_mm + by_mm, x_mm) if by_mm else values


def _moved_to(
    values: NDArray[np.float64], x_mm: NDArray[np.float64], to_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.interp(to_mm, x_mm, values, left=np.nan, right=np.nan)


def corrected_base(placed: Placed, wishes: Wishes, found: Found) -> TimeBase:
    """Panels, scale and time with what a person says of them."""
    base, scale = placed.base, placed.scale
    limb = 1.0 if wishes.limb_mm_mv is None else wishes.limb_mm_mv / scale.gain_mm_mv
    chest = 1.0 if wishes.chest_mm_mv is None else wishes.chest_mm_mv / scale.chest_gain_mm_mv
    base = replace(base, mm_per_mv=base.mm_per_mv * limb, chest_share=base.chest_share * chest / limb)
    if wishes.pitch is not None:
        base = _with_pitch(base, (wishes.pitch.down, wishes.pitch.across), found)
    if wishes.edges:
        base = with_edges(
            base, {j: float(found.to_mm(np.array([at]))[0, 1]) for j, at in wishes.edges.items()}
        )
    if wishes.names:
        named = tuple(
            replace(w, lead=wishes.names.get((w.row_index, w.column_index), w.lead))
            for w in base.columns.windows
        )
        kept = tuple(w for w in named if w.lead != NO_LEAD)
        if not kept:
            raise ValueError("at least one panel must show a lead")
        base = replace(base, columns=replace(base.columns, windows=kept))
    return base


def _with_pitch(base: TimeBase, pitch: tuple[float, float], found: Found) -> TimeBase:
    """The same where a printed millimetre has other pixels than the page map's: the map's are then no true
    ones."""
    down, across = (given / read for given, read in zip(pitch, found.sheet.page_map.px_per_mm, strict=True))
    columns = replace(
        base.columns,
        starts_s={j: start / across for j, start in base.columns.starts_s.items()},
        duration_s=base.columns.duration_s / across,
    )
    return replace(base, mm_per_s=base.mm_per_s * across, mm_per_mv=base.mm_per_mv * down, columns=columns)


def with_edges(base: TimeBase, edges_mm: dict[int, float]) -> TimeBase:
    """The same with other edges of columns.

    Args:
        edges_mm: where a column begins, mm along the page, by its number; behind the last one, where it ends.

    Raises:
        ValueError: a column would end before it begins.
    """
    columns = base.columns
    spans = columns.spans_mm or {0: (columns.start_mm, max(w.end_mm for w in columns.windows))}
    new = dict(spans)
    for j, at in edges_mm.items():
        before = new.get(j - 1)
        if j in new:
            joined = before is not None and abs(spans[j - 1][1] - spans[j][0]) < TOUCH_MM
            new[j] = (at, new[j][1])
            if joined and before is not None:
                new[j - 1] = (before[0], at)
        elif before is not None:
            new[j - 1] = (before[0], at)
    if any(end - start < TOUCH_MM for start, end in new.values()):
        raise ValueError(f"a column must be at least {TOUCH_MM:g} mm wide")
    first, last = min(new), max(new)
    by = {w: new[w.column_index] for w in columns.windows if not w.rhythm and w.column_index in new}
    moved = tuple(
        replace(w, start_mm=by[w][0], end_mm=by[w][1]) if w in by else _strip(w, spans, new)
        for w in columns.windows
    )
    if columns.apart or base.simultaneous:
        return replace(base, columns=replace(columns, windows=moved))
    starts_s = {j: (span[0] - new[first][0]) / base.mm_per_s for j, span in new.items()}
    duration = (new[last][1] - new[first][0]) / base.mm_per_s
    return replace(
        base, columns=replace(columns, windows=moved, starts_s=starts_s, duration_s=duration, on_grid=False)
    )


def _strip(
    window: Window, before: dict[int, tuple[float, float]], after: dict[int, tuple[float, float]]
) -> Window:
    """A rhythm strip whose ends move with those of the block."""
    first, last = min(after), max(after)
    return replace(
        window,
        start_mm=window.start_mm + after[first][0] - before[first][0],
        end_mm=window.end_mm + after[last][1] - before[last][1],
    )


def with_header_values(header: Header | None, values: dict[str, str | float | None]) -> Header | None:
    """A header with words and numbers that a person gave."""
    if not values:
        return header
    header = header or Header()
    texts = {name: values[name] for name in HEADER_TEXTS if name in values}
    of_page = {
        name: value or None for name, value in texts.items() if name in ("recorded", "device", "filter")
    }
    of_patient = {name: value or None for name, value in texts.items() if name not in of_page}
    if of_patient:
        patient = replace(header.patient or Patient(), **of_patient)  # type: ignore[arg-type]
        of_page["patient"] = patient  # type: ignore[assignment]
    numbers = {name: value for name, value in values.items() if name not in HEADER_TEXTS}
    kept = [one for one in header.measurements if one.name not in numbers]
    given = [
        Measurement(name, float(value), QUANTITIES[name].unit, source="given")
        for name, value in numbers.items()
        if value is not None
    ]
    return replace(header, measurements=(*kept, *given), **of_page)  # type: ignore[arg-type]
