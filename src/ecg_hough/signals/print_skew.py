"""How far the rows of a page are shifted against each other along the paper.

In: panels at their columns' common edges, the rows' traces and landmarks. Out: `PrintSkew`, which moves each
row's panels to its own place. A photo's skew and curl are flattened by the grid to some tenths of a
millimetre, and paper with a grid printed beforehand runs askew through a printer: what rows show at one place
along the page is then not of one instant. All columns begin at one instant in all rows, a rhythm strip is a
copy of a short lead, and limb leads are sums of each other: each tells how the rows are shifted. One plane,
shift by place down and along the page, is fitted to all of it; rows depart from it a little.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ecg_hough.elements import Columns, RowMark, RowTrace, Window
from ecg_hough.numeric import peak_offset
from ecg_hough.paper import IN_I_AND_II
from ecg_hough.signals.limb_sums import outside_limb_space
from ecg_hough.signals.raster import upwards
from ecg_hough.traces.rows import Rows

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

UNIT_MM = 100.0
"""Skews are given per this distance down the page, and their changes per this distance along it."""
SKEW_SD_MM, SKEW_CHANGE_SD_MM = 0.1, 0.1
"""Usual skew of a page, and its change along it; photos have many times that."""
ROW_SD_MM, COLUMN_SD_MM = 0.03, 0.3
"""Departure of a row from the plane; error of a column's start."""
ASKEW_ODDS, NONE_MM = -2.0, 1e-6
"""Log odds of a page whose rows are shifted at all, without evidence; the shift of one whose rows are not."""
MARK_SD_MM, NEAR_MM = 0.15, 1.0
"""Error of a landmark's place; how near to a column's start it is one of it."""
COPY_SD_MM, COPY_APART = 0.05, 0.05
"""Error of the lag between a strip and the short copy of its lead, and largest share of variance by which
they may differ at that lag."""
LAG_MM, STEP_MM, INSET_MM, KEPT = 2.0, 0.05, 1.0, 0.95
"""Largest lag that is tried, and the step; excluded at a panel's ends; share of a panel that is compared."""
SKEWS_MM = np.arange(-2.0, 2.01, 0.1)
"""Skews that are tried on the limb leads' sums."""
TAIL = 1.5
"""Residuals from which evidence counts less, in its expected errors."""
ROUNDS, FREE = 12, 20.0
"""Iterations of the fit, and how much larger than usual a skew may be in a second fit's first one."""

Measured = list[tuple[Floats, float, float]]
"""Terms of every measured shift, its value and expected error, mm."""


@dataclass(frozen=True)
class PrintSkew:
    """How far each row is shifted along the page.

    Attributes:
        plane: what a shift is a sum of; shift: (unknowns,) the sum's terms, mm.
        probability: that rows are shifted at all.
    """

    plane: _Plane
    shift: Floats
    probability: float

    def of(self, row_index: int, at_mm: float) -> float:
        """Shift of a row at a place along the page, mm; 0 of a row that has no panel."""
        known = row_index in self.plane.level_mm
        return float(self.plane.terms(row_index, at_mm) @ self.shift) if known else 0.0

    def taken_off(self, rows: Rows) -> Rows:
        """Rows as they would be without: their traces and landmarks moved back."""
        traces = tuple(
            replace(row, x_mm=row.x_mm - self.of(row.row_index, float(row.x_mm.mean())))
            for row in rows.traces
        )
        marks = tuple(
            replace(mark, x_mm=mark.x_mm - self.of(mark.row_index, mark.x_mm)) for mark in rows.marks
        )
        return replace(rows, traces=traces, marks=marks)

    def put_on(self, columns: Columns) -> Columns:
        """Panels at common edges, moved to their rows' places."""
        moved = []
        for w in columns.windows:
            by = self.of(w.row_index, w.start_mm)
            moved.append(replace(w, start_mm=w.start_mm + by, end_mm=w.end_mm + by))
        return replace(columns, windows=tuple(moved))


