"""Traces on a raster: heights, beats, and what two stretches have in common."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.elements import RowTrace
from ecg_hough.signals.raster import (
    STEP_MM,
    activity,
    find_beats,
    on_raster,
    share_of_time_apart,
    share_of_variance_apart,
    upwards,
)


def row(y_mm: np.ndarray, step_mm: float = 1 / 16) -> RowTrace:
    x = 10.0 + step_mm * np.arange(y_mm.size)
    return RowTrace(0, x, y_mm, np.full(y_mm.size, 0.05), np.ones(y_mm.size))


def beats(places_mm: list[float], length_mm: float = 100.0) -> np.ndarray:
    """Narrow complexes on the raster."""
    x = np.arange(0.0, length_mm, STEP_MM)
    return sum((8.0 * np.exp(-(((x - mm) / 0.7) ** 2)) for mm in places_mm), np.zeros(x.size))


def test_heights_are_upwards_and_gaps_stay_gaps() -> None:
    y = np.linspace(40.0, 30.0, 161)
    y[80:96] = np.nan
    at = on_raster(row(y), 10.0, 10.0)
    assert at.size == 40
    assert at[0] == pytest.approx(-40.0)
    assert np.diff(at[:18]) == pytest.approx(np.full(17, STEP_MM))
    assert np.isnan(at[20:24]).all()
    assert np.isfinite(np.delete(at, range(19, 26))).all()
    # Beyond the row nothing is known.
    assert np.isnan(upwards(row(y), np.array([5.0, 25.0]))).all()


def test_beats_are_where_most_traces_are_steep() -> None:
    places = [20.0, 45.0, 70.0]
    traces = np.array([beats(places), -0.3 * beats(places), np.full(400, np.nan)])
    found = find_beats(traces) * STEP_MM
    assert found == pytest.approx(places, abs=1.0)
    # However tall, each trace counts alike; one without read-outs counts not at all.
    steep = activity(list(traces))
    assert steep == pytest.approx(activity([100.0 * traces[0], traces[1]]), rel=1e-6)


def test_stretches_are_compared_at_the_best_lag_and_without_offset() -> None:
    a = beats([20.0, 45.0, 70.0])
    for lag in (0, 4):
        b = np.roll(a, lag) + 3.0
        assert share_of_variance_apart(a, b) < 1e-9
        assert share_of_time_apart(a, b, 0.3) < 1e-9
    other = beats([30.0, 60.0, 85.0])
    assert share_of_variance_apart(a, other) > 0.1
    assert share_of_time_apart(a, other, 0.3) > 0.1
    # Where too little is known of both, they differ in all.
    assert share_of_variance_apart(a, np.full(a.size, np.nan)) == 1.0


def test_a_misread_stretch_costs_its_length_whatever_its_height() -> None:
    a = beats([20.0, 45.0, 70.0])
    shares = []
    for height in (5.0, 50.0):
        b = a.copy()
        b[200:240] += height
        shares.append(share_of_time_apart(a, b, 0.3))
    assert shares[0] == pytest.approx(shares[1])
    assert shares[0] == pytest.approx(0.1, abs=0.02)
