"""Darkness of pixels: the definition of each measure that the rooms use.

In: (rows, cols, 3) or (rows, cols) uint8. Out: (rows, cols) uint8, 0 black and 255 white.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def grey_of(image: Image) -> Image:
    """Luminance (ITU-R BT.601): what a person sees."""
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def lightest_of(image: Image) -> Image:
    """The lightest colour channel: a coloured grid is light there, black ink dark."""
    # Plane by plane: numpy's maximum over a last axis of 3 takes ten times as long.
    return image if image.ndim == 2 else functools.reduce(cv2.max, cv2.split(image))


def darkest_of(image: Image) -> Image:
    """The darkest colour channel: a grid of any colour is dark there."""
    return image if image.ndim == 2 else functools.reduce(cv2.min, cv2.split(image))
