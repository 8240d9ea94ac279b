"""Rows of traces to 12 x N millivolts: the lead, the time and the zero line of every part of a row.

In: row traces in page millimetres, the panels' windows, paper speed and gain. Out: signals, their
expected error and the status of each lead.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from ecg_hough.elements import RowTrace, TimeBase, Window
from ecg_hough.errors import PageError
from ecg_hough.numeric import runs
from ecg_hough.paper import IN_I_AND_II, LEADS
from ecg_hough.record import LeadStatus
from ecg_hough.signals.lead_fusion import (
    LeadResiduals,
    PanelSignal,
    fuse,
    lead_residuals,
    snr_by_others,
)
from ecg_hough.signals.limb_sums import avr_is_inverted, limb_columns
from ecg_hough.signals.zero_lines import ZeroLines, zero_lines
from ecg_hough.traces.contested import STRAY_MM

log = logging.getLogger(__name__)

# Tuned on own renders and the development pages.
FOUND_SHARE = 0.2
"""Share of a lead's window that must be read for the lead to be found."""
RESIDUAL_SHARE, RESIDUAL_MIN_MV = 0.6, 0.04
"""Residual of the limb leads' equations, as a share of their root mean square, above which a warning is
given, and residual in mV below which none is. Of 24 own renders of all layouts and 17 development pages 4 are
above it, of -1.5 to 9.6 dB. Of the 28 with limb leads and more than 10 dB, none; 25 each when I and II, or II
and III, are exchanged on them."""
RESIDUAL_USUAL = 0.1
"""Residual, as such a share, of most pages that are read correctly: above it the page's quality falls. On
those 41 pages the rank correlation of quality and Challenge SNR is 0.23 without that and 0.66 with it."""
END_S, NEAR_END_S = 0.014, 0.012
"""Uncertain ends of panels, and the stretch next to them that is fitted with them."""
COURSE_S, COURSE_STEP = 0.040, 2
"""Stretch beyond the end from which the lead's curvature is measured, and the step in read-outs."""
HIDDEN_SHARE, PEN_MM = 0.05, 0.35
"""Share of the difference between a wave and its average over a pen's width by which it is read too low, and
the width of a pen that is not known. On rendered pages with recorded ECGs gains are 0.985 to 0.996 without it
and 0.990 to 0.999 with it; the SNR is highest at 0.05 (kit, photos, vendors, layouts) to 0.10 (plots)."""
BEND_MV_S2, LEAST_SD_MV = (0.001 / 0.002**2, 0.02 / 0.002**2), 0.005
"""Least and greatest second derivative (root mean square) that a lead may have there, and least error of a
read-out."""
CALM_MV_S2, CALM_S, CALM_LAG_S = 0.001 / 0.002**2, 0.012, 0.004
"""Second derivative below which a lead is calm, averaged over this time, and the lag over which it is
measured. Flutter waves stay below it, QRS complexes and muscle noise do not."""
CALM_READOUTS = 1.5
"""Standard deviation of the smoothing of calm leads, in read-outs: 0.09 mm of paper, less than a pen's
width."""
SPLINE_MIN = 4
"""Fewest read-outs for a cubic spline."""
EDGE_MM, STEP_SLACK, EVEN_STEPS = 0.005, 0.05, 0.05
"""Of a document's paths: vertices this near to a panel's edge are on it; samples this near to a vertex, in
steps, are on it; steps that differ by less, as a share, are even."""
UNSURE = 0.5
"""Probability that ink is another row's from which it is left out."""
WAVE_S = 0.02
"""Shortest wave of a beat: where less is left out, nobody has to look."""
STRAY_LEAST_MV = 0.1
"""Error by other rows' ink up to which a rhythm strip is as good as its short copy."""
FUSE_SD_MV = 0.05
"""Expected error of the read-out at which the confidence has fallen to 1/e."""
ZERO_SD_MV, START_SD_S = 0.03, 0.0045
"""Expected error of the zero line and of the block's start: absolute millivolts at absolute times are less
certain than the trace itself."""
ZERO_ON_GRID_SD_MV, START_ON_GRID_SD_S = 0.004, 0.0004
"""The same where they are on lines of the grid."""
NOT_MOVED: Mapping[tuple[int, int], float] = MappingProxyType({})
"""Zero lines where they are found."""


