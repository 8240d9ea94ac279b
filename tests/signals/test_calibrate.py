"""Calibration: drawn rows of known millivolts come back as they were, each at its own time."""

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.elements import Columns, PulsePlace, RowTrace, TimeBase, Window
from ecg_hough.errors import PageError
from ecg_hough.layout.guessed_map import scale_from_columns
from ecg_hough.paper import LEADS, make_layout
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.scores.metrics import unaligned_snr
from ecg_hough.signals.calibrate import calibrate
from ecg_hough.signals.columns import (
    column_edges,
    find_block,
    panels_apart,
    paper_stretch,
    place_columns,
    places_on_strip,
    traced_block,
    trim_windows,
)

FS = 500


def rows_of(signals, layout, speed=25.0, gain=10.0, start_mm=20.0, seconds=10.0):
    """Perfect row traces of a page, and windows a little off, as a leads network gives them."""
    step = 1 / 16
    column_s = seconds / layout.n_columns
    x = np.arange(start_mm - 5 + step / 2, start_mm + seconds * speed + 5, step)
    traces, windows = [], []
    panels = [(r, c, lead, False) for r, row in enumerate(layout.rows) for c, lead in enumerate(row)]
    panels += [(len(layout.rows) + k, 0, lead, True) for k, lead in enumerate(layout.rhythm)]
    for r in range(layout.n_rows):
        y = np.full(x.size, np.nan)
        for row, column, lead, rhythm in panels:
            if row != r:
                continue
            a = start_mm + (0 if rhythm else column * column_s * speed)
            b = start_mm + seconds * speed if rhythm else a + column_s * speed
            last_sample = start_mm + (seconds - 1 / FS) * speed
            inside = (x >= a) & (x < min(b, last_sample))
            t = (x[inside] - start_mm) / speed
            mv = np.interp(t * FS, np.arange(signals.shape[1]), signals[LEADS.index(lead)])
            y[inside] = 30 * r + 40 - gain * mv
            windows.append(Window(lead, r, column, rhythm, a - 0.8, b + 0.7))
        seen = np.isfinite(y)
        traces.append(RowTrace(r, x, y, np.where(seen, 0.05, np.nan), seen.astype(float)))
    return tuple(traces), tuple(windows)


def with_spaces(rows, layout, space_mm, start_mm=20.0, width_mm=250.0):
    """The same rows with their columns moved apart; rhythm strips stay."""
    column_mm = width_mm / layout.n_columns
    out = []
    for row in rows:
        if row.row_index < len(layout.rows):
            column = np.clip(np.floor((row.x_mm - start_mm) / column_mm), 0, layout.n_columns - 1)
            moved = row.x_mm + space_mm * column
            x = np.arange(moved[0], moved[-1], row.x_mm[1] - row.x_mm[0])
            y = np.full(x.size, np.nan)
            for c in range(layout.n_columns):
                known = (column == c) & np.isfinite(row.y_mm)
                inside = (x >= moved[known].min()) & (x <= moved[known].max())
                y[inside] = np.interp(x[inside], moved[known], row.y_mm[known])
            seen = np.isfinite(y)
            row = RowTrace(row.row_index, x, y, np.where(seen, 0.05, np.nan), seen.astype(float))
        out.append(row)
    return tuple(out)


def calibrated(rows, windows, layout, *, fs, speed_mm_s, gain_mm_mv, fused_leads=True, **given):
    columns = place_columns(rows, windows, layout, speed_mm_s)
    base = TimeBase(columns, layout, speed_mm_s, gain_mm_mv, **given)
    return calibrate(rows, base, fs=fs, fused_leads=fused_leads)


@pytest.fixture(scope="module")
def signals():
    return generate_ecg(5, rhythm="sinus rhythm").signals


