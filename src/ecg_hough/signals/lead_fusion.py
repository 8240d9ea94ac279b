"""Leads printed more than once, and leads that are sums of others, made to agree.

In: every panel's signal and expected error. Out: the same panels, each moved within its error towards the
joint estimate. The six limb leads are two signals (Einthoven 1912; Goldberger 1942), and a rhythm strip
repeats a short lead: wherever more panels are read than there are signals, weighted least squares removes the
error that they do not share. Levels are unchanged: zero lines are found elsewhere. Carts that filter every
lead separately break the sums; there nothing is moved. The residuals of the leads as read are measured, too,
for the record.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from ecg_hough.paper import IN_I_AND_II, LEADS

log = logging.getLogger(__name__)

TIMING_S = 0.0004
"""Timing error between two rows, which becomes an error in millivolts at steep flanks."""
MOVED_MAX_SD = 3.0
"""Largest change of a sample, in expected errors."""
DISAGREE_MAX = 0.7
"""Median disagreement, in expected errors, above which the sums do not hold and nothing is moved. On the
development pages it is 0.25 to 0.6 where they were drawn from true sums, 0.4 to 3.4 where every lead was
filtered separately."""
LEVEL_ROUNDS = 10
"""Iterations that find the panels' levels; after six a tenth of an expected error remains."""
CLEAN = 1.5
"""Expected error in all over that of the read-out, up to which a panel's ink is its own."""
STRETCH_S = 0.02
"""Whose ink it is, is decided over this time: errors of neighbouring read-outs are one."""
LEVERAGE_MAX = 0.98
"""Share of its own value in a panel's fit, from which the others say nothing of it."""
SAMPLES_MIN = 100
"""Fewest redundant samples for a page's disagreement to be measured."""
MAD_OF_NORMAL = 0.6745
"""Median absolute value of a normal distribution of standard deviation 1."""


@dataclass(frozen=True)
class PanelSignal:
    """One panel on the record's time axis.

    Attributes:
        lead: name; first: its first sample in the record; rhythm: a rhythm strip.
        mv, sd: (n,) signal and expected error of the read-out, mV, NaN in gaps; presence: (n,) 0 to 1.
        stray: (n,) expected error by ink that may be another row's, mV; None where no row shares ink.
    """

    lead: str
    first: int
    rhythm: bool
    mv: NDArray[np.float64]
    sd: NDArray[np.float64]
    presence: NDArray[np.float64]
    stray: NDArray[np.float64] | None = None

    @property
    def error(self) -> NDArray[np.float64]:
        """(n,) expected error in all, mV."""
        return self.sd if self.stray is None else np.hypot(self.sd, self.stray)


@dataclass(frozen=True)
class Fused:
    """Panels after the fusion.

    Attributes:
        panels: as given, moved.
        agree: whether all panels that can be compared agree within their errors, and so were moved; None
            where none can be compared.
    """

    panels: tuple[PanelSignal, ...]
    agree: bool | None


@dataclass(frozen=True)
class LeadResiduals:
    """Residuals of leads of the same instant, root mean square in mV; NaN where they cannot be measured.

    Levels (medians) are subtracted: zero lines are found elsewhere.

    Attributes:
        einthoven_mv: of I + III - II.
        goldberger_mv: of aVR + (I + II) / 2, aVL - (I - III) / 2, aVF - (II + III) / 2 and aVR + aVL + aVF
            together, of those that can be formed.
        repeat_mv: of a rhythm strip minus the short copy of its lead.
    """

    einthoven_mv: float
    goldberger_mv: float
    repeat_mv: float


def fuse(panels: tuple[PanelSignal, ...], fs: float) -> Fused:
    """Make panels that show the same signals agree.

    Args:
        panels: all of a page; fs: Hz.
    """
    out = list(panels)
    agree: bool | None = None
    for name, group in _redundant(panels).items():
        sums = np.array([IN_I_AND_II.get(panels[k].lead, (1.0,)) for k in group])
        moved, times = _agree([panels[k] for k in group], sums, fs)
        log.debug(
            "fusion of %s: they disagree by %.2f of their expected errors, limit %g; %s",
            name, times, DISAGREE_MAX, "not fused" if times > DISAGREE_MAX else "fused",
        )  # fmt: skip
        if times > DISAGREE_MAX:
            agree = False
            continue
        if np.isfinite(times):
            agree = agree is not False
        for k, panel in zip(group, moved, strict=True):
            out[k] = panel
    return Fused(tuple(out), agree)


