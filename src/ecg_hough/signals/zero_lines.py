"""Zero line of every row of traces: its height at 0 mV, mm down the page.

In: row traces in page millimetres, panels at their columns' edges, paper speed and gain, the pulses' feet.
Out: one zero line a row, by robust least squares over all observations of them. ECG amplifiers pass no direct
current (high-pass at 0.05 Hz or above), so the mean of a long lead is zero; a pulse's foot is drawn on the
zero line; rows are printed at equal distances; and what must hold at every instant (Einthoven's and
Goldberger's sums, a rhythm strip and the short copy of its lead) also holds for the zero lines.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import LINE_MM, GridLines, PulsePlace, RowTrace, Window
from ecg_hough.numeric import robust_weights, weighted_least_squares
from ecg_hough.paper import IN_I_AND_II
from ecg_hough.signals.limb_sums import outside_limb_space
from ecg_hough.signals.raster import STEP_MM, on_raster

log = logging.getLogger(__name__)

# Means of PTB-XL's leads over 2.5, 5 and 10 s scatter by 0.035, 0.019 and 0.004 mV.
MEAN_SD_MV, MEAN_S = 0.035, 2.5
"""Scatter of a lead's mean over that time; it is inversely proportional to the time."""
LEAST_MEAN_SD_MV = 0.008
EVEN_SD_MM, LINE_SD_MM, SUM_SD_MM, NAME_SD_MM = 0.05, 0.04, 0.03, 0.005
"""Errors of equal distances, of a line of the grid, and the least error of a sum that must
hold at every instant, and of distances of names by which a document places its rows."""
UNEVEN_MM = 0.8
"""Rows whose mean levels are this near to equal distances (root mean square) are equally far apart."""
FOOT_MM = 2.5
"""A pulse's foot farther than this from its row's mean level is not its zero line."""
READINGS_MIN = 16
"""Fewest read-outs of a panel, and places common to several rows, that count."""
INDEPENDENT_MM = 2.5
"""Errors of a trace this far apart are independent."""
ALIKE_MIN = 0.9
"""Correlation from which a rhythm strip and a short copy of its lead show the same seconds."""
ON_LINES_MIN = 2.5
"""Least log odds that zero lines are on lines of the grid."""
ROUNDS, OUTLIER_SDS = 8, 2.5
"""Of the robust least squares: rounds, and the misfit at which an observation's weight has halved."""


@dataclass(frozen=True)
class ZeroLines:
    """Zero lines of the rows that were read.

    Attributes:
        mm: by row, down the page; sd_mm: their expected errors by these observations, likewise.
        on_grid: lines of the grid were used to find them.
    """

    mm: dict[int, float]
    sd_mm: dict[int, float]
    on_grid: bool = False


@dataclass(frozen=True)
class _Observation:
    """An observation of the zero lines: their sum, weighted by row, is `value_mm` within `sd_mm`."""

    weights: dict[int, float]
    value_mm: float
    sd_mm: float


def zero_lines(
    rows: tuple[RowTrace, ...],
    windows: tuple[Window, ...],
    *,
    speed_mm_s: float,
    gain_mm_mv: float,
    pulse: PulsePlace | None = None,
    lines: GridLines | None = None,
    names_mm: dict[int, float] | None = None,
    simultaneous: bool = False,
) -> ZeroLines:
    """Zero line of every row that was read.

    Args:
        rows: traces in page millimetres; windows: panels at their columns' edges.
        pulse: where calibration pulses are; None without any.
        lines: the grid's lines down the page, if they are seen.
        names_mm: by row, place down the page of a name that is printed at one distance from all zero lines.
        simultaneous: all columns show the same seconds, from their start on.
    """
    by_row = {row.row_index: row for row in rows}
    seen = _means(by_row, windows, speed_mm_s, gain_mm_mv)
    indices = sorted({row for one in seen for row in one.weights})
    if not indices:
        return ZeroLines({}, {})
    level = {k: float(np.median([one.value_mm for one in seen if k in one.weights])) for k in indices}
    # Rhythm strips may be nearer to each other than short leads are.
    short = sorted({w.row_index for w in windows if not w.rhythm} & set(level))
    known = tuple(w for w in windows if w.row_index in level)
    seen += _pulse_feet(pulse, level, lines) + _equal_distances(level, short)
    seen += _limb_sums(by_row, known, simultaneous) + _repeats(by_row, known, simultaneous)
    # Feet and names are exact where a document says so: the solution starts from them.
    feet = {k: y for k, y in (pulse.feet_mm if pulse is not None else {}).items() if k in level}
    feet = {k: y for k, y in feet.items() if abs(y - level[k]) <= FOOT_MM}
    named = _by_names(names_mm or {}, level, feet)
    seen += _name_distances(named)
    zero, precision = _solved(seen, level | named | feet)
    on_grid = _to_lines(zero, precision, lines) if lines is not None else None
    if on_grid is not None:
        drawn = zip(level, on_grid.tolist(), strict=True)
        zero, precision = _solved(seen + [_Observation({k: 1.0}, y, LINE_SD_MM) for k, y in drawn], level)
    log.debug(
        "zero lines: %s; %d observations, on lines of the grid: %s",
        ", ".join(f"row {k} at {y:.2f} mm" for k, y in zip(level, zero, strict=True)),
        len(seen), on_grid is not None,
    )  # fmt: skip
    sd = np.sqrt(np.diag(np.linalg.pinv(precision)))
    return ZeroLines(
        dict(zip(level, zero.tolist(), strict=True)),
        dict(zip(level, sd.tolist(), strict=True)),
        on_grid is not None,
    )


