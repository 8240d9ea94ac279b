"""A generator of 12-lead ECGs: a seed and a rhythm enter, 12 leads in mV leave.

The heart is one dipole that moves through P, QRS, ST, T and U. Each wave is a Gaussian in time with
a direction in space, and the leads are projections of the sum (McSharry et al. 2003, IEEE Trans
Biomed Eng 50:289, made three-dimensional as in Sameni et al. 2007, EURASIP J Adv Signal Process).
The projection is the matrix of Dower et al. 1980, J Electrocardiol 13:315. Noise is added per
electrode, before leads are formed, so that Einthoven's and Goldberger's equations always hold.

The signals are for drawing training and test pages. They are not a diagnostic reference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.paper import FS_HZ, RECORD_S

Floats = NDArray[np.float64]

_RATES: dict[str, tuple[float, float, float]] = {
    "sinus rhythm": (0.30, 58.0, 100.0),
    "sinus bradycardia": (0.08, 36.0, 57.0),
    "sinus tachycardia": (0.10, 101.0, 165.0),
    "sinus arrhythmia": (0.07, 50.0, 95.0),
    "atrial fibrillation": (0.09, 50.0, 150.0),
    "atrial flutter": (0.05, 250.0, 330.0),  # atrial; the ventricles follow every 2nd to 4th wave
    "premature ventricular complexes": (0.08, 55.0, 95.0),
    "paced rhythm": (0.05, 50.0, 90.0),
    "left bundle branch block": (0.05, 55.0, 100.0),
    "right bundle branch block": (0.05, 55.0, 100.0),
    "first-degree AV block": (0.04, 45.0, 85.0),
    "Wenckebach block": (0.03, 60.0, 95.0),  # atrial
    "asystole": (0.01, 0.0, 0.0),
}
"""How often each rhythm is drawn when none is asked for (a free choice), and its rates (1/min)."""
RHYTHMS: tuple[str, ...] = tuple(_RATES)
"""Names that `generate_ecg` takes as `rhythm`."""
_WIDE = ("left bundle branch block", "paced rhythm")

_FINDINGS: dict[str, float] = {
    "normal": 0.34,
    "high voltage": 0.10,
    "low voltage": 0.09,
    "anterior ST elevation": 0.06,
    "inferior ST elevation": 0.05,
    "ST depression": 0.08,
    "T inversion": 0.08,
    "tall T waves": 0.05,
    "anterior Q waves": 0.04,
    "inferior Q waves": 0.03,
    "delta waves": 0.02,
    "U waves": 0.03,
    "right ventricular hypertrophy": 0.03,
}
"""Shapes of the beat and how often they are drawn, where conduction is normal."""

DOWER = np.array(
    [
        [0.632, -0.235, 0.059],  # I
        [0.235, 1.066, -0.132],  # II
        [-0.515, 0.157, -0.917],  # V1
        [0.044, 0.164, -1.387],  # V2
        [0.882, 0.098, -1.277],  # V3
        [1.213, 0.127, -0.601],  # V4
        [1.125, 0.127, -0.086],  # V5
        [0.831, 0.076, 0.230],  # V6
    ]
)
"""Leads I, II, V1..V6 from the dipole (left, down, back); the other limb leads follow from I and II."""

MAX_WAVE_MV = 3.5
"""Largest deflection of the noise-free signal; larger draws are scaled down to it."""
_MIN_FS_HZ = 100
_REFRACTORY_S = 0.32  # shortest RR that the AV node lets through in fibrillation
_QRS_ONSET_S = 0.04
"""QRS onset before the R peak; PR counts from P onset to here."""
_END_SD = float(np.sqrt(2 * np.log(20.0)))
"""A Gaussian has a twentieth of its height this many standard deviations from its centre."""
_SPIKE_S = 0.003
"""Waves that rise faster are pacing spikes."""
_WINDOW_SD = 4.5
"""A wave is evaluated this many standard deviations around its centre; outside, it is below 5e-5 of it."""


@dataclass(frozen=True, eq=False)
class GeneratedEcg:
    """A generated record.

    Attributes:
        signals: (12, N) float mV, rows in the order of `paper.LEADS`; no NaN.
        fs: sampling frequency in Hz.
        description: rhythm, rate and findings in words.
        rhythm: one of `RHYTHMS`.
        heart_rate_bpm: 60 / mean RR of the ventricular beats in the record; 0 where fewer than two.
        beat_times_s: times of the R peaks inside the record (s).
        p_times_s: times of the P onsets inside the record (s); none in fibrillation, flutter and VVI pacing.
        waves: where the waves of the ordinary beats begin and end; None in asystole.
    """

    signals: Floats
    fs: int
    description: str
    rhythm: str
    heart_rate_bpm: float
    beat_times_s: Floats
    p_times_s: Floats
    waves: WaveTimes | None = None


@dataclass(frozen=True, eq=False)
class WaveTimes:
    """Begin and end of the waves of n ordinary beats (s), for the truth of intervals.

    A Gaussian wave begins and ends where it has a twentieth of its height.

    Attributes:
        r: (n,) R peaks.
        p_on, p_end: (n,) of the P wave; NaN where a beat has none.
        qrs_on, qrs_end: (n,) of QRS, without pacing spikes.
        t_end: (n,) end of T.
    """

    r: Floats
    p_on: Floats
    p_end: Floats
    qrs_on: Floats
    qrs_end: Floats
    t_end: Floats


@dataclass(frozen=True)
class _Wave:
    """A Gaussian of one beat: centre relative to the R peak (s), sd before and after it (s), dipole (mV)."""

    at_s: float
    rise_s: float
    fall_s: float
    dipole: Floats


@dataclass(frozen=True)
class _Morphology:
    """The waves of one kind of beat, by what they follow."""

    qrs: tuple[_Wave, ...]
    st: tuple[_Wave, ...]
    t: tuple[_Wave, ...]


@dataclass(frozen=True)
class _Beats:
    """Timing of a rhythm: R peaks, P waves (PR before their R peak), which beats are ectopic."""

    r_s: Floats
    p_s: Floats
    ectopic: NDArray[np.bool_]


def generate_ecg(
    seed: int, *, fs: int = FS_HZ, seconds: float = RECORD_S, rhythm: str | None = None
) -> GeneratedEcg:
    """Generate a 12-lead ECG.

    Args:
        seed: the same seed and arguments give the same record.
        fs: sampling frequency in Hz, 100 or more.
        seconds: length; the record has round(seconds * fs) samples.
        rhythm: one of `RHYTHMS`; None draws one.

    Returns:
        The record; III = II - I, aVR = -(I + II)/2, aVL = I - II/2 and aVF = II - I/2 hold exactly, and
        every lead is zero in the mean.

    Raises:
        ValueError: unknown rhythm, fs below 100 Hz or a length that is not positive.
    """
    if rhythm is not None and rhythm not in RHYTHMS:
        raise ValueError(f"rhythm must be one of {', '.join(RHYTHMS)}; got {rhythm!r}")
    if fs < _MIN_FS_HZ:
        raise ValueError(f"fs must be {_MIN_FS_HZ} Hz or more; got {fs}")
    if not (np.isfinite(seconds) and round(seconds * fs) >= 1):
        raise ValueError(f"seconds must be positive and give at least one sample; got {seconds}")
    rng = np.random.default_rng(seed)
    n = round(seconds * fs)
    if rhythm is None:
        rhythm = str(rng.choice(RHYTHMS, p=[weight for weight, _, _ in _RATES.values()]))
    beats, dipole = _draw_timing(rhythm, seconds, n, fs, rng)
    words = [rhythm]
    waves = None
    if len(beats.r_s):
        normal, finding = _draw_morphology(rhythm, rng)
        words += finding
        drawn, waves = _draw_beats(beats, (normal, _ectopic(rng)), rhythm in _WIDE, n, fs, rng)
        dipole += drawn
    clean = DOWER @ dipole
    peak = float(np.abs(_twelve_leads(clean)).max())
    clean *= min(1.0, MAX_WAVE_MV / max(peak, MAX_WAVE_MV))
    recorded = clean + _electrode_noise(n, fs, rng)
    # Amplifiers pass no direct current (high-pass at 0.05 Hz): a record is zero in the mean.
    signals = _twelve_leads(recorded - recorded.mean(axis=1, keepdims=True))

    inside, p_onset = (
        times[(times >= 0) & (times < n / fs)] for times in (beats.r_s, beats.p_s - _QRS_ONSET_S)
    )
    rate = 60.0 / float(np.diff(inside).mean()) if len(inside) > 1 else 0.0
    words.insert(1, f"{rate:.0f}/min")
    return GeneratedEcg(signals, fs, ", ".join(words), rhythm, rate, inside, p_onset, waves)


def _twelve_leads(independent: Floats) -> Floats:
    """(12, N) from leads I, II, V1..V6 (8, N)."""
    one, two = independent[:2]
    limb = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2])
    return np.concatenate([limb, independent[2:]])


# Timing


def _draw_timing(
    rhythm: str, seconds: float, n: int, fs: int, rng: np.random.Generator
) -> tuple[_Beats, Floats]:
    """Beat times of a rhythm, and the dipole (3, n) of atrial activity that goes on all the time."""
    silent = np.zeros((3, n))
    if rhythm == "asystole":
        return _Beats(np.empty(0), np.empty(0), np.empty(0, bool)), silent
    rr = 60.0 / rng.uniform(*_RATES[rhythm][1:])
    if rhythm == "atrial fibrillation":
        draws = np.clip(rng.normal(1.0, 0.22, size=int(4 * seconds) + 8), 0.55, 1.9)
        intervals = np.maximum(rr * draws, _REFRACTORY_S)
        return _conducted(_cumulate(intervals, seconds, rng), None), _fibrillation_waves(n, fs, rng)
    if rhythm == "atrial flutter":
        choice = rng.choice([2, 3, 4], size=int(4 * seconds) + 8)
        steps = choice if rng.random() < 0.3 else np.full(len(choice), choice[0])  # varying or fixed block
        r_s = _cumulate(rr * steps, seconds, rng)
        return _conducted(r_s, None), _flutter_waves(n, fs, rr, float(r_s[0]), rng)
    pr = rng.uniform(0.22, 0.34) if rhythm == "first-degree AV block" else rng.uniform(0.12, 0.19)
    pr = min(pr, 0.42 * rr)
    spread = {"sinus arrhythmia": 0.01, "paced rhythm": 0.002}.get(rhythm, 0.015)
    count = int(seconds / rr) + 8
    intervals = rr * (1.0 + spread * rng.standard_normal(count))
    if rhythm == "sinus arrhythmia":
        breath = 2 * np.pi * rr * np.arange(count) * rng.uniform(0.15, 0.30)
        intervals *= 1.0 + rng.uniform(0.10, 0.22) * np.sin(breath + rng.uniform(0, 2 * np.pi))
    sinus_s = _cumulate(intervals, seconds, rng)
    if rhythm == "Wenckebach block":
        return _wenckebach(sinus_s, pr, rr, rng), silent
    if rhythm == "premature ventricular complexes":
        return _with_ectopics(sinus_s, pr, rr, rng), silent
    if rhythm == "paced rhythm" and rng.random() < 0.5:
        return _conducted(sinus_s, None), silent
    return _conducted(sinus_s, pr), silent


def _cumulate(intervals: Floats, seconds: float, rng: np.random.Generator) -> Floats:
    """Event times that begin up to two intervals before the record and end one second after it."""
    times = np.cumsum(intervals) - intervals[0] * (2.0 + rng.random())
    return times[times < seconds + 1.0]


def _conducted(r_s: Floats, pr_s: float | None) -> _Beats:
    """Beats with a P wave each, or without P waves."""
    p_s = np.empty(0) if pr_s is None else r_s - pr_s
    return _Beats(r_s, p_s, np.zeros(len(r_s), bool))


def _wenckebach(p_s: Floats, pr: float, rr: float, rng: np.random.Generator) -> _Beats:
    """PR grows from beat to beat by shrinking steps, until a P wave is not conducted."""
    period = int(rng.integers(3, 6))
    position = (np.arange(len(p_s)) + int(rng.integers(period))) % period
    growth = np.array([0.0, 0.08, 0.12, 0.14, 0.15])[position]
    delay = np.minimum(pr + growth, 0.55 * rr)
    conducted = position < period - 1
    r_s = (p_s + delay)[conducted]
    return _Beats(r_s, p_s, np.zeros(len(r_s), bool))


def _with_ectopics(r_s: Floats, pr: float, rr: float, rng: np.random.Generator) -> _Beats:
    """Some beats come early from a ventricle; the sinus node keeps its time (full compensatory pause)."""
    every = int(rng.integers(2, 7))
    ectopic = (np.arange(len(r_s)) + int(rng.integers(every))) % every == every - 1
    coupling = rr * rng.uniform(0.28, 0.40)
    times = np.where(ectopic, r_s - coupling, r_s)
    return _Beats(times, (r_s - pr)[~ectopic], ectopic)


def _fibrillation_waves(n: int, fs: int, rng: np.random.Generator) -> Floats:
    """(3, n) f waves: sinusoids of 4 to 9 Hz whose frequency and size wander, strongest towards V1."""
    t = np.arange(n) / fs
    waves = np.zeros((3, n))
    size = rng.uniform(0.01, 0.08)
    for _ in range(4):
        sway = rng.uniform(0.2, 0.8) * np.sin(2 * np.pi * rng.uniform(0.1, 0.5) * t + rng.uniform(0, 6.3))
        phase = 2 * np.pi * rng.uniform(4.0, 9.0) * t + sway / 0.3 + rng.uniform(0, 6.3)
        swell = 1.0 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.2, 0.7) * t + rng.uniform(0, 6.3))
        direction = np.array([0.2, 0.5, -0.8]) + 0.3 * rng.standard_normal(3)
        waves += direction[:, None] * (0.5 * size * swell * np.sin(phase))
    return waves


def _flutter_waves(n: int, fs: int, cycle: float, start: float, rng: np.random.Generator) -> Floats:
    """(3, n) saw teeth: slow downstroke and quick upstroke in II, III, aVF, upright in V1."""
    phase = 2 * np.pi * (np.arange(n) / fs - start - rng.uniform(0, cycle)) / cycle
    order = np.arange(1, 5)[:, None]
    saw = (np.sin(order * phase) / order * np.array([1.0, 0.8, 0.5, 0.25])[:, None]).sum(axis=0)
    direction = np.array([0.02, 0.75, -0.6]) + 0.1 * rng.standard_normal(3)
    return direction[:, None] * (rng.uniform(0.05, 0.16) * saw)


# Shape of the beats


def _draw_morphology(rhythm: str, rng: np.random.Generator) -> tuple[_Morphology, list[str]]:
    """Waves of the record's ordinary beat, and the findings in words."""
    if rhythm in _WIDE:
        return _left_bundle_beat(rng, paced=rhythm == "paced rhythm"), []
    finding = str(rng.choice(list(_FINDINGS), p=list(_FINDINGS.values())))
    beat, axis = _narrow_beat(rng, right_bundle=rhythm == "right bundle branch block")
    words = [] if -30 <= axis <= 90 else ["left axis" if axis < -30 else "right axis"]
    if finding == "normal":
        return beat, words
    return _with_finding(beat, finding, rng), [*words, finding]