@dataclass(frozen=True)
class Calibrated:
    """Signals, their errors and their statuses.

    Attributes:
        signals, sd_mv, confidence: (12, N) at fs, Hz; NaN, NaN and 0 where a lead was not found or not read.
        statuses: one a lead; windows: panels at their columns' common edges.
        duration_s: of the printed block.
        residuals: of leads of the same instant as read, before they were made to agree.
        leads_agree: see `lead_fusion.Fused`; warnings, notes: sentences.
        agreement: 0..1, factor of the page's quality by its residuals.
        zeros_mm: by row and column of a panel, its zero line, mm down the page.
        by_others: see `lead_fusion.snr_by_others`.
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
    notes: tuple[str, ...] = ()
    zeros_mm: dict[tuple[int, int], float] = field(default_factory=dict)
    by_others: dict[str, float] = field(default_factory=dict)

    @property
    def quality(self) -> float:
        """0 to 1: mean confidence of the leads that were found, less where leads of one instant disagree."""
        surest = [status.confidence for status in self.statuses if status.found]
        return float(np.mean(surest)) * self.agreement if surest else 0.0


def calibrate(
    rows: tuple[RowTrace, ...],
    base: TimeBase,
    *,
    fs: int,
    fused_leads: bool = True,
    zeros_moved_mm: Mapping[tuple[int, int], float] = NOT_MOVED,
) -> Calibrated:
    """Signals of all leads at their own column's time.

    Args:
        rows: traces in page millimetres; base: panels at their columns' edges, and the scale.
        fs: Hz of the signals.
        fused_leads: limb leads and repeated leads are made to agree; else only their residuals are found.
        zeros_moved_mm: by row and column of a panel, how far down the page its zero line is from where it is
            found.
    Raises:
        PageError: nothing could be read.
    """
    columns = base.columns
    n = round(columns.duration_s * fs)
    zero, zeros_mm = _zero_lines(rows, base, zeros_moved_mm)
    panels = _panel_signals(rows, base, zero, fs, zeros_mm)
    signals = _combine(panels, n).mv
    if not np.isfinite(signals).any():
        raise PageError("calibration", "at least one lead must be readable; none of the found rows is")
    notes: tuple[str, ...] = ()
    if _avr_is_inverted(rows, base, signals):
        panels = [replace(p, mv=-p.mv) if p.lead == "aVR" else p for p in panels]
        signals[LEADS.index("aVR")] *= -1
        notes = ("aVR: printed inverted (-aVR, Cabrera); its sign was corrected",)
    residuals = lead_residuals(signals, tuple(panels))
    warnings = residual_warnings(residuals, signals)
    agreement = residual_agreement(residuals, signals)
    by_others = snr_by_others(tuple(panels))
    fused = fuse(tuple(panels), fs)
    drawn = any(row.drawn for row in rows)
    # The samples of a document's paths are what the cart stored: nothing makes them more alike.
    combined = _combine(fused.panels if fused_leads and not drawn else panels, n)
    signals, lost_waves, lost_bits = _without_unsure(combined, base, fs)
    warnings += lost_waves
    notes += lost_bits
    sd, presence = combined.sd, combined.presence * (1.0 - _stray_mm(combined, base) ** 2 / STRAY_MM**2)
    confidence = np.nan_to_num(np.where(np.isfinite(signals), presence * np.exp(-sd / FUSE_SD_MV), 0.0))
    if not drawn:
        sd = _with_absolute_errors(sd, signals, fs, zero_on_grid=zero.on_grid, start_on_grid=columns.on_grid)
    statuses = tuple(_status(lead, base, signals, confidence, fs) for lead in LEADS)
    missing = [not status.found for status in statuses]
    signals[missing], sd[missing], confidence[missing] = np.nan, np.nan, 0.0
    log.info(
        "signals: %d of %d leads; residuals in mV: Einthoven %.3f, Goldberger %.3f, repeats %.3f; within the"
        " expected errors: %s",
        len(LEADS) - sum(missing), len(LEADS),
        residuals.einthoven_mv, residuals.goldberger_mv, residuals.repeat_mv, fused.agree,
    )  # fmt: skip
    return Calibrated(
        signals=signals,
        fs=fs,
        sd_mv=sd,
        confidence=confidence,
        statuses=statuses,
        windows=columns.windows,
        duration_s=columns.duration_s,
        residuals=residuals,
        leads_agree=fused.agree,
        warnings=tuple(warnings),
        agreement=agreement,
        notes=notes,
        zeros_mm=zeros_mm,
        by_others=by_others,
    )


def _zero_lines(
    rows: tuple[RowTrace, ...], base: TimeBase, moved_mm: Mapping[tuple[int, int], float]
) -> tuple[ZeroLines, dict[tuple[int, int], float]]:
    """Zero lines of the rows, and those of their panels by row and column, mm down the page."""
    zero = zero_lines(
        rows,
        base.columns.windows,
        speed_mm_s=base.mm_per_s,
        gain_mm_mv=base.mm_per_mv,
        pulse=base.pulse,
        lines=base.lines,
        names_mm=base.names_mm,
        simultaneous=base.simultaneous,
    )
    places = [(w.row_index, w.column_index) for w in base.columns.windows if w.row_index in zero.mm]
    return zero, {place: zero.mm[place[0]] + moved_mm.get(place, 0.0) for place in places}


def _start_s(window: Window, base: TimeBase) -> float:
    """Start of a panel in the record, s."""
    return 0.0 if window.rhythm or base.simultaneous else base.columns.starts_s[window.column_index]


def _with_absolute_errors(
    sd_mv: NDArray[np.float64],
    signals: NDArray[np.float64],
    fs: int,
    *,
    zero_on_grid: bool,
    start_on_grid: bool,
) -> NDArray[np.float64]:
    """(12, N) expected errors of the read-out with those of the zero line and of the start of the block,
    mV."""
    slope = np.abs(np.gradient(np.nan_to_num(signals), axis=1)) * fs
    zero_sd = ZERO_ON_GRID_SD_MV if zero_on_grid else ZERO_SD_MV
    start_sd = START_ON_GRID_SD_S if start_on_grid else START_SD_S
    return np.where(np.isfinite(signals), np.sqrt(sd_mv**2 + zero_sd**2 + (start_sd * slope) ** 2), np.nan)


def _panel_signals(
    rows: tuple[RowTrace, ...],
    base: TimeBase,
    zero: ZeroLines,
    fs: int,
    zeros_mm: Mapping[tuple[int, int], float],
) -> list[PanelSignal]:
    """Every panel at fs whose row has a zero line."""
    by_row = {row.row_index: row for row in rows}
    n = round(base.columns.duration_s * fs)
    panels = []
    for window in base.columns.windows:
        if window.row_index in zero.mm:
            start_s = _start_s(window, base)
            zero_mm = zeros_mm[window.row_index, window.column_index]
            if by_row[window.row_index].drawn:
                sd_mm = zero.sd_mm[window.row_index]
                panels.append(
                    _drawn_panel(by_row[window.row_index], window, zero_mm, sd_mm, base=base, fs=fs)
                )
                continue
            row = _within(by_row[window.row_index], window)
            # Where the layout is unknown, a stray mark far from the block may be taken for a panel.
            if start_s * fs < n and row.x_mm.size >= SPLINE_MIN:
                panels.append(_panel_signal(row, window, zero_mm, base, fs))
            else:
                log.debug(
                    "panel rejected: %s in row %d, %.1f to %.1f mm, has too few samples or begins after the"
                    " record's end",
                    window.lead, window.row_index, window.start_mm, window.end_mm,
                )  # fmt: skip
    return panels


def residual_warnings(residuals: LeadResiduals, signals: NDArray[np.float64]) -> list[str]:
    """Sentences about residuals that are large relative to the leads.

    Args:
        signals: (12, N) mV that the residuals were found in.
    """
    limit_mv = max(RESIDUAL_SHARE * limb_size_mv(signals), RESIDUAL_MIN_MV)
    found = {
        "the limb leads break Einthoven's equation by": residuals.einthoven_mv,
        "the limb leads break Goldberger's equations by": residuals.goldberger_mv,
        "a rhythm strip and the short copy of its lead differ by": residuals.repeat_mv,
    }
    cause = f"(root mean square, limit {limit_mv:.2f}): leads may be wrongly named, or columns misplaced"
    return [f"signals: {words} {mv:.2f} mV {cause}" for words, mv in found.items() if mv > limit_mv]


def residual_agreement(residuals: LeadResiduals, signals: NDArray[np.float64]) -> float:
    """1 where residuals are no larger than usual, or cannot be measured; it falls to 0 with them.

    Args:
        signals: (12, N) mV that the residuals were found in.
    """
    largest = np.nan_to_num([residuals.einthoven_mv, residuals.goldberger_mv, residuals.repeat_mv]).max()
    share = largest / max(limb_size_mv(signals), RESIDUAL_MIN_MV)
    return float(np.exp(-max(0.0, share - RESIDUAL_USUAL)))


def limb_size_mv(signals: NDArray[np.float64]) -> float:
    """Root mean square of the limb leads of (12, N) mV about their medians; 0 where none is read."""
    limb = np.stack([signals[LEADS.index(lead)] for lead in IN_I_AND_II])
    limb = limb[np.isfinite(limb).any(axis=1)]
    if not len(limb):
        return 0.0
    return float(np.sqrt(np.nanmean((limb - np.nanmedian(limb, axis=1, keepdims=True)) ** 2)))


class _Combined(NamedTuple):
    """(12, n) signals, expected errors of the read-out, presences, and errors by other rows' ink; mV."""

    mv: NDArray[np.float64]
    sd: NDArray[np.float64]
    presence: NDArray[np.float64]
    stray: NDArray[np.float64]


