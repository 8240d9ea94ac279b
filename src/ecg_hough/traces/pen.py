"""Paper, ink and pen of a strip, measured on the strip itself.

In: a strip and the rows that the trace network read. Out: `Paper`, which gives the share of ink in every
pixel (the printed grid, known by its period, is taken out), and `Pen`: the stroke's width and the image's
blur, from level stretches of the trace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

MIN_SEEN = 200
"""Read-outs that a row must have for its pen to be measured."""
NOISE_MIN = 0.08
"""Least standard deviation of a pixel's share of ink: strokes are not perfect."""
LEVEL_SLOPE = 0.15
"""Slope (rows per column) below which the trace is level: there the pen's profile is seen."""
REACH_PX = (1.0, 5.0)
"""Least and greatest distance from the stroke's middle at which ink is expected."""
FINE_PX = 0.05
"""Step of `Pen.slope`."""
_AXIS_MIN = 20.0  # grey levels between ink and paper below which a pixel's colour shows nothing
_GRID_TILES = 150  # periods of the grid, at least, of which the median is taken
_LAMP_EVERY = 7  # of the grid's pixels, one that measures the light
_SAMPLED_EVERY = 3  # rows and columns of the strip, of which contrast and noise are taken
_BIN_PX = 0.25
_BIN_SAMPLES = 20  # pixels that a bin must have more of
_BINS_MIN, _BINS_PAPER = 8, 4  # bins of a profile, at least, and the farthest ones, which are paper
_SHARE_MIN = 0.2  # of ink in the stroke's middle
_BLURS_PX = (0.35, 0.5, 0.65, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5)
_WIDTHS_PX = np.arange(0.75, 8.0, 0.25)


@dataclass(frozen=True)
class Pen:
    """A round pen and its stroke in the scan or photo.

    Attributes:
        width_px: of the stroke; blur_px: standard deviation of the image's blur; height: share of ink of a
            wide stroke.
        slope: derivative of the share of ink by the distance from a straight stroke's middle, per px, at
            multiples of `FINE_PX`.
        reach: px, where the share has fallen to nothing.
    """

    width_px: float
    blur_px: float
    height: float
    slope: NDArray[np.float32]
    reach: float


