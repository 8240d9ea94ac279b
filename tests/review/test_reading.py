"""Places on the picture and on the page; what is kept of a reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecg_hough.elements import Box
from ecg_hough.review.corrections import Reread
from ecg_hough.review.places import Found, How
from ecg_hough.review.reading import KEPT, Reading
from made_review import sample


def test_places_survive_every_turn() -> None:
    found = sample().found(Reread())
    rows, cols = found.sheet.image.shape[:2]
    points = np.array([[100.0, 200.0], [250.5, 300.25]])
    upright = found.to_mm(points)
    for turns in range(4):
        # The same page in a picture that was turned: read with `turns` clockwise turns it is upright again.
        shape = (rows, cols) if turns % 2 == 0 else (cols, rows)
        there = Found(Box(7, 9, 7 + shape[0], 9 + shape[1]), turns, found.sheet, found.rows)
        px = there.to_px(upright)
        assert there.to_mm(px) == pytest.approx(upright, abs=1e-3)
        assert (px >= (7, 9)).all()
    assert np.isnan(found.to_px(np.array([[np.nan, 3.0]]))).all()


def test_a_stage_is_computed_once() -> None:
    reading, calls = Reading(sample().picture), []

    def compute() -> int:
        calls.append(1)
        return len(calls)

    assert [reading._once("stage", "a", compute) for _ in range(3)] == [1, 1, 1]
    for k in range(KEPT):
        reading._once("stage", k, compute)
    assert reading._once("stage", "a", compute) == KEPT + 2, "the oldest is forgotten"


def test_how_a_page_was_read() -> None:
    how = How.of({"fs": 250, "layout": "6x2", "weights": "some/where", "readout": "centroid"})
    assert (how.fs, how.weights, how.options.readout) == (250, Path("some/where"), "centroid")
    assert how.given is not None
    assert how.given.name == "6x2"
    assert How.of({}) == How()
