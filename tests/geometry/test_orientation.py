"""Fine angle from straight lines: rendered pages, text, and pages without any line."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ecg_hough.errors import PageError
from ecg_hough.geometry.orientation import hough_angle, hough_angle_krones2024


def draw_page(angle_deg: float, *, rows: int = 1300, cols: int = 1700, step: float = 39.4) -> np.ndarray:
    """Grid of 5 mm lines, turned counter-clockwise by `angle_deg` about the page's centre."""
    image = np.full((rows, cols, 3), 255, np.uint8)
    for at in np.arange(10, cols, step):
        cv2.line(image, (round(at), 0), (round(at), rows), (240, 90, 90), 1)
    for at in np.arange(10, rows, step):
        cv2.line(image, (0, round(at)), (cols, round(at)), (240, 90, 90), 1)
    turn = cv2.getRotationMatrix2D((cols / 2, rows / 2), angle_deg, 1.0)
    return cv2.warpAffine(image, turn, (cols, rows), borderValue=(255, 255, 255))


def draw_text(angle_deg: float) -> np.ndarray:
    image = np.full((1500, 1200, 3), 255, np.uint8)
    for row in range(120, 1400, 36):
        cv2.putText(image, "the quick brown fox jumps over it", (90, row), 0, 1.4, (0, 0, 0), 2, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((600, 750), angle_deg, 1.0)
    return cv2.warpAffine(image, turn, (1200, 1500), borderValue=(255, 255, 255))


@pytest.mark.parametrize("angle_deg", [-29.6, -12.37, -0.43, 0.0, 3.21, 17.8, 30.0])
def test_grid_angle_is_found_to_a_tenth_of_a_degree(angle_deg: float) -> None:
    assert hough_angle(draw_page(angle_deg)).angle_deg == pytest.approx(angle_deg, abs=0.1)


@pytest.mark.parametrize("angle_deg", [-8.2, 5.5])
def test_lines_of_text_give_the_angle(angle_deg: float) -> None:
    assert hough_angle(draw_text(angle_deg)).angle_deg == pytest.approx(angle_deg, abs=0.1)


def test_grey_image_gives_the_same_angle() -> None:
    page = draw_page(4.4)
    assert hough_angle(page.min(axis=2)).angle_deg == hough_angle(page).angle_deg


@pytest.mark.parametrize("kind", ["blank", "noise"])
def test_page_without_lines_is_refused(kind: str) -> None:
    blank = np.full((800, 1000, 3), 250, np.uint8)
    noise = np.random.default_rng(1).integers(0, 255, blank.shape).astype(np.uint8)
    with pytest.raises(PageError, match="orientation"):
        hough_angle(blank if kind == "blank" else noise)


def test_baseline_has_whole_degrees_and_refuses_small_pages() -> None:
    page = draw_page(2.0, rows=1700, cols=2200)
    assert hough_angle_krones2024(page) == pytest.approx(2.0, abs=0.5)
    assert hough_angle_krones2024(page) == round(hough_angle_krones2024(page))
    with pytest.raises(PageError, match="1200 votes"):
        hough_angle_krones2024(page[:600, :800])
