"""Grid pitch: spacings, colours, pages that have no grid."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from drawn_page import draw_grid
from ecg_hough.geometry.grid.find import find_grid, follow_again


@pytest.mark.parametrize("px_per_mm", [2.83, 3.94, 7.87, 11.81])
def test_pitch_between_72_and_300_dpi(px_per_mm: float) -> None:
    grid = find_grid(draw_grid(px_per_mm, angle_deg=1.7))
    assert grid is not None
    if px_per_mm > 3:  # at 72 dpi the 1 mm lines are hardly there
        assert not grid.ambiguous
    # The first estimate only names the comb; the map fit of `geometry` refines it.
    assert grid.px_per_mm == pytest.approx((px_per_mm, px_per_mm), rel=0.02)


@pytest.mark.slow
def test_pitch_at_600_dpi() -> None:
    grid = find_grid(draw_grid(23.62, size_mm=(90.0, 130.0)))
    assert grid is not None
    assert grid.px_per_mm == pytest.approx((23.62, 23.62), rel=0.02)


@pytest.mark.parametrize("colour", [(90, 180, 90), (120, 120, 220), (130, 130, 130), (20, 20, 20)])
def test_any_colour(colour: tuple[int, int, int]) -> None:
    pale = tuple(200 + v // 5 for v in colour)
    grid = find_grid(draw_grid(5.0, minor=(pale[0], pale[1], pale[2]), major=colour))
    assert grid is not None
    assert grid.px_per_mm == pytest.approx((5.0, 5.0), rel=0.02)


def test_rows_and_columns_of_different_pitch() -> None:
    grid = find_grid(draw_grid(6.0, aspect=0.9))
    assert grid is not None
    assert grid.px_per_mm == pytest.approx((6.0, 5.4), rel=0.02)


@pytest.mark.parametrize("only", ["major", "minor"])
def test_one_spacing_is_ambiguous_and_assumed_from_the_size_of_the_page(only: str) -> None:
    page = draw_grid(5.0, minor=None) if only == "major" else draw_grid(5.0, major=None)
    grid = find_grid(page)
    assert grid is not None
    assert grid.ambiguous
    assert grid.px_per_mm == pytest.approx((5.0, 5.0), rel=0.02)


def texture(seed: int, exponent: float) -> np.ndarray:
    """Natural-looking noise with a 1 / f^exponent spectrum."""
    rng = np.random.default_rng(seed)
    shape = (900, 1200)
    f = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None])
    f[0, 0] = 1
    planes = [np.fft.ifft2(np.fft.fft2(rng.normal(size=shape)) / f**exponent).real for _ in range(3)]
    return np.stack([np.clip(128 + 50 * p / p.std(), 0, 255) for p in planes], axis=-1).astype(np.uint8)


def as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def no_grid_pages() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    text = np.full((1500, 1200, 3), 255, np.uint8)
    for row in range(120, 1400, 36):
        cv2.putText(text, "the quick brown fox jumps over it", (90, row), 0, 1.4, (0, 0, 0), 2, cv2.LINE_AA)
    ruled = np.full((1200, 1500, 3), 255, np.uint8)
    ruled[60::40] = 120
    faint = np.clip(240 + rng.normal(0, 3, (1700, 2200, 3)), 0, 255).astype(np.uint8)
    pages = {
        "blank": np.full((900, 1200, 3), 255, np.uint8),
        "faint noise, resampled": faint,
        "noise": rng.integers(0, 255, (900, 1200, 3)).astype(np.uint8),
        "text": text,
        "text as JPEG": as_jpeg(text, 40),
        "ruled one way": ruled,
    }
    for exponent in (0.5, 1.0, 1.5):
        pages[f"texture {exponent}"] = texture(7, exponent)
        pages[f"texture {exponent} as JPEG"] = as_jpeg(texture(8, exponent), 40)
    return pages


@pytest.mark.slow
@pytest.mark.parametrize("curled", [False, True])
@pytest.mark.parametrize("name", sorted(no_grid_pages()))
def test_no_grid_is_no_grid(name: str, curled: bool) -> None:
    assert find_grid(no_grid_pages()[name], curled=curled) is None


def bent_map(slip_mm: float, px_per_mm: float) -> Callable[[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """A map of the drawn page that is wrong by a wave of 0.2 mm and by whole millimetres."""

    def to_mm(points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        y, x = points.T / px_per_mm
        wave = 0.2 * np.sin(y / 40) * np.cos(x / 40)
        return [y + wave + slip_mm, x - wave]

    return to_mm


@pytest.mark.parametrize("slip_mm", [0.0, 1.0, -5.0])
def test_a_second_reading_takes_the_error_of_its_map_out(slip_mm: float) -> None:
    px_per_mm = 6.0
    grid = find_grid(draw_grid(px_per_mm, size_mm=(120.0, 160.0)))
    assert grid is not None
    again = follow_again(grid, bent_map(slip_mm, px_per_mm))
    for at, mm, weight in (
        (again.rows, again.y_mm, again.y_weight),
        (again.cols, again.x_mm, again.x_weight),
    ):
        error = (mm - at / px_per_mm)[weight > 0]
        assert len(error) > 0.8 * len(mm)
        # Only whole periods remain, the same at all points.
        slips = error / grid.period_mm
        assert np.ptp(np.round(slips)) == 0
        assert np.abs(slips - np.round(slips)).max() < 0.05


def test_a_slip_of_the_followed_phase_is_wrapped() -> None:
    """A map that runs away by three periods across the page is read as what is printed."""
    px_per_mm = 6.0
    grid = find_grid(draw_grid(px_per_mm, size_mm=(120.0, 160.0)))
    assert grid is not None
    width = 160.0 * px_per_mm

    def runs_away(points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        y, x = points.T / px_per_mm
        return [y, x + 3 * grid.period_mm * points[:, 1] / width]

    again = follow_again(grid, runs_away)
    seen = again.x_weight > 0
    slope = np.polyfit(again.cols[seen], again.x_mm[seen], 1)[0]
    assert slope == pytest.approx(1 / px_per_mm, rel=1e-3)


@pytest.mark.slow
def test_lines_of_1_mm_are_seen_on_a_banner() -> None:
    """They are lost at the size at which it is searched; with lines of 5 mm alone it is ambiguous."""
    banner = draw_grid(8.0, size_mm=(90.0, 900.0), minor=(250, 235, 235))
    grid = find_grid(banner)
    assert grid is not None
    assert not grid.ambiguous
    assert grid.px_per_mm == pytest.approx((8.0, 8.0), rel=0.02)
    bare = find_grid(draw_grid(8.0, size_mm=(90.0, 900.0), minor=None))
    assert bare is not None
    assert bare.ambiguous
