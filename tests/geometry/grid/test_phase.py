"""Phase of a grid: polynomials evaluated, followed and demodulated against phases that are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_hough.geometry.grid.combs import find_combs, tile_power
from ecg_hough.geometry.grid.phase import _unwrap, follow_harmonics, phase_points, smooth_phase
from ecg_hough.numeric import polynomial_terms

SHAPE = (520, 640)


def known_phases() -> list[NDArray[np.float64]]:
    """Cycles of both families (rows, cols): lines about 12 px apart whose distance grows down the page."""
    r, c = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    bent = (r - 260) ** 2 * 1e-5
    return [r / 12 - bent + c / 400, c / 12 + 0.2 * bent - r / 400]


def evidence(phases: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Dark where a phase is a whole number of cycles, with five harmonics, and noise."""
    out = sum(np.exp(-((cycles - np.round(cycles)) ** 2) / 0.01) for cycles in phases)
    return (out - np.mean(out) + np.random.default_rng(0).normal(0, 0.1, SHAPE)).astype(np.float32)


@pytest.mark.parametrize("degree", [1, 3, 5])
def test_a_smooth_phase_is_its_polynomial_over_the_page(degree: int) -> None:
    rng = np.random.default_rng(degree)
    rows, cols = np.arange(5.0, 400.0, 37.0), np.arange(0.0, 600.0, 53.0)
    r, c = (at.ravel() for at in np.meshgrid((rows - 260) / 320, (cols - 320) / 320, indexing="ij"))
    terms = polynomial_terms(r, c, degree)[:, 1:]
    model = rng.normal(0, 5, terms.shape[1])
    got = smooth_phase(model, rows, cols, SHAPE)
    assert got.shape == (rows.size, cols.size)
    assert got.ravel() == pytest.approx(terms @ model, abs=1e-4)


def test_demodulation_measures_a_phase_from_one_that_is_near_it() -> None:
    true = known_phases()
    r, c = np.mgrid[: SHAPE[0], : SHAPE[1]]
    near = true[0] + 0.3 * np.sin(r / 300) - 0.2 * np.cos(c / 250)
    points, cycles, weight = phase_points(evidence(true), near.astype(np.float32), 15.0)
    rows, cols = points.T
    # Points lie between pixels: the phase there is the mean of four.
    i, j = (np.floor(at).astype(int) for at in (rows, cols))
    expected = np.mean([true[0][i + a, j + b] for a in (0, 1) for b in (0, 1)], axis=0)
    inner = (np.abs(rows - 260) < 200) & (np.abs(cols - 320) < 260)
    assert (weight[inner] > 0.1).mean() > 0.95
    error = (cycles - expected)[inner & (weight > 0)]
    assert np.abs(error - np.round(np.median(error))).max() < 0.03


def test_a_phase_has_no_weight_where_there_are_no_lines() -> None:
    true = known_phases()
    half = evidence(true)
    half[:, :320] = np.random.default_rng(3).normal(0, 0.3, (SHAPE[0], 320))
    points, _, weight = phase_points(half, true[0].astype(np.float32), 15.0)
    assert (weight[points[:, 1] < 280] > 0.1).mean() < 0.05
    assert (weight[points[:, 1] > 360] > 0.1).mean() > 0.9


def test_unwrapping_removes_steps_of_whole_cycles() -> None:
    r, c = np.mgrid[:20, :30]
    true = 0.21 * r - 0.17 * c + 0.004 * r * c
    turns = _unwrap(true - np.round(true), np.ones(true.shape)) - true
    assert np.ptp(turns) == pytest.approx(0.0, abs=1e-9)
    assert turns[0, 0] == pytest.approx(round(turns[0, 0]), abs=1e-9)


def test_harmonics_are_followed_over_a_page_whose_pitch_changes() -> None:
    true = known_phases()
    page = evidence(true)
    power, centres = tile_power(page)
    combs = find_combs(power, centres)
    assert combs is not None
    ((harmonic, models),) = follow_harmonics(power, centres, combs, (1,), SHAPE)
    assert harmonic == 1
    rows, cols = np.arange(30, 500, 40), np.arange(30, 620, 40)
    for model, cycles in zip(models, true, strict=True):
        difference = smooth_phase(model, rows, cols, SHAPE) - cycles[np.ix_(rows, cols)]
        # Any constant; within a quarter of a cycle, which demodulation then removes.
        assert np.abs(difference - np.median(difference)).max() < 0.25


def test_noise_has_no_harmonics_to_follow() -> None:
    power, centres = tile_power(evidence(known_phases()))
    combs = find_combs(power, centres)
    assert combs is not None
    noise, _ = tile_power(np.random.default_rng(5).normal(0, 1, SHAPE).astype(np.float32))
    assert follow_harmonics(noise, centres, combs, (1, 2), SHAPE) == []
