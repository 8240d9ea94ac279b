"""Sequential or simultaneous columns, found on rows drawn both ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.elements import Columns, RowTrace, TimeBase, Window
from ecg_hough.paper import LEADS, Layout, make_layout
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.signals.calibrate import calibrate
from ecg_hough.signals.column_order import find_column_order
from ecg_hough.signals.columns import place_columns

FS = 500


def rows_of(
    signals: np.ndarray, layout: Layout, simultaneous: bool, seed: int = 0
) -> tuple[tuple[RowTrace, ...], tuple[Window, ...]]:
    """Row traces of a page at 25 mm/s, 10 mm/mV with a little noise, and windows with small errors."""
    rng = np.random.default_rng(seed)
    column_s = 10.0 / layout.n_columns
    x = np.arange(15.0, 275.0, 1 / 16)
    panels = [(r, c, lead, False) for r, row in enumerate(layout.rows) for c, lead in enumerate(row)]
    panels += [(len(layout.rows) + k, 0, lead, True) for k, lead in enumerate(layout.rhythm)]
    traces, windows = [], []
    for r in range(layout.n_rows):
        y = np.full(x.size, np.nan)
        for row, column, lead, rhythm in panels:
            if row != r:
                continue
            a = 20.0 + (0.0 if rhythm else column * column_s * 25.0)
            b = 270.0 if rhythm else a + column_s * 25.0
            inside = (x >= a) & (x < b)
            t = (x[inside] - (a if simultaneous else 20.0)) / 25.0
            mv = np.interp(t * FS, np.arange(signals.shape[1]), signals[LEADS.index(lead)])
            y[inside] = 30 * r + 40 - 10.0 * mv + rng.normal(0, 0.05, inside.sum())
            windows.append(Window(lead, r, column, rhythm, a + rng.normal(0, 0.3), b + rng.normal(0, 0.3)))
        seen = np.isfinite(y)
        traces.append(RowTrace(r, x, y, np.where(seen, 0.05, np.nan), seen.astype(float)))
    return tuple(traces), tuple(windows)


@pytest.mark.parametrize("simultaneous", [False, True])
@pytest.mark.parametrize(
    ("shape", "rhythm"),
    [("3x4", ()), ("3x4", ("II",)), ("3x4", ("V1", "V5", "II")), ("6x2", ()), ("6x2", ("V3",)), ("4x3", ()),
     ("2x6", ())],
)  # fmt: skip
def test_both_orders_are_found(shape: str, rhythm: tuple[str, ...], simultaneous: bool) -> None:
    layout = make_layout(shape, rhythm=rhythm)
    signals = generate_ecg(12, rhythm="sinus arrhythmia").signals
    rows, windows = rows_of(signals, layout, simultaneous)
    order = find_column_order(rows, windows, layout)
    assert order.name == ("simultaneous" if simultaneous else "sequential")


def test_edges_may_be_a_millimetre_off() -> None:
    """Where a block is cut or of no usual width, columns are not placed to a fraction of that."""
    layout = make_layout("3x4", cabrera=True)
    rows, windows = rows_of(generate_ecg(12, rhythm="sinus rhythm").signals, layout, True)
    off = (0.0, 0.9, -1.0, 1.2)
    windows = tuple(replace(w, start_mm=w.start_mm + off[w.column_index]) for w in windows)
    assert find_column_order(rows, windows, layout).name == "simultaneous"


@pytest.mark.parametrize("shape", ["3x4", "6x2"])
def test_beats_correct_the_pitch_of_a_block_whose_end_was_misread(shape: str) -> None:
    """A calibration pulse behind the block was taken for trace: equal columns of a block too wide."""
    layout = make_layout(shape)
    width = 250.0 / layout.n_columns
    rows, _ = rows_of(generate_ecg(12, rhythm="sinus arrhythmia").signals, layout, True)
    too_wide = width + 5.0 / layout.n_columns
    windows = tuple(
        Window(lead, r, c, False, 20.0 + c * too_wide, 20.0 + (c + 1) * too_wide)
        for r, row in enumerate(layout.rows)
        for c, lead in enumerate(row)
    )
    order = find_column_order(rows, windows, layout)
    assert order.name == "simultaneous"
    assert order.pitch_off_mm == pytest.approx(width - too_wide, abs=0.1)
    starts = {c: c * too_wide / 25.0 for c in range(layout.n_columns)}
    columns = Columns(windows, starts, too_wide * layout.n_columns / 25.0).with_pitch(order.pitch_off_mm)
    assert columns.duration_s == pytest.approx(10.0, abs=0.02)
    for window in columns.windows:
        assert window.start_mm == pytest.approx(20.0 + window.column_index * width, abs=0.3)
        assert window.end_mm - window.start_mm == pytest.approx(width, abs=0.1)
        assert columns.starts_s[window.column_index] * 25.0 == pytest.approx(window.start_mm - 20.0)


def test_the_pitch_of_well_placed_columns_is_kept() -> None:
    layout = make_layout("6x2")
    rows, windows = rows_of(generate_ecg(12, rhythm="sinus arrhythmia").signals, layout, True)
    windows = place_columns(rows, windows, layout).windows
    assert find_column_order(rows, windows, layout).pitch_off_mm == 0.0


def test_regular_beats_with_a_strip() -> None:
    """72 beats a minute: every column of 2.5 s begins at the same phase of a beat."""
    layout = make_layout("3x4", rhythm=("V2",))
    t = np.arange(10 * FS) / FS
    beat = np.exp(-((((t % (2.5 / 3)) - 0.3) / 0.015) ** 2))
    wander = 0.15 * np.sin(2 * np.pi * 0.13 * t)
    signals = np.array([(0.3 + 0.1 * k) * beat + (1 + 0.1 * k) * wander for k in range(12)])
    rows, windows = rows_of(signals, layout, simultaneous=False)
    assert find_column_order(rows, windows, layout).name == "sequential"


@pytest.mark.parametrize("simultaneous", [False, True])
def test_beats_nearly_as_regular_as_the_columns(simultaneous: bool) -> None:
    """60 beats a minute in columns of 5 s: only the heart's own jitter of 20 ms distinguishes the orders."""
    layout = make_layout("6x2")
    rng = np.random.default_rng(4)
    beats = 0.4 + np.cumsum(np.r_[0.0, 1.0 + rng.normal(0.0, 0.02, 9)])
    t = np.arange(10 * FS) / FS
    after = t - beats[:, None]
    shape = (np.exp(-((after / 0.015) ** 2)) + 0.2 * np.exp(-(((after - 0.25) / 0.05) ** 2))).sum(axis=0)
    signals = np.array([(0.4 + 0.1 * k) * shape for k in range(12)])
    rows, windows = rows_of(signals, layout, simultaneous)
    order = find_column_order(rows, windows, layout)
    assert order.name == ("simultaneous" if simultaneous else "sequential")