def _narrow_beat(rng: np.random.Generator, *, right_bundle: bool) -> tuple[_Morphology, float]:
    """A conducted beat and its frontal axis in degrees."""
    # Sizes, widths and directions are set so that the spread of peaks and slopes in each lead is near
    # that of 200 PTB-XL records.
    turn = np.deg2rad(np.clip(rng.normal(20.0, 27.0), -75.0, 105.0))
    size = rng.uniform(0.95, 2.0)
    wide = rng.uniform(0.80, 1.20)
    frontal = np.array([np.cos(turn), np.sin(turn), 0.0])
    back = np.array([0.0, 0.0, 1.0])
    main = size * (frontal + rng.uniform(-0.15, 0.45) * back)
    septal = size * (-0.15 * frontal - rng.uniform(0.15, 0.45) * back + _jitter(rng, 0.05))
    basal = size * (-rng.uniform(0.0, 0.30) * frontal + rng.uniform(0.25, 0.75) * back + _jitter(rng, 0.08))
    qrs = [
        _Wave(-0.020 * wide, 0.007 * wide, 0.007 * wide, septal),
        _Wave(0.0, 0.0095 * wide, 0.009 * wide, main),
        _Wave(0.021 * wide, 0.008 * wide, 0.010 * wide, basal),
    ]
    t_turn = turn * 0.7 + rng.normal(0.15, 0.2)
    t_dipole = rng.uniform(0.2, 0.5) * np.array([np.cos(t_turn), np.sin(t_turn), -rng.uniform(0.3, 0.9)])
    if right_bundle:
        late = size * np.array([-rng.uniform(0.3, 0.6), 0.0, -rng.uniform(0.5, 0.9)])
        qrs.append(_Wave(0.062 * wide, 0.017, 0.018, late))
        t_dipole = t_dipole - 0.35 * late
    return _Morphology(
        tuple(qrs), (_Wave(0.10, 0.03, 0.05, _jitter(rng, 0.015)),), _t_waves(t_dipole)
    ), _frontal_axis(main)


