"""The layout that traces allow: limb leads correct a wrong one, and a right one stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.elements import Candidate, RowTrace, Window
from ecg_hough.paper import LEADS, Layout, make_layout
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.signals.choose_layout import EVEN_BEAT_REST, at_common_edges, check_layout, measure, strip_odds
from ecg_hough.signals.limb_sums import limb_columns, limb_rest, renamed_columns, usual_beat_rest

FS = 500


def page_rows(
    layout: Layout,
    *,
    inverted_avr: bool = False,
    seed: int = 0,
    speed: float = 25.0,
    simultaneous: bool = False,
) -> tuple[RowTrace, ...]:
    """Row traces of a page of `layout` at 10 mm/mV, with a little noise."""
    rng = np.random.default_rng(seed)
    signals = generate_ecg(8, rhythm="sinus rhythm").signals
    x = np.arange(20.0 + 1 / 32, 270.0, 1 / 16)
    column_mm = 250.0 / layout.n_columns
    out = []
    for r in range(layout.n_rows):
        short = r < len(layout.rows)
        mv = np.zeros(x.size)
        for c in range(layout.n_columns):
            lead = layout.rows[r][c] if short else layout.rhythm[r - len(layout.rows)]
            inside = (x >= 20.0 + c * column_mm) & (x < 20.0 + (c + 1) * column_mm)
            first = 20.0 + (c * column_mm if simultaneous else 0.0)
            at = (x[inside] - first) / speed * FS
            value = np.interp(at, np.arange(signals.shape[1]), signals[LEADS.index(lead)])
            mv[inside] = -value if inverted_avr and lead == "aVR" else value
        y = 30.0 * r + 40.0 - 10.0 * mv + rng.normal(0, 0.1, x.size)
        out.append(RowTrace(r, x, y, np.full(x.size, 0.05), np.ones(x.size)))
    return tuple(out)


def candidate(layout: Layout, evidence: float) -> Candidate:
    return Candidate(layout, panels(layout), evidence)


def panels(layout: Layout) -> tuple[Window, ...]:
    """Panels of `layout` on a block of 20 to 270 mm."""
    width = 250.0 / layout.n_columns
    out = [
        Window(lead, r, c, False, 20.0 + c * width, 20.0 + (c + 1) * width)
        for r, row in enumerate(layout.rows)
        for c, lead in enumerate(row)
    ]
    n = len(layout.rows)
    return tuple(out + [Window(lead, n + k, 0, True, 20.0, 270.0) for k, lead in enumerate(layout.rhythm)])


LAYOUTS = [("3x4", ()), ("3x4", ("II", "V1")), ("6x2", ()), ("12x1", ()), ("6x1-limb", ())]
BY_USUAL_BEATS = [("4x3", ()), ("2x6", ())]
"""Too few limb leads stand in one column."""


@pytest.mark.parametrize("cabrera", [False, True])
@pytest.mark.parametrize(("shape", "rhythm"), LAYOUTS + BY_USUAL_BEATS)
def test_a_right_layout_stays(shape: str, rhythm: tuple[str, ...], cabrera: bool) -> None:
    layout = make_layout(shape, rhythm=rhythm, cabrera=cabrera)
    other = make_layout(shape, rhythm=rhythm, cabrera=not cabrera)
    checked = check_layout(page_rows(layout), (candidate(layout, 1.6), candidate(other, 1.5)))
    assert checked.layout == layout
    assert checked.windows == panels(layout)
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
    assert [w.lead for w in checked.windows] == [w.lead for w in panels(true)]
    assert any("limb leads" in warning for warning in checked.warnings)


def test_six_limb_leads_are_no_three_rows_over_strips() -> None:
    true, wrong = make_layout("6x1-limb"), make_layout("3x4", rhythm=("II", "V1", "V5"))
    checked = check_layout(page_rows(true), (candidate(wrong, 1.8), candidate(true, 1.0)))
    assert checked.layout == true
    assert len(checked.windows) == 6


def test_six_chest_leads_are_no_strips() -> None:
    """The network sees three rows over strips; no sum of limb leads tells, but strips repeat short leads."""
    true, wrong = make_layout("6x1-precordial"), make_layout("3x4", rhythm=("II", "V1", "V5"))
    rows = page_rows(true)
    of_strips = strip_odds(page_rows(wrong), candidate(wrong, 1.5))
    assert strip_odds(rows, candidate(wrong, 1.5)) < of_strips - 1.0
    assert strip_odds(rows, candidate(true, 1.0)) == 0.0
    assert check_layout(rows, (candidate(wrong, 1.4), candidate(true, 1.0))).layout == true


def test_the_left_column_of_6x2_is_not_enough() -> None:
    true, wrong = make_layout("6x1-limb"), make_layout("6x2")
    assert check_layout(page_rows(true), (candidate(wrong, 1.6), candidate(true, 1.4))).layout == true


def test_a_view_that_fits_nothing_is_believed_where_the_sums_hold() -> None:
    true = make_layout("12x1")
    one_a_row = tuple(Window("V1", r, 0, False, 20.0, 270.0) for r in range(12))
    checked = check_layout(page_rows(true), (candidate(true, 0.4),), one_a_row, known=False)
    assert checked.layout == true
    assert any("no known layout" in warning for warning in checked.warnings)


def test_no_layout_where_the_sums_are_broken() -> None:
    shown = make_layout("6x1-precordial")
    loose = panels(shown)[:2]
    guess = candidate(make_layout("6x1-limb"), 0.4)
    checked = check_layout(page_rows(shown), (guess,), loose, known=False)
    assert checked.layout is None
    assert checked.windows == loose
    assert any("own evidence" in warning for warning in checked.warnings)


def test_a_view_that_fits_a_layout_is_not_left_without_one() -> None:
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


def test_printed_names_are_believed() -> None:
    true, printed = make_layout("3x4"), make_layout("3x4", cabrera=True)
    both = (candidate(printed, 1.6), candidate(true, 1.5))
    assert check_layout(page_rows(true), both, named=1.0).layout == printed
    assert check_layout(page_rows(true), both, named=0.2).layout == true


def test_a_close_call_is_told() -> None:
    layout = make_layout("6x1-precordial")
    same = (candidate(layout, 1.5), candidate(make_layout("6x1-precordial"), 1.45))
    assert any("probability" in warning for warning in check_layout(page_rows(layout), same).warnings)


def test_no_rows() -> None:
    checked = check_layout((), (candidate(make_layout("3x4"), 1.0),), known=False)
    assert (checked.layout, checked.windows) == (None, ())


def test_chest_leads_cannot_be_checked() -> None:
    layout = make_layout("6x1-precordial")
    by_row = {row.row_index: row for row in page_rows(layout)}
    columns = limb_columns(by_row, panels(layout), layout)
    assert limb_rest(columns) is None
    assert usual_beat_rest(columns) is None


def test_rest_is_zero_for_limb_leads_and_large_for_others() -> None:
    limb, chest = make_layout("6x1-limb"), make_layout("6x1-precordial")
    for rows, low, high in ((page_rows(limb), 0.0, 0.01), (page_rows(chest), 0.05, 3.0)):
        by_row = {row.row_index: row for row in rows}
        columns = limb_columns(by_row, panels(limb), limb)
        rest, beat_rest = limb_rest(columns), usual_beat_rest(columns)
        assert rest is not None
        assert beat_rest is not None
        assert low <= rest[0] <= high
        assert low <= beat_rest <= high


def test_usual_beats_compare_leads_of_different_seconds() -> None:
    true, wrong = make_layout("2x6"), make_layout("2x6", cabrera=True)
    by_row = {row.row_index: row for row in page_rows(true)}
    right, other = (usual_beat_rest(limb_columns(by_row, panels(layout), layout)) for layout in (true, wrong))
    assert right is not None
    assert other is not None
    assert right < EVEN_BEAT_REST < 0.1 < other


def test_simultaneous_columns_obey_the_sums_without_a_whole_beat() -> None:
    """At 50 mm/s a sixth of the block lasts 0.8 s: seldom a beat with all that is compared round it."""
    true, wrong = make_layout("2x6"), make_layout("2x6", cabrera=True)
    by_row = {row.row_index: row for row in page_rows(true, speed=50.0, simultaneous=True)}
    right, other = (usual_beat_rest(limb_columns(by_row, panels(layout), layout)) for layout in (true, wrong))
    assert right is not None
    assert other is not None
    assert right < EVEN_BEAT_REST < other


def test_a_chest_column_that_obeys_the_limb_leads_sums_is_none() -> None:
    one, two = make_layout("6x1-limb"), make_layout("6x2")
    rests = []
    for printed in (one, two):
        rows = page_rows(printed)
        by_row = {row.row_index: row for row in rows}
        rest = limb_rest(renamed_columns(by_row, panels(two), two))
        assert rest is not None
        rests.append(rest[0])
        candidates = tuple(candidate(layout, 1.0 + 0.5 * (layout is two)) for layout in (two, one))
        assert check_layout(rows, candidates).layout == printed
    assert rests[0] < 0.01 < 0.05 < rests[1]
    assert not renamed_columns(by_row, panels(one), one)


def test_columns_seen_in_the_wrong_place_do_not_break_the_sums() -> None:
    """The network's edges lie up to a third of a column right of the true ones."""
    true = make_layout("3x4", rhythm=("II", "V1", "V5"))
    off = {0: 0.0, 1: 20.0, 2: 13.0, 3: 6.0, 4: 0.0}
    seen = tuple(
        w
        if w.rhythm
        else replace(w, start_mm=w.start_mm + off[w.column_index], end_mm=w.end_mm + off[w.column_index + 1])
        for w in panels(true)
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
