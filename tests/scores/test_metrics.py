"""Metrics against values worked out by hand and against the slow form of the Challenge's definition."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, signal

from ecg_hough.scores import metrics

FS = 500


def beats(seconds: float = 4.0, fs: float = FS) -> NDArray[np.float64]:
    """A lead with uneven RR intervals, so that only one lag fits."""
    t = np.arange(round(seconds * fs)) / fs
    lead = 0.05 * np.sin(2.0 * np.pi * 0.3 * t)
    for at in (0.4, 1.15, 2.1, 2.7, 3.6):
        lead += 1.2 * np.exp(-(((t - at) / 0.012) ** 2)) + 0.25 * np.exp(-(((t - at - 0.25) / 0.05) ** 2))
    return lead


def later(lead: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
    return np.concatenate((np.full(samples, np.nan), lead[:-samples]))


def definition_of_shift(ref: NDArray[np.float64], est: NDArray[np.float64]) -> tuple[int, float]:
    """The Challenge's shift in its slow form: both whole images, full correlation, zero lag in the middle."""
    low, high = min(np.nanmin(ref), np.nanmin(est)), max(np.nanmax(ref), np.nanmax(est))
    images = []
    for lead in (ref, est):
        image = np.zeros((256, ref.size))
        at = np.flatnonzero(np.isfinite(lead))
        image[np.round(255 * (lead[at] - low) / (high - low)).astype(int), at] = 1.0
        images.append(ndimage.gaussian_filter(image, 0.5))
    cross = signal.fftconvolve(images[1], images[0][::-1, ::-1])
    row, col = np.unravel_index(np.argmax(cross), cross.shape)
    return int(col) - (ref.size - 1), (int(row) - 255) / 255 * (high - low)


def test_unaligned_snr_of_a_constant_ratio() -> None:
    ref = beats()
    assert metrics.unaligned_snr(ref, 1.1 * ref) == pytest.approx(20.0)
    assert metrics.unaligned_snr(ref, 0.0 * ref) == pytest.approx(0.0)


def test_alpha_halves_the_ratio_when_half_is_missing() -> None:
    ref = np.tile([1.0, -1.0], 500)
    est = 1.1 * ref
    est[500:] = np.nan
    assert metrics.unaligned_snr(ref, est) == pytest.approx(10.0)


def test_reference_nan_does_not_count() -> None:
    ref = np.tile([1.0, -1.0], 500)
    est = 1.1 * ref
    ref[:400] = np.nan
    assert metrics.unaligned_snr(ref, est) == pytest.approx(20.0)


def test_no_overlap_perfect_and_zero_lead() -> None:
    ref = beats()
    nothing = np.full_like(ref, np.nan)
    assert metrics.challenge_snr(ref, nothing, FS) == 0.0
    assert np.isnan(metrics.challenge_snr(ref, ref, FS))
    assert np.isnan(metrics.challenge_snr(0.0 * ref, ref, FS))
    assert np.isnan(metrics.challenge_snr(nothing, ref, FS))
    assert metrics.challenge_score([10.0, float("nan"), 0.0]) == 5.0
    assert np.isnan(metrics.challenge_score([float("nan")]))


def test_challenge_shift_is_found_and_taken_back() -> None:
    ref = beats()
    est = later(ref, 50) + 0.3
    found = metrics.challenge_align(ref, est, FS)
    level_mv = (np.nanmax(est) - ref.min()) / 255
    assert found.applied
    assert found.shift_s == pytest.approx(0.1)
    assert found.shift_mv == pytest.approx(0.3, abs=level_mv)
    assert np.isnan(found.signal[-50:]).all()
    assert np.nanmax(np.abs(found.signal - ref)) < level_mv
    assert metrics.challenge_snr(ref, est, FS) > 30.0 * (ref.size - 50) / ref.size
    assert metrics.unaligned_snr(ref, est) < 3.0


