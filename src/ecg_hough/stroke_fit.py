"""Analysis by synthesis: the read rows are moved until the stroke drawn along them matches the ink.

In: a strip, the rows that the trace network read and their expected errors. Out: the rows that explain the
strip's pixels best. Three steps: the share of ink in every pixel (the printed grid, known by its period,
is taken out), the pen's width and the image's blur from level stretches of the trace, and Gauss-Newton
steps in which every pixel of the stroke pulls at the two read-outs of its nearest segment. The stroke is
drawn with its blur; its derivatives are those of a straight stroke. So the normal matrix is tridiagonal,
and a step costs as much as looking at the pixels once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import maximum_filter1d, minimum_filter1d
from scipy.special import ndtr

GRID_PERIOD_MM = 5
"""The printed grid repeats itself after a major square."""
STEPS = 4
STEP_MAX_PX = 1.5
PRIOR_TIMES = 2.0
"""The network's expected error is taken this many times: it is doubtful itself, and the ink is exact."""
PRIOR_MIN_PX = 0.3
SMOOTHNESS = 0.7
"""Weight of differences between neighbouring corrections, per px^2: noise is not followed."""
NOISE_MIN = 0.08
"""Least standard deviation of a pixel's share of ink: strokes are not perfect."""
ROBUST_TIMES = 3.0
"""Residuals above this many standard deviations (text, another trace) lose their say (Cauchy)."""
LEVEL_SLOPE = 0.15
"""Slope (rows per column) below which the trace is level: there the pen's profile is seen."""
RENEWED = 3
"""Segments, half columns, to either side of the nearest one that are looked at after a step."""
REACH_PX = (1.0, 5.0)
"""Least and greatest distance from the stroke's middle at which ink is expected."""
MIN_SEEN = 200
"""Read-outs that a row must have to be fitted."""
_AXIS_MIN = 20.0  # grey levels between ink and paper below which a pixel says nothing
_GRID_TILES = 150  # periods of the grid, at least, of which the median is taken
_LAMP_EVERY = 7  # of the grid's pixels, one that tells the light
_SAMPLED_EVERY = 3  # rows and columns of the strip, of which contrast and noise are taken
_BIN_PX = 0.25
_FINE_PX = 0.05
_BLURS_PX = (0.35, 0.5, 0.65, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5)
_PIXEL_BLUR_PX = 0.3  # of the coverage ramp, one pixel wide, by which the sharp stroke is drawn


@dataclass(frozen=True)
class Pen:
    """A round pen and what the paper's scan or photo made of its stroke.

    Attributes:
        width_px: of the stroke; blur_px: standard deviation of the image's blur; height: share of ink of a
            wide stroke.
        slope: derivative of the share of ink by the distance from a straight stroke's middle, per px, at
            multiples of `_FINE_PX`.
        reach: px, where the share has fallen to nothing.
    """

    width_px: float
    blur_px: float
    height: float
    slope: NDArray[np.float32]
    reach: float


