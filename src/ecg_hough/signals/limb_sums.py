"""Limb leads against their equations: the traces alone show whether the limb leads' names can be right.

In: row traces in page millimetres and a layout's panels. Out: the residual of the limb leads' sums. Every
limb lead is a known sum of I and II (Einthoven; Goldberger), so of m limb leads m - 2 dimensions must be
empty: at every instant that one column shows, and in the usual beat, whichever column shows it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import RowTrace, Window
from ecg_hough.paper import IN_I_AND_II, Layout
from ecg_hough.signals.columns import column_edges
from ecg_hough.signals.raster import LAG_MM, STEP_MM, find_beats, upwards

# Tuned on own renders of all layouts (benchmark_pages, other seeds than the published one).
KEPT = 0.93
"""Share of the places with the smallest residual that count: names and separators are misread as trace."""
INSET_MM = 1.0
"""Excluded at columns' ends."""
COLUMNS_MIN = 40
"""Fewest places on the raster at which all limb leads are known: 10 mm."""
BEAT_MM = (6.0, 10.0)
"""Length of a beat that is compared with the others: before and after its steepest place."""
GO_ON_MIN = 5
"""Fewest limb leads in one column that are also tried in the next one."""
INVERTED_MAX = 0.8
"""Residual with aVR inverted, as a share of the residual with it upright, below which aVR is inverted."""
BEAT_LEADS_MIN = 4
"""Fewest limb leads whose usual beats are compared."""

LimbColumn = tuple[list[str], NDArray[np.float64]]
"""Names of the limb leads in one column, and their traces."""


def limb_columns(
    by_row: dict[int, RowTrace], windows: tuple[Window, ...], layout: Layout
) -> list[LimbColumn]:
    """Limb leads of every column that has any, and their traces (leads, n) on the raster, mm upwards."""
    if not windows:
        return []
    starts, ends = column_edges(windows, layout.n_columns)
    out = []
    for j, (start, end) in enumerate(zip(starts, ends, strict=True)):
        limb = [w for w in windows if w.column_index == j and not w.rhythm and w.lead in IN_I_AND_II]
        at = np.arange(start + INSET_MM, end - INSET_MM, STEP_MM)
        if limb and at.size >= COLUMNS_MIN:
            out.append(([w.lead for w in limb], np.stack([upwards(by_row[w.row_index], at) for w in limb])))
    return out


def renamed_columns(
    by_row: dict[int, RowTrace], windows: tuple[Window, ...], layout: Layout
) -> list[LimbColumn]:
    """Columns of chest leads under the names of the limb leads in their rows; as `limb_columns`.

    Where the sums hold in these as well, the page has one wide column of limb leads.
    """
    short = [w for w in windows if not w.rhythm]
    leads = [w for w in short if w.lead in IN_I_AND_II]
    limb = {w.row_index: w.lead for w in leads}
    if len(leads) < GO_ON_MIN or len(leads) > len(limb):
        return []
    chest = [w for w in short if w.lead not in IN_I_AND_II and w.row_index in limb]
    return limb_columns(by_row, tuple(replace(w, lead=limb[w.row_index]) for w in chest), layout)


def limb_residual(columns: list[LimbColumn]) -> tuple[float, float] | None:
    """Residual of the limb leads' sums within columns: 0 where they hold, about 1 for unrelated traces.

    Returns:
        Residual as a share of that of unrelated traces of this size, and how much was checked: length of the
        columns times the dimensions that must be empty, mm. None without three limb leads in a column.
    """
    residual = expected = extent = 0.0
    for names, traces in columns:
        known = np.isfinite(traces).all(axis=0)
        if len(names) < 3 or known.sum() < COLUMNS_MIN:
            continue
        traces = traces[:, known] - np.median(traces[:, known], axis=1, keepdims=True)
        offs = [((outside @ traces) ** 2).sum(axis=0) for outside in outside_limb_space(names)]
        free = len(names) - 2
        residual += min(float(off[off <= np.quantile(off, KEPT)].mean()) for off in offs)
        expected += float((traces**2).sum(axis=0).mean()) * free / len(names)
        extent += free * float(known.sum()) * STEP_MM
    return (residual / expected, extent) if expected > 0 else None


