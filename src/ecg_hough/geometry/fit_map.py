"""The page map that fits the phase of a printed grid.

In: `Grid`, the phase at points of the page. Out: the `PageMap`, affine for a flat page that was scanned or
drawn; else a homography, for a camera's perspective, plus a stiff spline, for paper that waves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import solveh_banded

from ecg_hough.cores import side_by_side
from ecg_hough.geometry.grid.find import GOOD_SUPPORT, Grid, follow_again, read_along, within_period
from ecg_hough.geometry.grid.islands import without_steps
from ecg_hough.numeric import robust_scale, robust_weights
from ecg_hough.page_map import PageMap
from ecg_hough.paper import GRID_MAJOR_MM

_NODE_MM = 12.0  # spacing of the displacement lattice
LATTICE_MM = 6.0  # spacing of the page map given
_BENDING = 0.3  # stiffness of the displacement, relative to points of weight 1
_AFFINE_MM = 0.02  # median error above which a page is not flat
_OUTLIER_MM = 0.08  # smallest scale of the robust weights
_MIN_POINTS = 12
_READINGS = 4  # largest number of readings of the phase, each along the map of the one before
_GAIN = 1.05  # factor by which a reading must increase the support for another one to follow
_MIN_SUPPORT = 0.15  # of the image, at the end
_THINNED = (3, 2)  # every third point of the first reading is used, every second of the others
_PITCH_REACH_MM = 15.0  # to either side of the place where the lines are clearest
_PITCH_OFF_MAX = 0.12  # log ratio; tilted pages that were followed well have up to 0.09
_GROWN_FROM_MM, _GROWN_TIMES = 30.0, 1.3  # first radius around that place, and factor from one to the next
_TILTED_FROM_MM = 50.0  # radius from which the perspective of a camera can be fitted
_MAX_SPAN = 4.0  # of the image's size at the mean pitch; beyond it the camera would look along the page


def fit_map(grid: Grid, shape: tuple[int, int]) -> tuple[PageMap, float, str] | None:
    """Map fitted to a grid's points.

    Args:
        shape: rows and cols of the image.

    Returns:
        The map, the median error in px, and the method as in `PageGeometry`; None if no map fits the points.
    """
    grid = without_steps(grid)
    points, mm, trust = _points(grid, 1)
    if min(np.count_nonzero(w) for w in trust) < _MIN_POINTS:
        return None
    pitch = float(np.sqrt(grid.px_per_mm[0] * grid.px_per_mm[1]))
    flat = _fit_flat(points, mm, trust, grid.period_mm, projective=False)
    error_mm = _median_error(flat(points), mm, trust, grid.period_mm)
    if error_mm <= _AFFINE_MM:
        page_map = _invert(flat, flat, shape, pitch)
        return None if page_map is None else (page_map, error_mm * pitch, "grid-affine")
    # The map of the first reading only guides the next one.
    first = _fit_bend(*_points(grid, _THINNED[0]), grid, shape)
    fitted = _fit_again(grid, *first, shape)
    if fitted is None and not grid.ambiguous and (plane := _grown(grid)) is not None:
        fitted = _fit_again(grid, plane, plane, shape)
    return fitted


def _fit_again(
    grid: Grid, plane: _Flat, bent: _Flat | _Bend, shape: tuple[int, int]
) -> tuple[PageMap, float, str] | None:
    """As `fit_map`, with the phase read again along an approximate map."""
    for reading in range(_READINGS):
        before = grid.support
        grid = without_steps(follow_again(grid, bent))
        points, mm, trust = _points(grid, _THINNED[1])
        plane, bent = _fit_bend(points, mm, trust, grid, shape)
        gained = grid.support > _GAIN * before
        if not gained and (reading > 0 or grid.support > GOOD_SUPPORT):
            break
    error_mm = _median_error(bent(points), mm, trust, grid.period_mm)
    uncertain = error_mm > grid.period_mm / 8 or grid.support < _MIN_SUPPORT
    if uncertain or _pitch_off(bent, grid) > _PITCH_OFF_MAX:
        return None
    pitch = float(np.sqrt(grid.px_per_mm[0] * grid.px_per_mm[1]))
    page_map = _invert(bent, plane, shape, pitch)
    return None if page_map is None else (page_map, error_mm * pitch, "grid-phase")


def _grown(grid: Grid) -> _Flat | None:
    """Homography of a tilted page: 5 mm lines are followed outwards from where they are clearest.

    One cubic phase for the whole page slips by whole periods if the camera was close. Near the clearest place
    it does not, and each fit predicts the lines a little farther away. None where they are lost.
    """
    place, pitch = np.array(grid.place), float(np.mean(grid.px_per_mm))
    cos, sin = np.cos(np.deg2rad(grid.angle_deg)), np.sin(np.deg2rad(grid.angle_deg))

    def seed(points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        return list(((points - place) @ np.array([[cos, -sin], [sin, cos]]) / grid.px_per_mm).T)

    model: Callable[[NDArray[np.float64]], list[NDArray[np.float64]]] = seed
    reach_mm = _GROWN_FROM_MM
    while True:
        points, mm, trust = _points(read_along(grid, model, GRID_MAJOR_MM, GRID_MAJOR_MM), 1)
        near = np.hypot(*(points - place).T) <= reach_mm * pitch
        trust = [weight * near for weight in trust]
        if min(np.count_nonzero(weight) for weight in trust) < _MIN_POINTS:
            return None
        model = flat = _fit_flat(points, mm, trust, GRID_MAJOR_MM, projective=reach_mm > _TILTED_FROM_MM)
        if near.all():
            return flat
        reach_mm *= _GROWN_TIMES


def _pitch_off(model: _Flat | _Bend, grid: Grid) -> float:
    """Log ratio of the map's pitch to that of the grid's spectrum where it is clearest; of the worse family.

    A phase that slips all over the page has small residuals, but another pitch.
    """
    half = _PITCH_REACH_MM * float(np.mean(grid.px_per_mm))
    cross = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    log_ratios = [
        np.log(np.hypot(v[0] - v[1], v[2] - v[3]) / (2.0 * half) * pitch)
        for v, pitch in zip(model(np.array(grid.place) + half * cross), grid.px_per_mm, strict=True)
    ]
    return float(np.abs(log_ratios).max())


def _points(
    grid: Grid, every: int
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Points (n, 2) px of a grid, one of `every`, with the millimetres and weights of both families."""
    points = np.column_stack([grid.rows, grid.cols])[::every]
    trust = [every * grid.y_weight[::every], every * grid.x_weight[::every]]
    return points, [grid.y_mm[::every], grid.x_mm[::every]], trust