def _frontal_axis(dipole: Floats) -> float:
    """Electrical axis in degrees (0 = lead I, positive downwards) from I and aVF."""
    one, two = DOWER[:2] @ dipole
    return float(np.rad2deg(np.arctan2((two - one / 2) * 2 / np.sqrt(3), one)))


def _left_bundle_beat(rng: np.random.Generator, *, paced: bool) -> _Morphology:
    """A wide notched QRS to the left and back, with T against it; from the apex upwards when paced."""
    up = -rng.uniform(0.4, 1.0) if paced else rng.uniform(-0.3, 0.4)
    size = rng.uniform(0.7, 1.3)
    first = size * (np.array([0.7, up, rng.uniform(0.4, 0.8)]) + _jitter(rng, 0.06))
    second = size * (np.array([0.9, up, rng.uniform(0.6, 1.1)]) + _jitter(rng, 0.06))
    qrs = [_Wave(-0.032, 0.016, 0.018, first), _Wave(0.020, 0.020, 0.020, second)]
    if paced:
        spike = rng.uniform(0.3, 1.4) * _unit(np.array([0.6, 0.8, 0.2]) + _jitter(rng, 0.3))
        qrs.append(_Wave(-0.095, 0.0015, 0.0015, spike))
    against = -0.30 * (first + second) / 2
    return _Morphology(tuple(qrs), (_Wave(0.11, 0.03, 0.06, 0.5 * against),), _t_waves(against))


