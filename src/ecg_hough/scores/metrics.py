"""Agreement of a digitised lead with the recorded one: signals in mV enter, figures leave.

All functions take arrays on one common time axis (sample n at n / fs) with NaN where nothing is printed
(reference) or nothing was read (estimate). The two public scores, PhysioNet Challenge 2024 and the Kaggle
contest of 2025/26, use different alignments and powers and must not be compared with each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage, signal

from ecg_hough.numeric import peak_offset
from ecg_hough.paper import LEADS

CHALLENGE_LEVELS = 256
"""Amplitude levels of the images that the Challenge scorer correlates."""
CHALLENGE_BLUR = 0.5
"""Standard deviation of their Gaussian blur in levels and samples."""
CHALLENGE_MAX_SHIFT_S = 0.5
CHALLENGE_MAX_SHIFT_MV = 1.0
KAGGLE_MAX_SHIFT_S = 0.2
KAGGLE_CAP = 384.0
"""Largest linear ratio of one page in early copies of the Kaggle scorer; later copies have 1e6."""
DTW_FS_HZ = 100.0
"""Signals are thinned to about this rate before time warping; a QRS slope still has several samples."""
SIMULTANEOUS_SHARE = 0.5
"""Leads are simultaneous if they share this part of the shorter one's printed samples."""
MASK_TOLERANCE_PX = 2
"""Pixels of two label maps that lie this near to each other are the same trace."""
DTW_BAND_S = 0.1
"""Largest warp. Longer than any drawing error, shorter than the PR interval."""
TIMING_MAX_LAG_S = 0.5


@dataclass(frozen=True)
class Alignment:
    """An estimate moved onto its reference the Challenge's way.

    Attributes:
        signal: (N,) mV, the estimate after the shift; NaN where the shift moved no sample to.
        shift_s: how late the estimate was. 0 where no shift was applied.
        shift_mv: how high the estimate lay. 0 where no shift was applied.
        applied: whether the best shift was inside the limits.
    """

    signal: NDArray[np.float64]
    shift_s: float
    shift_mv: float
    applied: bool


def challenge_align(reference: ArrayLike, estimate: ArrayLike, fs: float) -> Alignment:
    """Shift an estimate in time and voltage to where its drawn image fits the reference's best.

    Both signals become images of 256 levels (from the least to the greatest value of the two), blurred by
    0.5, NaN samples absent. The peak of their 2-D cross-correlation over all lags is the shift. It is
    used only if it is at most 0.5 s and 1.0 mV; else the estimate is not moved.

    Args:
        reference: (N,) mV, NaN where not printed.
        estimate: (M,) mV, NaN where not read. It is NaN-padded or cut to N.
        fs: samples per second of both.

    Raises:
        ValueError: an argument is not 1-D, or fs is not positive.

    The scorer of the PhysioNet Challenge 2024 (Reyna et al. 2024), which also correlates the reference with
    itself to find zero lag. That peak is always at zero, so it is not computed here.
    """
    _check_fs(fs)
    ref, est = _as_lead(reference, "reference"), _as_lead(estimate, "estimate")
    length = max(ref.size, est.size)
    ref_padded, est_padded = _to_length(ref, length), _to_length(est, length)
    stay = Alignment(est_padded[: ref.size], 0.0, 0.0, False)
    if not np.isfinite(ref).any() or not np.isfinite(est).any():
        return stay
    low = min(np.nanmin(ref), np.nanmin(est))
    high = max(np.nanmax(ref), np.nanmax(est))
    if high <= low:
        return stay
    lag, levels = _best_image_shift(
        _levels(ref_padded, low, high), _levels(est_padded, low, high), ref_padded, est_padded
    )
    shift_mv = levels / (CHALLENGE_LEVELS - 1) * (high - low)
    if abs(lag) > round(CHALLENGE_MAX_SHIFT_S * fs) or abs(shift_mv) > CHALLENGE_MAX_SHIFT_MV:
        return stay
    return Alignment((_delay(est_padded, -lag) - shift_mv)[: ref.size], lag / fs, shift_mv, True)


