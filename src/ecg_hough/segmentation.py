"""Where the leads are: the whole page at low scale through the leads network (nnU-Net, 13 classes).

In: the page's pixels. Out: class probabilities on a square canvas, and the map between canvas and
page. The network sees the page at once, because a lead's name is a matter of where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.network import Network

CANVAS_PX = 704
"""Side of the canvas. A 280 mm wide page has 2.5 px/mm there: enough for rows and names of leads."""
LEADS_NETWORK = "leads"
_PAD = 255


@dataclass(frozen=True)
class Canvas:
    """A page scaled into a square, white around it.

    Attributes:
        image: (CANVAS_PX, CANVAS_PX, 3) uint8.
        scale: canvas px per page px.
        offset: (rows, cols) canvas px of the page's top left corner's outer edge.
    """

    image: NDArray[np.uint8]
    scale: float
    offset: tuple[int, int]

    def to_page(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) row, col on the canvas -> row, col on the page."""
        return (points - np.asarray(self.offset) + 0.5) / self.scale - 0.5

    def from_page(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) row, col on the page -> row, col on the canvas."""
        return (points + 0.5) * self.scale - 0.5 + np.asarray(self.offset)


def to_canvas(image: NDArray[np.uint8], side: int = CANVAS_PX) -> Canvas:
    """Scale a page (rows, cols, 3) into the middle of a white square, aspect kept."""
    rows, cols = image.shape[:2]
    scale = side / max(rows, cols)
    shape = (max(1, round(rows * scale)), max(1, round(cols * scale)))
    # Area averaging when shrinking: thin lines fade instead of breaking up.
    flag = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, shape[::-1], interpolation=flag)
    top, left = (side - shape[0]) // 2, (side - shape[1]) // 2
    canvas = np.full((side, side, 3), _PAD, np.uint8)
    canvas[top : top + shape[0], left : left + shape[1]] = small
    return Canvas(canvas, scale, (top, left))


def lead_probabilities(canvas: Canvas, network: Network) -> NDArray[np.float32]:
    """(13, rows, cols) class probabilities of a canvas: background, then `paper.LEADS`."""
    logits = network.run(canvas.image.astype(np.float32).transpose(2, 0, 1)[None] / 255.0)[0]
    logits -= logits.max(axis=0, keepdims=True)
    np.exp(logits, out=logits)
    return logits / logits.sum(axis=0, keepdims=True)
