"""Do the columns of a page follow each other in time, or do they all show the same seconds?

In: row traces and panels in page millimetres. Out: "sequential", "simultaneous" or "one", and its
probability. Beats decide: in simultaneous columns every QRS complex is at the same place of each column, and
a rhythm strip repeats its start under all of them; in sequential ones it continues under them. Where no strip
decides, logistic regression weighs five measures: the similarity of the columns' steep places; the median and
the mean distance between their beats (no heart is as regular as print); the distance of the beats from where
the columns' edges put them; and the residual of Einthoven's and Goldberger's equations across columns, which
hold only for leads of the same instant. Beats of simultaneous columns also give the columns' pitch, where a
pulse or a stain was taken for the block's end.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ecg_hough.elements import RowTrace, Window
from ecg_hough.numeric import peak_offset
from ecg_hough.paper import Layout
from ecg_hough.signals.columns import column_edges, places_on_strip
from ecg_hough.signals.limb_sums import limb_columns, same_seconds_residual
from ecg_hough.signals.raster import (
    LAG_MM,
    STEP_MM,
    activity,
    find_beats,
    on_raster,
    share_of_variance_apart,
)

log = logging.getLogger(__name__)

SEQUENTIAL, SIMULTANEOUS, ONE = "sequential", "simultaneous", "one"

# Tuned on own renders of all layouts, half of them with simultaneous columns.
STRIP_MARGIN, STRIP_ALIKE = 0.12, 0.4
"""Difference of correlation with a rhythm strip from which it decides, and least correlation."""
COPY_APART, COPY_TIMES = 0.1, 2.0
"""Largest share of variance by which a strip differs from the short copy of its lead at the right place, and
least ratio of that share at the wrong place to the one at the right place."""
COEFFICIENTS = (2.48, 3.21, 3.4, 1.54, 2.59)
INTERCEPT = -2.92
"""Log odds of simultaneous columns by the five measures of `measure_columns`.
Fitted by `python -m ecg_hough.training.order_fit RECORDS`, which prints their accuracy on held-out
records."""
BEAT_HALF_MM = 3.5
"""Length of a beat that is compared, before and after its steepest place."""
BEAT_REACH_MM = 1.25
"""Largest distance of a beat from its steepest place."""
SHIFT_MAX_MM = 6.0
"""Largest shift of a column: a pulse of 5 mm at the block's end moves an inner edge by less."""
PITCH_OFF_MM, PITCH_AGREE_MM, PITCH_PAIRS_MIN = 0.3, 0.15, 3
"""Error of the columns' pitch from which it is corrected, how well all columns must agree on it, and by how
many beats each."""
PARTNER_MM = 1.5
"""Largest distance of two columns' beats, after their common shift, at which they are the same beat."""
ALIKE_FLOOR, APART_FLOOR_MM, SHIFT_FLOOR_MM, RESIDUAL_FLOOR = 0.01, 0.02, 0.1, 1e-3
"""Differences of simultaneous columns that reading errors alone cause."""
USUAL_APART, USUAL_SHIFT, USUAL_RESIDUAL = 1.0, 0.2, 1.0
"""Negative decimal logarithms that support neither order."""
SURE = 0.9
"""Probability from which the other order is not mentioned."""


