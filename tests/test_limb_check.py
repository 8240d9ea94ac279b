"""Names against physics: rows of true limb leads correct a wrong layout, and a right one stays."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.calibration import Window
from ecg_hough.ecg_model import generate_ecg
from ecg_hough.limb_check import check_layout, limb_rest
from ecg_hough.paper import LEADS, Layout, make_layout
from ecg_hough.traces import RowTrace

FS = 500


def page_rows(layout: Layout, *, inverted_avr: bool = False, seed: int = 0) -> tuple[RowTrace, ...]:
    """Row traces of a page of `layout` at 25 mm/s and 10 mm/mV, with a little noise."""
    rng = np.random.default_rng(seed)
    signals = generate_ecg(8, rhythm="sinus rhythm").signals
    x = np.arange(20.0, 270.0, 1 / 16)
    column_mm = 250.0 / layout.n_columns
    out = []
    for r in range(layout.n_rows):
        short = r < len(layout.rows)
        mv = np.zeros(x.size)
        for c in range(layout.n_columns):
            lead = layout.rows[r][c] if short else layout.rhythm[r - len(layout.rows)]
            inside = (x >= 20.0 + c * column_mm) & (x < 20.0 + (c + 1) * column_mm)
            at = (x[inside] - 20.0) / 25.0 * FS
            value = np.interp(at, np.arange(signals.shape[1]), signals[LEADS.index(lead)])
            mv[inside] = -value if inverted_avr and lead == "aVR" else value
        y = 30.0 * r + 40.0 - 10.0 * mv + rng.normal(0, 0.1, x.size)
        out.append(RowTrace(r, x, y, np.full(x.size, 0.05), np.ones(x.size)))
    return tuple(out)


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


@pytest.mark.parametrize("cabrera", [False, True])
@pytest.mark.parametrize(("shape", "rhythm"), LAYOUTS)
def test_a_right_layout_stays(shape: str, rhythm: tuple[str, ...], cabrera: bool) -> None:
    layout = make_layout(shape, rhythm=rhythm, cabrera=cabrera)
    checked = check_layout(page_rows(layout), panels(layout), layout)
    assert checked.layout == layout
    assert checked.windows == panels(layout)
    assert not checked.warnings


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("cabrera", [False, True])
@pytest.mark.parametrize(("shape", "rhythm"), LAYOUTS)
def test_the_other_order_is_seen(shape: str, rhythm: tuple[str, ...], cabrera: bool, inverted: bool) -> None:
    true = make_layout(shape, rhythm=rhythm, cabrera=cabrera)
    wrong = make_layout(shape, rhythm=rhythm, cabrera=not cabrera)
    checked = check_layout(page_rows(true, inverted_avr=cabrera and inverted), panels(wrong), wrong)
    assert checked.layout == true
    assert [w.lead for w in checked.windows] == [w.lead for w in panels(true)]
    assert any("limb leads" in warning for warning in checked.warnings)


def test_six_limb_leads_are_no_three_rows_over_strips() -> None:
    true, wrong = make_layout("6x1-limb"), make_layout("3x4", rhythm=("II", "V1", "V5"))
    checked = check_layout(page_rows(true), panels(wrong), wrong)
    assert checked.layout == true
    assert len(checked.windows) == 6


def test_the_left_column_of_6x2_is_not_enough() -> None:
    true, wrong = make_layout("6x1-limb"), make_layout("6x2")
    assert check_layout(page_rows(true), panels(wrong), wrong).layout == true


def test_an_unknown_layout_of_twelve_rows() -> None:
    true = make_layout("12x1")
    unnamed = tuple(Window("V1", r, 0, False, 20.0, 270.0) for r in range(12))
    assert check_layout(page_rows(true), unnamed, None).layout == true


def test_chest_leads_cannot_be_checked() -> None:
    layout = make_layout("6x1-precordial")
    rows = page_rows(layout)
    assert limb_rest({row.row_index: row for row in rows}, panels(layout), layout) is None
    assert check_layout(rows, panels(layout), layout).layout == layout


def test_rest_is_zero_for_limb_leads_and_large_for_others() -> None:
    limb, chest = make_layout("6x1-limb"), make_layout("6x1-precordial")
    for rows, low, high in ((page_rows(limb), 0.0, 0.01), (page_rows(chest), 0.05, 3.0)):
        rest = limb_rest({row.row_index: row for row in rows}, panels(limb), limb)
        assert rest is not None
        assert low <= rest[0] <= high


def test_no_rows() -> None:
    assert check_layout((), panels(make_layout("3x4")), None).windows == ()