def _pulse_feet(
    pulse: PulsePlace | None, level: dict[int, float], lines: GridLines | None
) -> list[_Observation]:
    """Feet of calibration pulses that are near their row's level.

    A program that draws a grid on whole pixels draws pulses and the traces between them on whole pixels, too.
    A stroke of an odd number of pixels has the offset of the grid's printed lines, one of an even number has
    none; the page does not show which, so half of it is subtracted and the error is larger.
    """
    off_mm = lines.printed_off_mm[0] if lines is not None and lines.printed_off_mm else 0.0
    if pulse is None:
        return []
    sd = float(np.linalg.norm([pulse.foot_sd_mm, off_mm / np.sqrt(3.0), 0.5 * off_mm]))
    out = []
    for k, y in pulse.feet_mm.items():
        if k in level and abs(y - level[k]) <= FOOT_MM:
            out.append(_Observation({k: 1.0}, y - 0.5 * off_mm, sd))
        elif k in level:
            log.debug("zero lines: foot of the pulse in row %d rejected, %.2f mm off its level, limit %g",
                      k, y - level[k], FOOT_MM)  # fmt: skip
    return out


def _by_names(
    names_mm: dict[int, float], level: dict[int, float], feet: dict[int, float]
) -> dict[int, float]:
    """Zero lines of rows by their names, which are at one distance from them; empty where names are not."""
    places = {k: y for k, y in names_mm.items() if k in level}
    off = np.array([level[k] - y for k, y in places.items()])
    if len(off) < 2 or float(np.std(off)) > UNEVEN_MM:
        return {}
    known = [feet[k] - y for k, y in places.items() if k in feet]
    distance = float(np.median(known)) if known else float(np.median(off))
    return {k: y + distance for k, y in places.items()}


def _name_distances(named: dict[int, float]) -> list[_Observation]:
    """Zero lines are as far apart as the names of their rows are."""
    rows = sorted(named)
    return [_Observation({a: -1.0, b: 1.0}, named[b] - named[a], NAME_SD_MM) for a, b in pairwise(rows)]


