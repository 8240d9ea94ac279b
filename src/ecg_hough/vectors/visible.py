"""Whether the picture of a page shows the traces where its paths put them: not covered, cut off or invisible.

In: the picture and traces. Out: the share of every trace that is seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_hough.vectors.strokes import DrawnTrace

LIKE_STROKE = 0.7
"""A pixel whose distance to the stroke's colour is less than this share of the paper's shows the stroke: a
hairline between two pixels has half of it."""
SAMPLES = 1500
"""Places of a trace that are looked at."""


def seen_share(image: NDArray[np.uint8], trace: DrawnTrace) -> float:
    """Share of places along a trace at which the picture has its colour, 0 to 1.

    Args:
        image: (rows, cols, 3) uint8, drawn from the document.
    """
    points = along(trace.points, SAMPLES)
    rows, cols = (np.round(points).astype(int)).T
    inside = (rows >= 1) & (cols >= 1) & (rows < image.shape[0] - 1) & (cols < image.shape[1] - 1)
    rows, cols = rows[inside], cols[inside]
    colour = np.array(trace.style[0], float)
    paper = np.median(image[::16, ::16].reshape(-1, 3), axis=0)
    limit = LIKE_STROKE * float(np.abs(paper - colour).sum())
    nearest = np.full(rows.size, np.inf)
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            off = np.abs(image[rows + dr, cols + dc].astype(float) - colour).sum(axis=1)
            nearest = np.minimum(nearest, off)
    return float((nearest < limit).sum() / len(points))


def along(points: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """(n, 2) places at equal distances along a polyline."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.linspace(0.0, length[-1], n)
    return np.column_stack([np.interp(at, length, values) for values in points.T])
