"""Analysis by synthesis: the read rows are moved until the stroke drawn along them matches the ink.

In: a strip, the rows that the trace network read and their expected errors. Out: the rows that explain the
strip's pixels best. The share of ink in every pixel and the pen are measured first (`pen`); then, in
Gauss-Newton steps, every pixel of the stroke pulls at the two read-outs of its nearest segment. The stroke is
drawn with its blur; its derivatives are those of a straight stroke. So the normal matrix is tridiagonal, and
a step takes as long as one pass over the pixels.

Plotters draw a line of equal width. A thermal printer's head sets dots in columns, so its stroke is a
vertical bar in every column, and where it is steep it is thin and pale. Steep stretches show which of the two
it is.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import maximum_filter1d

from ecg_hough.traces.drawing import (
    PIXEL_BLUR_PX,
    Bars,
    Near,
    Nearest,
    bars_of,
    blurred,
    draw_bars,
    draw_line,
    nearest_segments,
    pixels_near,
)
from ecg_hough.traces.pen import FINE_PX, MIN_SEEN, Pen, find_paper, find_pen

GRID_PERIOD_MM = 5
"""The printed grid repeats itself after a major square."""
STEPS = 4
STEP_MAX_PX = 1.5
PRIOR_MIN_PX = 0.3
"""Least expected error of the network's rows."""
SMOOTHNESS = 0.7
"""Weight of differences between neighbouring corrections, per px^2: noise is not followed."""
ROBUST_TIMES = 3.0
"""Residuals above this many standard deviations (text, another trace) lose their weight (Cauchy)."""
MISFIT_TIMES = 2.0
"""Noise is this many times the median residual on the stroke, at least: a pen that is not quite the true one
must not move rows far."""
RENEWED = 3
"""Segments, half columns, to either side of the nearest one that are looked at after a step."""
STEEP = 2.0
"""Rows per column from which a raster's bars differ from a round pen's line."""
RASTER_MISFIT = 0.9
"""Misfit of bars, of the line's, below which the stroke is a raster's."""
BAR_STEPS = 8
"""More than for a line, as each is shorter."""
_INKED = 0.05  # share of ink of a pixel on the stroke
_ON_LINE_PX = 1e-3  # a pixel nearer to the line pulls in no direction


class FittedStroke(NamedTuple):
    """Rows and pen that explain a strip's ink.

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
    near = pixels_near(paper, pen, rows, seen)
    # Pixels of a strip that is finer than the image repeat each other.
    distinct = min(1.0, image_px_per_mm / px_per_mm) ** 2 if image_px_per_mm is not None else 1.0
    near = near._replace(precision=near.precision * np.float32(distinct))
    prior = 1.0 / np.maximum(sd, PRIOR_MIN_PX) ** 2
    drawn = seen[:-1] & seen[1:]
    nearest = nearest_segments(rows, drawn, near, 2 * near.column, near.span)
    bars = _is_raster(near, pen, bars_of(rows, seen), nearest)
    if bars:
        fitted = _fit_bars(near, pen, rows, prior, seen)
    else:
        fitted = _fit_line(near, pen, rows, prior, drawn, nearest)
    return FittedStroke(np.where(seen, fitted, rows), pen.width_px, bars)


def _is_raster(near: Near, pen: Pen, bars: Bars, nearest: Nearest) -> bool:
    """Whether steep stretches look like a raster's bars rather than like a round pen's line."""
    steep = maximum_filter1d(bars.bottom - bars.top > STEEP, near.span)[near.column]
    if not steep.any():
        return False
    place = near.row[steep], near.column[steep]
    misfits = []
    for drawing in (draw_line(nearest.distance, near, pen), draw_bars(bars, pen, near.shape)):
        residual = near.value[steep] - np.float32(pen.height) * blurred(drawing, pen)[place]
        misfits.append(float(np.log1p((residual / (ROBUST_TIMES * near.noise)) ** 2).sum()))
    return misfits[1] < RASTER_MISFIT * misfits[0]


def _residual(
    near: Near, drawing: NDArray[np.float32], pen: Pen
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Residuals of the ink of the pixels near a blurred drawing, and their weights (Cauchy)."""
    drawn = drawing[near.row, near.column]
    residual = near.value - np.float32(pen.height) * drawn
    inked = drawn > _INKED
    usual = MISFIT_TIMES * float(np.median(np.abs(residual[inked]))) if inked.any() else 0.0
    times = np.float32(max(1.0, usual / near.noise))
    weight = (
        near.precision / times**2 / (1 + (residual / (np.float32(ROBUST_TIMES * near.noise) * times)) ** 2)
    )
    return residual, weight.astype(np.float32)


