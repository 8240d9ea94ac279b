"""Coarse path of every panel's trace, by dynamic programming over columns.

In: class probabilities on the canvas, the rows of traces, and where each panel stands. Out: one canvas
row per canvas column and panel, NaN where there is no trace. A path earns its own lead's probability,
and a little for other ink near its row's line; so it follows a tall QRS across its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ecg_hough.rows import TraceRows

# Tuned on the disturbed masks of 200 rendered pages on a 704 px canvas (2.0-2.7 px/mm), see test_layout.
GAP_PX = 14
"""Gaps of the coarse path up to this length are interpolated: 5-6 mm."""
JUMP_COST = 0.006
"""Cost per row of a jump of the path from one column to the next; the own lead's column earns 1."""
INK_REWARD = 0.35
"""Reward for ink of another class on the row's line."""
NEAR_PITCHES = 0.5
"""Distance from the row's line at which that reward has fallen to 1/e, in row pitches."""
PATH_MIN = 0.08
"""Least reward of a path's pixel that counts as trace."""
STROKE_MIN = 0.2
"""Least reward of the pixels of one stroke."""
BAND_PITCHES = 1.7
"""Half height of the band that a path may use, in row pitches."""
BAND_PX = (60, 260)
"""Least and most half height of the band: 24 mm, 100 mm."""
NAMED_SHARE = 0.35
"""Share of a panel's columns that must show the expected class for its name to be believed."""
TWIN_SHARE = 0.1
"""Share of a panel's columns from which another row is said to show the same lead."""
NEIGHBOUR_OVERLAP_PX = 5
"""Panels of other rows that share fewer columns than this stand elsewhere."""


@dataclass(frozen=True)
class PanelPlace:
    """Where a panel stands: `lead` as index into `paper.LEADS`, index of its row, and its canvas columns
    [start, stop)."""

    lead: int
    row: int
    start: int
    stop: int


def find_paths(
    places: Sequence[PanelPlace], probabilities: NDArray[np.float32], rows: TraceRows
) -> list[NDArray[np.float64]]:
    """Trace the panels, all at once.

    Args:
        places: panels of at least one column.
        probabilities: (13, rows, cols) class probabilities, background first.
        rows: rows of traces on the same canvas.

    Returns:
        One array (cols,) per panel: canvas row of the trace in each canvas column, NaN where none.
    """
    if not places:
        return []
    n_cols = probabilities.shape[2]
    pitch = rows.pitch if np.isfinite(rows.pitch) else float(BAND_PX[1])
    half = int(np.clip(BAND_PITCHES * pitch, *BAND_PX))
    total = rows.mass.sum(1)
    shown = rows.mass / np.maximum(total, 1.0)[:, None, :]  # share of each class, weak where ink is faint
    named = [float(shown[p.row, p.lead, p.start : p.stop].mean()) >= NAMED_SHARE for p in places]
    # Coordinates in the band are relative to the row's line, which straightens tilted rows.
    reward = np.zeros((max(p.stop - p.start for p in places), len(places), 2 * half + 1), np.float32)
    for k, place in enumerate(places):
        twins = np.flatnonzero(shown[:, place.lead, place.start : place.stop].mean(1) >= TWIN_SHARE)
        taken = {
            other.lead
            for other, sure in zip(places, named, strict=True)
            if sure
            and other.row != place.row
            and other.lead != place.lead
            and min(other.stop, place.stop) - max(other.start, place.start) > NEIGHBOUR_OVERLAP_PX
        }
        reward[: place.stop - place.start, k] = _reward(
            place,
            named[k],
            [int(i) for i in twins if i != place.row],
            taken,
            probabilities,
            rows,
            half,
            pitch,
        )
    best = _cheapest_paths(reward)
    paths = []
    for k, place in enumerate(places):
        length = place.stop - place.start
        index, earns = best[:length, k], reward[:length, k]
        line = np.rint(rows.lines[place.row, place.start : place.stop])
        path = np.full(n_cols, np.nan)
        on_trace = earns[np.arange(length), index] > PATH_MIN
        path[place.start : place.stop] = np.where(
            on_trace, line - half + _stroke_middle(earns > STROKE_MIN, index), np.nan
        )
        paths.append(_bridge_gaps(path))
    return paths