@pytest.mark.parametrize(("samples", "offset_mv"), [(300, 0.0), (0, 1.2)])
def test_challenge_shift_over_the_limit_is_not_used(samples: int, offset_mv: float) -> None:
    ref = beats()
    est = (later(ref, samples) if samples else ref) + offset_mv
    found = metrics.challenge_align(ref, est, FS)
    assert not found.applied
    np.testing.assert_array_equal(found.signal, est)
    assert metrics.challenge_snr(ref, est, FS) == metrics.unaligned_snr(ref, est)


@pytest.mark.parametrize("seed", range(4))
def test_cropped_float32_correlation_equals_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ref = beats(2.0) + rng.normal(0.0, 0.01, 2 * FS)
    est = 1.1 * np.roll(ref, int(rng.integers(-80, 80))) + rng.uniform(-0.3, 0.3)
    ref[: int(rng.integers(0, 3))] = np.nan
    est[700:800] = np.nan
    if seed % 2:
        ref[600:], est[:100] = np.nan, np.nan
    found = metrics.challenge_align(ref, est, FS)
    lag, shift_mv = definition_of_shift(ref, est)
    assert found.shift_s * FS == pytest.approx(lag)
    assert found.shift_mv == pytest.approx(shift_mv)


def test_lengths_may_differ_and_bad_arguments_are_refused() -> None:
    ref = beats()
    assert metrics.challenge_align(ref, ref[:1500], FS).signal.size == ref.size
    assert metrics.unaligned_snr(ref, 1.1 * np.append(ref, 5.0)) == pytest.approx(20.0)
    with pytest.raises(ValueError, match="must be 1-D"):
        metrics.challenge_snr(ref[None], ref, FS)
    with pytest.raises(ValueError, match="fs must be positive"):
        metrics.challenge_snr(ref, ref, 0)


def test_ks_asci_and_weighted_difference_by_hand() -> None:
    ref = np.array([1.0, 1.0, 1.0, 1.0, np.nan])
    est = np.array([3.0, 1.0, 1.0, 1.0, 9.0])
    assert metrics.ks_metric(ref, est) == pytest.approx(1.0 - (0.5 - 0.25))
    square = np.tile([1.0, -1.0], 50)  # standard deviation 1
    assert metrics.asci_metric(square, square + np.repeat([0.04, 0.06], 50)) == pytest.approx(0.0)
    assert metrics.asci_metric(square, square + 0.04) == 1.0
    assert metrics.weighted_absolute_difference(beats(), beats() + 0.2, FS) == pytest.approx(0.2)
    assert np.isnan(metrics.ks_metric(ref, ref * np.nan))
    with pytest.raises(ValueError, match="beta"):
        metrics.asci_metric(ref, est, beta=0.0)


def test_kaggle_lag_and_offset_cost_only_the_vacated_samples() -> None:
    ref = np.zeros((12, 2000))
    ref[0] = beats()
    ref[1:] = np.nan
    est = np.full_like(ref, np.nan)
    est[0] = np.concatenate((np.full(40, ref[0, 0]), ref[0, :-40])) + 0.5
    ratio = metrics.kaggle_page_ratio(ref, est, FS, cap=1e6)
    assert ratio == pytest.approx(np.sum(ref[0] ** 2) / np.sum(ref[0, -40:] ** 2), rel=1e-6)


def test_kaggle_lag_beyond_a_fifth_of_a_second_is_not_followed() -> None:
    ref = np.tile(beats(), (12, 1))
    near, far = (np.stack([np.roll(lead, samples) for lead in ref]) for samples in (100, 101))
    assert metrics.kaggle_page_ratio(ref, near, FS) > 20.0
    assert metrics.kaggle_page_ratio(ref, far, FS) < metrics.kaggle_page_ratio(ref, near, FS)


