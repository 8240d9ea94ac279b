"""ECGMiner: rows as regions, dynamic programming over runs of ink, scale from the reference pulse.

Santamónica AF et al. ECGMiner: a flexible software for accurately digitizing ECG. Comput Methods Programs
Biomed 2024;246:108053; source github.com/adofersan/ecg-miner (MIT).

Taken: the grid goes with every pixel of HSV value 168 or more, frame lines at the border go too; regions
of interest are the strongest peaks of the rows' standard deviation; per column the clusters are runs of
consecutive ink; the path of a row minimises the sum of the distance to the region's level and of a tenth
of the page's width for every white pixel between neighbouring clusters; local extremes take the cluster's
farthest pixel; zero and 1 mV come from the reference pulse, which is cut off symmetrically to its foot;
the remaining columns are stretched to the record's length and cut into equal columns; a rhythm strip
replaces the short copy.

Departs: the pulse's side is found, not set by hand; a cluster farther from a row's level than the next
row is no candidate (a header would else lengthen the path); the page is not cropped to its largest
contour, which on a full-page grid is the page; short leads' ends that do not fit the grid are not joined.
Fails without a visible pulse, and where the grid is as dark as the ink: as errors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from ecg_hough.errors import PageError
from ecg_hough.output.ecg import Ecg
from ecg_lab.methods.common import (
    LeadPath,
    Options,
    Run,
    column_runs,
    find_block,
    find_pulse,
    paths_to_ecg,
    row_levels,
    split_row,
    without_frame,
)

GRID_VALUE = 168
"""HSV value from which a pixel is grid or paper."""
GAP_COST = 0.1
"""Cost of one white pixel between clusters of neighbouring columns, in widths of the page."""
MIN_COVERED = 0.5
"""Share of the page's width that a row's path must span."""


def run(image: NDArray[np.uint8], labels: NDArray[np.uint8] | None, options: Options) -> Ecg:
    """Digitise one page (rows, cols, 3); `labels` is not used.

    Raises:
        PageError: rows, pulse or paths are not found.
    """
    ink = without_frame(image.max(axis=2) < GRID_VALUE)
    layout = options.layout
    levels = row_levels(ink, layout.n_rows)
    pulse = find_pulse(ink, levels)
    if pulse is None or pulse.height_px <= 0:
        raise PageError(
            "calibration",
            "ECGMiner takes its scale from the reference pulse; found none in the rows of traces",
        )
    runs = column_runs(ink)
    pitch = float(np.median(np.diff(levels))) if len(levels) > 1 else float(image.shape[0])
    block = find_block(ink, levels, pulse)
    paths: list[LeadPath] = []
    for k, level in enumerate(levels):
        cols, rows = follow_row(runs, level, pitch, image.shape[1])
        zero = _pulse_zero(cols, rows, pulse.left_col, pulse.right_col, level, pulse.at_right)
        paths += split_row(
            layout, k, cols, rows, block,
            duration_s=options.duration_s, px_per_mv=pulse.height_px, zero_row=zero,
        )  # fmt: skip
    scale = (pulse.height_px / options.gain_mm_mv, paths[0].px_per_s / options.speed_mm_s)
    return paths_to_ecg(paths, options, method="ecgminer", px_per_mm=scale)


def follow_row(
    runs: list[list[Run]], level: int, reach: float, n_cols: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns and rows of the path of one row of traces.

    Args:
        runs: clusters of every column; level: the region's row; reach: clusters farther away are omitted.
    Raises:
        PageError: the longest path spans less than half of the page.
    """
    kept = [[r for r in column if abs((r[0] + r[1]) / 2 - level) <= reach] for column in runs]
    # Per column: cost, length and predecessor of each cluster's best path.
    cost: list[NDArray[np.float64]] = []
    length: list[NDArray[np.int64]] = []
    came: list[NDArray[np.int64]] = []
    for c, column in enumerate(kept):
        if not column:
            cost.append(np.zeros(0))
            length.append(np.zeros(0, np.int64))
            came.append(np.zeros(0, np.int64))
            continue
        before = kept[c - 1] if c else []
        if not before:
            cost.append(np.zeros(len(column)))
            length.append(np.ones(len(column), np.int64))
            came.append(np.full(len(column), -1))
            continue
        a, b = np.array(before), np.array(column)
        step = cost[-1] + np.abs(np.ceil(a.mean(axis=1)) - level)
        gap = np.maximum(b[:, None, 0] - a[None, :, 1] - 1, a[None, :, 0] - b[:, None, 1] - 1)
        total = step[None] + GAP_COST * n_cols * np.maximum(gap, 0)
        best = total.argmin(axis=1)
        cost.append(total[np.arange(len(column)), best])
        length.append(length[-1][best] + 1)
        came.append(best)
    longest = max((int(n.max()) for n in length if n.size), default=0)
    if longest < MIN_COVERED * n_cols:
        raise PageError(
            "readout",
            f"a row's trace must be followed over half of the page; the one at row {level} breaks off after "
            f"{longest} of {n_cols} px",
        )
    ends = [(c, int(j)) for c, n in enumerate(length) for j in np.flatnonzero(n == longest)]
    ends.sort(key=lambda end: abs(sum(kept[end[0]][end[1]]) / 2 - level))
    c, j = ends[0]
    path: list[Run] = []
    last = c
    while j >= 0:
        path.append(kept[c][j])
        j = int(came[c][j])
        c -= 1
    clusters = np.array(path[::-1], float)
    rows = np.ceil(clusters.mean(axis=1))
    peaks, _ = find_peaks(np.abs(rows - level))
    top, bottom = clusters[peaks].T
    rows[peaks] = np.where(np.abs(top - level) > np.abs(bottom - level), top, bottom)
    return np.arange(last - len(path) + 1, last + 1, dtype=float), rows


def _pulse_zero(
    cols: NDArray[np.float64],
    rows: NDArray[np.float64],
    left: float,
    right: float,
    level: int,
    at_right: bool,
) -> float:
    """Row of 0 mV: the pulse's foot on the side of the page's edge, else the row's level."""
    outer = cols > right + 2 if at_right else cols < left - 2
    return float(np.median(rows[outer])) if np.count_nonzero(outer) >= 3 else float(level)
