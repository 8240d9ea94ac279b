"""Strokes drawn along rows: a round pen's line, or a raster printer's bars.

In: rows of a strip's read-outs, the pixels near them and the pen. Out: the share of ink that the stroke puts
on every pixel, and for every pixel the nearest segment of the line.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from ecg_hough.traces.pen import Paper, Pen

PIXEL_BLUR_PX = 0.3
"""Blur of the coverage ramp, one pixel wide, by which the sharp stroke is drawn."""
_BLUR_MIN_PX = 0.25  # a smaller one is not drawn
_NOWHERE = 1e9  # square of the distance of a segment that does not exist


class Near(NamedTuple):
    """The pixels near a row's trace.

    Attributes:
        row, column: of each pixel; down: its row again, float.
        value: its share of ink; precision: of that, one over its variance.
        noise: standard deviation of a share of ink.
        span: half columns to either side whose stroke reaches a pixel.
        shape: of the strip.
    """

    row: NDArray[np.intp]
    column: NDArray[np.intp]
    down: NDArray[np.float32]
    value: NDArray[np.float32]
    precision: NDArray[np.float32]
    noise: float
    span: int
    shape: tuple[int, int]


def pixels_near(paper: Paper, pen: Pen, rows: NDArray[np.float64], seen: NDArray[np.bool_]) -> Near:
    """The pixels that the stroke along a row may reach.

    Args:
        rows, seen: (2 * cols,) of the read-outs, and where a trace is read.
    """
    n_rows, n_cols = paper.strip.shape[:2]
    span = int(np.ceil(2 * pen.reach)) + 1
    low = minimum_filter1d(np.where(seen, rows, np.inf), 2 * span + 1).reshape(n_cols, 2).min(axis=1)
    high = maximum_filter1d(np.where(seen, rows, -np.inf), 2 * span + 1).reshape(n_cols, 2).max(axis=1)
    margin = pen.reach + 1
    first = np.clip(np.nan_to_num(np.floor(low - margin), posinf=n_rows), 0, n_rows).astype(int)
    last = np.clip(np.nan_to_num(np.ceil(high + margin) + 1, neginf=0), 0, n_rows).astype(int)
    count = np.maximum(last - first, 0)
    column = np.repeat(np.arange(n_cols), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - first, count)
    value, weight = paper.ink(row, column)
    precision = weight / np.float32(paper.noise**2)
    return Near(row, column, row.astype(np.float32), value, precision, paper.noise, span, (n_rows, n_cols))


class Nearest(NamedTuple):
    """The nearest segment of a polyline to every pixel.

    Attributes:
        segment: its index; share: the place along it, 0..1; below: the pixel's rows below that place;
            distance: from there, px.
    """

    segment: NDArray[np.intp]
    share: NDArray[np.float32]
    below: NDArray[np.float32]
    distance: NDArray[np.float32]


def nearest_segments(
    y: NDArray[np.float64], drawn: NDArray[np.bool_], near: Near, about: NDArray[np.intp], span: int
) -> Nearest:
    """Nearest segments of the polyline.

    Args:
        y: (2 * cols,) rows at columns c - 1/4 and c + 1/4; drawn: (2 * cols - 1,) segments that exist.
        about: a segment near each pixel; span: segments to either side of that one that are looked at.
    """
    column, down = near.column, near.down
    start = np.pad(y.astype(np.float32), span + 1, mode="edge")
    rise = np.diff(start)
    beyond = np.pad(np.where(drawn, np.float32(0), np.float32(_NOWHERE)), span + 1, constant_values=_NOWHERE)
    steep = 1 / (0.25 + rise * rise)
    first = about + 1  # in the padded arrays, of the farthest segment to the left
    behind = (column - 0.5 * (about - span) + 0.25).astype(np.float32)  # from its start to the pixel's column
    best = np.full(column.size, np.float32(1e12))
    which = np.zeros(column.size, np.intp)
    place, below = np.zeros_like(best), np.zeros_like(best)
    for m in range(2 * span + 1):
        k = first + m
        along = behind - np.float32(0.5 * m)
        dy = down - start[k]
        rise_px = rise[k]
        s = np.clip((0.5 * along + dy * rise_px) * steep[k], 0.0, 1.0)
        dx = along - 0.5 * s
        dy = dy - s * rise_px
        square = dx * dx + dy * dy + beyond[k]
        closer = np.flatnonzero(square < best)
        best[closer] = square[closer]
        which[closer] = k[closer]
        place[closer] = s[closer]
        below[closer] = dy[closer]
    return Nearest(np.clip(which - span - 1, 0, y.size - 2), place, below, np.sqrt(best))


def draw_line(distance: NDArray[np.float32], near: Near, pen: Pen) -> NDArray[np.float32]:
    """Share of ink (rows, cols) of a sharp line at these distances of the pixels near it."""
    drawing = np.zeros(near.shape, np.float32)
    drawing[near.row, near.column] = np.clip(pen.width_px / 2 + 0.5 - distance, 0.0, min(1.0, pen.width_px))
    return drawing


class Bars(NamedTuple):
    """A raster printer's stroke: a vertical bar in every column, from the lowest to the highest value in it.

    Attributes:
        top, bottom: (cols,) of the values, strip px; inf and -inf where nothing is printed.
        first, second: (2, cols) the read-outs of which the top's and the bottom's value is the mean.
    """

    top: NDArray[np.float64]
    bottom: NDArray[np.float64]
    first: NDArray[np.intp]
    second: NDArray[np.intp]


def bars_of(y: NDArray[np.float64], seen: NDArray[np.bool_]) -> Bars:
    """The bars of a row (2 * cols,): a column's values are its two read-outs and those at its borders."""
    n = y.size
    at = 2 * np.arange(n // 2)
    first = np.stack([np.maximum(at - 1, 0), at, at + 1, at + 1])
    second = np.stack([at, at, at + 1, np.minimum(at + 2, n - 1)])
    known = seen[first] & seen[second]
    values = 0.5 * (y[first] + y[second])
    highest, lowest = (np.where(known, values, fill) for fill in (np.inf, -np.inf))
    ends = np.stack([highest.argmin(axis=0), lowest.argmax(axis=0)])
    column = np.arange(n // 2)
    return Bars(highest[ends[0], column], lowest[ends[1], column], first[ends, column], second[ends, column])


def draw_bars(bars: Bars, pen: Pen, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Share of ink (rows, cols) of a sharp raster."""
    row = np.arange(shape[0], dtype=np.float32)[:, None]
    top, bottom = (
        (bars.top - pen.width_px / 2).astype(np.float32),
        (bars.bottom + pen.width_px / 2).astype(np.float32),
    )
    return np.clip(np.minimum(row + 0.5, bottom) - np.maximum(row - 0.5, top), 0.0, 1.0)


def blurred(drawing: NDArray[np.float32], pen: Pen) -> NDArray[np.float32]:
    """A sharp drawing (rows, cols) under the image's blur."""
    blur = float(np.sqrt(max(pen.blur_px**2 - PIXEL_BLUR_PX**2, 0.0)))
    return np.asarray(cv2.GaussianBlur(drawing, (0, 0), blur), np.float32) if blur > _BLUR_MIN_PX else drawing
