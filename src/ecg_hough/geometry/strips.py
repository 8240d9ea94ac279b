"""Strips of the page that contain rows of traces: one warp from the original pixels to a fixed scale.

In: the page's pixels and its map from millimetres. Out: a strip of `STRIP_PX_PER_MM`, rows down the
page, columns along time, free of rotation, perspective and curl.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.page_map import PageMap, on_every_pixel

STRIP_PX_PER_MM = 8.0
"""Scale of strips in both directions, about that of a 200 dpi scan. With two values a column the traces have
the 16 values per mm along time that the best Challenge entries found necessary."""
_SHRINK_FROM = 1.5  # originals finer than this times the strip's scale are first averaged down


@dataclass(frozen=True)
class StripFrame:
    """Place of a strip on the page.

    Strip px to mm: y = y_mm + (r cos - c sin) / scale, x = x_mm + (r sin + c cos) / scale, of the angle
    `turn_deg`. Turn and zoom are 0 and 1 except in training, where they represent errors of the geometry.

    Attributes:
        y_mm, x_mm: centre of the first pixel.
        shape: rows, cols of the strip.
        turn_deg: small rotation, counter-clockwise; zoom: true over assumed scale.
    """

    y_mm: float
    x_mm: float
    shape: tuple[int, int]
    turn_deg: float = 0.0
    zoom: float = 1.0

    def _matrix(self) -> NDArray[np.float64]:
        """(2, 2) from strip (row, col) to mm (y, x)."""
        angle = np.deg2rad(self.turn_deg)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return turn / (STRIP_PX_PER_MM * self.zoom)

    def to_mm(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) row, col in the strip -> y, x in mm."""
        return points @ self._matrix().T + (self.y_mm, self.x_mm)

    def from_mm(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) y, x in mm -> row, col in the strip."""
        return (points - (self.y_mm, self.x_mm)) @ np.linalg.inv(self._matrix()).T


def shrink_for_strips(image: NDArray[np.uint8], px_per_mm: float) -> tuple[NDArray[np.uint8], float]:
    """Average a fine original down to nearly the strips' scale; returns the image and the factor.

    A 600 dpi page sampled at 200 dpi without averaging would show aliases of its noise and grid.
    """
    if px_per_mm < _SHRINK_FROM * STRIP_PX_PER_MM:
        return image, 1.0
    factor = 1.0 / round(px_per_mm / STRIP_PX_PER_MM)
    rows, cols = (round(n * factor) for n in image.shape[:2])
    return cv2.resize(image, (cols, rows), interpolation=cv2.INTER_AREA), factor


def strip_to_page(frame: StripFrame, page_map: PageMap, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 2) row, col in a strip -> row, col in the image."""
    mm = frame.to_mm(points)
    return np.stack(page_map.to_pixels(mm[..., 0], mm[..., 1]), -1)


def strip_map(frame: StripFrame, page_map: PageMap) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rows and columns in the image of every pixel of a strip, each (rows, cols) float32."""
    return on_every_pixel(partial(strip_to_page, frame, page_map), frame.shape)


def cut_strip(
    image: NDArray[np.uint8],
    where: tuple[NDArray[np.float32], NDArray[np.float32]],
    factor: float = 1.0,
    *,
    cubic: bool = True,
) -> NDArray[np.uint8]:
    """The strip's pixels (rows, cols, 3); white outside the image.

    Args:
        image: the page, reduced by `factor`; where: `strip_map` in px of the page before.
        cubic: whether to interpolate by cubic polynomials, otherwise linearly.
    """
    rows, cols = ((m + 0.5) * np.float32(factor) - np.float32(0.5) if factor != 1.0 else m for m in where)
    method = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return cv2.remap(image, cols, rows, method, borderMode=cv2.BORDER_CONSTANT, borderValue=(255, 255, 255))
