"""What the page says of its scale, and what is believed of it."""

import pytest

from ecg_hough.paper_scale import STATED_MARGIN, STATED_MIN, stated
from ecg_hough.words import GAIN_WORDS, SPEED_WORDS, PrintedWord


@pytest.mark.parametrize(
    ("words", "speed", "gain"),
    [
        ([("25 mm/s", 0.9), ("10 mm/mV", 0.8)], 25.0, 10.0),
        ([("50 mm/s", 0.9), ("50 mm/s", 0.7), ("V1", 0.9)], 50.0, None),
        ([("25 mm/s", STATED_MIN - 0.01)], None, None),
        ([("5 mm/mV", 0.9), ("20 mm/mV", 0.9 - STATED_MARGIN / 2)], None, None),
        ([("5 mm/mV", 0.95), ("20 mm/mV", 0.95 - 1.5 * STATED_MARGIN)], None, 5.0),
        ([], None, None),
    ],
)
def test_a_scale_must_be_stated_clearly(words, speed, gain):
    printed = tuple(PrintedWord(word, 0.0, 0.0, score) for word, score in words)
    assert stated(printed, SPEED_WORDS) == speed
    assert stated(printed, GAIN_WORDS) == gain
