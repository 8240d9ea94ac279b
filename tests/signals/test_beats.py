"""Paper speed from the heart: known rhythms on paper at both speeds."""

import numpy as np
import pytest

from ecg_hough.elements import RowTrace, Window
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.signals.beats import FIFTY_MIN, beat_lengths, fifty_odds


def rows_on_paper(seed: int, speed_mm_s: float) -> tuple[tuple[RowTrace, ...], tuple[Window, ...]]:
    """Six leads, each in a row of its own."""
    ecg = generate_ecg(seed)
    rows, windows = [], []
    for k, lead in enumerate(("I", "II", "III", "aVR", "aVL", "aVF")):
        x = np.arange(ecg.signals.shape[1]) / ecg.fs * speed_mm_s
        x = x[x < 250.0]
        y = 30.0 * k - 10.0 * ecg.signals[k, : len(x)]
        rows.append(RowTrace(k, x + 12.0, y, np.full(len(x), 0.1), np.ones(len(x))))
        windows.append(Window(lead, k, 0, False, 12.0, 12.0 + float(x[-1])))
    return tuple(rows), tuple(windows)


def test_most_made_up_hearts_show_the_speed():
    odds = {speed: [fifty_odds(*rows_on_paper(seed, speed)) for seed in range(8)] for speed in (25.0, 50.0)}
    assert max(odds[25.0]) < FIFTY_MIN
    assert np.mean([value > 1.5 for value in odds[50.0]]) >= 0.7
    assert max(odds[50.0]) >= FIFTY_MIN
    assert np.mean([a < b for a, b in zip(odds[25.0], odds[50.0], strict=True)]) > 0.8


def test_the_distance_of_beats_is_measured():
    x = np.arange(0, 200, 0.25)
    spikes = sum(np.exp(-0.5 * ((x - at) / 0.6) ** 2) for at in np.arange(5, 200, 20.0))
    _, beat, _ = np.exp(beat_lengths([10.0 * spikes]))
    assert beat == pytest.approx(20.0, abs=0.5)


def test_a_page_without_trace_gives_no_odds():
    rows, windows = rows_on_paper(0, 25.0)
    empty = tuple(
        RowTrace(r.row_index, r.x_mm, np.full_like(r.y_mm, np.nan), r.sd_mm, r.presence) for r in rows
    )
    assert fifty_odds(empty, windows) is None
