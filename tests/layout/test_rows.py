"""Rows of traces from the ink alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ecg_hough.layout.rows import find_rows

SIDE = 704


@pytest.mark.parametrize("bend", [0.0, 14.0])
@pytest.mark.parametrize("pen", [3, 9])
def test_lines_and_curl_together_follow_bent_rows(bend: float, pen: int) -> None:
    x = np.arange(40, 660)
    wave = bend * np.sin(2 * np.pi * (x - 40) / 620.0)
    ink = np.zeros((SIDE, SIDE), np.uint8)
    levels = [180 + 60 * k for k in range(6)]
    for level in levels:
        beats = -40.0 * (np.mod(x, 90) < 4)  # strokes that count for nothing
        points = np.stack([x, level + wave + beats], -1)
        cv2.polylines(ink, [np.round(points).astype(np.int32)[:, None]], False, 1, pen)
    probabilities = np.zeros((13, SIDE, SIDE), np.float32)
    probabilities[0], probabilities[1] = 1 - ink, ink
    rows = find_rows(probabilities)
    assert rows is not None
    assert len(rows.lines) == len(levels)
    drawn = np.array(levels)[:, None] + wave
    off = (rows.lines + rows.curl)[:, x] - drawn
    assert np.abs(off).mean() < 2.0
    if bend:
        assert np.abs(rows.lines[:, x] - drawn).mean() > 2.0 * np.abs(off).mean()
    else:
        assert np.abs(rows.curl).max() < 1.5
