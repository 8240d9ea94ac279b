"""Limits of candidates: the first one that is broken is named in the log, with its measurement."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest

from ecg_hough.elements import PrintedWord
from ecg_hough.geometry.strips import STRIP_PX_PER_MM
from ecg_hough.paper import SPEED_WORDS
from ecg_hough.signals.limits import Limit, keeps_limits
from ecg_hough.signals.pulse import Pulse, best_pulse, gain_of_pulses
from ecg_hough.signals.scale import stated

LOG = logging.getLogger("ecg_hough.signals")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("ecg_hough.signals")]


@pytest.mark.parametrize(
    ("value", "kept"), [(0.5, True), (1.0, True), (2.0, True), (2.1, False), (0.4, False), (np.nan, False)]
)
def test_limits_include_their_ends_and_nan_keeps_none(value: float, kept: bool) -> None:
    assert keeps_limits(LOG, ("candidate",), [Limit("size", value, least=0.5, most=2.0)]) == kept


def test_the_first_broken_limit_is_named(caplog: pytest.LogCaptureFixture) -> None:
    limits = [Limit("width", 1.0, most=2.0), Limit("height", 3.0, least=4.0), Limit("ink", 9.0, most=1.0)]
    with caplog.at_level(logging.DEBUG, "ecg_hough.signals"):
        assert not keeps_limits(LOG, ("pulse of row %d", 3), limits)
    assert messages(caplog) == ["pulse of row 3 rejected: height 3 is below 4"]


def test_nothing_is_formatted_while_the_log_is_off(caplog: pytest.LogCaptureFixture) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise AssertionError("formatted")

    with caplog.at_level(logging.INFO, "ecg_hough.signals"):
        assert not keeps_limits(LOG, ("candidate %s", Unprintable()), [Limit("size", 3.0, most=2.0)])
    assert not messages(caplog)


def test_a_rejected_pulse_is_named(caplog: pytest.LogCaptureFixture) -> None:
    mask = np.zeros((round(35 * STRIP_PX_PER_MM), round(26 * STRIP_PX_PER_MM)), np.uint8)
    points = np.array([[2, 25], [4, 25], [4, 15], [9, 15], [9, 25], [11, 25]]) * STRIP_PX_PER_MM
    cv2.polylines(mask, [points.astype(np.int32)], False, 1, 4)
    filled = mask.copy()
    filled[round(16 * STRIP_PX_PER_MM) : round(24 * STRIP_PX_PER_MM), round(5 * STRIP_PX_PER_MM) :][
        :, : round(3 * STRIP_PX_PER_MM)
    ] = 1
    with caplog.at_level(logging.DEBUG, "ecg_hough.signals"):
        assert best_pulse(mask > 0, 2, 100.0) is not None
        assert not messages(caplog)
        assert best_pulse(filled > 0, 2, 100.0) is None
    assert any(
        "pulse of row 2 at 104" in text and "ink between its strokes" in text for text in messages(caplog)
    )


def test_a_rejected_gain_of_a_pulse_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "ecg_hough.signals"):
        assert gain_of_pulses((Pulse(0, 14.0, 4.0, 10.0, 0.6),), 4) is None
    assert messages(caplog) == ["pulses of 10 mm/mV rejected: quality of its one pulse 0.6 is below 0.7"]


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ((0.7, 0.1), "'25 mm/s' rejected: score 0.7"),
        ((0.95, 0.9), "difference of its score to the next one's"),
    ],
)
def test_a_rejected_printed_scale_is_named(
    caplog: pytest.LogCaptureFixture, scores: tuple[float, float], words: str
) -> None:
    printed = tuple(
        PrintedWord(word, 0.0, 0.0, score) for word, score in zip(("25 mm/s", "50 mm/s"), scores, strict=True)
    )
    with caplog.at_level(logging.DEBUG, "ecg_hough.signals"):
        assert stated(printed, SPEED_WORDS) is None
    assert words in messages(caplog)[0]