@dataclass(frozen=True)
class ColumnOrder:
    """How a page's columns continue in time.

    Attributes:
        name: "sequential", "simultaneous" or "one".
        probability: of that order, given that all else is right.
        pitch_off_mm: true pitch of the columns minus that of their edges, 0 where they agree.
    """

    name: str
    probability: float
    pitch_off_mm: float = 0.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence where the other order fits nearly as well."""
        if self.probability >= SURE:
            return ()
        return (
            f"time: columns read as {self.name} (probability {self.probability:.2f});"
            " the beats fit the other order nearly as well",
        )


def find_column_order(
    rows: tuple[RowTrace, ...], windows: tuple[Window, ...], layout: Layout | None
) -> ColumnOrder:
    """Decide from the read traces.

    Args:
        rows: traces in page millimetres; windows: panels at their columns' common edges.
        layout: the known layout; without one columns are assumed sequential, as most carts print.
    """
    if layout is None:
        return ColumnOrder(SEQUENTIAL, SURE)
    if layout.n_columns == 1:
        return ColumnOrder(ONE, 1.0)
    by_strips = order_by_strips(rows, windows, layout)
    if by_strips is not None:
        log.info("order of columns: %s, by the rhythm strips", by_strips)
        return ColumnOrder(by_strips, 1.0)
    measures = measure_columns(rows, windows, layout)
    odds = INTERCEPT + float(measures @ COEFFICIENTS)
    log.info(
        "order of columns: log odds of simultaneous %.1f; measures: correlation %.2f,"
        " median and mean distance of beats %.2f and %.2f, shifts %.2f, limb sums %.2f",
        odds, *measures,
    )  # fmt: skip
    probability = 1.0 / (1.0 + math.exp(-abs(odds)))
    if odds <= 0:
        return ColumnOrder(SEQUENTIAL, probability)
    by_row = {row.row_index: row for row in rows}
    columns = _columns_on_raster(by_row, windows, column_edges(windows, layout.n_columns))
    whole = len(columns) == layout.n_columns
    return ColumnOrder(SIMULTANEOUS, probability, pitch_off(list(columns.values())) if whole else 0.0)


def measure_columns(
    rows: tuple[RowTrace, ...], windows: tuple[Window, ...], layout: Layout
) -> NDArray[np.float64]:
    """(5,) measures that the logistic regression weighs.

    Negative decimal logarithms: of 1 minus the correlation of the columns' steep places; of the median and
    the mean distance of their beats, mm; of their columns' shifts, mm; and of the limb leads' residual. They
    are greater the more the columns look simultaneous; the last four are 0 where not known.
    """
    by_row = {row.row_index: row for row in rows}
    columns = list(_columns_on_raster(by_row, windows, column_edges(windows, layout.n_columns)).values())
    if len(columns) < 2:
        return np.zeros(len(COEFFICIENTS))
    first, *others = [activity(list(traces)) for traces in columns]
    alike = float(np.mean([_alike(first, other) for other in others]))
    beats = compare_beats(columns)
    apart, shift = _median_size(beats.apart_mm), _median_size(beats.shifts_mm)
    # A single early beat is evidence that the columns show different seconds.
    mean = float(np.mean(np.abs(beats.apart_mm))) if beats.apart_mm else None
    residual = same_seconds_residual(limb_columns(by_row, windows, layout))
    return np.array(
        [
            -math.log10(1.0 - alike + ALIKE_FLOOR),
            *(0.0 if mm is None else -math.log10(mm + APART_FLOOR_MM) - USUAL_APART for mm in (apart, mean)),
            0.0 if shift is None else -math.log10(shift + SHIFT_FLOOR_MM) - USUAL_SHIFT,
            0.0 if residual is None else -math.log10(residual + RESIDUAL_FLOOR) - USUAL_RESIDUAL,
        ]
    )


def _columns_on_raster(
    by_row: dict[int, RowTrace], windows: tuple[Window, ...], edges: tuple[list[float], list[float]]
) -> dict[int, NDArray[np.float64]]:
    """(rows, n) short traces of every column that has any, on the raster from its start, of one length."""
    length = _shortest_mm(edges)
    out = {}
    for j, start in enumerate(edges[0]):
        members = [by_row[w.row_index] for w in windows if w.column_index == j and not w.rhythm]
        if members:
            out[j] = np.array([on_raster(row, start, length) for row in members])
    return out


def _shortest_mm(edges: tuple[list[float], list[float]]) -> float:
    return min(b - a for a, b in zip(*edges, strict=True))


@dataclass(frozen=True)
class _Beats:
    """The beats of all columns against the first column's.

    Attributes:
        apart_mm: distance of each beat from its partner after its column's shift, in columns that share two.
        shifts_mm: of the columns that share a beat, from the second on; pairs: number of beats each shares.
    """

    apart_mm: list[float]
    shifts_mm: list[float]
    pairs: list[int]


def compare_beats(columns: list[NDArray[np.float64]]) -> _Beats:
    """Compare the columns' beats with the first column's.

    Each column has one shift, the error of its edge, which is subtracted from the beats' distances; so a
    single pair of beats determines the shift and nothing else.

    Args:
        columns: (k, n) traces of a column each, mm on the raster, NaN in gaps.
    """
    first, *others = [beat_places(traces) * STEP_MM for traces in columns]
    apart: list[float] = []
    common: list[float] = []
    count: list[int] = []
    for places in others:
        distances = places[:, None] - first[None]
        shifts = distances[np.abs(distances) < SHIFT_MAX_MM]
        paired = [(shift, _pairs(distances - shift)) for shift in shifts]
        shift, pairs = max(paired, key=lambda one: _worth(one[1]), default=(0.0, np.zeros(0)))
        if len(pairs):
            common.append(float(shift + np.median(pairs)))
            count.append(len(pairs))
        if len(pairs) > 1:
            apart += list(pairs - np.median(pairs))
    return _Beats(apart, common, count)


def pitch_off(columns: list[NDArray[np.float64]]) -> float:
    """True pitch of simultaneous columns minus the pitch at which `columns` were cut, mm; 0 where unclear."""
    beats = compare_beats(columns)
    if len(beats.shifts_mm) < len(columns) - 1 or min(beats.pairs, default=0) < PITCH_PAIRS_MIN:
        return 0.0
    per_column = np.array(beats.shifts_mm) / np.arange(1, len(columns))
    off = float(np.median(per_column))
    agree = max(np.abs(per_column - off).max(), np.median(np.abs(beats.apart_mm))) <= PITCH_AGREE_MM
    return off if agree and abs(off) > PITCH_OFF_MM else 0.0


def _median_size(values: list[float]) -> float | None:
    return float(np.median(np.abs(values))) if values else None


def _pairs(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of every beat (rows) to the nearest of the other column (columns), of those that have one."""
    nearest = distances[np.arange(len(distances)), np.abs(distances).argmin(axis=1)]
    return nearest[np.abs(nearest) < PARTNER_MM]


