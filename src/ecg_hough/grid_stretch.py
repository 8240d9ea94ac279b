"""How many times taller than wide the printed squares are: plots need not be drawn to scale.

In: an upright image. Out: the ratio of its scales down and across, 1 where nothing surely says other. Squares
of paper are square, so `grid` looks for two families of lines of nearly one pitch, and takes every third line
of one family for every line of the other where a program drew 0.5 mV taller than 0.2 s is wide. Here each
family is looked for by itself, and must show by itself which of its lines are 1 mm apart and which 5 mm.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.grid import LONG_SIDES_PX, grid_evidence
from ecg_hough.grid_combs import find_combs, tile_power
from ecg_hough.grid_spacing import mm_alone

STRETCH_MAX, SQUARE = 2.6, 1.17
"""Ratios beyond the first are not believed: three is what every third line of a family looks like. Ratios up
to the second are read as they are (`grid_combs`). Of 534 pages of four programs that draw square squares one
seems stretched, by three."""
_PART_PX = 1024  # of the middle of the page, which shows enough lines
_PLACES_PX = 40  # distance of the places at which spectra may be taken


def find_stretch(image: NDArray[np.uint8]) -> float:
    """Height over width of the printed squares in px, 1 where they are nearly square or do not tell.

    Args:
        image: (rows, cols, 3) or (rows, cols) uint8, upright.
    """
    px_per_mm: dict[int, float] = {}
    for long_side in LONG_SIDES_PX[:2]:
        scale = min(1.0, long_side / max(image.shape[:2]))
        rows, cols = (max(1, round(n * scale)) for n in image.shape[:2])
        small = cv2.resize(image, (cols, rows), interpolation=cv2.INTER_AREA)
        top, left = max(0, rows - _PART_PX) // 2, max(0, cols - _PART_PX) // 2
        evidence = grid_evidence(small[top : top + _PART_PX, left : left + _PART_PX])
        combs = find_combs(*tile_power(evidence), square=False)
        if combs is None:
            continue
        nodes = (np.arange(0.0, n, _PLACES_PX) for n in evidence.shape)
        places = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1).reshape(-1, 2)
        for axis, frequency in enumerate((combs.down, combs.across)):
            # A flat page's phase: the first term of a model is by column, the second by row.
            model = np.zeros(9)
            model[1 - axis] = max(evidence.shape) / 2 * frequency
            mm = mm_alone(evidence, model, places, 1 / frequency)
            if mm is not None:
                px_per_mm.setdefault(axis, 1 / (frequency * mm * scale))
        if len(px_per_mm) == 2:
            stretch = px_per_mm[0] / px_per_mm[1]
            return stretch if SQUARE < max(stretch, 1 / stretch) < STRETCH_MAX else 1.0
    return 1.0
