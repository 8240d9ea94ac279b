"""The fit of contested ink: known odds are found again; a read-out is off beyond the flank's width alone."""

import numpy as np
import pytest

from ecg_hough.training.contest_fit import _off, fit


def test_known_odds_are_found_again():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4000, 2)) * [1.0, 5.0] + [0.0, 2.0]
    odds = features @ [1.5, -0.2] - 0.5
    wrong = rng.random(4000) < 1 / (1 + np.exp(-odds))
    weights, bias = fit(features, wrong)
    assert weights == pytest.approx([1.5, -0.2], abs=0.15)
    assert bias == pytest.approx(-0.5, abs=0.2)


def test_a_read_out_is_off_beyond_what_the_course_reaches_nearby():
    x = np.arange(200) / 16.0
    true = np.where(np.abs(x - 6.0) < 0.5, 10.0, 30.0)
    late = np.where(np.abs(x - 6.2) < 0.5, 10.0, 30.0)
    assert _off(x, late, true, x).max() == pytest.approx(0.0)
    cut = np.full(x.size, 30.0)
    assert _off(x, cut, true, x).max() == pytest.approx(20.0)
    assert np.isnan(_off(x, cut, true[:100], x[:100])[120:]).all()
