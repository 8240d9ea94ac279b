"""Rows of traces to 12 x N millivolts: which part of a row is which lead, when, and from which zero line.

In: row traces in page millimetres, the panels' windows, paper speed and gain. Out: signals, their
expected error and what became of each lead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from ecg_hough.elements import RowTrace, TimeBase, Window
from ecg_hough.errors import PageError
from ecg_hough.numeric import runs
from ecg_hough.paper import IN_I_AND_II, LEADS
from ecg_hough.record import LeadStatus
from ecg_hough.signals.lead_fusion import LeadResiduals, PanelSignal, fuse, lead_residuals
from ecg_hough.signals.limb_sums import LimbColumn, avr_is_inverted, limb_columns
from ecg_hough.signals.zero_lines import zero_lines

# Tuned on own renders and the development pages.
FOUND_SHARE = 0.2
"""Share of a lead's window that must be read for the lead to be found."""
RESIDUAL_SHARE, RESIDUAL_MIN_MV = 0.6, 0.04
"""Share of the limb leads' own size (root mean square) that their equations may leave without a warning, and
what is never warned of, mV. Of 24 own renders of all layouts and 17 development pages 4 are above it, of -1.5
to 9.6 dB. Of the 28 with limb leads and more than 10 dB, none; 25 each when I and II, or II and III, are
exchanged on them."""
RESIDUAL_USUAL = 0.1
"""Share that most pages leave which are read right: from there on the page's quality falls. On those 41 pages
the rank correlation of quality and Challenge SNR is 0.23 without that and 0.66 with it."""
END_S, BESIDE_S = 0.014, 0.012
"""Ends of panels that are unsure, and what is looked at beside them."""
COURSE_S, COURSE_STEP = 0.040, 2
"""What beyond the end tells how a lead bends there, and every how many read-outs of it."""
BEND_MV_S2, LEAST_SD_MV = (0.001 / 0.002**2, 0.02 / 0.002**2), 0.005
"""Least and greatest second derivative (root mean square) that a lead may have there, and least error of a
read-out."""
CALM_MV_S2, CALM_S, CALM_LAG_S = 0.001 / 0.002**2, 0.012, 0.004
"""Second derivative up to which a lead is calm, over about this time; and the lag over which it is measured.
Flutter waves stay below it, QRS complexes and muscle noise do not."""
CALM_READOUTS = 1.5
"""Standard deviation of the smoothing there, in read-outs: 0.09 mm of paper, less than a pen's width."""
SPLINE_MIN = 4
"""Fewest read-outs that a cubic goes through."""
FUSE_SD_MV = 0.05
"""Error scale of the confidence: at this expected error of the read-out it has fallen to about a third."""
ZERO_SD_MV, START_SD_S = 0.03, 0.0045
"""Expected error of the zero line and of the block's start: absolute millivolts at absolute times are less
sure than the trace itself (`ecg-hough confidence`)."""
ZERO_ON_GRID_SD_MV, START_ON_GRID_SD_S = 0.004, 0.0004
"""The same where lines of the grid tell them (`grid_lines`)."""


@dataclass(frozen=True)
class Calibrated:
    """Signals and what is known of them.

    Attributes:
        signals, sd_mv, confidence: (12, N) at fs, Hz.
        statuses: one a lead; windows: as placed, after the common edges were found.
        duration_s: of the printed block.
        residuals: how far leads of the same instant miss each other, as read, before they were made to agree.
        leads_agree: see `lead_fusion.Fused`; warnings: sentences.
        agreement: 0..1, by how much the residuals take from the page's quality.
    """

    signals: NDArray[np.float64]
    fs: int
    sd_mv: NDArray[np.float64]
    confidence: NDArray[np.float64]
    statuses: tuple[LeadStatus, ...]
    windows: tuple[Window, ...]
    duration_s: float
    residuals: LeadResiduals
    leads_agree: bool | None
    warnings: tuple[str, ...]
    agreement: float


