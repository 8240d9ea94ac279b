"""Maps fitted to the phase of grids whose map is known: flat, tilted and waving pages, outliers, slips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_hough.geometry import fit_map as module
from ecg_hough.geometry.fit_map import fit_map
from ecg_hough.geometry.grid.find import Grid
from ecg_hough.page_map import PageMap

SHAPE = (900, 1200)
PX_PER_MM = 6.0
Mm = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]


def flat(rows: NDArray[np.float64], cols: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Millimetres down and across of a page turned by 2 degrees."""
    a = np.deg2rad(2.0)
    return (rows * np.cos(a) + cols * np.sin(a)) / PX_PER_MM, (
        cols * np.cos(a) - rows * np.sin(a)
    ) / PX_PER_MM


def tilted(rows: NDArray[np.float64], cols: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """A page whose lower edge is nearer to the camera."""
    depth = 1.0 + 1.5e-4 * (rows - 450)
    return (rows - 450) / depth / PX_PER_MM, (cols - 600) / depth / PX_PER_MM


def waving(rows: NDArray[np.float64], cols: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    y, x = flat(rows, cols)
    return y + 1.2 * np.sin(cols / 150), x


def grid_of(page: Mm, *, noise_mm: float = 0.01) -> Grid:
    rows, cols = (at.ravel() for at in np.mgrid[10:890:24, 10:1190:24].astype(float))
    rng = np.random.default_rng(0)
    y_mm, x_mm = (mm + rng.normal(0, noise_mm, rows.size) for mm in page(rows, cols))
    ones = np.ones(rows.size)
    return Grid(
        rows, cols, y_mm, x_mm, ones, ones, 1.0, (PX_PER_MM,) * 2, (450.0, 600.0), 0.0, False, PX_PER_MM,
        np.zeros(SHAPE, np.float32), (1.0, 1.0),
    )  # fmt: skip


def errors_mm(found: PageMap, page: Mm) -> NDArray[np.float64]:
    """Distances from the true millimetres over the image, after the best shift."""
    rows, cols = (at.ravel() for at in np.mgrid[50:850:9j, 50:1150:11j])
    off = [got - true for got, true in zip(found.to_mm(rows, cols), page(rows, cols), strict=True)]
    return np.hypot(*(mm - np.median(mm) for mm in off))


@pytest.fixture
def phase_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """These grids have no pixels from which the phase could be read again."""
    monkeypatch.setattr(module, "follow_again", lambda grid, to_mm: grid)


def test_a_flat_page_has_an_affine_map() -> None:
    fitted = fit_map(grid_of(flat), SHAPE)
    assert fitted is not None
    page_map, residual_px, method = fitted
    assert method == "grid-affine"
    assert residual_px == pytest.approx(0.0067 * PX_PER_MM, rel=0.3)  # median of the noise's absolute values
    assert errors_mm(page_map, flat).max() < 0.005
    assert page_map.px_per_mm == pytest.approx((PX_PER_MM, PX_PER_MM), rel=1e-4)


def test_outliers_and_slips_of_whole_periods_do_not_move_the_map() -> None:
    grid = grid_of(flat)
    rng = np.random.default_rng(2)
    y_mm, x_mm = grid.y_mm.copy(), grid.x_mm.copy()
    wrong = rng.random(y_mm.size) < 0.1
    y_mm[wrong] += rng.uniform(-0.5, 0.5, wrong.sum())
    x_mm += rng.choice([-1.0, 0.0, 0.0, 0.0, 1.0], x_mm.size)
    fitted = fit_map(replace(grid, y_mm=y_mm, x_mm=x_mm), SHAPE)
    assert fitted is not None
    assert fitted[2] == "grid-affine"
    assert errors_mm(fitted[0], flat).max() < 0.01


@pytest.mark.slow
@pytest.mark.usefixtures("phase_is_read_once")
@pytest.mark.parametrize("page", [tilted, waving])
def test_pages_that_are_not_flat_have_a_map_by_the_phase(page: Mm) -> None:
    fitted = fit_map(grid_of(page), SHAPE)
    assert fitted is not None
    assert fitted[2] == "grid-phase"
    assert errors_mm(fitted[0], page).max() < 0.05


@pytest.mark.usefixtures("phase_is_read_once")
def test_points_that_fit_no_map_give_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_grown", lambda grid: None)
    assert fit_map(grid_of(flat, noise_mm=0.6), SHAPE) is None
    # A pitch that contradicts that of the spectrum.
    grid = grid_of(waving)
    assert fit_map(replace(grid, px_per_mm=(PX_PER_MM * 1.2,) * 2), SHAPE) is None


def test_too_few_points_give_none() -> None:
    grid = grid_of(flat)
    few = np.zeros(grid.rows.size)
    few[:10] = 1.0
    assert fit_map(replace(grid, x_weight=few), SHAPE) is None


def test_a_bends_normal_matrix_is_that_of_all_its_points() -> None:
    rng = np.random.default_rng(4)
    nodes, width = (7, 9), 3 * 9 + 3
    # Crowded on one side: cells hold several points, one, or none.
    points = rng.uniform(0, 1, (200, 2)) ** 2 * [400.0, 600.0]
    basis = module._spline_basis(points, nodes, 100.0)
    added, weight = module._bending(nodes), rng.uniform(0, 2, len(points))
    got = module._Normal.of(basis, added, width).weighted(weight)
    full = basis.toarray().T @ (weight[:, None] * basis.toarray()) + added.toarray()
    expected = np.zeros_like(got)
    for k in range(width + 1):
        expected[width - k, k:] = np.diagonal(full, k)
    assert np.allclose(got, expected, atol=1e-12)
