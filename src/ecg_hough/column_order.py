"""Do the columns of a page follow each other in time, or do they all show the same seconds?

In: row traces and panels in page millimetres. Out: "sequential", "simultaneous" or "one", and whether the
page says so. Beats decide: in simultaneous columns every QRS complex stands at the same place of each column,
and a rhythm strip repeats its start under all of them; in sequential ones it goes on under them. Where beats
are so regular that both hold, Einthoven's and Goldberger's equations between leads of different columns
decide, which hold for leads of the same instant only. What remains open is taken as sequential, as most
carts print.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ecg_hough.columns import Window, column_edges
from ecg_hough.paper import Layout
from ecg_hough.traces import RowTrace

SEQUENTIAL, SIMULTANEOUS, ONE = "sequential", "simultaneous", "one"

# Tuned on own renders of all layouts, half of them with simultaneous columns.
STEP_MM = 0.25
"""Traces are compared on this raster."""
ACTIVITY_MM = 0.7
"""Smoothing of the steepness: about the width of a QRS flank."""
LAG_MM = 1.5
"""Farthest that a column's edge may be off."""
STRIP_MARGIN, STRIP_ALIKE = 0.12, 0.4
"""Difference of correlation with a rhythm strip from which it decides, and least correlation."""
COPY_LEFT, COPY_TIMES = 0.1, 2.0
"""Share of variance that a strip leaves of its lead's short copy, and how many times more elsewhere."""
ALIKE, ALIKE_EACH = 0.55, 0.3
"""Correlation of the columns' beats with the first column's, mean and least, that says simultaneous."""
UNLIKE = 0.35
"""Below this mean correlation the columns are sequential whatever the limb leads say."""
EXPLAINED_MIN = 0.75
"""Share of a limb lead's variance that the leads of other columns must explain in simultaneous columns."""
LIMB_SUMS: tuple[dict[str, float], ...] = (
    {"I": 1, "III": 1, "II": -1},
    {"I": 1, "II": 1, "aVR": 2},
    {"I": 1, "III": -1, "aVL": -2},
    {"II": 1, "III": 1, "aVF": -2},
    {"aVR": 1, "aVL": 1, "aVF": 1},
)
"""Sums of limb leads that are zero at every instant (Einthoven, Goldberger)."""


@dataclass(frozen=True)
class ColumnOrder:
    """`name`: "sequential", "simultaneous" or "one"; `sure`: whether the page itself says so."""

    name: str
    sure: bool


def find_column_order(
    rows: tuple[RowTrace, ...], windows: tuple[Window, ...], layout: Layout | None
) -> ColumnOrder:
    """Decide from the read traces.

    Args:
        rows: traces in page millimetres; windows: panels at their columns' common edges.
        layout: the known layout; without one columns are taken as sequential.
    """
    if layout is None:
        return ColumnOrder(SEQUENTIAL, False)
    if layout.n_columns == 1:
        return ColumnOrder(ONE, True)
    by_row = {row.row_index: row for row in rows}
    starts, ends = column_edges(windows, layout.n_columns)
    length = min(b - a for a, b in zip(starts, ends, strict=True))
    columns: list[NDArray[np.float64] | None] = []
    for j, start in enumerate(starts):
        members = [by_row[w.row_index] for w in windows if w.column_index == j and not w.rhythm]
        columns.append(_activity(members, start, length) if members else None)
    by_strip = _by_strips(by_row, windows, starts, length, columns)
    if by_strip is not None:
        return ColumnOrder(by_strip, True)
    first = columns[0]
    others = [c for c in columns[1:] if c is not None]
    if first is None or not others:
        return ColumnOrder(SEQUENTIAL, False)
    alike = np.array([_alike(first, other) for other in others])
    if alike.mean() < UNLIKE:
        return ColumnOrder(SEQUENTIAL, not any(w.rhythm for w in windows))
    explained = limb_leads_explained(by_row, windows, starts, length)
    if explained is not None:
        return ColumnOrder(SIMULTANEOUS if explained >= EXPLAINED_MIN else SEQUENTIAL, True)
    if alike.mean() >= ALIKE and alike.min() >= ALIKE_EACH:
        return ColumnOrder(SIMULTANEOUS, True)
    return ColumnOrder(SEQUENTIAL, False)


def _by_strips(
    by_row: dict[int, RowTrace],
    windows: tuple[Window, ...],
    starts: list[float],
    length: float,
    columns: list[NDArray[np.float64] | None],
) -> str | None:
    """What rhythm strips say: whether they go on under the columns, or only their start fits every column."""
    strips = [w for w in windows if w.rhythm]
    if not strips:
        return None
    rows = [by_row[w.row_index] for w in strips]
    under = [_activity(rows, start, length) for start in starts]
    later = [(j, column) for j, column in enumerate(columns) if j > 0 and column is not None]
    if not later:
        return None
    goes_on = float(np.mean([_alike(under[j], column) for j, column in later]))
    repeats = float(np.mean([_alike(under[0], column) for _, column in later]))
    if max(goes_on, repeats) < STRIP_ALIKE:
        return None
    if abs(goes_on - repeats) >= STRIP_MARGIN:
        return SEQUENTIAL if goes_on > repeats else SIMULTANEOUS
    # Regular beats fit both ways: the short copy of the strip's own lead has its noise and wander, too.
    for strip in strips:
        copies = [w for w in windows if w.lead == strip.lead and not w.rhythm and w.column_index > 0]
        for copy in copies:
            shape = on_raster(by_row[copy.row_index], starts[copy.column_index], length)
            row = by_row[strip.row_index]
            there = share_left(on_raster(row, starts[copy.column_index], length), shape)
            at_start = share_left(on_raster(row, starts[0], length), shape)
            if min(there, at_start) < COPY_LEFT and max(there, at_start) > COPY_TIMES * min(there, at_start):
                return SEQUENTIAL if there < at_start else SIMULTANEOUS
    return SEQUENTIAL if goes_on >= repeats else None


