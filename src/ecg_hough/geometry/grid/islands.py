"""Grids that begin anew: plots in which every lead has a frame of its own.

In: the phase of a grid all over a page. Out: the same as if one grid ran through all frames. Plotting
programs draw each panel's grid from the panel's corner, so that its lines step by any part of a millimetre
from one panel to the next. A map through all of them would stretch and squeeze time by that.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from ecg_hough.geometry.grid.find import Grid, within_period
from ecg_hough.numeric import (
    polynomial_terms,
    powers,
    robust_scale,
    robust_weights,
    weighted_least_squares,
)

STEP_MM = 0.12
"""Neighbours on the lattice of phases that depart from a smooth grid by so different amounts lie in two
frames."""
FRAME_SHARE, FRAME_POINTS, LARGEST_SHARE = 0.02, 60, 0.6
"""Least share of the seen points, and least number of them, that is a frame: one of 12 panels has 0.08 of
them. Largest share of a frame: two side by side have half each."""
DEGREES = (1, 2, 3)
"""Of the polynomial that says what all frames have in common: the lowest one that fits. The phase that was
followed is cubic; on a flat page a cubic course is less sure between frames than a straight one."""
STEPPED_MM, BETTER, LEFT_MM = 0.1, 0.4, 0.05
"""Steps count where one is larger, and without them the median departure from the polynomial is so many times
what it was, and no larger than this: on paper that waves, more freedom fits better, too, but not well."""
WITHIN = 0.7
"""Least share of the seen points that lies in frames."""
_POINTS_PER_TERM, _ROUNDS = 4, 4


def without_steps(grid: Grid) -> Grid:
    """The grid with the steps between its frames taken out; the same where it has none.

    A page that waves, or whose grid is seen in islands, has frames, too, but no steps: its lines go on from
    one island to the next.
    """
    seen = (grid.y_weight > 0) & (grid.x_weight > 0)
    y_mm, x_mm = (_levelled(grid, mm, seen) for mm in (grid.y_mm, grid.x_mm))
    return grid if y_mm is grid.y_mm and x_mm is grid.x_mm else replace(grid, y_mm=y_mm, x_mm=x_mm)


def _levelled(grid: Grid, mm: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """One family's millimetres (n,) without steps; the same array where there are none."""
    n_cols = int(np.count_nonzero(grid.rows == grid.rows[0]))
    r, c = (2.0 * (v - v.mean()) / max(float(np.ptp(v)), 1.0) for v in (grid.rows, grid.cols))
    terms = polynomial_terms(r, c, DEGREES[-1])
    if np.count_nonzero(seen) < _POINTS_PER_TERM * terms.shape[1]:
        return mm
    smooth = terms @ np.linalg.lstsq(terms[seen], mm[seen], rcond=None)[0]
    frame = _frames(mm - smooth, seen, n_cols, grid.period_mm)
    inside = frame >= 0
    if frame.max() < 1 or inside.sum() < WITHIN * np.count_nonzero(seen):
        return mm
    size = np.bincount(frame[inside])
    if size.max() > LARGEST_SHARE * inside.sum():
        return mm
    # Of points between frames, which have little weight, the largest frame's step is as good as any.
    largest = int(size.argmax())
    own = np.where(inside, frame, largest)
    for degree in DEGREES:
        lower = terms[inside, : len(powers(degree))]
        _, left = _common_course(lower, mm[inside], np.zeros_like(own)[inside], grid.period_mm)
        levels, left_stepped = _common_course(lower, mm[inside], own[inside], grid.period_mm)
        steps = levels - levels[largest]
        stepped = np.abs(within_period(steps, grid.period_mm)).max() >= STEPPED_MM
        if stepped and left_stepped <= min(LEFT_MM, BETTER * left):
            out: NDArray[np.float64] = mm - steps[own]
            return out
    return mm


def _common_course(
    terms: NDArray[np.float64], mm: NDArray[np.float64], frame: NDArray[np.intp], period_mm: float
) -> tuple[NDArray[np.float64], float]:
    """Level of every frame above the polynomial that all have in common, and the median distance to both."""

    def mean(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(frame, weight * values) / np.maximum(np.bincount(frame, weight), 1e-9)

    weight, levels, left = np.ones(len(mm)), np.zeros(int(frame.max()) + 1), np.zeros(len(mm))
    for _ in range(_ROUNDS):
        # What differs between frames says nothing of the course within them.
        within = [column - mean(column, weight)[frame] for column in terms[:, 1:].T]
        aim = mm - mean(mm, weight)[frame]
        course = weighted_least_squares(np.stack(within, axis=1), aim, np.sqrt(weight))
        off = mm - terms[:, 1:] @ course
        levels = mean(off, weight)
        left = within_period(off - levels[frame], period_mm)
        weight = robust_weights(left, robust_scale(left, LEFT_MM))
    return levels, float(np.median(np.abs(left)))


def _frames(
    off: NDArray[np.float64], seen: NDArray[np.bool_], n_cols: int, period_mm: float
) -> NDArray[np.intp]:
    """(n,) frame of each point of a lattice, -1 where it lies in none."""
    at = np.arange(off.size).reshape(-1, n_cols)
    one = np.concatenate([at[:, :-1].ravel(), at[:-1].ravel()])
    other = np.concatenate([at[:, 1:].ravel(), at[1:].ravel()])
    near = seen[one] & seen[other] & (np.abs(within_period(off[one] - off[other], period_mm)) < STEP_MM)
    edges = sparse.csr_matrix((np.ones(near.sum()), (one[near], other[near])), shape=(off.size,) * 2)
    _, label = csgraph.connected_components(edges, directed=False)
    size = np.bincount(label[seen], minlength=int(label.max()) + 1)
    large = np.flatnonzero(size >= max(FRAME_POINTS, FRAME_SHARE * np.count_nonzero(seen)))
    number = np.full(size.size, -1)
    number[large] = np.arange(large.size)
    return np.where(seen, number[label], -1)
