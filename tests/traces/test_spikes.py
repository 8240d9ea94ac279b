"""Pacing spikes, drawn on a page of two rows at 8 px/mm."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.elements import RowTrace
from ecg_hough.page_map import PageMap
from ecg_hough.traces.spikes import find_spikes, with_spikes

PX_PER_MM, X_MM = 8.0, np.arange(5.0, 135.0, 0.0625)
LEVELS_MM = (20.0, 50.0)
AT_MM = (20.0, 42.0, 64.0, 86.0, 108.0)
NO_WORDS = np.zeros((0, 2))


@pytest.fixture
def page_map():
    return PageMap.from_affine([[PX_PER_MM, 0.0, -0.5], [0.0, PX_PER_MM, -0.5]], (70.0, 140.0))


def page(*, strokes=()):
    """Two level rows of traces, two pixels thick, and vertical strokes (x, top, foot in mm, pixels wide)."""
    dark = np.zeros((round(70 * PX_PER_MM), round(140 * PX_PER_MM)), bool)
    for level in LEVELS_MM:
        row = round(level * PX_PER_MM)
        dark[row - 1 : row + 1, round(5 * PX_PER_MM) : round(135 * PX_PER_MM)] = True
    for x, top, foot, width in strokes:
        col = round(x * PX_PER_MM)
        dark[round(top * PX_PER_MM) : round(foot * PX_PER_MM), col : col + width] = True
    return dark


def rows():
    flat = np.ones(X_MM.size)
    return tuple(
        RowTrace(k, X_MM, np.full(X_MM.size, level - 0.06), 0.05 * flat, flat, 0.25)
        for k, level in enumerate(LEVELS_MM)
    )


def spikes(height=6.0, of=LEVELS_MM, at=AT_MM, width=2):
    return [(x, level - height, level, width) for level in of for x in at]


def test_spikes_are_as_high_as_their_ink(page_map):
    first, second = with_spikes(page(strokes=spikes()), page_map, rows(), NO_WORDS)
    for row, level in ((first, 20.0), (second, 50.0)):
        assert row.spikes == len(AT_MM)
        for x in AT_MM:
            here = np.abs(row.x_mm - x - 0.125) < 0.4
            assert row.y_mm[here].min() == pytest.approx(level - 6.0 + 0.125, abs=0.15)
        away = np.min([np.abs(row.x_mm - x - 0.125) for x in AT_MM], axis=0) > 0.5
        assert (row.y_mm[away] == level - 0.06).all()


def test_one_row_s_spikes_are_enough_if_they_are_alike(page_map):
    assert len(find_spikes(page(strokes=spikes(of=(20.0,))), page_map, rows(), NO_WORDS)) == len(AT_MM)
    uneven = [
        (x, 20.0 - height, 20.0, 2) for x, height in zip(AT_MM, (2.0, 4.0, 6.0, 9.0, 13.0), strict=True)
    ]
    assert find_spikes(page(strokes=uneven), page_map, rows(), NO_WORDS) == []


@pytest.mark.parametrize(
    "strokes",
    [
        spikes(width=6),  # a wave's tip
        spikes(at=AT_MM[:3]),  # as many as columns have separators
        [(x, level - 3.0, level + 3.0, 2) for level in LEVELS_MM for x in AT_MM],  # separators
        [(x, 0.0, 70.0, 2) for x in AT_MM],  # lines of the grid
        [(x, 20.0, 50.0, 2) for x in AT_MM],  # from row to row
        [*spikes(), *[(x + 0.8, level - 6.0, level, 2) for level in LEVELS_MM for x in AT_MM]],  # two flanks
    ],
)
def test_what_is_no_spike_is_left(strokes, page_map):
    assert find_spikes(page(strokes=strokes), page_map, rows(), NO_WORDS) == []


def test_letters_of_words_are_no_spikes(page_map):
    words = np.array([[level - 3.0, x + 1.0] for level in LEVELS_MM for x in AT_MM])
    assert find_spikes(page(strokes=spikes()), page_map, rows(), words) == []
