"""Pages whose rows cross: drawn as they say, and wrong waves are counted, late or missing ones are not."""

import numpy as np
import pytest

from ecg_lab.crossing_pages import CHOICES, beat_times, compare_beats, crossing_page
from made_up_ecg import made_up_ecg

FS = 500


@pytest.fixture(scope="module")
def lead():
    return made_up_ecg(FS).signals


def test_rows_are_close_and_waves_high():
    ecg = made_up_ecg(FS)
    choice = {name: values[0] for name, values in CHOICES.items()}
    page = crossing_page(np.nan_to_num(ecg.signals), FS, choice, seed=5)
    assert 15 <= page.style["sheet"]["row_pitch_mm"] <= 20
    reach = np.array([np.ptp(panel.mv) for panel in page.panels])
    assert (reach > 3.0).any()
    assert reach.max() < 13.0


def test_a_neighbours_wave_is_wrong_and_a_gap_or_a_shift_is_not(lead):
    true = np.nan_to_num(lead)
    beats = beat_times(true, FS)
    assert beats.size >= 5
    reference = true[1]
    same = compare_beats(reference, reference + 0.2, beats, FS)
    assert len(same) >= 5
    assert not any(beat["wrong"] for beat in same)
    late = compare_beats(reference, np.roll(reference, 15), beats, FS)
    assert not any(beat["wrong"] for beat in late)
    at = round(beats[2] * FS)
    other = reference.copy()
    other[at - 10 : at + 10] += 1.5
    assert [beat["wrong"] for beat in compare_beats(reference, other, beats, FS)].count(True) == 1
    cut = np.minimum(reference, np.median(reference) + 0.2 * np.ptp(reference))
    assert all(beat["wrong"] for beat in compare_beats(reference, cut, beats, FS) if beat["height_mv"] > 0.8)
    gap = reference.copy()
    gap[at - 30 : at + 40] = np.nan
    missing = compare_beats(reference, gap, beats, FS)
    assert not any(beat["wrong"] for beat in missing)
    assert min(beat["read"] for beat in missing) < 0.98
