"""Features of a digitised ECG for the Challenge's classification: leads in mV enter, named numbers leave.

Beats, intervals and amplitudes are those of `ecg_lab.fidelity`; added are rhythm, beat shapes, Q and T
waves, the electrical axis and two voltage criteria. What cannot be measured is NaN, which the model can take.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from ecg_hough.paper import LEADS
from ecg_lab.fidelity import AMPLITUDES, INTERVALS, RHYTHM_LEAD, Beats, find_beats, measure

PREMATURE = 0.85
"""A beat after less than this share of the median RR is premature (a free choice)."""
PAUSE = 1.15
"""A longer RR than this share of the median is a pause (a free choice)."""
ALIKE_R = 0.85
"""Correlation with the median beat below which a beat is of another shape (a free choice)."""
BEAT_S = (0.10, 0.20)
"""Stretch before and after an R peak whose shape is compared."""
BASELINE_S = 0.04
T_FROM_J_S = 0.08
"""T is looked for from this long after the J point to its end."""
RHYTHM_FEATURES = (
    "beats", "rr_s", "rr_cv", "rr_rmssd", "rr_min", "rr_max", "premature", "pauses", "p_found", "pr_sd_s",
    "odd_beats", "least_alike", "qrs_widest_s", "r_cv",
)  # fmt: skip
SHAPE_FEATURES = ("axis_deg", "sokolow_lyon_mv", "cornell_mv")
FEATURES: tuple[str, ...] = (
    *INTERVALS,
    *RHYTHM_FEATURES,
    *SHAPE_FEATURES,
    *(f"{name}_{lead}" for name in (*AMPLITUDES, "Q", "T") for lead in LEADS),
)
"""Names of the features, in the order of the model's input."""


def ecg_features(signals: NDArray[np.floating], fs: float) -> NDArray[np.float64]:
    """Features of one ECG.

    Args:
        signals: (12, N) mV on one time axis, NaN where not printed or not read.
        fs: sampling frequency in Hz.

    Returns:
        (n,) in the order of `FEATURES`.
    """
    leads = {lead: np.asarray(signals[k], np.float64) for k, lead in enumerate(LEADS)}
    leads = {lead: signal for lead, signal in leads.items() if np.isfinite(signal).any()}
    if not leads:
        return np.full(len(FEATURES), np.nan)
    found: dict[str, float] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing are NaN, on purpose
        for (lead, name), value in measure(leads, fs).items():
            found[f"{name}_{lead}" if lead else name] = value
        strip = leads.get(RHYTHM_LEAD)
        beats = None if strip is None else find_beats(strip, fs)
        if strip is not None and beats is not None:
            found |= rhythm_features(strip, beats, fs)
            for lead, signal in leads.items():
                found[f"Q_{lead}"], found[f"T_{lead}"] = q_and_t(signal, beats, fs)
        found |= shape_features(found)
    return np.array([found.get(name, np.nan) for name in FEATURES])


def rhythm_features(strip: NDArray[np.float64], beats: Beats, fs: float) -> dict[str, float]:
    """Regularity of the beats, P waves, and beats of another shape, from the rhythm strip."""
    rr = np.diff(beats.r) / fs
    usual = float(np.median(rr))
    before, after = (round(seconds * fs) for seconds in BEAT_S)
    peaks = beats.r.astype(int)
    whole = peaks[(peaks >= before) & (peaks + after <= strip.size)]
    cut = np.array([strip[peak - before : peak + after] for peak in whole])
    cut = cut[np.isfinite(cut).all(axis=1)] if cut.size else cut
    alike = np.array([np.nan])
    heights = np.array([np.nan])
    if len(cut) > 1:
        alike = np.array([np.corrcoef(beat, np.median(cut, axis=0))[0, 1] for beat in cut])
        heights = np.ptp(cut, axis=1)
    return {
        "beats": float(beats.r.size),
        "rr_s": usual,
        "rr_cv": float(np.std(rr) / np.mean(rr)),
        "rr_rmssd": float(np.sqrt(np.mean(np.diff(rr) ** 2)) / usual) if rr.size > 1 else np.nan,
        "rr_min": float(rr.min() / usual),
        "rr_max": float(rr.max() / usual),
        "premature": float(np.mean(rr < PREMATURE * usual)),
        "pauses": float(np.mean(rr > PAUSE * usual)),
        "p_found": float(np.mean(np.isfinite(beats.p_on))),
        "pr_sd_s": float(np.nanstd(beats.qrs_on - beats.p_on) / fs),
        "odd_beats": float(np.mean(alike < ALIKE_R)),
        "least_alike": float(np.nanmin(alike)),
        "qrs_widest_s": float(np.nanmax(np.append(beats.j - beats.qrs_on, np.nan)) / fs),
        "r_cv": float(np.std(heights) / np.mean(heights)),
    }


def q_and_t(signal: NDArray[np.float64], beats: Beats, fs: float) -> tuple[float, float]:
    """Depth of Q and height of T of a lead in mV against the level before the QRS; medians over its beats."""
    depths, heights = [], []
    for on, peak, j, end in zip(beats.qrs_on, beats.r, beats.j, beats.t_off, strict=True):
        if not np.isfinite([on, peak, j, end]).all():
            continue
        level = np.nanmedian(_part(signal, on - BASELINE_S * fs, on))
        depths.append(np.nanmin(np.append(_part(signal, on, peak), np.nan)) - level)
        t_wave = _part(signal, j + T_FROM_J_S * fs, end) - level
        if np.isfinite(t_wave).any():
            heights.append(t_wave[np.nanargmax(np.abs(t_wave))])
    return float(np.nanmedian([*depths, np.nan])), float(np.nanmedian([*heights, np.nan]))


def shape_features(found: dict[str, float]) -> dict[str, float]:
    """Electrical axis from the net QRS of I and aVF, and the voltage criteria of Sokolow-Lyon and Cornell."""

    def of(name: str) -> float:
        return found.get(name, float("nan"))

    net = {lead: of(f"R_{lead}") + of(f"S_{lead}") for lead in ("I", "aVF")}
    return {
        "axis_deg": float(np.rad2deg(np.arctan2(net["aVF"], net["I"]))),
        "sokolow_lyon_mv": float(np.fmax(of("R_V5"), of("R_V6"))) - of("S_V1"),
        "cornell_mv": of("R_aVL") - of("S_V3"),
    }


def _part(signal: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    """Samples from start to end, both cut to the signal; one NaN where that is nothing."""
    part = signal[max(int(start), 0) : max(int(end), 0)]
    return part if part.size else np.array([np.nan])
