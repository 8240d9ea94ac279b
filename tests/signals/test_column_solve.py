import numpy as np
import pytest

from ecg_hough.elements import Columns, RowMark, Window
from ecg_hough.paper import make_layout
from ecg_hough.signals.column_solve import solve_columns

LAYOUT = make_layout("3x4")


def windows(start=10.0, width=250.0, layout=LAYOUT):
    """Panels where the leads network has them: some millimetres off."""
    n = layout.n_columns
    return tuple(
        Window(lead, i, j, False, start + j * width / n + 1.5, start + (j + 1) * width / n - 1.0)
        for i, leads in enumerate(layout.rows)
        for j, lead in enumerate(leads)
    )


def marks(starts, ends, rows=3, *, seed=0, shown=0.8, sd=0.05):
    """Landmarks at starts and ends, as the network gives them: some are missing, each is a little off."""
    rng = np.random.default_rng(seed)
    return tuple(
        RowMark(kind, row, place + float(rng.normal(0, sd)), float(rng.uniform(0.4, 0.9)))
        for row in range(rows)
        for kind, places in (("start", starts), ("end", ends))
        for place in places
        if rng.random() < shown
    )


@pytest.mark.parametrize("duration", [2.0, 2.4, 2.5, 3.0])
def test_columns_that_follow_each_other_last_what_their_landmarks_show(duration):
    starts = 12.3 + duration * 25.0 * np.arange(4)
    found = solve_columns(marks(starts, starts + duration * 25.0), windows(12.0), 4, 25.0)
    assert found.duration_s == duration
    assert not found.apart
    assert found.starts_mm == pytest.approx(starts, abs=0.1)
    assert (found.sd_mm < 0.1).all()
    assert found.margin > 2.0
    columns = found.columns(windows(12.0))
    assert columns.starts_s == pytest.approx({j: j * duration for j in range(4)})
    assert columns.duration_s == pytest.approx(4 * duration)


def test_paper_may_stretch_but_time_does_not():
    starts = 12.3 + 62.03 * np.arange(4)
    found = solve_columns(marks(starts, starts + 62.03), windows(12.0, 248.0), 4, 25.0)
    assert found.duration_s == 2.5
    assert np.diff(found.starts_mm) == pytest.approx([62.03] * 3, abs=0.08)


def test_the_ends_of_one_column_do_not_stretch_it():
    """At the foot of a pulse a trace is seen to begin late, and it seems to end early."""
    layout = make_layout("12x1")
    seen = marks([7.2], [256.7], rows=12, sd=0.03)
    found = solve_columns(seen, windows(7.0, 250.0, layout), 1, 25.0)
    assert (found.duration_s, found.width_mm) == (10.0, 250.0)


def test_where_millimetres_are_guessed_the_landmarks_give_a_second_s_width():
    starts = 51.8 + 60.2 * np.arange(4)
    seen = marks(starts, starts + 60.2, sd=0.03)
    found = solve_columns(seen, windows(51.8, 240.8), 4, 25.0, guessed_mm=True)
    assert found.duration_s == 2.5
    assert found.mm_per_s == pytest.approx(24.08, abs=0.03)
    assert found.starts_mm == pytest.approx(starts, abs=0.1)


def test_columns_with_a_space_between_them():
    starts = 12.3 + 68.0 * np.arange(4)
    found = solve_columns(marks(starts, starts + 62.5), windows(12.0, 266.0), 4, 25.0)
    assert found.apart
    assert found.duration_s == 2.5
    assert found.starts_mm == pytest.approx(starts, abs=0.1)
    spans = found.columns(windows(12.0, 266.0)).spans_mm
    assert spans[1][1] - spans[1][0] == pytest.approx(62.5)


def test_a_right_edge_that_is_cut_off_changes_nothing():
    starts = 3.5 + 62.5 * np.arange(4)
    seen = tuple(m for m in marks(starts, starts + 62.5, shown=1.0) if m.x_mm < 240.0)
    found = solve_columns(seen, windows(3.5, 244.5), 4, 25.0)
    assert found.duration_s == 2.5
    assert found.starts_mm == pytest.approx(starts, abs=0.1)


def test_a_pulse_that_is_joined_to_all_rows_is_outweighed_by_the_usual_duration():
    """Its foot looks like the start of every trace: rows do not err independently."""
    layout = make_layout("12x1")
    joined = tuple(RowMark("start", row, 53.5, 0.5) for row in range(12))
    ends = tuple(RowMark("end", row, 310.37, 0.75) for row in range(12))
    found = solve_columns((*joined, *ends), windows(56.0, 254.0, layout), 1, 25.0)
    assert found.duration_s == 10.0
    assert found.starts_mm[0] == pytest.approx(60.4, abs=0.3)


def test_columns_by_other_means_are_weighed_against_the_landmarks():
    starts = 12.3 + 62.5 * np.arange(4)
    seen, panels = marks(starts, starts + 62.5), windows(12.0)

    def placed(first, duration):
        moved = tuple(
            Window(w.lead, w.row_index, w.column_index, False, first + w.column_index * 25 * duration,
                   first + (w.column_index + 1) * 25 * duration)
            for w in panels
        )  # fmt: skip
        return Columns(moved, {j: j * duration for j in range(4)}, 4 * duration)

    near, far = placed(12.35, 2.5), placed(13.4, 2.5)
    assert solve_columns(seen, panels, 4, 25.0, near).against < 2.0
    assert solve_columns(seen, panels, 4, 25.0, far).against > 3.0
    solved = solve_columns(seen, panels, 4, 25.0)
    assert solved.agrees(near)
    assert not solved.agrees(far)
    assert not solved.agrees(placed(12.35, 2.48))


def test_without_landmarks_the_network_s_edges_and_usual_durations_decide():
    found = solve_columns((), windows(12.0), 4, 25.0)
    assert found.duration_s == 2.5
    assert found.starts_mm == pytest.approx(12.0 + 62.5 * np.arange(4), abs=3.0)
