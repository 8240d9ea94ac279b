"""The sheet's edges: corners, format and map of sheets whose place is known; none where none is seen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ecg_hough.geometry.page_geometry import find_geometry
from ecg_hough.geometry.sheet_edges import FORMATS_MM, find_sheet
from ecg_lab.geometry_benchmark import benchmark_page, map_errors_px


def sheet_on_table(
    corners: np.ndarray, shape: tuple[int, int] = (900, 1200), *, table: int = 90, seed: int = 0
) -> np.ndarray:
    """A white sheet with strokes; `corners` (row, col): top left, top right, bottom left, bottom right."""
    rng = np.random.default_rng(seed)
    flat = np.full((850, 1100, 3), 235, np.uint8)
    for row in range(200, 800, 120):
        trace = np.column_stack([np.arange(80, 1020), row + 8 * np.sin(np.arange(80, 1020) / 9)])
        cv2.polylines(flat, [trace.round().astype(np.int32)], False, (20, 20, 20), 3)
    image = np.full((*shape, 3), table, np.uint8)
    image = (image + rng.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)
    ends = np.array([[-0.5, -0.5], [1099.5, -0.5], [-0.5, 849.5], [1099.5, 849.5]], np.float32)
    matrix = cv2.getPerspectiveTransform(ends, corners[:, ::-1].astype(np.float32))
    return cv2.warpPerspective(
        flat, matrix, shape[::-1], dst=image, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_TRANSPARENT
    )


UPRIGHT = np.array(
    [[60.0, 70.0], [60.0, 1130.0], [60.0 + 1060 * 8.5 / 11, 70.0], [60.0 + 1060 * 8.5 / 11, 1130.0]]
)
TILTED = np.array([[80.0, 150.0], [40.0, 1100.0], [790.0, 90.0], [850.0, 1150.0]])


@pytest.mark.parametrize("corners", [UPRIGHT, TILTED], ids=["upright", "tilted"])
@pytest.mark.parametrize("table", [90, 205], ids=["dark", "light"])
def test_corners_are_where_the_sheet_ends(corners: np.ndarray, table: int) -> None:
    found = find_sheet(sheet_on_table(corners, table=table))
    assert found is not None
    np.testing.assert_allclose(found.corners, corners, atol=1.5)
    rows, cols = found.to_pixels(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0]))
    np.testing.assert_allclose(np.column_stack([rows, cols]), corners, atol=1.5)


def test_upright_sheet_has_its_format() -> None:
    found = find_sheet(sheet_on_table(UPRIGHT))
    assert found is not None
    assert found.format == "letter"
    assert found.size_mm == FORMATS_MM["letter"]


def test_page_that_fills_the_image_shows_no_edges() -> None:
    image = np.full((900, 1200, 3), 240, np.uint8)
    for row in range(100, 850, 90):
        cv2.line(image, (40, row), (1160, row + 5), (10, 10, 10), 4)
    cv2.rectangle(image, (60, 50), (1140, 860), (10, 10, 10), 3)
    assert find_sheet(image) is None


def test_an_outline_of_no_camera_is_no_sheet() -> None:
    corners = UPRIGHT.copy()
    corners[3, 0] -= 400.0  # its right side is half as long as its left one, as a shadow's edge may have it
    assert find_sheet(sheet_on_table(corners)) is None


def test_three_edges_are_no_sheet() -> None:
    image = sheet_on_table(UPRIGHT)
    assert find_sheet(np.ascontiguousarray(image[:, 300:])) is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [304, 310])
def test_photo_without_a_grid_is_rectified(seed: int) -> None:
    page = benchmark_page("bare", seed)
    found = find_geometry(page.image)
    assert not found.grid_found
    assert found.px_per_mm is None
    assert found.method == "page-edges"
    assert found.page_map is not None
    assert np.median(map_errors_px(found.page_map, page)) < 0.6
    assert found.angle_deg == pytest.approx(page.style["camera"]["rotation_deg"], abs=3.0)