def _combine(panels: Iterable[PanelSignal], n: int) -> _Combined:
    """Panels on the record's time axis. A rhythm strip is preferred to its short copy, but where its ink is
    rather another row's than the copy's is."""
    out = _Combined(*np.full((2, len(LEADS), n), np.nan), *np.zeros((2, len(LEADS), n)))
    for panel in sorted(panels, key=lambda p: p.rhythm):
        size = min(panel.mv.size, n - panel.first)
        k, place = LEADS.index(panel.lead), slice(panel.first, panel.first + size)
        stray = np.zeros(size) if panel.stray is None else panel.stray[:size]
        before = out.mv[k, place]
        cleaner = stray <= np.maximum(out.stray[k, place], STRAY_LEAST_MV)
        take = np.isfinite(panel.mv[:size]) & (cleaner | ~np.isfinite(before))
        for mine, new in zip(out, (panel.mv, panel.sd, panel.presence, stray), strict=True):
            mine[k, place] = np.where(take, new[:size], mine[k, place])
    return out


def _stray_mm(combined: _Combined, base: TimeBase) -> NDArray[np.float64]:
    """(12, n) expected errors by other rows' ink, mm of paper."""
    return combined.stray * np.array([[base.mm_per_mv_of(lead)] for lead in LEADS])


