"""Rate, intervals, axes and amplitudes of generated ECGs whose waves are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.clinical import QUANTITIES, Header, Measurement
from ecg_hough.measure.beats import median_beats, r_peaks
from ecg_hough.measure.measured import compared, measure
from ecg_hough.measure.waves import find_waves
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS
from ecg_hough.render.ecg_model import generate_ecg
from ecg_lab.delineators import as_shown, truth_of
from made_up_ecg import made_up_ecg

FS = 500


def record(signals: np.ndarray, sd_mv: float = 0.01) -> Ecg:
    known = np.isfinite(signals)
    return replace(
        made_up_ecg(seconds=10.0),
        signals=signals,
        confidence=known * 0.9,
        sd_mv=np.where(known, sd_mv, np.nan),
    )


def by_name(ecg: Ecg) -> dict[tuple[str, str | None], Measurement]:
    return {(one.name, one.lead): one for one in measure(ecg)}


@pytest.mark.parametrize("view", ["12x1", "3x4+1", "3x4"])
@pytest.mark.parametrize(
    ("rhythm", "seed"), [("sinus rhythm", 7002), ("sinus bradycardia", 7004), ("first-degree AV block", 7004)]
)
def test_intervals_of_known_waves(view: str, rhythm: str, seed: int) -> None:
    generated = generate_ecg(seed, rhythm=rhythm)
    truth, found = truth_of(generated), by_name(record(as_shown(generated.signals, view)))
    assert found["HR", None].value == pytest.approx(truth["HR"], rel=0.02)
    for name in ("PR", "QRS", "QT"):
        assert found[name, None].value == pytest.approx(truth[name], abs=22), name
        assert found[name, None].unit == "ms"
    rr_s = found["RR", None].value / 1000
    assert found["QTcB", None].value == pytest.approx(found["QT", None].value / math.sqrt(rr_s))
    assert found["QTcF", None].value == pytest.approx(found["QT", None].value / rr_s ** (1 / 3))


def test_amplitudes_and_axis_of_a_made_up_beat() -> None:
    """A triangle of 1 mV in I and 2/sqrt(3) mV in aVF: an axis of 53 degrees, R of 1 mV in I."""
    times = np.arange(10 * FS) / FS
    beat = np.clip(1 - np.abs((times % 0.8) - 0.4) / 0.04, 0, None)
    t_wave = 0.3 * np.exp(-0.5 * (((times % 0.8) - 0.66) / 0.03) ** 2)
    one, avf = beat + t_wave, 2 / math.sqrt(3) * beat + t_wave
    two = avf + one / 2
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, avf]
    found = by_name(record(np.stack([*limb, *[beat + t_wave] * 6]), 0.02))
    assert found["HR", None].value == pytest.approx(75, abs=0.2)
    assert found["RR variation", None].value == pytest.approx(0, abs=0.3)
    assert found["R", "I"].value == pytest.approx(1.0, abs=0.03)
    assert found["S", "aVR"].value == pytest.approx(-(one + two).max() / 2, abs=0.05)
    assert found["ST", "V3"].value == pytest.approx(0, abs=0.03)
    assert 0.003 < found["R", "I"].sd < 0.05
    # The areas of I and aVF are as 1 to 2/sqrt(3), and the leads' gains as 1 to sqrt(3)/2.
    assert found["QRS axis", None].value == pytest.approx(math.degrees(math.atan2(4 / 3, 1)), abs=2)


def test_larger_errors_of_the_signals_are_larger_errors_of_the_values() -> None:
    signals = generate_ecg(7000, rhythm="sinus rhythm").signals
    small, large = (by_name(record(signals, sd)) for sd in (0.002, 0.02))
    assert large["R", "V5"].sd > 3 * small["R", "V5"].sd
    assert large["P", None].sd > small["P", None].sd >= 15


def test_a_premature_beat_is_not_in_the_median() -> None:
    signals = generate_ecg(7000, rhythm="sinus rhythm").signals.copy()
    clean = median_beats(signals, signals * 0, FS)
    (peaks,) = r_peaks(signals, FS)
    signals[:, peaks[4] - 60 : peaks[4] + 60] = 2.0 * np.hanning(120)
    with_one = median_beats(signals, signals * 0, FS)
    assert clean is not None
    assert with_one is not None
    assert np.nanmax(np.abs(clean.beats - with_one.beats)) < 0.1


def test_beats_small_in_one_lead_are_found_in_the_others() -> None:
    generated = generate_ecg(7003, rhythm="sinus rhythm")
    signals = generated.signals.copy()
    signals[1] *= 0.05
    (peaks,) = r_peaks(signals, FS)
    truth = generated.beat_times_s[(generated.beat_times_s > 0.1) & (generated.beat_times_s < 9.9)]
    assert max(np.abs(peaks / FS - one).min() for one in truth) < 0.03
    assert abs(len(peaks) - len(truth)) <= 1


@pytest.mark.parametrize("signals", [np.full((12, 5000), np.nan), np.zeros((12, 5000))])
def test_without_beats_nothing_is_measured(signals: np.ndarray) -> None:
    assert measure(record(signals)) == ()


def test_a_flutter_without_p_has_no_pr() -> None:
    found = by_name(record(generate_ecg(7003, rhythm="paced rhythm").signals))
    assert "HR" in {name for name, _ in found}
    ecg = generate_ecg(7002, rhythm="atrial fibrillation")
    fibrillation = by_name(record(ecg.signals))
    assert fibrillation["RR variation", None].value > 10


def test_a_beat_of_one_lead_is_not_delineated() -> None:
    signals = np.full((12, 5000), np.nan)
    signals[1] = generate_ecg(7000, rhythm="sinus rhythm").signals[1]
    median = median_beats(signals, signals * 0, FS)
    assert median is not None
    assert math.isnan(find_waves(median).qrs_on)
    assert {one.name for one in measure(record(signals))} == {"HR", "RR", "RR variation"}


@pytest.mark.parametrize(
    ("name", "unit", "own", "sd", "printed", "agrees"),
    [
        ("HR", "1/min", 75, 1.5, 74, True),
        ("HR", "1/min", 37, 1.5, 74, False),
        ("QRS axis", "deg", -178, 8, 178, True),
        ("QRS axis", "deg", -30, 8, 60, False),
        ("QT", "ms", 400, 30, 450, True),
    ],
)
def test_agreement_with_the_print(
    name: str, unit: str, own: float, sd: float, printed: float, agrees: bool
) -> None:
    header = Header(measurements=(Measurement(name, printed, unit, words="x", source="ocr"),))
    found = compared(Measurement(name, own, unit, sd=sd), header)
    assert (found.printed, found.agrees) == (printed, agrees)


def test_printed_qtc_is_compared_with_bazett() -> None:
    header = Header(measurements=(Measurement("QTc", 430, "ms"),))
    assert compared(Measurement("QTcB", 420, "ms", sd=30), header).printed == 430
    assert compared(Measurement("QTcF", 420, "ms", sd=30), header).printed is None
    assert compared(Measurement("R", 1.0, "mV", "V5", 0.1), header).agrees is None


def test_measurements_of_a_record() -> None:
    ecg = record(generate_ecg(7000, rhythm="sinus rhythm").signals).measured()
    assert {one.name for one in ecg.measurements} <= QUANTITIES.keys()
    assert {one.lead for one in ecg.measurements if one.name == "R"} == set(LEADS)
    assert all(one.sd >= 0 and one.source == "measured" for one in ecg.measurements)
