"""Pacing spikes: strokes as thin as the pen that leave a trace and end in plain view.

In: the page's pixels and map, the rows' traces, what is ink, and where words are printed. Out: the same
traces with every spike as high as its ink. The trace network, which never saw one, rounds them off, another
height at each beat.

A stroke counts if it is thin all along, has blank paper beyond its tip and beside it, and comes again: in
another row at the same instant, or in its row, as high, at other beats. What separates columns, pulses, lines
of the grid and the letters of names are no spikes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from ecg_hough.elements import RowTrace
from ecg_hough.numeric import runs
from ecg_hough.page_map import PageMap
from ecg_hough.traces.ink import is_ink
from ecg_hough.traces.tips import PEN_MM, places_near

LOCAL_MM = 0.4
"""Half the width over which a trace covers its ink."""
LEAST_MM, SHORT_MM, MOST_MM, STEP_MM = 1.0, 0.3, 15.0, 0.1
"""Least height of a spike beyond the trace that was read; the same at the instants of others; the largest;
the step in which it is followed."""
WIDE_PENS, WIDE_PX = 1.6, 2.5
"""Largest width of a spike, in pens, or in pixels if these are more."""
ASIDE_MM, BEYOND_MM = 1.2, 0.8
"""Blank paper beside a spike, and beyond its tip."""
SAME_MM, ALIKE = 0.4, 0.2
"""Distance of spikes of one instant, and relative difference of the heights of one row's."""
ROWS_MIN, BEATS_MIN, INSTANTS_MIN = 2, 3, 4
"""Rows that show a spike at one instant, or beats of one row, from which it is one; and instants of a page:
columns have fewer separators."""
WORD_MM = 4.0
"""Distance from a word's middle within which a stroke is no spike."""
LINE_SHARE, APART_MM = 0.08, 6.0
"""Share of the page's height at which there is ink on a line of the grid, away from the traces."""

Floats = NDArray[np.float64]


class Spike(NamedTuple):
    """A stroke that leaves a row's trace: its place along the page, its tip down the page, the trace's level
    there, and its width, mm."""

    row_index: int
    x_mm: float
    tip_mm: float
    level_mm: float
    width_mm: float

    @property
    def height_mm(self) -> float:
        """Positive up the page."""
        return self.level_mm - self.tip_mm


def with_spikes(
    dark: NDArray[np.bool_],
    page_map: PageMap,
    rows: tuple[RowTrace, ...],
    words_mm: Floats,
) -> tuple[RowTrace, ...]:
    """Rows whose spikes are as high as their ink.

    Args:
        dark: (rows, cols) ink of the page; rows: all of its traces.
        words_mm: (n, 2) middles of printed words down and along the page.
    """
    spikes = find_spikes(dark, page_map, rows, words_mm)
    return tuple(_drawn(row, [one for one in spikes if one.row_index == row.row_index]) for row in rows)


def find_spikes(
    dark: NDArray[np.bool_],
    page_map: PageMap,
    rows: tuple[RowTrace, ...],
    words_mm: Floats,
) -> list[Spike]:
    """Spikes of all rows; arguments as for `with_spikes`."""
    found = [spike for row in rows for spike in _strokes(dark, page_map, row, rows)]
    if not found:
        return []
    on_line = _on_lines(dark, page_map, rows, np.array([spike.x_mm for spike in found]))
    found = [
        spike
        for spike, is_line in zip(found, on_line, strict=True)
        if not is_line and not _in_word(spike, words_mm)
    ]
    spikes = [one for one in found if _comes_again(one, found) and not _crosses(one, found)]
    instants = np.sort([one.x_mm for one in spikes])
    if 1 + (np.diff(instants) > ASIDE_MM).sum() < INSTANTS_MIN:
        return []
    # At these instants the others are spikes, too, of which less is missing.
    shorter = [
        one
        for row in rows
        for one in _strokes(dark, page_map, row, rows, least_mm=SHORT_MM)
        if np.abs(instants - one.x_mm).min() < SAME_MM and not _in_word(one, words_mm)
    ]
    return [one for one in shorter if not _crosses(one, shorter)]


def _on_lines(
    dark: NDArray[np.bool_], page_map: PageMap, rows: tuple[RowTrace, ...], x_mm: Floats
) -> NDArray[np.bool_]:
    """(n,) whether there is ink at places along the page far from all traces, as on a line of the grid."""
    levels = [row.y_mm[np.isfinite(row.y_mm)] for row in rows]
    levels = [level for level in levels if level.size]
    top = min(float(level.min()) for level in levels) - 2 * APART_MM
    foot = max(float(level.max()) for level in levels) + 2 * APART_MM
    y = np.arange(top, foot, STEP_MM)
    out = np.zeros(x_mm.size, bool)
    for k, x in enumerate(x_mm.tolist()):
        free = np.ones(y.size, bool)
        for row in rows:
            near = places_near(row, x, ASIDE_MM)
            if near.size:
                free &= (y < near.min() - APART_MM) | (y > near.max() + APART_MM)
        if free.any():
            out[k] = is_ink(dark, page_map, y[free], np.full(int(free.sum()), x)).mean() > LINE_SHARE
    return out


