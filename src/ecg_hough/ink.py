"""What is ink on this page: from colours to a darkness in which paper and grid are 0 and the pen is 1.

In: the page's pixels, and where its traces run. Out: `InkModel`. A pen and a grid differ in colour as often
as in brightness (a blue pen on a red grid), so the direction in colour space that tells them best apart is
taken (Fisher's discriminant), from samples of the page itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.geometry import PageMap
from ecg_hough.traces import RowTrace

SAMPLE_MM = 0.5
"""Traces are sampled at this distance."""
BESIDE_MM = (2.0, 3.1, 4.7)
"""Paper and grid are sampled this far above and below the traces; no multiple of the grid's pitch."""
SAMPLES_MIN = 50
PAPER_SHARE = 0.97
"""Share of the samples beside the traces that is paper and grid; the rest is other ink."""


@dataclass(frozen=True)
class InkModel:
    """darkness = colour . axis - offset: about 0 on paper, 1 on the pen's stroke.

    Attributes:
        contrast: distance of ink from paper and grid in units of their spread; below 1 they mingle.
    """

    axis: NDArray[np.float64]
    offset: float
    contrast: float

    def darkness(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(rows, cols, 3) uint8 -> (rows, cols) float32, clipped to -0.5..1.5."""
        weights = self.axis.astype(np.float32)[None]
        plane = cv2.transform(image.astype(np.float32), weights)
        return np.asarray(np.clip(plane.reshape(image.shape[:2]) - self.offset, -0.5, 1.5), np.float32)


def find_ink(image: NDArray[np.uint8], page_map: PageMap, rows: tuple[RowTrace, ...]) -> InkModel | None:
    """Learn the page's ink from its traces.

    Args:
        image: the page, upright (rows, cols, 3); page_map: its millimetres; rows: its traces.

    Returns:
        None where too little of the traces is known, or ink and paper have one colour.
    """
    on, beside = [], []
    for row in rows:
        step = max(1, round(SAMPLE_MM / (row.x_mm[1] - row.x_mm[0])))
        y, x = row.y_mm[::step], row.x_mm[::step]
        known = np.isfinite(y)
        on.append(np.column_stack([y[known], x[known]]))
        beside += [
            np.column_stack([y[known] + side * off, x[known]]) for off in BESIDE_MM for side in (-1, 1)
        ]
    ink, paper = _colours(image, page_map, on), _colours(image, page_map, beside)
    if len(ink) < SAMPLES_MIN or len(paper) < SAMPLES_MIN:
        return None
    # The stroke's middle is met by chance only: the darker half of the samples is the pen.
    grey = ink.mean(axis=1)
    ink = ink[grey <= np.median(grey)]
    spread = np.cov(paper.T) + np.cov(ink.T) + 9.0 * np.eye(3)
    axis = np.linalg.solve(spread, ink.mean(axis=0) - np.median(paper, axis=0))
    level = paper @ axis
    low, high = float(np.median(level)), float(np.median(ink @ axis))
    if high - low < 1e-6:
        return None
    top = float(np.quantile(level, PAPER_SHARE))
    contrast = (high - low) / max(top - low, 1e-6)
    scale = 1.0 / (high - low)
    return InkModel(axis * scale, low * scale, contrast)


def _colours(
    image: NDArray[np.uint8], page_map: PageMap, points: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """(n, 3) colours at places in mm that lie in the image."""
    at = np.concatenate(points) if points else np.zeros((0, 2))
    r, c = (np.round(v).astype(int) for v in page_map.to_pixels(at[:, 0], at[:, 1]))
    inside = (r >= 0) & (r < image.shape[0]) & (c >= 0) & (c < image.shape[1])
    return image[r[inside], c[inside]].astype(np.float64)