def _redundant(panels: tuple[PanelSignal, ...]) -> dict[str, list[int]]:
    """Indices of panels that show the same signals: all limb leads, and each chest lead that is repeated."""
    groups: dict[str, list[int]] = {"limb leads": []}
    for k, panel in enumerate(panels):
        groups.setdefault("limb leads" if panel.lead in IN_I_AND_II else panel.lead, []).append(k)
    return {name: group for name, group in groups.items() if len(group) > 1}


def lead_residuals(signals: NDArray[np.float64], panels: tuple[PanelSignal, ...]) -> LeadResiduals:
    """Residuals of Einthoven's and Goldberger's equations and of repeated leads.

    Args:
        signals: (12, N) mV on the record's time axis, before the fusion, which reduces them.
        panels: the same, panel by panel.
    """
    one, two, three, avr, avl, avf = (signals[LEADS.index(lead)] for lead in IN_I_AND_II)
    goldberger = [
        avr + (one + two) / 2, avl - (one - three) / 2, avf - (two + three) / 2, avr + avl + avf
    ]  # fmt: skip
    strips = {p.lead: p for p in panels if p.rhythm}
    repeats = [_difference(p, strips[p.lead]) for p in panels if not p.rhythm and p.lead in strips]
    return LeadResiduals(_rms([one + three - two]), _rms(goldberger), _rms(repeats))


def _difference(short: PanelSignal, strip: PanelSignal) -> NDArray[np.float64]:
    """(n,) mV between the two where both are read."""
    first = max(short.first, strip.first)
    last = min(short.first + short.mv.size, strip.first + strip.mv.size)
    a, b = (p.mv[first - p.first : max(first, last) - p.first] for p in (short, strip))
    return a - b


def snr_by_others(panels: tuple[PanelSignal, ...]) -> dict[str, float]:
    """How well the other panels foretell a lead: log10 of its variance over that of its difference from what
    they say; without leads of which they say nothing.

    Every panel is left out in turn of the least squares fit of the signals that its group shows; its residual
    there is the one of the fit over one minus its leverage (Cook and Weisberg 1982, section 2.2).

    Args:
        panels: all of a page, before the fusion.
    """
    out = {}
    for group in _redundant(panels).values():
        mine = [panels[k] for k in group]
        sums = np.array([IN_I_AND_II.get(p.lead, (1.0,)) for p in mine])
        mv = np.full((len(mine), max(p.first + p.mv.size for p in mine)), np.nan)
        for row, p in zip(mv, mine, strict=True):
            row[p.first : p.first + p.mv.size] = p.mv
        weight, normal, known = _normal(mv, np.ones_like(mv), sums)
        residual = _residuals_without_levels(mv, weight, sums, normal, known)
        leverage = np.ones_like(mv)
        leverage[:, known] = np.einsum("ki,nij,kj->kn", sums, np.linalg.inv(normal[known]), sums)
        foretold = (weight > 0) & (leverage < LEVERAGE_MAX)
        alone = np.where(foretold, residual / (1.0 - np.minimum(leverage, LEVERAGE_MAX)), np.nan)
        for lead in {p.lead for p in mine}:
            copies = [k for k, p in enumerate(mine) if p.lead == lead]
            off, values = alone[copies].ravel(), mv[copies].ravel()
            seen = np.isfinite(off)
            if seen.sum() >= SAMPLES_MIN:
                out[lead] = float(np.log10((np.var(values[seen]) + 1e-6) / (np.mean(off[seen] ** 2) + 1e-6)))
    return out


def _rms(residuals: list[NDArray[np.float64]]) -> float:
    """Joint root mean square, each without its median; NaN where too few samples are known."""
    known = [r[np.isfinite(r)] for r in residuals]
    known = [r - np.median(r) for r in known if r.size >= SAMPLES_MIN]
    return float(np.sqrt(np.mean(np.concatenate(known) ** 2))) if known else float("nan")


