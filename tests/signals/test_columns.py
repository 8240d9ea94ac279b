"""Columns' common edges: found on drawn rows whose blocks, pulses, separators and frames are known."""

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.elements import Columns, PulsePlace, Window
from ecg_hough.errors import PageError
from ecg_hough.paper import make_layout
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.signals.columns import (
    column_edges,
    find_block,
    panels_apart,
    paper_stretch,
    place_columns,
    traced_block,
    trim_windows,
)
from printed_rows import FS, rows_of, with_spaces


@pytest.fixture(scope="module")
def signals():
    return generate_ecg(5, rhythm="sinus rhythm").signals


def test_a_pulse_joined_to_the_trace_is_not_part_of_it(signals):
    layout = make_layout("3x4", rhythm=("II",))
    rows, windows = rows_of(signals, layout)
    for row in rows[:3]:  # read as trace on three of four rows
        pulse = (row.x_mm >= 15.0) & (row.x_mm < 20.0)
        row.y_mm[pulse] = row.y_mm[np.isfinite(row.y_mm)][0] - 10.0
    columns = place_columns(rows, windows, layout)
    assert columns.windows[0].start_mm == pytest.approx(20.0, abs=0.2)


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
    """Ends of rows as `find_block` takes them, each with full weight."""
    return [np.array([[mm, 1.0] for mm in row]).reshape(-1, 2) for row in rows]


def test_a_usual_width_does_not_outvote_ends_on_which_all_rows_agree():
    starts, ends = places([20.1], [20.0], [19.9]), places([267.1], [267.2], [267.0])
    start, width = find_block(starts, ends, 18.5, 268.5, [250.0])
    assert (start, width) == pytest.approx((20.0, 247.1), abs=0.2)
    # But it decides where ends are scattered.
    start, width = find_block(places([17.0], [20.0], [14.0]), places([270.0]) * 3, 18.5, 271.0, [250.0])
    assert (start, width) == (20.0, 250.0)


@pytest.mark.parametrize(("pen_mm", "bars"), [(0.3, False), (0.7, False), (0.7, True)])
def test_blocks_begin_at_the_first_sample_not_at_the_stroke_s_round_end(signals, pen_mm, bars):
    layout = make_layout("12x1")
    drawn, windows = rows_of(signals, layout, seconds=7.7)  # no usual time: each end is found by itself
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


def test_a_pulse_s_long_foot_is_not_part_of_the_block(signals):
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
def test_a_usual_time_overrules_a_grid_with_half_a_per_cent_of_error(signals, seconds, stretched):
    layout = make_layout("12x1")
    rows, windows = rows_of(signals, layout, seconds=seconds)
    for row in rows:  # as the trace network is, where it sees none within the image
        row.presence[row.presence == 0] = 0.01
    stretch = paper_stretch(rows, place_columns(rows, windows, layout, 25.0), 25.0)
    assert stretch == pytest.approx(seconds / 10.0 if stretched else 1.0, abs=1e-3)
    # A cropped block shows no usual time.
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
    # A cropped block has no common width: its edges are at the separators.
    cut = tuple(replace(row, y_mm=np.where(row.x_mm < 27.0, np.nan, row.y_mm)) for row in rows)
    columns = place_columns(cut, windows, layout, 25.0, None, separators)
    assert sorted({w.start_mm for w in columns.windows if w.column_index})[0] == 82.5


def test_traces_that_begin_and_end_together_are_the_block(signals):
    layout = make_layout("3x4", rhythm=("II",))
    rows, windows = rows_of(signals, layout)
    # The network's edges are wrong by a beat, more than the distance that is searched.
    far = tuple(replace(w, start_mm=w.start_mm + 30.0) if w.start_mm < 21.0 else w for w in windows)
    columns = place_columns(rows, far, layout)
    assert min(w.start_mm for w in columns.windows) == pytest.approx(20.0, abs=0.1)
    assert columns.duration_s == 10.0
    # Rows that begin anywhere are no evidence: the network's edges are kept.
    ragged = tuple(
        replace(row, y_mm=np.where(row.x_mm < 20.0 + 9.0 * k, np.nan, row.y_mm)) for k, row in enumerate(rows)
    )
    assert traced_block(list(ragged), [250.0]) is None
    assert traced_block(list(rows), [240.0]) is None
    assert traced_block(list(rows), [250.0]) == pytest.approx((20.0, 270.0), abs=0.1)


def test_an_end_at_the_image_border_has_little_weight(signals):
    """A turned page whose corner is cut off: rows begin later and later, and end together."""
    layout = make_layout("12x1")
    rows, windows = rows_of(signals, layout)
    cut = []
    for k, row in enumerate(rows):
        border = row.x_mm < 20.0 + 0.3 * k
        presence = np.where(border, 0.0, np.where(np.isfinite(row.y_mm), 0.98, 0.02))
        cut.append(replace(row, y_mm=np.where(border, np.nan, row.y_mm), presence=presence))
    columns = place_columns(tuple(cut), windows, layout)
    assert columns.windows[0].start_mm == pytest.approx(20.0, abs=0.15)


@pytest.mark.parametrize("space_mm", [6.0, 12.5])
def test_frames_are_at_equal_distances_whatever_breaks_off(signals, space_mm):
    """A trace ends early in one panel, pulses are printed before the block; 12.5 mm apart, columns begin 3 s
    after each other, another usual time."""
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


def test_single_rows_that_begin_late_move_no_frame(signals):
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


def test_separate_panels_move_to_lines_evenly():
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
    """Some carts print 4 mm of blank paper instead of the first trace of a column."""
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
    """Whatever the error of the network's edge; without a grid the edge is used."""
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
def test_columns_continue_beyond_the_image(signals, cut_mm):
    """The image crops the block: its columns are those of a usual time, not parts of the visible block."""
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
    off = 1.0 if all(cut_mm) else 0.3  # with both ends cropped, only the network's edges are known
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


def test_columns_without_panels_are_equal_parts_of_the_block():
    windows = (Window("I", 0, 0, False, 20.0, 80.0), Window("II", 1, 0, True, 20.0, 260.0))
    starts, ends = column_edges(windows, 4)
    assert starts == pytest.approx([20.0, 80.0, 140.0, 200.0])
    assert ends == pytest.approx([80.0, 140.0, 200.0, 260.0])


def test_no_row_of_the_panels_is_read():
    with pytest.raises(PageError, match="at least one lead must be readable"):
        place_columns((), (Window("I", 0, 0, False, 20.0, 80.0),), make_layout("3x4"))
