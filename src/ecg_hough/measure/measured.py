"""What a cardiologist measures, on a record: rate, regularity, intervals, axes, amplitudes.

In: a `Record`. Out: `Measurement`s with expected errors, and whether they agree with the printed ones. The
signals' expected errors are carried through: the record is measured again with errors of that size added.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.clinical import QUANTITIES, Header, Measurement
from ecg_hough.measure.beats import MedianBeats, median_beats
from ecg_hough.measure.waves import Waves, find_waves
from ecg_hough.paper import LEADS
from ecg_hough.record import Record

Floats = NDArray[np.float64]
Values = dict[tuple[str, str | None], float]

BASE_S = 0.04
"""Before the onset of QRS: the level that amplitudes are measured against (median)."""
ST_AFTER_S, ST_HALF_S = 0.06, 0.01
"""ST is the mean level of this long around 60 ms after the end of QRS."""
DRAWS = 16
"""Times that the record is measured with errors added."""
ERROR_LENGTH_S = 0.01
"""Neighbouring samples err together: a stroke is wider than a sample."""
SEEN_SD = {
    "P": 15.0, "PR": 10.0, "QRS": 10.0, "QT": 30.0, "QTcB": 30.0, "QTcF": 30.0,
    "HR": 1.5, "RR": 20.0, "RR variation": 2.0, "QRS axis": 8.0, "P axis": 15.0, "T axis": 12.0,
}  # fmt: skip
"""How far electrocardiographs may differ among each other: for intervals the standard deviations that
IEC 60601-2-51:2003 allows on biological ECGs; for the rest, which it does not limit, our estimate of
rounding, other beats, and areas instead of amplitudes."""
AGREE_SD = 2.5
"""Printed and measured value agree if they differ by less than this many standard deviations."""


def measure(record: Record) -> tuple[Measurement, ...]:
    """Measure a record; what it does not show is left out.

    Global values are HR, RR, RR variation, P, PR, QRS, QT, QTcB (Bazett), QTcF (Fridericia) and the frontal
    axes; every lead that shows a beat has R, S and ST.
    """
    signals, sd_mv = np.asarray(record.signals, np.float64), np.asarray(record.sd_mv, np.float64)
    median = median_beats(signals, sd_mv, record.fs)
    if median is None:
        return ()
    values = _values(median, find_waves(median))
    spread = _spread(median, values)
    measured = []
    for (name, lead), value in values.items():
        # What the signals' errors make vanish in half of the draws is not there to be measured.
        spread_of = spread.get((name, lead), math.nan) if spread else 0.0
        if math.isfinite(value) and math.isfinite(spread_of):
            error = float(np.hypot(spread_of, SEEN_SD.get(name, 0.0)))
            measured.append(Measurement(name, float(value), QUANTITIES[name].unit, lead, error))
    return tuple(compared(one, record.header) for one in measured)


def compared(one: Measurement, header: Header | None) -> Measurement:
    """The measurement with the printed value of its quantity, and whether both agree."""
    printed = {each.name: each.value for each in header.measurements} if header is not None else {}
    # "QTc" is printed without its formula; most electrocardiographs use Bazett's.
    value = printed.get(one.name, printed.get("QTc") if one.name == "QTcB" else None)
    if one.lead is not None or value is None:
        return one
    apart = abs(one.value - value)
    if one.unit == "deg":
        apart = min(apart % 360.0, 360.0 - apart % 360.0)
    return replace(one, printed=value, agrees=bool(apart <= AGREE_SD * one.sd))


def _values(median: MedianBeats, waves: Waves) -> Values:
    """All values of one median beat; NaN where it does not show one."""
    ms = 1000.0 / median.fs
    rr_s = float(np.mean(median.rr)) / median.fs
    qt = (waves.t_end - waves.qrs_on) * ms
    values: Values = {
        ("HR", None): 60.0 / rr_s,
        ("RR", None): 1000.0 * rr_s,
        ("RR variation", None): 100.0 * float(np.std(median.rr) / np.mean(median.rr)),
        ("P", None): (waves.p_end - waves.p_on) * ms,
        ("PR", None): (waves.qrs_on - waves.p_on) * ms,
        ("QRS", None): (waves.qrs_end - waves.qrs_on) * ms,
        ("QT", None): qt,
        ("QTcB", None): qt / math.sqrt(rr_s),
        ("QTcF", None): qt / rr_s ** (1 / 3),
        ("P axis", None): _axis(median, waves.p_on, waves.p_end),
        ("QRS axis", None): _axis(median, waves.qrs_on, waves.qrs_end),
        ("T axis", None): _axis(median, waves.qrs_end + ST_AFTER_S * median.fs, waves.t_end),
    }
    for lead, beat in zip(LEADS, median.beats, strict=True):
        for name, value in zip(("R", "S", "ST"), _levels(beat, waves, median.fs), strict=True):
            values[name, lead] = value
    return values


def _axis(median: MedianBeats, start: float, stop: float) -> float:
    """Frontal axis of a wave in degrees, 0 = lead I, positive downwards, from its areas in I and aVF."""
    if not (math.isfinite(start) and math.isfinite(stop)) or stop - start < 2:
        return math.nan
    a, b = max(round(start), 0), min(round(stop), median.beats.shape[1])
    areas = []
    for lead in ("I", "aVF"):
        part = median.beats[LEADS.index(lead), a:b]
        if part.size < 2:
            return math.nan
        base = np.linspace(part[0], part[-1], part.size)
        areas.append(float(np.sum(part - base)))
    one, avf = areas
    if not (math.isfinite(one) and math.isfinite(avf)) or one == avf == 0.0:
        return math.nan
    # aVF has 2 / sqrt(3) less gain than lead I (Goldberger).
    return math.degrees(math.atan2(avf * 2.0 / math.sqrt(3.0), one))


def _levels(beat: Floats, waves: Waves, fs: int) -> tuple[float, float, float]:
    """R, S and ST of a lead in mV; NaN where they are not shown whole."""
    nothing = (math.nan,) * 3
    if not (math.isfinite(waves.qrs_on) and math.isfinite(waves.qrs_end)):
        return nothing
    on, off = round(waves.qrs_on), round(waves.qrs_end)
    base = beat[max(on - round(BASE_S * fs), 0) : on + 1]
    qrs = beat[on : off + 1]
    middle, half = off + round(ST_AFTER_S * fs), round(ST_HALF_S * fs)
    st = beat[middle - half : middle + half + 1]
    if not (base.size and qrs.size and np.isfinite(base).all() and np.isfinite(qrs).all()):
        return nothing
    level = float(np.median(base))
    return (
        float(qrs.max()) - level,
        float(qrs.min()) - level,
        float(st.mean()) - level if st.size else math.nan,
    )


def _spread(median: MedianBeats, values: Values) -> Values:
    """Standard deviation of every value when errors of the signals' size are added."""
    if not np.isfinite(median.sd_mv).any():
        return {}
    rng = np.random.default_rng(0)
    length = max(1.0, ERROR_LENGTH_S * median.fs)
    kernel = np.exp(-0.5 * (np.arange(-3 * length, 3 * length + 1) / length) ** 2)
    kernel /= np.sqrt(np.sum(kernel**2))
    drawn: dict[tuple[str, str | None], list[float]] = {key: [] for key in values}
    for _ in range(DRAWS):
        white = rng.standard_normal(median.beats.shape)
        errors = np.stack([np.convolve(row, kernel, "same") for row in white]) * np.nan_to_num(median.sd_mv)
        noisy = replace(median, beats=median.beats + errors)
        for key, value in _values(noisy, find_waves(noisy)).items():
            drawn[key].append(value)
    return {key: _sd_of(key[0], several) for key, several in drawn.items()}


def _sd_of(name: str, several: list[float]) -> float:
    known = np.array([value for value in several if math.isfinite(value)])
    if known.size < len(several) / 2:
        return math.nan
    if QUANTITIES[name].unit == "deg":
        known = np.degrees(np.unwrap(np.radians(known)))
    return float(np.std(known, ddof=1))
