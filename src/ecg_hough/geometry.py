"""Page millimetres to image pixels and back: one smooth map for everything that happened to the page.

`PageMap` is that map, sampled on a regular lattice of millimetres and cubic in between: rotation,
perspective, curl and lens distortion alike. The renderer gives it as truth, `grid` finds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RectBivariateSpline

_NEWTON_STEPS = 12
_NEWTON_TOLERANCE_MM = 1e-4


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
        """Map of a flat page: (row, col) = matrix (2, 3) @ (y_mm, x_mm, 1), for a page of (height, width) mm."""
        matrix = np.asarray(matrix, float)
        y, x = np.linspace(0, size_mm[0], 2), np.linspace(0, size_mm[1], 2)
        nodes = np.stack([*np.meshgrid(y, x, indexing="ij"), np.ones((2, 2))])
        seen = np.einsum("ij,jhw->ihw", matrix, nodes)
        return cls(y, x, seen[0], seen[1])

    @property
    def px_per_mm(self) -> tuple[float, float]:
        """Mean scale down the page and across it."""
        down = np.hypot(np.diff(self.rows, axis=0), np.diff(self.cols, axis=0)) / np.diff(self.y_mm)[:, None]
        across = np.hypot(np.diff(self.rows, axis=1), np.diff(self.cols, axis=1)) / np.diff(self.x_mm)[None]
        return float(down.mean()), float(across.mean())

    @cached_property
    def _splines(self) -> tuple[RectBivariateSpline, RectBivariateSpline]:
        ky, kx = (min(3, n - 1) for n in self.rows.shape)
        return (
            RectBivariateSpline(self.y_mm, self.x_mm, self.rows, kx=ky, ky=kx),
            RectBivariateSpline(self.y_mm, self.x_mm, self.cols, kx=ky, ky=kx),
        )

    def to_pixels(self, y_mm: ArrayLike, x_mm: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rows and columns of points on the page; continued linearly outside the lattice."""
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
        """Millimetres of points in the image, by Newton's method from the best affine map."""
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
