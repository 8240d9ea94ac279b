"""What the page says of its scale, and what is believed of it."""

import pytest

from ecg_hough.paper_scale import UNUSUAL_MIN, _believed
from ecg_hough.printed_scale import PrintedScale


@pytest.mark.parametrize(
    ("printed", "speed", "gain"),
    [
        (PrintedScale(25.0, 10.0, 0.6, 0.6), 25.0, 10.0),
        (PrintedScale(50.0, 10.0, UNUSUAL_MIN - 0.01, 0.6), None, 10.0),
        (PrintedScale(25.0, 5.0, 0.6, UNUSUAL_MIN - 0.01), 25.0, None),
        (PrintedScale(50.0, 20.0, UNUSUAL_MIN, UNUSUAL_MIN), 50.0, 20.0),
        (PrintedScale(), None, None),
    ],
)
def test_an_unusual_scale_must_be_clearly_printed(printed, speed, gain):
    believed = _believed(printed)
    assert (believed.speed_mm_s, believed.gain_mm_mv) == (speed, gain)
