"""Ink: the direction in colour that separates pen and grid, and the pen's own pixels under a mask."""

import numpy as np
import pytest

from ecg_hough.elements import RowTrace
from ecg_hough.page_map import PageMap
from ecg_hough.traces.ink import find_ink, pen_under

PX_PER_MM = 5.0
PAGE_MM = (60.0, 100.0)
LEVEL_MM = 30.2


def page(pen: tuple[int, int, int], grid: tuple[int, int, int]) -> np.ndarray:
    """A level trace, 0.6 mm wide, on a grid of 1 mm."""
    rows, cols = (round(size * PX_PER_MM) for size in PAGE_MM)
    image = np.full((rows, cols, 3), 255, np.uint8)
    image[::5], image[:, ::5] = grid, grid
    middle = round(LEVEL_MM * PX_PER_MM)
    image[middle - 1 : middle + 2, 50:450] = pen
    return image


def trace(start_mm: float = 10.0, end_mm: float = 90.0) -> RowTrace:
    x = np.arange(start_mm, end_mm, 1 / 16)
    y = np.full(x.size, LEVEL_MM)
    return RowTrace(0, x, y, np.full(x.size, 0.1), np.ones(x.size))


FLAT = PageMap.from_affine([[PX_PER_MM, 0, 0], [0, PX_PER_MM, 0]], PAGE_MM)


@pytest.mark.parametrize(
    ("pen", "grid"),
    [((20, 20, 20), (250, 160, 160)), ((40, 60, 190), (220, 60, 60)), ((20, 20, 20), (200,) * 3)],
)
def test_darkness_is_one_on_the_pen_and_nothing_on_paper_and_grid(pen, grid) -> None:
    image = page(pen, grid)
    ink = find_ink(image, FLAT, (trace(),))
    assert ink is not None
    assert ink.contrast > 1.0
    darkness = ink.darkness(image)
    assert darkness.shape == image.shape[:2]
    middle = round(LEVEL_MM * PX_PER_MM)
    np.testing.assert_allclose(darkness[middle, 60:440], 1.0, atol=0.1)
    assert darkness[20:100].max() < 0.6
    assert np.median(darkness[20:100]) < 0.1


def test_no_ink_without_a_trace_or_where_all_has_one_colour() -> None:
    image = page((20, 20, 20), (250, 160, 160))
    assert find_ink(image, FLAT, ()) is None
    assert find_ink(image, FLAT, (trace(10.0, 12.0),)) is None
    assert find_ink(np.full_like(image, 200), FLAT, (trace(),)) is None


def test_the_pen_under_a_mask_is_the_trace_without_grid_and_letters() -> None:
    image = page((20, 20, 20), (250, 160, 160))
    middle = round(LEVEL_MM * PX_PER_MM)
    image[middle - 14 : middle - 6, 100:104] = 20  # a letter above the trace
    under = np.zeros(image.shape[:2], bool)
    under[middle - 20 : middle + 20, 50:450] = True
    pen = pen_under(image, under)
    expected = np.zeros_like(under)
    expected[middle - 1 : middle + 2, 50:450] = True
    assert np.array_equal(pen, expected)
    assert not pen_under(image, np.zeros_like(under)).any()
    assert not pen_under(np.full_like(image, 255), under).any()
