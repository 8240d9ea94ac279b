"""Names of leads and the rows of traces they belong to."""

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.layout.names import CanvasName, add_names, canvas_names, place_names
from ecg_hough.layout.rows import RowEvidence, TraceRows, gather_evidence
from ecg_hough.paper import LEADS

N_COLS = 400


def rows_at(*levels: float) -> tuple[TraceRows, RowEvidence]:
    """Level rows full of trace without evidence of its lead."""
    lines = np.array(levels, float)[:, None] + np.zeros(N_COLS)
    mass = np.full((len(levels), 12, N_COLS), 1.0 / 12)
    pitch = float(np.median(np.diff(levels))) if len(levels) > 1 else float("nan")
    rows = TraceRows(lines, 0.0, pitch, mass, np.zeros_like(lines))
    return rows, gather_evidence(rows)


def name(lead: str, row: float, col: float, score: float = 0.9) -> CanvasName:
    return CanvasName(LEADS.index(lead), row, col, score)


@pytest.mark.parametrize("offset", [-18.0, -9.0, 12.0])
def test_names_go_to_their_rows_by_one_offset(offset):
    rows, evidence = rows_at(100, 150, 200)
    names = [name(lead, y + offset + 1, 20) for lead, y in (("I", 100), ("II", 150), ("III", 200))]
    names += [name("V1", 30, 300), name("V2", 232, 180)]  # a header and a note
    placed = place_names(tuple(names), rows, evidence)
    assert {(LEADS[p.name.lead], p.row) for p in placed} == {("I", 0), ("II", 1), ("III", 2)}


def test_what_the_network_saw_decides_between_above_and_below():
    rows, evidence = rows_at(100, 150, 200)
    share = evidence.share.copy()
    share[:, :] = 0.02
    for row, lead in enumerate(("I", "II", "III")):
        share[row, LEADS.index(lead)] = 0.78
    seen = RowEvidence(evidence.gain, evidence.weight, share, evidence.level)
    # Half way between the rows; by place alone it could be either row.
    names = tuple(name(lead, y + 25, 20) for lead, y in (("I", 100), ("II", 150), ("III", 200)))
    assert {(LEADS[p.name.lead], p.row) for p in place_names(names, rows, seen)} == {
        ("I", 0),
        ("II", 1),
        ("III", 2),
    }


def test_names_on_a_curled_page_keep_their_rows():
    rows, evidence = rows_at(100, 150, 200)
    curl = 24.0 * np.linspace(0.0, 1.0, N_COLS) ** 2 + np.zeros((3, 1))
    curled = replace(rows, curl=curl)
    names = tuple(
        name(lead, y - 10 + curl[0, col], col)
        for leads, y in ((("I", "V1"), 100), (("II", "V2"), 150), (("III", "V3"), 200))
        for lead, col in zip(leads, (20, 320), strict=True)
    )
    right = {("I", 0), ("V1", 0), ("II", 1), ("V2", 1), ("III", 2), ("V3", 2)}
    assert {(LEADS[p.name.lead], p.row) for p in place_names(names, curled, evidence)} == right
    # Next to straight lines the names of the second column are off the first one's.
    assert {(LEADS[p.name.lead], p.row) for p in place_names(names, rows, evidence)} != right


def test_one_name_alone_is_not_believed():
    rows, evidence = rows_at(100, 150)
    assert place_names((name("I", 90, 20),), rows, evidence) == ()


def test_of_two_names_at_one_place_the_better_is_kept():
    rows, evidence = rows_at(100, 150)
    names = (name("I", 90, 20, 0.95), name("II", 140, 20), name("V1", 91, 35, 0.6))
    assert {LEADS[p.name.lead] for p in place_names(names, rows, evidence)} == {"I", "II"}


def test_a_name_claims_its_row_up_to_the_next_one():
    rows, evidence = rows_at(100, 150)
    names = (name("I", 90, 20), name("V1", 90, 220), name("II", 140, 20))
    named = add_names(place_names(names, rows, evidence), rows, evidence)
    assert named.share.sum(axis=1) == pytest.approx(1.0)
    assert LEADS[int(named.share[0, :, 100].argmax())] == "I"
    assert LEADS[int(named.share[0, :, 300].argmax())] == "V1"
    assert LEADS[int(named.share[1, :, 300].argmax())] == "II"
    # Names do not show where the next panel begins.
    assert named.share[0, :, 215] == pytest.approx(evidence.share[0, :, 215])
    assert named.gain[0, LEADS.index("I"), 150] > evidence.gain[0, LEADS.index("I"), 150]


def test_minus_avr_is_avr_and_scales_are_no_names():
    found = canvas_names([("-aVR", 1.0, 2.0, 0.9), ("25 mm/s", 3.0, 4.0, 0.9)])
    assert [LEADS[n.lead] for n in found] == ["aVR"]


def test_a_wave_that_looks_like_a_name_is_in_no_column():
    rows, evidence = rows_at(100, 150, 200)
    names = [
        name(lead, y - 10, x)
        for x, leads in ((20, LEADS[:3]), (220, LEADS[6:9]))
        for lead, y in zip(leads, (100, 150, 200), strict=True)
    ]
    placed = place_names((*names, name("II", 141, 110, 0.95)), rows, evidence)
    assert {(p.name.lead, p.row) for p in placed} == {(k, k % 3) for k in (0, 1, 2, 6, 7, 8)}


def test_what_is_read_more_than_twice_is_no_name():
    """Dashes of a separator look like "I" in every row."""
    rows, evidence = rows_at(100, 150, 200)
    dashes = tuple(name("I", y - 10, 200) for y in (100, 150, 200))
    names = (name("I", 90, 20), name("II", 140, 20), name("III", 190, 20))
    placed = place_names((*names, *dashes), rows, evidence)
    assert {(LEADS[p.name.lead], p.row) for p in placed} == {("II", 1), ("III", 2)}
    strip = place_names((*names, name("II", 90, 200), name("V1", 140, 200)), rows, evidence)
    assert sum(LEADS[p.name.lead] == "II" for p in strip) == 2


def test_names_over_panels_in_frames_are_far_above_their_rows():
    rows, evidence = rows_at(100, 220, 340)
    names = tuple(name(lead, y - 52, 20) for lead, y in (("I", 100), ("II", 220), ("III", 340)))
    placed = place_names(names, rows, evidence)
    assert {(LEADS[p.name.lead], p.row) for p in placed} == {("I", 0), ("II", 1), ("III", 2)}