def find_skew(columns: Columns, rows: Rows, mm_per_s: float, *, sequential: bool) -> PrintSkew | None:
    """The skew of a page's print; None where nothing tells.

    Args:
        columns: panels at their columns' common edges; rows: traces and landmarks in page millimetres.
        mm_per_s: millimetres of the page map per second.
        sequential: columns follow each other in time, so that rhythm strips repeat short leads below them.
    """
    windows = columns.windows
    indices = sorted({w.row_index for w in windows})
    if len(indices) < 2:
        return None
    by_row = {row.row_index: row for row in rows.traces}
    level = {k: float(np.nanmedian(by_row[k].y_mm)) for k in indices}
    centre = 0.5 * (min(w.start_mm for w in windows) + max(w.end_mm for w in windows))
    plane = _Plane(level, float(np.mean(list(level.values()))), centre, len(columns.starts_s))
    under_mm = {j: start_s * mm_per_s if sequential else 0.0 for j, start_s in columns.starts_s.items()}
    found = [
        *_of_marks(windows, rows.marks, plane),
        *_of_copies(windows, by_row, under_mm, plane),
        *_of_sums(windows, by_row, plane),
    ]
    if not found:
        return None
    solved, more = _solved(found, plane.prior_sd_mm(askew=True))
    straight, without = _solved(found, plane.prior_sd_mm(askew=False))
    askew = float(expit(ASKEW_ODDS + more - without))
    log.info(
        "print: skew %.2f mm, changing by %.2f, per %g mm; probability that it is askew %.3f",
        *solved[:2], UNIT_MM, askew,
    )  # fmt: skip
    return PrintSkew(plane, askew * solved + (1.0 - askew) * straight, askew)


@dataclass(frozen=True)
class _Plane:
    """What the shift of a row at a place is a sum of: skew, its change along the page, the row's own, and the
    error of a column's start.

    Attributes:
        level_mm: by row, place down the page; middle_mm, centre_mm: places down and along it where there is
            no shift; n_columns: columns of short leads.
    """

    level_mm: dict[int, float]
    middle_mm: float
    centre_mm: float
    n_columns: int

    def prior_sd_mm(self, *, askew: bool) -> Floats:
        """(unknowns,) usual sizes, of a page whose rows are shifted or of one whose rows are not."""
        shift = [SKEW_SD_MM, SKEW_CHANGE_SD_MM, *[ROW_SD_MM] * len(self.level_mm)]
        return np.array([*(shift if askew else [NONE_MM] * len(shift)), *[COLUMN_SD_MM] * self.n_columns])

    def terms(self, row_index: int, at_mm: float, column: int | None = None) -> Floats:
        """(unknowns,) factors of the unknowns in the shift of a row at a place; with the error of a column's
        start."""
        out = self.skew_terms(at_mm) * (self.level_mm[row_index] - self.middle_mm) / UNIT_MM
        out[2 + list(self.level_mm).index(row_index)] = 1.0
        if column is not None:
            out[2 + len(self.level_mm) + column] = 1.0
        return out

    def skew_terms(self, at_mm: float) -> Floats:
        """(unknowns,) factors of the unknowns in the skew at a place along the page."""
        out = np.zeros(2 + len(self.level_mm) + self.n_columns)
        out[:2] = 1.0, (at_mm - self.centre_mm) / UNIT_MM
        return out


def _of_marks(windows: tuple[Window, ...], marks: tuple[RowMark, ...], plane: _Plane) -> Measured:
    """Shifts of panels by the landmarks near their columns' starts."""
    return [
        (
            plane.terms(w.row_index, w.start_mm, column=w.column_index),
            mark.x_mm - w.start_mm,
            MARK_SD_MM / float(np.sqrt(max(mark.probability, 0.01))),
        )
        for w in windows
        for mark in marks
        if mark.kind == "start" and mark.row_index == w.row_index and abs(mark.x_mm - w.start_mm) < NEAR_MM
    ]


def _of_copies(
    windows: tuple[Window, ...], by_row: dict[int, RowTrace], under_mm: dict[int, float], plane: _Plane
) -> Measured:
    """Shifts of short leads against the strips that repeat them, by column so far from the strip's start."""
    out: Measured = []
    for strip in (w for w in windows if w.rhythm):
        for short in (w for w in windows if w.lead == strip.lead and not w.rhythm):
            place_mm = strip.start_mm + under_mm[short.column_index]
            lag_mm = _lag(by_row[short.row_index], by_row[strip.row_index], short, place_mm)
            if lag_mm is not None:
                middle_mm = 0.5 * (short.start_mm + short.end_mm)
                terms = plane.terms(short.row_index, middle_mm) - plane.terms(strip.row_index, middle_mm)
                out.append((terms, lag_mm, COPY_SD_MM))
    return out


