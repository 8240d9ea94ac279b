"""The layout that fits the traces: limb leads correct a wrong one, and a right one is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.elements import Candidate, RowTrace, Window
from ecg_hough.errors import PageError
from ecg_hough.paper import Layout, given_layout, make_layout
from ecg_hough.signals.choose_layout import as_given, at_common_edges, check_layout, measure, strip_odds
from printed_rows import page_rows, panels_of


def candidate(layout: Layout, evidence: float) -> Candidate:
    return Candidate(layout, panels_of(layout), evidence)


LAYOUTS = [("3x4", ()), ("3x4", ("II", "V1")), ("6x2", ()), ("12x1", ()), ("6x1-limb", ())]
BY_USUAL_BEATS = [("4x3", ()), ("2x6", ())]
"""Layouts with too few limb leads in one column."""


@pytest.mark.parametrize("cabrera", [False, True])
@pytest.mark.parametrize(("shape", "rhythm"), LAYOUTS + BY_USUAL_BEATS)
def test_a_right_layout_is_kept(shape: str, rhythm: tuple[str, ...], cabrera: bool) -> None:
    layout = make_layout(shape, rhythm=rhythm, cabrera=cabrera)
    other = make_layout(shape, rhythm=rhythm, cabrera=not cabrera)
    checked = check_layout(page_rows(layout), (candidate(layout, 1.6), candidate(other, 1.5)))
    assert checked.layout == layout
    assert checked.windows == panels_of(layout)
    assert not checked.warnings


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("cabrera", [False, True])
@pytest.mark.parametrize(("shape", "rhythm"), LAYOUTS + BY_USUAL_BEATS)
def test_the_other_order_is_seen(shape: str, rhythm: tuple[str, ...], cabrera: bool, inverted: bool) -> None:
    true = make_layout(shape, rhythm=rhythm, cabrera=cabrera)
    wrong = make_layout(shape, rhythm=rhythm, cabrera=not cabrera)
    rows = page_rows(true, inverted_avr=cabrera and inverted)
    checked = check_layout(rows, (candidate(wrong, 1.8), candidate(true, 1.5)))
    assert checked.layout == true
    assert [w.lead for w in checked.windows] == [w.lead for w in panels_of(true)]
    assert any("Einthoven" in warning for warning in checked.warnings)


def test_six_limb_leads_are_no_three_rows_over_strips() -> None:
    true, wrong = make_layout("6x1-limb"), make_layout("3x4", rhythm=("II", "V1", "V5"))
    checked = check_layout(page_rows(true), (candidate(wrong, 1.8), candidate(true, 1.0)))
    assert checked.layout == true
    assert len(checked.windows) == 6


def test_six_chest_leads_are_no_strips() -> None:
    """The network sees three rows above strips. No limb sums apply, but strips must repeat short leads."""
    true, wrong = make_layout("6x1-precordial"), make_layout("3x4", rhythm=("II", "V1", "V5"))
    rows = page_rows(true)
    of_strips = strip_odds(page_rows(wrong), candidate(wrong, 1.5))
    assert strip_odds(rows, candidate(wrong, 1.5)) < of_strips - 1.0
    assert strip_odds(rows, candidate(true, 1.0)) == 0.0
    assert check_layout(rows, (candidate(wrong, 1.4), candidate(true, 1.0))).layout == true


def test_the_left_column_of_6x2_is_not_enough() -> None:
    true, wrong = make_layout("6x1-limb"), make_layout("6x2")
    assert check_layout(page_rows(true), (candidate(wrong, 1.6), candidate(true, 1.4))).layout == true


def test_a_layout_that_the_network_rejects_is_used_where_the_sums_hold() -> None:
    true = make_layout("12x1")
    one_a_row = tuple(Window("V1", r, 0, False, 20.0, 270.0) for r in range(12))
    checked = check_layout(page_rows(true), (candidate(true, 0.4),), one_a_row, known=False)
    assert checked.layout == true
    assert any("no known layout" in warning for warning in checked.warnings)


def test_no_layout_where_the_sums_are_broken() -> None:
    shown = make_layout("6x1-precordial")
    loose = panels_of(shown)[:2]
    guess = candidate(make_layout("6x1-limb"), 0.4)
    checked = check_layout(page_rows(shown), (guess,), loose, known=False)
    assert checked.layout is None
    assert checked.windows == loose
    assert any("no known layout fits" in warning for warning in checked.warnings)


def test_a_view_that_fits_a_layout_gets_one() -> None:
    """Six chest leads under limb leads' names: no sum holds, but the network's view fits a layout."""
    rows = page_rows(make_layout("6x1-precordial"))
    guesses = (candidate(make_layout("6x1-limb"), 0.3), candidate(make_layout("6x1-precordial"), 0.2))
    assert check_layout(rows, guesses, known=False).layout is None
    checked = check_layout(rows, guesses)
    assert checked.layout in {guess.layout for guess in guesses}
    assert checked.windows


def test_rows_without_a_place_count_against_a_layout() -> None:
    true = make_layout("3x4", rhythm=("II",))
    three = candidate(make_layout("3x4"), 1.7)
    assert check_layout(page_rows(true), (three, candidate(true, 1.6))).layout == true


def test_printed_names_are_trusted() -> None:
    true, printed = make_layout("3x4"), make_layout("3x4", cabrera=True)
    both = (candidate(printed, 1.6), candidate(true, 1.5))
    assert check_layout(page_rows(true), both, named=1.0).layout == printed
    assert check_layout(page_rows(true), both, named=0.2).layout == true


def test_a_close_second_is_named_in_a_warning() -> None:
    layout = make_layout("6x1-precordial")
    same = (candidate(layout, 1.5), candidate(make_layout("6x1-precordial"), 1.45))
    assert any("probability" in warning for warning in check_layout(page_rows(layout), same).warnings)


def test_no_rows() -> None:
    checked = check_layout((), (candidate(make_layout("3x4"), 1.0),), known=False)
    assert (checked.layout, checked.windows) == (None, ())


def test_columns_seen_in_the_wrong_place_do_not_break_the_sums() -> None:
    """The network's edges are up to a third of a column to the right of the true ones."""
    true = make_layout("3x4", rhythm=("II", "V1", "V5"))
    off = {0: 0.0, 1: 20.0, 2: 13.0, 3: 6.0, 4: 0.0}
    seen = tuple(
        w
        if w.rhythm
        else replace(w, start_mm=w.start_mm + off[w.column_index], end_mm=w.end_mm + off[w.column_index + 1])
        for w in panels_of(true)
    )
    rows = tuple(with_margins(row) for row in page_rows(true))
    features = measure(rows, at_common_edges(rows, Candidate(true, seen, 0.6)))
    assert features == pytest.approx(measure(rows, candidate(true, 0.6)), abs=0.1)