def usual_beat_residual(columns: list[LimbColumn]) -> float | None:
    """Residual of the sums in the limb leads' usual beats.

    Columns that follow each other in time show no instant twice, but a heart repeats its beat: each lead's
    beats are aligned at the steepest places of their column, and a column's usual beat may be shifted a
    little against the first column's.

    Returns:
        Residual as a share of that of unrelated traces of this size. None where fewer than `BEAT_LEADS_MIN`
        limb leads show a beat.
    """
    names, beats = _usual_beats(columns)
    # Columns that show the same seconds can be compared without a whole beat.
    residuals = [same_seconds_residual(columns)]
    if len(names) >= BEAT_LEADS_MIN:
        residuals.append(_aligned_residual(names, beats, 1.0, outside_limb_space(names)))
    return min((residual for residual in residuals if residual is not None), default=None)


def same_seconds_residual(columns: list[LimbColumn]) -> float | None:
    """Residual of the sums of all limb leads at every instant, if all columns showed the same seconds.

    Returns:
        Residual as a share of that of unrelated traces of this size. None where only one column has limb
        leads or all columns together have fewer than `BEAT_LEADS_MIN`.
    """
    names = [name for limb, _ in columns for name in limb]
    if len(columns) < 2 or len(names) < BEAT_LEADS_MIN:
        return None
    n = min(traces.shape[1] for _, traces in columns)
    return _aligned_residual(names, [traces[:, :n] for _, traces in columns], KEPT, outside_limb_space(names))


def avr_is_inverted(columns: list[LimbColumn]) -> bool:
    """Whether the usual beat of the trace named aVR fits the other leads inverted (-aVR, Cabrera)."""
    names, beats = _usual_beats(columns)
    if "aVR" not in names or len(names) < BEAT_LEADS_MIN:
        return False
    upright, inverted = (
        _aligned_residual(names, beats, 1.0, [outside]) for outside in outside_limb_space(names)
    )
    return inverted < INVERTED_MAX * upright


def _usual_beats(columns: list[LimbColumn]) -> tuple[list[str], list[NDArray[np.float64]]]:
    """Names of the limb leads that show a beat, and their usual beats, (leads, n) of every column."""
    names: list[str] = []
    beats = []
    before, after = (round(mm / STEP_MM) for mm in BEAT_MM)
    for limb, traces in columns:
        places = find_beats(traces)
        places = places[(places >= before) & (places < traces.shape[1] - after)]
        cut = np.array([traces[:, place - before : place + after] for place in places])
        if len(cut) and np.isfinite(cut).any(axis=(0, 2)).all():
            names += limb
            beats.append(_median(cut))
    return names, beats


def _aligned_residual(
    names: list[str], parts: list[NDArray[np.float64]], kept: float, outsides: list[NDArray[np.float64]]
) -> float:
    """Residual of the limb leads' sums after the columns are aligned, each by a small shift.

    `kept` is the share of the places with the smallest residual that count; `outsides` are ways in which the
    sums may hold (`outside_limb_space`), of which the best one counts.
    """
    reach = round(LAG_MM / STEP_MM)

    def residual(lags: list[int]) -> float:
        moved = [np.roll(part, lag, axis=1)[:, reach:-reach] for lag, part in zip(lags, parts, strict=True)]
        stack = np.concatenate(moved)
        stack = stack[:, np.isfinite(stack).all(axis=0)]
        if stack.shape[1] < COLUMNS_MIN:
            return 1.0
        stack = stack - np.median(stack, axis=1, keepdims=True)
        expected = float((stack**2).sum()) * (len(names) - 2) / len(names)
        offs = [((outside @ stack) ** 2).sum(axis=0) for outside in outsides]
        return min(float(off[off <= np.quantile(off, kept)].sum()) for off in offs) / max(expected, 1e-9)

    lags = [0] * len(parts)
    for _ in range(2):
        for k in range(1, len(parts)):
            tried = [[*lags[:k], lag, *lags[k + 1 :]] for lag in range(-reach, reach + 1)]
            lags = min(tried, key=residual)
    return residual(lags)


def outside_limb_space(names: list[str]) -> list[NDArray[np.float64]]:
    """(leads - 2, leads) orthonormal sums that must be empty, with aVR and with -aVR as Cabrera prints it.

    Args:
        names: limb leads, at least three.
    """
    basis = np.array([IN_I_AND_II[name] for name in names])
    out = [basis]
    if "aVR" in names:
        out.append(basis * np.array([-1.0 if name == "aVR" else 1.0 for name in names])[:, None])
    return [np.linalg.svd(matrix).U[:, 2:].T for matrix in out]


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of the known values along the first axis; NaN where none is known."""
    known = np.isfinite(values).any(axis=0)
    return np.where(known, np.nanmedian(np.where(known, values, 0.0), axis=0), np.nan)
