"""Frames around panels are removed from the page; the separate grids of panels give one pitch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_hough.geometry.grid.find import find_grid
from ecg_hough.geometry.grid.islands import without_steps
from ecg_hough.geometry.page_geometry import find_geometry
from ecg_hough.image.frames import find_frames, left_sides, without_frames

PX_PER_MM, PANEL_MM, SPACE_MM = 6.0, (40.0, 62.5), 6.3


def panels(*, framed: bool = False, n_rows: int = 3, n_columns: int = 4) -> NDArray[np.uint8]:
    """Panels with space between them, each with a grid from its own corner, and a trace across each."""
    height, width = PANEL_MM
    tall, wide = n_rows * (height + SPACE_MM) + SPACE_MM, n_columns * (width + SPACE_MM) + SPACE_MM
    image = np.full((round(tall * PX_PER_MM), round(wide * PX_PER_MM), 3), 255.0)
    y, x = (np.arange(n) / PX_PER_MM for n in image.shape[:2])
    for i in range(n_rows):
        for j in range(n_columns):
            top, left = SPACE_MM + i * (height + SPACE_MM), SPACE_MM + j * (width + SPACE_MM)
            rows = slice(*np.searchsorted(y, [top, np.nextafter(top + height, np.inf)]))
            cols = slice(*np.searchsorted(x, [left, np.nextafter(left + width, np.inf)]))
            for step, colour in ((1.0, (250, 215, 215)), (5.0, (235, 150, 150))):
                for axis, mm in enumerate((y[rows] - top, x[cols] - left)):
                    away = np.abs(mm - step * np.round(mm / step)) * PX_PER_MM
                    cover = np.expand_dims(np.clip(1.0 - away, 0, 1), (1, 2) if axis == 0 else (0, 2))
                    image[rows, cols] = image[rows, cols] * (1 - cover) + np.array(colour, float) * cover
            corner = np.array([left, top]) * PX_PER_MM
            t = np.linspace(0, width, 500)
            trace = np.stack([t, height / 2 - 8 * np.exp(-(((t % 20) - 10) ** 2) / 0.5)], axis=1) * PX_PER_MM
            points = np.round((corner + trace) * 16).astype(np.int32)
            cv2.polylines(image, [points[:, None]], False, (0, 0, 0), 2, cv2.LINE_AA, 4)
            if framed:
                far = tuple(int(v) for v in corner + np.array([width, height]) * PX_PER_MM)
                cv2.rectangle(image, tuple(int(v) for v in corner), far, (0, 0, 0), 2)
    return image.astype(np.uint8)


def test_frames_are_removed_and_traces_are_kept() -> None:
    bare, framed = panels(), panels(framed=True)
    found = find_frames(framed)
    assert len(found.frames) == len(found.panels) == 12
    cleaned = without_frames(found)
    # Remains of frames are fainter than a grid's line, and traces are as black as they were.
    added = bare.astype(int).max(axis=2) - cleaned.max(axis=2)
    assert np.mean(added > 60) < 2e-3
    ink = bare.max(axis=2) < 60
    assert np.mean(cleaned.max(axis=2)[ink] < 90) > 0.97


def axes_without_space(n: int, height_px: int, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Axes that stand on each other, n of one height, with a grid of the given colour through all of them."""
    image = np.full((n * height_px + 80, 1000, 3), 255, np.uint8)
    for at in range(40, n * height_px + 40, 20):
        cv2.line(image, (100, at), (900, at), colour, 1)
    for at in range(100, 900, 20):
        cv2.line(image, (at, 40), (at, n * height_px + 40), colour, 1)
    for k in range(n):
        cv2.rectangle(image, (100, 40 + k * height_px), (900, 40 + (k + 1) * height_px), (0, 0, 0), 2)
    return image


def test_frames_that_stand_on_each_other_are_removed_with_one_grid_kept() -> None:
    framed = find_frames(axes_without_space(6, 130, (250, 180, 180)))
    assert (len(framed.frames), len(framed.stacked), framed.panels) == (0, 6, [])
    assert without_frames(framed).max(axis=2).min() > 200
    places = [col for _, col in left_sides(framed)]
    assert places == pytest.approx([100.0] * 6, abs=0.7)


def test_squares_of_a_dark_grid_are_no_stacked_frames() -> None:
    grid = axes_without_space(6, 130, (0, 0, 0))
    assert find_frames(grid).stacked == ()


def test_an_image_without_frames_is_unchanged() -> None:
    """Panels without frames, a dark grid, a page's border: the very same array."""
    dark = panels(n_rows=1, n_columns=1)
    dark[:: round(5 * PX_PER_MM)] = 40
    dark[:, :: round(5 * PX_PER_MM)] = 40
    border = panels()
    cv2.rectangle(border, (0, 0), (border.shape[1] - 1, border.shape[0] - 1), (0, 0, 0), 2)
    for image in (panels(), dark, border):
        assert without_frames(find_frames(image)) is image


def test_separate_grids_of_panels_give_one_pitch() -> None:
    """The lines step by 0.8 of a millimetre from panel to panel, 62.5 + 6.3 mm apart."""
    found = find_geometry(panels())
    assert found.px_per_mm == pytest.approx((PX_PER_MM, PX_PER_MM), rel=1e-3)
    assert found.page_map is not None
    # Straight to 0.05 mm over the whole page.
    _, cols = found.page_map.to_pixels(np.full(20, 60.0), np.linspace(10, 250, 20))
    straight = np.polyval(np.polyfit(np.arange(20), cols, 1), np.arange(20))
    assert np.abs(cols - straight).max() < 0.05 * PX_PER_MM


def test_one_grid_has_no_steps() -> None:
    one = panels(n_rows=1, n_columns=1)
    grid = find_grid(np.tile(one, (3, 1, 1)))
    assert grid is not None
    alone = find_grid(one)
    assert alone is not None
    assert without_steps(alone) is alone
