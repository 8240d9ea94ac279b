from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.elements import DrawnPath, TextWord
from ecg_hough.vectors.grid import find_grid
from ecg_hough.vectors.pulses import find_pulses, pulse_in, without_pulse
from ecg_hough.vectors.strokes import (
    DrawnTrace,
    NotDrawnError,
    Stroke,
    direction,
    find_traces,
    weld,
)
from ecg_hough.vectors.text import lead_name, printed_words

PX = 300 / 25.4
BLACK, PINK = (0, 0, 0), (255, 200, 200)
STYLE = (BLACK, 3.0)


def wave(n: int = 600, left: float = 100.0, row: float = 500.0) -> np.ndarray:
    x = left + np.arange(n) * 1.5
    return np.column_stack([row + 40 * np.sin(x / 30), x])


def path(points: object, colour: tuple[int, int, int] = BLACK, *, closed: bool = False) -> DrawnPath:
    return DrawnPath(np.asarray(points, float), colour, 3.0, closed)


def pulse(left: float = 40.0, foot: float = 500.0, height: float = 118.0) -> np.ndarray:
    return np.array(
        [[foot, left], [foot, left + 12], [foot - height, left + 12], [foot - height, left + 71],
         [foot, left + 71], [foot, left + 83]]
    )  # fmt: skip


@pytest.mark.parametrize("shuffled", [False, True])
def test_pieces_whose_ends_meet_are_one_stroke(shuffled: bool) -> None:
    points = wave()
    pieces = [points[k : k + 2] for k in range(len(points) - 1)]
    if shuffled:
        order = np.random.default_rng(1).permutation(len(pieces))
        pieces = [pieces[k][:: 1 if k % 2 else -1] for k in order]
    (stroke,) = weld([path(piece) for piece in pieces], 0.2)
    found = stroke.points if stroke.points[0, 1] < stroke.points[-1, 1] else stroke.points[::-1]
    np.testing.assert_allclose(found, points)


def test_other_colours_closed_ones_and_crossings_are_not_welded() -> None:
    cross = [path([[0, 0], [5, 5]]), path([[5, 5], [9, 0]]), path([[5, 5], [0, 9]])]
    assert len(weld([path(wave()), path([wave()[-1], [500, 1100]], PINK)], 0.2)) == 2
    assert [s.closed for s in weld([path([[0, 0], [0, 5], [5, 5]], closed=True)], 0.2)] == [True]
    assert max(len(s.points) for s in weld(cross, 0.2)) == 3


def test_lines_that_are_drawn_twice_count_once() -> None:
    line = [[0, 0], [0, 30]]
    assert len(weld([path(line), path(line[::-1]), path(line)], 0.2)) == 1


def test_traces_are_long_and_never_turn_back() -> None:
    loop = np.column_stack([500 + 200 * np.sin(np.arange(600) / 20), 700 + 200 * np.cos(np.arange(600) / 20)])
    strokes = [Stroke(wave(row=300.0 * k), STYLE) for k in range(1, 5)]
    strokes += [Stroke(loop, STYLE), Stroke(wave(100), STYLE), Stroke(wave(), (PINK, 3.0), closed=True)]
    assert len(find_traces(strokes, PX)) == 4
    assert find_traces(strokes[:2], PX) == ()
    assert direction(loop, 0.2) == -1
    assert [direction(np.rot90(wave(), 0) @ turn, 0.2) for turn in _turns()] == [0, 1, 2, 3]


def _turns() -> list[np.ndarray]:
    right = np.array([[0.0, -1.0], [1.0, 0.0]])
    return [np.linalg.matrix_power(right, k) for k in range(4)]


def test_many_pieces_of_traces_are_said() -> None:
    strokes = [Stroke(wave(row=300.0 * k), STYLE) for k in range(1, 4)]
    strokes += [Stroke(wave(40, 200.0 + 200 * k, 1500.0), STYLE) for k in range(20)]
    with pytest.raises(NotDrawnError, match="in pieces"):
        find_traces(strokes, PX)


def test_pulses_are_two_levels() -> None:
    found = pulse_in(pulse())
    assert found is not None
    assert (found.left, found.right, found.foot, found.height) == (52.0, 111.0, 500.0, 118.0)
    beat = np.column_stack([500 - 118 * np.exp(-(((np.arange(60) - 30) / 12) ** 2)), 40 + np.arange(60)])
    assert pulse_in(beat) is None
    assert len(find_pulses([Stroke(pulse(), STYLE), Stroke(pulse(), STYLE), Stroke(beat, STYLE)], PX)) == 1


def test_a_pulse_at_a_traces_start_is_taken_off() -> None:
    trace = DrawnTrace(np.vstack([pulse(10.0), wave()]), STYLE)
    alone, found = without_pulse(trace, PX)
    assert found is not None
    assert found.height == 118.0
    np.testing.assert_array_equal(alone.points, wave())
    assert without_pulse(DrawnTrace(wave(), STYLE), PX)[1] is None


def grid_strokes(pitch: float, every: int = 1, colour: tuple[int, int, int] = PINK) -> list[Stroke]:
    at = np.arange(0, 200, every) * pitch
    across = [Stroke(np.array([[y, 0.0], [y, 2000.0]]), (colour, 1.0)) for y in at]
    return across + [Stroke(np.array([[0.0, x], [2000.0, x]]), (colour, 1.0)) for x in at]


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_squares_are_measured_whatever_the_page_was_scaled_by(scale: float) -> None:
    block = 250 * PX * scale
    both = grid_strokes(PX * scale) + grid_strokes(PX * scale, 5, BLACK)
    for strokes, lines_mm in ((both, 1.0), (grid_strokes(PX * scale, 5), 5.0)):
        grid = find_grid(strokes, PX, block)
        assert grid is not None
        assert (grid.lines_mm, grid.sure) == (lines_mm, True)
        assert grid.across == pytest.approx(PX * scale, rel=1e-6)


def test_uneven_lines_are_no_grid() -> None:
    at = np.cumsum(np.random.default_rng(2).uniform(5, 30, 60))
    strokes = [Stroke(np.array([[y, 0.0], [y, 2000.0]]), STYLE) for y in at]
    assert find_grid(strokes, PX, 250 * PX) is None


def word(text: str, col: float, row: float = 10.0) -> TextWord:
    return TextWord(text, row, col, 8.0, 8.0 * len(text))


def test_names_and_scales_are_known_words() -> None:
    names = {
        "I": "I",
        "avf": "aVF",
        "-aVR": "-aVR",
        "\u2212aVR": "-aVR",
        "C4": "V4",
        "DII": "II",
        "V5:": "V5",
    }
    assert {text: lead_name(text) for text in names} == names
    assert [lead_name(text) for text in ("V7", "IV", "VI", "aV")] == [None] * 4
    line = [word("25", 10), word("mm/sec", 60), word("Limb:", 120), word("10", 170), word("mm/mV", 210)]
    assert [w.word for w in printed_words(line)] == ["25 mm/s", "10 mm/mV"]
    assert [w.word for w in printed_words([word("12,5mm/s", 10), word("1cm/mV", 100)])] == [
        "12.5 mm/s",
        "10 mm/mV",
    ]
    assert printed_words([word("900", 10), word("mm/s", 50)]) == ()
