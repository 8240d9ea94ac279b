"""Page rows and rows of a layout: the likeliest assignment that keeps their order."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.layout.assign import BlockFrame, assign_rows
from ecg_hough.layout.rows import RowEvidence, log_gain
from ecg_hough.paper import LEADS, make_layout

N_COLS = 240
FRAME = BlockFrame(0.0, float(N_COLS), 0.0)


def evidence_of(*rows: tuple[str, ...]) -> RowEvidence:
    """Rows of equally wide leads, each surely named; "" is a column without trace."""
    share = np.zeros((len(rows), len(LEADS), N_COLS))
    weight = np.zeros((len(rows), N_COLS))
    for i, row in enumerate(rows):
        width = N_COLS // len(row)
        for j, lead in enumerate(row):
            cols = slice(j * width, (j + 1) * width)
            if lead:
                share[i, LEADS.index(lead), cols], weight[i, cols] = 1.0, 1.0
    return RowEvidence(log_gain(share, weight), weight, share, np.zeros(len(rows)))


BLOCK = make_layout("3x4").rows


def test_every_row_gets_its_place_and_strips_their_lead() -> None:
    placed = assign_rows(make_layout("3x4"), evidence_of(*BLOCK, ("II",), ("V5",)), FRAME)
    assert placed.short == ((0, 0), (1, 1), (2, 2))
    assert placed.layout == make_layout("3x4", rhythm=("II", "V5"))
    assert placed.rows == (0, 1, 2, 3, 4)
    assert placed.edges.tolist() == [0.0, 60.0, 120.0, 180.0, 240.0]


def test_the_true_layout_gains_most() -> None:
    evidence = evidence_of(*BLOCK)
    gains = {
        shape: assign_rows(make_layout(shape), evidence, FRAME).score
        for shape in ("3x4", "4x3", "6x2", "12x1")
    }
    assert max(gains, key=gains.__getitem__) == "3x4"
    assert gains["3x4"] == pytest.approx(3 * N_COLS * np.log(len(LEADS)), rel=1e-6)


def test_a_row_of_no_lead_has_no_place_and_a_missing_row_is_skipped() -> None:
    stray = ("V6", "V5", "V6", "V5")
    placed = assign_rows(make_layout("3x4"), evidence_of(BLOCK[0], stray, BLOCK[1], BLOCK[2]), FRAME)
    assert placed.short == ((0, 0), (2, 1), (3, 2))
    placed = assign_rows(make_layout("3x4"), evidence_of(BLOCK[0], BLOCK[2]), FRAME)
    assert placed.short == ((0, 0), (1, 2))


def test_a_short_stroke_is_no_rhythm_strip() -> None:
    evidence = evidence_of(*BLOCK, ("", "II", "", ""))
    assert assign_rows(make_layout("3x4"), evidence, FRAME).strips == ()


def test_exactly_these_rows_or_none() -> None:
    evidence = evidence_of(BLOCK[0], BLOCK[0], BLOCK[1], BLOCK[2])
    placed = assign_rows(make_layout("3x4"), evidence, FRAME, exactly=(1, 2, 3))
    assert placed.rows == (1, 2, 3)
    assert placed.short == ((1, 0), (2, 1), (3, 2))
    assert assign_rows(make_layout("3x4"), evidence, FRAME, exactly=(0, 1)).score == -np.inf
    # A shape that is printed without strips has as many rows as it has.
    assert assign_rows(make_layout("4x3"), evidence_of(*BLOCK), FRAME, exactly=(0, 1, 2)).score == -np.inf
