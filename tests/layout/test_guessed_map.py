"""Pages without a grid: what the coarse traces show of the page."""

import cv2
import numpy as np
import pytest

from ecg_hough.elements import LeadPanel, PageLayout
from ecg_hough.geometry.page_geometry import PageGeometry
from ecg_hough.layout.guessed_map import block_corners, common_turn, map_without_grid
from ecg_hough.networks.canvas import to_canvas
from ecg_hough.paper import make_layout

SHAPE = (700, 700)
LEVELS = np.linspace(150.0, 550.0, 6)
NO_GRID = PageGeometry(0.0, None, False, None, np.nan, "hough-only", ())


def photographed(corners, wander_px=0.0):
    """Canvas and layout of six rows of beats on a block whose corners are there in the image, (x, y) px."""
    square = np.array([[100, 150], [600, 150], [100, 550], [600, 550]], np.float32)
    seen = cv2.getPerspectiveTransform(square, np.asarray(corners, np.float32))
    canvas = to_canvas(np.full((*SHAPE, 3), 255, np.uint8), side=SHAPE[0])
    layout, panels = make_layout("6x1-precordial"), []
    x = np.arange(100.0, 600.0, 0.5)
    for k, level in enumerate(LEVELS):
        beats = np.where(x % 80 < 6, 30.0, 0.0)
        wander = wander_px * np.sin(x / 90.0 + k)
        points = cv2.perspectiveTransform(np.stack([x, level - beats + wander], -1)[None], seen)[0]
        path = np.full(SHAPE[1], np.nan)
        cols = np.arange(int(np.ceil(points[0, 0])), int(points[-1, 0]))
        path[cols] = np.interp(cols, points[:, 0], points[:, 1])
        row = layout.rows[k][0]
        panels.append(LeadPanel(row, k, 0, False, points[0, 0], points[-1, 0], path, 1.0))
    return canvas, PageLayout(tuple(panels), layout, 100.0, 1.0, 80.0), seen


@pytest.mark.parametrize(
    "corners",
    [[(120, 130), (590, 190), (90, 560), (610, 530)], [(100, 200), (600, 140), (110, 600), (620, 520)]],
)
def test_a_block_seen_from_aside_is_a_rectangle_again(corners):
    canvas, layout, seen = photographed(corners)
    page_map = map_without_grid(NO_GRID, canvas, layout, SHAPE)
    y, x = np.meshgrid(LEVELS, np.linspace(100, 600, 9), indexing="ij")
    points = cv2.perspectiveTransform(np.stack([x, y], -1).reshape(1, -1, 2), seen)[0]
    y_mm, x_mm = (v.reshape(y.shape) for v in page_map.to_mm(points[:, 1], points[:, 0]))
    assert np.ptp(y_mm, axis=1).max() < 1.5
    assert np.ptp(x_mm, axis=0).max() < 1.5
    np.testing.assert_allclose(np.diff(x_mm, axis=1), 250.0 / 8, rtol=0.02)


def turned(degrees):
    """Corners of the block on a page that is turned by some degrees."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    square = np.array([[100, 150], [600, 150], [100, 550], [600, 550]], float) - 350
    return 350 + square @ np.array([[c, s], [-s, c]])


def test_wander_and_a_small_angle_are_no_perspective():
    canvas, layout, _ = photographed([(100, 150), (600, 154), (100, 550), (600, 554)], wander_px=4.0)
    page_map = map_without_grid(NO_GRID, canvas, layout, SHAPE)
    assert block_corners(canvas, layout, page_map) is None
    assert np.ptp(page_map.to_mm(np.full(5, 300.0), np.linspace(100, 600, 5))[0]) < 1e-6


@pytest.mark.parametrize("degrees", [-1.5, 0.8])
def test_a_page_is_turned_by_what_all_rows_rise_alike(degrees):
    canvas, layout, seen = photographed(turned(degrees), wander_px=1.0)
    page_map = map_without_grid(NO_GRID, canvas, layout, SHAPE)
    y, x = np.meshgrid(LEVELS, np.linspace(100, 600, 9), indexing="ij")
    points = cv2.perspectiveTransform(np.stack([x, y], -1).reshape(1, -1, 2), seen)[0]
    y_mm, x_mm = (v.reshape(y.shape) for v in page_map.to_mm(points[:, 1], points[:, 0]))
    assert np.ptp(y_mm, axis=1).max() < 0.25 * 250 * abs(np.deg2rad(degrees))
    assert np.ptp(x_mm, axis=0).max() < 0.25 * 200 * abs(np.deg2rad(degrees))


def test_rows_that_do_not_rise_alike_turn_no_page():
    x = np.linspace(0.0, 250.0, 32)
    cells = {k: np.column_stack([20.0 * k + slope * x, x]) for k, slope in enumerate([-0.02, 0.015, 0.005])}
    assert common_turn(cells) == 0.0
    alike = {k: np.column_stack([20.0 * k + slope * x, x]) for k, slope in enumerate([0.014, 0.015, 0.015])}
    assert common_turn(alike) == pytest.approx(np.rad2deg(np.arctan(0.015)))
    assert common_turn(dict(list(alike.items())[:2])) == 0.0
