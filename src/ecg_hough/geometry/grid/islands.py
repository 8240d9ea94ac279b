"""Panels with separate grids: plots that draw the grid of every lead from the lead's own corner.

In: the phase of a grid at points of a page. Out: the same as if one grid continued through all panels. From
panel to panel the lines step by any fraction of a millimetre. A map through all of them would stretch and
compress time by as much.
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
"""Neighbouring points of the phase whose distances from a smooth grid differ by more are on two islands."""
ISLAND_SHARE, ISLAND_POINTS, LARGEST_SHARE = 0.02, 60, 0.6
"""Smallest share and smallest number of points of an island: one of 12 panels has a share of 0.08. Largest
share of an island: two panels side by side have half each."""
DEGREES = (1, 2, 3)
"""Degrees of the polynomial common to all islands; the lowest one that fits is used. The phase that was
followed is cubic; on a flat page a cubic is less precise between islands than a plane."""
STEPPED_MM, BETTER, RESIDUAL_MM = 0.1, 0.4, 0.05
"""Steps are removed where the largest one is at least `STEPPED_MM` and the median residual without them is at
most `BETTER` times the one with them and at most `RESIDUAL_MM`. On paper that waves, a level for each island
also reduces the residual, but less."""
WITHIN = 0.7
"""Smallest share of the points that lies on islands."""
_POINTS_PER_TERM, _ROUNDS = 4, 4


def without_steps(grid: Grid) -> Grid:
    """The grid without the steps between its islands; the same object where it has none.

    A page that waves, or whose grid is seen in parts only, has islands but no steps: its lines continue from
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
    island = _islands(mm - smooth, seen, n_cols, grid.period_mm)
    inside = island >= 0
    if island.max() < 1 or inside.sum() < WITHIN * np.count_nonzero(seen):
        return mm
    size = np.bincount(island[inside])
    if size.max() > LARGEST_SHARE * inside.sum():
        return mm
    # Points between islands have little weight: any step will do, such as the largest island's.
    largest = int(size.argmax())
    own = np.where(inside, island, largest)
    for degree in DEGREES:
        lower = terms[inside, : len(powers(degree))]
        _, residual_mm = _common_polynomial(lower, mm[inside], np.zeros_like(own)[inside], grid.period_mm)
        levels, stepped_mm = _common_polynomial(lower, mm[inside], own[inside], grid.period_mm)
        steps = levels - levels[largest]
        has_steps = np.abs(within_period(steps, grid.period_mm)).max() >= STEPPED_MM
        if has_steps and stepped_mm <= min(RESIDUAL_MM, BETTER * residual_mm):
            out: NDArray[np.float64] = mm - steps[own]
            return out
    return mm


def _common_polynomial(
    terms: NDArray[np.float64], mm: NDArray[np.float64], island: NDArray[np.intp], period_mm: float
) -> tuple[NDArray[np.float64], float]:
    """Level of every island over the polynomial common to all, and the median residual.

    Args:
        terms: (n, terms) of the polynomial; mm: (n,); island: (n,) of each point.
    """

    def mean(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(island, weight * values) / np.maximum(np.bincount(island, weight), 1e-9)

    weight, levels, residual = np.ones(len(mm)), np.zeros(int(island.max()) + 1), np.zeros(len(mm))
    for _ in range(_ROUNDS):
        # Differences from the island's mean: they do not depend on its level.
        within = [column - mean(column, weight)[island] for column in terms[:, 1:].T]
        aim = mm - mean(mm, weight)[island]
        coefficients = weighted_least_squares(np.stack(within, axis=1), aim, np.sqrt(weight))
        over = mm - terms[:, 1:] @ coefficients
        levels = mean(over, weight)
        residual = within_period(over - levels[island], period_mm)
        weight = robust_weights(residual, robust_scale(residual, RESIDUAL_MM))
    return levels, float(np.median(np.abs(residual)))


def _islands(
    residual: NDArray[np.float64], seen: NDArray[np.bool_], n_cols: int, period_mm: float
) -> NDArray[np.intp]:
    """(n,) island of each point of a lattice: connected points without a step; -1 where it lies on none."""
    at = np.arange(residual.size).reshape(-1, n_cols)
    one = np.concatenate([at[:, :-1].ravel(), at[:-1].ravel()])
    other = np.concatenate([at[:, 1:].ravel(), at[1:].ravel()])
    step = np.abs(within_period(residual[one] - residual[other], period_mm))
    near = seen[one] & seen[other] & (step < STEP_MM)
    edges = sparse.csr_matrix((np.ones(near.sum()), (one[near], other[near])), shape=(residual.size,) * 2)
    _, label = csgraph.connected_components(edges, directed=False)
    size = np.bincount(label[seen], minlength=int(label.max()) + 1)
    large = np.flatnonzero(size >= max(ISLAND_POINTS, ISLAND_SHARE * np.count_nonzero(seen)))
    number = np.full(size.size, -1)
    number[large] = np.arange(large.size)
    return np.where(seen, number[label], -1)