def _worth(pairs: NDArray[np.float64]) -> tuple[int, float]:
    """More pairs are better, then closer ones."""
    return len(pairs), -float(np.median(np.abs(pairs))) if len(pairs) else 0.0


def beat_places(traces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places of a column's beats, to a fraction of the raster: each is aligned with the column's usual beat.

    Args:
        traces: (k, n) traces of the same seconds, mm on the raster, NaN in gaps.

    Returns:
        (beats,) places on the raster, without beats at the column's very ends.
    """
    half, reach = round(BEAT_HALF_MM / STEP_MM), round(BEAT_REACH_MM / STEP_MM)
    places = find_beats(traces)
    places = places[(places >= half + reach + 1) & (places < traces.shape[1] - half - reach - 1)]
    known = traces[np.isfinite(traces).any(axis=1)]
    if len(places) < 2 or not len(known):
        return places.astype(np.float64)
    off = known - np.nanmedian(known, axis=1, keepdims=True)
    size = np.maximum(np.nanquantile(np.abs(off), 0.98, axis=1, keepdims=True), 1e-6)
    # Slopes are free of baseline wander; every lead counts alike, and a jump to another trace counts little.
    height = np.clip(np.nan_to_num(off / size), -3.0, 3.0)
    slope = np.gradient(gaussian_filter1d(height, 1.0, axis=1), axis=1)
    span = np.arange(-half, half + 1)
    lags = np.arange(-reach, reach + 1)
    found = places.astype(np.float64)
    for _ in range(3):
        usual = np.median(slope[:, np.round(found).astype(int)[:, None] + span], axis=1)
        # (beats, lags): agreement with the usual beat around the steepest place.
        at = places[:, None, None] + lags[:, None] + span
        agreement = np.einsum("kbls,ks->bl", slope[:, at], usual)
        found = places + lags[0] + _peaks(agreement)
    return found


def _peaks(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Place of every row's greatest value, by a parabola through it and its neighbours."""
    k = np.arange(len(rows))
    top = rows.argmax(axis=1)
    inner = np.clip(top, 1, rows.shape[1] - 2)
    off = peak_offset(rows[k, inner - 1], rows[k, inner], rows[k, inner + 1])
    return np.where(top == inner, inner + np.clip(off, -1.0, 1.0), top)


def order_by_strips(rows: tuple[RowTrace, ...], windows: tuple[Window, ...], layout: Layout) -> str | None:
    """The order by rhythm strips: either they continue under the columns, or their start fits every column.

    None where there is no strip, or it fits both ways.
    """
    strips = [w for w in windows if w.rhythm]
    if not strips:
        return None
    by_row = {row.row_index: row for row in rows}
    edges = starts, ends = column_edges(windows, layout.n_columns)
    length = _shortest_mm(edges)
    on_strip = places_on_strip(starts, ends)
    strip_rows = [by_row[w.row_index] for w in strips]
    under = [activity([on_raster(row, start, length) for row in strip_rows]) for start in on_strip]
    columns = _columns_on_raster(by_row, windows, edges)
    later = [(j, activity(list(traces))) for j, traces in columns.items() if j > 0]
    if not later:
        return None
    continues = float(np.mean([_alike(under[j], column) for j, column in later]))
    repeats = float(np.mean([_alike(under[0], column) for _, column in later]))
    log.debug(
        "order of columns: correlation with the strip under them %.2f, with its start %.2f",
        continues,
        repeats,
    )
    if max(continues, repeats) < STRIP_ALIKE:
        return None
    if abs(continues - repeats) >= STRIP_MARGIN:
        return SEQUENTIAL if continues > repeats else SIMULTANEOUS
    # Regular beats fit both ways: the short copy of the strip's own lead also has its noise and wander.
    for strip in strips:
        copies = [w for w in windows if w.lead == strip.lead and not w.rhythm and w.column_index > 0]
        for copy in copies:
            shape = on_raster(by_row[copy.row_index], starts[copy.column_index], length)
            row = by_row[strip.row_index]
            there = share_of_variance_apart(on_raster(row, on_strip[copy.column_index], length), shape)
            at_start = share_of_variance_apart(on_raster(row, starts[0], length), shape)
            if min(there, at_start) < COPY_APART and max(there, at_start) > COPY_TIMES * min(there, at_start):
                return SEQUENTIAL if there < at_start else SIMULTANEOUS
    return SEQUENTIAL if continues >= repeats else None


def _alike(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Greatest correlation of two stretches at small lags."""
    reach = int(LAG_MM / STEP_MM)
    inner = slice(reach, -reach)
    if a.size < 8 * reach or a[inner].std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return max(float(np.corrcoef(a[inner], np.roll(b, lag)[inner])[0, 1]) for lag in range(-reach, reach + 1))
