"""The record with corrections: each kind does what it says, and the machine's reading is unchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.paper import CHEST_LEADS, LEADS
from ecg_hough.review.corrected import Corrected, corrected, with_trace
from ecg_hough.review.corrections import (
    Edge,
    Gain,
    HeaderValues,
    LayoutGiven,
    Names,
    Nudge,
    Pitch,
    Point,
    Redraw,
    Reread,
    Restore,
    Speed,
    Undo,
    Unreadable,
    Zero,
)
from made_review import log_of, sample, with_corrections


def machine() -> Corrected:
    return corrected(sample())


def of(state: Corrected, lead: str) -> np.ndarray:
    return state.record.signals[LEADS.index(lead)]


def statuses(state: Corrected) -> dict[str, str]:
    return {one.lead: one.status for one in state.record.lead_status}


def stretch(row: int = 0, first_mm: float = 8.0, last_mm: float = 20.0) -> tuple[Point, Point]:
    """Two places of a row's trace, so far from the block's start."""
    state = machine()
    trace = next(one for one in state.rows if one.row_index == row)
    start = state.base.columns.start_mm
    at = [np.abs(trace.x_mm - start - mm).argmin() for mm in (first_mm, last_mm)]
    one, two = state.found.to_px(np.column_stack([trace.y_mm[at], trace.x_mm[at]])).tolist()
    return tuple(one), tuple(two)


def test_without_corrections_it_is_the_machine_s() -> None:
    saved, again = sample().saved, machine().record
    assert saved is not None
    assert again.signals == pytest.approx(saved.signals, nan_ok=True)
    assert again.corrected_by == ()
    assert statuses(machine()) == {one.lead: one.status for one in saved.lead_status}


def test_the_machine_s_reading_is_never_changed() -> None:
    before = machine().record.signals.copy()
    with_corrections(Gain(5), Zero("0.0", 2), Unreadable(0, stretch()), Names({"0.0": "II", "1.0": "I"}))
    assert np.array_equal(machine().record.signals, before, equal_nan=True)


def test_gain_of_a_group() -> None:
    half = with_corrections(Gain(5.0, "limb"))
    # Zero lines are joint estimates, and the fusion weighs errors in millivolts.
    assert np.nanstd(of(half, "II")) == pytest.approx(2 * np.nanstd(of(machine(), "II")), rel=0.02)
    assert np.nanstd(of(half, "V2")) == pytest.approx(np.nanstd(of(machine(), "V2")), rel=0.02)
    assert (half.record.gain_mm_mv, half.record.chest_gain_mm_mv, half.record.gain_from) == (5, 10, "given")
    assert {lead for lead, status in statuses(half).items() if status == "corrected"} == set(LEADS[:6])
    chest = with_corrections(Gain(20.0, "chest"))
    assert np.nanstd(of(chest, "V2")) == pytest.approx(0.5 * np.nanstd(of(machine(), "V2")), rel=0.02)
    assert {lead for lead, status in statuses(chest).items() if status == "corrected"} == set(CHEST_LEADS)


def test_speed() -> None:
    fast = with_corrections(Speed(50.0))
    assert fast.record.speed_mm_s == 50
    assert fast.record.speed_from == "given"
    assert fast.record.signals.shape[1] == pytest.approx(machine().record.signals.shape[1] / 2, abs=3)


def test_pitch() -> None:
    down, across = machine().record.px_per_mm or (0, 0)
    state = with_corrections(Pitch(down / 2, across))
    assert np.nanstd(of(state, "V2")) == pytest.approx(2 * np.nanstd(of(machine(), "V2")), rel=0.02)
    assert state.record.px_per_mm == (down / 2, across)
    wide = with_corrections(Pitch(down, across / 2))
    assert wide.record.signals.shape[1] == pytest.approx(2 * machine().record.signals.shape[1], abs=2)


def test_zero_line_of_a_lead() -> None:
    state = with_corrections(Zero("0.3", 1.0))
    off = np.nanmedian(of(state, "V4") - of(machine(), "V4"))
    assert off == pytest.approx(0.1, abs=0.002), "1 mm down is 0.1 mV up"
    assert np.nanmax(np.abs(of(state, "V5") - of(machine(), "V5"))) < 1e-6
    assert statuses(state)["V4"] == "corrected"


def test_names() -> None:
    state = with_corrections(Names({"0.3": "V5", "1.3": "V4"}))
    assert np.nanmax(np.abs(of(state, "V4") - of(machine(), "V5"))) < 1e-6
    assert {lead for lead, one in statuses(state).items() if one == "corrected"} == {"V4", "V5"}
    without = with_corrections(Names({"0.3": ""}))
    assert not next(one for one in without.record.lead_status if one.lead == "V4").found
    every = {f"{w.row_index}.{w.column_index}": "" for w in machine().base.columns.windows}
    with pytest.raises(ValueError, match="at least one panel"):
        with_corrections(Names(every))


def test_layout() -> None:
    leads = "V1 aVR I V4 / V2 aVL II V5 / V3 aVF III V6 / II"
    state = with_corrections(LayoutGiven(None, leads))
    start = {one.lead: one.start_s for one in state.record.lead_status}
    assert start["V1"] == 0.0
    assert start["I"] > start["aVR"] > 0


def test_an_edge_of_a_column() -> None:
    state = machine()
    spans = state.base.columns.spans_mm
    at = state.found.to_px(np.array([[50.0, spans[1][0] + 2.5]]))[0]
    moved = with_corrections(Edge(1, tuple(at)))
    assert moved.base.columns.spans_mm[0][1] == pytest.approx(spans[0][1] + 2.5, abs=0.01)
    before, after = ({s.lead: s for s in one.record.lead_status} for one in (state, moved))
    assert after["I"].end_s == pytest.approx(before["I"].end_s + 0.1, abs=0.004)
    assert after["aVR"].start_s == pytest.approx(before["aVR"].start_s + 0.1, abs=0.004)
    assert after["V6"].end_s == pytest.approx(before["V6"].end_s, abs=1e-4)
    last = max(spans)
    end = state.found.to_px(np.array([[50.0, spans[last][1] - 5]]))[0]
    shorter = with_corrections(Edge(last + 1, tuple(end)))
    assert state.record.signals.shape[1] - shorter.record.signals.shape[1] == pytest.approx(100, abs=1)
    crossed = state.found.to_px(np.array([[50.0, spans[0][0] - 9]]))[0]
    with pytest.raises(ValueError, match="must be at least 1 mm wide"):
        with_corrections(Edge(1, tuple(crossed)))


def test_unreadable_and_restored() -> None:
    state = with_corrections(Unreadable(0, stretch(0, 8, 20)))
    gone = np.isnan(of(state, "I")) & np.isfinite(of(machine(), "I"))
    assert gone.sum() == pytest.approx(12 / 25 * 500, abs=8)
    assert statuses(state)["I"] == "corrected"
    assert statuses(state)["V1"] != "corrected"
    back = with_corrections(Unreadable(0, stretch(0, 8, 20)), Restore(0, stretch(0, 6, 22)))
    assert of(back, "I") == pytest.approx(of(machine(), "I"), nan_ok=True)
    undone = corrected(sample(), log_of(Unreadable(0, stretch(0, 8, 20)), Undo()))
    assert undone.record.signals == pytest.approx(machine().record.signals, nan_ok=True)


def test_nudge() -> None:
    state = machine()
    trace = next(one for one in state.rows if one.row_index == 0)
    up = with_corrections(Nudge(0, stretch(0, 10, 14), -0.5))
    row = next(one for one in up.rows if one.row_index == 0)
    start = state.base.columns.start_mm
    inside = (row.x_mm > start + 10.2) & (row.x_mm < start + 13.8)
    assert (row.y_mm - trace.y_mm)[inside] == pytest.approx(-0.5)
    outside = (row.x_mm < start + 9.8) | (row.x_mm > start + 14.2)
    assert np.nanmax(np.abs(row.y_mm - trace.y_mm)[outside]) < 1e-9
    right = with_corrections(Nudge(0, stretch(0, 10, 14), 0.0, 1.0))
    moved = next(one for one in right.rows if one.row_index == 0)
    k = np.abs(row.x_mm - start - 12).argmin()
    assert moved.y_mm[k] == pytest.approx(np.interp(row.x_mm[k] - 1.0, trace.x_mm, trace.y_mm))


def test_a_stroke_takes_the_places_of_the_log() -> None:
    one, two = stretch(1, 30, 40)
    state = machine()
    points = [(one[0] + 3, one[1]), (two[0] + 3, two[1])]
    log = log_of(Redraw(1, (one, two)), points=points, sd_mm=[0.05, 0.05])
    row = next(r for r in corrected(sample(), log).rows if r.row_index == 1)
    middle = np.abs(row.x_mm - state.base.columns.start_mm - 35).argmin()
    at = state.found.to_px(np.array([[row.y_mm[middle], row.x_mm[middle]]]))[0]
    assert at[0] == pytest.approx(0.5 * (points[0][0] + points[1][0]), abs=0.3)
    with pytest.raises(ValueError, match="places in the log"):
        corrected(sample(), log_of(Redraw(1, (one, two))))


def test_what_a_person_puts_is_in_no_doubt_and_what_is_restored_is_again() -> None:
    state = machine()
    row = replace(state.rows[0], wrong=np.full(state.rows[0].x_mm.size, 0.75))
    rows, found = (row, *state.rows[1:]), state.found
    found = replace(found, rows=replace(found.rows, traces=rows))
    ends = stretch()
    nudged = with_trace(rows, log_of(Nudge(row.row_index, ends, down_mm=0.5))[0], found)
    doubt = nudged[0].wrong
    assert doubt is not None
    assert set(doubt.tolist()) == {0.0, 0.75}
    again = with_trace(nudged, log_of(Restore(row.row_index, ends))[0], found)
    assert again[0].wrong == pytest.approx(row.wrong)


def test_no_such_row() -> None:
    with pytest.raises(ValueError, match="row must be one of 0, 1, 2, 3; got 7"):
        with_corrections(Unreadable(7, stretch()))


def test_header() -> None:
    state = with_corrections(HeaderValues({"name": "Doe, Jane", "HR": 61.0}), HeaderValues({"name": None}))
    header = state.record.header
    assert header is not None
    assert header.patient is not None
    assert header.patient.name is None
    assert [(one.name, one.value, one.source) for one in header.measurements] == [("HR", 61.0, "given")]
    assert "corrected" not in statuses(state).values(), "the signals are the machine's"
    assert state.record.corrected_by == ("anna",)


def test_read_again_in_a_part_of_the_picture() -> None:
    rows, cols = sample().picture.image.shape[:2]
    whole, part = machine(), with_corrections(Reread((10, 15, rows - 8, cols - 12)))
    assert part.record.layout == whole.record.layout
    one = whole.found.to_px(np.array([[40.0, 60.0]]))
    assert whole.found.to_mm(one)[0] == pytest.approx((40, 60), abs=1e-3)
    there = part.found.to_px(part.found.to_mm(one))
    assert there == pytest.approx(one, abs=0.01), "places are those of the whole picture"
    lead = {trace.lead: trace for trace in part.record.traces}
    for trace in whole.record.traces:
        if trace.lead == "V5":
            a, b = (np.nanmedian(one.points, axis=0) for one in (trace, lead["V5"]))
            assert a == pytest.approx(b, abs=2)
