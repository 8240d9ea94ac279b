"""Traces on one raster along the page, and the beats on them.

In: row traces in page millimetres. Out: their heights at evenly spaced places, the joint steepness of traces
of the same seconds, the places of their beats, and by how much two stretches differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from ecg_hough.elements import RowTrace

# Tuned on own renders of all layouts.
STEP_MM = 0.25
"""Step of the raster on which traces are compared."""
ACTIVITY_MM = 0.7
"""Smoothing of the steepness: about the width of a QRS flank."""
LAG_MM = 1.5
"""Largest error of a column's edge."""
BEAT_APART_MM = 8.0
"""Least distance of beats: 188 a minute at 25 mm/s."""
BEAT_HEIGHT = 0.35
"""Least steepness of a beat, as a share of the column's steepest place."""


def on_raster(row: RowTrace, start_mm: float, length_mm: float) -> NDArray[np.float64]:
    """The trace upwards, mm, on the raster from `start_mm`; NaN in gaps."""
    return upwards(row, start_mm + np.arange(0.0, length_mm, STEP_MM))


def upwards(row: RowTrace, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """The trace upwards, mm, at places along the page; NaN in gaps."""
    y = -np.interp(at, row.x_mm, np.nan_to_num(row.y_mm, nan=0.0))
    gap = np.interp(at, row.x_mm, (~np.isfinite(row.y_mm)).astype(float), left=1.0, right=1.0)
    return np.where(gap > 0, np.nan, y)


def activity(traces: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Joint steepness of traces on the raster: high at QRS complexes."""
    return gaussian_filter1d(np.sum([_steepness(y) for y in traces], axis=0), ACTIVITY_MM / STEP_MM)


def _steepness(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Steepness of a trace on the raster, 0 to 1; 0 in gaps, and everywhere where little is known."""
    slope = np.abs(np.gradient(y))
    known = np.isfinite(slope)
    if known.mean() < 0.3:
        return np.zeros(y.size)
    # Each row counts alike, however tall; a jump to a neighbouring trace does not outweigh beats.
    top = max(float(np.quantile(slope[known], 0.99)), 1e-6)
    return np.where(known, np.minimum(np.nan_to_num(slope) / top, 1.0), 0.0)


def find_beats(traces: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places on the raster where most traces (k, n) of the same seconds are steep."""
    steep = activity(list(traces))
    height = BEAT_HEIGHT * np.quantile(steep, 0.99)
    return find_peaks(steep, height=height, distance=round(BEAT_APART_MM / STEP_MM))[0]


def share_of_variance_apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Variance of the difference of two stretches at the best small lag, as a share of their own variance."""
    return min(
        (_robust_variance(x - y) / max(x.var() + y.var(), 1e-9) for x, y in _at_small_lags(a, b)),
        default=1.0,
    )


def share_of_time_apart(a: NDArray[np.float64], b: NDArray[np.float64], alike_mm: float) -> float:
    """Share of the time in which two stretches differ, at the best small lag and without their offset.

    A place where they are less than `alike_mm` apart counts in proportion. So a stretch in which one of them
    is misread costs its length, whatever height was read there.
    """
    return min((_far(x - y, alike_mm) for x, y in _at_small_lags(a, b)), default=1.0)


def _far(values: NDArray[np.float64], alike_mm: float) -> float:
    return float(np.minimum(np.abs(values - np.median(values)) / alike_mm, 1.0).mean())


def _at_small_lags(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Values of both stretches where both are known, at every small lag at which enough are."""
    reach = int(LAG_MM / STEP_MM)
    for lag in range(-reach, reach + 1):
        x, y = a[reach:-reach], np.roll(b, lag)[reach:-reach]
        both = np.isfinite(x) & np.isfinite(y)
        if both.sum() >= 0.4 * both.size:
            yield x[both], y[both]


def _robust_variance(values: NDArray[np.float64]) -> float:
    """Variance without the 5 % most distant values: names and separators misread as trace."""
    off = (values - np.median(values)) ** 2
    kept = max(1, round(0.95 * off.size))
    return float(np.partition(off, kept - 1)[:kept].mean())
