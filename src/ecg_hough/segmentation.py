"""Where the leads are: the whole page at low scale through the leads network (nnU-Net, 13 classes).

In: the page's pixels and its angle. Out: class probabilities on a square, upright canvas, and the map
between canvas and page. The network sees the page at once, because a lead's name is a matter of where
it stands.
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
UPRIGHT_DEG = 0.7
"""Pages turned less than this are not turned back: the network has seen such, and one resampling is saved."""
_PAD = 255


@dataclass(frozen=True)
class Canvas:
    """A page scaled into a square, upright, white around it.

    Attributes:
        image: (side, side, 3) uint8.
        matrix: (2, 3), page (row, col, 1) -> canvas (row, col), pixel centres.
        covered: (side, side) bool, where the page lies.
    """

    image: NDArray[np.uint8]
    matrix: NDArray[np.float64]
    covered: NDArray[np.bool_]

    @property
    def scale(self) -> float:
        """Canvas px per page px."""
        return float(np.sqrt(np.linalg.det(self.matrix[:, :2])))

    def to_page(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) row, col on the canvas -> row, col on the page."""
        return (points - self.matrix[:, 2]) @ np.linalg.inv(self.matrix[:, :2]).T

    def from_page(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) row, col on the page -> row, col on the canvas."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]


def to_canvas(image: NDArray[np.uint8], angle_deg: float = 0.0, side: int = CANVAS_PX) -> Canvas:
    """Scale a page (rows, cols, 3) into the middle of a white square, aspect kept, turned upright.

    Args:
        angle_deg: the page's angle, counter-clockwise; turned back when above `UPRIGHT_DEG`.
    """
    rows, cols = image.shape[:2]
    angle = np.deg2rad(angle_deg) if abs(angle_deg) > UPRIGHT_DEG else 0.0
    cos, sin = np.cos(angle), np.sin(angle)
    back = np.array([[cos, sin], [-sin, cos]])  # on (row, col): turns clockwise
    corners = np.array([[-0.5, -0.5], [-0.5, cols - 0.5], [rows - 0.5, -0.5], [rows - 0.5, cols - 0.5]])
    turned = corners @ back.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    scale = side / float((high - low).max())
    # Area averaging when shrinking: thin lines fade instead of breaking up.
    flag = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small_shape = (max(1, round(rows * scale)), max(1, round(cols * scale)))
    small = cv2.resize(image, small_shape[::-1], interpolation=flag)
    shrink = np.array([small_shape[0] / rows, small_shape[1] / cols])
    canvas = np.full((side, side, 3), _PAD, np.uint8)
    if not angle:
        top, left = (side - small_shape[0]) // 2, (side - small_shape[1]) // 2
        canvas[top : top + small_shape[0], left : left + small_shape[1]] = small
        covered = np.zeros((side, side), bool)
        covered[top : top + small_shape[0], left : left + small_shape[1]] = True
        linear = np.diag(shrink)
        offset = 0.5 * shrink - 0.5 + (top, left)
        return Canvas(canvas, np.column_stack([linear, offset]), covered)
    linear = back * shrink  # page px -> upright canvas px
    offset = (side - 1) / 2 - linear @ np.array([(rows - 1) / 2, (cols - 1) / 2])
    from_small = np.column_stack([back, (side - 1) / 2 - back @ ((np.array(small_shape) - 1) / 2)])
    xy = from_small[::-1, [1, 0, 2]]  # cv2 wants (x, y)
    cv2.warpAffine(
        small, xy, (side, side), dst=canvas, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT
    )
    page = np.ones(small_shape, np.uint8)
    covered = cv2.warpAffine(page, xy, (side, side), flags=cv2.INTER_NEAREST) > 0
    return Canvas(canvas, np.column_stack([linear, offset]), covered)


def lead_probabilities(canvas: Canvas, network: Network) -> NDArray[np.float32]:
    """(13, rows, cols) class probabilities of a canvas: background, then `paper.LEADS`."""
    logits = network.run(canvas.image.astype(np.float32).transpose(2, 0, 1)[None] / 255.0)[0]
    logits -= logits.max(axis=0, keepdims=True)
    np.exp(logits, out=logits)
    return logits / logits.sum(axis=0, keepdims=True)
