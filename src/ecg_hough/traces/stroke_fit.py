"""Analysis by synthesis: the read rows are moved until the stroke drawn along them matches the ink.

In: a strip, the rows that the trace network read and their expected errors. Out: the rows that explain the
strip's pixels best. Three steps: the share of ink in every pixel (the printed grid, known by its period,
is taken out), the pen's width and the image's blur from level stretches of the trace, and Gauss-Newton
steps in which every pixel of the stroke pulls at the two read-outs of its nearest segment. The stroke is
drawn with its blur; its derivatives are those of a straight stroke. So the normal matrix is tridiagonal,
and a step costs as much as looking at the pixels once.

Plotters draw a line of equal width. A thermal printer's head sets dots in columns, so its stroke is a
vertical bar in every column, and where it is steep it is thin and pale. Which of the two it is shows there.
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
PRIOR_MIN_PX = 0.3
"""Least expected error of the network's rows."""
SMOOTHNESS = 0.7
"""Weight of differences between neighbouring corrections, per px^2: noise is not followed."""
NOISE_MIN = 0.08
"""Least standard deviation of a pixel's share of ink: strokes are not perfect."""
ROBUST_TIMES = 3.0
"""Residuals above this many standard deviations (text, another trace) lose their say (Cauchy)."""
MISFIT_TIMES = 2.0
"""Noise is this many times the median residual on the stroke, at least: a pen that is not quite the true one
must not move rows far."""
LEVEL_SLOPE = 0.15
"""Slope (rows per column) below which the trace is level: there the pen's profile is seen."""
RENEWED = 3
"""Segments, half columns, to either side of the nearest one that are looked at after a step."""
REACH_PX = (1.0, 5.0)
"""Least and greatest distance from the stroke's middle at which ink is expected."""
STEEP = 2.0
"""Rows per column from which a raster's bars differ from a round pen's line."""
RASTER_MISFIT = 0.9
"""Misfit of bars, of the line's, below which the stroke is a raster's."""
BAR_STEPS = 8
"""More than for a line, as each is shorter."""
MIN_SEEN = 200
"""Read-outs that a row must have to be fitted."""
_AXIS_MIN = 20.0  # grey levels between ink and paper below which a pixel says nothing
_GRID_TILES = 150  # periods of the grid, at least, of which the median is taken
_LAMP_EVERY = 7  # of the grid's pixels, one that tells the light
_SAMPLED_EVERY = 3  # rows and columns of the strip, of which contrast and noise are taken
_BIN_PX = 0.25
_FINE_PX = 0.05
_BLURS_PX = (0.35, 0.5, 0.65, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5)
_INKED = 0.05  # share of ink of a pixel on the stroke
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


class FittedStroke(NamedTuple):
    """What the fit makes of a strip's ink.

    Attributes:
        rows: (2 * cols,) of the read-outs.
        width_px: of the stroke, NaN where the ink is not understood; bars: it is a raster's, not a pen's.
    """

    rows: NDArray[np.float64]
    width_px: float = np.nan
    bars: bool = False


def fit_stroke(
    strip: NDArray[np.uint8],
    rows: NDArray[np.float64],
    sd: NDArray[np.float64],
    seen: NDArray[np.bool_],
    px_per_mm: float,
    *,
    image_px_per_mm: float | None = None,
    grid_out: bool = True,
) -> FittedStroke:
    """The read-outs after the fit; unchanged where the ink is not understood.

    Args:
        strip: (n_rows, cols, 3) pixels in page millimetres times `px_per_mm`.
        rows, sd: (2 * cols,) of every half column: where the network reads the trace, its expected error.
        seen: (2 * cols,) where it reads one.
        image_px_per_mm: of the image that the strip was cut from; None: as fine as the strip.
        grid_out: the printed grid is taken out of the ink first.

    A maximum a posteriori estimate: rows ~ N(network's rows, sd^2), pixels ~ the drawn line or bars, with a
    Cauchy noise.
    """
    period = round(GRID_PERIOD_MM * px_per_mm)
    if seen.sum() < MIN_SEEN or min(strip.shape[:2]) < 2 * period:
        return FittedStroke(rows)
    paper = find_paper(strip, rows, seen, period, grid_out=grid_out)
    pen = find_pen(paper, rows, seen)
    if pen is None:
        return FittedStroke(rows)
    near = _pixels_near(paper, pen, rows, seen)
    # Pixels of a strip that is finer than the image repeat each other.
    told = min(1.0, image_px_per_mm / px_per_mm) ** 2 if image_px_per_mm is not None else 1.0
    near = near._replace(precise=near.precise * np.float32(told))
    prior = 1.0 / np.maximum(sd, PRIOR_MIN_PX) ** 2
    drawn = seen[:-1] & seen[1:]
    nearest = _nearest(rows, drawn, near, 2 * near.column, near.span)
    bars = _is_raster(near, pen, _bars(rows, seen), nearest)
    if bars:
        fitted = _fit_bars(near, pen, rows, prior, seen)
    else:
        fitted = _fit_line(near, pen, rows, prior, drawn, nearest)
    return FittedStroke(np.where(seen, fitted, rows), pen.width_px, bars)


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