def _without_unsure(
    combined: _Combined, base: TimeBase, fs: int
) -> tuple[NDArray[np.float64], tuple[str, ...], tuple[str, ...]]:
    """(12, n) signals, NaN where the ink is as likely another row's, with warnings and notes of what was left
    out of which leads."""
    unsure = np.isfinite(combined.mv) & (_stray_mm(combined, base) > STRAY_MM * np.sqrt(UNSURE))
    printed = np.isfinite(combined.mv).sum(axis=1)
    sentences = []
    for a_wave in (True, False):
        named = [
            f"{lead} {unsure[k].sum() / printed[k]:.1%}"
            for k, lead in enumerate(LEADS)
            if unsure[k].any() and (unsure[k].sum() >= WAVE_S * fs) == a_wave
        ]
        told = f"signals: where rows cross it cannot be told whose ink it is; left out of {', '.join(named)}"
        sentences.append((told,) if named else ())
    return np.where(unsure, np.nan, combined.mv), sentences[0], sentences[1]


def _within(row: RowTrace, window: Window) -> RowTrace:
    """A panel's stretch of its row, without the neighbouring leads."""
    mine = (row.x_mm >= window.start_mm) & (row.x_mm < window.end_mm)
    x_mm, y_mm, sd_mm = row.x_mm[mine], row.y_mm[mine], row.sd_mm[mine]
    wrong = None if row.wrong is None else row.wrong[mine]
    return replace(row, x_mm=x_mm, y_mm=y_mm, sd_mm=sd_mm, presence=row.presence[mine], wrong=wrong)