def _ectopic(rng: np.random.Generator) -> _Morphology:
    """A premature ventricular complex: wide, tall, with ST and T against it."""
    main = rng.uniform(0.9, 1.7) * _unit(np.array([0.3, 0.2, 0.0]) + _jitter(rng, 1.0))
    turned = rng.uniform(-0.6, 0.2) * main + _jitter(rng, 0.2)
    qrs = (_Wave(0.0, 0.028, 0.026, main), _Wave(0.065, 0.020, 0.024, turned))
    return _Morphology(qrs, (_Wave(0.14, 0.03, 0.05, -0.15 * main),), _t_waves(-0.35 * main))


def _with_finding(beat: _Morphology, finding: str, rng: np.random.Generator) -> _Morphology:
    """Change the ordinary beat by one of `_FINDINGS`."""
    septal, main = beat.qrs[:2]
    later = beat.qrs[2:]
    toward = {
        "anterior ST elevation": np.array([0.12, -0.05, -0.22]),
        "inferior ST elevation": np.array([-0.05, 0.25, 0.02]),
        "ST depression": -np.array([0.13, 0.08, -0.05]),
    }
    if finding in toward:
        shift = rng.uniform(0.4, 1.3) * toward[finding]
        plateau = _Wave(0.10, 0.028, 0.07, shift)
        t = tuple(replace(w, dipole=w.dipole + 0.6 * shift) for w in beat.t)
        return replace(beat, st=(*beat.st, plateau), t=t)
    if finding in ("T inversion", "tall T waves"):
        factor = -rng.uniform(0.4, 1.3) if finding == "T inversion" else rng.uniform(1.7, 2.8)
        return replace(beat, t=_scaled(beat.t, factor))
    if finding == "high voltage":  # left ventricular hypertrophy with strain
        factor = rng.uniform(1.5, 2.3)
        strain = _Wave(0.12, 0.04, 0.05, -0.05 * factor * main.dipole)
        t_factor = rng.uniform(-0.8, 0.8)
        return _Morphology(_scaled(beat.qrs, factor), (*beat.st, strain), _scaled(beat.t, t_factor))
    if finding == "low voltage":
        factor = rng.uniform(0.22, 0.45)
        return _Morphology(_scaled(beat.qrs, factor), _scaled(beat.st, factor), _scaled(beat.t, factor + 0.1))
    if finding in ("anterior Q waves", "inferior Q waves"):
        away = np.array([-0.15, 0.0, 0.6]) if finding == "anterior Q waves" else np.array([0.1, -0.6, 0.0])
        q = _Wave(-0.024, 0.011, 0.010, rng.uniform(0.6, 1.2) * away)
        return replace(beat, qrs=(q, replace(main, dipole=main.dipole + 0.3 * q.dipole), *later))
    if finding == "delta waves":
        delta = _Wave(-0.045, 0.020, 0.022, rng.uniform(0.25, 0.45) * main.dipole)
        return replace(beat, qrs=(delta, main, *later), t=_scaled(beat.t, rng.uniform(-0.6, 0.6)))
    if finding == "U waves":
        u = replace(beat.t[0], at_s=0.17, dipole=rng.uniform(0.2, 0.6) * beat.t[0].dipole)
        return replace(beat, t=(*_scaled(beat.t, 0.7), replace(u, rise_s=0.035, fall_s=0.04)))
    right = np.array([-0.7, 0.35, -0.8]) * rng.uniform(0.8, 1.3)  # right ventricular hypertrophy
    qrs = (replace(septal, dipole=-0.2 * right), replace(main, dipole=0.35 * main.dipole + right), *later)
    return replace(beat, qrs=qrs, t=tuple(replace(w, dipole=w.dipole - 0.15 * right) for w in beat.t))