@pytest.mark.parametrize(
    ("shape", "rhythm"),
    [("3x4", ("II",)), ("3x4", ()), ("6x2", ()), ("12x1", ()), ("4x3", ()), ("3x4", ("V1", "II", "V5"))],
)
def test_known_rows_come_back(signals, shape, rhythm):
    layout = make_layout(shape, rhythm=rhythm)
    rows, windows = rows_of(signals, layout)
    result = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    assert result.signals.shape == (12, 5000)
    for k, lead in enumerate(LEADS):
        finite = np.isfinite(result.signals[k])
        expected = 1.0 if lead in rhythm else 1 / layout.n_columns
        assert finite.mean() == pytest.approx(expected, abs=0.002)
        offset = np.nanmedian(result.signals[k] - signals[k])
        printed = np.where(finite, signals[k], np.nan)
        assert unaligned_snr(printed, result.signals[k] - offset) > 24
        assert result.statuses[k].found


@pytest.mark.parametrize(("speed", "gain"), [(50.0, 10.0), (25.0, 5.0), (25.0, 20.0)])
def test_speed_and_gain(signals, speed, gain):
    layout = make_layout("3x4")
    rows, windows = rows_of(signals, layout, speed=speed, gain=gain)
    result = calibrated(rows, windows, layout, fs=250, speed_mm_s=speed, gain_mm_mv=gain)
    assert result.signals.shape == (12, 2500)
    k = LEADS.index("V3")
    span = slice(1250, 1875)
    truth = signals[k, 2 * span.start : 2 * span.stop : 2]
    assert np.ptp(result.signals[k, span]) == pytest.approx(np.ptp(truth), rel=0.05)


def test_missing_lead_is_nan_with_a_reason(signals):
    layout = make_layout("3x4")
    rows, windows = rows_of(signals, layout)
    windows = tuple(w for w in windows if w.lead != "V2")
    result = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    k = LEADS.index("V2")
    assert np.isnan(result.signals[k]).all()
    assert not result.statuses[k].found
    assert "no panel" in result.statuses[k].reason


def test_a_lead_of_which_too_little_is_read_has_no_signal_error_or_confidence(signals):
    layout = make_layout("12x1")
    rows, windows = rows_of(signals, layout)
    rows[3].y_mm[700:] = np.nan
    result = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    assert not result.statuses[3].found
    assert "could be read" in result.statuses[3].reason
    assert np.isnan(result.signals[3]).all()
    assert np.isnan(result.sd_mv[3]).all()
    assert (result.confidence[3] == 0.0).all()
    others = np.delete(np.arange(12), 3)
    assert np.array_equal(np.isnan(result.sd_mv[others]), np.isnan(result.signals[others]))


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("shape", ["4x3", "2x6"])
def test_usual_beats_tell_inverted_avr_where_columns_follow_each_other(signals, shape, inverted):
    layout = make_layout(shape, cabrera=True)
    printed = signals.copy()
    printed[LEADS.index("aVR")] *= -1 if inverted else 1
    rows, windows = rows_of(printed, layout)
    result = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    k = LEADS.index("aVR")
    both = np.isfinite(result.signals[k])
    assert np.corrcoef(result.signals[k, both], signals[k, both])[0, 1] > 0.9
    assert any("aVR" in warning for warning in result.warnings) == inverted


def test_inverted_avr_of_cabrera_pages(signals):
    layout = make_layout("6x2", cabrera=True)
    printed = signals.copy()
    printed[LEADS.index("aVR")] *= -1
    rows, windows = rows_of(printed, layout)
    result = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    k = LEADS.index("aVR")
    half = slice(10, 2490)
    assert np.corrcoef(result.signals[k, half], signals[k, half])[0, 1] > 0.95
    assert any("aVR" in warning for warning in result.warnings)


def test_a_pulse_joined_to_the_trace_is_no_part_of_it(signals):
    layout = make_layout("3x4", rhythm=("II",))
    rows, windows = rows_of(signals, layout)
    for row in rows[:3]:  # read as trace on three of four rows
        pulse = (row.x_mm >= 15.0) & (row.x_mm < 20.0)
        row.y_mm[pulse] = row.y_mm[np.isfinite(row.y_mm)][0] - 10.0
    result = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    assert result.windows[0].start_mm == pytest.approx(20.0, abs=0.2)