def share_left(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Share of variance by which two stretches differ at the best small lag, offsets aside."""
    reach = int(LAG_MM / STEP_MM)
    best = 1.0
    for lag in range(-reach, reach + 1):
        x, y = a[reach:-reach], np.roll(b, lag)[reach:-reach]
        both = np.isfinite(x) & np.isfinite(y)
        if both.sum() >= 0.4 * both.size:
            spread = 0.5 * (x[both].var() + y[both].var())
            best = min(best, _robust_variance(x[both] - y[both]) / max(2.0 * spread, 1e-9))
    return best


def limb_leads_explained(
    by_row: dict[int, RowTrace], windows: tuple[Window, ...], starts: list[float], length: float
) -> float | None:
    """Median share of variance by which limb leads of several columns obey their sums.

    Returns:
        None where no sum has its leads in different columns.
    """
    leads: dict[str, tuple[int, NDArray[np.float64]]] = {}
    reach = int(LAG_MM / STEP_MM)
    for w in windows:
        if not w.rhythm:
            leads[w.lead] = (w.column_index, on_raster(by_row[w.row_index], starts[w.column_index], length))
    shares = []
    for weights in LIMB_SUMS:
        if not set(weights) <= set(leads) or len({leads[name][0] for name in weights}) < 2:
            continue
        groups: dict[int, NDArray[np.float64]] = {}
        for name, weight in weights.items():
            column, shape = leads[name]
            groups[column] = groups.get(column, np.zeros_like(shape)) + weight * shape
        parts = list(groups.values())
        # One group may be shifted against the others by the error of its column's edge.
        rest = np.sum(parts[:-1], axis=0)
        best = 0.0
        for sign in (1.0, -1.0) if "aVR" in weights else (1.0,):
            # -aVR is printed upside down on many Cabrera pages.
            flipped = parts if sign > 0 else _flip_avr(weights, leads)
            rest, last = np.sum(flipped[:-1], axis=0), flipped[-1]
            for lag in range(-reach, reach + 1):
                a, b = rest[reach:-reach], np.roll(last, lag)[reach:-reach]
                both = np.isfinite(a) & np.isfinite(b)
                if both.sum() < 0.4 * both.size:
                    continue
                spread = 0.5 * (a[both].var() + b[both].var())
                best = max(best, 1.0 - _robust_variance(a[both] + b[both]) / max(2.0 * spread, 1e-9))
        shares.append(best)
    return float(np.median(shares)) if shares else None


def _flip_avr(
    weights: dict[str, float], leads: dict[str, tuple[int, NDArray[np.float64]]]
) -> list[NDArray[np.float64]]:
    groups: dict[int, NDArray[np.float64]] = {}
    for name, weight in weights.items():
        column, shape = leads[name]
        signed = -weight if name == "aVR" else weight
        groups[column] = groups.get(column, np.zeros_like(shape)) + signed * shape
    return list(groups.values())


def _robust_variance(values: NDArray[np.float64]) -> float:
    """Variance without the 5 % farthest values: names and separators are misread there."""
    off = (values - np.median(values)) ** 2
    kept = max(1, round(0.95 * off.size))
    return float(np.partition(off, kept - 1)[:kept].mean())


def on_raster(row: RowTrace, start_mm: float, length_mm: float) -> NDArray[np.float64]:
    """The trace upwards, mm, on the raster from `start_mm`; NaN in gaps."""
    return upwards(row, start_mm + np.arange(0.0, length_mm, STEP_MM))


def upwards(row: RowTrace, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """The trace upwards, mm, at places along the page; NaN in gaps."""
    y = -np.interp(at, row.x_mm, np.nan_to_num(row.y_mm, nan=0.0))
    gap = np.interp(at, row.x_mm, (~np.isfinite(row.y_mm)).astype(float), left=1.0, right=1.0)
    return np.where(gap > 0, np.nan, y)


def _activity(rows: list[RowTrace], start_mm: float, length_mm: float) -> NDArray[np.float64]:
    """`activity` of rows on the raster from `start_mm`."""
    return activity([on_raster(row, start_mm, length_mm) for row in rows])


def activity(traces: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Steepness of traces on the raster together: high where QRS complexes stand."""
    return gaussian_filter1d(np.sum([_steepness(y) for y in traces], axis=0), ACTIVITY_MM / STEP_MM)


def _steepness(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Steepness of a trace on the raster, 0 to 1; 0 in gaps, and everywhere where little is known."""
    slope = np.abs(np.gradient(y))
    known = np.isfinite(slope)
    if known.mean() < 0.3:
        return np.zeros(y.size)
    # Each row counts alike, however tall; a jump to a neighbouring trace does not outweigh beats.
    top = max(float(np.quantile(slope[known], 0.99)), 1e-6)
    return np.where(known, np.minimum(np.nan_to_num(slope) / top, 1.0), 0.0)


def _alike(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Greatest correlation of two stretches at small lags."""
    reach = int(LAG_MM / STEP_MM)
    inner = slice(reach, -reach)
    if a.size < 8 * reach or a[inner].std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return max(float(np.corrcoef(a[inner], np.roll(b, lag)[inner])[0, 1]) for lag in range(-reach, reach + 1))