def _t_waves(dipole: Floats) -> tuple[_Wave, ...]:
    """A T wave that rises slower than it falls; its time is relative to the T peak."""
    return (_Wave(0.0, 0.050, 0.032, dipole),)


def _scaled(waves: tuple[_Wave, ...], factor: float) -> tuple[_Wave, ...]:
    return tuple(replace(wave, dipole=factor * wave.dipole) for wave in waves)


def _jitter(rng: np.random.Generator, sd: float) -> Floats:
    return sd * rng.standard_normal(3)


def _unit(vector: Floats) -> Floats:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


# Drawing


def _draw_beats(
    beats: _Beats,
    kinds: tuple[_Morphology, _Morphology],
    late: bool,
    n: int,
    fs: int,
    rng: np.random.Generator,
) -> tuple[Floats, WaveTimes]:
    """Dipole (3, n) of all P waves and beats, with breathing and a little change from beat to beat.

    `kinds` are the ordinary and the ectopic beat; with `late`, repolarisation ends later.
    """
    rr = np.diff(beats.r_s, prepend=2 * beats.r_s[0] - beats.r_s[1] if len(beats.r_s) > 1 else -1.0)
    # QT by Fridericia (QT = QTc * RR^(1/3)); T peaks near 72 % of QT after the QRS onset.
    qt = rng.uniform(0.37, 0.43) * np.clip(rr, 0.3, 1.6) ** (1 / 3)
    t_peak = 0.72 * qt - _QRS_ONSET_S + (0.03 if late else 0.0)
    squeeze = np.clip(rr, 0.3, 1.0) ** (1 / 3)
    breath = 2 * np.pi * rng.uniform(0.18, 0.33) * beats.r_s + rng.uniform(0, 2 * np.pi)
    size = 1.0 + rng.uniform(0.0, 0.07) * np.sin(breath) + 0.015 * rng.standard_normal(len(beats.r_s))

    centres, rises, falls, dipoles = [], [], [], []

    def add(at: Floats, wave: _Wave, scale: Floats, stretch: Floats) -> None:
        centres.append(at)
        rises.append(wave.rise_s * stretch)
        falls.append(wave.fall_s * stretch)
        dipoles.append(scale[:, None] * wave.dipole)

    for kind, chosen in zip(kinds, (~beats.ectopic, beats.ectopic), strict=True):
        r_s, scale, stretch = beats.r_s[chosen], size[chosen], squeeze[chosen]
        for wave in (*kind.qrs, *kind.st):
            add(r_s + wave.at_s, wave, scale, np.ones(len(r_s)))
        for wave in kind.t:
            add(r_s + t_peak[chosen] + wave.at_s * stretch, wave, scale, stretch)
    p_size = rng.uniform(0.6, 1.5)
    ones = np.ones(len(beats.p_s))
    atria = (  # right atrium first and forwards, left atrium later and backwards
        _Wave(0.045, 0.016, 0.017, p_size * (np.array([0.05, 0.09, -0.06]) + _jitter(rng, 0.012))),
        _Wave(0.075, 0.017, 0.018, p_size * (np.array([0.07, 0.05, 0.05]) + _jitter(rng, 0.012))),
    )
    for wave in atria:
        add(beats.p_s - _QRS_ONSET_S + wave.at_s, wave, ones, ones)
    times, rise, fall = (np.concatenate(part) for part in (centres, rises, falls))
    waves = _wave_times(beats, kinds[0], atria, t_peak, squeeze)
    return _sum_gaussians(times, rise, fall, np.concatenate(dipoles), n, fs), waves