def test_a_panel_begins_where_its_row_does(signals):
    rows, windows = rows_of(signals, make_layout("3x4", rhythm=("II",)))
    early = tuple(replace(w, start_mm=w.start_mm - 13.0) if w.column_index == 0 else w for w in windows)
    rows[0].y_mm[:3] = 5.0  # a speck of trace before the row
    trimmed = trim_windows(rows, early)
    starts = [20.0 if w.column_index == 0 else w.start_mm for w in windows]
    assert [w.start_mm for w in trimmed] == pytest.approx(starts, abs=0.1)
    assert [w.end_mm for w in trimmed] == [w.end_mm for w in windows]
    missing = (replace(rows[0], y_mm=np.full(rows[0].y_mm.size, np.nan)), *rows[1:])
    assert trim_windows(missing, windows) == windows


def places(*rows):
    """Ends of rows as `find_block` takes them, each with its full say."""
    return [np.array([[mm, 1.0] for mm in row]).reshape(-1, 2) for row in rows]


def test_a_usual_width_does_not_outvote_what_all_rows_show():
    starts, ends = places([20.1], [20.0], [19.9]), places([267.1], [267.2], [267.0])
    start, width = find_block(starts, ends, 18.5, 268.5, [250.0])
    assert (start, width) == pytest.approx((20.0, 247.1), abs=0.2)
    # But it decides where ends are scattered.
    start, width = find_block(places([17.0], [20.0], [14.0]), places([270.0]) * 3, 18.5, 271.0, [250.0])
    assert (start, width) == (20.0, 250.0)


@pytest.mark.parametrize(("pen_mm", "bars"), [(0.3, False), (0.7, False), (0.7, True)])
def test_blocks_begin_at_the_first_sample_not_at_the_stroke_s_round_end(signals, pen_mm, bars):
    layout = make_layout("12x1")
    drawn, windows = rows_of(signals, layout, seconds=7.7)  # no usual time: each end stands for itself
    round_mm = 0.0 if bars else 0.18 * (pen_mm - 0.2)
    first, last = 20.0 - round_mm, 20.0 + 7.7 * 25.0 - 25.0 / FS + round_mm
    rng = np.random.default_rng(4)
    rows = []
    for row in drawn:
        # Presence as the network gives it: from none to sure within 0.3 mm, not at read-outs.
        off = np.minimum(row.x_mm - first, last - row.x_mm) + rng.normal(0, 0.03)
        presence = 1 / (1 + np.exp(-off / 0.05))
        y = np.where(
            presence >= 0.5,
            np.interp(row.x_mm, row.x_mm[np.isfinite(row.y_mm)], row.y_mm[np.isfinite(row.y_mm)]),
            np.nan,
        )
        rows.append(replace(row, y_mm=y, presence=presence, pen_mm=pen_mm, bars=bars))
    columns = place_columns(tuple(rows), windows, layout, 25.0)
    assert columns.start_mm == pytest.approx(20.0, abs=0.025)
    assert columns.duration_s == pytest.approx(7.7, abs=0.0015)


def test_the_end_at_a_pulse_moves_the_block_less(signals):
    layout = make_layout("3x4", rhythm=("II",))
    rows, windows = rows_of(signals, layout)
    foot = 0.8
    for row in rows:  # the foot of a pulse at 270.8 mm, joined to every row
        row.y_mm[(row.x_mm >= 269.9) & (row.x_mm < 270.0 + foot)] = 40.0
    pulse = PulsePlace(270.0 + foot, 275.0 + foot, {})
    start = [place_columns(rows, windows, layout, 25.0, p).windows[0].start_mm for p in (None, pulse)]
    assert abs(start[1] - 20.0) < 0.1 < abs(start[0] - 20.0)


