"""A layout placed on a page: where its panels lie, and how much of their leads is seen."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.layout.placed import PanelSpan, PlacedLayout, agreement, is_present, lead_share
from ecg_hough.layout.rows import RowEvidence, log_gain
from ecg_hough.paper import LEADS, make_layout

N_COLS = 100


def evidence_of(classes: np.ndarray, occupied: np.ndarray) -> RowEvidence:
    """Rows (n, cols) of one sure class each, traced where `occupied`."""
    share = np.zeros((len(classes), len(LEADS), N_COLS))
    np.put_along_axis(share, classes[:, None], 1.0, axis=1)
    weight = occupied.astype(float)
    return RowEvidence(log_gain(share, weight), weight, share, np.array([-10.0, 10.0])[: len(classes)])


def test_panels_lean_with_the_height_of_their_row() -> None:
    layout = make_layout("6x2")
    placed = PlacedLayout(
        layout, np.array([0.0, 50.0, 100.0]), np.array([0.1, 0.2, 0.3]), ((1, 0),), ((2, 7),), 1.0
    )
    first, second, strip = placed.panels(np.array([0.0, 10.0, 20.0]))
    assert (first.lead, first.row, first.column, first.start, first.end) == (0, 1, 0, 1.0, 52.0)
    assert (LEADS[second.lead], second.column, second.start, second.end) == ("V1", 1, 52.0, 103.0)
    assert (LEADS[strip.lead], strip.row, strip.rhythm, strip.start, strip.end) == ("V2", 2, True, 2.0, 106.0)
    assert placed.layout.name == "6x2+1"
    assert placed.layout.rhythm == ("V2",)
    assert placed.rows == (1, 2)
    # Pixel centres are whole numbers in a box.
    assert (first.box.lead, first.box.start_col, first.box.end_col) == ("I", 0.5, 51.5)


@pytest.mark.parametrize(
    ("start", "end", "pixels"),
    [(0.0, 3.0, (0, 3)), (0.6, 3.4, (1, 3)), (-5.0, 2.0, (0, 2)), (98.0, 200.0, (98, 100))],
)
def test_pixels_are_those_whose_centre_lies_in_the_panel(
    start: float, end: float, pixels: tuple[int, int]
) -> None:
    assert PanelSpan(0, 0, 0, False, start, end).pixels(N_COLS) == slice(*pixels)


def test_a_lead_is_present_by_its_class_or_by_much_trace() -> None:
    classes = np.zeros((1, N_COLS), int)
    occupied = np.zeros((1, N_COLS), bool)
    occupied[0, :20] = True
    evidence = evidence_of(classes, occupied)
    own, other = (PanelSpan(lead, 0, 0, False, 0.0, 100.0) for lead in (0, 5))
    assert lead_share(own, evidence) == pytest.approx(0.2)
    assert lead_share(other, evidence) == 0.0
    assert is_present(own, evidence)
    assert not is_present(other, evidence)
    assert is_present(PanelSpan(5, 0, 0, False, 0.0, 30.0), evidence)  # two thirds traced, under another name
    assert not is_present(PanelSpan(0, 0, 0, False, 0.0, 3.0), evidence)  # too narrow


def test_agreement_is_the_share_of_traced_columns_under_their_name() -> None:
    classes = np.repeat([[0], [1]], N_COLS, axis=1)
    evidence = evidence_of(classes, np.ones((2, N_COLS), bool))
    panels = [
        PanelSpan(0, 0, 0, False, 0.0, 100.0),
        PanelSpan(3, 1, 0, False, 0.0, 50.0),
        PanelSpan(1, 1, 1, False, 50.0, 100.0),
    ]
    assert agreement(panels, evidence) == pytest.approx(0.75)
    assert agreement([], evidence) == 0.0