def challenge_snr(reference: ArrayLike, estimate: ArrayLike, fs: float) -> float:
    """Signal-to-noise ratio of one lead in dB as the Challenge 2024 scores it, after `challenge_align`.

    alpha · 10·log10(mean(ref²) / mean((ref − est)²)) over the samples finite in both, alpha = their
    share of the reference's finite samples.

    Returns:
        dB; 0 if the two share no sample; NaN (ignored by the score) for a perfect lead, an all-zero
        reference and a reference that is nowhere finite.
    """
    return unaligned_snr(reference, challenge_align(reference, estimate, fs).signal)


def challenge_score(snrs: Iterable[float]) -> float:
    """Mean of the leads' ratios in dB over all (record, lead) pairs, NaN ignored; NaN if all are."""
    values = np.asarray(list(snrs), dtype=np.float64)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def unaligned_snr(reference: ArrayLike, estimate: ArrayLike) -> float:
    """The Challenge's ratio of one lead in dB where the estimate lies: absolute time and absolute mV."""
    ref, est, share = _common(reference, estimate)
    if share == 0.0:
        return 0.0
    if not np.isfinite(share):
        return float("nan")
    power, noise = float(np.mean(ref**2)), float(np.mean((ref - est) ** 2))
    if power <= 0.0 or noise <= 0.0:
        return float("nan")
    return share * 10.0 * float(np.log10(power / noise))


def ks_metric(reference: ArrayLike, estimate: ArrayLike) -> float:
    """1 − the largest distance between the running sums of |signal|, each over its total (Challenge 2024).

    Samples finite in both only; NaN without any.
    """
    ref, est, _ = _common(reference, estimate)
    if not ref.size:
        return float("nan")
    running = []
    for lead in (ref, est):
        total = np.cumsum(np.abs(lead))
        running.append(total / total[-1] if total[-1] > 0 else total)
    return 1.0 - float(np.max(np.abs(running[0] - running[1])))


def asci_metric(reference: ArrayLike, estimate: ArrayLike, *, beta: float = 0.05) -> float:
    """Adaptive signed correlation index: mean of +1 where |ref − est| ≤ beta·sd(ref), −1 elsewhere.

    Samples finite in both only; NaN without any (Challenge 2024).

    Raises:
        ValueError: beta is outside (0, 1].
    """
    if not 0.0 < beta <= 1.0:
        raise ValueError(f"beta must be above 0 and at most 1; got {beta}")
    ref, est, _ = _common(reference, estimate)
    if not ref.size:
        return float("nan")
    return float(np.mean(np.where(np.abs(ref - est) <= beta * np.std(ref), 1.0, -1.0)))


def weighted_absolute_difference(reference: ArrayLike, estimate: ArrayLike, fs: float) -> float:
    """Weighted mean of |ref − est| in mV, weights 1 − 0.5·w / max w with w the reference's moving mean.

    The moving mean runs forwards and backwards over 0.1 s (Gustafsson's ends), over the samples finite in
    both (Challenge 2024). NaN with fewer samples than one window, or where no weight is defined.
    """
    _check_fs(fs)
    ref, est, _ = _common(reference, estimate)
    window = max(1, round(0.1 * fs))
    if ref.size <= window:
        return float("nan")
    smooth = signal.filtfilt(np.ones(window), [float(window)], ref, method="gust")
    if np.max(smooth) == 0.0:
        return float("nan")
    weights = 1.0 - 0.5 / np.max(smooth) * smooth
    return float(np.sum(np.abs(ref - est) * weights) / np.sum(weights))


