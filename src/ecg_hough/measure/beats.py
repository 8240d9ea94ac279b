"""Beats of a record and the median beat of every lead, as electrocardiographs measure them.

In: signals with gaps. Out: R peaks in samples, and one beat a lead that is free of most noise. Leads that
were printed at different times come together on one time axis, because their beats are aligned on leads that
were printed all the time, where there are any.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from ecg_hough.numeric import runs

Floats = NDArray[np.float64]

STRIP_SHARE = 0.9
"""A lead with a value in this share of the record is a strip that shows every beat."""
MIN_STRETCH_S = 1.5
"""Shortest stretch in which beats are looked for."""
BRIDGED_S = 0.06
"""Gaps up to this long are bridged by a straight line before beats are looked for."""
SLOPE_S, QRS_S = 0.006, 0.030
"""Standard deviations of the Gaussians that smooth slopes, and their size over the length of a QRS."""
REFRACTORY_S = 0.2
"""Least distance of two beats."""
LARGE = 0.96
"""Quantile of the slope that is called large: that of QRS, which takes about a tenth of the time."""
BEAT_SHARE = 0.4
"""Least slope of a beat, as a share of the large ones: T waves and artefacts are below."""
WAVE_S, WAVE_SHARE = 0.40, 0.65
"""A peak that follows or precedes another by less than this, and has less than this share of its slope, is a
T or P wave."""
ALIGNED_S = 0.04
"""How far beats are shifted against each other until they are alike."""
BEFORE_R = 0.4, 0.45
"""Start of a beat before its R peak: the smaller of this share of the RR interval and this time in s."""
ALIKE = 0.8
"""Least correlation of a beat with the median one; others are premature or were read wrongly."""


@dataclass(frozen=True)
class MedianBeats:
    """One beat a lead, all on one time axis.

    Attributes:
        beats: (12, L) mV; NaN where no beat of the lead shows the sample.
        sd_mv: (12, L) mean expected error of the samples that it comes from; NaN where unknown.
        r: sample of the R peak.
        rr: RR intervals in samples between neighbouring R peaks of one strip or column.
        fs: Hz.
    """

    beats: Floats
    sd_mv: Floats
    r: int
    rr: Floats
    fs: int


def median_beats(signals: Floats, sd_mv: Floats, fs: int) -> MedianBeats | None:
    """The median beat of every lead; None where fewer than two beats are seen.

    Args:
        signals: (12, N) mV, NaN where not printed; sd_mv: (12, N) their expected errors; fs: Hz.
    """
    peaks = r_peaks(signals, fs)
    rr = np.concatenate([np.diff(one) for one in peaks]) if peaks else np.empty(0)
    if not rr.size:
        return None
    length = float(np.median(rr))
    before = round(min(BEFORE_R[0] * length, BEFORE_R[1] * fs))
    every = np.concatenate(peaks).astype(int)
    both = [
        _median_beat(signal, error, every, before, round(length))
        for signal, error in zip(signals, sd_mv, strict=True)
    ]
    beats, errors = (np.stack(part) for part in zip(*both, strict=True))
    return MedianBeats(beats, errors, before, rr.astype(np.float64), fs)


def r_peaks(signals: Floats, fs: int) -> list[NDArray[np.int64]]:
    """R peaks (samples): all together where strips show the whole record, else those of each column.

    Beats are found in all leads that show a second, and placed by the strips, or by the column's leads.
    """
    steep = _steepness(signals, fs)
    strips = signals[np.isfinite(signals).mean(axis=1) >= STRIP_SHARE]
    if len(strips):
        return [_placed(np.stack([bridged(lead) for lead in strips]), _beats(steep, fs), fs)]
    together: dict[tuple[int, int], list[Floats]] = {}
    for signal in signals:
        for span in _stretches(np.isfinite(signal), fs):
            near = next((one for one in together if abs(one[0] - span[0]) < fs // 2), span)
            together.setdefault(near, []).append(signal)
    found = []
    for (a, b), leads in sorted(together.items()):
        column = np.stack([bridged(lead[a:b]) for lead in leads])
        found.append(_placed(column, _beats(steep[a:b], fs), fs) + a)
    return [peaks for peaks in found if peaks.size]


def _steepness(signals: Floats, fs: int) -> Floats:
    """How steep the leads are at every sample (n,), as a share of what is steep in the same leads.

    A beat that is small in one lead is large in another; leads of one column are taken together.
    """
    known = np.isfinite(signals)
    squares = np.stack([slopes(bridged(signal)[None], fs) ** 2 for signal in signals])
    squares[~known] = 0.0
    steep = gaussian_filter1d(np.sqrt(squares.sum(axis=0) / np.maximum(known.sum(axis=0), 1)), QRS_S * fs)
    shown = np.packbits(known, axis=0).T
    edges = np.flatnonzero((shown[1:] != shown[:-1]).any(axis=1)) + 1
    out = np.zeros(steep.size)
    for a, b in zip([0, *edges], [*edges, steep.size], strict=True):
        if b - a >= MIN_STRETCH_S * fs and known[:, a:b].any():
            out[a:b] = steep[a:b] / max(float(np.quantile(steep[a:b], LARGE)), 1e-9)
        elif known[:, a:b].any():
            out[a:b] = steep[a:b] / max(float(np.quantile(steep, LARGE)), 1e-9)
    return out


def _beats(steep: Floats, fs: int) -> NDArray[np.int64]:
    """Where beats are steepest; T and P waves beside a steeper QRS are none (Pan and Tompkins 1985)."""
    peaks, _ = find_peaks(steep, height=BEAT_SHARE, distance=max(1, round(REFRACTORY_S * fs)))
    kept: list[int] = []
    for peak in peaks.tolist():
        near = bool(kept) and peak - kept[-1] < WAVE_S * fs
        if near and steep[peak] < WAVE_SHARE * steep[kept[-1]]:
            continue
        if near and steep[kept[-1]] < WAVE_SHARE * steep[peak]:
            kept.pop()
        kept.append(peak)
    return np.array(kept, np.int64)


def _stretches(known: NDArray[np.bool_], fs: int) -> list[tuple[int, int]]:
    """Spans of a lead, small gaps bridged, that are long enough to hold beats."""
    spans: list[tuple[int, int]] = []
    for a, b in runs(known):
        if spans and a - spans[-1][1] <= BRIDGED_S * fs:
            spans[-1] = spans[-1][0], b
        else:
            spans.append((a, b))
    return [(a, b) for a, b in spans if b - a >= MIN_STRETCH_S * fs]


def slopes(leads: Floats, fs: int, smooth_s: float = SLOPE_S) -> Floats:
    """Size of the slope over all leads (n,), mV/s: root mean square of the leads' slopes.

    Args:
        leads: (k, n) mV without gaps; fs: Hz; smooth_s: standard deviation of the Gaussian that smooths them.
    """
    return fs * np.sqrt(np.mean(gaussian_filter1d(leads, smooth_s * fs, axis=1, order=1) ** 2, axis=0))


def bridged(lead: Floats) -> Floats:
    """A lead (n,) with straight lines over its gaps; zeros where nothing is known."""
    known = np.flatnonzero(np.isfinite(lead))
    if not known.size:
        return np.zeros(lead.size)
    return np.interp(np.arange(lead.size), known, lead[known])


def _placed(leads: Floats, peaks: NDArray[np.int64], fs: int) -> NDArray[np.int64]:
    """Peaks shifted until each beat is most alike the median one."""
    half, reach = round(0.1 * fs), round(ALIGNED_S * fs)
    inside = peaks[(peaks >= half + reach) & (peaks < leads.shape[1] - half - reach)]
    if inside.size < 2:
        return peaks
    around = np.arange(-half, half)
    middle = np.median(leads[:, inside[:, None] + around], axis=1)
    middle = middle - middle.mean(axis=1, keepdims=True)
    moved = peaks.copy()
    shifts = np.arange(-reach, reach + 1)
    for k, peak in enumerate(peaks):
        if peak in inside:
            cut = leads[:, peak + shifts[:, None] + around]
            cut = cut - cut.mean(axis=2, keepdims=True)
            # Least squares, not correlation alone: neighbouring shifts of one beat differ in size too.
            moved[k] = peak + shifts[int(np.square(cut - middle[:, None]).sum(axis=(0, 2)).argmin())]
    return moved


def _median_beat(
    signal: Floats, error: Floats, peaks: NDArray[np.int64], before: int, length: int
) -> tuple[Floats, Floats]:
    """Median of a lead's beats (L,), each against its own middle, and the errors' mean."""
    padded, errors = (np.pad(one, (before, length), constant_values=np.nan) for one in (signal, error))
    inside = peaks[(peaks >= 0) & (peaks < signal.size)]
    at = inside[:, None] + np.arange(length)
    cut, cut_errors = padded[at], errors[at]
    seen = np.isfinite(cut).sum(axis=1) > length // 2
    if not seen.any():
        return np.full(length, np.nan), np.full(length, np.nan)
    cut, cut_errors = cut[seen], cut_errors[seen]
    cut = cut - np.nanmedian(cut, axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # samples that no beat shows stay NaN
        middle = np.nanmedian(cut, axis=0)
        keep = np.array([_alike(beat, middle) >= ALIKE for beat in cut])
        if keep.any():
            cut, cut_errors = cut[keep], cut_errors[keep]
        return np.nanmedian(cut, axis=0), np.nanmean(cut_errors, axis=0)


def _alike(beat: Floats, middle: Floats) -> float:
    """Correlation where both are known."""
    both = np.isfinite(beat) & np.isfinite(middle)
    a, b = beat[both] - beat[both].mean(), middle[both] - middle[both].mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 1.0