def _panel_signal(row: RowTrace, window: Window, zero_mm: float, base: TimeBase, fs: int) -> PanelSignal:
    """One panel at fs, of its stretch of the row; NaN in gaps."""
    start_s, mm_per_s, mm_per_mv = _start_s(window, base), base.mm_per_s, base.mm_per_mv_of(window.lead)
    end_s = start_s + (window.end_mm - window.start_mm) / mm_per_s
    # Samples are at n / fs of the record; a column need not begin on one.
    first, last = (int(np.ceil(t * fs - 1e-6)) for t in (start_s, end_s))
    at_mm = window.start_mm + (np.arange(first, last) / fs - start_s) * mm_per_s
    sd_mv = np.nan_to_num(row.sd_mm) / mm_per_mv
    step_s = (row.x_mm[1] - row.x_mm[0]) / mm_per_s
    mv = _smooth_where_calm(_settled((zero_mm - row.y_mm) / mm_per_mv, sd_mv, step_s), step_s)
    mv = _as_narrow(mv, (row.pen_mm if np.isfinite(row.pen_mm) else PEN_MM) / (step_s * mm_per_s))
    if fs * step_s < 1:  # fewer samples than read-outs: no alias
        mv = _smooth(mv, 0.4 / (fs * step_s))
    stray = None
    if row.wrong is not None:
        stray = STRAY_MM / mm_per_mv * np.sqrt(np.interp(at_mm, row.x_mm, row.wrong))
    return PanelSignal(
        window.lead,
        first,
        window.rhythm,
        _interpolate(row.x_mm, mv, at_mm),
        np.interp(at_mm, row.x_mm, sd_mv),
        np.interp(at_mm, row.x_mm, row.presence),
        stray,
    )


def _drawn_panel(
    row: RowTrace, window: Window, zero_mm: float, zero_sd_mm: float, *, base: TimeBase, fs: int
) -> PanelSignal:
    """One panel at fs, of the vertices of its path: even ones are samples, between which a cubic spline runs;
    of others a program left out those on straight lines. NaN where the page shows nothing."""
    start_s = _start_s(window, base)
    path = max(row.drawn, key=lambda p: min(p[-1, 0], window.end_mm) - max(p[0, 0], window.start_mm))
    mine = (path[:, 0] >= window.start_mm - EDGE_MM) & (path[:, 0] < window.end_mm - EDGE_MM)
    at_s = start_s + (path[mine, 0] - window.start_mm) / base.mm_per_s
    mm_per_mv = base.mm_per_mv_of(window.lead)
    mv = (zero_mm - path[mine, 1]) / mm_per_mv
    # Several vertices at one place: an upright stroke, which a line between its ends stands for.
    at_s, first = np.unique(at_s, return_index=True)
    mv = mv[first]
    first_n = int(np.ceil(at_s[0] * fs - STEP_SLACK))
    n = np.arange(first_n, int(np.floor(at_s[-1] * fs + STEP_SLACK)) + 1)
    steps = np.diff(at_s)
    even = bool(np.ptp(steps) < EVEN_STEPS * np.median(steps))
    if even and fs * np.median(steps) < 1 - EVEN_STEPS:  # fewer samples than vertices: no alias
        mv = _smooth(mv, 0.4 / (fs * float(np.median(steps))))
    at = np.clip(n / fs, at_s[0], at_s[-1])
    out = CubicSpline(at_s, mv)(at) if even and mv.size >= SPLINE_MIN else np.interp(at, at_s, mv)
    known = np.isfinite(row.sd_mm)
    at_mm = window.start_mm + (at - start_s) * base.mm_per_s
    sd = np.hypot(np.interp(at_mm, row.x_mm[known], row.sd_mm[known]), zero_sd_mm) / mm_per_mv
    return PanelSignal(window.lead, first_n, window.rhythm, out, sd, np.ones(n.size))