def _wave_times(
    beats: _Beats, kind: _Morphology, atria: tuple[_Wave, ...], t_peak: Floats, squeeze: Floats
) -> WaveTimes:
    """Where the waves of the ordinary beats begin and end."""
    chosen = ~beats.ectopic
    r_s = beats.r_s[chosen]

    def ends(waves: tuple[_Wave, ...]) -> tuple[float, float]:
        first = min(w.at_s - _END_SD * w.rise_s for w in waves)
        return first, max(w.at_s + _END_SD * w.fall_s for w in waves)

    qrs = ends(tuple(w for w in kind.qrs if w.rise_s > _SPIKE_S))
    p = ends(atria)
    # The last P before each beat that can be its own.
    origin = np.full(len(r_s), np.nan)
    for k, r in enumerate(r_s):
        before = beats.p_s[(beats.p_s < r - 0.05) & (beats.p_s > r - 0.6)]
        if len(before):
            origin[k] = before[-1] - _QRS_ONSET_S
    t_end = r_s + t_peak[chosen] + squeeze[chosen] * ends(kind.t[:1])[1]  # a U wave is no part of T
    return WaveTimes(r_s, origin + p[0], origin + p[1], r_s + qrs[0], r_s + qrs[1], t_end)


def _sum_gaussians(
    centre_s: Floats, rise_s: Floats, fall_s: Floats, dipoles: Floats, n: int, fs: int
) -> Floats:
    """(3, n) sum of K Gaussians with dipoles (K, 3), each evaluated near its centre only."""
    half = int(np.ceil(_WINDOW_SD * fs * max(rise_s.max(), fall_s.max())))
    index = np.rint(centre_s * fs).astype(int)[:, None] + np.arange(-half, half + 1)
    away = index / fs - centre_s[:, None]
    sd = np.where(away < 0, rise_s[:, None], fall_s[:, None])
    value = np.exp(-0.5 * (away / sd) ** 2)
    inside = (index >= 0) & (index < n)
    where = index[inside]
    return np.stack(
        [np.bincount(where, (value * dipoles[:, k : k + 1])[inside], minlength=n) for k in range(3)]
    )