def _fit_bend(
    points: NDArray[np.float64],
    mm: list[NDArray[np.float64]],
    trust: list[NDArray[np.float64]],
    grid: Grid,
    shape: tuple[int, int],
) -> tuple[_Flat, _Bend]:
    """Homography fitted to points of a grid, and the same plus a displacement."""
    pitch = float(np.sqrt(grid.px_per_mm[0] * grid.px_per_mm[1]))
    plane = _fit_flat(points, mm, trust, grid.period_mm, projective=True)
    return plane, _Bend.fit(plane, points, mm, trust, grid.period_mm, shape, _NODE_MM * pitch)


def _median_error(
    model_mm: list[NDArray[np.float64]],
    mm: list[NDArray[np.float64]],
    trust: list[NDArray[np.float64]],
    period_mm: float,
) -> float:
    """Median residual in mm of points with weight, without whole periods, of the family that fits worse.

    On a page that waves in one direction only, the lines along the other one are straight.
    """
    medians = []
    for model, seen, weight in zip(model_mm, mm, trust, strict=True):
        error = (model - seen)[weight > 0]
        medians.append(float(np.median(np.abs(within_period(error, period_mm)))))
    return max(medians)


@dataclass(frozen=True)
class _Flat:
    """px -> mm of a flat page seen by a camera: homography (3, 3) on normalised (row, col, 1)."""

    matrix: NDArray[np.float64]
    centre: NDArray[np.float64]
    half: float

    def __call__(self, points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        p = np.column_stack([(points - self.centre) / self.half, np.ones(len(points))])
        y, x, z = self.matrix @ p.T
        return [y / z, x / z]

    def inverse(self, y_mm: NDArray[np.float64], x_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) px."""
        r, c, z = np.linalg.inv(self.matrix) @ np.stack([y_mm, x_mm, np.ones(len(y_mm))])
        return np.column_stack([r / z, c / z]) * self.half + self.centre


def _fit_flat(
    points: NDArray[np.float64],
    mm: list[NDArray[np.float64]],
    trust: list[NDArray[np.float64]],
    period_mm: float,
    *,
    projective: bool,
) -> _Flat:
    """Affine map or homography by robust least squares; slips of whole periods are removed."""
    centre = points.mean(axis=0)
    half = float(np.abs(points - centre).max())
    p = np.column_stack([(points - centre) / half, np.ones(len(points))])
    n_free = 8 if projective else 6
    flat = _Flat(np.eye(3), centre, half)
    scale = [np.inf] * 2
    for step in range(12):
        model = flat(points)
        rows, target = [], []
        for k in range(2):
            seen = mm[k]
            weight = np.sqrt(trust[k])
            if step:
                error = seen - model[k]
                if step > 3 and scale[k] < period_mm / 6:
                    error = within_period(error, period_mm)
                    seen = model[k] + error
                scale[k] = robust_scale(error[weight > 0], _OUTLIER_MM)
                weight = robust_weights(error, scale[k], prior=weight)
            matrix = np.zeros((len(points), n_free))
            matrix[:, 3 * k : 3 * k + 3] = p
            if projective:
                matrix[:, 6:] = -seen[:, None] * p[:, :2]
            rows.append(matrix * weight[:, None])
            target.append(seen * weight)
        matrix, aim = np.concatenate(rows), np.concatenate(target)
        # By normal equations: exact enough for a few unknowns and points scaled to at most 1.
        solved, *_ = np.linalg.lstsq(matrix.T @ matrix, matrix.T @ aim, rcond=None)
        bottom = [*solved[6:], 1.0] if projective else [0.0, 0.0, 1.0]
        flat = _Flat(np.array([solved[:3], solved[3:6], bottom]), centre, half)
    return flat


@dataclass(frozen=True)
class _Bend:
    """px -> mm of a page that is not flat: homography plus a stiff displacement by cubic B-splines.

    Attributes:
        nodes: rows and cols of the lattice of splines; step: its spacing, px.
        displacement: (nodes,) coefficients in mm, down and across.
    """

    flat: _Flat
    nodes: tuple[int, int]
    step: float
    displacement: tuple[NDArray[np.float64], NDArray[np.float64]]

    def __call__(self, points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        basis = _spline_basis(points, self.nodes, self.step)
        return [m + basis @ d for m, d in zip(self.flat(points), self.displacement, strict=True)]

    @classmethod
    def fit(
        cls,
        flat: _Flat,
        points: NDArray[np.float64],
        mm: list[NDArray[np.float64]],
        trust: list[NDArray[np.float64]],
        period_mm: float,
        shape: tuple[int, int],
        step: float,
    ) -> _Bend:
        """Robust least squares for the displacement, slips of whole periods removed; arguments as above."""
        step = max(step, max(shape) / 40)
        nodes = (int(np.ceil(shape[0] / step)) + 3, int(np.ceil(shape[1] / step)) + 3)
        basis = _spline_basis(points, nodes, step)
        normal = _Normal.of(basis, _BENDING * _bending(nodes), 3 * nodes[1] + 3)
        transposed = basis.T.tocsr()

        def displacement(family: tuple[NDArray[np.float64], ...]) -> NDArray[np.float64]:
            base, seen, weight = family
            error = seen - base
            fit: NDArray[np.float64] = np.zeros(len(points))
            coefficients: NDArray[np.float64] = np.zeros(basis.shape[1])
            for turn in range(6):
                residual = error - fit
                if turn > 3:
                    residual = within_period(residual, period_mm)
                scale = robust_scale(residual[weight > 0], _OUTLIER_MM) if turn else np.inf
                w = robust_weights(residual, scale, 2.0, prior=weight)
                coefficients = solveh_banded(normal.weighted(w), transposed @ (w * (fit + residual)))
                fit = basis @ coefficients
            return coefficients

        down, across = side_by_side(displacement, list(zip(flat(points), mm, trust, strict=True)))
        return cls(flat, nodes, step, (down, across))


@dataclass(frozen=True)
class _Normal:
    """Normal matrix of a spline's weighted least squares, the upper half of its band.

    Points of one cell of the lattice share their 16 splines, so it is a sum of small dense matrices.

    Attributes:
        members: (cells, m) indices of the points of every cell, padded with the number of points.
        values: (cells, m, 16) of the splines at them.
        places: (cells, 16, 16) index of every pair of splines in `band`, its size for the lower half.
        band: (band + 1, nodes) quadratic form that is added.
    """

    members: NDArray[np.intp]
    values: NDArray[np.float64]
    places: NDArray[np.intp]
    band: NDArray[np.float64]

    @classmethod
    def of(cls, basis: sparse.csr_matrix, added: sparse.csr_matrix, width: int) -> _Normal:
        """Normal matrix of a `_spline_basis` plus a quadratic form, both within `width` of the diagonal."""
        n, n_nodes = basis.shape
        splines = basis.indices.reshape(n, -1)
        first, cell, count = np.unique(splines[:, 0], return_inverse=True, return_counts=True)
        order = np.argsort(cell, kind="stable")
        place = np.arange(n) - np.repeat(np.cumsum(count) - count, count)
        members = np.full((first.size, int(count.max())), n)
        members[cell[order], place] = order
        values = np.zeros((n + 1, splines.shape[1]))
        values[:n] = basis.data.reshape(n, -1)
        of_cell = splines[members[:, 0]]
        row, col = of_cell[:, :, None], of_cell[:, None, :]
        size = (width + 1) * n_nodes
        places = np.where(row <= col, (width + row - col) * n_nodes + col, size)
        band = np.zeros((width + 1, n_nodes))
        entries = sparse.triu(added).tocoo()
        band[width + entries.row - entries.col, entries.col] = entries.data
        return cls(members, values[members], places, band)

    def weighted(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """(band + 1, nodes) for the points' weights (n,)."""
        weighted = self.values * np.append(weight, 0.0)[self.members][..., None]
        products = self.values.transpose(0, 2, 1) @ weighted
        summed = np.bincount(self.places.ravel(), products.ravel(), self.band.size + 1)[:-1]
        return self.band + summed.reshape(self.band.shape)


def _spline_basis(points: NDArray[np.float64], nodes: tuple[int, int], step: float) -> sparse.csr_matrix:
    """(n, nodes) values of all uniform cubic B-splines at points (n, 2); constant outside their lattice."""
    values, places = [], []
    for axis in range(2):
        t = np.clip(points[:, axis] / step, 0, nodes[axis] - 3 - 1e-9)
        first = t.astype(int)
        u = t - first
        values.append(
            np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], 1) / 6
        )
        places.append(first[:, None] + np.arange(4))
    weight = (values[0][:, :, None] * values[1][:, None, :]).reshape(len(points), 16)
    column = (places[0][:, :, None] * nodes[1] + places[1][:, None, :]).reshape(len(points), 16)
    row = np.repeat(np.arange(len(points)), 16)
    size = (len(points), nodes[0] * nodes[1])
    return sparse.csr_matrix((weight.ravel(), (row, column.ravel())), shape=size)


