"""Paper, ink and pen measured on a drawn strip."""

import numpy as np
import pytest

from drawn_strip import PERIOD, SHAPE, strip_of, true_rows
from ecg_hough.traces.pen import find_paper, find_pen


def test_the_grid_is_no_ink_and_the_pen_is_measured():
    y, x = true_rows(height=20)
    paper = find_paper(strip_of(y, x, width=3.0, blur=0.8), y, y > 0, PERIOD)
    share, weight = paper.ink(*np.indices(SHAPE))
    assert share[100:180].max() > 0.8
    assert np.abs(share[20:80]).max() < 0.1
    assert ((weight >= 0) & (weight <= 1)).all()
    pen = find_pen(paper, y, y > 0)
    assert pen is not None
    assert pen.width_px == pytest.approx(3.0, abs=0.6)


@pytest.mark.parametrize(("width", "blur"), [(2.0, 0.6), (4.0, 1.2)])
def test_width_and_blur_of_the_pen(width: float, blur: float) -> None:
    y, x = true_rows(height=20)
    paper = find_paper(strip_of(y, x, grid=False, width=width, blur=blur), y, y > 0, PERIOD)
    pen = find_pen(paper, y, y > 0)
    assert pen is not None
    assert pen.width_px == pytest.approx(width, abs=0.5)
    assert pen.blur_px == pytest.approx(blur, abs=0.4)
    # The share of ink falls from the stroke's middle outwards.
    assert pen.slope.max() < 0.05
    assert pen.slope.min() < -0.1


def test_the_local_light_is_no_ink() -> None:
    y, x = true_rows(height=20)
    strip = strip_of(y, x) * np.linspace(1.0, 0.7, SHAPE[1])[:, None]
    paper = find_paper(strip.astype(np.uint8), y, y > 0, PERIOD)
    share, _ = paper.ink(*np.indices(SHAPE))
    assert np.abs(share[20:80]).max() < 0.15
    assert paper.lamp[50, 50] > 1.2 * paper.lamp[50, -50]


def test_no_pen_without_a_stroke_or_level_stretches() -> None:
    y, x = true_rows()
    blank = np.full((*SHAPE, 3), 255, np.uint8)
    assert find_pen(find_paper(blank, y, y > 0, PERIOD), y, y > 0) is None
    steep = 20 + (x % 100)
    assert find_pen(find_paper(strip_of(steep, x), steep, y > 0, PERIOD), steep, y > 0) is None
