"""Coarse paths: they stay with their row where names are confused, and else follow tall strokes."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.layout.paths import PanelPlace, find_paths, row_shares
from ecg_hough.layout.rows import find_rows

SIDE = 240
LINES = (70, 130, 190)
"""Canvas rows of three rows of traces, over the whole width."""
TALL_COLS = range(100, 104)
"""Where the lowest row has a stroke that reaches over the row above it."""


def canvas_of(classes: np.ndarray) -> np.ndarray:
    """(13, SIDE, SIDE) probabilities of three traces 3 px wide.

    Args:
        classes: (3, SIDE) index of the lead that the network takes each column of each row for.
    """
    probabilities = np.zeros((13, SIDE, SIDE), np.float32)
    probabilities[0] = 1.0
    for line, leads in zip(LINES, classes, strict=True):
        for col, lead in enumerate(leads):
            reach = LINES[0] + 20 if line == LINES[2] and col in TALL_COLS else line - 1
            probabilities[:, reach : line + 2, col] = 0.01
            probabilities[lead + 1, reach : line + 2, col] = 0.88
    return probabilities


def places() -> list[PanelPlace]:
    return [PanelPlace(row, 0, SIDE) for row in range(3)]


@pytest.mark.parametrize("swapped", [range(150, 210), range(60, 90)])
def test_paths_stay_with_their_rows_where_names_are_confused(swapped: range) -> None:
    classes = np.repeat(np.arange(3)[:, None], SIDE, axis=1)
    classes[:2, swapped] = classes[1::-1, swapped]
    probabilities = canvas_of(classes)
    rows = find_rows(probabilities)
    assert rows is not None
    paths = find_paths(places(), probabilities, rows)
    calm = np.setdiff1d(np.arange(SIDE), np.arange(TALL_COLS.start - 1, TALL_COLS.stop + 1))
    for line, path in zip(LINES, paths, strict=True):
        assert np.abs(path[calm] - line).max() <= 2.0


def test_a_tall_stroke_is_its_row_s_where_names_are_sure() -> None:
    probabilities = canvas_of(np.repeat(np.arange(3)[:, None], SIDE, axis=1))
    rows = find_rows(probabilities)
    assert rows is not None
    shares = row_shares(places(), probabilities, rows, rows.pitch)
    top = LINES[0] + 22
    assert shares[2, top, TALL_COLS.start] > 0.6
    assert shares[2, LINES[1], 20] < 0.1
    lowest = find_paths(places(), probabilities, rows)[2]
    assert lowest[TALL_COLS.start] < LINES[2] - 30
    assert abs(lowest[20] - LINES[2]) <= 1.0
