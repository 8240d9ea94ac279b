from dataclasses import replace

import cv2
import numpy as np
import pytest

from ecg_hough.elements import RowTrace
from ecg_hough.page_map import PageMap
from ecg_hough.traces.tips import BEYOND_MM, unseen_tips

PX_PER_MM, PEN_MM, LEVEL_MM = 10.0, 0.4, 30.0
X_MM = np.arange(5.0, 95.0, 1 / 16)


def row_of(peak_mm: float, at_mm: float = 50.0, index: int = 0, level_mm: float = LEVEL_MM) -> RowTrace:
    """A flat trace with one wave of a height, upwards, as narrow as a pen hides."""
    y = level_mm - peak_mm * np.clip(1.0 - np.abs(X_MM - at_mm) / 0.3, 0.0, 1.0)
    return RowTrace(index, X_MM, y, np.full(X_MM.size, 0.05), np.ones(X_MM.size), pen_mm=PEN_MM)


def ink_of(*rows: RowTrace) -> np.ndarray:
    page = np.zeros((600, 1000), np.uint8)
    for row in rows:
        points = np.rint(np.stack([row.x_mm, row.y_mm], 1) * PX_PER_MM).astype(np.int32)
        cv2.polylines(page, [points], False, 1, round(PEN_MM * PX_PER_MM))
    return page.astype(bool)


@pytest.fixture(scope="module")
def page_map() -> PageMap:
    return PageMap.from_affine([[PX_PER_MM, 0.0, 0.0], [0.0, PX_PER_MM, 0.0]], (60.0, 100.0))


def test_the_tip_of_a_whole_wave_is_seen(page_map):
    row = row_of(12.0)
    assert unseen_tips(ink_of(row), page_map, row, (row,)) == []


def test_ink_goes_on_beyond_a_wave_that_was_read_too_low(page_map):
    read, drawn = row_of(6.0), row_of(12.0)
    (tip,) = unseen_tips(ink_of(drawn), page_map, read, (read,))
    assert X_MM[tip.at] == pytest.approx(50.0, abs=0.1)
    assert tip.upwards
    assert tip.features[0] == pytest.approx(BEYOND_MM[1] - BEYOND_MM[0])
    assert 0 < tip.stop - tip.first <= 10  # its upper half only


def test_a_thin_line_of_another_row_just_above_hides_no_tip(page_map):
    row, above = row_of(12.0), row_of(0.0, index=1, level_mm=LEVEL_MM - 12.3)
    assert unseen_tips(ink_of(row, above), page_map, row, (row, above)) == []


def test_ink_that_another_row_explains_is_said_to_be(page_map):
    row, other = row_of(6.0), row_of(-16.0, index=1, level_mm=8.0)
    (tip,) = unseen_tips(ink_of(row, other), page_map, row, (row, other))
    assert tip.features[2] > 0.9
    assert unseen_tips(ink_of(row, other), page_map, row, (row,))[0].features[2] == 0.0


def test_a_row_without_a_trace_has_none(page_map):
    empty = replace(row_of(5.0), y_mm=np.full(X_MM.size, np.nan))
    assert unseen_tips(ink_of(row_of(5.0)), page_map, empty, (empty,)) == []
