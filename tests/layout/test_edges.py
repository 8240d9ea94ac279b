"""Edges of columns: found where traces begin and end and where their class changes."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.layout.assign import BlockFrame, assign_rows
from ecg_hough.layout.edges import block_extent, on_edges_of, refine_edges, settle_edges
from ecg_hough.layout.placed import PlacedLayout
from ecg_hough.layout.rows import RowEvidence, log_gain
from ecg_hough.paper import LEADS, Layout, make_layout

N_COLS = 400
LEVEL = np.array([-80.0, 0.0, 80.0])


def evidence_of(layout: Layout, edges: np.ndarray, lean: np.ndarray) -> RowEvidence:
    """Rows whose columns have these edges at mid height and lean by so much per row of the canvas."""
    share = np.zeros((len(layout.rows), len(LEADS), N_COLS))
    weight = np.zeros((len(layout.rows), N_COLS))
    for i, row in enumerate(layout.rows):
        at = np.rint(edges + lean * LEVEL[i]).astype(int)
        for j, lead in enumerate(row):
            share[i, LEADS.index(lead), at[j] : at[j + 1]] = 1.0
        weight[i, at[0] : at[-1]] = 1.0
    return RowEvidence(log_gain(share, weight), weight, share, LEVEL[: len(layout.rows)])


LAYOUT = make_layout("3x4")


@pytest.mark.parametrize("lean", [0.0, 0.02])
def test_the_extent_is_that_of_the_traces(lean: float) -> None:
    evidence = evidence_of(LAYOUT, np.linspace(50, 350, 5), np.full(5, lean))
    assert block_extent(evidence, lean) == pytest.approx((50, 350), abs=2.5)


def test_edges_are_refined_from_rough_ones() -> None:
    true = np.linspace(60, 340, 5)
    evidence = evidence_of(LAYOUT, true, np.full(5, 0.01))
    rough = assign_rows(LAYOUT, evidence, BlockFrame(45.0, 350.0, 0.0))
    refined = refine_edges(rough, evidence)
    np.testing.assert_allclose(refined.edges, true, atol=2.0)
    np.testing.assert_allclose(refined.lean, 0.01, atol=0.006)
    assert refined.score > rough.score
    nothing = PlacedLayout(LAYOUT, rough.edges, rough.lean, (), (), 0.0)
    assert refine_edges(nothing, evidence) is nothing


def test_settled_edges_follow_foreshortened_columns_and_their_own_lean() -> None:
    part = np.arange(5) / 4
    true = 60 + 280 * part * 1.15 / (1 + 0.15 * part)
    lean = 0.02 - 0.04 * part
    evidence = evidence_of(LAYOUT, true, lean)
    settled = settle_edges(assign_rows(LAYOUT, evidence, BlockFrame(60.0, 340.0, 0.0)), evidence)
    np.testing.assert_allclose(settled.edges, true, atol=1.5)
    np.testing.assert_allclose(settled.lean, lean, atol=0.012)


def test_another_layout_takes_the_best_one_s_ends() -> None:
    best = PlacedLayout(
        LAYOUT, np.array([10.0, 80.0, 160.0, 250.0, 350.0]), np.linspace(0, 0.04, 5), (), (), 1.0
    )
    same = PlacedLayout(make_layout("3x4", cabrera=True), np.zeros(5), np.zeros(5), (), (), 0.5)
    assert on_edges_of(best, same).edges is best.edges
    other = on_edges_of(best, PlacedLayout(make_layout("6x2"), np.zeros(3), np.zeros(3), (), (), 0.5))
    np.testing.assert_allclose(other.edges, [10.0, 180.0, 350.0])
    np.testing.assert_allclose(other.lean, [0.0, 0.02, 0.04])
    assert other.score == 0.5
