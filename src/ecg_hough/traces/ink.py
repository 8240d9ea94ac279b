"""What is ink on this page: from colours to a darkness in which paper and grid are 0 and the pen is 1.

In: the page's pixels, and where its traces run or which pixels they lie under. Out: `InkModel`, or the pen's
own pixels under a coarse mask. A pen and a grid differ in colour as often as in brightness (a blue pen on a
red grid), so the direction in colour space that tells them best apart is taken (Fisher's discriminant), from
samples of the page itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.page_map import PageMap

if TYPE_CHECKING:
    from ecg_hough.elements import RowTrace

SAMPLE_MM = 0.5
"""Traces are sampled at this distance."""
BESIDE_MM = (2.0, 3.1, 4.7)
"""Paper and grid are sampled this far above and below the traces; no multiple of the grid's pitch."""
SAMPLES_MIN = 50
SAMPLES_MOST = 20_000
"""About so many samples beside a mask are enough."""
PAPER_SHARE = 0.97
"""Share of the samples beside the traces that is paper and grid; the rest is other ink."""
PEN_DARKNESS = 0.75
"""Darkness from which a pixel under a mask is the pen's. Antialiased rims let a flank's stroke into the
columns beside it: column centroids of 16 development pages score 16.2 dB, and 15.9 dB at 0.6."""
MASK_MARGIN_PX = 4
"""Paper is sampled farther than this from a mask."""
PEN_LIKE = 0.25
"""Samples beside a mask nearer to the pen's colour than this share of the way to the paper's are ink, too."""


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
    return _model(ink, paper)


def pen_under(image: NDArray[np.uint8], under: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(rows, cols) the pen's pixels under a coarse mask: the mask of a network that draws the trace itself.

    In every column the darkest pixel under the mask is taken for the pen, what lies beside the mask for
    paper and grid. Of the ink found, each column keeps its pieces of the greatest extent along the page: a
    trace goes on, letters and numbers under the mask do not.

    Args:
        image: (rows, cols, 3) pixels, rows down the page.
        under: (rows, cols) where a trace lies, some millimetres wide.
    """
    nothing = np.zeros(under.shape, bool)
    columns = np.flatnonzero(under.any(axis=0))
    if not columns.size:
        return nothing
    grey = np.where(under, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 255)
    pen = image[grey.argmin(axis=0)[columns], columns].astype(np.float64)
    reach = np.ones((2 * MASK_MARGIN_PX + 1,) * 2, np.uint8)
    beside = image[cv2.dilate(under.astype(np.uint8), reach) == 0]
    beside = beside[:: max(1, len(beside) // SAMPLES_MOST)].astype(np.float64)
    if len(pen) < 2 or len(beside) < SAMPLES_MIN:
        return nothing
    colour, paper = np.median(pen, axis=0), np.median(beside, axis=0)
    away = np.linalg.norm(beside - colour, axis=1) > PEN_LIKE * np.linalg.norm(paper - colour)
    if away.sum() < SAMPLES_MIN:
        return nothing
    model = _model(pen, beside[away])
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
    """The model from colours (n, 3) of traces and of what is beside them; None where they have one colour."""
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
