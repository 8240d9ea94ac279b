"""Positions of the lines of a grid, and the displacement of those that a program drew on whole pixels."""

import cv2
import numpy as np
import pytest

from ecg_hough.elements import GridLines
from ecg_hough.geometry.grid.lines import find_lines
from ecg_hough.page_map import PageMap

PX_PER_MM = 200 / 25.4
SIZE_MM = (127.0, 203.2)
"""A whole number of pixels."""
FIRST_MM = (0.3, 0.6)
"""Nominal places of the first lines, down and across."""


def drawn_grid(*, whole_pixels: bool, noise: float = 0.0, seed: int = 0, px_per_mm: float = PX_PER_MM):
    """A page of lines 1 mm apart, one pixel wide, every fifth one darker; and its map."""
    rows, cols = (round(n * px_per_mm) for n in SIZE_MM)
    darkness = np.zeros((rows, cols))
    for axis, n in ((0, rows), (1, cols)):
        profile = np.zeros(n)
        for k in range(int(SIZE_MM[axis])):
            # Pixel k covers k to k + 1: the line's middle as drawn, from the image's edge.
            middle = (FIRST_MM[axis] + k) * px_per_mm
            middle = np.floor(middle + 0.5) + 0.5 if whole_pixels else middle
            left = int(np.floor(middle - 0.5))
            share = middle - 0.5 - left
            for pixel, part in ((left, 1 - share), (left + 1, share)):
                if 0 <= pixel < n:
                    profile[pixel] += part * (90 if k % 5 == 0 else 50)
        darkness = np.maximum(darkness, profile[:, None] if axis == 0 else profile[None])
    grey = 240 - darkness + np.random.default_rng(seed).normal(0, noise, darkness.shape)
    image = np.repeat(np.clip(np.round(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    # Pixel k's centre is at coordinate k: millimetres from the image's edge.
    matrix = [[px_per_mm, 0.0, -0.5], [0.0, px_per_mm, -0.5]]
    return image, PageMap.from_affine(matrix, SIZE_MM)


BOX = (5.0, 5.0, SIZE_MM[0] - 5.0, SIZE_MM[1] - 5.0)


@pytest.mark.parametrize("noise", [0.0, 25.0])
def test_lines_on_whole_pixels_are_displaced_by_half_a_pixel(noise):
    found = find_lines(*drawn_grid(whole_pixels=True, noise=noise), BOX)
    for lines, first in zip(found, FIRST_MM, strict=True):
        assert lines.printed_off_mm == (pytest.approx(0.5 / PX_PER_MM, abs=1e-4),)
        assert lines.shift_to(first + 47.05) == pytest.approx(-0.05, abs=0.01)


def test_lines_drawn_between_pixels_are_not_displaced():
    found = find_lines(*drawn_grid(whole_pixels=False), BOX)
    for lines, first in zip(found, FIRST_MM, strict=True):
        assert lines.printed_off_mm == (0.0,)
        assert lines.shift_to(first + 47.03) == pytest.approx(-0.03, abs=0.01)
        assert lines.shift_to(first + 47.2) is None


def test_lines_a_whole_number_of_pixels_apart_are_measured_by_their_width():
    """They do not beat with the pixels; lines between pixels are darker on one side."""
    found = find_lines(*drawn_grid(whole_pixels=True, px_per_mm=8.0), BOX)
    assert [lines.printed_off_mm for lines in found] == [(0.5 / 8.0,)] * 2
    found = find_lines(*drawn_grid(whole_pixels=False, px_per_mm=8.0), BOX)
    assert [lines.printed_off_mm for lines in found] == [(), ()]


@pytest.mark.parametrize(("width_px", "off_px"), [(1, 0.5), (2, 0.0)])
def test_lines_two_pixels_wide_are_not_displaced(width_px, off_px):
    """In a program's own picture at a scale at which half a pixel matters."""
    image, page_map = drawn_grid(whole_pixels=True, px_per_mm=100 / 25.4)
    if width_px == 2:
        image = np.minimum(image, np.roll(np.roll(image, -1, axis=0), -1, axis=1))
        # Lines between both pixels, which `drawn_grid` puts at the second one.
        page_map = PageMap.from_affine([[100 / 25.4, 0.0, -1.0], [0.0, 100 / 25.4, -1.0]], SIZE_MM)
    for lines in find_lines(image, page_map, BOX):
        assert lines.printed_off_mm == (pytest.approx(off_px * 25.4 / 100, abs=1e-4),)
        assert lines.near_mm == pytest.approx(0.9 * 25.4 / 100, abs=1e-3)
    blurred = cv2.GaussianBlur(image, (0, 0), 1.5)
    assert all(lines is None or lines.near_mm <= 0.12 for lines in find_lines(blurred, page_map, BOX))


def test_a_turned_page_shows_its_raster():
    """A scan of a print: the pattern of whole pixels is the drawing's, not the image's."""
    image, _ = drawn_grid(whole_pixels=True, noise=5.0)
    turn = cv2.getRotationMatrix2D((500.0, 400.0), 3.0, 0.93)
    turned = cv2.warpAffine(
        image, turn, image.shape[1::-1], flags=cv2.INTER_AREA, borderValue=(240, 240, 240)
    )
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    linear, offset = swap @ turn[:, :2] @ swap, swap @ turn[:, 2]
    matrix = np.column_stack([linear * PX_PER_MM, linear @ [-0.5, -0.5] + offset])
    found = find_lines(turned, PageMap.from_affine(matrix, SIZE_MM), (20.0, 30.0, 95.0, 170.0))
    for lines, first in zip(found, FIRST_MM, strict=True):
        assert lines.printed_off_mm == (pytest.approx(0.5 / PX_PER_MM, abs=1e-3),)
        assert lines.shift_to(first + 47.0) == pytest.approx(0.0, abs=0.01)


def test_paper_without_lines():
    image = np.full((900, 1500, 3), 240, np.uint8)
    page_map = PageMap.from_affine([[PX_PER_MM, 0, 0], [0, PX_PER_MM, 0]], (114.0, 190.0))
    assert find_lines(image, page_map, (5.0, 5.0, 110.0, 185.0)) == (None, None)
    noise = np.random.default_rng(1).integers(120, 240, image.shape).astype(np.uint8)
    assert all(
        lines is None or not lines.printed_off_mm for lines in find_lines(noise, page_map, (5, 5, 110, 185))
    )


def test_a_box_too_small_to_measure_lines():
    assert find_lines(*drawn_grid(whole_pixels=True), (5.0, 5.0, 30.0, 100.0)) == (None, None)


def test_lines_of_unknown_displacement_move_nothing():
    assert GridLines(0.2, ()).shift_to(5.2) is None


def test_matplotlib_displaces_lines_by_half_a_pixel():
    """The assumption about matplotlib, checked with matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIZE_MM[1] / 25.4, SIZE_MM[0] / 25.4), dpi=200)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, SIZE_MM[1]), ylim=(SIZE_MM[0], 0))
    axes.set_xticks(np.arange(FIRST_MM[1], SIZE_MM[1]), minor=True)
    axes.set_yticks(np.arange(FIRST_MM[0], SIZE_MM[0]), minor=True)
    axes.grid(which="minor", linewidth=0.5, color=(0.9, 0.6, 0.6))
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    matrix = [[PX_PER_MM, 0.0, -0.5], [0.0, PX_PER_MM, -0.5]]
    for lines, first in zip(
        find_lines(image, PageMap.from_affine(matrix, SIZE_MM), BOX), FIRST_MM, strict=True
    ):
        assert lines.shift_to(first + 20.0) == pytest.approx(0.0, abs=0.01)
