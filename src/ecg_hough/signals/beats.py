"""Paper speed from the heart itself, where it is not printed.

In: rows of traces in page millimetres. Out: the odds of 50 against 25 mm/s. Beats follow each other at 50 to
120 a minute and a QRS complex lasts about 0.1 s: at 50 mm/s both are twice as long on paper as at 25. Three
lengths are measured, the distance of beats, the width of steep strokes, and the spectral centroid of the
slope; logistic regression weighs them.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks, welch

from ecg_hough.elements import RowTrace, Window

log = logging.getLogger(__name__)

STEP_MM = 0.25
"""Step of the raster on which traces are measured."""
EDGE_MM = 2.5
"""Excluded at panels' ends, where names, pulses and separators are printed."""
PIECE_MIN_MM = 25.0
"""Shortest piece of trace that is measured."""
BAND_PER_MM = (0.05, 1.2)
"""Frequencies of the slope that count: baseline wander is below, pen and noise are above."""
BEAT_MM = (7.0, 90.0)
"""Distances of beats that are searched: 214 a minute at 25 mm/s, 33 at 50."""
USUAL_BEAT_MM = 32.0
"""Assumed where no beat is repeated on the page: half way between both speeds."""
COEFFICIENTS = (-3.29, 2.02, 16.16)
INTERCEPT = -11.79
"""Log odds of 50 mm/s, of the logarithms of centroid (1/mm), distance of beats and width of strokes (mm).
Fitted by `python -m ecg_hough.training.speed_fit RECORDS`, which prints their accuracy on held-out
records."""
FIFTY_MIN = 5.0
"""Log odds from which a page is read at 50 mm/s: 150 to 1 if both speeds were equally common. They are not,
and two of the 40 LUDB pages, at 25 mm/s, have 3.8 and 4.8."""


def fifty_odds(rows: tuple[RowTrace, ...], windows: tuple[Window, ...]) -> float | None:
    """Log odds of 50 mm/s against 25; None where the page shows too little trace.

    Args:
        rows: traces in page millimetres; windows: panels.
    """
    pieces = []
    for row in rows:
        known = np.isfinite(row.y_mm)
        for window in (w for w in windows if w.row_index == row.row_index):
            grid = np.arange(window.start_mm + EDGE_MM, window.end_mm - EDGE_MM, STEP_MM)
            if len(grid) * STEP_MM >= PIECE_MIN_MM and known.any():
                inside = (row.x_mm >= window.start_mm) & (row.x_mm < window.end_mm)
                if inside.any() and known[inside].mean() > 0.8:
                    pieces.append(np.interp(grid, row.x_mm[known], row.y_mm[known]))
    if not pieces:
        log.debug("paper speed by beats: no panel shows %g mm of trace without large gaps", PIECE_MIN_MM)
        return None
    lengths = beat_lengths(pieces)
    odds = float(lengths @ COEFFICIENTS + INTERCEPT)
    log.debug(
        "paper speed by beats: log odds of 50 mm/s %.1f; logarithms of spectral centroid %.2f, beat distance"
        " %.2f, width of steep places %.2f",
        odds, *lengths,
    )  # fmt: skip
    return odds


def beat_lengths(pieces: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Logarithms of the three lengths (see `COEFFICIENTS`) of traces on the raster `STEP_MM`.

    Args:
        pieces: heights of one trace each, mm, of any length from `PIECE_MIN_MM` on.
    """
    centroids, widths, repeats = [], [], []
    for piece in pieces:
        slope = np.diff(piece) / STEP_MM
        frequency, power = welch(slope, fs=1.0 / STEP_MM, nperseg=min(256, len(slope)))
        band = (frequency > BAND_PER_MM[0]) & (frequency < BAND_PER_MM[1])
        centroids.append(float((power[band] * frequency[band]).sum() / max(power[band].sum(), 1e-12)))
        steep = np.convolve(np.abs(slope), np.hanning(9) / 4, "same")
        steep -= steep.mean()
        alike = np.correlate(steep, steep, "full")[len(steep) - 1 :]
        alike /= max(alike[0], 1e-12)
        below = np.flatnonzero(alike < 0.5)
        k = int(below[0]) if below.size else 1
        # Linear interpolation between the raster's places.
        widths.append(STEP_MM * (k - (0.5 - alike[k]) / max(alike[k - 1] - alike[k], 1e-6)))
        repeats.append(alike)
    longest = max(len(alike) for alike in repeats)
    # Lags that few pieces cover, and the noisy ends of long ones, count little.
    total, weight = np.zeros(longest), np.zeros(longest)
    for alike in repeats:
        known = np.maximum(0.0, 1.0 - np.arange(len(alike)) / (0.8 * len(alike)))
        total[: len(alike)] += alike
        weight[: len(alike)] += known
    mean = np.where(weight > 0.1 * len(repeats), total / np.maximum(weight, 1e-6), 0.0)
    first, last = (round(mm / STEP_MM) for mm in BEAT_MM)
    peaks, _ = find_peaks(mean[: min(last, longest)], prominence=0.1)
    peaks = peaks[peaks >= first]
    beat = USUAL_BEAT_MM
    if peaks.size:
        # The first of the high peaks: after two beats the trace repeats itself as well.
        beat = STEP_MM * float(peaks[np.argmax(mean[peaks] > 0.6 * mean[peaks].max())])
    return np.log([float(np.median(centroids)), beat, float(np.median(widths))])
