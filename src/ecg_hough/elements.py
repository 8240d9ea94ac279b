"""An upright box of an image's pixels: the part of a picture that is read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Box(NamedTuple):
    """First row and column, and those behind the last."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Box:
        """All of an image of this shape."""
        return cls(0, 0, shape[0], shape[1])

    @classmethod
    def around(cls, points: ArrayLike, shape: tuple[int, ...]) -> Box:
        """The least one that holds points (n, 2), row and column, as far as an image of this shape does."""
        points = np.asarray(points, float)
        low = np.clip(np.floor(points.min(axis=0)), 0, shape[:2]).astype(int)
        high = np.clip(np.ceil(points.max(axis=0)) + 1, 0, shape[:2]).astype(int)
        return cls(int(low[0]), int(low[1]), int(high[0]), int(high[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def corners(self) -> NDArray[np.float64]:
        """(2, 2) row and column of its first and its last pixel."""
        return np.array([[self.top, self.left], [self.bottom - 1, self.right - 1]], float)

    def cut(self, image: NDArray) -> NDArray:
        """The image's part in it."""
        return image[self.top : self.bottom, self.left : self.right]

    def within(self, outer: Box) -> Box:
        """A box of the part of an image that `outer` cuts, as one of that image."""
        top, left = outer[:2]
        return Box(self.top + top, self.left + left, self.bottom + top, self.right + left)
