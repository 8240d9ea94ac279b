"""Read-outs and rows that are no traces: letters at a row's ends, ruled lines above and below the rows.

In: read-outs of a row, or all rows of a page. Out: the same without those that are no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import RowMark, RowTrace
from ecg_hough.geometry.strips import STRIP_PX_PER_MM
from ecg_hough.traces.distribution import READOUTS_PER_COLUMN

JUMP_MM, LOOSE_MM, NEXT_MM = 5.0, 7.0, 8.0
"""A row's first or last stretch, up to `LOOSE_MM` long, is not its own where it is reached by such a jump and
lies as far off the level of the neighbouring `NEXT_MM`."""
RULED_MM, BEATING_MM = 0.4, 1.5
"""Rise and fall of a ruled line about a straight one, at most, and of most rows of its page, at least: of 300
own renders the flattest row of beats has 1.0."""
BAR_MIN, BAR_MM, AWAY_MM = 0.5, 0.7, 1.0
"""Probability of a separator; the distance from it within which it hides the trace, and from 1 to 2 of which
the trace is seen beside it; and how far from there the trace is not believed to run under it."""


def without_loose_ends(rows: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Read-outs (n,) seen, without stretches at both ends on another level, behind a jump.

    Where a row ends before its neighbours, or letters are printed there, its last read-outs are theirs. No
    trace rises by `JUMP_MM` between two read-outs: at 25 mm/s and 10 mm/mV that is 200 mV/s.

    Args:
        rows: (n,) strip rows of the read-outs.
    """
    at = np.flatnonzero(seen)
    step, jump = STRIP_PX_PER_MM * READOUTS_PER_COLUMN, JUMP_MM * STRIP_PX_PER_MM
    n_next = round(NEXT_MM * step)
    jumps = np.flatnonzero((np.abs(np.diff(rows[at])) >= jump) & (np.diff(at) <= step)).tolist()

    def on_another_level(stretch: NDArray[np.intp], following: NDArray[np.intp]) -> bool:
        return bool(abs(np.median(rows[stretch]) - np.median(rows[following])) >= jump)

    first, stop = 0, at.size
    # Behind the flank of a QRS complex the trace is back on its level.
    for j in jumps:
        near_end = at[j] - at[0] < LOOSE_MM * step
        if near_end and on_another_level(at[first : j + 1], at[j + 1 : j + 1 + n_next]):
            first = j + 1
    for j in jumps[::-1]:
        near_end = at[-1] - at[j + 1] < LOOSE_MM * step and j >= first
        if near_end and on_another_level(at[j + 1 : stop], at[max(first, j + 1 - n_next) : j + 1]):
            stop = j + 1
    out = np.zeros_like(seen)
    out[at[first:stop]] = True
    return out


def without_ruled_lines(rows: tuple[RowTrace, ...]) -> tuple[RowTrace, ...]:
    """Rows of traces without straight lines above and below them: axes of time, frames and rules of forms."""
    extents = [_extent_mm(row) for row in rows]
    if not extents or np.median(extents) < BEATING_MM:
        return rows
    beating = [k for k, extent in enumerate(extents) if extent >= RULED_MM]
    return rows[beating[0] : beating[-1] + 1]


def without_bars(rows: tuple[RowTrace, ...], marks: Sequence[RowMark]) -> tuple[RowTrace, ...]:
    """Rows of traces without read-outs that lie on a separator, away from the trace beside it."""
    return tuple(
        replace(row, y_mm=np.where(hidden, np.nan, row.y_mm), sd_mm=np.where(hidden, np.nan, row.sd_mm))
        if (hidden := _on_bars(row, [m.x_mm for m in marks if _is_bar(m, row)])).any()
        else row
        for row in rows
    )


def _is_bar(mark: RowMark, row: RowTrace) -> bool:
    return mark.kind == "separator" and mark.row_index == row.row_index and mark.probability >= BAR_MIN


def _on_bars(row: RowTrace, bars_mm: Sequence[float]) -> NDArray[np.bool_]:
    """(n,) read-outs on a separator that are off the trace on their side of it."""
    out = np.zeros(row.y_mm.size, bool)
    for bar in bars_mm:
        for side in (-1.0, 1.0):
            off = side * (row.x_mm - bar)
            beside = row.y_mm[(off > BAR_MM) & (off < 2 * BAR_MM) & np.isfinite(row.y_mm)]
            if beside.size:
                away = np.abs(row.y_mm - np.median(beside)) > AWAY_MM
                out |= (off >= 0) & (off <= BAR_MM) & away
    return out


def _extent_mm(row: RowTrace) -> float:
    """How far a row rises and falls about a straight line; 0 without a trace."""
    known = np.isfinite(row.y_mm)
    if not known.any():
        return 0.0
    x, y = row.x_mm[known], row.y_mm[known]
    low, high = np.percentile(y - np.polyval(np.polyfit(x - x[0], y, 1), x - x[0]), [1, 99])
    return float(high - low)
