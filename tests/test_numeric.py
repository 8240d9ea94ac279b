import numpy as np
import pytest

from ecg_hough.numeric import (
    peak_offset,
    polynomial_slopes,
    polynomial_terms,
    powers,
    robust_scale,
    robust_weights,
    runs,
    weighted_least_squares,
)


def test_runs_of_a_mask() -> None:
    assert runs(np.array([True, True, False, True])) == [(0, 2), (3, 4)]
    assert runs(np.zeros(3, bool)) == []


def test_robust_weights_halve_at_their_scale_and_forget_outliers() -> None:
    assert robust_weights([0.0, 2.0, -2.0], 2.0) == pytest.approx([1.0, 0.5, 0.5])
    assert robust_weights(2.0, 2.0, 2.0) == pytest.approx(0.25)
    assert robust_weights(1e6, 1.0) < 1e-9
    prior = np.array([4.0, 4.0, 0.0])
    assert robust_weights([0.0, 2.0, 2.0], 2.0, prior=prior) == pytest.approx([4.0, 2.0, 0.0])
    rng = np.random.default_rng(0)
    residual = rng.normal(scale=0.3, size=20_000)
    residual[:2000] = 50.0
    assert robust_scale(residual, 0.01) == pytest.approx(0.3, rel=0.2)
    assert robust_scale(residual, 1.0) == 1.0


def test_least_squares_with_weights_finds_a_line_past_an_outlier() -> None:
    x = np.arange(10.0)
    matrix, value, weight = np.column_stack([np.ones(10), x]), 2.0 + 3.0 * x, np.ones(10)
    value[4], weight[4] = 99.0, 0.0
    assert weighted_least_squares(matrix, value, weight) == pytest.approx([2.0, 3.0])


def test_the_vertex_of_a_parabola() -> None:
    true = np.array([-0.4, 0.0, 0.3])
    before, at, after = (5.0 - (place - true) ** 2 for place in (-1, 0, 1))
    assert peak_offset(before, at, after) == pytest.approx(true)
    assert peak_offset(1.0, 0.0, 1.0) == 0.0
    assert peak_offset(1.0, 1.0, 1.0) == 0.0
    assert peak_offset(*np.float32([[1.0], [2.0], [1.5]])).dtype == np.float32


def test_terms_of_a_polynomial_in_two_variables() -> None:
    assert powers(2) == [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0)]
    r, c = np.array([2.0]), np.array([3.0])
    assert polynomial_terms(r, c, 2).tolist() == [[1.0, 3.0, 2.0, 9.0, 6.0, 4.0]]


@pytest.mark.parametrize("degree", [0, 1, 4])
def test_slopes_of_a_polynomial_are_its_differences(degree: int) -> None:
    r, c = np.random.default_rng(0).uniform(-1, 1, (2, 7))
    by_r, by_c = polynomial_slopes(r, c, degree)
    step = 1e-5
    upper, lower = (polynomial_terms(r + d, c, degree) for d in (step, -step))
    assert by_r == pytest.approx((upper - lower) / (2 * step), abs=1e-8)
    upper, lower = (polynomial_terms(r, c + d, degree) for d in (step, -step))
    assert by_c == pytest.approx((upper - lower) / (2 * step), abs=1e-8)