def kaggle_align(reference: ArrayLike, estimate: ArrayLike, fs: float) -> NDArray[np.float64]:
    """Shift a lead within ±int(0.2 fs) samples to its best cross-correlation, then by the best offset in mV.

    Args:
        reference: (N,) mV, all finite: the printed span only.
        estimate: (N,) mV, all finite.

    Returns:
        (N,) mV, NaN where the shift moved no sample to.
    """
    ref, est = np.asarray(reference, dtype=np.float64), np.asarray(estimate, dtype=np.float64)
    limit = int(KAGGLE_MAX_SHIFT_S * fs)
    correlation = signal.correlate(ref - ref.mean(), est - est.mean(), mode="full")
    lags = signal.correlation_lags(ref.size, est.size, mode="full")
    inside = np.abs(lags) <= limit
    correlation, lags = correlation[inside], lags[inside]
    peaks = lags[correlation == correlation.max()]
    aligned = _delay(est, int(peaks[np.argmin(np.abs(peaks))]))
    finite = np.isfinite(aligned)
    return aligned - np.mean(aligned[finite] - ref[finite])


def kaggle_page_ratio(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], fs: float, *, cap: float = KAGGLE_CAP
) -> float:
    """Linear signal-to-noise ratio of one page, all leads summed, as the Kaggle contest of 2025/26 scores it.

    Σ ref² / Σ (ref − aligned est)² with each lead moved by `kaggle_align` on its own printed span. The mean
    is not removed from the signal power. Samples vacated by the shift are predictions of 0 mV, as in the
    contest's scorer: their error is the reference itself.

    Args:
        reference: (12, N) mV, NaN where not printed; a lead that is nowhere finite does not count.
        estimate: (12, N) mV. The contest knows no NaN: an unread sample of the printed span is 0 mV.
        fs: samples per second of both.
        cap: largest ratio; also the ratio of a perfect page.

    Returns:
        The ratio, 0..cap; NaN if the reference has no printed lead.

    Raises:
        ValueError: the shapes differ, or fs is not positive.
    """
    _check_fs(fs)
    if np.shape(reference) != np.shape(estimate) or np.ndim(reference) != 2:
        raise ValueError(
            "reference and estimate must be (leads, N) of one shape; "
            f"got {np.shape(reference)} and {np.shape(estimate)}"
        )
    power = noise = 0.0
    printed_leads = 0
    for ref_lead, est_lead in zip(np.asarray(reference), np.asarray(estimate), strict=True):
        printed = np.flatnonzero(np.isfinite(ref_lead))
        if not printed.size:
            continue
        span = slice(printed[0], printed[-1] + 1)
        ref = np.nan_to_num(ref_lead[span].astype(np.float64))
        aligned = kaggle_align(ref, np.nan_to_num(est_lead[span].astype(np.float64)), fs)
        power += float(np.sum(ref**2))
        noise += float(np.sum((ref - np.nan_to_num(aligned)) ** 2))
        printed_leads += 1
    if not printed_leads:
        return float("nan")
    return cap if noise == 0.0 else min(power / noise, cap)


def kaggle_score(ratios: Iterable[float]) -> float:
    """10·log10 of the mean linear page ratio; a missing page enters as 0. NaN if all are."""
    values = np.asarray(list(ratios), dtype=np.float64)
    if not np.isfinite(values).any():
        return float("nan")
    mean = float(np.nanmean(values))
    return 10.0 * float(np.log10(mean)) if mean > 0 else float("-inf")


