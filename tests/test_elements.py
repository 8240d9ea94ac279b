"""The data that stages hand on: parts of images, columns of panels, lines of a grid."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.elements import Box, Columns, GridLines, TimeBase, Window

COLUMNS = Columns(
    windows=(
        Window("I", 0, 0, False, 10.0, 70.0),
        Window("V1", 0, 1, False, 70.0, 130.0),
        Window("II", 1, 0, True, 10.0, 130.0),
    ),
    starts_s={0: 0.0, 1: 2.4},
    duration_s=4.8,
)


def test_a_box_round_points_ends_at_the_image() -> None:
    box = Box.around([[3.2, -4.0], [20.0, 7.9]], (15, 30))
    assert box == (3, 0, 15, 9)
    assert box.shape == (12, 9)
    assert box.corners.tolist() == [[3, 0], [14, 8]]


def test_a_box_within_another_cuts_the_same_pixels() -> None:
    image = np.arange(600).reshape(20, 30)
    outer, inner = Box(4, 5, 18, 28), Box(2, 3, 9, 11)
    assert np.array_equal(inner.cut(outer.cut(image)), inner.within(outer).cut(image))
    assert np.array_equal(Box.of(image.shape).cut(image), image)


def test_columns_know_their_spans_without_rhythm_strips() -> None:
    assert COLUMNS.start_mm == 10.0
    assert COLUMNS.spans_mm == {0: (10.0, 70.0), 1: (70.0, 130.0)}


@pytest.mark.parametrize(("by_mm", "starts"), [({0: 0.4}, (10.4, 70.4)), ({0: 0.4, 1: -0.2}, (10.4, 69.8))])
def test_columns_move_to_the_lines_of_the_grid(by_mm: dict[int, float], starts: tuple[float, float]) -> None:
    moved = COLUMNS.moved_to_lines(by_mm)
    assert moved.on_grid
    assert [w.start_mm for w in moved.windows if not w.rhythm] == pytest.approx(starts)
    assert [w.end_mm - w.start_mm for w in moved.windows] == pytest.approx([60.0, 60.0, 120.0])


def test_a_wider_pitch_keeps_the_first_start_and_stretches_the_time() -> None:
    wider = COLUMNS.with_pitch(3.0)
    assert wider.spans_mm == {0: (10.0, 73.0), 1: (73.0, 136.0)}
    assert wider.windows[2].end_mm == 136.0
    assert wider.duration_s == pytest.approx(4.8 * 126 / 120)
    assert wider.starts_s[1] == pytest.approx(2.4 * 126 / 120)
    back = wider.with_pitch(-3.0)
    assert back.spans_mm == COLUMNS.spans_mm


def test_offsets_to_the_nearest_line_of_a_grid() -> None:
    lines = GridLines(phase_mm=0.25, printed_off_mm=(0.0, 0.1))
    np.testing.assert_allclose(lines.offsets(np.array([5.2, 7.9])), [[0.05, 0.35], [-0.05, 0.25]], atol=1e-9)
    assert lines.shift_to(5.2) == pytest.approx(0.05)
    assert lines.shift_to(5.5) is None
    assert GridLines(0.25, ()).shift_to(5.25) is None


@pytest.mark.parametrize(
    ("order", "simultaneous"), [("sequential", False), ("simultaneous", True), ("one", False)]
)
def test_all_columns_show_the_same_seconds_or_not(order: str, simultaneous: bool) -> None:
    assert TimeBase(COLUMNS, None, order=order).simultaneous is simultaneous
