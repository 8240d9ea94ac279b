"""Rows of traces: one line per row of leads, from the ink alone.

In: class probabilities on the canvas (13, rows, cols). Out: `TraceRows`: a line per row, and the class
evidence gathered along it. Names of leads play no part here: single pixels name their lead unreliably, but
a trace dwells on its baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks
from scipy.stats import theilslopes

from ecg_hough.numeric import runs
from ecg_hough.paper import LEADS

# Tuned on the disturbed masks of 200 rendered pages on a 704 px canvas (2.3-2.7 px/mm), see test_fit.
INK_MIN = 0.3
"""Lead probability (all leads together) from which a pixel counts as trace."""
SPECK_PX = 7
"""Components whose longer side is below this are speckle: 3 mm."""
SLOPE_MAX = 0.054
"""Largest slope of the rows searched for, 3.1 degrees."""
FAN_MAX = 0.06
"""Largest difference of slope between the top and the bottom of the canvas (perspective)."""
BLOCK_PX = 16
"""Columns that vote together."""
DWELL_PX = 6.0
"""Vertical runs longer than this are strokes of QRS and count little: 2.5 mm."""
ROW_SIGMA_PX = 3.0
"""Smoothing of the row profile: about 1 mm, less than half the pitch of the densest layout."""
GAIN_FLOOR = 0.02
"""Least class probability in the likelihood, so that one wrong pixel cannot veto a layout."""
EMPTY_COST = 0.35
"""Cost of a column without trace, in nats; a column of the right class earns log 12 = 2.5."""
PARTS = 8
"""Parts of the width in which medians of a row are taken."""
STRAIGHT_SLOPE_MAX = 0.02
"""Largest slope of a single row against the common one."""
CURL_MAX_PX = 24.0
"""Most that a row departs from its line, 1 cm."""
CURL_VOTE_MIN, CURL_ROWS_MIN = 0.2, 4
"""Least vote of a level run there, a stroke 12 px wide, and rows from which it may change down the page."""
ROW_MERGE = 0.4
"""Two close rows that share fewer of their columns than this are one row with stepped baselines."""


@dataclass(frozen=True)
class TraceRows:
    """Rows of traces, from the top.

    Attributes:
        lines: (n, cols) canvas row of every line per canvas column.
        slope: mean slope of the rows, canvas px per px, positive downwards to the right.
        pitch: median distance of neighbouring rows in canvas px, NaN with one row.
        mass: (n, 12, cols) class probability summed over the ink nearest to each line.
        curl: (n, cols) how far the rows run below their lines where the page is curled or fans out.
    """

    lines: NDArray[np.float64]
    slope: float
    pitch: float
    mass: NDArray[np.float64]
    curl: NDArray[np.float64]


@dataclass(frozen=True)
class RowEvidence:
    """What the rows show of every lead.

    Attributes:
        gain: (n, 12, cols + 1) log-likelihood gain of each class over unnamed traces, cumulated, nats.
        weight: (n, cols) occupancy, 0 to 1.
        share: (n, 12, cols) share of each class in the trace.
        level: (n,) heights of the rows relative to their mean, canvas px.
    """

    gain: NDArray[np.float64]
    weight: NDArray[np.float64]
    share: NDArray[np.float64]
    level: NDArray[np.float64]


@dataclass(frozen=True)
class _Runs:
    """Vertical runs of ink: column, middle row, and vote (1 on baselines, towards 0 on strokes)."""

    col: NDArray[np.intp]
    row: NDArray[np.float64]
    vote: NDArray[np.float64]


def find_rows(probabilities: NDArray[np.float32]) -> TraceRows | None:
    """Find the rows of traces: projection along the best slope and fan, then one line per peak.

    Args:
        probabilities: (13, rows, cols) class probabilities, background first.

    Returns:
        None where nothing looks like a trace.
    """
    ink = clean_ink(probabilities)
    if ink.sum() < 4 * SPECK_PX:
        return None
    strokes = _vertical_runs(ink)
    slope, fan, profile = _projection(strokes, ink.shape)
    peaks, _ = find_peaks(profile, height=0.12 * profile.max(), prominence=0.06 * profile.max(), distance=8)
    if peaks.size == 0:
        return None
    n_rows, n_cols = ink.shape
    along = np.arange(n_cols) - n_cols / 2
    lines = peaks[:, None] + (slope + fan * (peaks[:, None] - n_rows / 2)) * along
    lines = _merge_rows(lines, profile[peaks], strokes, n_cols)
    lines = _straighten(lines, strokes, n_cols)
    pitch = float(np.median(np.diff(lines.mean(1)))) if len(lines) > 1 else float("nan")
    mean_slope = float((lines[:, -1] - lines[:, 0]).mean() / (n_cols - 1))
    return TraceRows(lines, mean_slope, pitch, _band_mass(probabilities, ink, lines), _curl(lines, strokes))


def gather_evidence(rows: TraceRows) -> RowEvidence:
    """Log-likelihood of each class along each row; columns without trace count against every class."""
    total = rows.mass.sum(1)
    weight = np.minimum(1.0, total)
    share = rows.mass / np.maximum(total, 1e-9)[:, None, :]
    level = rows.lines[:, rows.lines.shape[1] // 2]
    return RowEvidence(log_gain(share, weight), weight, share, level - level.mean())


def log_gain(share: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """`RowEvidence.gain` of shares (n, 12, cols) and occupancies (n, cols)."""
    gain = weight[:, None, :] * (np.log(np.maximum(share, GAIN_FLOOR)) + np.log(len(LEADS)))
    return cumulate(gain - EMPTY_COST * (1.0 - weight)[:, None, :])


def cumulate(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums (..., cols + 1) of everything before each column edge."""
    return np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)