def test_a_pulse_s_long_foot_is_no_part_of_the_block(signals):
    layout = make_layout("6x2", rhythm=("II",))
    rows, windows = rows_of(signals, layout)
    for row in rows:  # joined to every row from the pulse on, 7 mm before the traces
        row.y_mm[(row.x_mm >= 13.0) & (row.x_mm < 20.0)] = 40.0
    early = tuple(replace(w, start_mm=13.0) if w.start_mm < 20.0 else w for w in windows)
    columns = place_columns(tuple(rows), early, layout, 25.0, PulsePlace(8.0, 13.0, {}))
    assert columns.windows[0].start_mm == pytest.approx(20.0, abs=0.15)
    assert columns.duration_s == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("seconds", "stretched"), [(9.95, True), (10.0, False), (9.8, False), (9.985, False)]
)
def test_a_usual_time_is_believed_over_a_grid_half_a_per_cent_off(signals, seconds, stretched):
    layout = make_layout("12x1")
    rows, windows = rows_of(signals, layout, seconds=seconds)
    for row in rows:  # as the trace network is, where it sees none within the image
        row.presence[row.presence == 0] = 0.01
    stretch = paper_stretch(rows, place_columns(rows, windows, layout, 25.0), 25.0)
    assert stretch == pytest.approx(seconds / 10.0 if stretched else 1.0, abs=1e-3)
    # A block that the image cuts off shows no usual time.
    for row in rows:
        row.y_mm[row.x_mm < 20.1] = np.nan
        row.presence[row.x_mm < 20.1] = 0.0
    assert paper_stretch(rows, place_columns(rows, windows, layout, 25.0), 25.0) == 1.0


def test_no_block_begins_within_a_pulse(signals):
    layout = make_layout("3x4", rhythm=("II",))
    rows, windows = rows_of(signals, layout, seconds=9.7)  # no usual duration
    for row in rows:
        row.y_mm[(row.x_mm >= 15.2) & (row.x_mm < 20.0)] = 30.0
    windows = tuple(replace(w, start_mm=w.start_mm - 3.0) if w.column_index == 0 else w for w in windows)
    columns = place_columns(rows, windows, layout, 25.0, PulsePlace(15.2, 19.9, {}))
    assert columns.windows[0].start_mm >= 19.5
    assert columns.duration_s == pytest.approx(9.7, abs=0.03)


def test_separators_place_the_columns(signals):
    layout = make_layout("3x4", rhythm=("II",))
    rows, windows = rows_of(signals, layout)
    for row in rows:  # every trace is seen from half a stroke too early on
        row.y_mm[(row.x_mm >= 19.5) & (row.x_mm < 20.0)] = 40.0
    separators = {1: 82.5, 2: 145.0, 3: 207.5}
    placed = [place_columns(rows, windows, layout, 25.0, None, seen) for seen in (None, separators)]
    starts = [min(w.start_mm for w in columns.windows) for columns in placed]
    assert abs(starts[1] - 20.0) < 0.01 < abs(starts[0] - 20.0)
    # A cut block has no common width: its edges stand where the separators do.
    cut = tuple(replace(row, y_mm=np.where(row.x_mm < 27.0, np.nan, row.y_mm)) for row in rows)
    columns = place_columns(cut, windows, layout, 25.0, None, separators)
    assert sorted({w.start_mm for w in columns.windows if w.column_index})[0] == 82.5


def test_traces_that_begin_and_end_together_are_the_block(signals):
    layout = make_layout("3x4", rhythm=("II",))
    rows, windows = rows_of(signals, layout)
    # The network's edges are a beat off, farther than an end is looked for.
    far = tuple(replace(w, start_mm=w.start_mm + 30.0) if w.start_mm < 21.0 else w for w in windows)
    columns = place_columns(rows, far, layout)
    assert min(w.start_mm for w in columns.windows) == pytest.approx(20.0, abs=0.1)
    assert columns.duration_s == 10.0
    # Rows that begin anywhere say nothing: the network's edges stay.
    ragged = tuple(
        replace(row, y_mm=np.where(row.x_mm < 20.0 + 9.0 * k, np.nan, row.y_mm)) for k, row in enumerate(rows)
    )
    assert traced_block(list(ragged), [250.0]) is None
    assert traced_block(list(rows), [240.0]) is None
    assert traced_block(list(rows), [250.0]) == pytest.approx((20.0, 270.0), abs=0.1)


