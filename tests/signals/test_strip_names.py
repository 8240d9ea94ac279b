"""Rhythm strips named after the short copy that they repeat."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.elements import RowTrace, Window
from ecg_hough.paper import LEADS, make_layout
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.signals.strip_names import check_strips

COLUMN_MM = 62.5


def page(strip: str, *, sequential: bool = True, noise_mm: float = 0.05):
    """3x4+1 at 25 mm/s: rows and panels, the strip named truly."""
    ecg = generate_ecg(3)
    layout = make_layout("3x4", rhythm=(strip,))
    rng = np.random.default_rng(0)
    n = int(COLUMN_MM / 25.0 * ecg.fs)
    rows, windows = [], []
    for r, leads in enumerate(layout.rows):
        first = [c * n if sequential else 0 for c in range(4)]
        y = np.concatenate(
            [ecg.signals[LEADS.index(lead)][a : a + n] for lead, a in zip(leads, first, strict=True)]
        )
        rows.append(y)
        windows += [
            Window(lead, r, c, False, c * COLUMN_MM, (c + 1) * COLUMN_MM) for c, lead in enumerate(leads)
        ]
    rows.append(ecg.signals[LEADS.index(strip)][: 4 * n])
    windows.append(Window(strip, 3, 0, True, 0.0, 4 * COLUMN_MM))
    x = np.arange(4 * n) / ecg.fs * 25.0
    traces = tuple(
        RowTrace(
            k,
            x,
            30.0 * k - 10.0 * y + rng.normal(0, noise_mm, len(y)),
            np.full(len(y), 0.05),
            np.ones(len(y)),
        )
        for k, y in enumerate(rows)
    )
    return traces, tuple(windows), layout


@pytest.mark.parametrize("sequential", [True, False])
@pytest.mark.parametrize("strip", ["II", "V5"])
def test_a_misnamed_strip_is_renamed(strip, sequential):
    rows, windows, layout = page(strip, sequential=sequential)
    wrong = tuple(replace(w, lead="aVF") if w.rhythm else w for w in windows)
    checked = check_strips(rows, wrong, make_layout("3x4", rhythm=("aVF",)))
    assert checked.layout == layout
    assert [w.lead for w in checked.windows if w.rhythm] == [strip]
    assert f"aVF to {strip}" in checked.warnings[0]


def test_a_true_name_is_kept():
    rows, windows, layout = page("V1")
    checked = check_strips(rows, windows, layout)
    assert (checked.layout, checked.windows, checked.warnings) == (layout, windows, ())


def test_a_strip_that_repeats_nothing_keeps_its_name():
    rows, windows, layout = page("II")
    x, noise = rows[3].x_mm, np.random.default_rng(1).normal(0, 2.0, len(rows[3].x_mm))
    rows = (*rows[:3], replace(rows[3], y_mm=90.0 + np.cumsum(noise) / 20.0, x_mm=x))
    assert check_strips(rows, windows, layout).layout == layout


def test_a_copy_that_is_misread_for_a_while_is_still_the_copy():
    """The short copy of V5 follows a neighbour's tall complexes for a fifth of its time."""
    rows, windows, layout = page("V5")
    wrong = tuple(replace(w, lead="II") if w.rhythm else w for w in windows)
    row, x = rows[1], rows[1].x_mm
    misread = (x > 3.2 * COLUMN_MM) & (x < 3.4 * COLUMN_MM)
    rows = (rows[0], replace(row, y_mm=np.where(misread, row.y_mm - 25.0, row.y_mm)), *rows[2:])
    checked = check_strips(rows, wrong, make_layout("3x4", rhythm=("II",)))
    assert checked.layout == layout


def test_no_two_strips_have_one_name():
    """A faint difference: both look like II, and one of them must be aVF."""
    rows, windows, _ = page("II", noise_mm=0.2)
    ecg = generate_ecg(3)
    x = rows[3].x_mm
    y = 120.0 - 10.0 * ecg.signals[LEADS.index("aVF")][: len(x)]
    y += np.random.default_rng(2).normal(0, 0.2, len(x))
    rows = (*rows, RowTrace(4, x, y, rows[3].sd_mm, rows[3].presence))
    windows = (*windows, Window("II", 4, 0, True, 0.0, 4 * COLUMN_MM))
    checked = check_strips(rows, windows, make_layout("3x4", rhythm=("II", "II")))
    assert [w.lead for w in checked.windows if w.rhythm] == ["II", "aVF"]


def test_a_printed_name_needs_more_evidence_to_be_changed():
    rows, windows, _ = page("II", noise_mm=0.2)
    wrong = tuple(replace(w, lead="aVF") if w.rhythm else w for w in windows)
    layout = make_layout("3x4", rhythm=("aVF",))
    assert check_strips(rows, wrong, layout, printed=frozenset({("aVF", 3)})).layout == layout
    assert check_strips(rows, wrong, layout, printed=frozenset({("aVF", 0)})).layout != layout


def test_a_name_that_is_rejected_is_logged_with_its_odds(caplog):
    rows, windows, _ = page("II")
    wrong = tuple(replace(w, lead="aVF") if w.rhythm else w for w in windows)
    with caplog.at_level(logging.DEBUG, "ecg_hough.signals.strip_names"):
        check_strips(rows, wrong, make_layout("3x4", rhythm=("aVF",)), printed=frozenset({("aVR", 3)}))
    by_level = {record.levelname: [] for record in caplog.records}
    for record in caplog.records:
        by_level[record.levelname].append(record.getMessage())
    assert len(by_level["INFO"]) == 1
    assert by_level["INFO"][0].startswith("rhythm strip in row 3: II, log odds ")
    assert {text.split(" rejected")[0] for text in by_level["DEBUG"]} == {
        "rhythm strip in row 3: earlier name aVF",
        "rhythm strip in row 3: printed name aVR",
    }