def pearson_r(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Pearson correlation over the samples finite in both; NaN with fewer than 2 or without variance."""
    ref, est, _ = _common(reference, estimate)
    if ref.size < 2 or np.ptp(ref) == 0.0 or np.ptp(est) == 0.0:
        return float("nan")
    return float(np.corrcoef(ref, est)[0, 1])


def rmse_mv(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Root mean square error in mV over the samples finite in both; NaN without any."""
    ref, est, _ = _common(reference, estimate)
    return float(np.sqrt(np.mean((ref - est) ** 2))) if ref.size else float("nan")


def mae_mv(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Mean absolute error in mV over the samples finite in both; NaN without any."""
    ref, est, _ = _common(reference, estimate)
    return float(np.mean(np.abs(ref - est))) if ref.size else float("nan")


def range_mae(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Mean absolute error as a share of the reference's range, over the samples finite in both.

    The range is the reference's largest minus its smallest value where it is printed, whatever was read of
    it. NaN without a common sample, or for a flat reference.
    """
    ref = _as_lead(reference, "reference")
    printed = ref[np.isfinite(ref)]
    if printed.size == 0 or np.ptp(printed) == 0.0:
        return float("nan")
    return mae_mv(reference, estimate) / float(np.ptp(printed))


def gain_error(reference: ArrayLike, estimate: ArrayLike, fs: float) -> float:
    """Slope of the estimate over the reference (least squares with an offset) minus 1: +0.1 = 10 % too high.

    The estimate is first moved by its `timing_error_s`, in whole samples: a shift of 10 ms alone lowers the
    slope by a fifth. Blurred peaks lower it too, so it is the gain's error only for leads that are otherwise
    close. The Challenge's alignment is not used: it fits the pixels of the baseline, and of leads whose gain
    is wrong it may miss the QRS complexes.
    """
    lag_s = timing_error_s(reference, estimate, fs)
    late = round(lag_s * fs) if np.isfinite(lag_s) else 0
    ref, est, _ = _common(reference, _delay(_as_lead(estimate, "estimate"), -late))
    if ref.size < 2 or np.ptp(ref) == 0.0:
        return float("nan")
    centred = ref - ref.mean()
    return float(np.dot(centred, est) / np.dot(centred, centred)) - 1.0


def timing_error_s(reference: ArrayLike, estimate: ArrayLike, fs: float) -> float:
    """Lag of the best cross-correlation within ±0.5 s, refined by a parabola; positive = estimate late.

    Means are removed and NaN samples do not count. NaN if either signal is flat or nowhere finite.
    """
    _check_fs(fs)
    ref, est = _as_lead(reference, "reference"), _as_lead(estimate, "estimate")
    est = _to_length(est, ref.size)
    if not (np.nanstd(ref) > 0 if np.isfinite(ref).any() else False):
        return float("nan")
    if not (np.nanstd(est) > 0 if np.isfinite(est).any() else False):
        return float("nan")
    limit = min(int(TIMING_MAX_LAG_S * fs), ref.size - 1)
    correlation = signal.correlate(
        np.nan_to_num(est - np.nanmean(est)), np.nan_to_num(ref - np.nanmean(ref)), mode="full"
    )[ref.size - 1 - limit : ref.size + limit]
    peak = int(np.argmax(correlation))
    inside = 0 < peak < correlation.size - 1
    offset = float(peak_offset(*correlation[peak - 1 : peak + 2])) if inside else 0.0
    return (peak - limit + offset) / fs


def relative_lags_s(
    references: NDArray[np.float64], estimates: NDArray[np.float64], fs: float
) -> NDArray[np.float64]:
    """(leads,) lag of every lead against the leads of the same seconds, s; positive = later than they are.

    A lead's own lag is its `timing_error_s`. Leads are simultaneous if the reference shows both at once
    for at least half of the shorter one. From each lead's lag the median of the simultaneous leads' lags,
    its own among them, is taken: a page that is late as a whole is in step. NaN for a lead without a lag, or
    alone in its seconds.

    Args:
        references, estimates: (leads, N) mV at fs, NaN where not printed or not read.
    """
    printed = np.isfinite(references)
    lags = np.array([timing_error_s(r, e, fs) for r, e in zip(references, estimates, strict=True)])
    both = printed.astype(float) @ printed.T.astype(float)
    n = printed.sum(axis=1)
    together = (both >= SIMULTANEOUS_SHARE * np.minimum(n[:, None], n)) & (both > 0) & np.isfinite(lags)
    out = np.full(lags.size, np.nan)
    for k in np.flatnonzero(np.isfinite(lags)):
        if together[k].sum() > 1:
            out[k] = lags[k] - np.median(lags[together[k]])
    return out


def dtw_distance(reference: ArrayLike, estimate: ArrayLike, fs: float) -> float:
    """Mean distance in mV per sample after dynamic time warping within ±0.1 s.

    Both are thinned to about 100 Hz (every k-th sample, after a mean over k) over the samples finite in both,
    put one after the other across gaps. The path cost Σ|ref − est| is divided by the number of samples.
    NaN with fewer than 2 samples (Sakoe and Chiba 1978).
    """
    _check_fs(fs)
    ref, est, _ = _common(reference, estimate)
    step = max(1, round(fs / DTW_FS_HZ))
    n = ref.size // step
    if n < 2:
        return float("nan")
    ref, est = (x[: n * step].reshape(n, step).mean(axis=1) for x in (ref, est))
    band = max(1, round(DTW_BAND_S * fs / step))
    padded = np.concatenate((np.full(band, np.inf), est, np.full(band, np.inf)))
    # Column j of a row is est sample i + j − band. The step inside a row is a running minimum.
    previous = np.full(2 * band + 1, np.inf)
    for i in range(n):
        cost = np.abs(padded[i : i + 2 * band + 1] - ref[i])
        if i == 0:
            entry = np.where(np.arange(cost.size) == band, 0.0, np.inf)
        else:
            entry = np.minimum(previous, np.append(previous[1:], np.inf))
        finite = np.isfinite(cost)
        total = np.cumsum(np.where(finite, cost, 0.0))
        before = total - np.where(finite, cost, 0.0)
        previous = np.where(
            finite, total + np.minimum.accumulate(np.where(finite, entry - before, np.inf)), np.inf
        )
    return float(previous[band]) / n


def dice(
    labels_a: NDArray[np.integer], labels_b: NDArray[np.integer], *, classes: int = len(LEADS)
) -> NDArray[np.float64]:
    """Dice overlap per class of two label maps of one shape: (classes,), NaN for a class in neither.

    Raises:
        ValueError: the shapes differ.
    """
    if np.shape(labels_a) != np.shape(labels_b):
        raise ValueError(f"label maps must have one shape; got {np.shape(labels_a)} and {np.shape(labels_b)}")
    a, b = np.asarray(labels_a).ravel(), np.asarray(labels_b).ravel()
    size_a, size_b, both = (
        np.bincount(x.astype(np.intp), minlength=classes + 1)[1 : classes + 1] for x in (a, b, a[a == b])
    )
    total = size_a + size_b
    return np.divide(2.0 * both, total, out=np.full(classes, np.nan), where=total > 0)


def mask_f1(
    predicted: NDArray[np.integer],
    true: NDArray[np.integer],
    *,
    tolerance_px: int = MASK_TOLERANCE_PX,
    classes: int = len(LEADS),
) -> NDArray[np.float64]:
    """F1 of every class of a label map against the true one: (classes,), NaN for a class in neither.

    A pixel counts as right if a pixel of its class lies within the tolerance (a square of that half side)
    in the other map; F1 is the harmonic mean of the share of predicted pixels that are right and that of
    true pixels. Without tolerance it is the Dice overlap, which for lines a pixel wide says little.

    Raises:
        ValueError: the shapes differ.
    """
    if np.shape(predicted) != np.shape(true):
        raise ValueError(f"label maps must have one shape; got {np.shape(predicted)} and {np.shape(true)}")
    out = np.full(classes, np.nan)
    for k in range(classes):
        maps = [np.asarray(labels) == k + 1 for labels in (predicted, true)]
        if not any(m.any() for m in maps):
            continue
        size = 2 * tolerance_px + 1
        near = [ndimage.maximum_filter(m, size, mode="constant") for m in maps]
        precision, recall = (
            float((m & other).sum() / m.sum()) if m.any() else 0.0
            for m, other in zip(maps, near[::-1], strict=True)
        )
        out[k] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return out


def _best_image_shift(
    ref_levels: NDArray[np.intp],
    est_levels: NDArray[np.intp],
    ref: NDArray[np.float64],
    est: NDArray[np.float64],
) -> tuple[int, int]:
    """Samples and levels by which the estimate's image lies right of and above the reference's."""
    ref_image, ref_start = _image(ref_levels, ref)
    est_image, est_start = _image(est_levels, est)
    rows = 2 * CHALLENGE_LEVELS
    cols = fft.next_fast_len(ref_image.shape[1] + est_image.shape[1] - 1, real=True)
    spectra = [
        fft.fft(fft.rfft(image, cols, axis=1), rows, axis=0, overwrite_x=True)
        for image in (ref_image, est_image)
    ]
    cross = fft.irfft(fft.ifft(np.conj(spectra[0]) * spectra[1], axis=0, overwrite_x=True), cols, axis=1)
    row, col = np.unravel_index(int(np.argmax(cross)), cross.shape)
    levels = int(row) - rows if row >= CHALLENGE_LEVELS else int(row)
    lag = int(col) - cols if col >= est_image.shape[1] else int(col)
    return lag + est_start - ref_start, levels


def _image(levels: NDArray[np.intp], lead: NDArray[np.float64]) -> tuple[NDArray[np.float32], int]:
    """The blurred image (levels, samples) around a lead's finite span, and the span's first sample.

    Cropping is exact: outside it the image is 0. The blur's reach stays inside, but for the ends of the
    record, where the scorer's blur reflects too.
    """
    finite = np.flatnonzero(np.isfinite(lead))
    reach = int(4.0 * CHALLENGE_BLUR + 0.5)
    start, stop = max(0, int(finite[0]) - reach), min(lead.size, int(finite[-1]) + 1 + reach)
    image = np.zeros((CHALLENGE_LEVELS, stop - start), dtype=np.float32)
    image[levels[finite], finite - start] = 1.0
    return ndimage.gaussian_filter(image, CHALLENGE_BLUR), start


def _levels(lead: NDArray[np.float64], low: float, high: float) -> NDArray[np.intp]:
    """Level 0..255 of every sample; 0 where NaN."""
    scaled = np.round((CHALLENGE_LEVELS - 1) * (np.nan_to_num(lead, nan=low) - low) / (high - low) + 1.0)
    return np.clip(scaled, 1, CHALLENGE_LEVELS).astype(np.intp) - 1


def _delay(lead: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
    """The lead later by `samples` (earlier if negative), same length, NaN where vacated."""
    out = np.full(lead.size, np.nan)
    if abs(samples) >= lead.size:
        return out
    if samples >= 0:
        out[samples:] = lead[: lead.size - samples]
    else:
        out[:samples] = lead[-samples:]
    return out


def _common(
    reference: ArrayLike, estimate: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The samples finite in both, and their share of the reference's finite samples (NaN if it has none)."""
    ref = _as_lead(reference, "reference")
    est = _to_length(_as_lead(estimate, "estimate"), ref.size)
    printed = np.isfinite(ref)
    both = printed & np.isfinite(est)
    share = float(both.sum() / printed.sum()) if printed.any() else float("nan")
    return ref[both], est[both], share


def _to_length(lead: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Cut, or padded with NaN, to n samples."""
    return lead[:n] if lead.size >= n else np.concatenate((lead, np.full(n - lead.size, np.nan)))


def _as_lead(values: ArrayLike, name: str) -> NDArray[np.float64]:
    lead = np.asarray(values, dtype=np.float64)
    if lead.ndim != 1:
        raise ValueError(f"{name} must be 1-D; got shape {lead.shape}")
    return np.where(np.isfinite(lead), lead, np.nan)


def _check_fs(fs: float) -> None:
    if not fs > 0:
        raise ValueError(f"fs must be positive; got {fs}")
