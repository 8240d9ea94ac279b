"""Crossings: rows that meet keep their own ways; what no row contests stays as read."""

import numpy as np
import pytest

from ecg_hough.traces.crossings import NEIGHBOURS, RowView, _contested, _stroke_at, contests, settle

N_SUB, LEVELS = 4, np.arange(160) * 0.25
X_MM = np.arange(800) / 16.0


def view(*ways):
    """A row with bells at (place in mm, log weight) of every read-out; the highest is read."""
    logits = np.full((X_MM.size, LEVELS.size), -30.0)
    for place, weight in ways:
        np.maximum(logits, weight - 0.5 * ((LEVELS - place[:, None]) / 0.25) ** 2, out=logits)
    p = np.exp(logits)
    read = LEVELS[logits.argmax(axis=1)]
    doubt = (p * (np.abs(LEVELS - read[:, None]) > 5)).sum(axis=1) / p.sum(axis=1)
    grouped = logits.reshape(-1, N_SUB, LEVELS.size).transpose(1, 2, 0).astype(np.float32)
    return RowView(X_MM, read, doubt, grouped, LEVELS)


def deep_wave(line, depth, centre=25.0, width=1.0):
    return line + depth * np.exp(-0.5 * ((X_MM - centre) / width) ** 2)


def test_rows_apart_remain_as_read():
    rows = [view((deep_wave(10, 3), 9)), view((deep_wave(25, -3), 9))]
    assert max(contest.max() for contest in contests(rows)) < 1e-3
    for row, place in zip(rows, settle(rows), strict=True):
        assert np.array_equal(row.y_mm, place)


def test_a_contest_is_doubt_or_a_meeting():
    rows = [view((deep_wave(10, 8), 9)), view((deep_wave(20, 0), 9))]
    rows[1].doubt[100] = 0.4
    contest = contests(rows)
    assert contest[1][100] == pytest.approx(0.4)
    assert contest[0].max() < 0.1  # 2 mm apart at the nearest
    met = contests([view((deep_wave(10, 10), 9)), rows[1]])
    assert met[0][400] >= 1
    assert met[1][400] >= 1
    # What is settled reaches a little to both sides.
    stretches = _contested(rows[1], contest[1] > 0.1)
    assert stretches.lengths.tolist() == [2 * NEIGHBOURS + 1]
    assert stretches.readout.tolist() == list(range(100 - NEIGHBOURS, 100 + NEIGHBOURS + 1))


@pytest.mark.parametrize("edge", [2.0, 4.0])
def test_a_wave_taken_by_two_rows_is_settled(edge):
    # The second row's own wave runs far down; where it does, the network takes the first row's wave for it.
    first, second = deep_wave(8, 12), deep_wave(15, 20)
    taken = np.abs(X_MM - 25) < edge
    rows = [
        view((first, 9)),
        view((second, np.where(taken, 7.0, 9.0)[:, None]), (first, np.where(taken, 9.0, -9.0)[:, None])),
    ]
    assert np.abs(rows[1].y_mm - second)[taken].max() > 5
    places = settle(rows)
    assert np.abs(places[0] - first).max() < 0.3
    assert np.abs(places[1] - second).max() < 0.3


def test_two_rows_cross_and_go_on():
    # Behind the crossing one row sees the other's way as the likelier; the other is sure of its own.
    down, up = 10 + 0.4 * X_MM, 30 - 0.4 * X_MM
    late = (X_MM > 26)[:, None]
    rows = [
        view((down, np.where(late, 8.0, 9.0)), (up, np.where(late, 8.6, -9.0))),
        view((up, 9.0), (down, -1.0)),
    ]
    places = settle(rows)
    assert np.abs(places[0] - down)[np.abs(X_MM - 25) > 4].max() < 0.3
    assert np.abs(places[1] - up).max() < 0.3


def test_nan_stays_nan():
    rows = [view((deep_wave(10, 3), 9)), view((deep_wave(10.5, 3), 9))]
    rows[0].y_mm[300:340] = np.nan
    places = settle(rows)
    assert np.array_equal(np.isnan(places[0]), np.isnan(rows[0].y_mm))


def test_a_steep_stroke_takes_all_places_between_its_neighbours():
    row = view((deep_wave(10, 0), 9))
    place = np.where(X_MM < 25.0, 10.0, 20.0)
    place[600:] = np.nan
    at = np.flatnonzero(X_MM >= 25.0)[0]
    low, high = _stroke_at(row, place, X_MM[[100, at - 1, at, 700]])
    assert np.allclose(low[:3], [10.0, 10.0, 15.0])
    assert np.allclose(high[:3], [10.0, 15.0, 20.0])
    assert np.isnan(low[3])
    assert np.isnan(high[3])
