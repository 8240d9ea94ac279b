"""The square picture in which a network sees a page: upright, at low scale, white around it.

In: the page's pixels and its angle, or its map where it is not flat. Out: `Canvas`, with the map between its
pixels and the page's. The leads network sees the page at once, because a lead's name depends on its place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Box
from ecg_hough.page_map import PageMap, on_every_pixel

CANVAS_PX = 704
"""Side of the canvas. A 280 mm wide page has 2.5 px/mm there: enough for rows and names of leads."""
UPRIGHT_DEG = 0.7
"""Pages turned less than this are not turned back: the network has seen such, and one resampling is saved."""
FLAT_PX_PER_MM = 2.5
"""Greatest scale of a flattened page: that of usual pages."""
_PAD = 255


@dataclass(frozen=True)
class Canvas:
    """A page scaled into a square, upright, white around it.

    Attributes:
        image: (side, side, 3) uint8.
        matrix: (2, 3), page (row, col, 1) -> canvas (row, col), pixel centres; with `page_map` from its
            (y_mm, x_mm, 1).
        covered: (side, side) bool, where the page lies.
        page_map: along which the page was flattened; None of one that was only turned.
    """

    image: NDArray[np.uint8]
    matrix: NDArray[np.float64]
    covered: NDArray[np.bool_]
    page_map: PageMap | None = None

    @property
    def scale(self) -> float:
        """Canvas px per page px, or per mm with `page_map`."""
        return float(np.sqrt(np.linalg.det(self.matrix[:, :2])))

    def to_page(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) row, col on the canvas -> row, col on the page."""
        return _to_page(points, self.matrix, self.page_map)

    def from_page(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) row, col on the page -> row, col on the canvas."""
        if self.page_map is not None:
            points = np.stack(self.page_map.to_mm(points[..., 0], points[..., 1]), -1)
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]


def _to_page(
    points: NDArray[np.float64], matrix: NDArray[np.float64], page_map: PageMap | None
) -> NDArray[np.float64]:
    """`Canvas.to_page` of a canvas with this matrix and map."""
    flat = (points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    return flat if page_map is None else np.stack(page_map.to_pixels(flat[..., 0], flat[..., 1]), -1)


def to_canvas(
    image: NDArray[np.uint8],
    angle_deg: float = 0.0,
    side: int = CANVAS_PX,
    *,
    tall: float = 1.0,
    wide: float = 1.0,
    box: Box | None = None,
) -> Canvas:
    """Scale a page (rows, cols, 3) into the middle of a white square, turned upright.

    Args:
        angle_deg: the page's angle, counter-clockwise; turned back when above `UPRIGHT_DEG`.
        tall, wide: factors of the scale down the page and across it; as much of them as the square has room
            for.
        box: the part that is drawn; None draws all.
    """
    if box is not None:
        part = to_canvas(box.cut(image), angle_deg, side, tall=tall, wide=wide)
        return replace(part, matrix=part.matrix - np.outer(part.matrix[:, :2] @ box[:2], [0, 0, 1]))
    rows, cols = image.shape[:2]
    angle = np.deg2rad(angle_deg) if abs(angle_deg) > UPRIGHT_DEG else 0.0
    cos, sin = np.cos(angle), np.sin(angle)
    back = np.array([[cos, sin], [-sin, cos]])  # on (row, col): turns clockwise
    corners = np.array([[-0.5, -0.5], [-0.5, cols - 0.5], [rows - 0.5, -0.5], [rows - 0.5, cols - 0.5]])
    turned = corners @ back.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    scale = side / float((high - low).max())
    tall, wide = (
        min(times, side / (scale * extent))
        for times, extent in zip((tall, wide), (high - low).tolist(), strict=True)
    )
    # Area averaging when shrinking: thin lines fade instead of breaking up.
    flag = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    # A page that is yet to be turned is scaled alike both ways, and drawn in on the way.
    down, across = (max(tall, wide, 1.0),) * 2 if angle else (tall, wide)
    small_shape = (max(1, round(rows * scale * down)), max(1, round(cols * scale * across)))
    small = cv2.resize(image, small_shape[::-1], interpolation=flag)
    shrink = np.array([small_shape[0] / rows, small_shape[1] / cols])
    if not angle:
        return _upright(small, shrink, side)
    canvas = np.full((side, side, 3), _PAD, np.uint8)
    back = np.diag([tall / down, wide / across]) @ back
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


def _upright(small: NDArray[np.uint8], shrink: NDArray[np.float64], side: int) -> Canvas:
    """The canvas of a page that was scaled by `shrink` (down, across) and needs no turning."""
    n_rows, n_cols = small.shape[:2]
    top, left = (side - n_rows) // 2, (side - n_cols) // 2
    canvas, covered = np.full((side, side, 3), _PAD, np.uint8), np.zeros((side, side), bool)
    canvas[top : top + n_rows, left : left + n_cols] = small
    covered[top : top + n_rows, left : left + n_cols] = True
    offset = 0.5 * shrink - 0.5 + (top, left)
    return Canvas(canvas, np.column_stack([np.diag(shrink), offset]), covered)


def to_flat_canvas(
    image: NDArray[np.uint8],
    page_map: PageMap,
    box_mm: tuple[float, float, float, float],
    side: int = CANVAS_PX,
) -> Canvas:
    """Flatten a part of a page (rows, cols, 3) along its map into the middle of a square.

    Rows of traces are straight and level there, as they were printed, whatever the camera or the paper did.

    Args:
        box_mm: top, left, bottom and right of what must be seen.
    """
    rows, cols = image.shape[:2]
    low, high = np.array(box_mm[:2]), np.array(box_mm[2:])
    scale = min(side / float((high - low).max()), FLAT_PX_PER_MM)
    matrix = np.column_stack([scale * np.eye(2), (side - 1) / 2 - scale * (low + high) / 2])
    # Area averaging when shrinking: thin lines fade instead of breaking up.
    shrink = min(1.0, scale / float(np.mean(page_map.px_per_mm)))
    shape = (max(1, round(rows * shrink)), max(1, round(cols * shrink)))
    small = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA) if shrink < 1 else image
    row, col = on_every_pixel(partial(_to_page, matrix=matrix, page_map=page_map), (side, side))
    place = [
        (v + 0.5) * np.float32(n / size) - np.float32(0.5)
        for v, n, size in ((col, shape[1], cols), (row, shape[0], rows))
    ]
    # No white beyond the image: the network would take the slanted edge for a trace.
    flat = cv2.remap(small, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    covered = (row > -0.5) & (row < rows - 0.5) & (col > -0.5) & (col < cols - 0.5)
    return Canvas(flat.astype(np.uint8), matrix, covered, page_map)