def _of_sums(windows: tuple[Window, ...], by_row: dict[int, RowTrace], plane: _Plane) -> Measured:
    """Skews at which the limb leads' sums hold best, of every column that shows three of them."""
    out: Measured = []
    for j in range(plane.n_columns):
        limb = [w for w in windows if w.column_index == j and not w.rhythm and w.lead in IN_I_AND_II]
        if len(limb) < 3:
            continue
        start, end = limb[0].start_mm + INSET_MM, limb[0].end_mm - INSET_MM
        at, (outside, *_) = np.arange(start, end, STEP_MM), outside_limb_space([w.lead for w in limb])
        down = np.array([plane.terms(w.row_index, start)[0] for w in limb])
        apart = np.ones(len(SKEWS_MM))
        for k, skew in enumerate(SKEWS_MM):
            traces = np.array(
                [upwards(by_row[w.row_index], at + skew * d) for w, d in zip(limb, down, strict=True)]
            )
            traces = traces[:, np.isfinite(traces).all(axis=0)]
            if 2 * traces.shape[1] > at.size:
                off = sum(_kept_variance(row) for row in outside @ traces)
                apart[k] = off / max(float(traces.var(axis=1).mean()), 1e-9)
        best = _least(SKEWS_MM, apart)
        if best is not None:
            out.append((plane.skew_terms(0.5 * (start + end)), best, COPY_SD_MM / float(np.ptp(down))))
    return out


def _lag(short: RowTrace, strip: RowTrace, panel: Window, under_mm: float) -> float | None:
    """By how much a panel's content is further along the page than the strip's below it, mm; None where they
    are not alike."""
    at = np.arange(INSET_MM, panel.end_mm - panel.start_mm - INSET_MM, STEP_MM)
    mine, lags = upwards(short, panel.start_mm + at), np.arange(-LAG_MM, LAG_MM + STEP_MM, STEP_MM)
    apart = np.ones(len(lags))
    for k, lag in enumerate(lags):
        off = mine - upwards(strip, under_mm + at - lag)
        off = off[np.isfinite(off)]
        if 2 * off.size > at.size:
            apart[k] = _kept_variance(off) / max(float(np.nanvar(mine)), 1e-9)
    return _least(lags, apart)


def _least(places: Floats, apart: Floats) -> float | None:
    """Place, between evenly spaced ones, at which two readings are least apart; None where they never agree,
    or might agree better farther off."""
    k = int(apart.argmin())
    if not 0 < k < len(places) - 1 or apart[k] > COPY_APART:
        return None
    return float(places[k] + (places[1] - places[0]) * peak_offset(*-apart[k - 1 : k + 2]))


def _kept_variance(values: Floats) -> float:
    """Variance without the most distant values: names, crossings and separators are misread as trace."""
    off = (values - np.median(values)) ** 2
    return float(np.sort(off)[: max(1, round(KEPT * off.size))].mean())


def _solved(measured: Measured, prior_sd: Floats) -> tuple[Floats, float]:
    """(unknowns,) robust least squares, and its log likelihood up to a constant: a residual of many expected
    errors counts little, and a skew of many times the usual one is nearly as likely as one of a few; a row's
    or a column's own error is not."""
    terms, value, sd = (np.array(v) for v in zip(*measured, strict=True))
    best, most = np.zeros(len(prior_sd)), -np.inf
    for first_sd in (prior_sd, FREE * prior_sd):
        weight, tie = sd**-2, first_sd**-2
        for _ in range(ROUNDS):
            found = np.linalg.solve((terms.T * weight) @ terms + np.diag(tie), (terms.T * weight) @ value)
            weight = _robust(value - terms @ found, sd)
            tie = np.append(_robust(found[:2], prior_sd[:2]), prior_sd[2:] ** -2)
        likelihood = _log_likelihood(value - terms @ found, sd) + _log_likelihood(found[:2], prior_sd[:2])
        likelihood -= 0.5 * float(((found[2:] / prior_sd[2:]) ** 2).sum())
        if likelihood > most:
            best, most = found, likelihood
    return best, most


def _log_likelihood(residual: Floats, sd: Floats) -> float:
    """Of residuals by Cauchy's distribution, up to a constant."""
    return -0.5 * TAIL**2 * float(np.log1p((residual / (TAIL * sd)) ** 2).sum())


def _robust(residual: Floats, sd: Floats) -> Floats:
    """(n,) weights of Cauchy's distribution."""
    return np.asarray(sd**-2 / (1.0 + (residual / (TAIL * sd)) ** 2))