def at_columns(cumulated: NDArray[np.float64], cols: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulated values (..., cols + 1) at sub-pixel column edges (..., k), constant outside."""
    last = cumulated.shape[-1] - 1
    cols = np.clip(cols, 0.0, float(last))
    k = np.minimum(cols.astype(int), last - 1)
    low = np.take_along_axis(cumulated, k, axis=-1)
    return low + (cols - k) * (np.take_along_axis(cumulated, k + 1, axis=-1) - low)


def clean_ink(probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Trace pixels (rows, cols) of any lead, without speckle."""
    ink = (probabilities[0] < 1.0 - INK_MIN).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    keep = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) >= SPECK_PX
    keep[0] = False
    return keep[labels]


def _vertical_runs(ink: NDArray[np.bool_]) -> _Runs:
    # Column after column, with a gap between them.
    columns = np.pad(ink.T, ((0, 0), (0, 1)))
    ends = np.array(runs(columns.ravel()), np.intp).reshape(-1, 2)
    col, first = np.divmod(ends[:, 0], columns.shape[1])
    behind = ends[:, 1] - col * columns.shape[1]
    return _Runs(col, (first + behind - 1) / 2.0, 1.0 / (1.0 + ((behind - first) / DWELL_PX) ** 2))


def _projection(strokes: _Runs, shape: tuple[int, ...]) -> tuple[float, float, NDArray[np.float64]]:
    """Slope at the middle, change of slope per row, and the smoothed profile they give."""
    n_rows, n_cols = shape
    n_blocks = -(-n_cols // BLOCK_PX)
    key = np.rint(strokes.row).astype(int) * n_blocks + strokes.col // BLOCK_PX
    votes = np.bincount(key, strokes.vote, minlength=n_rows * n_blocks)
    cell = np.flatnonzero(votes)
    votes = votes[cell]
    along = (cell % n_blocks + 0.5) * BLOCK_PX - n_cols / 2
    row = (cell // n_blocks).astype(float)

    def profile(slope: float, fan: float) -> NDArray[np.float64]:
        level = (row - (slope - fan * n_rows / 2) * along) / (1.0 + fan * along)
        index = np.clip(np.rint(level), 0, n_rows - 1).astype(int)
        return gaussian_filter1d(np.bincount(index, votes, minlength=n_rows).astype(float), ROW_SIGMA_PX)

    slope, fan = 0.0, 0.0
    half_fan = FAN_MAX / n_rows
    for slopes, fans in (
        (np.linspace(-SLOPE_MAX, SLOPE_MAX, 19), np.linspace(-half_fan, half_fan, 7)),
        (np.linspace(-0.006, 0.006, 7), np.linspace(-half_fan / 3, half_fan / 3, 5)),
    ):
        tried = [(slope + s, fan + f) for s in slopes for f in fans]
        slope, fan = max(tried, key=lambda pair: float((profile(*pair) ** 2).sum()))
    return slope, fan, profile(slope, fan)


def _nearest_line(lines: NDArray[np.float64], r: NDArray, c: NDArray) -> NDArray[np.intp]:
    """Index of the line nearest to each point; lines are sorted from the top."""
    middle = (lines[1:] + lines[:-1]) / 2.0
    return (r[None, :] > middle[:, c]).sum(0) if len(middle) else np.zeros(r.size, np.intp)


def _merge_rows(
    lines: NDArray[np.float64], height: NDArray, strokes: _Runs, n_cols: int
) -> NDArray[np.float64]:
    """Join rows that never share columns: one row whose leads have different baselines."""
    lines, height = lines.copy(), height.astype(float).copy()
    while len(lines) > 1:
        gaps = np.diff(lines.mean(1))
        near = min(0.6 * float(np.median(gaps)) if len(gaps) > 2 else np.inf, 0.08 * n_cols)
        member = _nearest_line(lines, strokes.row, strokes.col)
        occupied = np.zeros((len(lines), n_cols), bool)
        occupied[member, strokes.col] = True
        both = (occupied[1:] & occupied[:-1]).sum(1)
        share = both / np.maximum(1, np.minimum(occupied[1:].sum(1), occupied[:-1].sum(1)))
        # A peak that is much closer than the others and lower is a dwelling of the same trace (ST, T).
        weak = np.minimum(height[1:], height[:-1]) < 0.35 * np.maximum(height[1:], height[:-1])
        merge = (gaps < near) & ((share < ROW_MERGE) | (weak & (share < 0.75)))
        # A strip that wanders far is in each column on one of its levels only.
        merge |= (gaps < min(0.9 * gaps.max(), 0.1 * n_cols)) & (share < 0.5 * ROW_MERGE)
        if not merge.any():
            break
        i = int(np.argmin(np.where(merge, gaps, np.inf)))
        lines[i] = lines[i if height[i] >= height[i + 1] else i + 1]
        height[i] += height[i + 1]
        lines, height = np.delete(lines, i + 1, axis=0), np.delete(height, i + 1)
    return lines


def _straighten(lines: NDArray[np.float64], strokes: _Runs, n_cols: int) -> NDArray[np.float64]:
    """Give each row its own slope (curl), by medians over parts of the width (Theil-Sen)."""
    member = _nearest_line(lines, strokes.row, strokes.col)
    out = lines.copy()
    for i in range(len(lines)):
        mine = (member == i) & (strokes.vote > 0.5)
        part = (strokes.col[mine] * PARTS) // n_cols
        off = strokes.row[mine] - lines[i, strokes.col[mine]]
        full = [k for k in range(PARTS) if (part == k).sum() >= n_cols // (4 * PARTS)]
        if len(full) < PARTS // 2:
            continue
        x = (np.array(full) + 0.5) * n_cols / PARTS
        y = np.array([np.median(off[part == k]) for k in full])
        slope = float(np.clip(theilslopes(y, x).slope, -STRAIGHT_SLOPE_MAX, STRAIGHT_SLOPE_MAX))
        out[i] += np.median(y - slope * x) + slope * np.arange(n_cols)
    # Lines must keep their order; a slope from noise that crosses a neighbour is worse than none.
    return out if np.all(np.diff(out, axis=0) > 0) else lines


def _curl(lines: NDArray[np.float64], strokes: _Runs) -> NDArray[np.float64]:
    """(n, cols) canvas px by which rows run below their lines, as far as it changes evenly down the page.

    In parts of the width the median of every row, and over the rows a robust line.
    """
    n, n_cols = lines.shape
    member = _nearest_line(lines, strokes.row, strokes.col)
    off = strokes.row - lines[member, strokes.col]
    level = (strokes.vote > CURL_VOTE_MIN) & (np.abs(off) <= CURL_MAX_PX)
    part = (strokes.col * PARTS) // n_cols
    middle, bends = [], []
    for k in range(PARTS):
        here = [off[level & (part == k) & (member == i)] for i in range(n)]
        seen = [i for i in range(n) if here[i].size >= n_cols // (4 * PARTS)]
        if len(seen) < max(2, 0.5 * n):
            continue
        medians = np.array([np.median(here[i]) for i in seen])
        slope, shift = 0.0, float(np.median(medians))
        if len(seen) >= CURL_ROWS_MIN:
            slope, shift, _, _ = theilslopes(medians, seen)
        middle.append((k + 0.5) * n_cols / PARTS)
        bends.append(shift + slope * np.arange(n))
    if not bends:
        return np.zeros((n, n_cols))
    return np.stack([np.interp(np.arange(n_cols), middle, bend) for bend in np.array(bends).T])


def _band_mass(
    probabilities: NDArray[np.float32], ink: NDArray[np.bool_], lines: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Class probability (n, 12, cols) summed over the ink nearest to each line."""
    n, n_cols = lines.shape
    r, c = np.nonzero(ink)
    key = _nearest_line(lines, r, c) * n_cols + c
    mass = [np.bincount(key, plane[r, c], minlength=n * n_cols) for plane in probabilities[1:]]
    return np.ascontiguousarray(np.stack(mass, axis=1).reshape(n, n_cols, len(mass)).transpose(0, 2, 1))
