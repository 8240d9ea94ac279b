"""The gain of limb and chest leads: pulses, steps and printed words weighed together."""

import numpy as np
import pytest

from ecg_hough.elements import PrintedWord
from ecg_hough.signals.gain import SURE_NATS, find_gain
from ecg_hough.signals.pulse import Pulse


def pulses(height, n=3, *, step=np.nan, quality=0.7):
    return tuple(Pulse(k, 5.0, 5.0, height, quality, 50.0, step) for k in range(n))


def words(**scores):
    return tuple(PrintedWord(f"{name[1:]} mm/mV", 0.0, 0.0, score) for name, score in scores.items())


@pytest.mark.parametrize(
    ("seen", "printed", "limb", "chest", "source"),
    [
        ((), (), 10.0, 10.0, "assumed"),
        (pulses(10.1), (), 10.0, 10.0, "pulse"),
        (pulses(5.1), (), 5.0, 5.0, "pulse"),
        (pulses(19.8), (), 20.0, 20.0, "pulse"),
        ((), words(g5=0.95), 5.0, 5.0, "text"),
        (pulses(10.0, step=5.1), (), 10.0, 5.0, "pulse"),
        (pulses(20.1, step=10.0), (), 20.0, 10.0, "pulse"),
        (pulses(10.0, step=5.1), words(g5=0.95), 10.0, 5.0, "pulse"),
        ((), words(g10=0.95, g5=0.95), 10.0, 5.0, "text"),  # "10/5 mm/mV"
        (pulses(10.0), words(g20=0.9), 10.0, 10.0, "pulse"),
        (pulses(10.0), words(g10=1.16, g5=0.95), 10.0, 10.0, "pulse"),  # no step: the 5 was misread
        ((), words(g5=1.15, g10=0.79), 5.0, 5.0, "text"),  # "calibration: 1 mV / 0.2 s", misread
        ((), words(g20=1.16, g10=0.64), 20.0, 20.0, "text"),
        (pulses(7.5), (), 10.0, 10.0, "assumed"),  # no usual gain
    ],
)
def test_pulses_and_words_state_the_gains(seen, printed, limb, chest, source):
    found = find_gain(seen, printed, has_grid=True)
    assert (found.limb, found.chest, found.source) == (limb, chest, source)
    assert found.margin > 0
    assert bool([note for note in found.notes if "assumed" in note]) == (source == "assumed")
    assert bool([note for note in found.notes if "chest leads" in note]) == (limb != chest)


def test_what_is_contradicted_or_doubtful_is_a_warning():
    against_print = find_gain(pulses(10.0), words(g20=0.95), has_grid=True)
    assert "ignored the printed '20 mm/mV'" in against_print.warnings[0]
    against_pulse = find_gain(pulses(5.0, 1, quality=0.3), words(g10=1.1), has_grid=True)
    assert against_pulse.limb == 10.0
    doubtful = find_gain(pulses(5.0, 1, quality=0.3), (), has_grid=True)
    assert doubtful.margin < SURE_NATS
    assert any("nearly as likely" in warning for warning in doubtful.warnings)
    assert not find_gain(pulses(10.0), words(g10=0.9), has_grid=True).warnings


def test_of_what_may_be_a_rows_pulse_the_likeliest_counts():
    false = tuple(Pulse(k, 9.0, 5.0, 6.5, 0.9) for k in range(3))
    assert find_gain((*pulses(5.0), *false), (), has_grid=True).limb == 5.0


def test_guessed_millimetres_leave_room_for_their_error():
    assert find_gain(pulses(6.2), (), has_grid=False).limb == 5.0
    assert find_gain(pulses(6.8), (), has_grid=True).source == "assumed"
