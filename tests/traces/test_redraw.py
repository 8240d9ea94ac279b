"""A stretch of a trace drawn again between two places finds the ink."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.elements import RowTrace
from ecg_hough.review.corrections import Reread
from ecg_hough.traces.redraw import redraw, with_reach
from made_review import sample


def misread(by_mm: float) -> tuple[RowTrace, RowTrace, np.ndarray, tuple[RowTrace, ...]]:
    """A row as it was read, misread over 30 mm, where that is, and all rows."""
    rows = sample().found(Reread()).rows.traces
    row = rows[1]
    first = row.x_mm[np.flatnonzero(np.isfinite(row.y_mm))[0]]
    here = (row.x_mm >= first + 50) & (row.x_mm <= first + 80)
    wrong = replace(row, y_mm=np.where(here, row.y_mm + by_mm, row.y_mm))
    return row, wrong, here, tuple(wrong if one is row else one for one in rows)


@pytest.mark.parametrize("by_mm", [6.0, -4.0])
def test_two_points_are_enough(by_mm: float) -> None:
    row, _, here, rows = misread(by_mm)
    at = np.flatnonzero(here)[[0, -1]]
    stroke = np.column_stack([row.y_mm[at], row.x_mm[at]])
    begun = time.perf_counter()
    again = redraw(sample().found(Reread()).sheet, rows, row.row_index, stroke)
    seconds = time.perf_counter() - begun
    off = np.abs(again.y_mm - row.y_mm)[here]
    print(f"redraw of 30 mm: {1000 * seconds:.0f} ms")
    assert np.sqrt(np.mean(off**2)) < 0.06, "mm; a pen is 0.5 mm wide"
    assert np.array_equal(again.y_mm[~here], rows[1].y_mm[~here], equal_nan=True)
    assert (again.presence[here] == 1).all()


def test_a_stroke_by_hand_is_moved_onto_the_ink() -> None:
    row, _, here, rows = misread(5.0)
    at = np.flatnonzero(here)[::12]
    shaky = row.y_mm[at] + 0.6 * np.sin(np.arange(at.size))
    again = redraw(
        sample().found(Reread()).sheet, rows, row.row_index, np.column_stack([shaky, row.x_mm[at]])
    )
    inner = slice(at[0] + 8, at[-1] - 8)
    assert np.sqrt(np.mean((again.y_mm - row.y_mm)[inner] ** 2)) < 0.1


def test_where_there_is_no_ink_the_stroke_itself_is_taken() -> None:
    found = sample().found(Reread())
    row = found.rows.traces[-1]
    below = np.nanmax(row.y_mm) + 24.0
    stroke = np.array([[below, row.x_mm[200]], [below, row.x_mm[400]]])
    again = redraw(found.sheet, found.rows.traces, row.row_index, stroke)
    assert np.abs(again.y_mm[200:401] - below).mean() < 0.5
    assert again.sd_mm[200:401].mean() > 3 * np.nanmean(row.sd_mm)


def test_a_row_is_long_enough() -> None:
    row = sample().found(Reread()).rows.traces[0]
    longer = with_reach(row, row.x_mm[0] - 5, row.x_mm[-1] + 3)
    assert longer.x_mm[0] <= row.x_mm[0] - 5
    assert longer.x_mm[-1] >= row.x_mm[-1] + 3
    assert np.diff(longer.x_mm) == pytest.approx(np.diff(row.x_mm)[0])
    assert np.isfinite(longer.y_mm).sum() == np.isfinite(row.y_mm).sum()
    assert with_reach(row, row.x_mm[5], row.x_mm[9]) is row
    doubted = with_reach(replace(row, wrong=np.ones(row.x_mm.size)), row.x_mm[0] - 5, row.x_mm[-1] + 3)
    assert doubted.wrong is not None
    assert doubted.wrong.sum() == row.x_mm.size < doubted.wrong.size == doubted.x_mm.size


@pytest.mark.parametrize("snap", [True, False])
def test_a_stroke_by_hand_is_in_no_doubt(snap: bool) -> None:
    found = sample().found(Reread())
    row = replace(found.rows.traces[1], wrong=np.ones(found.rows.traces[1].x_mm.size))
    rows = (found.rows.traces[0], row, *found.rows.traces[2:])
    at = np.flatnonzero(np.isfinite(row.y_mm))[[100, 300]]
    stroke = np.column_stack([row.y_mm[at], row.x_mm[at]])
    again = redraw(found.sheet, rows, row.row_index, stroke, snap=snap)
    assert again.wrong is not None
    assert again.wrong[at[0] : at[1] + 1].max() == 0.0
    assert again.wrong[: at[0]].min() == again.wrong[at[1] + 1 :].min() == 1.0


def test_what_is_refused() -> None:
    found = sample().found(Reread())
    line = np.array([[10.0, 20.0], [10.0, 30.0]])
    with pytest.raises(ValueError, match="one of the page's rows; got 99"):
        redraw(found.sheet, found.rows.traces, 99, line)
    with pytest.raises(ValueError, match="apart from each other"):
        redraw(found.sheet, found.rows.traces, 0, line[:1])
