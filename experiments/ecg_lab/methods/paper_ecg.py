"""paper-ecg / ecg-digitize: adaptive Otsu threshold, Viterbi over the middles of each column's ink, grid
period by autocorrelation.

Fortune JD et al. Digitizing ECG image: a new method and open-source software code. Comput Methods
Programs Biomed 2022;221:106890; source github.com/Tereshchenkolab/paper-ecg (GPL-3; read for facts,
nothing copied).

Taken: grey and Otsu's level, lowered in steps of 5 % down to 60 % while the ink still shows a grid's
period; candidates are the middles of each column's runs of ink; a path's cost adds, per step, half the
distance and half the change of angle (as a share of 180 degrees); the best path among those that end in
the last 20 columns; gaps by straight lines; the grid's period is the first peak of the autocorrelation of
column (row) densities, at least 0.3 high with a prominence of 0.05, refined by a parabola; the zero line
is the median of the lead.

Departs: the user's boxes become equal columns of the block of traces and half the distance between rows;
how many millimetres the period is follows from the block's known length; the page is turned upright by
our angle where the user would turn it by hand. Ink is looked for in the lightest of the colours: in grey
the red grids of the pages here are darker than Otsu's level, and what is read is the grid. The grid's
density is read from all that is darker than the paper, ink omitted.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from ecg_hough.errors import PageError
from ecg_hough.image.colours import grey_of, lightest_of
from ecg_hough.numeric import peak_offset
from ecg_hough.output.ecg import Ecg
from ecg_lab.methods.common import (
    LeadPath,
    Options,
    band,
    column_runs,
    find_block,
    find_pulse,
    millimetre_px,
    otsu_level,
    paths_to_ecg,
    row_levels,
    turn_upright,
    without_frame,
)

HEDGES = np.arange(1.0, 0.59, -0.05)
"""Shares of Otsu's level that are tried."""
PEAK_HEIGHT, PEAK_PROMINENCE = 0.3, 0.05
DISTANCE_WEIGHT = 0.5
END_COLS = 20
MIN_PERIOD_PX = 3
GRID_CONTRAST = 4.0
"""Grey levels below the paper from which a pixel may be grid."""


def run(image: NDArray[np.uint8], labels: NDArray[np.uint8] | None, options: Options) -> Ecg:
    """Digitise one page (rows, cols, 3); `labels` is not used.

    Raises:
        PageError: rows or grid are not found.
    """
    page = turn_upright(image)
    grey = grey_of(page.image)
    ink = adaptive_ink(lightest_of(page.image))
    layout = options.layout
    levels = row_levels(ink, layout.n_rows)
    block = find_block(ink, levels, find_pulse(ink, levels))
    down, across = grid_period(grey, ink)
    px_down, px_across = millimetre_px(down, block, options), millimetre_px(across, block, options)
    px_per_s, px_per_mv = px_across * options.speed_mm_s, px_down * options.gain_mm_mv
    paths: list[LeadPath] = []
    reasons: dict[str, str] = {}
    for k in range(len(levels)):
        rhythm = k >= len(layout.rows)
        leads = (layout.rhythm[k - len(layout.rows)],) if rhythm else layout.rows[k]
        part = band(levels, k, ink.shape[0])
        width = (block.end_col - block.start_col) / len(leads)
        for j, lead in enumerate(leads):
            first = round(block.start_col + j * width)
            last = min(ink.shape[1], round(block.start_col + (j + 1) * width))
            path = viterbi(ink[part, first:last])
            if path is None:
                reasons[lead] = "no ink in its box"
                continue
            rows = path + part.start
            span_s = options.duration_s / len(leads)
            paths.append(
                LeadPath(
                    lead, rhythm, np.arange(first, first + rows.size, dtype=float), rows, j * span_s, span_s,
                    float(first), px_per_s, px_per_mv, float(np.nanmedian(rows)),
                )
            )  # fmt: skip
    return paths_to_ecg(
        paths, options, method="paper-ecg", angle_deg=page.angle_deg,
        px_per_mm=(px_down, px_across), to_page=page.to_page, reasons=reasons,
    )  # fmt: skip


