"""Zero lines of rows: from means, pulses' feet, equal distances, and what must hold at every instant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_hough.elements import GridLines, PulsePlace, RowTrace, Window
from ecg_hough.paper import IN_I_AND_II
from ecg_hough.signals.zero_lines import zero_lines

SPEED, GAIN, PITCH = 25.0, 10.0, 30.0
SECONDS = 2.5


def waves(n: int) -> NDArray[np.float64]:
    """(2, n) mV of I and II that are not zero in the mean."""
    t = np.linspace(0, SECONDS, n)
    beats = np.exp(-(((t % 0.8) - 0.3) ** 2) / 0.0008)
    tails = np.exp(-(((t % 0.8) - 0.55) ** 2) / 0.006)
    return np.stack([0.3 * beats + 0.06 * tails, 0.5 * beats + 0.18 * tails])


def page(
    leads: tuple[str, ...], *, flipped: str | None = None
) -> tuple[dict[int, RowTrace], tuple[Window, ...]]:
    """One lead a row, rows at `PITCH`, zero lines at 40 mm and so on."""
    x = np.arange(0.0, SECONDS * SPEED, 1 / 16)
    limb = waves(x.size)
    rows = {}
    for k, lead in enumerate(leads):
        mv = np.array(IN_I_AND_II[lead]) @ limb * (-1 if lead == flipped else 1)
        y = 40.0 + PITCH * k - GAIN * mv
        rows[k] = RowTrace(k, x, y, np.full(x.size, 0.05), np.ones(x.size))
    windows = tuple(Window(lead, k, 0, False, 0.0, SECONDS * SPEED) for k, lead in enumerate(leads))
    return rows, windows


def errors(
    rows: dict[int, RowTrace],
    windows: tuple[Window, ...],
    pulse: PulsePlace | None = None,
    lines: GridLines | None = None,
) -> NDArray[np.float64]:
    found = zero_lines(
        tuple(rows.values()), windows, speed_mm_s=SPEED, gain_mm_mv=GAIN, pulse=pulse, lines=lines
    )
    return np.array([found.mm[k] - 40.0 - PITCH * k for k in sorted(rows)])


def means(rows: dict[int, RowTrace]) -> NDArray[np.float64]:
    return np.array([rows[k].y_mm.mean() - 40.0 - PITCH * k for k in sorted(rows)])


def test_limb_leads_at_equal_distances_determine_all_zero_lines() -> None:
    rows, windows = page(("I", "II", "III", "aVR", "aVL", "aVF"))
    assert np.abs(means(rows)).max() > 0.5
    assert np.abs(errors(rows, windows)).max() < 0.1


def test_cabrera_prints_minus_avr() -> None:
    rows, windows = page(("aVL", "I", "aVR", "II", "aVF", "III"), flipped="aVR")
    # In this order the limb leads themselves rise from row to row, so distances are less informative.
    assert np.abs(errors(rows, windows)).max() < 0.5 * np.abs(means(rows)).max()


def test_einthoven_determines_the_middle_row_of_three() -> None:
    rows, windows = page(("I", "II", "III"))
    assert abs(errors(rows, windows)[1]) < 0.1 < abs(means(rows)[1])


def test_leads_that_break_the_sums_have_no_weight() -> None:
    rows, windows = page(("I", "II", "III"))
    wrong = tuple(replace(w, lead=lead) for w, lead in zip(windows, ("II", "III", "aVL"), strict=True))
    assert np.abs(errors(rows, wrong) - means(rows)).max() < 1.0


def test_a_pulse_s_foot_is_the_zero_line_unless_it_is_too_far() -> None:
    rows, windows = page(("I", "II", "III"))
    assert np.abs(errors(rows, windows, PulsePlace(0, 5, {0: 40.0, 1: 70.0, 2: 100.0}))).max() < 0.05
    without = errors(rows, windows)
    assert errors(rows, windows, PulsePlace(0, 5, {1: 90.0})) == pytest.approx(without)


def test_rows_at_unequal_distances_are_not_moved() -> None:
    rows, windows = page(("I", "II", "III"))
    chest = tuple(replace(w, lead=lead) for w, lead in zip(windows, ("V1", "V2", "V3"), strict=True))
    assert errors(rows, chest) != pytest.approx(means(rows), abs=0.05)
    rows[1] = replace(rows[1], y_mm=rows[1].y_mm + 9.0)
    assert errors(rows, chest) == pytest.approx(means(rows), abs=1e-6)


def test_a_rhythm_strip_determines_its_short_copy() -> None:
    rows, windows = page(("I", "II"))
    strip = rows[1]
    long = np.arange(0.0, 250.0, 1 / 16)
    four = np.tile(strip.y_mm - 70.0, 4)
    # Ten seconds that are zero in the mean, of which the first quarter is the short copy.
    four[strip.y_mm.size :] -= 4 / 3 * four.mean()
    rows[2] = RowTrace(2, long, 100.0 + four, np.full(long.size, 0.05), np.ones(long.size))
    windows = (*windows, Window("II", 2, 0, True, 0.0, 250.0))
    assert abs(errors(rows, windows)[1]) < 0.15 < abs(means(rows)[1])


def test_zero_lines_near_lines_of_the_grid_are_placed_on_them() -> None:
    """Lines printed half a pixel off, at 0.06 mm, belong at 0, where the pen of this page is at 0 mV."""
    rows, windows = page(("I", "II", "III", "aVR", "aVL", "aVF"))
    without = np.abs(errors(rows, windows)).max()
    assert np.abs(errors(rows, windows, lines=GridLines(0.06, (0.06,)))).max() < 0.5 * without


@pytest.mark.parametrize("lines", [GridLines(0.4, (0.0,)), GridLines(0.4, ())])
def test_distant_lines_have_no_effect(lines: GridLines) -> None:
    rows, windows = page(("I", "II", "III", "aVR", "aVL", "aVF"))
    assert errors(rows, windows, lines=lines) == pytest.approx(errors(rows, windows))


def test_feet_of_pulses_have_half_the_offset_of_the_grid_s_lines() -> None:
    """Feet half a pixel below the traces' zero line determine it where lines are printed half a pixel off."""
    rows, windows = page(("I", "II", "III"))
    off_mm = 0.07
    feet = PulsePlace(0, 5, {0: 40.0 + off_mm, 1: 70.0 + off_mm, 2: 100.0 + off_mm})
    # Lines at 0.4 mm: no zero line is on them, and only their offset is used.
    lines = GridLines(0.4 + off_mm, (off_mm,))
    seen = np.abs(errors(rows, windows, feet, lines))
    assert seen.max() < 0.5 * np.abs(errors(rows, windows, feet)).max()


