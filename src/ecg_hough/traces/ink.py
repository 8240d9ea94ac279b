"""What is ink on this page: from colours to a darkness in which paper and grid are 0 and the pen is 1.

In: the page's pixels, and where its traces run or which pixels they lie under. Out: `InkModel`, or the pen's
own pixels under a coarse mask. A pen and a grid differ in colour as often as in brightness (a blue pen on a
red grid), so the direction in colour space that separates them best is taken (Fisher's discriminant), from
samples of the page itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import RowTrace
from ecg_hough.image.colours import grey_of
from ecg_hough.page_map import PageMap

SAMPLE_MM = 0.5
"""Traces are sampled at this distance."""
PAPER_MM = (2.0, 3.1, 4.7)
"""Paper and grid are sampled this far above and below the traces; no multiple of the grid's pitch."""
SAMPLES_MIN = 50
SAMPLES_MOST = 20_000
"""About so many samples of paper are enough."""
PAPER_SHARE = 0.97
"""Share of the samples of paper that is paper and grid; the others are other ink."""
PEN_DARKNESS = 0.75
"""Darkness from which a pixel under a mask is the pen's. Antialiased rims let a flank's stroke into the
neighbouring columns: column centroids of 16 development pages score 16.2 dB, and 15.9 dB at 0.6."""
DARK = 0.5
"""Darkness from which a pixel is ink."""
BAND_ROWS = 32
"""Rows of a page that are looked at together."""
MASK_MARGIN_PX = 4
"""Paper is sampled farther than this from a mask."""
PEN_LIKE = 0.25
"""Samples outside a mask are ink, too, within this share of the distance from the pen's to the paper's
colour."""


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

    def dark(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(rows, cols) which pixels of an image (rows, cols, 3) are ink."""
        out = np.empty(image.shape[:2], bool)
        for top in range(0, len(image), BAND_ROWS):  # bands stay in the processor's cache
            band = slice(top, top + BAND_ROWS)
            np.greater(self.darkness(image[band]), DARK, out=out[band])
        return out


def is_ink(
    dark: NDArray[np.bool_], page_map: PageMap, y_mm: NDArray[np.float64], x_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(n,) whether there is ink at places on the page; none off it.

    Args:
        dark: (rows, cols) which pixels are ink; y_mm, x_mm: (n,) places.
    """
    r, c = (np.round(v).astype(int) for v in page_map.to_pixels(y_mm, x_mm))
    inside = (r >= 0) & (r < dark.shape[0]) & (c >= 0) & (c < dark.shape[1])
    out = np.zeros(r.size, bool)
    out[inside] = dark[r[inside], c[inside]]
    return out


def find_ink(image: NDArray[np.uint8], page_map: PageMap, rows: tuple[RowTrace, ...]) -> InkModel | None:
    """Learn the page's ink from its traces.

    Args:
        image: the page, upright (rows, cols, 3); page_map: its millimetres; rows: its traces.

    Returns:
        None where too little of the traces is known, or ink and paper have the same colour.
    """
    on, off = [], []
    for row in rows:
        step = max(1, round(SAMPLE_MM / (row.x_mm[1] - row.x_mm[0])))
        y, x = row.y_mm[::step], row.x_mm[::step]
        known = np.isfinite(y)
        on.append(np.column_stack([y[known], x[known]]))
        off += [np.column_stack([y[known] + side * mm, x[known]]) for mm in PAPER_MM for side in (-1, 1)]
    ink, paper = _colours(image, page_map, on), _colours(image, page_map, off)
    if len(ink) < SAMPLES_MIN or len(paper) < SAMPLES_MIN:
        return None
    return _model(ink, paper)


def pen_under(image: NDArray[np.uint8], under: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(rows, cols) the pen's pixels under a coarse mask: the mask of a network that draws the trace itself.

    In every column the darkest pixel under the mask is taken for the pen, and pixels far from the mask for
    paper and grid. Of the ink found, each column keeps its pieces of the greatest extent along the page: a
    trace continues, letters and numbers under the mask do not.

    Args:
        image: (rows, cols, 3) pixels, rows down the page.
        under: (rows, cols) where a trace lies, some millimetres wide.
    """
    nothing = np.zeros(under.shape, bool)
    columns = np.flatnonzero(under.any(axis=0))
    if not columns.size:
        return nothing
    grey = np.where(under, grey_of(image), 255)
    pen = image[grey.argmin(axis=0)[columns], columns].astype(np.float64)
    reach = np.ones((2 * MASK_MARGIN_PX + 1,) * 2, np.uint8)
    outside = image[cv2.dilate(under.astype(np.uint8), reach) == 0]
    outside = outside[:: max(1, len(outside) // SAMPLES_MOST)].astype(np.float64)
    if len(pen) < 2 or len(outside) < SAMPLES_MIN:
        return nothing
    colour, paper = np.median(pen, axis=0), np.median(outside, axis=0)
    away = np.linalg.norm(outside - colour, axis=1) > PEN_LIKE * np.linalg.norm(paper - colour)
    if away.sum() < SAMPLES_MIN:
        return nothing
    model = _model(pen, outside[away])
    if model is None:
        return nothing
    # Where the grid is nearly as dark as the pen, the limit is halfway between them.
    limit = max(PEN_DARKNESS, 0.5 * (1.0 + 1.0 / model.contrast))
    ink = under & (model.darkness(image) >= limit)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    extent = stats[:, cv2.CC_STAT_WIDTH]
    extent[0] = 0
    longest = extent[pieces]
    return np.asarray(ink & (longest == longest.max(axis=0)))


def _model(ink: NDArray[np.float64], paper: NDArray[np.float64]) -> InkModel | None:
    """The model from colours (n, 3) of traces and of paper and grid; None where they have the same colour."""
    # Samples lie on the stroke's middle by chance only: the darker half of them is the pen.
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