def fit_stroke(
    strip: NDArray[np.uint8],
    rows: NDArray[np.float64],
    sd: NDArray[np.float64],
    seen: NDArray[np.bool_],
    px_per_mm: float,
    *,
    grid_out: bool = True,
) -> NDArray[np.float64]:
    """Rows (2 * cols,) of the read-outs after the fit; unchanged where the ink is not understood.

    Args:
        strip: (n_rows, cols, 3) pixels in page millimetres times `px_per_mm`.
        rows, sd: (2 * cols,) of every half column: where the network reads the trace, its expected error.
        seen: (2 * cols,) where it reads one.
        grid_out: the printed grid is taken out of the ink first.

    A maximum a posteriori estimate: rows ~ N(network's rows, (PRIOR_TIMES * sd)^2), pixels ~ the drawn
    polyline, with a Cauchy noise.
    """
    period = round(GRID_PERIOD_MM * px_per_mm)
    if seen.sum() < MIN_SEEN or min(strip.shape[:2]) < 2 * period:
        return rows
    paper = find_paper(strip, rows, seen, period, grid_out=grid_out)
    pen = find_pen(paper, rows, seen)
    if pen is None:
        return rows
    return _gauss_newton(paper, pen, rows, sd, seen)


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
        """Share of ink of pixels, 0 paper or grid .. 1 trace, and how much their colour tells of it, 0..1."""
        share, square = self._share(row, col)
        return share, np.minimum(square / np.float32(self.contrast), 1.0)

    def _share(
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
    share, square = paper._share(*np.ogrid[:n_rows:_SAMPLED_EVERY, :n_cols:_SAMPLED_EVERY])
    contrast = max(float(np.median(square)), _AXIS_MIN**2)
    noise = max(NOISE_MIN, 1.5 * float(np.quantile(np.abs(share), 0.75)))
    return replace(paper, contrast=contrast, noise=noise)


def _middle(values: NDArray) -> NDArray:
    """The middle one of the values along the last axis; of an even number the upper one."""
    half = values.shape[-1] // 2
    return np.partition(values, half, axis=-1)[..., half]


def find_pen(paper: Paper, rows: NDArray[np.float64], seen: NDArray[np.bool_]) -> Pen | None:
    """The pen's profile where the trace is level; None if no stroke stands out there."""
    n_rows = paper.strip.shape[0]
    middle = rows.reshape(-1, 2).mean(axis=1)
    level = seen.reshape(-1, 2).all(axis=1) & (np.abs(np.gradient(middle)) < LEVEL_SLOPE)
    columns = np.flatnonzero(level)
    if columns.size < MIN_SEEN // 4:
        return None
    far = int(REACH_PX[1]) + 1
    at = np.rint(middle[columns]).astype(int)[:, None] + np.arange(-far, far + 1)
    values = paper.ink(np.clip(at, 0, n_rows - 1), columns[:, None])[0].ravel()
    distance = np.abs(at - middle[columns][:, None]).ravel()
    which = (distance / _BIN_PX).astype(int)
    order = np.argsort(which, kind="stable")
    limits = np.searchsorted(which[order], np.arange(int(far / _BIN_PX) + 1))
    centres, shares = [], []
    for k in range(len(limits) - 1):
        part = values[order[limits[k] : limits[k + 1]]]
        if part.size > 20:
            centres.append((k + 0.5) * _BIN_PX)
            shares.append(float(np.median(part)))
    if len(centres) < 8:
        return None
    share, centre = np.array(shares), np.array(centres)
    share = share - np.median(share[-4:])
    if share[0] < 0.2:
        return None
    best: tuple[float, float, float, float] | None = None
    for blur in _BLURS_PX:
        for width in np.arange(0.75, 8.0, 0.25):
            curve = _straight_stroke(centre, width, blur)
            height = float(curve @ share / (curve @ curve))
            error = float(np.square(share - height * curve).sum())
            if best is None or error < best[0]:
                best = (error, width, blur, height)
    assert best is not None
    _, width, blur, height = best
    reach = float(np.clip(width / 2 + 1.8 * blur, *REACH_PX))
    fine = np.arange(0, reach + 1, _FINE_PX)
    slope = np.gradient(height * _straight_stroke(fine, width, blur), _FINE_PX)
    return Pen(width, blur, height, slope.astype(np.float32), reach)


def _straight_stroke(distance: NDArray[np.float64], width: float, blur: float) -> NDArray[np.float64]:
    """Share of ink beside a long straight stroke: a bar under a Gaussian blur."""
    return ndtr((distance + width / 2) / blur) - ndtr((distance - width / 2) / blur)


def _gauss_newton(
    paper: Paper, pen: Pen, rows: NDArray[np.float64], sd: NDArray[np.float64], seen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    n_rows, n_cols = paper.strip.shape[:2]
    n = rows.size
    span = int(np.ceil(2 * pen.reach)) + 1  # half columns to either side whose stroke reaches a pixel
    low = minimum_filter1d(np.where(seen, rows, np.inf), 2 * span + 1).reshape(n_cols, 2).min(axis=1)
    high = maximum_filter1d(np.where(seen, rows, -np.inf), 2 * span + 1).reshape(n_cols, 2).max(axis=1)
    margin = pen.reach + 1
    first = np.clip(np.nan_to_num(np.floor(low - margin), posinf=n_rows), 0, n_rows).astype(int)
    last = np.clip(np.nan_to_num(np.ceil(high + margin) + 1, neginf=0), 0, n_rows).astype(int)
    count = np.maximum(last - first, 0)
    if count.sum() == 0:
        return rows
    column = np.repeat(np.arange(n_cols), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - first, count)
    value, weight = paper.ink(row, column)
    precise = weight / np.float32(paper.noise**2)
    down = row.astype(np.float32)
    prior = 1.0 / np.maximum(PRIOR_TIMES * sd, PRIOR_MIN_PX) ** 2
    drawn = seen[:-1] & seen[1:]
    y = rows.copy()
    drawing = np.zeros((n_rows, n_cols), np.float32)
    blur = float(np.sqrt(max(pen.blur_px**2 - _PIXEL_BLUR_PX**2, 0.0)))
    segment = 2 * column
    for k in range(STEPS):
        # Steps are short: what was nearest is near.
        segment, share, off, distance = _nearest(y, drawn, column, down, segment, RENEWED if k else span)
        near = (distance < pen.reach) & (distance > 1e-3)
        index = np.minimum((distance / _FINE_PX + 0.5).astype(int), pen.slope.size - 1)
        drawing[row, column] = np.clip(pen.width_px / 2 + 0.5 - distance, 0.0, min(1.0, pen.width_px))
        seen_ink = cv2.GaussianBlur(drawing, (0, 0), blur) if blur > 0.25 else drawing
        left = value - pen.height * seen_ink[row, column]
        weight = precise / (1.0 + (left / (ROBUST_TIMES * paper.noise)) ** 2)
        pull = -pen.slope[index] * off / np.maximum(distance, 1e-3)
        j, s, w = segment[near], share[near], weight[near]
        a, b, r = pull[near] * (1 - s), pull[near] * s, left[near]
        diagonal = np.bincount(j, w * a * a, n) + np.bincount(j + 1, w * b * b, n) + prior
        beside = np.bincount(j, w * a * b, n)[:-1] - SMOOTHNESS
        right = np.bincount(j, w * a * r, n) + np.bincount(j + 1, w * b * r, n) + prior * (rows - y)
        jump = np.diff(y - rows)
        diagonal[:-1] += SMOOTHNESS
        diagonal[1:] += SMOOTHNESS
        right[:-1] += SMOOTHNESS * jump
        right[1:] -= SMOOTHNESS * jump
        step = solveh_banded(np.stack([np.concatenate([[0.0], beside]), diagonal]), right)
        y += np.clip(step, -STEP_MAX_PX, STEP_MAX_PX)
    return np.where(seen, y, rows)


class _Nearest(NamedTuple):
    """The nearest segment of a polyline to every pixel.

    Attributes:
        segment: its index; share: the place along it, 0..1; below: the pixel's rows below that place;
            distance: from there, px.
    """

    segment: NDArray[np.intp]
    share: NDArray[np.float32]
    below: NDArray[np.float32]
    distance: NDArray[np.float32]


def _nearest(
    y: NDArray[np.float64],
    drawn: NDArray[np.bool_],
    column: NDArray[np.intp],
    down: NDArray[np.float32],
    about: NDArray[np.intp],
    span: int,
) -> _Nearest:
    """Nearest segments of the polyline.

    Args:
        y: (2 * cols,) rows at columns c - 1/4 and c + 1/4; drawn: (2 * cols - 1,) segments that exist.
        column, down: of every pixel; about: a segment near it; span: segments to either side of that one
            that are looked at.
    """
    start = np.pad(y.astype(np.float32), span + 1, mode="edge")
    rise = np.diff(start)
    beyond = np.pad(np.where(drawn, np.float32(0), np.float32(1e9)), span + 1, constant_values=1e9)
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
    return _Nearest(np.clip(which - span - 1, 0, y.size - 2), place, below, np.sqrt(best))
