"""Strokes drawn along rows: distances to a polyline, a line's ink, a raster's bars."""

from dataclasses import replace

import numpy as np
import pytest

from drawn_strip import PERIOD, SHAPE, strip_of, true_rows
from ecg_hough.traces.drawing import (
    Near,
    bars_of,
    blurred,
    draw_bars,
    draw_line,
    nearest_segments,
    pixels_near,
)
from ecg_hough.traces.pen import Pen, find_paper, find_pen

PEN = Pen(2.0, 0.3, 1.0, np.zeros(40, np.float32), 2.0)


def every_pixel(shape: tuple[int, int]) -> Near:
    row, column = (index.ravel() for index in np.indices(shape))
    ones = np.ones(row.size, np.float32)
    return Near(row, column, row.astype(np.float32), ones, ones, 0.1, 5, shape)


def test_distances_to_a_slanting_line() -> None:
    shape, slope = (40, 60), 0.5
    near = every_pixel(shape)
    x = (np.arange(60)[:, None] + [-0.25, 0.25]).ravel()
    y = 5 + slope * x
    nearest = nearest_segments(y, np.ones(y.size - 1, bool), near, 2 * near.column, 20)
    away = near.row - (5 + slope * near.column)
    inner = (near.column > 8) & (near.column < 52) & (np.abs(away) < 5)
    np.testing.assert_allclose(nearest.distance[inner], (np.abs(away) / np.hypot(1, slope))[inner], atol=1e-3)
    assert (np.sign(nearest.below[inner]) == np.sign(away[inner]))[np.abs(away[inner]) > 0.01].all()
    # The place along the line is the pixel's foot on it.
    at = 0.5 * nearest.segment - 0.25 + 0.5 * nearest.share
    foot = near.column + away * slope / (1 + slope**2)
    np.testing.assert_allclose(at[inner], foot[inner], atol=1e-3)


def test_a_segment_that_is_not_drawn_is_never_the_nearest() -> None:
    near = every_pixel((20, 30))
    y, drawn = np.full(60, 10.0), np.ones(59, bool)
    drawn[30:34] = False
    nearest = nearest_segments(y, drawn, near, 2 * near.column, 10)
    assert not np.isin(nearest.segment, np.arange(30, 34)).any()


def test_ink_of_a_level_line_is_as_wide_as_the_pen() -> None:
    near = every_pixel((20, 30))
    y = np.full(60, 10.25)
    distance = nearest_segments(y, np.ones(59, bool), near, 2 * near.column, 5).distance
    drawing = draw_line(distance, near, PEN)
    np.testing.assert_allclose(drawing.sum(axis=0), PEN.width_px, atol=1e-4)
    rows = np.arange(20)[:, None]
    np.testing.assert_allclose((drawing * rows).sum(axis=0) / PEN.width_px, 10.25, atol=1e-3)


def test_bars_reach_from_the_highest_to_the_lowest_value_of_a_column() -> None:
    y = np.array([10.0, 10.0, 10.0, 14.0, 20.0, 20.0])
    bars = bars_of(y, np.ones(6, bool))
    assert bars.top.tolist() == [10.0, 10.0, 17.0]
    assert bars.bottom.tolist() == [10.0, 17.0, 20.0]
    drawing = draw_bars(bars, PEN, (30, 3))
    np.testing.assert_allclose(drawing.sum(axis=0), bars.bottom - bars.top + PEN.width_px)
    unseen = bars_of(y, np.zeros(6, bool))
    assert not draw_bars(unseen, PEN, (30, 3)).any()


@pytest.mark.parametrize("blur", [0.2, 1.5])
def test_blur_keeps_the_ink_and_spreads_it(blur: float) -> None:
    sharp = np.zeros((41, 41), np.float32)
    sharp[20] = 1.0
    drawn = blurred(sharp, replace(PEN, blur_px=blur))
    np.testing.assert_allclose(drawn.sum(axis=0), 1.0, atol=1e-3)
    spread = np.sqrt((drawn[:, 20] * (np.arange(41) - 20) ** 2).sum())
    assert spread == pytest.approx(np.sqrt(max(blur**2 - 0.3**2, 0.0)), abs=0.1)


def test_pixels_near_the_trace_hold_all_of_its_ink() -> None:
    y, x = true_rows()
    paper = find_paper(strip_of(y, x), y, y > 0, PERIOD)
    pen = find_pen(paper, y, y > 0)
    assert pen is not None
    near = pixels_near(paper, pen, y, y > 0)
    share, _ = paper.ink(*np.indices(SHAPE))
    share[near.row, near.column] = 0.0
    assert np.abs(share).max() < 0.3
    assert near.row.size < 0.3 * share.size
