"""The canvas: upright, centred, and its map to the page and back exact."""

import cv2
import numpy as np
import pytest

from ecg_hough.networks.canvas import CANVAS_PX, to_canvas, to_flat_canvas
from ecg_hough.page_map import PageMap

MARKS = np.array([[100.0, 200.0], [800.0, 1200.0], [450.0, 650.0]])


def marked_page():
    image = np.full((900, 1300, 3), 200, np.uint8)
    for row, col in MARKS.astype(int):
        cv2.circle(image, (col, row), 8, (0, 0, 0), -1)
    return image


@pytest.mark.parametrize(("tall", "wide"), [(0.8, 1.0), (1.0, 1.0), (1.3, 1.0), (1.0, 0.8)])
@pytest.mark.parametrize("angle", [0.0, 0.4, 12.0, -25.0])
def test_marks_are_where_the_map_puts_them(angle, tall, wide):
    canvas = to_canvas(marked_page(), angle, tall=tall, wide=wide)
    assert canvas.image.shape == (CANVAS_PX, CANVAS_PX, 3)
    points = canvas.from_page(MARKS)
    assert np.allclose(canvas.to_page(points), MARKS, atol=1e-6)
    for row, col in points:
        r, c = round(row), round(col)
        dark = 200.0 - canvas.image[r - 8 : r + 9, c - 8 : c + 9, 0]
        grid = np.mgrid[r - 8 : r + 9, c - 8 : c + 9]
        assert np.abs((grid * dark).sum(axis=(1, 2)) / dark.sum() - (row, col)).max() < 0.03


def test_covered_is_the_page():
    canvas = to_canvas(np.zeros((500, 1000, 3), np.uint8))
    assert (canvas.image[canvas.covered] == 0).all()
    assert (canvas.image[~canvas.covered] == 255).all()
    assert canvas.covered.mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("angle", "room"), [(0.0, 2.0), (30.0, 1.196)])
def test_a_page_is_drawn_no_taller_than_there_is_room(angle, room):
    page = np.full((500, 1000, 3), 90, np.uint8)
    usual, tall = (to_canvas(page, angle, tall=times) for times in (1.0, 9.0))
    assert np.linalg.norm(tall.matrix[0, :2]) / np.linalg.norm(usual.matrix[0, :2]) == pytest.approx(
        room, abs=0.01
    )
    assert np.allclose(tall.matrix[1, :2], usual.matrix[1, :2], atol=0.01)
    assert tall.covered.any(axis=1).all()


def test_a_tall_page_is_drawn_as_wide_as_there_is_room():
    page = np.full((1000, 400, 3), 90, np.uint8)
    usual, wide = (to_canvas(page, wide=times) for times in (1.0, 9.0))
    assert wide.matrix[1, 1] / usual.matrix[1, 1] == pytest.approx(2.5, abs=0.01)
    assert wide.matrix[0, 0] == pytest.approx(usual.matrix[0, 0], abs=1e-9)
    assert wide.covered.all()


def test_a_turned_page_is_turned_back():
    image = np.full((600, 900, 3), 255, np.uint8)
    angle = 10.0
    # A line that rises to the right by the page's angle, as on a page turned counter-clockwise.
    run = 300 * np.array([np.cos(np.deg2rad(angle)), -np.sin(np.deg2rad(angle))])
    centre = np.array([450.0, 300.0])
    start, end = centre - run, centre + run
    ends = [tuple(point.round().astype(int).tolist()) for point in (start, end)]
    cv2.line(image, *ends, (0, 0, 0), 5)
    canvas = to_canvas(image, angle)
    rows, cols = np.nonzero(canvas.image[..., 0] < 100)
    assert abs(np.polyfit(cols, rows, 1)[0]) < 0.005


def test_small_pages_are_enlarged():
    canvas = to_canvas(np.full((176, 352, 3), 90, np.uint8))
    assert canvas.scale == pytest.approx(2.0)


def curled():
    """Map of a page whose rows wave by 8 mm, 5 px per mm, inside a picture of 900 x 1300."""
    y, x = np.linspace(0, 170, 30), np.linspace(0, 250, 40)
    at_y, at_x = np.meshgrid(y, x, indexing="ij")
    return PageMap(y, x, 25 + 5 * (at_y + 4 * np.sin(at_x / 40)), 25 + 5 * at_x)


def test_a_curled_page_is_flattened():
    page_map = curled()
    image = np.full((900, 1300, 3), 200, np.uint8)
    x = np.arange(20, 230, 0.1)
    rows, cols = page_map.to_pixels(np.full_like(x, 80.0), x)
    points = np.round(np.stack([cols, rows], -1) * 16).astype(np.int32)
    cv2.polylines(image, [points[:, None]], False, (0, 0, 0), 4, cv2.LINE_AA, 4)
    canvas = to_flat_canvas(image, page_map, (-5.0, -5.0, 175.0, 260.0))
    dark = 200.0 - canvas.image[..., 0]
    there = dark.max(axis=0) > 60
    middle = (np.arange(CANVAS_PX)[:, None] * dark).sum(axis=0)[there] / dark.sum(axis=0)[there]
    assert there.sum() == pytest.approx(210 * canvas.scale, abs=3)
    assert np.ptp(middle) < 0.5
    assert middle.mean() == pytest.approx(canvas.from_page(np.array([[rows[0], cols[0]]]))[0, 0], abs=0.2)
    points = canvas.from_page(MARKS)
    assert np.allclose(canvas.to_page(points), MARKS, atol=1e-2)
    assert not canvas.covered[:, 0].any()
    assert canvas.covered[CANVAS_PX // 2, CANVAS_PX // 2]