def test_an_end_at_the_image_s_border_says_little(signals):
    """A turned page whose corner is cut off: rows begin later and later, and end together."""
    layout = make_layout("12x1")
    rows, windows = rows_of(signals, layout)
    cut = []
    for k, row in enumerate(rows):
        border = row.x_mm < 20.0 + 0.3 * k
        presence = np.where(border, 0.0, np.where(np.isfinite(row.y_mm), 0.98, 0.02))
        cut.append(replace(row, y_mm=np.where(border, np.nan, row.y_mm), presence=presence))
    result = calibrated(tuple(cut), windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    assert result.windows[0].start_mm == pytest.approx(20.0, abs=0.15)


def test_gap_stays_nan(signals):
    layout = make_layout("12x1")
    rows, windows = rows_of(signals, layout)
    rows[0].y_mm[1000:1400] = np.nan
    result = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    assert np.isnan(result.signals[0]).sum() == pytest.approx(400 / 16 * 20, abs=6)
    assert np.isfinite(result.signals[1]).all()


def test_a_mark_beyond_the_block_is_no_panel(signals):
    """On pages of unknown layout ink far right of the block was taken for one more panel."""
    rows, windows = rows_of(signals, make_layout("3x4"))
    columns = place_columns(rows, windows, None, 25.0)
    astray = replace(windows[0], start_mm=330.0, end_mm=345.0, column_index=4)
    columns = replace(
        columns,
        windows=(*columns.windows, astray),
        starts_s={**columns.starts_s, 4: columns.duration_s + 0.5},
    )
    result = calibrate(rows, TimeBase(columns, None, 25.0, 10.0), fs=FS)
    assert all(status.found for status in result.statuses)


def test_nothing_readable(signals):
    layout = make_layout("3x4")
    rows, windows = rows_of(signals, layout)
    for row in rows:
        row.y_mm[:] = np.nan
    with pytest.raises(PageError, match="calibration"):
        calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)


def test_scale_from_columns():
    assert scale_from_columns(100, 2100) == pytest.approx(8.0)
    with pytest.raises(PageError):
        scale_from_columns(100, 100)


@pytest.mark.parametrize(("shape", "rhythm"), [("3x4", ("II",)), ("6x2", ()), ("12x1", ())])
@pytest.mark.parametrize("exchanged", [("I", "II"), ("II", "III"), ("aVL", "aVF")])
def test_exchanged_limb_leads_are_named_in_a_warning(signals, shape, rhythm, exchanged):
    layout = make_layout(shape, rhythm=rhythm)
    rows, windows = rows_of(signals, layout)
    given = {"fs": FS, "speed_mm_s": 25, "gain_mm_mv": 10}
    right = calibrated(rows, windows, layout, **given)
    assert right.leads_agree
    assert right.agreement == 1.0
    assert max(right.residuals.einthoven_mv, right.residuals.goldberger_mv) < 0.02
    assert not any("equation" in words for words in right.warnings)
    other = {exchanged[0]: exchanged[1], exchanged[1]: exchanged[0]}
    wrong = tuple(replace(w, lead=other.get(w.lead, w.lead)) for w in windows)
    result = calibrated(rows, wrong, layout, **given)
    if exchanged == ("aVL", "aVF") and shape == "3x4":
        # Where no other limb lead shows the same instant, only the sum of the three is known, in any order.
        assert result.residuals.goldberger_mv < 0.02
        return
    assert result.leads_agree is False
    assert result.agreement < 0.7
    assert any("equation" in words and "named" in words for words in result.warnings)


def test_fusion_can_be_left_out(signals):
    layout = make_layout("6x2")
    rows, windows = rows_of(signals, layout)
    noise = np.random.default_rng(0).normal(0, 0.1, rows[0].y_mm.size)  # calm stretches are smoothed
    rows[0].y_mm[:] += noise
    given = {"fs": FS, "speed_mm_s": 25, "gain_mm_mv": 10}
    fused = calibrated(rows, windows, layout, **given)
    apart = calibrated(rows, windows, layout, **given, fused_leads=False)
    assert fused.residuals.einthoven_mv == apart.residuals.einthoven_mv > 0.004
    assert fused.leads_agree == apart.leads_agree
    limb, chest = slice(0, 6), slice(6, 12)
    assert np.nanmax(np.abs(fused.signals[limb] - apart.signals[limb])) > 1e-3
    assert np.array_equal(fused.signals[chest], apart.signals[chest], equal_nan=True)


