"""Begin and end of the waves of a median beat, from all leads together.

In: median beats of the leads. Out: onsets and ends in samples. A wave begins in the first lead that leaves
its level and ends in the last that comes back to one (the global intervals of CSE, Willems et al. 1985, Eur
Heart J 6:815). So the size of the slope over all leads is looked at: it is large within a wave and small
between waves, in whatever direction each lead runs. `ecg-lab delineators` measures this against delineators
of single leads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_hough.measure.beats import MedianBeats, slopes

Floats = NDArray[np.float64]

MIN_LEADS = 2
QRS_SMOOTH_S, SLOW_SMOOTH_S = 0.003, 0.010
"""Standard deviations of the Gaussians that smooth the slope of QRS, and of P and T."""
QRS_QUIET, SLOW_QUIET = 0.06, 0.20
"""A wave ends where the slope has this share of its largest one."""
QRS_LONG_S, QRS_VALLEY = 0.2, 0.15
"""A QRS that seems longer begins in a valley whose slope has less than this share of its own."""
VALLEY = 0.5
"""Where two waves touch, one ends at the valley between them if the slope falls to this share there."""
QUIET_QUANTILE, QUIET_TIMES = 0.15, 1.5
"""The slope of noise: this quantile of the beat's; a wave ends where the slope is below this multiple."""
QUIET_S = 0.012
"""How long the slope of QRS must stay small: it is small at every peak as well."""
QRS_AROUND_S = 0.12
QRS_MAX_S = 0.25
QT_MIN_S, QTC_MAX_S = 0.16, 0.6
P_MAX_S = 0.2
T_SHARE, T_STEP_S = 0.35, 0.13
"""Least slope of T as a share of the largest behind QRS, and the distance of its rise and fall."""
P_STEP_S = 0.06
"""Steep places of one P wave are less than this apart."""
P_TIMES = 2.5
"""A P wave is at least this many times as steep as noise."""
PR_MAX_S = 0.45


@dataclass(frozen=True)
class Waves:
    """Samples of the median beat; NaN where it does not show the wave.

    Attributes:
        p_on, p_end: of the P wave.
        qrs_on, qrs_end: of QRS.
        t_end: end of T.
    """

    p_on: float
    p_end: float
    qrs_on: float
    qrs_end: float
    t_end: float


NONE = Waves(*(math.nan,) * 5)


def find_waves(median: MedianBeats) -> Waves:
    """The waves of a median beat; all NaN where fewer than two leads show it whole."""
    beats = median.beats[np.isfinite(median.beats).all(axis=1)]
    if len(beats) < MIN_LEADS or not np.ptp(beats, axis=1).any():
        return NONE
    fs, length = median.fs, beats.shape[1]
    # The beat repeats itself: its neighbours show what lies before and behind it.
    strip = np.tile(_closed(beats, fs), 3)
    fast = slopes(strip, fs, QRS_SMOOTH_S)
    slow = slopes(strip, fs, SLOW_SMOOTH_S)
    qrs_on, qrs_end = _qrs(fast, slow, length + median.r, fs)
    if not (math.isfinite(qrs_on) and math.isfinite(qrs_end)):
        return NONE
    t_end = _t_end(slow, qrs_on, qrs_end, length, fs)
    p_on, p_end = _p(slow, qrs_on, t_end - length, fs)
    return Waves(*(sample - length for sample in (p_on, p_end, qrs_on, qrs_end, t_end)))


def _closed(beats: Floats, fs: int) -> Floats:
    """Beats (k, L) whose ends meet, so that they can be repeated."""
    n = max(1, round(0.01 * fs))
    first, last = beats[:, :n].mean(axis=1, keepdims=True), beats[:, -n:].mean(axis=1, keepdims=True)
    return beats - first - (last - first) * np.linspace(0.0, 1.0, beats.shape[1])


def _noise(slope: Floats) -> float:
    return QUIET_TIMES * float(np.quantile(slope, QUIET_QUANTILE))


