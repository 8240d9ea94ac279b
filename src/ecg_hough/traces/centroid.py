"""The 2024 winner's read-out: the centroid of each column of a mask (Krones et al. 2024).

In: a strip and the coarse mask of a row. Out: row, spread and presence of every read-out.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.traces.ink import pen_under
from ecg_hough.traces.masks import MASK_MIN


def centroid_rows(
    strip: NDArray[np.uint8], own: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean row of each column of the pen's pixels under the row's mask.

    Krones et al. 2024, vectorisation. The winner's masks are as fine as the trace; the leads network's are
    some millimetres wide, and hold grid lines and letters: `ink.pen_under` takes the pen.

    Args:
        strip: (rows, cols, 3) pixels; own: (rows, cols) coarse mask of the row's ink, 0 to 1.

    Returns:
        Row and spread, both px, and presence, 0 or 1, of every read-out, (2 * cols,) each.
    """
    under = cv2.dilate((own > MASK_MIN).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    mask = pen_under(strip, under)
    n_rows, n_cols = mask.shape
    count = mask.sum(axis=0)
    rows = np.arange(n_rows)[:, None]
    mean = (mask * rows).sum(axis=0) / np.maximum(count, 1)
    spread = np.sqrt(np.maximum((mask * rows**2).sum(axis=0) / np.maximum(count, 1) - mean**2, 0.25))
    centres = np.arange(n_cols)
    at = (centres[:, None] + [-0.25, 0.25]).ravel()
    known = count > 0
    if not known.any():
        return np.zeros(2 * n_cols), np.ones(2 * n_cols), np.zeros(2 * n_cols)
    # A gap of a column or two is a light spot in the stroke, not the end of the trace.
    gap = _distance(at, known)
    row = np.interp(at, centres[known], mean[known])
    return row, np.repeat(spread, 2), np.where(gap <= 3, 1.0, 0.0)


def _distance(at: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance in columns from each place to the nearest known column."""
    where = np.flatnonzero(known)
    after = np.clip(np.searchsorted(where, at), 0, where.size - 1)
    before = np.maximum(after - 1, 0)
    return np.minimum(np.abs(where[after] - at), np.abs(where[before] - at))