def _electrode_noise(n: int, fs: int, rng: np.random.Generator) -> Floats:
    """(8, n) noise of leads I, II, V1..V6 from noise of the nine electrodes, in mV."""
    t = np.arange(n) / fs
    wander = np.zeros((9, n))
    depth = 10 ** rng.uniform(-2.3, -1.1)  # 0.005 to 0.08 mV
    for frequency in rng.uniform((0.05, 0.12, 0.2), (0.12, 0.25, 0.45)):  # drift and breathing
        size = depth * rng.standard_normal((9, 1))
        wander += size * np.sin(2 * np.pi * frequency * t + rng.uniform(0, 2 * np.pi, (9, 1)))
    hum = 10 ** rng.uniform(-3.0, -1.8) * (rng.random() < 0.4)  # up to 0.016 mV
    phase = 2 * np.pi * float(rng.choice([50.0, 60.0])) * t + rng.uniform(0, 2 * np.pi)
    mains = hum * rng.uniform(0.3, 1.0, (9, 1)) * np.sin(phase)
    white = rng.standard_normal((9, n + 2))
    # Electrocardiographs cut off near 150 Hz: a binomial filter models that.
    muscle = 0.25 * white[:, :-2] + 0.5 * white[:, 1:-1] + 0.25 * white[:, 2:]
    strength = 10 ** rng.uniform(-3.0, -1.8)  # 0.001 to 0.016 mV
    burst = 1.0 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.05, 0.4) * t + rng.uniform(0, 2 * np.pi))
    electrodes = wander + mains + strength * burst * muscle
    right_arm, left_arm, left_leg = electrodes[:3]
    wilson = (right_arm + left_arm + left_leg) / 3
    return np.concatenate([[left_arm - right_arm, left_leg - right_arm], electrodes[3:] - wilson])