def _qrs(fast: Floats, slow: Floats, r: int, fs: int) -> tuple[float, float]:
    """Onset and end: where the slope stays small for a while on either side of its largest."""
    around = round(QRS_AROUND_S * fs)
    # Smoothed, so that a pacing spike is not taken for QRS.
    top = r - around + int(slow[r - around : r + around].argmax())
    limit = max(QRS_QUIET * float(fast[r - around : r + around].max()), _noise(fast))
    onset, end = (_edge(fast < limit, top, step, fs) for step in (-1, 1))
    if math.isfinite(onset) and math.isfinite(end) and end - onset <= QRS_LONG_S * fs:
        return onset, end
    # Too long: a P wave touches QRS, which then begins in the valley between them.
    first = round(end - QRS_LONG_S * fs) if math.isfinite(end) else top - round(QRS_MAX_S * fs)
    valleys = [k for k in _peaks(-slow, first, top) if slow[k] < QRS_VALLEY * slow[top]]
    return (float(valleys[0]) if valleys else onset), end


def _edge(quiet: NDArray[np.bool_], start: int, step: int, fs: int) -> float:
    """First sample on the way from which it is quiet for `QUIET_S`; NaN within `QRS_MAX_S`."""
    needed, run = max(1, round(QUIET_S * fs)), 0
    for k in range(start, start + step * round(QRS_MAX_S * fs), step):
        run = run + 1 if quiet[k] else 0
        if run == needed:
            return float(k - step * (needed - 1))
    return math.nan


def _t_end(slow: Floats, qrs_on: float, qrs_end: float, length: int, fs: int) -> float:
    """End of T: where the last steep slope before the next P or QRS has become small."""
    first = round(max(qrs_end + 0.06 * fs, qrs_on + QT_MIN_S * fs))
    last = round(qrs_on + min(QTC_MAX_S * math.sqrt(length / fs), 0.75 * length / fs) * fs)
    if last - first < round(0.05 * fs):
        return math.nan
    top = first + int(slow[first:last].argmax())
    # The first wave behind QRS that is not much less steep than the steepest, which may be the next P. It
    # rises and falls: the later of the two steep places is meant.
    tops = [k for k in _peaks(slow, first, last) if slow[k] > T_SHARE * slow[top]] or [top]
    mine = tops[0]
    for k in tops[1:]:
        if k - mine < T_STEP_S * fs and slow[k] > VALLEY * slow[mine]:
            mine = k
    return _descent(slow, mine, 1, last + round(0.1 * fs))


def _peaks(values: Floats, start: int, stop: int) -> list[int]:
    return [k for k in range(start, stop) if values[k - 1] < values[k] >= values[k + 1]]


def _descent(slow: Floats, top: int, step: int, stop: int) -> float:
    """Where the slope has fallen to a fifth of `top`'s or to noise, or else the valley before it rises."""
    limit = max(SLOW_QUIET * float(slow[top]), _noise(slow))
    k = top
    while 0 < k < len(slow) - 1 and (stop - k) * step > 0:
        if slow[k] <= limit:
            return float(k)
        if slow[k + step] > slow[k] <= VALLEY * slow[top]:
            return float(k)
        k += step
    return math.nan


def _p(slow: Floats, qrs_on: float, t_before: float, fs: int) -> tuple[float, float]:
    """Onset and end of P between the T before and QRS; NaN where nothing there is steeper than noise."""
    first = qrs_on - PR_MAX_S * fs
    if math.isfinite(t_before):
        first = max(first, t_before)
    a, b = round(first), round(qrs_on - 0.015 * fs)
    if b - a < round(0.05 * fs):
        return math.nan, math.nan
    tops = _peaks(slow, a, b)
    if not tops:
        return math.nan, math.nan
    largest = float(slow[tops].max())
    if largest < P_TIMES / QUIET_TIMES * _noise(slow):
        return math.nan, math.nan
    # Of several waves, such as U and P, P is the last before QRS.
    mine = [k for k in tops if slow[k] > VALLEY * largest][-1:]
    for k in reversed(tops[: tops.index(mine[0])]):
        if slow[k] > VALLEY * slow[mine[-1]] and mine[0] - k < P_STEP_S * fs:
            mine.insert(0, k)
    onset = _descent(slow, mine[0], -1, max(a - round(0.04 * fs), mine[0] - round(P_MAX_S * fs)))
    return onset, _descent(slow, mine[-1], 1, round(qrs_on))