def _settled(mv: NDArray[np.float64], sd_mv: NDArray[np.float64], step_s: float) -> NDArray[np.float64]:
    """A panel's read-outs (n,) whose first and last ones are fitted to the course of their neighbours.

    The stroke's round end, a separator and the neighbouring lead make them the least certain of all. Each is
    held at its place by its expected error, and the course has the curvature that is measured next to it.
    """
    n_end, n_all, n_course = (max(3, round(s / step_s)) for s in (END_S, END_S + NEAR_END_S, COURSE_S))
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
    """Read-outs (n,), smoothed by less than a pen's width where the lead is nearly straight, to remove
    noise."""
    lag = max(2, round(CALM_LAG_S / step_s))
    if mv.size <= 2 * lag:
        return mv
    fine = _smooth(mv, 1.0)
    bend = np.zeros_like(mv)
    bend[lag:-lag] = (fine[2 * lag :] - 2.0 * fine[lag:-lag] + fine[: -2 * lag]) / (lag * step_s) ** 2
    near = np.sqrt(gaussian_filter1d(np.nan_to_num(bend) ** 2, CALM_S / step_s))
    calm = np.exp(-((near / CALM_MV_S2) ** 2))
    return mv + calm * (_smooth(mv, CALM_READOUTS) - mv)


def _as_narrow(mv: NDArray[np.float64], pen: float) -> NDArray[np.float64]:
    """Read-outs (n,) whose narrow waves get back what a pen hides of them.

    Args:
        pen: its width in read-outs.
    """
    return mv + HIDDEN_SHARE * (mv - _smooth(mv, 0.5 * pen))


def _smooth(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    finite = np.isfinite(values)
    weight = gaussian_filter1d(finite.astype(float), sigma)
    mean = gaussian_filter1d(np.where(finite, values, 0.0), sigma) / np.maximum(weight, 1e-9)
    return np.where(finite, mean, np.nan)


def _interpolate(
    x: NDArray[np.float64], y: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cubic splines through runs of finite values, NaN outside them; their ends are held for one step."""
    out = np.full(at.size, np.nan)
    step = x[1] - x[0]
    for a, b in runs(np.isfinite(y)):
        if b - a < SPLINE_MIN:
            continue
        inside = (at >= x[a] - step) & (at <= x[b - 1] + step)
        if inside.any():
            out[inside] = CubicSpline(x[a:b], y[a:b])(np.clip(at[inside], x[a], x[b - 1]))
    return out


def _avr_is_inverted(rows: tuple[RowTrace, ...], base: TimeBase, signals: NDArray[np.float64]) -> bool:
    """Whether a Cabrera page's aVR follows (I + II) / 2 instead of opposing it (Goldberger).

    Where these leads are never shown at the same instant, their usual beats decide (`limb_sums`).
    """
    if base.layout is None or not base.layout.cabrera:
        return False
    columns = limb_columns({row.row_index: row for row in rows}, base.columns.windows, base.layout)
    if not columns:
        return False
    i, ii, avr, avl = (signals[LEADS.index(name)] for name in ("I", "II", "aVR", "aVL"))
    ii = np.where(np.isfinite(ii), ii, 2 * (i - avl))
    expected = -(i + ii) / 2
    both = np.isfinite(expected) & np.isfinite(avr)
    if both.sum() < 50:
        return avr_is_inverted(columns)
    return bool(np.corrcoef(expected[both], avr[both])[0, 1] < -0.3)


def _status(
    lead: str, base: TimeBase, signals: NDArray[np.float64], confidence: NDArray[np.float64], fs: int
) -> LeadStatus:
    k = LEADS.index(lead)
    mine = [w for w in base.columns.windows if w.lead == lead]
    if not mine:
        return LeadStatus(lead, False, "no panel of this lead was found on the page")
    window = max(mine, key=lambda w: w.end_mm - w.start_mm)
    start_s = _start_s(window, base)
    end_s = start_s + (window.end_mm - window.start_mm) / base.mm_per_s
    span = slice(round(start_s * fs), round(end_s * fs))
    finite = np.isfinite(signals[k, span])
    share = float(finite.mean()) if finite.size else 0.0
    if share < FOUND_SHARE:
        needed = f"at least {FOUND_SHARE:.0%} is needed"
        return LeadStatus(lead, False, f"only {share:.0%} of the trace could be read; {needed}")
    return LeadStatus(lead, True, None, float(confidence[k, span].mean()), start_s, end_s)