def test_an_uncertain_order_gives_a_warning() -> None:
    """No beats at all: there is no evidence for an order."""
    layout = make_layout("6x2")
    t = np.arange(10 * FS) / FS
    rows, windows = rows_of(
        np.array([0.01 * np.sin(2 * np.pi * t / 5 + k) for k in range(12)]), layout, False
    )
    order = find_column_order(rows, windows, layout)
    assert 0.5 <= order.probability <= 1.0
    assert bool(order.warnings) == (order.probability < 0.9)


def test_one_column_and_unknown_layouts() -> None:
    layout = make_layout("12x1")
    rows, windows = rows_of(generate_ecg(1).signals, layout, False)
    assert find_column_order(rows, windows, layout).name == "one"
    assert find_column_order(rows, windows, None).name == "sequential"


def test_simultaneous_columns_start_at_zero() -> None:
    layout = make_layout("3x4")
    signals = generate_ecg(12, rhythm="sinus arrhythmia").signals
    rows, windows = rows_of(signals, layout, simultaneous=True)
    columns = place_columns(rows, windows, layout)
    result = calibrate(rows, TimeBase(columns, layout, order="simultaneous"), fs=FS)
    assert all(status.start_s == 0.0 for status in result.statuses)
    v5 = result.signals[LEADS.index("V5")]
    known = np.flatnonzero(np.isfinite(v5))
    assert known[0] == 0
    truth = signals[LEADS.index("V5"), known]
    assert np.corrcoef(v5[known], truth)[0, 1] > 0.95
