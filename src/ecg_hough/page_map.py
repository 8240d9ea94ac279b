"""Page millimetres to image pixels and back, by one smooth map; and pictures warped by such maps.

In: points in millimetres on the page or in pixels of the image. Out: the same points in the other. `PageMap`
is sampled on a lattice of millimetres, cubic in between: rotation, perspective, curl and lens distortion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RectBivariateSpline

_NEWTON_STEPS = 12
_NEWTON_TOLERANCE_MM = 1e-4
_LATTICE_PX = 16  # maps are smooth: computed on this lattice and interpolated to every pixel


@dataclass(frozen=True)
class PageMap:
    """Smooth map between page millimetres and image pixels.

    Millimetres grow downward (y) and to the right (x) from any origin on the page; pixel k's centre
    is at coordinate k.

    Attributes:
        y_mm: (h,) lattice, increasing, at least 2 nodes; x_mm: (w,) likewise.
        rows, cols: (h, w) image px of each node.
    """

    y_mm: NDArray[np.float64]
    x_mm: NDArray[np.float64]
    rows: NDArray[np.float64]
    cols: NDArray[np.float64]

    @classmethod
    def from_affine(cls, matrix: ArrayLike, size_mm: tuple[float, float]) -> PageMap:
        """Map of a flat page of (height, width) mm: (row, col) = matrix (2, 3) @ (y_mm, x_mm, 1)."""
        matrix = np.asarray(matrix, float)
        y, x = np.linspace(0, size_mm[0], 4), np.linspace(0, size_mm[1], 4)  # 4: cubic splines need them
        nodes = np.stack([*np.meshgrid(y, x, indexing="ij"), np.ones((4, 4))])
        seen = np.einsum("ij,jhw->ihw", matrix, nodes)
        return cls(y, x, seen[0], seen[1])

    def scaled(self, factor: float) -> PageMap:
        """The same map with all millimetres multiplied by `factor`."""
        return PageMap(self.y_mm * factor, self.x_mm * factor, self.rows, self.cols)

    def turned(self, turns: int, shape: tuple[int, ...]) -> PageMap:
        """The map of an image of `shape` after `turns` clockwise quarter turns; millimetres turn with it."""
        page_map, (height, width) = self, shape[:2]
        for _ in range(turns % 4):
            page_map = PageMap(
                page_map.x_mm,
                page_map.y_mm[-1] + page_map.y_mm[0] - page_map.y_mm[::-1],
                np.rot90(page_map.cols, -1),
                height - 1 - np.rot90(page_map.rows, -1),
            )
            height, width = width, height
        return page_map

    @property
    def px_per_mm(self) -> tuple[float, float]:
        """Mean px per mm down the page and across it."""
        down = np.hypot(np.diff(self.rows, axis=0), np.diff(self.cols, axis=0)) / np.diff(self.y_mm)[:, None]
        across = np.hypot(np.diff(self.rows, axis=1), np.diff(self.cols, axis=1)) / np.diff(self.x_mm)[None]
        return float(down.mean()), float(across.mean())

    @property
    def row_bend_mm(self) -> float:
        """Largest distance of a horizontal line of the page from a straight line in the image, mm.

        Without the outer parts of the page, where the map may be an extrapolation.
        """
        y, x = (np.linspace(v[0], v[-1], 21)[3:-3] for v in (self.y_mm, self.x_mm))
        largest = 0.0
        for rows, cols in zip(*self.to_pixels(y[:, None], x), strict=True):
            straight = np.polyval(np.polyfit(cols, rows, 1), cols)
            largest = max(largest, float(np.abs(rows - straight).max()))
        return largest / self.px_per_mm[0]

    @cached_property
    def _splines(self) -> tuple[RectBivariateSpline, RectBivariateSpline]:
        ky, kx = (min(3, n - 1) for n in self.rows.shape)
        return (
            RectBivariateSpline(self.y_mm, self.x_mm, self.rows, kx=ky, ky=kx),
            RectBivariateSpline(self.y_mm, self.x_mm, self.cols, kx=ky, ky=kx),
        )

    def to_pixels(self, y_mm: ArrayLike, x_mm: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rows and columns of points on the page; extrapolated linearly outside the lattice."""
        y, x = np.broadcast_arrays(np.asarray(y_mm, float), np.asarray(x_mm, float))
        yc = np.clip(y, self.y_mm[0], self.y_mm[-1])
        xc = np.clip(x, self.x_mm[0], self.x_mm[-1])
        dy, dx = y - yc, x - xc
        outside = bool(np.any(dy) or np.any(dx))
        out = []
        for spline in self._splines:
            value = spline.ev(yc, xc)
            if outside:
                value = value + spline.ev(yc, xc, dx=1) * dy + spline.ev(yc, xc, dy=1) * dx
            out.append(value)
        return out[0], out[1]

    def to_mm(self, rows: ArrayLike, cols: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Millimetres of points in the image, by Newton's method from the nearest affine map."""
        r, c = np.broadcast_arrays(np.asarray(rows, float), np.asarray(cols, float))
        grid_y, grid_x = np.meshgrid(self.y_mm, self.x_mm, indexing="ij")
        seen = np.column_stack([self.rows.ravel(), self.cols.ravel(), np.ones(self.rows.size)])
        inverse, *_ = np.linalg.lstsq(seen, np.column_stack([grid_y.ravel(), grid_x.ravel()]), rcond=None)
        y = inverse[0, 0] * r + inverse[1, 0] * c + inverse[2, 0]
        x = inverse[0, 1] * r + inverse[1, 1] * c + inverse[2, 1]
        in_rows, in_cols = self._splines
        for _ in range(_NEWTON_STEPS):
            at_r, at_c = self.to_pixels(y, x)
            yc = np.clip(y, self.y_mm[0], self.y_mm[-1])
            xc = np.clip(x, self.x_mm[0], self.x_mm[-1])
            ry, rx = in_rows.ev(yc, xc, dx=1), in_rows.ev(yc, xc, dy=1)
            cy, cx = in_cols.ev(yc, xc, dx=1), in_cols.ev(yc, xc, dy=1)
            det = ry * cx - rx * cy
            er, ec = r - at_r, c - at_c
            dy, dx = (cx * er - rx * ec) / det, (ry * ec - cy * er) / det
            y, x = y + dy, x + dx
            if max(np.max(np.abs(dy), initial=0.0), np.max(np.abs(dx), initial=0.0)) < _NEWTON_TOLERANCE_MM:
                break
        return y, x


def turn_back(points: NDArray[np.float64], turns: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """(n, 2) px of the upright image -> px of the image of `shape` before `turns` clockwise quarter turns."""
    n_rows, n_cols = shape
    r, c = points.T
    if turns == 1:
        r, c = n_rows - 1 - c, r
    elif turns == 2:
        r, c = n_rows - 1 - r, n_cols - 1 - c
    elif turns == 3:
        r, c = c, n_cols - 1 - r
    return np.column_stack([r, c])


def on_every_pixel(
    place: Callable[[NDArray[np.float64]], NDArray[np.float64]], shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both values, each (rows, cols), of a smooth function at every pixel of a picture of `shape`.

    Args:
        place: (..., 2) row, col -> (..., 2), such as the place in another picture to sample. It is evaluated
            on a lattice and interpolated.
    """
    rows, cols = shape
    n_rows, n_cols = rows // _LATTICE_PX + 2, cols // _LATTICE_PX + 2
    r, c = np.meshgrid(np.arange(n_rows) * _LATTICE_PX, np.arange(n_cols) * _LATTICE_PX, indexing="ij")
    at = place(np.stack([r, c], -1).astype(float)).astype(np.float32)
    zoom = np.array([[_LATTICE_PX, 0, 0], [0, _LATTICE_PX, 0]], float)
    # warpAffine places lattice node k exactly at k * _LATTICE_PX; cv2.resize would shift by half a pixel.
    fine = [
        cv2.warpAffine(np.ascontiguousarray(at[..., k]), zoom, (cols, rows), flags=cv2.INTER_LINEAR,
                       borderMode=cv2.BORDER_REPLICATE)
        for k in range(2)
    ]  # fmt: skip
    return fine[0], fine[1]
