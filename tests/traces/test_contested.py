"""Contested ink: a wave in doubt may be another row's, the likelier the less sure the network was of it."""

import numpy as np
import pytest

from ecg_hough.traces.contested import probability_wrong, stretches
from ecg_hough.traces.crossings import NEIGHBOURS, RowView

LEVELS, X_MM = np.arange(160) * 0.25, np.arange(800) / 16.0


def view(place, doubt=0.0, centre=400, width=20):
    """A row read along `place`, mm, with a doubt round one read-out."""
    doubts = np.where(np.abs(np.arange(X_MM.size) - centre) < width, doubt, 0.0)
    logits = np.zeros((4, LEVELS.size, X_MM.size // 4), np.float32)
    return RowView(X_MM, place, doubts, logits, LEVELS)


def wave(line, height):
    return line + height * np.exp(-0.5 * ((X_MM - 25.0) / 0.5) ** 2)


def test_rows_apart_and_sure_have_no_contested_stretch():
    rows = [view(wave(10, -3)), view(wave(30, 3))]
    places = [row.y_mm for row in rows]
    assert stretches(rows, places) == [[], []]
    assert all((p == 0).all() for p in probability_wrong(rows, places))


def test_a_doubtful_wave_is_a_stretch_with_its_neighbours():
    rows = [view(wave(10, -8), doubt=0.3), view(wave(30, 3))]
    places = [row.y_mm for row in rows]
    (found,), none = stretches(rows, places)
    assert none == []
    assert (found.first, found.stop) == (381 - NEIGHBOURS, 420 + NEIGHBOURS)
    doubt, meets, moved, height, step = found.features
    assert doubt == pytest.approx(np.log10(0.3))
    assert (meets, moved) == (0.0, 0.0)
    assert height == pytest.approx(0.8, abs=0.01)
    assert 0 < step < 0.1
    wrong = probability_wrong(rows, places)
    inside = np.zeros(X_MM.size, bool)
    inside[found.first : found.stop] = True
    assert (wrong[0][~inside] == 0).all()
    assert (wrong[0][inside] > 0).all()


def test_more_doubt_and_another_rows_place_are_less_sure():
    def of(doubt, other):
        rows = [view(wave(10, 12), doubt=doubt), view(np.full(X_MM.size, other))]
        return probability_wrong(rows, [row.y_mm for row in rows])[0][400]

    assert of(0.03, 35.0) < of(0.4, 35.0)
    assert of(0.4, 35.0) < of(0.4, 22.0)  # the wave ends where the other row runs


def test_a_course_settled_elsewhere_than_read_is_less_sure():
    row = view(wave(10, -8), doubt=0.3)
    moved = np.where(np.abs(X_MM - 25) < 1, 10.0, row.y_mm)
    assert stretches([row], [moved])[0][0].features[2] > 0.2
    assert stretches([row], [row.y_mm])[0][0].features[2] == 0.0


def test_unread_columns_are_no_contest():
    place = wave(10, -8)
    place[380:420] = np.nan
    found = stretches([view(place, doubt=0.0)], [place])
    assert found == [[]]
