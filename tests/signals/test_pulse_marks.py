"""Heights, steps and feet of calibration pulses at landmarks, on drawn pages."""

import cv2
import numpy as np
import pytest

from ecg_hough.elements import RowMark, RowTrace
from ecg_hough.page_map import PageMap
from ecg_hough.signals.pulse_marks import pulses_of_marks
from ecg_hough.traces.ink import InkModel

PX = 8.0
PAGE = PageMap.from_affine(np.array([[PX, 0.0, 0.0], [0.0, PX, 0.0]]), (100.0, 120.0))
INK = InkModel(np.full(3, -1 / 765.0), -1.0, 20.0)
"""Darkness 0 of white and 1 of black."""


def page(points_mm, *, grey=0, level=60.0):
    """A drawn pulse and the trace behind it, white paper."""
    image = np.full((800, 960, 3), 255, np.uint8)
    for line, colour in ((points_mm, grey), ([(level, 22.0), (level, 110.0)], 0)):
        at = np.round(np.array(line)[:, ::-1] * PX * 16).astype(np.int32)
        cv2.polylines(image, [at[:, None]], False, (colour,) * 3, 3, cv2.LINE_AA, 4)
    x = np.arange(22.0, 110.0, 0.1)
    row = RowTrace(0, x, np.full(x.size, level), np.full(x.size, 0.05), np.ones(x.size), 0.35)
    return image, row


def marks(left, right, probability=0.8):
    return (RowMark("pulse_left", 0, left, probability), RowMark("pulse_right", 0, right, probability))


@pytest.mark.parametrize("height", [5.0, 10.0, 20.0])
@pytest.mark.parametrize("grey", [0, 140])
def test_height_and_foot(height, grey):
    top = 60.0 - height
    image, row = page([(60, 9), (60, 10), (top, 10), (top, 15), (60, 15), (60, 16)], grey=grey)
    (found,) = pulses_of_marks(image, PAGE, INK, (row,), marks(10.0, 15.0))
    assert found.height_mm == pytest.approx(height, abs=0.25)
    assert found.foot_mm == pytest.approx(60.0, abs=0.2)
    assert np.isnan(found.step_mm)


def test_a_step_states_two_heights():
    image, row = page([(60, 9), (60, 10), (50, 10), (50, 12.5), (55, 12.5), (55, 15), (60, 15), (60, 16)])
    (found,) = pulses_of_marks(image, PAGE, INK, (row,), marks(10.0, 15.0))
    assert found.height_mm == pytest.approx(10.0, abs=0.25)
    assert found.step_mm == pytest.approx(5.0, abs=0.25)


def test_no_pulse_without_both_strokes_or_a_top():
    image, row = page([(60, 9), (60, 10), (50, 10), (50, 15), (60, 15), (60, 16)])
    assert pulses_of_marks(image, PAGE, INK, (row,), marks(10.0, 15.0)[:1]) == ()
    assert pulses_of_marks(image, PAGE, INK, (row,), marks(10.0, 40.0)) == ()
    (clear,) = pulses_of_marks(image, PAGE, INK, (row,), marks(10.0, 15.0))
    image, row = page([(60, 9), (60, 16)])
    without_top = pulses_of_marks(image, PAGE, INK, (row,), marks(10.0, 15.0))
    assert all(pulse.quality < 0.5 * clear.quality for pulse in without_top)
