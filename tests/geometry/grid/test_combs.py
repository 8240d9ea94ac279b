"""Combs: direction and base frequency of lines that were drawn at known ones; none in noise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_hough.geometry.grid.combs import BASES, RADII, TILE_PX, comb_scores, find_combs, tile_power


def evidence(
    period_px: tuple[float, float],
    angle_deg: float,
    shape: tuple[int, int] = (520, 640),
    *,
    noise: float = 0.1,
) -> NDArray[np.float32]:
    """Both families of lines a sixth of a period wide, on a page turned counter-clockwise."""
    r, c = np.mgrid[: shape[0], : shape[1]].astype(float)
    a = np.deg2rad(angle_deg)
    out = np.zeros(shape)
    for along, period in zip(
        (r * np.cos(a) + c * np.sin(a), c * np.cos(a) - r * np.sin(a)), period_px, strict=True
    ):
        away = np.abs(along / period - np.round(along / period))
        out = np.maximum(out, np.clip((1 / 12 - away) * period + 0.5, 0, 1))
    return (out + np.random.default_rng(0).normal(0, noise, shape)).astype(np.float32)


@pytest.mark.parametrize("angle_deg", [-20.0, 0.0, 7.3])
@pytest.mark.parametrize("period_px", [(8.0, 8.0), (21.0, 19.0)])
def test_direction_and_base_frequencies_of_drawn_lines(
    angle_deg: float, period_px: tuple[float, float]
) -> None:
    found = find_combs(*tile_power(evidence(period_px, angle_deg)))
    assert found is not None
    assert found.angle_deg == pytest.approx(angle_deg, abs=1.3)  # two steps of the search
    assert (1 / found.down, 1 / found.across) == pytest.approx(period_px, rel=0.02)
    assert found.harmonics


def test_noise_and_one_family_alone_have_no_combs() -> None:
    rng = np.random.default_rng(1)
    assert find_combs(*tile_power(rng.normal(0, 1, (520, 640)).astype(np.float32))) is None
    ruled = np.repeat((np.arange(520) % 20 < 3).astype(np.float32)[:, None], 640, axis=1)
    assert find_combs(*tile_power(ruled + rng.normal(0, 0.1, ruled.shape).astype(np.float32))) is None


def test_combs_are_found_where_the_lines_are() -> None:
    """Lines on the right third of a page, which is noise elsewhere."""
    page = np.random.default_rng(2).normal(0, 1, (520, 1500)).astype(np.float32)
    page[:, 1000:] = evidence((12.0, 12.0), 3.0, (520, 500))
    found = find_combs(*tile_power(page))
    assert found is not None
    assert found.place[1] > 900  # parts are wider than a tile


def test_tiles_cover_the_image_and_a_small_image_is_padded() -> None:
    power, centres = tile_power(np.ones((300, 600), np.float32))
    assert power.shape == (len(centres), TILE_PX, TILE_PX // 2 + 1)
    assert centres.min(axis=0) == pytest.approx([TILE_PX / 2] * 2)
    assert centres.max(axis=0) == pytest.approx([300 - TILE_PX / 2, 600 - TILE_PX / 2])
    power, centres = tile_power(np.ones((100, 90), np.float32))
    assert len(power) == len(centres) == 1


def test_the_best_comb_of_a_profile_is_its_fundamental() -> None:
    """Not every second harmonic, nor a comb of which every second harmonic is missing."""
    base = 14.0
    profile = np.zeros(RADII.size)
    for n in range(1, 7):
        profile += (3.0 - 0.2 * n) * np.exp(-(((RADII - n * base) / 0.8) ** 2))
    best = float(BASES[comb_scores(profile, float(profile.max())).argmax()])
    assert best == pytest.approx(base, rel=0.04)
