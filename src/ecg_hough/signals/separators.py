"""Separators: upright strokes between columns, whose middles tell where columns begin.

In: the page's pixels and map, its ink, the rows' levels and roughly placed columns. Out: the places of the
inner column edges, to a fraction of a pixel. The end of a trace is a stroke's round end, read half a pixel
early or late; a separator is drawn across the edge and has two flanks. Carts print bars on the zero line,
ticks above and below it, or dashes. Beats stand at another place of every row; what most places of the page
show alike is a separator.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Window
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame, cut_strip, shrink_for_strips, strip_map
from ecg_hough.numeric import runs
from ecg_hough.page_map import PageMap
from ecg_hough.traces.ink import InkModel

REACH_MM = 3.0
"""Searched on both sides of a column's edge."""
HEIGHT_MM = 9.6
"""Searched above and below the row's level."""
NEAR_MM, FAR_MM = 0.8, 8.8
"""Ink this far above and below the zero line is compared: nearer the trace itself is, and lines of a grid go
on beyond."""
INK_MM = (1.1, 6.5)
"""Least and most ink on either side: bars are 4 to 10 mm high."""
MIRRORED_MIN = 0.7
"""Share of the ink on both sides that has its mirror image: bars, ticks and dashes stand on the zero line."""
SOLID_MIN, BEYOND_MAX = 0.75, 0.4
"""Least mean darkness of that ink, and most median darkness beyond it: in broken lines of a grid both are
alike."""
LEVEL_MM = 0.75
"""Error of the row's level that is allowed for."""
PLACES_MIN = 0.6
"""Share of all places (rows x inner edges) that must show one."""
LONE_MIN = 0.75
"""The same where there is one inner edge: beats of simultaneous columns stand below each other, too."""
ALIGNED_MM, EVEN_MM = 0.35, 0.6
"""Separators of one edge stand below each other within this, and the edges where they belong within that,
up to a common shift."""
FAR_COST = 0.5
"""What a place at `REACH_MM` from the column's edge costs, in shares of the rows that show it: dark lines of
a grid may look like separators in as many rows."""
WIDEST_MM = 2.5
"""A wider stroke is no separator."""
LEAN_MM = 0.15
"""Most by which a separator's upper half stands aside from its lower one; flanks of beats lean."""


def find_separators(
    image: NDArray[np.uint8],
    page_map: PageMap,
    ink: InkModel,
    levels_mm: dict[int, float],
    windows: tuple[Window, ...],
) -> dict[int, float]:
    """Middle of the separators before every inner column, mm along the page.

    Args:
        image: the page, upright (rows, cols, 3); page_map: its millimetres; ink: what is ink.
        levels_mm: zero line of every row, mm down the page.
        windows: panels at common edges that are right within `REACH_MM`.

    Returns:
        {column: mm} of the columns that most rows show a separator before; empty without separators.
    """
    short = [w for w in windows if not w.rhythm and w.column_index > 0 and w.row_index in levels_mm]
    if len(short) < 2:
        return {}
    pixels, factor = shrink_for_strips(image, float(np.mean(page_map.px_per_mm)))
    shape = (round(2 * HEIGHT_MM * STRIP_PX_PER_MM) + 1, round(2 * REACH_MM * STRIP_PX_PER_MM) + 1)
    shifts: dict[int, list[float]] = {}
    starts: dict[int, list[float]] = {}
    for w in short:
        frame = StripFrame(levels_mm[w.row_index] - HEIGHT_MM, w.start_mm - REACH_MM, shape)
        dark = ink.darkness(cut_strip(pixels, strip_map(frame, page_map), factor)).clip(0.0, 1.0)
        starts.setdefault(w.column_index, []).append(w.start_mm)
        shifts.setdefault(w.column_index, []).extend(x - REACH_MM for x in middles(dark))
    least = PLACES_MIN if len(starts) > 1 else LONE_MIN
    agreed = {j: _agreed(np.array(seen), len(starts[j]), least) for j, seen in shifts.items()}
    kept = {j: shift for j, shift in agreed.items() if shift is not None}
    common = float(np.median(list(kept.values()))) if kept else 0.0
    kept = {j: shift for j, shift in kept.items() if abs(shift - common) <= EVEN_MM}
    if len(kept) < PLACES_MIN * len(starts):
        return {}
    return {j: float(np.median(starts[j])) + shift for j, shift in kept.items()}


def middles(dark: NDArray[np.float32]) -> list[float]:
    """Middles, mm from the left, of the upright strokes that stand on the zero line.

    Args:
        dark: (rows, cols) darkness at `STRIP_PX_PER_MM`, 1 ink; the zero line is the middle row.
    """
    scale = STRIP_PX_PER_MM
    inked = dark >= 0.5
    away = np.arange(round(NEAR_MM * scale), round(FAR_MM * scale))
    reach = round(LEVEL_MM * scale)
    levels = dark.shape[0] // 2 + np.arange(-reach, reach + 1)
    levels = levels[(levels >= away[-1]) & (levels + away[-1] < dark.shape[0])]
    # (levels, distances, columns)
    up, down = (inked[levels[:, None] + side * away[None]] for side in (-1, 1))
    both, either = (up & down).sum(axis=1), (up | down).sum(axis=1)
    share = both / np.maximum(either, 1)
    allowed = (both >= INK_MM[0] * scale) & (both <= INK_MM[1] * scale)
    share = np.where(allowed, share, 0.0)
    stroke = share.max(axis=0) >= MIRRORED_MIN
    out = []
    for a, b in runs(stroke):
        if b - a > WIDEST_MM * scale:
            continue
        column = (a + b - 1) // 2
        level = int(share[:, column].argmax())
        common = away[up[level, :, column] & down[level, :, column]]
        near = slice(max(0, a - 3), b + 3)
        rest = np.setdiff1d(away, common)
        top, foot = (dark[levels[level] + side * common].mean(axis=0) for side in (-1, 1))
        beyond = np.median(np.concatenate([dark[levels[level] + side * rest] for side in (-1, 1)]), axis=0)
        middle = _centroid(0.5 * (top + foot), near)
        at = round(middle)
        solid = min(top[at], foot[at]) >= SOLID_MIN and beyond[at] <= BEYOND_MAX
        if solid and abs(_centroid(top, near) - _centroid(foot, near)) <= LEAN_MM * scale:
            out.append(middle / scale)
    return out


def _centroid(weights: NDArray[np.float64], near: slice) -> float:
    """Middle of a stroke over what is beside it, px."""
    part = weights[near]
    over = np.maximum(part - min(part[0], part[-1]), 0.0)
    return near.start + float((over * np.arange(part.size)).sum() / max(float(over.sum()), 1e-9))


def _agreed(places_mm: NDArray[np.float64], n_rows: int, least: float) -> float | None:
    """Of the places that at least so large a share of the rows has in common the one that most share, a
    nearer one to the edge before a farther."""
    near = np.abs(places_mm[:, None] - places_mm[None]) <= ALIGNED_MM
    share = near.sum(axis=1) / n_rows
    enough = share >= least
    if not enough.any():
        return None
    worth = np.where(enough, share - FAR_COST * np.abs(places_mm) / REACH_MM, -np.inf)
    return float(np.median(places_mm[near[int(worth.argmax())]]))
