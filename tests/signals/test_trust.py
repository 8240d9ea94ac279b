"""What speaks for a lead, and the model that weighs it."""

import json

import numpy as np
import pytest

from ecg_hough.elements import PulsePlace, RowTrace, Window
from ecg_hough.record import LeadStatus
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.signals import trust

FS = 500


def beats(n_leads=12, seconds=10.0):
    """Leads of equal beats, one a second."""
    t = np.arange(int(seconds * FS)) / FS
    shape = np.exp(-(((t % 1.0 - 0.5) / 0.015) ** 2)) - 0.3 * np.exp(-(((t % 1.0 - 0.54) / 0.02) ** 2))
    return np.outer(np.linspace(0.5, 2.0, n_leads), shape)


def test_a_beat_that_one_lead_lost_is_told_from_one_that_all_leads_show():
    signals = beats()
    assert trust.beat_outliers(signals, FS).max() < 0.1
    extrasystole = signals.copy()
    extrasystole[:, 4 * FS : 5 * FS] *= 2.0
    assert trust.beat_outliers(extrasystole, FS).max() < 0.2
    cut = signals.copy()
    cut[7, 6 * FS : 7 * FS] = np.minimum(cut[7, 6 * FS : 7 * FS], 0.3)
    off = trust.beat_outliers(cut, FS)
    assert off[7] > 0.7
    assert np.delete(off, 7).max() < 0.2


def test_beats_of_unread_leads_do_not_count():
    signals = beats()
    signals[3] = np.nan
    assert trust.beat_outliers(signals, FS)[3] == 0.0
    assert not trust.beat_outliers(np.full((12, 100), np.nan), FS).any()


def test_qrs_complexes_are_spiky_other_waves_are_not():
    t = np.arange(10 * FS) / FS
    ecg = trust.spikiness(generate_ecg(3).signals[:, : 10 * FS])
    pulse = trust.spikiness(np.tile(np.sin(2 * np.pi * 1.2 * t), (12, 1)))
    noise = trust.spikiness(np.random.default_rng(0).normal(size=(12, 10 * FS)).cumsum(axis=1))
    assert ecg > 2.0 > max(pulse, noise)
    assert trust.spikiness(np.full((12, 50), np.nan)) == 0.0


def test_shares_of_meeting_rows_and_of_traces_outside_panels():
    x = np.arange(0.0, 100.0, 0.1)
    flat = np.full(x.size, 50.0)
    rows = tuple(
        RowTrace(k, x, y, flat, flat) for k, y in enumerate((flat, flat + np.where(x < 25, 1.0, 20.0)))
    )
    window = Window("I", 0, 0, False, 0.0, 100.0)
    assert trust._meets(rows[0], window, rows) == pytest.approx(np.sqrt(0.25), abs=0.01)
    windows = (window, Window("II", 1, 0, False, 0.0, 50.0))
    assert trust._outside(rows, windows, None) == pytest.approx(0.25, abs=0.01)
    pulse = PulsePlace(70.0, 80.0, {})  # with its feet, as wide as itself, from 60 to 90
    assert trust._outside(rows, windows, pulse) == pytest.approx(20 / 140, abs=0.01)


def test_a_model_is_read_from_its_file_and_sets_the_status(tmp_path):
    path = tmp_path / "model.json"
    part = {"features": ["a", "b"], "mean": [0.0, 1.0], "sd": [1.0, 2.0], "weights": [1.0, -1.0], "bias": 0.5}
    other = {"features": ["b"], "mean": [0.0], "sd": [1.0], "weights": [0.0], "bias": 2.0}
    made = {"parts": {"layout": part, "time": other}, "calibration": [2.0, 0.25], "limit": 0.9}
    path.write_text(json.dumps(made))
    model = trust.TrustModel.read(path)
    p = model.probability([{"a": 0.0, "b": 1.0}, {"a": 3.0, "b": 1.0}, {"a": 0.0, "b": 9.0}])
    product = 1 / (1 + np.exp([-0.5, -3.5, 3.5])) / (1 + np.exp(-2.0))
    assert p == pytest.approx(1 / (1 + np.exp(-2.0 * np.log(product / (1 - product)) - 0.25)))
    found, lost = LeadStatus("I", True, None, 0.9, 0.0, 2.5), LeadStatus("II", False, "not printed")
    assert [trust._judged(found, float(one), model.limit).status for one in p] == ["check", "ok", "check"]
    assert trust._judged(lost, 0.99, model.limit).status == "unreadable"
    assert np.isnan(trust._judged(lost, 0.99, model.limit).probability)


