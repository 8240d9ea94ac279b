"""Steps between the grids of panels are removed; grids without steps stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.geometry.grid.find import Grid
from ecg_hough.geometry.grid.islands import without_steps

PX_PER_MM = 6.0
N_ROWS, N_COLS, PANEL = 30, 44, 10
"""Lattice of points: 3 x 4 panels of 10 x 10 points with one column of points between them."""


def one_grid(*, wave_mm: float = 0.0) -> Grid:
    """A grid at a lattice of points, 24 px apart, that waves along the page, and noise of 0.01 mm."""
    rows, cols = (at.ravel() * 24.0 for at in np.mgrid[:N_ROWS, :N_COLS].astype(float))
    rng = np.random.default_rng(0)
    wave = wave_mm * np.sin(rows / 250) * np.cos(cols / 300)
    y_mm, x_mm = (at / PX_PER_MM + wave + rng.normal(0, 0.01, at.size) for at in (rows, cols))
    ones = np.ones(rows.size)
    return Grid(
        rows, cols, y_mm, x_mm, ones, ones, 1.0, (PX_PER_MM,) * 2, (300.0, 400.0), 0.0, False, 6.0,
        np.zeros((720, 1056), np.float32), (1.0, 1.0),
    )  # fmt: skip


def panel_of_points() -> np.ndarray:
    """(n,) number of each point's panel, -1 between panels."""
    i, j = (at.ravel() for at in np.mgrid[:N_ROWS, :N_COLS])
    return np.where(j % (PANEL + 1) == PANEL, -1, (i // PANEL) * 4 + j // (PANEL + 1))


def in_panels(grid: Grid, steps_mm: np.ndarray) -> Grid:
    """The same with a step across the page for every panel, and no lines between them."""
    panel = panel_of_points()
    seen = (panel >= 0).astype(float)
    return replace(grid, x_mm=grid.x_mm + steps_mm[panel], y_weight=seen, x_weight=seen)


def test_steps_between_panels_are_removed() -> None:
    rng = np.random.default_rng(1)
    steps = np.repeat(rng.uniform(-0.45, 0.45, (1, 4)), 3, axis=0).ravel()
    whole = one_grid()
    found = without_steps(in_panels(whole, steps))
    inside = panel_of_points() >= 0
    residual = (found.x_mm - whole.x_mm)[inside]
    # Any origin; whole periods are slips that the fit of the map removes.
    residual -= np.median(residual)
    assert np.abs(residual - np.round(residual)).max() < 0.05
    assert found.y_mm == pytest.approx(whole.y_mm)


@pytest.mark.parametrize("wave_mm", [0.0, 0.8])
def test_a_grid_without_steps_is_the_same_object(wave_mm: float) -> None:
    whole = one_grid(wave_mm=wave_mm)
    assert without_steps(whole) is whole
    panels = in_panels(whole, np.zeros(12))
    assert without_steps(panels) is panels


def test_steps_of_whole_periods_are_slips_and_no_steps() -> None:
    panels = in_panels(one_grid(), np.arange(12) % 4 * 1.0)
    assert without_steps(panels) is panels


def test_too_few_points_show_no_steps() -> None:
    panels = in_panels(one_grid(), np.linspace(-0.4, 0.4, 12))
    few = np.zeros(panels.rows.size)
    few[::60] = 1.0
    unseen = replace(panels, y_weight=few, x_weight=few)
    assert without_steps(unseen) is unseen
