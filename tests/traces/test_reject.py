"""Read-outs and rows that are no traces are dropped, and nothing else."""

from dataclasses import replace

import numpy as np

from ecg_hough.elements import RowMark, RowTrace
from ecg_hough.traces.reject import without_bars, without_loose_ends, without_ruled_lines


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


def test_what_lies_on_a_separator_and_off_the_trace_is_left_out() -> None:
    x = np.arange(0, 60, 1 / 16)
    y = 40.0 + np.where(x < 30, 0.0, 5.0)  # another lead begins at 30 mm, on another level
    spur = (x > 29.9) & (x < 30.5)
    y[spur] = 20.0
    y[np.abs(x - 45) < 0.3] = 20.0  # an R wave that no separator touches
    row = RowTrace(2, x, y, np.full(x.size, 0.1), np.ones(x.size))
    bar = RowMark("separator", 2, 30.0, 0.9)
    (seen,) = without_bars((row,), [bar])
    assert np.array_equal(np.isnan(seen.y_mm), spur)
    assert np.array_equal(np.isnan(seen.sd_mm), spur)
    others = [replace(bar, row_index=1), replace(bar, kind="start"), replace(bar, probability=0.2)]
    assert without_bars((row,), others) == (row,)