def calibrate(rows: tuple[RowTrace, ...], base: TimeBase, *, fs: int, fused_leads: bool = True) -> Calibrated:
    """Signals of all leads at their own column's time.

    Args:
        rows: traces in page millimetres; base: panels at their columns' edges, and the scale.
        fs: Hz of the signals.
        fused_leads: limb leads and repeated leads are made to agree; else only their residuals are found.
    Raises:
        PageError: nothing could be read.
    """
    columns = base.columns
    starts_s = dict.fromkeys(columns.starts_s, 0.0) if base.simultaneous else columns.starts_s
    n = round(columns.duration_s * fs)
    zero = zero_lines(
        rows,
        columns.windows,
        speed_mm_s=base.mm_per_s,
        gain_mm_mv=base.mm_per_mv,
        pulse=base.pulse,
        lines=base.lines,
        simultaneous=base.simultaneous,
    )
    panels = _panel_signals(rows, base, starts_s, zero.mm, fs)
    signals, _, _ = _combine(panels, n)
    if not np.isfinite(signals).any():
        raise PageError("calibration", "at least one lead must be readable; none of the found rows is")
    warnings: list[str] = []
    by_row = {row.row_index: row for row in rows}
    layout = base.layout
    limb = limb_columns(by_row, columns.windows, layout) if layout is not None and layout.cabrera else []
    if limb and _avr_is_inverted(signals, limb):
        panels = [replace(p, mv=-p.mv) if p.lead == "aVR" else p for p in panels]
        signals[LEADS.index("aVR")] *= -1
        warnings.append("aVR is printed upside down (-aVR, Cabrera) and was turned back")
    residuals = lead_residuals(signals, tuple(panels))
    warnings += residual_warnings(residuals, signals)
    agreement = residual_agreement(residuals, signals)
    fused = fuse(tuple(panels), fs)
    signals, sd, presence = _combine(fused.panels if fused_leads else panels, n)
    confidence = np.where(np.isfinite(signals), presence * np.exp(-sd / FUSE_SD_MV), 0.0)
    confidence = np.nan_to_num(confidence)
    slope = np.abs(np.gradient(np.nan_to_num(signals), axis=1)) * fs
    zero_sd = ZERO_ON_GRID_SD_MV if zero.on_grid else ZERO_SD_MV
    start_sd = START_ON_GRID_SD_S if columns.on_grid else START_SD_S
    sd = np.where(np.isfinite(signals), np.sqrt(sd**2 + zero_sd**2 + (start_sd * slope) ** 2), np.nan)
    statuses = tuple(
        _status(lead, columns.windows, starts_s, signals, confidence, fs, base.mm_per_s) for lead in LEADS
    )
    missing = [not status.found for status in statuses]
    signals[missing], sd[missing], confidence[missing] = np.nan, np.nan, 0.0
    return Calibrated(
        signals,
        fs,
        sd,
        confidence,
        statuses,
        columns.windows,
        columns.duration_s,
        residuals,
        fused.agree,
        tuple(warnings),
        agreement,
    )


def _panel_signals(
    rows: tuple[RowTrace, ...], base: TimeBase, starts_s: dict[int, float], zero_mm: dict[int, float], fs: int
) -> list[PanelSignal]:
    """Every panel at fs whose row has a zero line."""
    by_row = {row.row_index: row for row in rows}
    n = round(base.columns.duration_s * fs)
    panels = []
    for window in base.columns.windows:
        if window.row_index in zero_mm:
            start_s = 0.0 if window.rhythm else starts_s[window.column_index]
            row, zero = _within(by_row[window.row_index], window), zero_mm[window.row_index]
            # Where the layout is unknown, a stray mark far off the block may pass for a panel.
            if start_s * fs < n and row.x_mm.size >= SPLINE_MIN:
                panels.append(_panel_signal(row, window, zero, start_s, fs, base.mm_per_s, base.mm_per_mv))
    return panels


def residual_warnings(residuals: LeadResiduals, signals: NDArray[np.float64]) -> list[str]:
    """Sentences about leads of one instant that miss each other by much of their own size.

    Args:
        signals: (12, N) mV that the residuals were found in.
    """
    limit_mv = max(RESIDUAL_SHARE * limb_size_mv(signals), RESIDUAL_MIN_MV)
    found = {
        "the limb leads break Einthoven's equation by": residuals.einthoven_mv,
        "the limb leads break Goldberger's equations by": residuals.goldberger_mv,
        "a rhythm strip and the short copy of its lead differ by": residuals.repeat_mv,
    }
    blame = "(root mean square): leads may be wrongly named, or columns misplaced"
    return [f"{words} {mv:.2f} mV {blame}" for words, mv in found.items() if mv > limit_mv]