def _bending(nodes: tuple[int, int]) -> sparse.csr_matrix:
    """Quadratic form of the thin-plate energy of a lattice of nodes."""

    def difference(n: int, order: int) -> sparse.csr_matrix:
        taps = ([-1.0, 1.0], [1.0, -2.0, 1.0])[order - 1]
        return sparse.csr_matrix(sparse.diags(taps, list(range(order + 1)), shape=(n - order, n)))

    h, w = nodes
    parts = [
        sparse.kron(difference(h, 2), sparse.identity(w)),
        sparse.kron(sparse.identity(h), difference(w, 2)),
        np.sqrt(2) * sparse.kron(difference(h, 1), difference(w, 1)),
    ]
    form = sum(part.T @ part for part in parts)
    return sparse.csr_matrix(form + 1e-7 * sparse.identity(h * w))


def _invert(model: _Flat | _Bend, flat: _Flat, shape: tuple[int, int], pitch_px: float) -> PageMap | None:
    """Page map of the whole image from px -> mm; None if the image reaches the page's horizon."""
    rows, cols = shape
    edge = np.stack(np.meshgrid(np.linspace(0, rows, 25), np.linspace(0, cols, 25), indexing="ij"), -1)
    y, x = model(edge.reshape(-1, 2))
    span_mm = max(v.max() - v.min() for v in (y, x))
    if not span_mm < _MAX_SPAN * max(shape) / pitch_px:
        return None
    spacing = max(LATTICE_MM, max(shape) / pitch_px / 80)
    axes = [
        np.linspace(v.min(), v.max(), max(4, int(np.ceil((v.max() - v.min()) / spacing)) + 1)) for v in (y, x)
    ]
    at_y, at_x = (g.ravel() for g in np.meshgrid(*axes, indexing="ij"))
    points = flat.inverse(at_y, at_x)
    if model is not flat:
        flat_y, flat_x = at_y, at_x
        for _ in range(8):
            bent_y, bent_x = model(points)
            flat_y, flat_x = flat_y + at_y - bent_y, flat_x + at_x - bent_x
            points = flat.inverse(flat_y, flat_x)
    seen = points.reshape(len(axes[0]), len(axes[1]), 2)
    return PageMap(y_mm=axes[0] - axes[0][0], x_mm=axes[1] - axes[1][0], rows=seen[..., 0], cols=seen[..., 1])