def _solved(
    seen: list[_Observation], level: dict[int, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Zero lines (n,) of the rows in `level`, near those levels, and their precision (n, n)."""
    matrix = np.array([[one.weights.get(k, 0.0) for k in level] for one in seen])
    value, sd = (np.array(v) for v in zip(*((one.value_mm, one.sd_mm) for one in seen), strict=True))
    zero = np.array(list(level.values()))
    weighted = matrix
    for _ in range(ROUNDS):
        misfit = (matrix @ zero - value) / sd
        weight = robust_weights(misfit, OUTLIER_SDS, 0.5) / sd
        weighted = matrix * weight[:, None]
        zero = weighted_least_squares(matrix, value, weight)
    return zero, weighted.T @ weighted


def _to_lines(
    zero: NDArray[np.float64], precision: NDArray[np.float64], lines: GridLines
) -> NDArray[np.float64] | None:
    """Zero lines (n,) on the grid's lines, where all are near enough to lines for these odds; else None."""
    best, found = ON_LINES_MIN, None
    _, log_det = np.linalg.slogdet(precision / (2.0 * np.pi))
    for off in lines.offsets(zero):
        # Zero lines that are independent of the grid are equally likely everywhere between two lines.
        odds = 0.5 * float(log_det - off @ precision @ off) + len(zero) * np.log(LINE_MM)
        if odds > best:
            best, found = odds, zero + off
    return found


def _means(
    by_row: dict[int, RowTrace], windows: tuple[Window, ...], speed_mm_s: float, gain_mm_mv: float
) -> list[_Observation]:
    """Every panel's mean is the zero line of its row."""
    out = []
    for window in windows:
        row = by_row[window.row_index]
        y = row.y_mm[(row.x_mm >= window.start_mm) & (row.x_mm < window.end_mm)]
        y = y[np.isfinite(y)]
        if y.size < READINGS_MIN:
            continue
        seconds = y.size * (row.x_mm[1] - row.x_mm[0]) / speed_mm_s
        sd_mv = max(MEAN_SD_MV * MEAN_S / seconds, LEAST_MEAN_SD_MV)
        out.append(_Observation({window.row_index: 1.0}, float(y.mean()), sd_mv * gain_mm_mv))
    return out


def _equal_distances(level: dict[int, float], rows: list[int]) -> list[_Observation]:
    """Each row lies between its neighbours in proportion, where the levels are nearly equidistant."""
    if len(rows) < 3:
        return []
    seen = np.array([level[k] for k in rows])
    even = np.polyval(np.polyfit(rows, seen, 1), rows)
    if np.sqrt(np.sum((seen - even) ** 2) / (len(rows) - 2)) > UNEVEN_MM:
        return []
    out = []
    for a, b, c in zip(rows, rows[1:], rows[2:], strict=False):
        share = (b - a) / (c - a)
        out.append(_Observation({a: 1 - share, b: -1.0, c: share}, 0.0, EVEN_SD_MM))
    return out


def _limb_sums(
    by_row: dict[int, RowTrace], windows: tuple[Window, ...], simultaneous: bool
) -> list[_Observation]:
    """Einthoven's and Goldberger's sums of limb leads within every column, or across simultaneous columns."""
    out = []
    limb = [w for w in windows if not w.rhythm and w.lead in IN_I_AND_II]
    together = [limb]
    if not simultaneous:
        columns = sorted({w.column_index for w in limb})
        together = [[w for w in limb if w.column_index == j] for j in columns]
    for members in together:
        if len(members) < 3:
            continue
        traces = _at_same_time(by_row, members, simultaneous)
        if traces.shape[1] < READINGS_MIN:
            continue
        # With aVR and with -aVR, as Cabrera pages print it: whichever has the smaller residual.
        names = [w.lead for w in members]
        candidates = [_sums(basis, traces, members) for basis in outside_limb_space(names)]
        out += min(candidates, key=_total_sd)
    return out


def _total_sd(observations: Iterable[_Observation]) -> float:
    return sum(one.sd_mm for one in observations)


def _sums(
    basis: NDArray[np.float64], traces: NDArray[np.float64], windows: list[Window]
) -> list[_Observation]:
    """Observations of zero lines by sums (k, windows) that must be zero, of traces (windows, n) upwards,
    mm."""
    out = []
    for weights, along in zip(basis, basis @ traces, strict=True):
        value = float(np.median(along))
        of_row: dict[int, float] = {}
        for window, weight in zip(windows, weights.tolist(), strict=True):
            of_row[window.row_index] = of_row.get(window.row_index, 0.0) + weight
        out.append(_Observation(of_row, -value, _sd_of_median(along - value)))
    return out


def _repeats(
    by_row: dict[int, RowTrace], windows: tuple[Window, ...], simultaneous: bool
) -> list[_Observation]:
    """Rhythm strips and the short copies of their leads that show the same seconds."""
    out = []
    for strip in (w for w in windows if w.rhythm):
        for short in windows:
            if short.rhythm or short.lead != strip.lead:
                continue
            traces = _at_same_time(by_row, [strip, short], simultaneous)
            if traces.shape[1] >= READINGS_MIN and np.corrcoef(*traces).item(0, 1) >= ALIKE_MIN:
                out += _sums(np.array([[1.0, -1.0]]), traces, [strip, short])
    return out


def _at_same_time(
    by_row: dict[int, RowTrace], windows: list[Window], simultaneous: bool
) -> NDArray[np.float64]:
    """Traces (windows, n) upwards, mm, at the instants that all windows cover and at which all rows are read.

    Instants are places along the page, or, where columns are simultaneous, from each window's start.
    """
    starts = [w.start_mm for w in windows]
    if not simultaneous:
        starts = [max(starts)] * len(windows)
    length = min(w.end_mm - start for w, start in zip(windows, starts, strict=True))
    traces = np.stack(
        [on_raster(by_row[w.row_index], start, length) for w, start in zip(windows, starts, strict=True)]
    )
    return traces[:, np.isfinite(traces).all(axis=0)]


def _sd_of_median(off: NDArray[np.float64]) -> float:
    """Error of the median of values on the raster, from their distances to it."""
    spread = 1.4826 * float(np.median(np.abs(off)))
    return max(SUM_SD_MM, spread / np.sqrt(max(1.0, off.size * STEP_MM / INDEPENDENT_MM)))