def _strokes(
    dark: NDArray[np.bool_],
    page_map: PageMap,
    row: RowTrace,
    rows: tuple[RowTrace, ...],
    *,
    least_mm: float = LEAST_MM,
) -> list[Spike]:
    """Thin strokes that leave a row's trace up or down the page by a least height."""
    seen = np.isfinite(row.y_mm)
    if not seen.any():
        return []
    step = float(row.x_mm[1] - row.x_mm[0])
    pen = row.pen_mm if np.isfinite(row.pen_mm) else PEN_MM
    widest = max(WIDE_PENS * pen, WIDE_PX / float(page_map.px_per_mm[1]))
    near = 2 * max(1, round(LOCAL_MM / step)) + 1
    high = minimum_filter1d(np.where(seen, row.y_mm, np.inf), near)
    low = maximum_filter1d(np.where(seen, row.y_mm, -np.inf), near)
    out = []
    for down, edge in ((-1.0, high), (1.0, low)):
        begin = edge + down * pen
        at = np.flatnonzero(np.isfinite(begin))
        inked = np.zeros(row.x_mm.size, bool)
        inked[at] = is_ink(dark, page_map, begin[at] + down * least_mm, row.x_mm[at])
        for first, stop in runs(inked):
            if (stop - first) * step > widest + step:
                continue
            k = (first + stop - 1) // 2
            x = 0.5 * float(row.x_mm[first] + row.x_mm[stop - 1])
            tip = _tip(dark, page_map, x, float(begin[k]), down, least_mm)
            if tip is None or not _is_alone(dark, page_map, x, float(begin[k]), tip, widest):
                continue
            if _meets(row, rows, x, float(begin[k]), tip):
                continue
            around = row.y_mm[max(0, k - 4 * near) : k + 4 * near]
            level = float(np.median(around[np.isfinite(around)]))
            out.append(Spike(row.row_index, x, tip - down * pen / 2, level, max(pen, (stop - first) * step)))
    return out


def _tip(
    dark: NDArray[np.bool_], page_map: PageMap, x: float, begin: float, down: float, least_mm: float
) -> float | None:
    """Where the ink from a place on ends, with blank paper beyond; None where it does not begin or end."""
    steps = np.arange(0.0, MOST_MM + BEYOND_MM, STEP_MM)
    ink = is_ink(dark, page_map, begin + down * steps, np.full(steps.size, x))
    gone = np.flatnonzero(~ink)
    # A pixel may be missing where the stroke leaves the trace.
    gone = gone[gone * STEP_MM >= least_mm]
    if not gone.size:
        return None
    end = int(gone[0])
    beyond = ink[end : end + round(BEYOND_MM / STEP_MM)]
    if ink[:end].mean() < 0.9 or beyond.any() or end * STEP_MM > MOST_MM:
        return None
    return begin + down * (end - 0.5) * STEP_MM


def _is_alone(
    dark: NDArray[np.bool_], page_map: PageMap, x: float, begin: float, tip: float, widest: float
) -> bool:
    """Whether a stroke is thin all along, with blank paper on both sides."""
    heights = np.linspace(begin + 0.25 * (tip - begin), begin + 0.9 * (tip - begin), 6)
    aside = np.arange(0.5 * widest, ASIDE_MM, 0.5 * STEP_MM)
    across = np.concatenate([x - aside, x + aside])
    y, at = (v.ravel() for v in np.meshgrid(heights, across, indexing="ij"))
    return not is_ink(dark, page_map, y, at).any()


def _meets(row: RowTrace, rows: tuple[RowTrace, ...], x: float, begin: float, tip: float) -> bool:
    """Whether another row's trace runs where a stroke does."""
    low, high = sorted((begin, tip))
    for other in rows:
        if other is not row:
            y = places_near(other, x, ASIDE_MM)
            if y.size and y.max() > low - BEYOND_MM and y.min() < high + BEYOND_MM:
                return True
    return False


def _in_word(spike: Spike, words_mm: Floats) -> bool:
    """Whether a stroke may be part of a word."""
    low, high = sorted((spike.tip_mm, spike.level_mm))
    y, x = words_mm.reshape(-1, 2).T
    return bool(((np.abs(x - spike.x_mm) < WORD_MM) & (y > low - 2.0) & (y < high + 2.0)).any())


def _crosses(spike: Spike, spikes: Sequence[Spike]) -> bool:
    """Whether a stroke goes on at the other side of its trace, as a separator does."""
    return any(
        one.row_index == spike.row_index
        and abs(one.x_mm - spike.x_mm) < SAME_MM
        and one.height_mm * spike.height_mm < 0.0
        for one in spikes
    )


def _comes_again(spike: Spike, spikes: Sequence[Spike]) -> bool:
    """Whether other rows show a spike at the same instant, or the row others that are as high."""
    others = {one.row_index for one in spikes if abs(one.x_mm - spike.x_mm) < SAME_MM}
    alike = [
        one
        for one in spikes
        if one.row_index == spike.row_index
        and abs(one.height_mm - spike.height_mm) < ALIKE * abs(spike.height_mm)
    ]
    return len(others) >= ROWS_MIN or len(alike) >= BEATS_MIN


def _drawn(row: RowTrace, spikes: Sequence[Spike]) -> RowTrace:
    """A row with its spikes."""
    if not spikes:
        return row
    y_mm = row.y_mm.copy()
    for spike in spikes:
        here = np.abs(row.x_mm - spike.x_mm) <= max(0.5 * spike.width_mm, row.x_mm[1] - row.x_mm[0])
        y_mm[here] = spike.tip_mm
    return replace(row, y_mm=y_mm, spikes=len(spikes))
