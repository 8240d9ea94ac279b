"""Facts of paper: layouts hold every lead once, in the order that their names promise."""

from __future__ import annotations

import pytest

from ecg_hough.paper import (
    CABRERA,
    IN_I_AND_II,
    KNOWN_LAYOUTS,
    LEADS,
    PLOTTED_LAYOUTS,
    SHAPES,
    given_layout,
    make_layout,
)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_the_rows_and_columns_of_its_name(name: str) -> None:
    layout, (n_rows, n_columns) = make_layout(name), map(int, name.split("-")[0].split("x"))
    assert (len(layout.rows), layout.n_columns) == (n_rows, n_columns) == SHAPES[name][:2]
    assert all(len(row) == n_columns for row in layout.rows)
    shape = SHAPES[name]
    shown = [lead for row in layout.rows for lead in row]
    assert sorted(shown, key=LEADS.index) == list(LEADS[shape.first : shape.stop])
    # Neighbours in the standard order are neighbours along the row, or down the column.
    order = shown if shape.along_rows else [row[j] for j in range(n_columns) for row in layout.rows]
    assert order == list(LEADS[shape.first : shape.stop])


def test_known_layouts_are_the_shapes_in_both_orders_of_the_limb_leads() -> None:
    names = [layout.name for layout in KNOWN_LAYOUTS]
    assert names[: len(SHAPES)] == list(SHAPES)
    assert set(names[len(SHAPES) :]) == {f"{name}-cabrera" for name in SHAPES if name != "6x1-precordial"}
    by_name = dict(zip(names, KNOWN_LAYOUTS, strict=True))
    assert [row[0] for row in by_name["6x2-cabrera"].rows] == list(CABRERA)
    assert by_name["2x6"].rows == (LEADS[:6], LEADS[6:])
    assert by_name["4x3"].rows[0] == ("I", "II", "III")
    assert by_name["3x4"].rows[0] == ("I", "aVR", "V1", "V4")


def test_plotted_layouts_are_other_orders_of_all_leads() -> None:
    known = {layout.rows for layout in KNOWN_LAYOUTS}
    assert [layout.name for layout in PLOTTED_LAYOUTS] == ["3x4-named", "6x2-named", "4x3-named", "2x6-named"]
    for layout in PLOTTED_LAYOUTS:
        assert layout.rows not in known
        assert sorted(lead for row in layout.rows for lead in row) == sorted(LEADS)


def test_strips_change_the_name_and_nothing_else() -> None:
    layout = make_layout("3x4", rhythm=("II", "V1"), cabrera=True)
    assert layout.name == "3x4+2-cabrera"
    assert layout.shape == "3x4"
    assert layout.n_rows == 5
    assert layout.with_strips(()) == make_layout("3x4", cabrera=True)


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape must be one of 3x4, 6x2, .*; got '5x5'"):
        make_layout("5x5")


def test_limb_leads_are_einthovens_and_goldbergers_sums() -> None:
    i, ii = 0.7, 1.1
    lead = {name: a * i + b * ii for name, (a, b) in IN_I_AND_II.items()}
    assert lead["I"] + lead["III"] == pytest.approx(lead["II"])
    assert lead["aVR"] + lead["aVL"] + lead["aVF"] == pytest.approx(0.0)
    assert lead["aVR"] == pytest.approx(-(i + ii) / 2)


@pytest.mark.parametrize(
    ("name", "leads", "shape", "rhythm"),
    [
        ("3x4", None, "3x4", ()),
        ("3x4+1", None, "3x4+1", ()),
        ("6x2-cabrera", None, "6x2-cabrera", ()),
        (None, "I aVR V1 V4 / II aVL V2 V5 / III aVF V3 V6 / II", "3x4+1", ("II",)),
        ("3x4+2", "i avr v1 v4/ii avl v2 v5/iii avf v3 v6/V1/II", "3x4+2", ("V1", "II")),
        (None, "aVL V1/I V2/-aVR V3/II V4/aVF V5/III V6", "6x2-cabrera", ()),
        (None, "V6 V5 / V4 V3", "2x2-given", ()),
        (None, "I/II/III/aVR/aVL/aVF", "6x1-limb", ()),
    ],
)
def test_what_a_person_says_of_a_page(
    name: str | None, leads: str | None, shape: str, rhythm: tuple[str, ...]
) -> None:
    given = given_layout(name, leads)
    assert given is not None
    assert (given.name, given.rhythm) == (shape, rhythm)
    assert given_layout() is None


@pytest.mark.parametrize(
    ("name", "leads", "message"),
    [
        ("5x5", None, r"layout must be one of 3x4, .*; got '5x5'"),
        ("12x1+1", None, "at most 0 rhythm strips"),
        ("3x4+1", "I II", r"leads must be those of 3x4\+1; got 1x2-given"),
        (None, "I II / V7 V2", "names of the 12 leads.*got V7"),
        (None, "I II // V1 V2", "an empty row"),
        (None, "I II / V1 V2 V3", "as many leads each"),
        (None, "I II / I V1", "each lead once"),
    ],
)
def test_what_no_page_can_show(name: str | None, leads: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        given_layout(name, leads)
