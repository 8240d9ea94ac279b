"""Label maps as the 2024 Challenge's winner drew them: plotted points enter, pages upright and their
labels leave.

Krones et al. 2024 (arXiv 2410.14185; github.com/felixkrones/ECG-Digitiser, replot_pixels.py with a factor
of 3 and create_train_test.py): two points are set between neighbouring samples, every point labels the one
pixel it lies in, and no stroke is drawn. The short copy of the rhythm lead is background. Pages are turned
upright before, about their middle, nearest neighbour, canvas kept.

Points are (row, col) in pixels whose centres are whole numbers, as everywhere in this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.paper import LEADS

DENSER = 3
"""Points for each sample, the sample itself among them; the winner's `--resample_factor`."""

Traced = tuple[str, NDArray[np.floating]]
"""A lead's name and its points (n, 2)."""


def winner_labels(shape: tuple[int, int], traces: Iterable[Traced]) -> NDArray[np.uint8]:
    """(rows, cols) uint8: 0 background, k + 1 = `LEADS[k]`, about one pixel a column.

    Args:
        shape: of the page; traces: every printed stretch, in the order in which they are drawn.
    """
    labels = np.zeros(shape, np.uint8)
    for lead, points in without_short_copies(list(traces)):
        at = np.floor(denser(np.asarray(points, float)) + 0.5).astype(int)
        inside = ((at >= 0) & (at < shape)).all(axis=1)
        labels[tuple(at[inside].T)] = LEADS.index(lead) + 1
    return labels


def without_short_copies(traces: Sequence[Traced]) -> list[Traced]:
    """The traces; of a lead that is printed twice only the longest stretch."""
    longest = {lead: max(len(points) for name, points in traces if name == lead) for lead, _ in traces}
    return [(lead, points) for lead, points in traces if len(points) == longest[lead]]


def denser(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """((n - 1) * DENSER, 2) points: between two neighbours a straight line of `DENSER` points, ends included;
    stretches with a point that is not finite are left out."""
    share = np.linspace(0.0, 1.0, DENSER)[None, :, None]
    between = (points[:-1, None] * (1 - share) + points[1:, None] * share).reshape(-1, 2)
    return np.asarray(between[np.isfinite(between).all(axis=1)])


def turn_of(traces: Iterable[Traced]) -> float:
    """Angle of a page in degrees, counter-clockwise, from where its samples were plotted.

    Samples follow each other at equal steps along time, and at unequal ones across: the time axis is the
    direction in which the steps vary least. Sidecars of ECG-Image-Kit do not hold the angle, only its limit.
    """
    steps = np.concatenate([np.diff(np.asarray(points, float), axis=0) for _, points in traces])
    _, axes = np.linalg.eigh(np.cov(steps.T))
    down, across = axes[:, 0] * np.sign(axes[1, 0])
    return float(np.rad2deg(np.arctan2(-down, across)))


def turn_upright(
    image: NDArray[np.uint8], traces: Sequence[Traced], angle_deg: float
) -> tuple[NDArray[np.uint8], list[Traced]]:
    """The page turned back by its angle about its middle, nearest neighbour, canvas kept, and its points.

    Args:
        image: (rows, cols[, 3]); angle_deg: of the page, counter-clockwise.
    """
    if angle_deg == 0.0:
        return image, list(traces)
    rows, cols = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((cols - 1) / 2, (rows - 1) / 2), -angle_deg, 1.0)  # on (x, y)
    upright = cv2.warpAffine(image, turn, (cols, rows), flags=cv2.INTER_NEAREST)
    turned = [
        (lead, (np.asarray(points, float)[:, ::-1] @ turn[:, :2].T + turn[:, 2])[:, ::-1])
        for lead, points in traces
    ]
    return np.asarray(upright, np.uint8), turned
