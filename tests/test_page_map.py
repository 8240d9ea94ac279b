"""Page maps: millimetres to pixels and back, quarter turns, scale, bend; pictures warped by a lattice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_hough.page_map import PageMap, on_every_pixel, turn_back


def bent_map(
    px_per_mm: float = 6.0, angle_deg: float = 0.0, bend: float = 0.0, tilt: float = 0.0, n: int = 9
) -> PageMap:
    """A page of 80 x 120 mm: turned, curled by up to `bend` mm and seen from one side by `tilt`."""
    y_mm, x_mm = np.linspace(0, 80, n), np.linspace(0, 120, n)
    y, x = np.meshgrid(y_mm, x_mm, indexing="ij")
    y = y + bend * np.sin(x / 40)
    depth = 1 + tilt * (x / 120)
    a = np.deg2rad(angle_deg)
    rows, cols = (y * np.cos(a) - x * np.sin(a)) / depth, (y * np.sin(a) + x * np.cos(a)) / depth
    return PageMap(y_mm, x_mm, px_per_mm * rows + 300, px_per_mm * cols + 20)


@settings(max_examples=40, deadline=None)
@given(
    px_per_mm=st.floats(2.0, 24.0),
    angle_deg=st.floats(-45.0, 45.0),
    bend=st.floats(-2.0, 2.0),
    tilt=st.floats(-0.3, 0.3),
    place=st.tuples(st.floats(-5.0, 85.0), st.floats(-5.0, 125.0)),
)
def test_millimetres_survive_the_way_to_pixels_and_back(
    px_per_mm: float, angle_deg: float, bend: float, tilt: float, place: tuple[float, float]
) -> None:
    """Also a little outside of the lattice, where the map is extrapolated."""
    page_map = bent_map(px_per_mm, angle_deg, bend, tilt)
    assert page_map.to_mm(*page_map.to_pixels(*place)) == pytest.approx(place, abs=1e-3)


def test_nodes_are_met_and_shapes_broadcast() -> None:
    page_map = bent_map(bend=1.0)
    rows, cols = page_map.to_pixels(page_map.y_mm[:, None], page_map.x_mm)
    assert rows == pytest.approx(page_map.rows)
    assert cols == pytest.approx(page_map.cols)


def test_outside_of_the_lattice_the_map_is_linear() -> None:
    page_map = bent_map(bend=1.0)
    rows, _ = page_map.to_pixels(-np.arange(4.0), 30.0)
    assert np.diff(rows, 2) == pytest.approx(0.0, abs=1e-9)


def test_an_affine_map_is_its_matrix() -> None:
    page_map = PageMap.from_affine([[5.0, 1.0, 7.0], [-1.0, 4.0, 9.0]], (100.0, 200.0))
    assert page_map.to_pixels(10.0, 20.0) == pytest.approx((77.0, 79.0))
    assert page_map.px_per_mm == pytest.approx((np.hypot(5, 1), np.hypot(1, 4)))
    assert page_map.row_bend_mm == pytest.approx(0.0, abs=1e-9)


def test_a_scaled_map_has_other_millimetres_at_the_same_pixels() -> None:
    page_map = bent_map(bend=0.5)
    scaled = page_map.scaled(5.0)
    assert np.array(scaled.to_pixels(100.0, 250.0)) == pytest.approx(np.array(page_map.to_pixels(20.0, 50.0)))
    assert scaled.px_per_mm == pytest.approx(tuple(v / 5 for v in page_map.px_per_mm))


def test_row_bend_is_the_distance_from_a_straight_line() -> None:
    """A parabola with a sagitta of 3 mm over the middle 70 % of the width, where it is 0.7^2 as much."""
    y_mm, x_mm = np.linspace(0, 80, 9), np.linspace(0, 120, 13)
    y, x = np.meshgrid(y_mm, x_mm, indexing="ij")
    page_map = PageMap(y_mm, x_mm, 6 * (y + 3 * ((x - 60) / 60) ** 2), 6 * x)
    sagitta_mm = 3 * 0.7**2
    assert page_map.row_bend_mm == pytest.approx(sagitta_mm * 2 / 3, rel=0.1)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5])
def test_a_map_turns_with_its_image(turns: int) -> None:
    height, width = 400, 300
    y_mm, x_mm = np.linspace(2, 80, 9), np.linspace(-3, 60, 7)
    y, x = np.meshgrid(y_mm, x_mm, indexing="ij")
    page_map = PageMap(y_mm, x_mm, 4 * y + 10 + 0.02 * x**2, 4 * x + 20 + y)
    turned = page_map.turned(turns, (height, width))
    # A mark in the image, and its place in the turned one.
    at = page_map.to_pixels(30.0, 25.0)
    marks = np.zeros((height, width), bool)
    marks[round(float(at[0])), round(float(at[1]))] = True
    mark = np.argwhere(np.rot90(marks, -turns))[0]
    mm = turned.to_mm(*mark.astype(float))
    assert np.hypot(*(np.array(turned.to_pixels(*mm)) - mark)) < 1e-3
    known = {0: (30.0, 25.0), 1: (25.0, 52.0), 2: (52.0, 32.0), 3: (32.0, 30.0)}[turns % 4]
    assert mm == pytest.approx(known, abs=0.3)


@pytest.mark.parametrize("turns", range(4))
def test_turn_back_inverts_a_quarter_turn(turns: int) -> None:
    image = np.arange(6 * 9).reshape(6, 9)
    upright = np.rot90(image, -turns)
    rows, cols = (a.ravel() for a in np.indices(upright.shape))
    back = turn_back(np.column_stack([rows, cols]), turns, (6, 9))
    assert (image[back[:, 0], back[:, 1]] == upright[rows, cols]).all()


@pytest.mark.parametrize("shape", [(40, 70), (33, 16), (5, 3)])
def test_a_linear_function_is_exact_on_every_pixel(shape: tuple[int, int]) -> None:
    matrix = np.array([[1.5, 0.25], [-0.5, 2.0]])
    first, second = on_every_pixel(lambda points: points @ matrix.T + [3.0, -4.0], shape)
    r, c = np.mgrid[: shape[0], : shape[1]]
    assert first == pytest.approx(1.5 * r + 0.25 * c + 3, abs=1e-3)
    assert second == pytest.approx(-0.5 * r + 2 * c - 4, abs=1e-3)