def _fit_line(
    near: Near,
    pen: Pen,
    rows: NDArray[np.float64],
    prior: NDArray[np.float64],
    drawn: NDArray[np.bool_],
    nearest: Nearest,
) -> NDArray[np.float64]:
    """Gauss-Newton steps of a round pen's line, from the network's rows (n,)."""
    n = rows.size
    y = rows.copy()
    for k in range(STEPS):
        if k:
            # Steps are short: what was nearest is near.
            nearest = nearest_segments(y, drawn, near, nearest.segment, RENEWED)
        segment, share, off, distance = nearest
        reached = (distance < pen.reach) & (distance > _ON_LINE_PX)
        index = np.minimum((distance / FINE_PX + 0.5).astype(int), pen.slope.size - 1)
        drawing = blurred(draw_line(distance, near, pen), pen)
        residual, weight = _residual(near, drawing, pen)
        pull = -pen.slope[index] * off / np.maximum(distance, _ON_LINE_PX)
        j, s, w = segment[reached], share[reached], weight[reached]
        a, b, r = pull[reached] * (1 - s), pull[reached] * s, residual[reached]
        diagonal = _summed(j, w * a * a, n) + _summed(j + 1, w * b * b, n)
        coupling = _summed(j, w * a * b, n)[:-1]
        right = _summed(j, w * a * r, n) + _summed(j + 1, w * b * r, n)
        y += _step(y - rows, diagonal, coupling, right, prior, STEP_MAX_PX)
    return y


def _summed(at: NDArray[np.intp], values: NDArray, n: int) -> NDArray[np.float64]:
    """(n,) sums of the values at each index."""
    return np.asarray(np.bincount(at, values, n), float)


def _step(
    moved: NDArray[np.float64],
    diagonal: NDArray[np.float64],
    coupling: NDArray[np.float64],
    right: NDArray[np.float64],
    prior: NDArray[np.float64],
    most: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Gauss-Newton step of rows that were `moved` from the network's, px.

    Args:
        diagonal, coupling: of the pixels' normal matrix; right: their pull.
        prior: the network's precision; most: limit of a step.
    """
    jump = np.diff(moved)
    diagonal = diagonal + prior
    diagonal[:-1] += SMOOTHNESS
    diagonal[1:] += SMOOTHNESS
    right = right - prior * moved
    right[:-1] += SMOOTHNESS * jump
    right[1:] -= SMOOTHNESS * jump
    step = solveh_banded(np.stack([np.concatenate([[0.0], coupling - SMOOTHNESS]), diagonal]), right)
    return np.clip(step, -most, most)


def _fit_bars(
    near: Near, pen: Pen, rows: NDArray[np.float64], prior: NDArray[np.float64], seen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Majorised Gauss-Newton: every bar's end is pulled by the blurred residual there (the blur is its own
    adjoint), and neighbouring ends' common part is put on the diagonal."""
    n, n_rows = rows.size, near.shape[0]
    blur = max(pen.blur_px, PIXEL_BLUR_PX)
    column = np.arange(near.shape[1], dtype=np.float32)
    no_neighbours = np.zeros(n - 1)
    y = rows.copy()
    pulls = np.zeros((2, *near.shape), np.float32)
    for _ in range(BAR_STEPS):
        bars = bars_of(y, seen)
        drawing = blurred(draw_bars(bars, pen, near.shape), pen)
        residual, weight = _residual(near, drawing, pen)
        pulls[:, near.row, near.column] = weight * residual, weight
        pull, inertia = (blurred(plane, pen) for plane in pulls)
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
            h = pen.height**2 * cv2.remap(inertia, column, at, cv2.INTER_LINEAR).ravel() * known * common
            for end in (a, b):
                diagonal += _summed(end, 0.5 * h, n)
                right += _summed(end, 0.5 * g, n)
        most = STEP_MAX_PX * np.repeat(np.maximum(1.0, 0.5 * long), 2)
        y += _step(y - rows, diagonal, no_neighbours, right, prior, most)
    return y