def residual_agreement(residuals: LeadResiduals, signals: NDArray[np.float64]) -> float:
    """1 where leads of one instant miss each other no more than usual, or cannot be compared; falls to 0.

    Args:
        signals: (12, N) mV that the residuals were found in.
    """
    largest = np.nan_to_num([residuals.einthoven_mv, residuals.goldberger_mv, residuals.repeat_mv]).max()
    share = largest / max(limb_size_mv(signals), RESIDUAL_MIN_MV)
    return float(np.exp(-max(0.0, share - RESIDUAL_USUAL)))


def limb_size_mv(signals: NDArray[np.float64]) -> float:
    """Root mean square of the limb leads (12, N) about their medians; 0 where none is read."""
    limb = np.stack([signals[LEADS.index(lead)] for lead in IN_I_AND_II])
    limb = limb[np.isfinite(limb).any(axis=1)]
    if not len(limb):
        return 0.0
    return float(np.sqrt(np.nanmean((limb - np.nanmedian(limb, axis=1, keepdims=True)) ** 2)))


def _combine(
    panels: Iterable[PanelSignal], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(12, n) signals, expected errors and presences; a rhythm strip goes before its short copy."""
    signals, sd = np.full((2, len(LEADS), n), np.nan)
    presence = np.zeros((len(LEADS), n))
    for panel in sorted(panels, key=lambda p: p.rhythm):
        size = min(panel.mv.size, n - panel.first)
        k, place = LEADS.index(panel.lead), slice(panel.first, panel.first + size)
        take = np.isfinite(panel.mv[:size])
        signals[k, place] = np.where(take, panel.mv[:size], signals[k, place])
        sd[k, place] = np.where(take, panel.sd[:size], sd[k, place])
        presence[k, place] = np.where(take, panel.presence[:size], presence[k, place])
    return signals, sd, presence


def _within(row: RowTrace, window: Window) -> RowTrace:
    """A panel's stretch of its row: beyond the edges is another lead, and no part of this one's course."""
    mine = (row.x_mm >= window.start_mm) & (row.x_mm < window.end_mm)
    x_mm, y_mm, sd_mm = row.x_mm[mine], row.y_mm[mine], row.sd_mm[mine]
    return replace(row, x_mm=x_mm, y_mm=y_mm, sd_mm=sd_mm, presence=row.presence[mine])


def _panel_signal(
    row: RowTrace,
    window: Window,
    zero_mm: float,
    start_s: float,
    fs: int,
    speed_mm_s: float,
    gain_mm_mv: float,
) -> PanelSignal:
    """One panel at fs, of its stretch of the row; NaN in gaps."""
    end_s = start_s + (window.end_mm - window.start_mm) / speed_mm_s
    # Samples stand at n / fs of the record; a column need not begin on one.
    first, last = (int(np.ceil(t * fs - 1e-6)) for t in (start_s, end_s))
    at_mm = window.start_mm + (np.arange(first, last) / fs - start_s) * speed_mm_s
    sd_mv = np.nan_to_num(row.sd_mm) / gain_mm_mv
    step_s = (row.x_mm[1] - row.x_mm[0]) / speed_mm_s
    mv = _smooth_where_calm(_settled((zero_mm - row.y_mm) / gain_mm_mv, sd_mv, step_s), step_s)
    if fs * step_s < 1:  # fewer samples than read-outs: no alias
        mv = _smooth(mv, 0.4 / (fs * step_s))
    return PanelSignal(
        window.lead,
        first,
        window.rhythm,
        _interpolate(row.x_mm, mv, at_mm),
        np.interp(at_mm, row.x_mm, sd_mv),
        np.interp(at_mm, row.x_mm, row.presence),
    )


def _settled(mv: NDArray[np.float64], sd_mv: NDArray[np.float64], step_s: float) -> NDArray[np.float64]:
    """A panel's read-outs (n,) whose first and last ones keep to the course of those beside them.

    The stroke's round end, a separator and the lead next door make them the least sure of all. Each keeps
    its place by its expected error, against a course that bends as it does beside them.
    """
    n_end, n_all, n_course = (max(3, round(s / step_s)) for s in (END_S, END_S + BESIDE_S, COURSE_S))
    if mv.size < n_all + n_course:
        return mv
    out = mv.copy()
    second = np.diff(np.eye(n_all), 2, axis=0) / step_s**2
    for way in (1, -1):
        seen, sd = mv[::way], sd_mv[::way]
        y = seen[:n_all]
        if np.isfinite(y).all():
            course = np.diff(seen[n_end : n_end + n_course : COURSE_STEP], 2) / (COURSE_STEP * step_s) ** 2
            course = course[np.isfinite(course)]
            usual = float(np.sqrt(np.mean(course**2))) if course.size else BEND_MV_S2[1]
            bends = second / np.clip(usual, *BEND_MV_S2)
            weight = np.maximum(sd[:n_all], LEAST_SD_MV) ** -2
            settled = np.linalg.solve(np.diag(weight) + bends.T @ bends, weight * y)
            out[::way][:n_end] = settled[:n_end]
    return out


def _smooth_where_calm(mv: NDArray[np.float64], step_s: float) -> NDArray[np.float64]:
    """Read-outs (n,) smoothed by less than a pen's width where the lead hardly bends: what goes is noise."""
    lag = max(2, round(CALM_LAG_S / step_s))
    if mv.size <= 2 * lag:
        return mv
    fine = _smooth(mv, 1.0)
    bend = np.zeros_like(mv)
    bend[lag:-lag] = (fine[2 * lag :] - 2.0 * fine[lag:-lag] + fine[: -2 * lag]) / (lag * step_s) ** 2
    near = np.sqrt(gaussian_filter1d(np.nan_to_num(bend) ** 2, CALM_S / step_s))
    calm = np.exp(-((near / CALM_MV_S2) ** 2))
    return mv + calm * (_smooth(mv, CALM_READOUTS) - mv)


def _smooth(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    finite = np.isfinite(values)
    weight = gaussian_filter1d(finite.astype(float), sigma)
    mean = gaussian_filter1d(np.where(finite, values, 0.0), sigma) / np.maximum(weight, 1e-9)
    return np.where(finite, mean, np.nan)


def _interpolate(
    x: NDArray[np.float64], y: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cubic within runs of finite values, NaN outside them; half a step of grace at their ends."""
    out = np.full(at.size, np.nan)
    step = x[1] - x[0]
    for a, b in runs(np.isfinite(y)):
        if b - a < SPLINE_MIN:
            continue
        inside = (at >= x[a] - step) & (at <= x[b - 1] + step)
        if inside.any():
            out[inside] = CubicSpline(x[a:b], y[a:b])(np.clip(at[inside], x[a], x[b - 1]))
    return out


def _avr_is_inverted(signals: NDArray[np.float64], columns: list[LimbColumn]) -> bool:
    """Whether the trace named aVR runs along (I + II) / 2 instead of against it (Goldberger).

    Where no instant shows these leads together, their usual beats tell (`limb_sums`).
    """
    i, ii, avr, avl = (signals[LEADS.index(name)] for name in ("I", "II", "aVR", "aVL"))
    ii = np.where(np.isfinite(ii), ii, 2 * (i - avl))
    expected = -(i + ii) / 2
    both = np.isfinite(expected) & np.isfinite(avr)
    if both.sum() < 50:
        return avr_is_inverted(columns)
    return bool(np.corrcoef(expected[both], avr[both])[0, 1] < -0.3)


def _status(
    lead: str,
    windows: tuple[Window, ...],
    starts_s: dict[int, float],
    signals: NDArray[np.float64],
    confidence: NDArray[np.float64],
    fs: int,
    speed_mm_s: float,
) -> LeadStatus:
    k = LEADS.index(lead)
    mine = [w for w in windows if w.lead == lead]
    if not mine:
        return LeadStatus(lead, False, "no panel of this lead was found on the page")
    window = max(mine, key=lambda w: w.end_mm - w.start_mm)
    start_s = 0.0 if window.rhythm else starts_s[window.column_index]
    end_s = start_s + (window.end_mm - window.start_mm) / speed_mm_s
    span = slice(round(start_s * fs), round(end_s * fs))
    finite = np.isfinite(signals[k, span])
    share = float(finite.mean()) if finite.size else 0.0
    if share < FOUND_SHARE:
        needed = f"at least {FOUND_SHARE:.0%} is needed"
        return LeadStatus(lead, False, f"only {share:.0%} of the trace could be read; {needed}")
    return LeadStatus(lead, True, None, float(confidence[k, span].mean()), start_s, end_s)
