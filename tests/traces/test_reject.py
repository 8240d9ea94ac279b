"""Read-outs and rows that are no traces are dropped, and nothing else."""

import numpy as np

from ecg_hough.elements import RowTrace
from ecg_hough.traces.reject import without_loose_ends, without_ruled_lines


def test_a_stretch_behind_a_jump_at_the_row_s_end_is_another_trace() -> None:
    rows = np.full(800, 100.0)
    seen = np.ones(800, bool)
    seen[:40] = seen[770:] = False
    rows[:50] = 180.0  # the row below
    rows[720:] = 30.0  # letters above
    rows[60:64] = rows[690:694] = 20.0  # tall R waves stay, and what is before and behind them
    out = without_loose_ends(rows, seen)
    assert np.array_equal(np.flatnonzero(out), np.arange(50, 720))
    rows[:200] = 180.0  # a longer stretch stays: a column on another level
    assert without_loose_ends(rows, seen)[40:200].all()
    calm = np.full(800, 100.0)
    assert np.array_equal(without_loose_ends(calm, seen), seen)


def row_trace(k, y_mm):
    x_mm = np.arange(y_mm.size) / 16
    return RowTrace(k, x_mm, y_mm, np.where(np.isfinite(y_mm), 0.1, np.nan), np.isfinite(y_mm).astype(float))


def test_lines_ruled_above_and_below_the_rows_are_none_of_them():
    x = np.arange(3000)
    beats = 50.0 - 5.0 * np.exp(-0.5 * ((x % 400 - 200) / 10) ** 2)
    axis = 120.0 + 0.004 * x + 0.05 * np.sin(x)  # slanting, read a little unevenly
    flat = np.where(x < 2900, axis, np.nan)
    rows = [row_trace(k, y) for k, y in enumerate((axis - 100, beats, flat, beats + 20, beats + 40, axis))]
    kept = without_ruled_lines(tuple(rows))
    assert [row.row_index for row in kept] == [1, 2, 3, 4]  # a lead may be flat between others
    still = tuple(rows[2:3] * 3)
    assert without_ruled_lines(still) is still  # no heartbeat at all: that is decided elsewhere
    assert without_ruled_lines(()) == ()
