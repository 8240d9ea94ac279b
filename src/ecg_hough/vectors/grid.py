"""The printed grid among a page's strokes: how many px of the picture its millimetres take.

In: strokes. Out: `DrawnGrid`. Distances of neighbouring lines are whole multiples of the smallest; they are
compared within one style and one family, so that panels may each have a grid of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_hough.paper import BLOCK_MM, GRID_MAJOR_MM, GRID_MINOR_MM
from ecg_hough.vectors.strokes import Stroke, Style

log = logging.getLogger(__name__)

LINES_MIN, LINE_MM = 8, 8.0
"""Fewest lines of a family, and the shortest line."""
LEVEL_PX = 0.3
"""Lines are level, or upright, within this."""
SAME_PX = 0.5
"""Lines nearer than this are one."""
EVEN_SHARE, EVEN_OFF = 0.8, 0.06
"""Share of the distances of neighbouring lines that must be multiples of the smallest, within this share."""
FIVE_ODDS = 1.0
"""Log odds that the fine lines are 1 mm apart where others are five times as far apart."""
SURE_ODDS = 0.7
"""Log odds below which it is unknown whether lines are 1 or 5 mm apart."""


@dataclass(frozen=True)
class DrawnGrid:
    """A grid.

    Attributes:
        down, across: px per millimetre; lines_mm: distance of its finest lines.
        sure: whether it is known that they are 1, or 5, mm apart.
    """

    down: float
    across: float
    lines_mm: float
    sure: bool = True


def find_grid(strokes: Iterable[Stroke], px_per_mm: float, block_px: float) -> DrawnGrid | None:
    """The grid of a page; None where it has no lines both ways.

    Args:
        px_per_mm: at the page's nominal size; block_px: width of the block of traces.
    """
    families: dict[tuple[Style, int], list[float]] = {}
    for stroke in strokes:
        for at, axis in _lines_of(stroke, LINE_MM * px_per_mm):
            families.setdefault((stroke.style, axis), []).append(at)
    pitches = {key: p for key, at in families.items() if (p := _pitch(np.array(at))) is not None}
    down, across = (_finest(pitches, axis) for axis in (0, 1))
    if down is None or across is None:
        return None
    five = any(abs(p / down / GRID_MAJOR_MM - 1) < EVEN_OFF for (_, axis), p in pitches.items() if axis == 0)

    def odds(mm: float) -> float:
        """How plausible it is that the lines are so far apart: by the page's size, and the traces' width."""
        size, width = np.log(across / mm / px_per_mm), np.log(block_px / (across / mm) / BLOCK_MM)
        return float(FIVE_ODDS * (five and mm == GRID_MINOR_MM) - abs(size) - abs(width))

    best, second = sorted((GRID_MINOR_MM, GRID_MAJOR_MM), key=odds, reverse=True)
    sure = odds(best) - odds(second) >= SURE_ODDS
    log.info(
        "grid: lines %.3f px apart down and %.3f px across, %g mm, log odds %.1f against %g mm",
        down, across, best, odds(best) - odds(second), second,
    )  # fmt: skip
    return DrawnGrid(down / best, across / best, best, sure)


def _lines_of(stroke: Stroke, least_px: float) -> list[tuple[float, int]]:
    """Place of a straight line along the axis across it: (row, 0) of a level one, (column, 1) of an upright
    one."""
    size = stroke.size
    for axis in (0, 1):
        if size[axis] <= LEVEL_PX and size[1 - axis] >= least_px:
            return [(float(stroke.points[0, axis]), axis)]
    return []


def _pitch(places: NDArray[np.float64]) -> float | None:
    """Distance of evenly spaced lines, px, some of which may be missing; None of others."""
    places = np.sort(places)
    places = places[np.concatenate([[True], np.diff(places) > SAME_PX])]
    if len(places) < LINES_MIN:
        return None
    steps = np.diff(places)
    least = float(np.percentile(steps, 10))
    for _ in range(3):
        times = np.maximum(np.round(steps / least), 1.0)
        even = np.abs(steps / least - times) <= EVEN_OFF * times
        if even.mean() < EVEN_SHARE:
            return None
        least = float(steps[even].sum() / times[even].sum())
    return least


def _finest(pitches: dict[tuple[Style, int], float], axis: int) -> float | None:
    return min((p for (_, a), p in pitches.items() if a == axis), default=None)