def test_simultaneous_columns_determine_all_rows() -> None:
    """3x4 without its chest leads: one sum a column does not determine the outer rows' distance; where both
    columns show the same seconds all sums hold across them."""
    leads = (("I", "aVR"), ("II", "aVL"), ("III", "aVF"))
    x = np.arange(0.0, SECONDS * SPEED, 1 / 16)
    limb = waves(x.size)
    rows, windows = {}, []
    for k, row in enumerate(leads):
        y = np.concatenate([40.0 + PITCH * k - GAIN * np.array(IN_I_AND_II[lead]) @ limb for lead in row])
        at = np.arange(y.size) / 16
        rows[k] = RowTrace(k, at, y, np.full(y.size, 0.05), np.ones(y.size))
        windows += [
            Window(lead, k, j, False, j * SECONDS * SPEED, (j + 1) * SECONDS * SPEED)
            for j, lead in enumerate(row)
        ]
    given = {"speed_mm_s": SPEED, "gain_mm_mv": GAIN}
    found = [
        zero_lines(tuple(rows.values()), tuple(windows), **given, simultaneous=same).mm
        for same in (False, True)
    ]
    apart, together = (max(abs(mm[k] - 40.0 - PITCH * k) for k in rows) for mm in found)
    assert apart > 0.2
    assert together < 0.05
