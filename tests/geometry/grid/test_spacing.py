"""Millimetres per cycle along a known phase: both spacings, one alone, JPEG blocks between the lines."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ecg_hough.geometry.grid.spacing import are_harmonics, mm_per_cycle

SHAPE = (700, 900)
PLACES = np.array([[r, c] for r in range(100, 700, 100) for c in range(100, 900, 100)], float)


def lines(px_per_mm: float, every_mm: float, depth: float) -> NDArray[np.float32]:
    """Evidence of both families of lines 0.2 mm wide, that far apart."""
    out = np.zeros(SHAPE)
    for axis in range(2):
        mm = np.arange(SHAPE[axis]) / px_per_mm
        away = np.abs(mm - every_mm * np.round(mm / every_mm)) * px_per_mm
        cover = np.clip(0.5 + 0.1 * px_per_mm - away, 0, 1) * depth
        out = np.maximum(out, cover[:, None] if axis == 0 else cover[None])
    return out.astype(np.float32)


def phases(px_per_cycle: float) -> list[NDArray[np.float64]]:
    """Cubic models of an upright flat page: down and across, that many px per cycle."""
    slope = max(SHAPE) / 2 / px_per_cycle
    down, across = np.zeros(9), np.zeros(9)
    down[0], across[1] = slope, slope
    # The first term of a model is by column, the second by row; here both are alike.
    return [down, across]


def spacing(
    evidence: NDArray[np.float32], px_per_cycle: float, *, px_per_mm: float, long_side_mm: float = 290.0
) -> tuple[float, bool]:
    noise = np.random.default_rng(0).normal(0, 0.1, SHAPE).astype(np.float32)
    return mm_per_cycle(
        evidence + noise, phases(px_per_cycle), PLACES, round(long_side_mm * px_per_mm), px_per_cycle
    )


@pytest.mark.parametrize("blocks", [0.0, 0.3], ids=["plain", "blocks of a JPEG file"])
@pytest.mark.parametrize("followed_mm", [1.0, 2.5])
def test_where_both_spacings_are_printed_the_followed_one_is_named(followed_mm: float, blocks: float) -> None:
    px_per_mm = 7.3
    evidence = lines(px_per_mm, 1.0, 0.6) + lines(px_per_mm, 5.0, 1.0)
    evidence[::8] += blocks
    evidence[:, ::8] += blocks
    found, ambiguous = spacing(evidence, followed_mm * px_per_mm, px_per_mm=px_per_mm, long_side_mm=600.0)
    assert found == pytest.approx(followed_mm)
    assert not ambiguous


@pytest.mark.parametrize("printed_mm", [1.0, 5.0])
def test_one_spacing_alone_is_ambiguous_and_assumed_from_the_size_of_the_page(printed_mm: float) -> None:
    px_per_mm = 7.3
    evidence = lines(px_per_mm, printed_mm, 1.0)
    found, ambiguous = spacing(evidence, printed_mm * px_per_mm, px_per_mm=px_per_mm)
    assert found == pytest.approx(printed_mm)
    assert ambiguous
    # The same lines on a page of five times or a fifth of that size are the other spacing.
    other = 6.0 - printed_mm
    found, ambiguous = spacing(
        evidence, printed_mm * px_per_mm, px_per_mm=px_per_mm, long_side_mm=290.0 * printed_mm / other
    )
    assert found == pytest.approx(other)
    assert ambiguous


@pytest.mark.parametrize("followed_mm", [1.0, 1.25, 5 / 3, 2.5])
def test_a_followed_harmonic_of_5_mm_lines_is_recognised(followed_mm: float) -> None:
    px_per_mm = 8.2
    # Rows of traces and columns of text have power near the lines' own period.
    rng = np.random.default_rng(1)
    down, across = (gaussian_filter1d(rng.normal(0, 1, n), 5.0) for n in SHAPE)
    evidence = lines(px_per_mm, 5.0, 1.0)
    evidence += (0.2 * down / down.std())[:, None].astype(np.float32)
    evidence += (0.2 * across / across.std())[None].astype(np.float32)
    found, ambiguous = spacing(evidence, followed_mm * px_per_mm, px_per_mm=px_per_mm)
    assert found == pytest.approx(followed_mm)
    assert ambiguous


@pytest.mark.parametrize(
    ("mm", "five_mm_clear", "harmonics"),
    [
        (0.5, {0.5: 1.0, 1.0: -0.8, 1.25: 4.5}, True),  # as measured where every fourth line is a 5 mm line
        (0.5, {0.5: 4.0, 1.0: -0.8, 1.25: 4.5}, False),
        (1.0, {0.5: -1.0, 1.0: 0.8, 5.0: 5.0}, False),  # 1 mm lines are as clear as 5 mm lines would be
        (1.25, {0.5: 4.0, 1.25: 1.0}, False),
    ],
)
def test_lines_that_another_length_of_a_cycle_explains_are_harmonics(
    mm: float, five_mm_clear: dict[float, float], harmonics: bool
) -> None:
    clear = {other: np.array([five, 3.0]) for other, five in five_mm_clear.items()}
    assert are_harmonics(mm, clear) == harmonics


@pytest.mark.parametrize("px_per_mm", [2.85, 3.03])
def test_1_mm_lines_between_followed_5_mm_lines_are_seen_where_lines_are_on_whole_pixels(
    px_per_mm: float,
) -> None:
    """The 5 mm lines' own rounding repeats every few of them, as 5 mm lines among 1 mm lines do."""
    evidence = np.zeros(SHAPE, np.float32)
    for every_mm, depth in ((1.0, 0.35), (5.0, 1.0)):
        for axis in range(2):
            at = np.round(np.arange(0.0, SHAPE[axis] / px_per_mm - 1, every_mm) * px_per_mm).astype(int)
            where = np.ix_(at, range(SHAPE[1])) if axis == 0 else np.ix_(range(SHAPE[0]), at)
            evidence[where] = np.maximum(evidence[where], depth)
    noise = np.random.default_rng(0).normal(0, 0.01, SHAPE).astype(np.float32)
    found = mm_per_cycle(evidence + noise, phases(5 * px_per_mm), PLACES, 2000, 5 * px_per_mm)
    assert found == (5.0, False)
