from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.elements import Columns, RowMark
from ecg_hough.paper import make_layout
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.signals.print_skew import find_skew
from ecg_hough.traces.rows import Rows
from printed_rows import rows_of

LAYOUT = make_layout("3x4", rhythm=("II",))
START_MM, SPEED = 20.0, 25.0


def printed(skew_mm: float = 0.0, simultaneous: bool = False):
    """Rows 30 mm apart, each shifted along the page by `skew_mm` for 100 mm down it, and their columns."""
    signals = generate_ecg(3, rhythm="sinus rhythm").signals
    rows, windows = rows_of(signals, LAYOUT)
    shifts = {row.row_index: skew_mm * 0.3 * (row.row_index - 1.5) for row in rows}
    rows = tuple(replace(row, x_mm=row.x_mm + shifts[row.row_index]) for row in rows)
    panels = []
    for w in windows:
        start = START_MM + (0 if w.rhythm else 62.5 * w.column_index)
        panels.append(replace(w, start_mm=start, end_mm=start + (250.0 if w.rhythm else 62.5)))
    columns = Columns(tuple(panels), {j: 2.5 * j for j in range(4)}, 10.0)
    return rows, columns, shifts


def marks_of(columns: Columns, shifts: dict[int, float], sd_mm: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    return tuple(
        RowMark("start", w.row_index, w.start_mm + shifts[w.row_index] + float(rng.normal(0, sd_mm)), 0.7)
        for w in columns.windows
    )


def without_skew(columns: Columns, traces, marks, mm_per_s: float, *, sequential: bool) -> Columns:
    skew = find_skew(columns, Rows(traces, None, marks), mm_per_s, sequential=sequential)
    return columns if skew is None else skew.put_on(columns)


def moved_by(before: Columns, after: Columns) -> np.ndarray:
    assert [w.lead for w in after.windows] == [w.lead for w in before.windows]
    return np.array([b.start_mm - a.start_mm for a, b in zip(before.windows, after.windows, strict=True)])


@pytest.mark.parametrize("skew_mm", [-1.0, 0.4])
def test_rows_of_a_skewed_print_are_moved_to_their_places(skew_mm):
    rows, columns, shifts = printed(skew_mm)
    found = without_skew(columns, rows, marks_of(columns, shifts, 0.15), SPEED, sequential=True)
    true = np.array([shifts[w.row_index] for w in columns.windows])
    assert moved_by(columns, found) == pytest.approx(true, abs=0.04)  # 1.6 ms
    widths = [w.end_mm - w.start_mm for w in found.windows]
    assert widths == pytest.approx([w.end_mm - w.start_mm for w in columns.windows])


def test_traces_alone_show_a_skew():
    rows, columns, shifts = printed(0.6)
    found = without_skew(columns, rows, (), SPEED, sequential=True)
    true = np.array([shifts[w.row_index] for w in columns.windows])
    assert moved_by(columns, found) == pytest.approx(true, abs=0.05)


def test_a_straight_page_is_not_moved_by_the_noise_of_landmarks():
    rows, columns, shifts = printed(0.0)
    for seed in range(3):
        found = without_skew(columns, rows, marks_of(columns, shifts, 0.15, seed), SPEED, sequential=True)
        assert np.abs(moved_by(columns, found)).max() < 0.02


def test_one_row_whose_name_is_taken_for_its_start_moves_nothing():
    rows, columns, shifts = printed(0.0)
    misled = {**shifts, 0: 0.8}
    found = without_skew(columns, rows, marks_of(columns, misled, 0.05), SPEED, sequential=True)
    assert np.abs(moved_by(columns, found)).max() < 0.05


def test_without_evidence_nothing_is_moved():
    rows, columns, _ = printed(0.5)
    flat = tuple(replace(row, y_mm=np.where(np.isfinite(row.y_mm), 40.0, np.nan)) for row in rows)
    assert without_skew(columns, flat, (), SPEED, sequential=True) == columns
