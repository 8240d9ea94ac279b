"""VinDigitizer: detected rows, Otsu background removal, least-cost path, scale from the grid's Hough
lines.

Nguyen CV et al. VinDigitizer: a hybrid approach to digitize paper-based ECG records. Comput Cardiol 2024;
PTB-Image, 2025 (mean SNR 0.01 dB on 549 scans).

Taken: rows of signals are cut out, Otsu's level takes the background away, a least-cost path runs from
the row's left to its right end, the grid's resolution is estimated in the row from Hough lines, and the
path is stretched by cubic splines to the length that the lead is known to have.

Departs: rows are found by the ink's profile, not by a YOLOv8 detector (its weights are not published);
the page is turned upright by our angle in place of a perspective transform by hand; the path's cost is
one of our choosing (1 a white pixel, `INK_COST` an ink pixel, steps up and down within a column allowed),
for none is published. Otsu's level is taken in the lightest of the colours: in grey the red grids of the
pages here count as ink.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ecg_hough.errors import PageError
from ecg_hough.image.colours import grey_of, lightest_of
from ecg_hough.output.ecg import Ecg
from ecg_lab.methods.common import (
    LeadPath,
    Options,
    band,
    find_block,
    find_pulse,
    millimetre_px,
    otsu_level,
    paths_to_ecg,
    row_levels,
    split_row,
    turn_upright,
    without_frame,
)
from ecg_lab.methods.paper_ecg import first_period

INK_COST = 0.02
"""Cost of an ink pixel on the path; a white one costs 1."""
MIN_ON_INK = 0.5
"""Share of a row's columns in which its path must touch ink."""
HOUGH_VOTES = 0.2
"""Votes of a grid line, of the width of the block of traces."""
MIN_LINES = 8


def run(image: NDArray[np.uint8], labels: NDArray[np.uint8] | None, options: Options) -> Ecg:
    """Digitise one page (rows, cols, 3); `labels` is not used.

    Raises:
        PageError: rows, grid or paths are not found.
    """
    page = turn_upright(image)
    grey = grey_of(page.image)
    light = lightest_of(page.image)
    ink = without_frame(light <= otsu_level(light))
    layout = options.layout
    levels = row_levels(ink, layout.n_rows)
    block = find_block(ink, levels, find_pulse(ink, levels))
    first, last = max(0, int(block.start_col)), min(ink.shape[1], int(np.ceil(block.end_col)))
    if last - first < 16:
        raise PageError("layout", f"the block of traces must have a width; got {last - first} px")
    paths: list[LeadPath] = []
    scales = []
    for k in range(len(levels)):
        part = band(levels, k, ink.shape[0])
        dark = light[part, first:last] <= otsu_level(light[part, first:last])
        rows = least_cost_path(dark)
        touched = dark[np.clip(np.rint(rows).astype(int), 0, dark.shape[0] - 1), np.arange(rows.size)].mean()
        if touched < MIN_ON_INK:
            raise PageError(
                "readout",
                f"a path must run on ink; the one of row {k + 1} does in {touched:.0%} of its columns",
            )
        scale = millimetre_px(hough_period(grey[part, first:last]), block, options)
        scales.append(scale)
        cols = np.arange(first, last, dtype=float)
        # The detector's crops vary in length: a cubic spline brings the row to its known number of samples.
        n = round(options.duration_s * options.fs)
        fine = np.linspace(cols[0], cols[-1], n)
        smooth = CubicSpline(cols, rows + part.start)(fine)
        paths += split_row(
            layout, k, fine, smooth, block, duration_s=options.duration_s,
            px_per_mv=scale * options.gain_mm_mv, zero_row=float(np.median(smooth)),
        )  # fmt: skip
    down, across = float(np.median(scales)), paths[0].px_per_s / options.speed_mm_s
    return paths_to_ecg(
        paths, options, method="vindigitizer", angle_deg=page.angle_deg, px_per_mm=(down, across),
        to_page=page.to_page,
    )  # fmt: skip


def least_cost_path(ink: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Row of the cheapest left-to-right path, (cols,): the mean of the rows that it visits in each column."""
    cost = np.where(ink, INK_COST, 1.0)
    n_rows, n_cols = cost.shape
    entered = np.empty((n_cols, n_rows), np.intp)
    rows = np.arange(n_rows)
    total = np.zeros(n_rows)
    for c in range(n_cols):
        here = cost[:, c]
        enter = total + here
        # From an entry row the path may go on up or down through this column's pixels.
        run = np.cumsum(here)
        down, came_down = _running_min(enter - run)
        up_run = run - here
        up, came_up = _running_min((enter + up_run)[::-1])
        down, up, came_up = down + run, up[::-1] - up_run, n_rows - 1 - came_up[::-1]
        total = np.minimum(down, up)
        entered[c] = np.where(down <= up, came_down, came_up)
        entered[c] = np.where(enter <= total + 1e-12, rows, entered[c])
    out = np.empty(n_cols)
    row = int(total.argmin())
    for c in range(n_cols - 1, -1, -1):
        came = int(entered[c, row])
        out[c] = 0.5 * (row + came)
        row = came
    return out


def hough_period(snapshot: NDArray[np.uint8]) -> float:
    """Period of the horizontal grid lines in a row's picture, px, from its Hough lines.

    Raises:
        PageError: too few lines, or no period.
    """
    edges = cv2.Canny(snapshot, 20, 60)
    votes = max(20, round(HOUGH_VOTES * snapshot.shape[1]))
    lines = cv2.HoughLines(edges, 1, np.pi / 180, votes, min_theta=np.deg2rad(89), max_theta=np.deg2rad(91))
    rho = np.zeros(0) if lines is None else np.asarray(lines, float).reshape(-1, 2)[:, 0]
    if rho.size < MIN_LINES:
        raise PageError("grid", f"{MIN_LINES} lines of the grid must be seen in a row; found {rho.size}")
    profile = np.bincount(
        np.clip(np.rint(rho), 0, snapshot.shape[0] - 1).astype(int), minlength=snapshot.shape[0]
    )
    period = first_period(cv2.GaussianBlur(profile.astype(float)[None], (5, 1), 0.8)[0])
    if period is None:
        raise PageError("grid", "the lines of the grid must repeat; found no period")
    return period


def _running_min(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Running minimum and its place."""
    least = np.minimum.accumulate(values)
    at = np.maximum.accumulate(np.where(values <= least, np.arange(values.size), 0))
    return least, at
