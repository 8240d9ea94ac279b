"""Beats that are lower than a lead's others, where the row is contested."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.traces.usual_beats import beat_places, usual_beats

X_MM = np.arange(0.0, 120.0, 0.0625)
BEATS_MM = np.array([15.0, 37.0, 59.0, 81.0, 103.0])
WHOLE = [(0.0, 120.0)]


def row(heights, level=50.0, shift=0.0):
    """(n,) mm down the page: R waves of these heights."""
    y = np.full(X_MM.size, level)
    for at, height in zip(BEATS_MM + shift, heights, strict=True):
        y -= height * np.exp(-0.5 * ((X_MM - at) / 0.5) ** 2)
    return y


def contest(of=()):
    """(n,) of a row that is contested at some beats."""
    out = np.zeros(X_MM.size)
    for k in of:
        out[np.abs(X_MM - BEATS_MM[k]) < 2.0] = 1.0
    return out


def test_beats_are_where_all_rows_are_steep():
    rows = [row([9, 9, 2, 9, 9]), row([5, 5, 5, 5, 5], 80.0, shift=0.3), np.full(X_MM.size, np.nan)]
    assert beat_places([X_MM] * 3, rows) == pytest.approx(BEATS_MM, abs=1.2)


def test_a_contested_beat_that_is_cut_is_as_high_as_the_others():
    cut, whole = row([20, 20, 6, 19, 20]), row([20] * 5, 90.0)
    found, none = usual_beats([X_MM] * 2, [cut, whole], [contest([2, 3])] * 2, [WHOLE] * 2)
    assert none == []
    assert len(found) == 1
    beat = found[0]
    assert X_MM[beat.first] < BEATS_MM[2] < X_MM[beat.stop]
    assert np.ptp(beat.y_mm) == pytest.approx(20.0, abs=1.0)
    assert X_MM[beat.first + int(beat.y_mm.argmin())] == pytest.approx(BEATS_MM[2], abs=0.5)
    true = row([20] * 5)[beat.first : beat.stop]
    assert beat.off(true) < beat.off(cut[beat.first : beat.stop])
    assert beat.off(np.full(true.size, np.nan)) == pytest.approx(10.0)


def test_what_is_not_contested_or_another_lead_s_is_left():
    """An extrasystole in plain view stays as it is; leads of one row have beats of their own heights."""
    heights = [20, 20, 8, 20, 20]
    assert usual_beats([X_MM], [row(heights)], [contest()], [WHOLE]) == [[]]
    two_leads = [(0.0, 48.0), (48.0, 120.0)]
    lower = row([20, 20, 8, 8, 8])
    assert usual_beats([X_MM], [lower], [contest(range(5))], [two_leads]) == [[]]
    assert len(usual_beats([X_MM], [lower], [contest(range(5))], [WHOLE])[0]) == 3


def test_without_two_beats_nothing_is_usual():
    assert usual_beats([], [], [], []) == []
    short = [(0.0, 25.0)]
    assert usual_beats([X_MM], [row([8, 20, 20, 20, 20])], [contest([0])], [short]) == [[]]
    # Of beats whose ends are not read the level is not known.
    ends = row([20, 20, 8, 20, 20])
    for at in BEATS_MM:
        ends[(np.abs(X_MM - at) > 2.0) & (np.abs(X_MM - at) < 5.0)] = np.nan
    assert usual_beats([X_MM], [ends], [contest([2])], [WHOLE]) == [[]]
    unread = np.full(X_MM.size, np.nan)
    assert usual_beats([X_MM], [unread], [contest([0])], [WHOLE]) == [[]]