def test_a_model_names_what_speaks_most_against_a_lead():
    part = trust.LogisticModel(("a", "b"), np.zeros(2), np.ones(2), np.array([1.0, -1.0]), 0.0)
    other = trust.LogisticModel(("c",), np.zeros(1), np.ones(1), np.array([5.0]), 0.0)
    model = trust.TrustModel({"layout": part, "time": other})
    assert model.against({"a": -1.0, "b": 2.0, "c": 1.0}) == ("b", "a")
    assert model.against({"a": -1.0, "b": 2.0, "c": -1.0}, 2) == ("c", "b")


def test_leads_that_repeat_one_signal_are_alike():
    rng = np.random.default_rng(0)
    one = rng.normal(size=500).cumsum()
    assert trust.likeness(np.array([one, 2.0 * one, 0.5 * one])) > 6.0
    assert trust.likeness(rng.normal(size=(3, 500))) < 0.2
    apart = np.full((2, 500), np.nan)
    apart[0, :250], apart[1, 250:] = one[:250], one[250:]
    assert trust.likeness(apart) == 0.0


def test_a_clipped_wave_has_a_flat_top():
    x = np.arange(0.0, 60.0, 0.1)
    wave = 12.0 * np.exp(-0.5 * ((x - 30.0) / 1.0) ** 2)
    window, mask = Window("I", 0, 0, False, 0.0, 60.0), np.ones(x.size)
    pointed, cut = (RowTrace(0, x, 50.0 - np.minimum(wave, top), mask, mask) for top in (12.0, 6.0))
    assert trust._flat_top(pointed, window) < 0.6
    assert trust._flat_top(cut, window) > 1.2
    assert trust._flat_top(RowTrace(0, x, np.full(x.size, 50.0), mask, mask), window) == pytest.approx(
        -np.log(1.05)
    )


def test_the_expected_snr_follows_the_expected_errors():
    signal = np.sin(np.linspace(0.0, 20.0, 500))
    assert trust._expected_snr(signal, np.full(500, 0.1)) == pytest.approx(1.7, abs=0.1)
    assert trust._expected_snr(signal, np.full(500, 1e-6)) == 4.0


@pytest.mark.parametrize("path", [trust.LEADS_MODEL, trust.PAGE_MODEL])
def test_shipped_models_say_how_they_were_made(path):
    made = json.loads(path.read_text())
    model = trust.shipped_model(path)
    assert made["command"].startswith("ecg-lab fit-trust")
    for part in model.parts.values():
        assert len(part.features) == len(part.weights) == len(part.mean) == len(part.sd)
    assert 0.0 < model.limit < 1.0
    assert made["held_out"]["brier"] < 0.25


def test_probabilities_that_are_known_multiply_the_others():
    part = trust.LogisticModel(("a",), np.zeros(1), np.ones(1), np.ones(1), 2.0)
    model = trust.TrustModel({"lead": part})
    alone, with_order, with_both = model.probability(
        [
            {"a": 0.0},
            {"a": 0.0, trust.RIGHT_ORDER: 0.6},
            {"a": 0.0, trust.RIGHT_ORDER: 0.6, trust.RIGHT_GAIN: 0.5},
        ]
    )
    assert with_order == pytest.approx(0.6 * alone)
    assert with_both == pytest.approx(0.3 * alone)
