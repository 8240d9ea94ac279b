"""The page as it was found in a picture: what every later stage starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Box, PageLayout, PrintedWord
from ecg_hough.geometry.page_geometry import PageGeometry
from ecg_hough.networks.canvas import Canvas
from ecg_hough.page_map import PageMap


@dataclass(frozen=True)
class Sheet:
    """A page in a picture: upright pixels, millimetres, and what both page networks see.

    Attributes:
        turns: quarter turns of the page as given, counter-clockwise.
        part: the part of the picture that was read; image: (rows, cols, 3), that part turned upright.
        geometry: of that image; page_map: its millimetres, assumed where there is no grid.
        canvas, probabilities: the picture that the leads network saw, and (13, rows, cols) of it.
        layout: which lead is printed where by the page networks, on the canvas; words: the known words on
            the page.
        sides_mm: places of the left sides of the frames round panels, mm along the page.
        warnings: what a person should check, in sentences.
    """

    turns: int
    part: Box
    image: NDArray[np.uint8]
    geometry: PageGeometry
    page_map: PageMap
    canvas: Canvas
    probabilities: NDArray[np.float32]
    layout: PageLayout
    words: tuple[PrintedWord, ...]
    sides_mm: tuple[float, ...]
    warnings: tuple[str, ...]

    @property
    def words_mm(self) -> NDArray[np.float64]:
        """(n, 2) middles of the known words, mm down and along the page."""
        at = np.array([(word.row, word.col) for word in self.words], float).reshape(-1, 2)
        return np.stack(self.page_map.to_mm(at[:, 0], at[:, 1]), axis=-1) if len(at) else at

    @property
    def has_grid(self) -> bool:
        """Whether the millimetres come from a printed grid."""
        return self.geometry.grid_found
