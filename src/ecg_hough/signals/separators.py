"""Separators: upright strokes between columns, whose middles show where columns begin.

In: the page's pixels and map, its ink, the rows' levels and roughly placed columns. Out: the places of the
inner column edges, to a fraction of a pixel. A trace ends in the round end of a stroke, which is read half a
pixel early or late; a separator is drawn across the edge and has two flanks. Carts print bars on the zero
line, ticks above and below it, or dashes. Beats are at another place in every row; a stroke at the same place
in most rows is a separator.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Window
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame, cut_strip, shrink_for_strips, strip_map
from ecg_hough.numeric import runs
from ecg_hough.page_map import PageMap
from ecg_hough.signals.limits import Limit, keeps_limits
from ecg_hough.traces.ink import InkModel

log = logging.getLogger(__name__)

REACH_MM = 3.0
"""Distance from a column's edge, on both sides, that is searched."""
HEIGHT_MM = 9.6
"""Distance from the row's level, above and below, that is searched."""
NEAR_MM, FAR_MM = 0.8, 8.8
"""Ink between these distances above and below the zero line is compared: the trace itself is nearer, and
lines of a grid continue beyond."""
INK_MM = (1.1, 6.5)
"""Least and most ink on either side: bars are 4 to 10 mm high."""
MIRRORED_MIN = 0.7
"""Share of the ink on both sides that has a mirror image: bars, ticks and dashes are centred on the zero
line."""
SOLID_MIN, BEYOND_MAX = 0.75, 0.4
"""Least mean darkness of that ink, and most median darkness beyond it: broken lines of a grid have the same
darkness in both."""
LEVEL_MM = 0.75
"""Error of the row's level that is allowed for."""
PLACES_MIN = 0.6
"""Share of all places (rows x inner edges) that must show one."""
LONE_MIN = 0.75
"""The same where there is one inner edge: beats of simultaneous columns are also below each other."""
ALIGNED_MM, EVEN_MM = 0.35, 0.6
"""Largest distance between separators of one edge, and of the edges from their expected places after a common
shift."""
FAR_COST = 0.5
"""Cost of a place at `REACH_MM` from the column's edge, in shares of the rows that show it: dark lines of a
grid may look like separators in as many rows."""
WIDEST_MM = 2.5
"""A wider stroke is no separator."""
LEAN_MM = 0.15
"""Largest sideways offset between a separator's upper and lower half; flanks of beats lean."""


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
    kept = _common_shifts(shifts, {j: len(seen) for j, seen in starts.items()})
    return {j: float(np.median(starts[j])) + shift for j, shift in kept.items()}


def _common_shifts(shifts: dict[int, list[float]], n_rows: dict[int, int]) -> dict[int, float]:
    """Distance of the separators from every column's edge, mm, where most columns show one at about the same.

    Args:
        shifts: distances of all strokes from each column's edge; n_rows: rows searched at each.
    """
    least = PLACES_MIN if len(n_rows) > 1 else LONE_MIN
    agreed = {j: _agreed(np.array(seen), n_rows[j], least) for j, seen in shifts.items()}
    found = {j: shift for j, shift in agreed.items() if shift is not None}
    common = float(np.median(list(found.values()))) if found else 0.0
    kept = {j: shift for j, shift in found.items() if abs(shift - common) <= EVEN_MM}
    for j in found.keys() - kept.keys():
        log.debug("separator before column %d rejected: %.2f mm off the common shift %.2f, limit %g",
                  j, found[j] - common, common, EVEN_MM)  # fmt: skip
    if len(kept) < PLACES_MIN * len(n_rows):
        log.debug("separators rejected: seen before %d of %d columns, at least %g of them are needed",
                  len(kept), len(n_rows), PLACES_MIN)  # fmt: skip
        return {}
    places = ", ".join(f"column {j}, {shift:+.2f} mm from its edge" for j, shift in kept.items())
    log.info("separators: before %s", places)
    return kept


def middles(dark: NDArray[np.float32]) -> list[float]:
    """Middles, mm from the left, of the upright strokes that are centred on the zero line.

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
    out = []
    for a, b in runs(share.max(axis=0) >= MIRRORED_MIN):
        column = (a + b - 1) // 2
        level = int(share[:, column].argmax())
        common = away[up[level, :, column] & down[level, :, column]]
        middle = _middle(dark, levels[level], common, np.setdiff1d(away, common), (a, b))
        if middle is not None:
            out.append(middle / scale)
    return out


def _middle(
    dark: NDArray[np.float32],
    level: int,
    common: NDArray[np.intp],
    others: NDArray[np.intp],
    columns: tuple[int, int],
) -> float | None:
    """Middle of a stroke, px from the left; None where it is no separator.

    Args:
        level: row of the zero line; common: distances from it at which both sides are ink; others: the other
            distances that are searched; columns: first column of the stroke, and the one behind its last.
    """
    a, b = columns
    width_mm = (b - a) / STRIP_PX_PER_MM
    if not keeps_limits(log, ("separator",), [Limit("width of its stroke in mm", width_mm, most=WIDEST_MM)]):
        return None
    near = slice(max(0, a - 3), b + 3)
    top, foot = (dark[level + side * common].mean(axis=0) for side in (-1, 1))
    beyond = np.median(np.concatenate([dark[level + side * others] for side in (-1, 1)]), axis=0)
    middle = _centroid(0.5 * (top + foot), near)
    at = round(middle)
    lean_mm = abs(_centroid(top, near) - _centroid(foot, near)) / STRIP_PX_PER_MM
    limits = (
        Limit("mean darkness of its lighter half", min(top[at], foot[at]), least=SOLID_MIN),
        Limit("darkness beyond its ends", beyond[at], most=BEYOND_MAX),
        Limit("offset of its halves in mm", lean_mm, most=LEAN_MM),
    )
    candidate = ("separator %.2f mm from the column's edge", middle / STRIP_PX_PER_MM - REACH_MM)
    return middle if keeps_limits(log, candidate, limits) else None


def _centroid(weights: NDArray[np.float64], near: slice) -> float:
    """Middle of a stroke, weighted by its darkness above that of its neighbourhood, px."""
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
    score = np.where(enough, share - FAR_COST * np.abs(places_mm) / REACH_MM, -np.inf)
    return float(np.median(places_mm[near[int(score.argmax())]]))