def test_kaggle_constant_ratio_cap_and_unread_samples() -> None:
    ref = np.tile(np.tile([1.0, -1.0], 500), (12, 1))
    assert metrics.kaggle_page_ratio(ref, 1.1 * ref, FS) == pytest.approx(100.0)
    assert metrics.kaggle_page_ratio(ref, ref, FS) == 384.0
    assert metrics.kaggle_page_ratio(ref, ref, FS, cap=1e6) == 1e6
    assert metrics.kaggle_page_ratio(ref, 1.001 * ref, FS) == 384.0
    assert metrics.kaggle_page_ratio(ref, ref * np.nan, FS) == pytest.approx(1.0)
    assert np.isnan(metrics.kaggle_page_ratio(ref * np.nan, ref, FS))
    assert metrics.kaggle_score([100.0, 0.0]) == pytest.approx(10.0 * np.log10(50.0))
    assert metrics.kaggle_score([0.0]) == float("-inf")
    with pytest.raises(ValueError, match="one shape"):
        metrics.kaggle_page_ratio(ref, ref[:, :-1], FS)


def test_kaggle_sums_power_over_leads() -> None:
    ref = np.tile(np.tile([1.0, -1.0], 500), (12, 1))
    est = ref.copy()
    est[3] = 2.0 * ref[3]
    assert metrics.kaggle_page_ratio(ref, est, FS) == pytest.approx(12.0)


def test_plain_errors() -> None:
    ref = np.array([0.0, 1.0, 2.0, 3.0, np.nan])
    est = np.array([1.0, 1.0, 2.0, 6.0, 7.0])
    assert metrics.rmse_mv(ref, est) == pytest.approx(np.sqrt(10.0 / 4.0))
    assert metrics.mae_mv(ref, est) == pytest.approx(1.0)
    assert metrics.pearson_r(ref, 2.0 * ref - 1.0) == pytest.approx(1.0)
    empty = np.full(5, np.nan)
    for metric in (metrics.rmse_mv, metrics.mae_mv, metrics.pearson_r):
        assert np.isnan(metric(ref, empty))


@pytest.mark.parametrize("late_s", [-0.04, 0.0, 0.01, 0.1])
def test_a_shift_in_time_or_voltage_is_no_error_of_the_gain(late_s: float) -> None:
    ref = beats()
    shifted = np.roll(ref, round(late_s * FS))
    assert metrics.gain_error(ref, shifted + 0.4, FS) == pytest.approx(0.0, abs=0.002)
    assert metrics.gain_error(ref, 1.2 * shifted, FS) == pytest.approx(0.2, abs=0.002)


def test_the_gain_of_a_flat_or_missing_lead() -> None:
    ref = beats()
    assert metrics.gain_error(ref, np.zeros_like(ref), FS) == pytest.approx(-1.0)
    assert np.isnan(metrics.gain_error(ref, np.full_like(ref, np.nan), FS))


@pytest.mark.parametrize("samples", [-30, 0, 55])
def test_timing_error(samples: int) -> None:
    ref = beats()
    assert metrics.timing_error_s(ref, np.roll(ref, samples) + 0.7, FS) == pytest.approx(
        samples / FS, abs=0.0005
    )


def test_timing_error_of_part_of_a_sample_and_of_nothing() -> None:
    t = np.arange(2000) / FS
    bump = [np.exp(-(((t - at) / 0.03) ** 2)) for at in (2.0, 2.001)]
    assert metrics.timing_error_s(bump[0], bump[1], FS) == pytest.approx(0.001, abs=0.0001)
    assert np.isnan(metrics.timing_error_s(bump[0], np.full(2000, np.nan), FS))
    assert np.isnan(metrics.timing_error_s(bump[0], np.ones(2000), FS))


def test_time_warping_forgives_a_shift_and_not_an_offset() -> None:
    ref = beats()
    assert metrics.dtw_distance(ref, ref, FS) == 0.0
    assert metrics.dtw_distance(ref, np.roll(ref, 20), FS) < 0.2 * metrics.mae_mv(ref, np.roll(ref, 20))
    flat = np.zeros(1000)
    assert metrics.dtw_distance(flat, flat + 0.3, FS) == pytest.approx(0.3)
    assert np.isnan(metrics.dtw_distance(ref, ref * np.nan, FS))


