"""Calibration pulses: drawn ones are measured, and what only looks like one is rejected."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ecg_hough.elements import RowTrace, Window
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame
from ecg_hough.paper import make_layout
from ecg_hough.render import render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.page import RenderedPage
from ecg_hough.signals.pulse import (
    Pulse,
    best_pulse,
    common_height,
    find_chain,
    find_pulses,
    gain_of_pulses,
    place_of_pulses,
)
from ecg_hough.traces.ink import find_ink

SCALE = STRIP_PX_PER_MM


def drawn_page(gain: float, pulse: str, gap: float = 1.0, foot: float = 0.8, **sheet: object) -> RenderedPage:
    layout = make_layout("3x4", rhythm=("II",))
    style = sample_style(np.random.default_rng(3), "clean", layout=layout, dpi=150)
    drawn = {
        "gain_mm_mv": gain, "pulse": pulse, "pulse_rows": "all", "pulse_gap_mm": gap, "pulse_foot_mm": foot,
        "missing": (), "speed_mm_s": 25.0, "grid": "lines", "amplitude": 5.0 / gain,
        "size_mm": (210.0, 297.0), "block_left_mm": 20.0, "block_width_mm": 250.0, "first_row_mm": 60.0,
        "row_pitch_mm": 35.0, "rhythm_pitch_mm": 35.0, "ink": (0, 0, 0), "stray_texts": 0,
    }  # fmt: skip
    changed = replace(style.sheet, **(drawn | sheet))
    ecg = generate_ecg(21, rhythm="sinus rhythm")
    return render_page(ecg.signals, ecg.fs, seed=3, style=replace(style, sheet=changed))


def true_rows(page: RenderedPage) -> tuple[tuple[RowTrace, ...], tuple[Window, ...]]:
    """Row traces and panels as they were drawn."""
    rows, windows = [], []
    for index in sorted({panel.row for panel in page.panels}):
        panels = [panel for panel in page.panels if panel.row == index]
        points = np.concatenate([panel.trace for panel in panels])
        y, x = page.page_map.to_mm(points[:, 0].astype(float), points[:, 1].astype(float))
        at = np.arange(x.min(), x.max(), 1 / 16)
        order = np.argsort(x)
        y = np.interp(at, x[order], y[order])
        rows.append(RowTrace(index, at, y, np.full(at.size, 0.05), np.ones(at.size)))
        windows += [
            Window(panel.lead, index, panel.column, panel.rhythm, float(at[0]), float(at[-1]))
            for panel in panels
        ]
    return tuple(rows), tuple(windows)


@pytest.mark.parametrize(
    ("gain", "pulse", "gap", "foot"),
    [
        (10.0, "left", 1.0, 0.8),
        (5.0, "right", 0.0, 0.0),
        (20.0, "left", -0.1, 0.5),
        (10.0, "right", 1.5, 0.0),
        (5.0, "left", 0.0, 0.8),
    ],
)
def test_drawn_pulses_give_the_gain(gain: float, pulse: str, gap: float, foot: float) -> None:
    page = drawn_page(gain, pulse, gap, foot)
    rows, windows = true_rows(page)
    ink = find_ink(page.image, page.page_map, rows)
    assert ink is not None
    pulses = find_pulses(page.image, page.page_map, ink, rows, windows)
    assert len(pulses) >= 2
    assert np.median([p.height_mm for p in pulses]) == pytest.approx(gain, abs=0.4)
    assert gain_of_pulses(pulses, len(rows)) == gain


def test_a_tall_pulse_that_reaches_the_row_above_counts_once() -> None:
    page = drawn_page(20.0, "left", pulse_rows="last", row_pitch_mm=18.0, rhythm_pitch_mm=18.0)
    rows, windows = true_rows(page)
    ink = find_ink(page.image, page.page_map, rows)
    assert ink is not None
    pulses = find_pulses(page.image, page.page_map, ink, rows, windows)
    assert [pulse.row_index for pulse in pulses] == [rows[-1].row_index]
    assert gain_of_pulses(pulses, len(rows)) == 20.0


def test_no_pulse_no_gain() -> None:
    page = drawn_page(10.0, "none", major=(60, 60, 60), minor=(120, 120, 120))
    rows, windows = true_rows(page)
    ink = find_ink(page.image, page.page_map, rows)
    assert ink is not None
    pulses = find_pulses(page.image, page.page_map, ink, rows, windows)
    assert gain_of_pulses(pulses, len(rows)) is None


def blank() -> np.ndarray:
    return np.zeros((round(35 * SCALE), round(26 * SCALE)), np.uint8)


def test_a_drawn_rectangle_is_measured() -> None:
    mask = blank()
    points = np.array([[2, 25], [4, 25], [4, 15], [9, 15], [9, 25], [11, 25]]) * SCALE
    cv2.polylines(mask, [points.astype(np.int32)], False, 1, 4)
    found = best_pulse(mask > 0)
    assert found is not None
    x, width, height, quality, foot = found
    assert (x, width, height) == pytest.approx((4.0, 5.0, 10.0), abs=0.2)
    assert quality > 0.9
    assert foot / SCALE == pytest.approx(25.0, abs=0.2)


def test_text_may_be_printed_on_a_pulse() -> None:
    mask = blank()
    points = np.array([[2, 25], [4, 25], [4, 15], [9, 15], [9, 25], [11, 25]]) * SCALE
    cv2.polylines(mask, [points.astype(np.int32)], False, 1, 4)
    cv2.putText(mask, "1mV", (round(4.4 * SCALE), round(14.2 * SCALE)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1, 2)
    found = best_pulse(mask > 0)
    assert found is not None
    assert found[1:3] == pytest.approx((5.0, 10.0), abs=0.2)


def test_grid_squares_and_qrs_are_no_pulse() -> None:
    grid = blank()
    grid[:: 5 * round(SCALE)] = grid[:, :: 5 * round(SCALE)] = 1
    assert best_pulse(grid > 0) is None
    qrs = blank()
    points = np.array([[2, 25], [8, 25], [9, 12], [11, 28], [12, 14], [13, 25], [24, 25]]) * SCALE
    cv2.polylines(qrs, [points.astype(np.int32)], False, 1, 3)
    assert best_pulse(qrs > 0) is None


@pytest.mark.parametrize(
    ("heights", "rows", "gain"),
    [
        ([9.8, 10.1, 10.0], 4, 10.0),
        ([10.0], 4, 10.0),
        ([7.2, 7.3, 7.1], 4, None),  # no usual gain
        ([10.0, 20.0], 4, None),  # no agreement
        ([], 4, None),
    ],
)
def test_rows_must_agree(heights: list[float], rows: int, gain: float | None) -> None:
    pulses = tuple(Pulse(k, 14.0, 4.0, height, 0.95) for k, height in enumerate(heights))
    assert gain_of_pulses(pulses, rows) == gain


def test_one_pulse_of_low_quality_is_not_used() -> None:
    assert gain_of_pulses((Pulse(0, 14.0, 4.0, 10.0, 0.6),), 4) is None
    assert gain_of_pulses((Pulse(0, 14.0, 4.0, 10.0, 0.76),), 4) == 10.0


@pytest.mark.parametrize(
    ("heights", "height"),
    [([8.1, 8.0, 7.9], 8.0), ([8.0, 8.1, 14.0], 8.05), ([8.0, 14.0], None), ([8.0], None), ([], None)],
)
def test_height_is_what_most_pulses_share(heights: list[float], height: float | None) -> None:
    pulses = tuple(Pulse(k, 14.0, 4.0, value, 0.6) for k, value in enumerate(heights))
    assert common_height(pulses, 4) == (None if height is None else pytest.approx(height))


def test_the_place_of_pulses_of_the_page_s_gain_in_line() -> None:
    pulses = (
        Pulse(0, 14.0, 5.0, 10.1, 0.95, 40.0),
        Pulse(1, 14.2, 5.0, 9.9, 0.95, 70.0),
        Pulse(2, 30.0, 5.0, 10.0, 0.95, 100.0),  # a QRS complex elsewhere
        Pulse(3, 14.1, 5.0, 6.5, 0.95, 130.0),  # of no such height
    )
    place = place_of_pulses(pulses, 10.0)
    assert place is not None
    assert (place.left_mm, place.right_mm) == pytest.approx((14.1, 19.1), abs=0.11)
    assert place.feet_mm == {0: 40.0, 1: 70.0}
    assert place_of_pulses(pulses, 20.0) is None
    assert place_of_pulses((Pulse(0, 14.0, 5.0, 10.0, 0.6, 40.0),), 10.0) is None


def test_strokes_with_the_trace_between_them_are_no_pulse() -> None:
    """Grid lines below a frame look like one, but the trace continues between them."""
    page = drawn_page(10.0, "left")
    rows, windows = true_rows(page)
    ink = find_ink(page.image, page.page_map, rows)
    assert ink is not None
    assert len(find_pulses(page.image, page.page_map, ink, rows, windows)) == len(rows)
    through = []
    for row in rows:
        x = np.arange(row.x_mm[0] - 12.0, row.x_mm[-1], 1 / 16)
        y = np.interp(x, row.x_mm, row.y_mm, left=float(np.median(row.y_mm)))
        through.append(RowTrace(row.row_index, x, y, np.full(x.size, 0.05), np.ones(x.size)))
    assert find_pulses(page.image, page.page_map, ink, tuple(through), windows) == ()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pitch", [15.0, 18.0])
def test_pulses_that_run_into_each_other_are_measured(side: str, pitch: float) -> None:
    page = drawn_page(20.0, side, row_pitch_mm=pitch, rhythm_pitch_mm=pitch)
    rows, windows = true_rows(page)
    found = find_pulses(page.image, page.page_map, find_ink(page.image, page.page_map, rows), rows, windows)
    assert gain_of_pulses(found, len(rows)) == 20.0
    assert {pulse.row_index for pulse in found} == {0, 1, 2, 3}
    assert [pulse.width_mm for pulse in found] == pytest.approx([3.4] * 4, abs=0.2)
    place = place_of_pulses(found, 20.0)
    assert place is not None
    assert not place.feet_mm


def chain(tops: int, *, strokes: tuple[float, float] = (4.0, 9.0), gain: float = 20.0, pitch: float = 16.0):
    """Five rows of a chain on white, the first `tops` with their tops: mask, frame and the rows' levels."""
    levels = {k: 40.0 + pitch * k for k in range(5)}
    frame = StripFrame(10.0, 0.0, (round(110 * SCALE), round(31 * SCALE)))
    mask = np.zeros(frame.shape, bool)
    first, last = (round((y - 10.0) * SCALE) for y in (levels[0] - gain, levels[4]))
    left, right = (round(x * SCALE) for x in strokes)
    for stroke in (left, right):
        mask[first : last + 4, stroke : stroke + 4] = True
    for level in list(levels.values())[:tops]:
        top = round((level - gain - 10.0) * SCALE)
        mask[top : top + 4, left:right] = True
    return mask, frame, levels


def test_a_chain_needs_its_tops() -> None:
    for tops, found in ((5, 5), (4, 5), (3, 0), (1, 0), (0, 0)):
        assert len(find_chain(*chain(tops))) == found, tops


def test_a_chain_of_no_usual_gain_is_none() -> None:
    assert not find_chain(*chain(5, gain=15.0))


def test_strokes_too_far_apart_are_no_chain() -> None:
    assert not find_chain(*chain(5, strokes=(4.0, 24.0)))


def test_squares_of_a_grid_are_no_chain() -> None:
    _, frame, levels = chain(0, pitch=15.0)
    lines = np.zeros(frame.shape, bool)
    first, last = (round((y - 10.0) * SCALE) for y in (levels[0] - 20.0, levels[4]))
    for offset in range(3):
        lines[first + offset : last + 4 : round(5 * SCALE)] = True
        lines[first : last + 4, offset :: round(5 * SCALE)] = True
    assert not find_chain(lines, frame, levels)
    # Without neighbouring lines one square after the other is a chain.
    lines[:, : round(5 * SCALE)] = lines[:, round(10 * SCALE) + 3 :] = False
    assert len(find_chain(lines, frame, levels)) == 5
