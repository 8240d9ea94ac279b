"""Limb leads' sums: they hold for limb leads only, at every instant and in their usual beats."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.paper import IN_I_AND_II, make_layout
from ecg_hough.signals.choose_layout import EVEN_BEAT_RESIDUAL
from ecg_hough.signals.limb_sums import (
    avr_is_inverted,
    limb_columns,
    limb_residual,
    outside_limb_space,
    renamed_columns,
    same_seconds_residual,
    usual_beat_residual,
)
from printed_rows import page_rows, panels_of


def test_sums_outside_the_limb_space_are_empty_for_limb_leads() -> None:
    signals = np.random.default_rng(0).normal(size=(2, 50))
    names = ["I", "aVR", "III", "aVL"]
    leads = np.array([np.array(IN_I_AND_II[name]) @ signals for name in names])
    upright, inverted = outside_limb_space(names)
    assert upright.shape == inverted.shape == (2, 4)
    assert np.abs(upright @ leads).max() < 1e-12 < 0.1 < np.abs(inverted @ leads).max()
    leads[1] *= -1
    assert np.abs(inverted @ leads).max() < 1e-12
    assert len(outside_limb_space(["I", "II", "III"])) == 1


@pytest.mark.parametrize("inverted", [False, True])
def test_usual_beats_show_inverted_avr(inverted: bool) -> None:
    layout = make_layout("2x6", cabrera=True)
    by_row = {row.row_index: row for row in page_rows(layout, inverted_avr=inverted)}
    assert avr_is_inverted(limb_columns(by_row, panels_of(layout), layout)) == inverted


def test_sequential_columns_do_not_show_the_same_seconds() -> None:
    layout = make_layout("4x3")
    same, other = (
        same_seconds_residual(
            limb_columns(
                {row.row_index: row for row in page_rows(layout, simultaneous=simultaneous)},
                panels_of(layout),
                layout,
            )
        )
        for simultaneous in (True, False)
    )
    assert same is not None
    assert other is not None
    assert same < 0.02 < 0.05 < other


def test_chest_leads_cannot_be_checked() -> None:
    layout = make_layout("6x1-precordial")
    by_row = {row.row_index: row for row in page_rows(layout)}
    columns = limb_columns(by_row, panels_of(layout), layout)
    assert limb_residual(columns) is None
    assert usual_beat_residual(columns) is None


def test_the_residual_is_zero_for_limb_leads_and_large_for_others() -> None:
    limb, chest = make_layout("6x1-limb"), make_layout("6x1-precordial")
    for rows, low, high in ((page_rows(limb), 0.0, 0.01), (page_rows(chest), 0.05, 3.0)):
        by_row = {row.row_index: row for row in rows}
        columns = limb_columns(by_row, panels_of(limb), limb)
        residual, beat_residual = limb_residual(columns), usual_beat_residual(columns)
        assert residual is not None
        assert beat_residual is not None
        assert low <= residual[0] <= high
        assert low <= beat_residual <= high


def test_usual_beats_compare_leads_of_different_seconds() -> None:
    true, wrong = make_layout("2x6"), make_layout("2x6", cabrera=True)
    by_row = {row.row_index: row for row in page_rows(true)}
    right, other = (
        usual_beat_residual(limb_columns(by_row, panels_of(layout), layout)) for layout in (true, wrong)
    )
    assert right is not None
    assert other is not None
    assert right < EVEN_BEAT_RESIDUAL < 0.1 < other


def test_simultaneous_columns_obey_the_sums_without_a_whole_beat() -> None:
    """At 50 mm/s a sixth of the block lasts 0.8 s: seldom a beat with all that is compared round it."""
    true, wrong = make_layout("2x6"), make_layout("2x6", cabrera=True)
    by_row = {row.row_index: row for row in page_rows(true, speed=50.0, simultaneous=True)}
    right, other = (
        usual_beat_residual(limb_columns(by_row, panels_of(layout), layout)) for layout in (true, wrong)
    )
    assert right is not None
    assert other is not None
    assert right < EVEN_BEAT_RESIDUAL < other


def test_chest_columns_break_the_limb_leads_sums_unless_they_are_limb_leads() -> None:
    one, two = make_layout("6x1-limb"), make_layout("6x2")
    residuals = []
    for printed in (one, two):
        rows = page_rows(printed)
        by_row = {row.row_index: row for row in rows}
        residual = limb_residual(renamed_columns(by_row, panels_of(two), two))
        assert residual is not None
        residuals.append(residual[0])
    assert residuals[0] < 0.01 < 0.05 < residuals[1]
    assert not renamed_columns(by_row, panels_of(one), one)
