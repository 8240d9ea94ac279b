from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.clinical import Header, Measurement
from ecg_hough.output.samples import (
    MISSING,
    gaps,
    global_measurements,
    in_16_bits,
    lead_remarks,
    made_by,
    remarks,
)
from ecg_hough.paper import LEADS
from made_up_ecg import made_up_ecg


def test_whole_microvolts_and_the_missing_value() -> None:
    signals = np.full((12, 4), np.nan)
    signals[0] = [0.0, 0.0014, -32.767, 32.767]
    signals[1] = [0.0, 1.0, 65.6, -40.0]
    sixteen = in_16_bits(signals)
    assert sixteen.uv.tolist() == [1, 3] + [1] * 10
    assert sixteen.steps[0].tolist() == [0, 1, -32767, 32767]
    np.testing.assert_allclose(sixteen.steps[1] * 0.003, signals[1], atol=0.0016)
    assert (sixteen.steps[2:] == MISSING).all()


@pytest.mark.parametrize("signals", [np.full((12, 3), np.inf), np.zeros((12, 0)), np.zeros((3, 5))])
def test_signals_that_cannot_be_written(signals: np.ndarray) -> None:
    with pytest.raises(ValueError, match="signals must be"):
        in_16_bits(signals)


def test_gaps_say_whether_it_was_printed() -> None:
    ecg = made_up_ecg()
    signals = ecg.signals.copy()
    signals[0, 100:120] = np.nan
    found = list(gaps(replace(ecg, signals=signals)))
    assert [gap.words for gap in found] == ["not readable: I", "not printed: aVR", "not printed: V6"]
    assert (found[0].start, found[0].stop) == (100, 120)


def test_remarks_name_source_leads_and_warnings() -> None:
    lines = remarks(made_up_ecg())
    assert lines[0] == "Digitised from page.png by ecg-hough 0.1.0"
    sure = [replace(one, status="ok", probability=0.97) for one in made_up_ecg().lead_status]
    sure[6] = replace(sure[6], status="check", probability=0.52)
    assert lead_remarks(replace(made_up_ecg(), lead_status=tuple(sure))) == {
        "aVR": "Lead aVR: not printed",
        "V1": "Lead V1: check, right with probability 0.52",
    }
    assert "Page: check" in lines
    assert lines[-1] == "Warning: aVR is not printed."
    assert made_by(replace(made_up_ecg(), versions={})) == "ecg-hough"


def test_measured_values_come_before_printed_ones() -> None:
    printed = Header(measurements=(Measurement("HR", 70, "1/min"), Measurement("QT", 400, "ms")))
    own = (Measurement("HR", 72, "1/min"), Measurement("R", 1.2, "mV", lead="V5"))
    ecg = replace(made_up_ecg(), header=printed, measurements=own)
    assert [(one.name, one.value) for one in global_measurements(ecg)] == [("HR", 72), ("QT", 400)]
    assert len(ecg.to_dict()["measurements"]) == 2
    assert len(LEADS) == 12