@pytest.mark.parametrize(("shape", "rhythm"), [("3x4", ("II",)), ("6x2", ())])
def test_panels_that_stand_apart_keep_their_own_seconds(signals, shape, rhythm):
    layout = make_layout(shape, rhythm=rhythm)
    rows, windows = rows_of(signals, layout)
    apart = with_spaces(rows, layout, 6.0)
    moved = [(w, 0.0 if w.rhythm else 6.0 * w.column_index) for w in windows]
    windows = tuple(replace(w, start_mm=w.start_mm + d, end_mm=w.end_mm + d) for w, d in moved)
    columns = place_columns(apart, windows, layout, 25.0)
    column_s = 10.0 / layout.n_columns
    assert columns.starts_s == pytest.approx({j: j * column_s for j in range(layout.n_columns)})
    assert columns.duration_s == 10.0
    starts, ends = column_edges(columns.windows, layout.n_columns)
    expected = [20.0 + j * (column_s * 25.0 + 6.0) for j in range(layout.n_columns)]
    assert starts == pytest.approx(expected, abs=0.3)
    on_strip = [20.0 + j * column_s * 25.0 for j in range(layout.n_columns)]
    assert places_on_strip(starts, ends) == pytest.approx(on_strip, abs=0.3)
    result = calibrate(apart, TimeBase(columns, layout, 25.0, 10.0), fs=FS)
    for k in range(12):
        finite = np.isfinite(result.signals[k])
        offset = np.nanmedian(result.signals[k] - signals[k])
        assert unaligned_snr(np.where(finite, signals[k], np.nan), result.signals[k] - offset) > 15


@pytest.mark.parametrize("space_mm", [6.0, 12.5])
def test_frames_stand_at_equal_distances_whatever_breaks_off(signals, space_mm):
    """A trace ends early in one panel, pulses stand before the block; 12.5 mm apart, columns begin 3 s after
    each other, another usual time."""
    layout = make_layout("3x4")
    rows, _ = rows_of(signals, layout)
    rows = with_spaces(rows, layout, space_mm)
    x = rows[0].x_mm
    broken = (x > 20 + 55) & (x < 20 + 62.5)
    pulse = (x > 5) & (x < 15)
    read = [replace(r, y_mm=np.where(broken, np.nan, np.where(pulse, 40.0, r.y_mm))) for r in rows]
    found = panels_apart(read, 4, [50.0, 62.5, 75.0, 125.0])
    assert found is not None
    starts, width = found
    assert width == 62.5
    assert starts == pytest.approx(20.0 + (62.5 + space_mm) * np.arange(4), abs=0.2)


def test_lone_rows_that_begin_late_move_no_frame(signals):
    """The names in the first panels hide half a millimetre of two rows of three."""
    layout = make_layout("3x4")
    rows, _ = rows_of(signals, layout)
    rows = with_spaces(rows, layout, 6.0)
    x = rows[0].x_mm
    hidden = (x > 19) & (x < 20.5)
    read = [rows[0], *(replace(r, y_mm=np.where(hidden, np.nan, r.y_mm)) for r in rows[1:])]
    found = panels_apart(read, 4, [62.5, 125.0])
    assert found is not None
    assert found[0] == pytest.approx(20.0 + 68.5 * np.arange(4), abs=0.06)


def test_panels_apart_move_to_lines_evenly():
    windows = tuple(
        Window("II", 3, 0, True, 10.0, 260.0)
        if j < 0
        else Window("V1", 0, j, False, 10.0 + 68.0 * j, 72.5 + 68.0 * j)
        for j in range(-1, 4)
    )
    columns = Columns(windows, {j: 2.5 * j for j in range(4)}, 10.0, apart=True)
    moved = columns.moved_to_lines({0: 0.1, 1: 0.2, 3: 0.4})
    assert [w.start_mm for w in moved.windows] == pytest.approx([10.1, 10.1, 78.2, 146.3, 214.4])
    assert [w.end_mm - w.start_mm for w in moved.windows] == pytest.approx([250.0] + 4 * [62.5])
    assert moved.on_grid
    lone = columns.moved_to_lines({2: 0.3})
    assert [w.start_mm for w in lone.windows[1:]] == pytest.approx([10.3, 78.3, 146.3, 214.3])