class _Near(NamedTuple):
    """The pixels near a row's trace.

    Attributes:
        row, column: of each pixel; down: its row again, as a number.
        value: its share of ink; precise: how much that says, one over its variance.
        noise: standard deviation of a share of ink.
        span: half columns to either side whose stroke reaches a pixel.
        shape: of the strip.
    """

    row: NDArray[np.intp]
    column: NDArray[np.intp]
    down: NDArray[np.float32]
    value: NDArray[np.float32]
    precise: NDArray[np.float32]
    noise: float
    span: int
    shape: tuple[int, int]


def _pixels_near(paper: Paper, pen: Pen, rows: NDArray[np.float64], seen: NDArray[np.bool_]) -> _Near:
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
    precise = weight / np.float32(paper.noise**2)
    return _Near(row, column, row.astype(np.float32), value, precise, paper.noise, span, (n_rows, n_cols))


def _is_raster(near: _Near, pen: Pen, bars: _Bars, nearest: _Nearest) -> bool:
    """Whether steep stretches look like a raster's bars rather than like a round pen's line."""
    steep = maximum_filter1d(bars.bottom - bars.top > STEEP, near.span)[near.column]
    if not steep.any():
        return False
    place = near.row[steep], near.column[steep]
    misfits = []
    for drawing in (_draw_line(nearest.distance, near, pen), _draw_bars(bars, pen, near.shape)):
        left = near.value[steep] - np.float32(pen.height) * _blurred(drawing, pen)[place]
        misfits.append(float(np.log1p((left / (ROBUST_TIMES * near.noise)) ** 2).sum()))
    return misfits[1] < RASTER_MISFIT * misfits[0]


def _blurred(drawing: NDArray[np.float32], pen: Pen) -> NDArray[np.float32]:
    blur = float(np.sqrt(max(pen.blur_px**2 - _PIXEL_BLUR_PX**2, 0.0)))
    return np.asarray(cv2.GaussianBlur(drawing, (0, 0), blur), np.float32) if blur > 0.25 else drawing


def _draw_line(distance: NDArray[np.float32], near: _Near, pen: Pen) -> NDArray[np.float32]:
    """Share of ink (rows, cols) of a sharp line at these distances of the pixels near it."""
    drawing = np.zeros(near.shape, np.float32)
    drawing[near.row, near.column] = np.clip(pen.width_px / 2 + 0.5 - distance, 0.0, min(1.0, pen.width_px))
    return drawing


def _residual(
    near: _Near, drawing: NDArray[np.float32], pen: Pen
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a blurred drawing leaves of the ink of the pixels near it, and their weights (Cauchy)."""
    drawn = drawing[near.row, near.column]
    left = near.value - np.float32(pen.height) * drawn
    inked = drawn > _INKED
    usual = MISFIT_TIMES * float(np.median(np.abs(left[inked]))) if inked.any() else 0.0
    times = np.float32(max(1.0, usual / near.noise))
    weight = near.precise / times**2 / (1 + (left / (np.float32(ROBUST_TIMES * near.noise) * times)) ** 2)
    return left, weight.astype(np.float32)


def _fit_line(
    near: _Near,
    pen: Pen,
    rows: NDArray[np.float64],
    prior: NDArray[np.float64],
    drawn: NDArray[np.bool_],
    nearest: _Nearest,
) -> NDArray[np.float64]:
    n = rows.size
    y = rows.copy()
    for k in range(STEPS):
        if k:
            # Steps are short: what was nearest is near.
            nearest = _nearest(y, drawn, near, nearest.segment, RENEWED)
        segment, share, off, distance = nearest
        reached = (distance < pen.reach) & (distance > 1e-3)
        index = np.minimum((distance / _FINE_PX + 0.5).astype(int), pen.slope.size - 1)
        drawing = _blurred(_draw_line(distance, near, pen), pen)
        left, weight = _residual(near, drawing, pen)
        pull = -pen.slope[index] * off / np.maximum(distance, 1e-3)
        j, s, w = segment[reached], share[reached], weight[reached]
        a, b, r = pull[reached] * (1 - s), pull[reached] * s, left[reached]
        diagonal = _summed(j, w * a * a, n) + _summed(j + 1, w * b * b, n)
        beside = _summed(j, w * a * b, n)[:-1]
        right = _summed(j, w * a * r, n) + _summed(j + 1, w * b * r, n)
        y += _step(y - rows, diagonal, beside, right, prior, STEP_MAX_PX)
    return y


def _summed(at: NDArray[np.intp], values: NDArray, n: int) -> NDArray[np.float64]:
    """(n,) sums of the values at each index."""
    return np.asarray(np.bincount(at, values, n), float)


def _step(
    moved: NDArray[np.float64],
    diagonal: NDArray[np.float64],
    beside: NDArray[np.float64],
    right: NDArray[np.float64],
    prior: NDArray[np.float64],
    most: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Gauss-Newton step of rows that were `moved` from the network's, px.

    Args:
        diagonal, beside: of the pixels' normal matrix; right: their pull.
        prior: the network's precision; most: limit of a step.
    """
    jump = np.diff(moved)
    diagonal = diagonal + prior
    diagonal[:-1] += SMOOTHNESS
    diagonal[1:] += SMOOTHNESS
    right = right - prior * moved
    right[:-1] += SMOOTHNESS * jump
    right[1:] -= SMOOTHNESS * jump
    step = solveh_banded(np.stack([np.concatenate([[0.0], beside - SMOOTHNESS]), diagonal]), right)
    return np.clip(step, -most, most)


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
    y: NDArray[np.float64], drawn: NDArray[np.bool_], near: _Near, about: NDArray[np.intp], span: int
) -> _Nearest:
    """Nearest segments of the polyline.

    Args:
        y: (2 * cols,) rows at columns c - 1/4 and c + 1/4; drawn: (2 * cols - 1,) segments that exist.
        about: a segment near each pixel; span: segments to either side of that one that are looked at.
    """
    column, down = near.column, near.down
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


