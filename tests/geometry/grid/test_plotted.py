"""Grids of programs' own pictures: squares that are not square, panels with grids of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from drawn_page import draw_grid
from ecg_hough.geometry.grid.plotted import find_drawn_grid
from ecg_hough.geometry.page_geometry import find_geometry
from ecg_hough.image.frames import Framed, find_frames
from ecg_hough.image.reading import read_page
from ecg_hough.paper import MM_PER_INCH
from ecg_hough.render.ecg_model import generate_ecg
from ecg_lab.plot_pages import draw_plot


def bare(image: NDArray) -> Framed:
    return Framed(image.astype(np.uint8), (), 0)


@pytest.mark.slow
@pytest.mark.parametrize("aspect", [0.42, 0.6, 0.8, 1.4, 2.0])
def test_squares_of_a_plot_need_not_be_square(aspect: float) -> None:
    image = draw_grid(7.0, aspect=aspect)
    drawn = find_drawn_grid(bare(image))
    assert drawn is not None
    assert drawn[:2] == pytest.approx((7.0, 7.0 * aspect), rel=0.002)
    assert drawn.residual_px < 0.5
    found = find_geometry(image)
    assert found.px_per_mm == pytest.approx((7.0, 7.0 * aspect), rel=0.005)
    assert any("times as tall as wide" in warning for warning in found.warnings)
    assert found.page_map is not None
    rows, cols = found.page_map.to_pixels([20.0, 70.0], [30.0, 90.0])
    assert np.diff(rows) == pytest.approx(50 * 7.0, abs=0.5)
    assert np.diff(cols) == pytest.approx(60 * 7.0 * aspect, abs=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["3x4", "12x1"])
@pytest.mark.parametrize("axes", ["one", "each"])
@pytest.mark.parametrize(("stretch", "dpi"), [(0.5, 150), (1.4, 100), (2.0, 150)])
def test_panels_may_have_grids_of_their_own(
    tmp_path: Path, shape: str, axes: str, stretch: float, dpi: int
) -> None:
    """Twelve panels of three squares' height, whose lines do not continue each other, among them."""
    ecg = generate_ecg(3)
    choice: dict[str, Any] = {
        "shape": shape, "axes": axes, "stretch": stretch, "scale": 1.0, "dpi": dpi, "sequential": True,
        "grid": "lightgrey", "pen_pt": 1.0, "words": False,
    }  # fmt: skip
    draw_plot(ecg.signals, ecg.fs, choice, tmp_path / "plot.png")
    framed = find_frames(read_page(tmp_path / "plot.png").image)
    assert len(framed.panels) == (12 if axes == "each" else 1)
    drawn = find_drawn_grid(framed)
    assert drawn is not None
    across = dpi / MM_PER_INCH
    assert drawn.across == pytest.approx(across, rel=0.001)
    # In a panel three squares high the pitch is measured to a fraction of a pixel.
    assert drawn.down == pytest.approx(across * stretch, rel=0.02 if shape == "12x1" else 0.01)


@pytest.mark.parametrize(
    "image",
    [draw_grid(6.0, minor=None, aspect=1.6), np.full((700, 900, 3), 255)],
    ids=["one spacing", "blank"],
)
def test_unclear_evidence_gives_no_drawn_grid(image: NDArray[np.uint8]) -> None:
    assert find_drawn_grid(bare(image)) is None


@pytest.mark.parametrize(
    "image",
    [
        draw_grid(7.0),
        draw_grid(7.0, aspect=1.1),
        draw_grid(6.0, minor=None, aspect=1.6),
        np.full((700, 900), 255),
    ],
    ids=["square", "nearly square", "one spacing", "blank"],
)
def test_squares_are_square_without_clear_evidence_to_the_contrary(image: NDArray[np.uint8]) -> None:
    found = find_geometry(image.astype(np.uint8))
    assert not any("times as tall as wide" in warning for warning in found.warnings)


def test_every_second_line_is_no_period() -> None:
    """Lines on whole pixels, 7.5 px apart, are alike only every 15 px."""
    drawn = find_drawn_grid(bare(draw_grid(7.5)))
    assert drawn is not None
    assert drawn[:2] == pytest.approx((7.5, 7.5), rel=0.002)


@pytest.mark.slow
def test_photographed_lines_have_a_map_by_the_phase() -> None:
    """A page seen from aside keeps the map with its perspective."""
    image = draw_grid(7.0)
    rows, cols = image.shape[:2]
    corners = np.array([[0, 0], [cols, 0], [cols, rows], [0, rows]], np.float32)
    aside = corners + np.array([[0.06, 0.02], [0, 0], [0, 0], [0.03, 0]], np.float32) * (cols, rows)
    matrix = cv2.getPerspectiveTransform(corners, aside.astype(np.float32))
    seen = cv2.warpPerspective(image, matrix, (cols, rows), borderMode=cv2.BORDER_REPLICATE)
    assert find_geometry(seen).method == "grid-phase"


@pytest.mark.slow
@pytest.mark.parametrize("angle_deg", [-0.5, 0.3])
def test_a_stretched_plot_may_be_scanned_not_quite_upright(angle_deg: float) -> None:
    image = draw_grid(7.0, aspect=0.5)
    rows, cols = image.shape[:2]
    turn = cv2.getRotationMatrix2D((cols / 2, rows / 2), angle_deg, 1.0)
    found = find_geometry(cv2.warpAffine(image, turn, (cols, rows), borderMode=cv2.BORDER_REPLICATE))
    assert found.px_per_mm == pytest.approx((7.0, 3.5), rel=0.005)
    assert found.angle_deg == pytest.approx(angle_deg, abs=0.05)
    assert found.page_map is not None
    # Two places on one line of the grid, by the turn that was made.
    line = np.array([[0.1 * cols, 35 * 7.0, 1.0], [0.9 * cols, 35 * 7.0, 1.0]]) @ turn.T
    y_mm, _ = found.page_map.to_mm(line[:, 1], line[:, 0])
    assert y_mm[0] == pytest.approx(y_mm[1], abs=0.1)