def test_separators_far_off_a_usual_block_are_lines_of_the_grid(signals):
    layout = make_layout("3x4")
    rows, windows = rows_of(signals, layout)
    start = place_columns(rows, windows, layout).start_mm
    near = place_columns(rows, windows, layout, separators={j: start + 62.5 * j + 0.4 for j in (1, 2, 3)})
    assert near.start_mm == pytest.approx(start + 0.4)
    far = place_columns(rows, windows, layout, separators={j: start + 62.5 * j + 2.0 for j in (2, 3)})
    assert far.start_mm == pytest.approx(start)


def test_a_space_that_is_cut_out_of_a_column_moves_nothing(signals):
    """Some carts leave 4 mm blank before a column, out of the time that it shows."""
    layout = make_layout("3x4")
    rows, windows = rows_of(signals, layout)
    cut = ((rows[0].x_mm - 20.0) % 62.5 < 4.0) & (rows[0].x_mm > 30.0)
    blank = [replace(row, y_mm=np.where(cut, np.nan, row.y_mm)) for row in rows]
    assert panels_apart(blank, 4, [62.5, 125.0, 250.0]) is None
    assert panels_apart(list(rows), 4, [62.5, 125.0, 250.0]) is None
    assert column_edges(place_columns(tuple(blank), windows, layout).windows, 4)[0][1:] == pytest.approx(
        [82.5, 145.0, 207.5], abs=0.5
    )


def test_columns_of_a_whole_block_are_equally_wide(signals):
    """However far off the network's edge; where the image cuts the block the edge is believed."""
    layout = make_layout("6x2")
    rows, windows = rows_of(signals, layout, seconds=9.7)
    # A network's presence is never 0 inside the image.
    rows = tuple(replace(row, presence=row.presence.clip(0.01, 0.99)) for row in rows)
    windows = tuple(replace(w, start_mm=w.start_mm + 20.0) if w.column_index else w for w in windows)
    middle = 20.0 + 0.5 * 9.7 * 25.0
    starts, _ = column_edges(place_columns(rows, windows, layout).windows, 2)
    assert starts[1] == pytest.approx(middle, abs=0.2)
    without_grid = place_columns(rows, windows, layout, has_grid=False)
    assert column_edges(without_grid.windows, 2)[0][1] == pytest.approx(middle + 19.2, abs=0.2)


@pytest.mark.parametrize("cut_mm", [(7.0, 0.0), (0.0, 25.0), (6.0, 9.0)])
def test_columns_go_on_beyond_the_image(signals, cut_mm):
    """The image cuts the block off: its columns are those of a usual time, not parts of what is left."""
    layout = make_layout("3x4", rhythm=("II",))
    rows, windows = rows_of(signals, layout)
    start, end = 20.0 + cut_mm[0], 270.0 - cut_mm[1]
    beyond = (rows[0].x_mm < start) & (cut_mm[0] > 0) | (rows[0].x_mm > end) & (cut_mm[1] > 0)
    presence = np.where(beyond, 0.0, rows[0].presence.clip(0.01, 0.99))
    rows = tuple(replace(row, y_mm=np.where(beyond, np.nan, row.y_mm), presence=presence) for row in rows)
    windows = tuple(
        replace(w, start_mm=max(w.start_mm, start - 0.8), end_mm=min(w.end_mm, end + 0.8)) for w in windows
    )
    columns = place_columns(rows, windows, layout)
    starts, ends = column_edges(columns.windows, 4)
    off = 1.0 if all(cut_mm) else 0.3  # with both ends cut, only the network's edges tell
    np.testing.assert_allclose(starts, [20.0, 82.5, 145.0, 207.5], atol=off)
    assert (ends[-1], columns.duration_s) == (pytest.approx(270.0, abs=off), 10.0)