def with_margins(row: RowTrace, margin_mm: float = 10.0) -> RowTrace:
    """A row with white paper before and behind its trace."""
    n = round(margin_mm * 16)
    x = row.x_mm[0] + (np.arange(-n, row.x_mm.size + n)) / 16
    y, sd = (np.pad(values, n, constant_values=np.nan) for values in (row.y_mm, row.sd_mm))
    return RowTrace(row.row_index, x, y, sd, np.pad(row.presence, n, constant_values=0.01))


def test_a_layout_that_is_given_is_taken_against_the_evidence() -> None:
    usual = make_layout("3x4", rhythm=("II",))
    others = (candidate(make_layout("6x2"), 2.0), candidate(make_layout("3x4"), 1.9), candidate(usual, 0.1))
    given = given_layout("3x4+1")
    assert given is not None
    chosen = as_given(others, given)
    assert chosen.layout == usual
    assert chosen.windows == panels_of(usual)
    assert not chosen.strips_given


def test_leads_that_are_given_are_named_by_their_places() -> None:
    usual = make_layout("3x4", rhythm=("II",))
    given = given_layout(leads="V1 V2 V3 V4 / I II III aVR / aVL aVF V5 V6 / V1")
    assert given is not None
    chosen = as_given((candidate(usual, 1.0),), given)
    assert chosen.layout is not None
    assert (chosen.layout.name, chosen.layout.rhythm) == ("3x4-given+1", ("V1",))
    assert chosen.strips_given
    named = {(w.row_index, w.column_index): w.lead for w in chosen.windows}
    before = {(w.row_index, w.column_index): w.lead for w in panels_of(usual)}
    for r, row in enumerate(given.rows):
        for k, lead in enumerate(row):
            place = next(at for at, old in before.items() if old == usual.rows[r][k] and at[0] < 3)
            assert named[place] == lead
    assert [w.lead for w in chosen.windows if w.rhythm] == ["V1"]


def test_a_layout_of_other_rows_is_refused() -> None:
    given = given_layout("6x2+1")
    assert given is not None
    with pytest.raises(PageError, match=r"given, 6x2\+1; its rows fit 3x4\. Omit"):
        as_given((candidate(make_layout("3x4"), 1.0),), given)