class _Bars(NamedTuple):
    """A raster printer's stroke: a vertical bar in every column, from the lowest to the highest value in it.

    Attributes:
        top, bottom: (cols,) of the values, strip px; inf and -inf where nothing is printed.
        first, second: (2, cols) the read-outs of which the top's and the bottom's value is the mean.
    """

    top: NDArray[np.float64]
    bottom: NDArray[np.float64]
    first: NDArray[np.intp]
    second: NDArray[np.intp]


def _bars(y: NDArray[np.float64], seen: NDArray[np.bool_]) -> _Bars:
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
    return _Bars(highest[ends[0], column], lowest[ends[1], column], first[ends, column], second[ends, column])


def _draw_bars(bars: _Bars, pen: Pen, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Share of ink (rows, cols) of a sharp raster."""
    row = np.arange(shape[0], dtype=np.float32)[:, None]
    top, bottom = (
        (bars.top - pen.width_px / 2).astype(np.float32),
        (bars.bottom + pen.width_px / 2).astype(np.float32),
    )
    return np.clip(np.minimum(row + 0.5, bottom) - np.maximum(row - 0.5, top), 0.0, 1.0)


def _fit_bars(
    near: _Near, pen: Pen, rows: NDArray[np.float64], prior: NDArray[np.float64], seen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Majorised Gauss-Newton: every bar's end is pulled by the blurred residual there (the blur is its own
    adjoint), and neighbouring ends' common part is put on the diagonal."""
    n, n_rows = rows.size, near.shape[0]
    blur = max(pen.blur_px, _PIXEL_BLUR_PX)
    column = np.arange(near.shape[1], dtype=np.float32)
    no_neighbours = np.zeros(n - 1)
    y = rows.copy()
    pulls = np.zeros((2, *near.shape), np.float32)
    for _ in range(BAR_STEPS):
        bars = _bars(y, seen)
        drawing = _blurred(_draw_bars(bars, pen, near.shape), pen)
        left, weight = _residual(near, drawing, pen)
        pulls[:, near.row, near.column] = weight * left, weight
        pull, says = (_blurred(plane, pen) for plane in pulls)
        long = np.where(np.isfinite(bars.bottom), bars.bottom - bars.top, 0.0)
        # Sum over neighbouring bars of what two blurred edges have in common.
        common = np.maximum(1 / (4 * np.pi * blur**2), 1 / (2 * np.sqrt(np.pi) * blur * np.hypot(1, long)))
        diagonal, right = np.zeros(n), np.zeros(n)
        for sign, edge, a, b in (
            (-1.0, bars.top - pen.width_px / 2, bars.first[0], bars.second[0]),
            (1.0, bars.bottom + pen.width_px / 2, bars.first[1], bars.second[1]),
        ):
            at = np.clip(np.nan_to_num(edge, posinf=0.0, neginf=0.0), 0, n_rows - 1).astype(np.float32)
            known = np.isfinite(edge)
            g = sign * pen.height * cv2.remap(pull, column, at, cv2.INTER_LINEAR).ravel() * known
            h = pen.height**2 * cv2.remap(says, column, at, cv2.INTER_LINEAR).ravel() * known * common
            for end in (a, b):
                diagonal += _summed(end, 0.5 * h, n)
                right += _summed(end, 0.5 * g, n)
        most = STEP_MAX_PX * np.repeat(np.maximum(1.0, 0.5 * long), 2)
        y += _step(y - rows, diagonal, no_neighbours, right, prior, most)
    return y
