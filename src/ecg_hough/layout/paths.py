"""Coarse path of every panel's trace, by dynamic programming over columns.

In: class probabilities on the canvas, the rows of traces, and the place of each panel. Out: one canvas
row per canvas column and panel, NaN where there is no trace. A path earns ink that is likely its row's: near
its line, and of the classes that its row shows. So it follows a tall QRS complex across neighbouring rows
where the network distinguishes their leads, and remains with its row where the network confuses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ecg_hough.layout.rows import TraceRows

# Tuned on the disturbed masks of 200 rendered pages on a 704 px canvas (2.0-2.7 px/mm), see test_fit.
GAP_PX = 14
"""Gaps of the coarse path up to this length are interpolated: 5-6 mm."""
JUMP_COST = 0.006
"""Cost per row of a jump of the path from one column to the next; a column of its row's ink earns 1."""
NEAR_PITCHES = 0.5
"""Distance from the row's line at which its claim on ink has fallen to 1/e, in row pitches."""
FAR_CLAIM = 0.1
"""Least claim, however far: a tall QRS is known by its class."""
PATH_MIN = 0.08
"""Least reward of a path's pixel that counts as trace."""
STROKE_MIN = 0.2
"""Least reward of the pixels of one stroke."""
BAND_PITCHES = 1.7
"""Half height of the band that a path may use, in row pitches."""
BAND_PX = (60, 260)
"""Least and most half height of the band: 24 mm, 100 mm."""


@dataclass(frozen=True)
class PanelPlace:
    """Place of a panel: index of its row, and its canvas columns [start, stop)."""

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
    shares = row_shares(places, probabilities, rows, pitch)
    ink = 1.0 - probabilities[0]
    offset = np.arange(-half, half + 1)
    # Coordinates in the band are relative to the row's line, which straightens tilted rows.
    reward = np.zeros((max(p.stop - p.start for p in places), len(places), offset.size), np.float32)
    for k, place in enumerate(places):
        cols = np.arange(place.start, place.stop)[:, None]
        r = np.rint(rows.lines[place.row, place.start : place.stop])[:, None].astype(int) + offset
        inside = (r >= 0) & (r < ink.shape[0])
        r = np.clip(r, 0, ink.shape[0] - 1)
        reward[: place.stop - place.start, k] = np.where(inside, ink[r, cols] * shares[place.row, r, cols], 0)
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


def row_shares(
    places: Sequence[PanelPlace], probabilities: NDArray[np.float32], rows: TraceRows, pitch: float
) -> NDArray[np.float32]:
    """(n, rows, cols) probability that ink at a place belongs to each row.

    Each panel has its own mix of classes, that of the ink nearest to its row's line: where the network is
    sure of the names, classes separate the rows, and where it confuses two leads, the distance does.
    """
    n, _, n_cols = rows.mass.shape
    at = np.arange(probabilities.shape[1], dtype=np.float32)
    leads = probabilities[1:]
    shares = np.empty((n, at.size, n_cols), np.float32)
    for k in range(n):
        weights = np.repeat(_panel_weights(rows.mass[k])[:, None], n_cols, axis=1)
        for place in places:
            if place.row == k and place.stop > place.start:
                mine = slice(place.start, place.stop)
                weights[:, mine] = _panel_weights(rows.mass[k, :, mine])[:, None]
        like = np.einsum("crx,cx->rx", leads, weights.astype(np.float32))
        off = (at[:, None] - rows.lines[k].astype(np.float32)) / np.float32(NEAR_PITCHES * pitch)
        shares[k] = like * np.maximum(np.exp(-(off**2)), FAR_CLAIM)
    shares /= np.maximum(shares.sum(axis=0), 1e-6)
    return shares


def _panel_weights(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """(12,) `class_weights` of the ink of `mass` (12, cols)."""
    # Every column counts once: a neighbour's tall stroke has much ink in few.
    return class_weights((mass / np.maximum(mass.sum(axis=0), 1.0)).mean(axis=1))


def class_weights(shown: NDArray) -> NDArray:
    """(12,) what a pixel's classes are worth to a row whose ink shows the mix `shown` (12,), even where none.

    Scaled so that ink of this mix is worth 1, whether its class is sure or not.
    """
    mix = shown + 1e-3
    return mix * mix.sum() / (mix**2).sum()


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