def _agree(
    panels: list[PanelSignal], sums: NDArray[np.float64], fs: float
) -> tuple[list[PanelSignal], float]:
    """Panels after weighted least squares, and their disagreement in expected errors; NaN if it is not known.

    Args:
        sums: (panels, signals) every panel as a sum of the independent signals.
    """
    n = max(p.first + p.mv.size for p in panels)
    mv, own, error = np.full((3, len(panels), n), np.nan)
    for k, p in enumerate(panels):
        place = slice(p.first, p.first + p.mv.size)
        timing = TIMING_S * fs * np.abs(np.gradient(np.nan_to_num(p.mv)))
        mv[k, place], own[k, place], error[k, place] = p.mv, np.hypot(p.sd, timing), np.hypot(p.error, timing)
    astray = _is_stray(mv, own, error, sums, fs)
    sd = np.where(astray, error, own)
    weight, normal, known = _normal(mv, sd, sums)
    if known.sum() < SAMPLES_MIN:
        return panels, float("nan")
    residual = _residuals_without_levels(mv, weight, sums, normal, known)
    spread = np.linalg.inv(normal[known])
    # Variance of the fit; a panel may be moved by the remaining part of its variance.
    fitted_var = np.full_like(mv, np.nan)
    fitted_var[:, known] = np.einsum("ki,nij,kj->kn", sums, spread, sums)
    expected = np.sqrt(np.maximum(sd**2 - fitted_var, 1e-10))
    ratio = np.abs(residual[:, known]) / np.maximum(expected[:, known], 1e-4)
    out = []
    for k, p in enumerate(panels):
        place = slice(p.first, p.first + p.mv.size)
        move = np.nan_to_num(residual[k, place])
        most = MOVED_MAX_SD * np.nan_to_num(sd[k, place])
        after = np.fmin(p.sd, np.sqrt(fitted_var[k, place]))
        left = None if p.stray is None else np.where(astray[place], 0.0, p.stray)
        out.append(replace(p, mv=p.mv - np.clip(move, -most, most), sd=after, stray=left))
    return out, float(np.nanmedian(ratio)) / MAD_OF_NORMAL


def _is_stray(
    mv: NDArray[np.float64],
    own: NDArray[np.float64],
    error: NDArray[np.float64],
    sums: NDArray[np.float64],
    fs: float,
) -> NDArray[np.bool_]:
    """(n,) where panels in doubt do show another row's ink, for the others contradict them.

    Ink that may be another row's is in large error or in none. It is, where the sums are so much likelier
    with large errors that their width is paid for, and panels without doubt fix the signals by themselves.

    Args:
        own, error: (panels, n) expected errors without and with other rows' ink.
    """
    doubt = error > CLEAN * own
    if not doubt.any():
        return np.zeros(mv.shape[1], bool)
    fixed = (np.isfinite(own) & ~doubt).sum(axis=0) >= sums.shape[1]
    without, with_errors = (_log_likelihood(mv, sd, sums) for sd in (own, error))
    ratio = uniform_filter1d(with_errors - without, max(1, round(STRETCH_S * fs)))
    return doubt.any(axis=0) & fixed & (ratio > 0.0)


def _log_likelihood(
    mv: NDArray[np.float64], sd: NDArray[np.float64], sums: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) of the panels' residuals; 0 where they are not known."""
    weight, normal, known = _normal(mv, sd, sums)
    residual = _residuals_without_levels(mv, weight, sums, normal, known)
    each = -0.5 * residual**2 * weight - np.log(np.where(weight > 0, sd, 1.0))
    return np.asarray(np.where(known, np.nan_to_num(each).sum(axis=0), 0.0))


def _normal(
    mv: NDArray[np.float64], sd: NDArray[np.float64], sums: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """(panels, n) weights, (n, signals, signals) normal matrices, and (n,) where more panels are read than
    there are signals."""
    weight = np.where(np.isfinite(mv) & np.isfinite(sd), 1.0 / np.maximum(sd, 1e-4) ** 2, 0.0)
    normal = np.einsum("ki,kj,kn->nij", sums, sums, weight)
    return weight, normal, _is_regular(normal) & ((weight > 0).sum(axis=0) > sums.shape[1])


def _residuals_without_levels(
    mv: NDArray[np.float64],
    weight: NDArray[np.float64],
    sums: NDArray[np.float64],
    normal: NDArray[np.float64],
    known: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """`_residuals` after each panel's own offset, which must not spread to the others, is subtracted."""
    level = np.zeros(len(mv))
    for _ in range(LEVEL_ROUNDS):
        residual = _residuals(mv - level[:, None], weight, sums, normal, known)
        step = np.array([np.nanmedian(row) if np.isfinite(row).any() else 0.0 for row in residual])
        level += step
        if np.abs(step).max() < 1e-4:
            break
    return _residuals(mv - level[:, None], weight, sums, normal, known)


def _is_regular(normal: NDArray[np.float64]) -> NDArray[np.bool_]:
    scale = np.trace(normal, axis1=1, axis2=2)
    return np.linalg.det(normal / np.maximum(scale, 1e-12)[:, None, None]) > 1e-9


def _residuals(
    mv: NDArray[np.float64],
    weight: NDArray[np.float64],
    sums: NDArray[np.float64],
    normal: NDArray[np.float64],
    known: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """(panels, n) mV above the joint estimate; NaN where that is not known."""
    right = np.einsum("ki,kn->ni", sums, weight * np.nan_to_num(mv))
    estimate = np.linalg.solve(normal[known], right[known][..., None])[..., 0]
    out = np.full_like(mv, np.nan)
    out[:, known] = mv[:, known] - sums @ estimate.T
    return out