def test_time_warping_equals_the_plain_recursion() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=40), rng.normal(size=40)
    band = round(metrics.DTW_BAND_S * 100)
    cost = np.full((41, 41), np.inf)
    cost[0, 0] = 0.0
    for i in range(1, 41):
        for j in range(max(1, i - band), min(40, i + band) + 1):
            step = min(cost[i - 1, j], cost[i, j - 1], cost[i - 1, j - 1])
            cost[i, j] = abs(a[i - 1] - b[j - 1]) + step
    assert metrics.dtw_distance(a, b, 100.0) == pytest.approx(cost[40, 40] / 40)


def test_dice_per_class() -> None:
    a = np.array([[0, 1, 1], [2, 2, 0]], dtype=np.uint8)
    b = np.array([[0, 1, 0], [2, 2, 12]], dtype=np.uint8)
    overlap = metrics.dice(a, b)
    assert overlap.shape == (12,)
    assert overlap[[0, 1, 11]] == pytest.approx([2.0 / 3.0, 1.0, 0.0])
    assert np.isnan(overlap[2:11]).all()
    with pytest.raises(ValueError, match="one shape"):
        metrics.dice(a, b[:1])


def test_error_by_range_is_a_share_of_the_references_range() -> None:
    ref = np.array([0.0, 2.0, -1.0, 3.0, np.nan])
    est = np.array([0.5, 2.0, -1.0, np.nan, 9.0])
    # Errors 0.5, 0 and 0 where both are there; the range is 4 mV, its peak unread.
    assert metrics.range_mae(ref, est) == pytest.approx(0.5 / 3 / 4)
    assert np.isnan(metrics.range_mae(np.ones(4), est[:4]))
    assert np.isnan(metrics.range_mae(ref, np.full(5, np.nan)))


def test_one_lead_of_four_is_out_of_step() -> None:
    lead = beats()
    references = np.stack([lead] * 4)
    estimates = np.stack([later(lead, 20), later(lead, 20), later(lead, 30), later(lead, 20)])
    # All are 40 ms late, one of them 60 ms.
    lags = metrics.relative_lags_s(references, estimates, FS)
    assert lags == pytest.approx([0.0, 0.0, 0.02, 0.0], abs=5e-4)


def test_leads_of_other_seconds_are_not_compared() -> None:
    lead = beats(8.0)
    first, second = lead.copy(), lead.copy()
    first[2000:], second[:2000] = np.nan, np.nan
    references = np.stack([first, second, lead])
    estimates = np.stack([later(first, 5), second, lead])
    lags = metrics.relative_lags_s(references, estimates, FS)
    # The strip shares its seconds with both: the median of 10, 0 and 0 ms is 0; the pairs have 5 ms each way.
    assert lags == pytest.approx([0.005, 0.0, 0.0], abs=5e-4)
    assert np.isnan(metrics.relative_lags_s(references[:2], estimates[:2], FS)).all()


def test_f1_of_lines_that_lie_beside_each_other() -> None:
    true, predicted = np.zeros((2, 20, 30), np.uint8)
    true[10, 5:25] = 1
    predicted[12, 5:15] = 1  # two rows lower, and half as long
    predicted[2, 5:15] = 1  # as much elsewhere
    predicted[0, 0] = 3
    f1 = metrics.mask_f1(predicted, true, tolerance_px=2)
    # Of 20 predicted pixels 10 are right; of 20 true ones 12, the tolerance reaching two columns on.
    assert f1[0] == pytest.approx(2 * 0.5 * 0.6 / (0.5 + 0.6))
    assert f1[2] == 0.0
    assert np.isnan(f1[1])
    np.testing.assert_allclose(
        metrics.mask_f1(predicted, true, tolerance_px=0), metrics.dice(predicted, true)
    )
    with pytest.raises(ValueError, match="one shape"):
        metrics.mask_f1(predicted, true[:1])