def _reward(
    place: PanelPlace,
    named: bool,
    twins: list[int],
    taken: set[int],
    probabilities: NDArray[np.float32],
    rows: TraceRows,
    half: int,
    pitch: float,
) -> NDArray[np.float32]:
    """(window columns, band) what a path earns in each pixel.

    `named`: the maps show this lead here at all; `twins`: other rows that show it (printed twice, or a
    neighbour misnamed); `taken`: the leads known to stand in other rows of these columns.
    """
    n_rows = probabilities.shape[1]
    cols = np.arange(place.start, place.stop)[:, None]
    offset = np.arange(-half, half + 1)
    r = np.rint(rows.lines[place.row, place.start : place.stop])[:, None].astype(int) + offset
    inside = (r >= 0) & (r < n_rows)
    r = np.clip(r, 0, n_rows - 1)
    free = 1.0 - probabilities[0, r, cols]
    for lead in sorted(taken):
        free -= 0.8 * probabilities[lead + 1, r, cols]
    near = np.exp(-((offset / (NEAR_PITCHES * pitch)) ** 2))
    if not named:
        return np.where(inside, near * free, 0.0).astype(np.float32)
    own = probabilities[place.lead + 1, r, cols]
    for twin in twins:
        # Seen in two rows: what is nearer to the other row belongs there.
        to_twin = np.abs(r - rows.lines[twin, place.start : place.stop][:, None])
        own = np.where(to_twin < np.abs(offset), 0.2 * own, own)
    other = INK_REWARD * near * np.maximum(free - own, 0.0)
    return np.where(inside, own + other, 0.0).astype(np.float32)


def _cheapest_paths(reward: NDArray[np.float32]) -> NDArray[np.intp]:
    """(columns, panels) band index of each panel's best path through reward (columns, panels, band)."""
    n_cols, n_panels, height = reward.shape
    ramp = (JUMP_COST * np.arange(height)).astype(np.float32)
    total = np.empty_like(reward)
    total[0] = reward[0]
    for c in range(1, n_cols):
        # Best predecessor with a cost linear in the jump: a running maximum from above and from below.
        before = total[c - 1]
        down = np.maximum.accumulate(before + ramp, axis=1) - ramp
        up = np.maximum.accumulate((before - ramp)[:, ::-1], axis=1)[:, ::-1] + ramp
        total[c] = np.maximum(down, up) + reward[c]
    path = np.empty((n_cols, n_panels), np.intp)
    path[-1] = total[-1].argmax(1)
    band = np.arange(height)[None, :]
    for c in range(n_cols - 1, 0, -1):
        jump = JUMP_COST * np.abs(band - path[c][:, None])
        path[c - 1] = (total[c - 1] - jump).argmax(1)
    return path


def _stroke_middle(mask: NDArray[np.bool_], index: NDArray[np.intp]) -> NDArray[np.float64]:
    """Middle of the vertical run of `mask` (columns, band) round each column's index."""
    n, height = mask.shape
    band = np.arange(height)
    at = np.arange(n)
    before = np.maximum.accumulate(np.where(mask, -1, band), axis=1)[at, index]
    behind = np.minimum.accumulate(np.where(mask, height, band)[:, ::-1], axis=1)[:, ::-1][at, index]
    return np.where(mask[at, index], (before + behind) / 2.0, index)


def _bridge_gaps(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill gaps of up to `GAP_PX` columns between two known ones."""
    known = np.flatnonzero(np.isfinite(path))
    out = path.copy()
    for a, b in pairwise(known):
        if 1 < b - a <= GAP_PX + 1:
            out[a : b + 1] = np.interp(np.arange(a, b + 1), [a, b], [path[a], path[b]])
    return out