@dataclass(frozen=True)
class Paper:
    """A strip's paper and ink: what every pixel would be without the trace, and the trace's colour.

    It is asked for single pixels: most of a strip is nowhere near the trace.

    Attributes:
        strip: (n_rows, cols, 3) pixels.
        grid: (period, period, 3) the printed grid; lamp: (n_rows, cols) the local light, 1 on average.
        colour: (3,) of the trace.
        contrast: square of the usual distance of ink from paper in colour; noise: standard deviation of a
            pixel's share of ink.
    """

    strip: NDArray[np.uint8]
    grid: NDArray[np.float32]
    lamp: NDArray[np.float32]
    colour: NDArray[np.float32]
    contrast: float = 1.0
    noise: float = 0.0

    def ink(
        self, row: NDArray[np.intp], col: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Share of ink of pixels, 0 paper or grid .. 1 trace, and how well their colour shows it, 0..1."""
        share, square = self.share_of_ink(row, col)
        return share, np.minimum(square / np.float32(self.contrast), 1.0)

    def share_of_ink(
        self, row: NDArray[np.intp], col: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Share of ink, and the square of ink's distance from paper in colour."""
        period = self.grid.shape[0]
        paper = self.grid[row % period, col % period] * self.lamp[row, col][..., None]
        axis = self.colour - paper
        square = np.einsum("...k,...k->...", axis, axis)
        share = np.einsum("...k,...k->...", self.strip[row, col] - paper, axis)
        return share / np.maximum(square, np.float32(_AXIS_MIN**2)), square


def find_paper(
    strip: NDArray[np.uint8],
    rows: NDArray[np.float64],
    seen: NDArray[np.bool_],
    period: int,
    *,
    grid_out: bool = True,
) -> Paper:
    """The paper and ink of a strip.

    Args:
        strip: (n_rows, cols, 3) pixels.
        rows, seen: (2 * cols,) of every half column: where the network reads the trace, and whether it does.
        period: px of the grid's period. Paper and grid: the median over all periods, times the local light.
        grid_out: False takes the paper for one colour, as if it had no grid.
    """
    n_rows, n_cols = strip.shape[:2]
    middle = rows.reshape(-1, 2).mean(axis=1)
    level = seen.reshape(-1, 2).all(axis=1) & (np.abs(np.gradient(middle)) < 2 * LEVEL_SLOPE)
    if level.sum() < 0.1 * MIN_SEEN:
        level = seen.reshape(-1, 2).all(axis=1)
    at = np.clip(np.rint(middle[level]).astype(int), 0, n_rows - 1)
    colour = np.median(strip[at, np.flatnonzero(level)], axis=0).astype(np.float32)
    down, along = n_rows // period, n_cols // period
    tiles = strip[: down * period, : along * period].reshape(down, period, along, period, 3)
    tiles = np.ascontiguousarray(tiles.transpose(1, 3, 4, 0, 2)).reshape(period, period, 3, -1)
    grid = _middle(tiles[..., :: max(1, tiles.shape[-1] // _GRID_TILES)]).astype(np.float32)
    if not grid_out:
        grid = np.broadcast_to(np.median(grid, axis=(0, 1)), grid.shape)
    places = slice(None, None, _LAMP_EVERY)
    bright = tiles.reshape(period * period, 3, -1)[places].sum(axis=1, dtype=np.float32)
    light = bright / (grid.reshape(-1, 3)[places].sum(axis=1)[:, None] + 3.0)
    lamp = cv2.blur(_middle(light.T).reshape(down, along), (3, 3))
    lamp = cv2.resize(lamp, (n_cols, n_rows), interpolation=cv2.INTER_LINEAR)
    paper = Paper(strip, grid, lamp, colour)
    share, square = paper.share_of_ink(*np.ogrid[:n_rows:_SAMPLED_EVERY, :n_cols:_SAMPLED_EVERY])
    contrast = max(float(np.median(square)), _AXIS_MIN**2)
    noise = max(NOISE_MIN, 1.5 * float(np.quantile(np.abs(share), 0.75)))
    return replace(paper, contrast=contrast, noise=noise)


def _middle(values: NDArray) -> NDArray:
    """The middle one of the values along the last axis; of an even number the upper one."""
    half = values.shape[-1] // 2
    return np.partition(values, half, axis=-1)[..., half]


def find_pen(paper: Paper, rows: NDArray[np.float64], seen: NDArray[np.bool_]) -> Pen | None:
    """The pen's profile where the trace is level; None if no stroke is seen there.

    Args:
        rows, seen: (2 * cols,) as for `find_paper`.
    """
    middle = rows.reshape(-1, 2).mean(axis=1)
    level = seen.reshape(-1, 2).all(axis=1) & (np.abs(np.gradient(middle)) < LEVEL_SLOPE)
    columns = np.flatnonzero(level)
    if columns.size < MIN_SEEN // 4:
        return None
    centre, share = _profile(paper, middle[columns], columns)
    if len(centre) < _BINS_MIN:
        return None
    share = share - np.median(share[-_BINS_PAPER:])
    if share[0] < _SHARE_MIN:
        return None
    best: tuple[float, float, float, float] | None = None
    for blur in _BLURS_PX:
        for width in _WIDTHS_PX:
            curve = _straight_stroke(centre, width, blur)
            height = float(curve @ share / (curve @ curve))
            error = float(np.square(share - height * curve).sum())
            if best is None or error < best[0]:
                best = (error, width, blur, height)
    assert best is not None
    _, width, blur, height = best
    reach = float(np.clip(width / 2 + 1.8 * blur, *REACH_PX))
    fine = np.arange(0, reach + 1, FINE_PX)
    slope = np.gradient(height * _straight_stroke(fine, width, blur), FINE_PX)
    return Pen(width, blur, height, slope.astype(np.float32), reach)


def _profile(
    paper: Paper, middle: NDArray[np.float64], columns: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances from the stroke's middle and the median share of ink there, (bins,) each.

    Args:
        middle: (n,) row of the trace in each of the columns (n,).
    """
    far = int(REACH_PX[1]) + 1
    at = np.rint(middle).astype(int)[:, None] + np.arange(-far, far + 1)
    values = paper.ink(np.clip(at, 0, paper.strip.shape[0] - 1), columns[:, None])[0].ravel()
    distance = np.abs(at - middle[:, None]).ravel()
    which = (distance / _BIN_PX).astype(int)
    order = np.argsort(which, kind="stable")
    limits = np.searchsorted(which[order], np.arange(int(far / _BIN_PX) + 1))
    centres, shares = [], []
    for k in range(len(limits) - 1):
        part = values[order[limits[k] : limits[k + 1]]]
        if part.size > _BIN_SAMPLES:
            centres.append((k + 0.5) * _BIN_PX)
            shares.append(float(np.median(part)))
    return np.array(centres), np.array(shares)


def _straight_stroke(distance: NDArray[np.float64], width: float, blur: float) -> NDArray[np.float64]:
    """Share of ink at a distance from a long straight stroke's middle: a bar under a Gaussian blur."""
    return ndtr((distance + width / 2) / blur) - ndtr((distance - width / 2) / blur)