def adaptive_ink(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Dark pixels at the highest share of Otsu's level that shows no grid."""
    level = otsu_level(grey)
    for hedge in HEDGES:
        ink = without_frame(grey <= hedge * level)
        if first_period(ink.sum(axis=0).astype(float)) is None:
            break
    return ink


def first_period(density: NDArray[np.float64]) -> float | None:
    """First clear peak of a profile's autocorrelation, px; None where there is none."""
    centred = density - density.mean()
    n = centred.size
    spectrum = np.fft.rfft(centred, 2 * n)
    correlation = np.fft.irfft(spectrum * np.conj(spectrum))[: n // 2]
    if not correlation[0] > 0:
        return None
    correlation = correlation / correlation[0]
    peaks, _ = find_peaks(correlation, height=PEAK_HEIGHT, prominence=PEAK_PROMINENCE)
    peaks = peaks[peaks >= MIN_PERIOD_PX]
    if not peaks.size:
        return None
    # A later multiple of the same period gives it more digits.
    period = _vertex(correlation, int(peaks[0]))
    for multiple in (2, 4, 8, 16):
        near = peaks[np.abs(peaks - multiple * period) <= max(1.0, 0.1 * period)]
        if not near.size:
            break
        period = _vertex(correlation, int(near[np.abs(near - multiple * period).argmin()])) / multiple
    return period


def grid_period(grey: NDArray[np.uint8], ink: NDArray[np.bool_]) -> tuple[float, float]:
    """Period of the grid's lines down the page and across it, px.

    Raises:
        PageError: no period in one direction.
    """
    paper = float(np.percentile(grey, 90))
    depth = np.where(ink, 0.0, np.clip(paper - GRID_CONTRAST - grey.astype(float), 0.0, None))
    periods = [first_period(depth.sum(axis=axis)) for axis in (1, 0)]
    down, across = periods
    if down is None or across is None:
        where = "down" if down is None else "across"
        raise PageError(
            "grid",
            f"the density of lines {where} the page must repeat (correlation {PEAK_HEIGHT}); none does",
        )
    return down, across


def viterbi(ink: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Row of the cheapest path through the middles of each column's runs, (cols,); None without ink.

    NaN before the path's first and after its last column.
    """
    columns = [np.array([(a + b) / 2 for a, b in runs]) for runs in column_runs(ink)]
    filled = [c for c, rows in enumerate(columns) if rows.size]
    if not filled:
        return None
    cost = np.zeros(columns[filled[0]].size)
    angle = np.zeros(cost.size)
    came: list[NDArray[np.intp]] = []
    costs = [cost]
    for before, at in pairwise(filled):
        rise = columns[at][:, None] - columns[before][None]
        distance = np.hypot(rise, at - before)
        slope = np.degrees(np.arctan2(rise, at - before))
        turn = np.abs(slope - angle[None]) / 180.0
        total = cost[None] + DISTANCE_WEIGHT * distance + (1 - DISTANCE_WEIGHT) * turn
        best = total.argmin(axis=1)
        rows = np.arange(best.size)
        cost, angle = total[rows, best], slope[rows, best]
        came.append(best)
        costs.append(cost)
    # The cheapest path that ends in the last columns.
    ends = [i for i, c in enumerate(filled) if c > filled[-1] - END_COLS]
    i = min(ends, key=lambda k: float(costs[k].min()))
    j = int(costs[i].argmin())
    out = np.full(ink.shape[1], np.nan)
    points = []
    while True:
        points.append((filled[i], float(columns[filled[i]][j])))
        if i == 0:
            break
        j = int(came[i - 1][j])
        i -= 1
    cols, rows_ = np.array(points[::-1]).T
    inside = np.arange(int(cols[0]), int(cols[-1]) + 1)
    out[inside] = np.interp(inside, cols, rows_)
    return out


def _vertex(values: NDArray[np.float64], k: int) -> float:
    """Place of the vertex of the parabola through a peak and its neighbours."""
    return k + float(peak_offset(*values[k - 1 : k + 2])) if 0 < k < values.size - 1 else float(k)