def test_separators_place_the_ends_of_a_block_of_any_width(signals):
    layout = make_layout("3x4")
    rows, windows = rows_of(signals, layout, seconds=9.3)
    for row in rows:  # every trace is seen from half a stroke too early on
        row.y_mm[(row.x_mm >= 19.4) & (row.x_mm < 20.0)] = 40.0
    separators = {j: 20.0 + j * 9.3 * 25.0 / 4 for j in (1, 2, 3)}
    starts = [
        min(w.start_mm for w in place_columns(rows, windows, layout, 25.0, None, seen).windows)
        for seen in (None, separators)
    ]
    assert abs(starts[1] - 20.0) < 0.01 < 0.3 < abs(starts[0] - 20.0)


def test_a_block_is_moved_as_a_whole(signals):
    layout = make_layout("3x4", rhythm=("II",))
    rows, windows = rows_of(signals, layout)
    columns = place_columns(rows, windows, layout, 25.0)
    moved = columns.moved_to_lines({0: 0.07})
    assert moved.on_grid
    assert moved.start_mm == pytest.approx(columns.start_mm + 0.07)
    assert [w.end_mm - w.start_mm for w in moved.windows] == pytest.approx(
        [w.end_mm - w.start_mm for w in columns.windows]
    )
    assert (moved.starts_s, moved.duration_s) == (columns.starts_s, columns.duration_s)


def test_unsure_ends_of_a_panel_keep_to_its_course(signals):
    """The first read-outs of every column show the level of the lead before; and know it."""
    layout = make_layout("3x4")
    rows, windows = rows_of(signals, layout)
    columns = place_columns(rows, windows, layout, 25.0)
    starts = sorted({w.start_mm for w in columns.windows})
    misread = []
    for row in rows:
        near = np.any([(row.x_mm >= a) & (row.x_mm < a + 0.2) for a in starts], axis=0)
        y, sd = np.where(near, row.y_mm + 1.5, row.y_mm), np.where(near, 5.0, 0.05)
        misread.append(replace(row, y_mm=y, sd_mm=np.where(np.isfinite(y), sd, np.nan)))
    result = calibrate(tuple(misread), TimeBase(columns, layout, 25.0, 10.0), fs=FS)
    for k in range(12):
        first = np.flatnonzero(np.isfinite(result.signals[k]))[:3]
        assert np.abs(result.signals[k, first] - signals[k, first]).max() < 0.075


def test_reading_noise_goes_where_a_lead_is_calm_and_waves_stay():
    """A QRS complex, a flutter wave of 5 Hz and noise of 0.03 mm; the complex is as sharp as before."""
    t = np.arange(10 * FS) / FS
    lead = 0.1 * np.sin(2 * np.pi * 5.0 * t)
    for beat in np.arange(0.5, 10.0, 1.0):
        lead += 1.5 * np.exp(-(((t - beat) / 0.012) ** 2))
    layout = make_layout("12x1")
    rows, windows = rows_of(np.tile(lead, (12, 1)), layout)
    rng = np.random.default_rng(3)
    noisy = tuple(replace(row, y_mm=row.y_mm + rng.normal(0.0, 0.03, row.y_mm.size)) for row in rows)
    given = {"fs": FS, "speed_mm_s": 25.0, "gain_mm_mv": 10, "fused_leads": False}
    clean = calibrated(rows, windows, layout, **given).signals[:, 50:4950]
    read = calibrated(noisy, windows, layout, **given).signals[:, 50:4950]
    phase = (t[50:4950] + 0.5) % 1.0
    calm = (phase > 0.1) & (phase < 0.9)
    noise_mv = np.sqrt(np.nanmean((read - clean)[:, calm] ** 2))
    assert noise_mv < 0.7 * 0.003
    # What is smoothed is the noise: the wave and the complexes come back as they were drawn, zero line aside.
    off = clean - lead[50:4950]
    off -= np.nanmedian(off, axis=1, keepdims=True)
    assert np.nanmax(np.abs(off[:, calm])) < 0.003
    assert np.nanmax(np.abs(off)) < 0.02 * lead.max()
