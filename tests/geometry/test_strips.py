"""Strips: frames invert, and the cut pixels are those of the page."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame, cut_strip, shrink_for_strips, strip_map
from ecg_hough.page_map import PageMap


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.floats(0.9, 1.1), st.floats(-50, 200), st.floats(-50, 200))
def test_frame_inverts(turn, zoom, y, x):
    frame = StripFrame(y, x, (256, 320), turn_deg=turn, zoom=zoom)
    points = np.array([[0.0, 0.0], [10.5, 300.0], [255.0, -7.0]])
    assert np.allclose(frame.from_mm(frame.to_mm(points)), points, atol=1e-6)


@pytest.mark.parametrize("cubic", [True, False])
@pytest.mark.parametrize("px_per_mm", [4.0, 8.0, 11.3])
def test_strip_shows_a_known_slope(px_per_mm, cubic):
    # A page whose brightness is its row: the strip must show the rows it was cut from.
    rows = np.arange(400, dtype=float)
    image = np.repeat(np.repeat((rows / 2)[:, None, None], 600, 1), 3, 2).astype(np.uint8)
    page_map = PageMap.from_affine([[px_per_mm, 0, 0], [0, px_per_mm, 0]], (400 / px_per_mm, 600 / px_per_mm))
    frame = StripFrame(10.0, 5.0, (64, 128))
    where = strip_map(frame, page_map)
    assert np.allclose(where[0][:, 0], (10 + np.arange(64) / STRIP_PX_PER_MM) * px_per_mm, atol=1e-2)
    strip = cut_strip(image, where, cubic=cubic)
    assert np.abs(strip[..., 0].astype(float) - where[0] / 2).max() <= 1.5


def test_fine_pages_are_averaged_first():
    image = np.zeros((600, 600, 3), np.uint8)
    image[::2] = 255  # finer than a strip can show
    small, factor = shrink_for_strips(image, 24.0)
    assert factor == pytest.approx(1 / 3)
    assert small.std() < 60
    same, one = shrink_for_strips(image, 8.0)
    assert one == 1.0
    assert same is image


def test_outside_the_image_is_white():
    image = np.zeros((50, 50, 3), np.uint8)
    page_map = PageMap.from_affine([[8.0, 0, 0], [0, 8.0, 0]], (6, 6))
    strip = cut_strip(image, strip_map(StripFrame(-20.0, 0.0, (64, 64)), page_map))
    assert (strip == 255).all()
