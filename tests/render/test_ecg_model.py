import time

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from ecg_hough.paper import LEADS
from ecg_hough.render.ecg_model import MAX_WAVE_MV, RHYTHMS, GeneratedEcg, generate_ecg

LEAD = {name: k for k, name in enumerate(LEADS)}


def count_beats(ecg: GeneratedEcg) -> int:
    """QRS complexes by the energy of the slope over all leads, as an R-peak detector does."""
    box = round(0.02 * ecg.fs)
    smooth = uniform_filter1d(ecg.signals, box, axis=1)
    energy = np.sqrt(uniform_filter1d((np.diff(smooth, axis=1) ** 2).sum(axis=0), round(0.12 * ecg.fs)))
    # Ectopic beats are wide: their slopes are far below those of the beats between them.
    least = 0.2 if ecg.rhythm == "premature ventricular complexes" else 0.3
    peaks, _ = find_peaks(energy, height=least * np.percentile(energy, 99), distance=round(0.3 * ecg.fs))
    return len(peaks)


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_limb_leads_follow_einthoven_and_goldberger_exactly(rhythm: str) -> None:
    signals = generate_ecg(5, rhythm=rhythm).signals
    one, two, three, avr, avl, avf = signals[:6]
    np.testing.assert_array_equal(three, two - one)
    np.testing.assert_array_equal(avr, -(one + two) / 2)
    np.testing.assert_array_equal(avl, one - two / 2)
    np.testing.assert_array_equal(avf, two - one / 2)
    assert np.abs(avr + avl + avf).max() < 1e-12


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_amplifiers_pass_no_direct_current(rhythm: str) -> None:
    assert np.abs(generate_ecg(6, rhythm=rhythm).signals.mean(axis=1)).max() < 1e-12


@pytest.mark.parametrize("rhythm", RHYTHMS)
@pytest.mark.parametrize("seed", range(5))
def test_values_are_finite_and_physiologic(rhythm: str, seed: int) -> None:
    ecg = generate_ecg(seed, rhythm=rhythm)
    assert ecg.signals.shape == (12, 5000)
    assert ecg.rhythm == rhythm
    assert rhythm in ecg.description
    assert np.isfinite(ecg.signals).all()
    peak = np.abs(ecg.signals).max()
    assert peak < MAX_WAVE_MV + 0.8  # the limit is without noise and baseline wander
    assert (peak < 0.6) if rhythm == "asystole" else (peak > 0.15)


@pytest.mark.parametrize("rhythm", [None, *RHYTHMS])
def test_same_seed_same_record(rhythm: str | None) -> None:
    first, again, other = (generate_ecg(seed, rhythm=rhythm) for seed in (8, 8, 9))
    np.testing.assert_array_equal(first.signals, again.signals)
    assert first.description == again.description
    assert not np.array_equal(first.signals, other.signals)


@pytest.mark.parametrize("rhythm", [r for r in RHYTHMS if r != "asystole"])
@pytest.mark.parametrize("seed", range(4))
def test_heart_rate_is_the_one_stated(rhythm: str, seed: int) -> None:
    ecg = generate_ecg(seed, rhythm=rhythm, seconds=20.0)
    assert abs(count_beats(ecg) - len(ecg.beat_times_s)) <= 1
    assert ecg.heart_rate_bpm == pytest.approx(60 / np.diff(ecg.beat_times_s).mean())
    assert f"{ecg.heart_rate_bpm:.0f}/min" in ecg.description


@pytest.mark.parametrize(
    ("rhythm", "low", "high"),
    [("sinus bradycardia", 30, 60), ("sinus rhythm", 56, 103), ("sinus tachycardia", 98, 170)],
)
def test_sinus_rates_are_in_their_range(rhythm: str, low: float, high: float) -> None:
    rates = [generate_ecg(seed, rhythm=rhythm).heart_rate_bpm for seed in range(20)]
    assert low < min(rates)
    assert max(rates) < high


def p_wave_mv(ecg: GeneratedEcg) -> float:
    """Height of the beat-locked mean of lead II before the QRS, against its ends."""
    window = np.arange(round(-0.22 * ecg.fs), round(-0.05 * ecg.fs))
    starts = np.rint(ecg.beat_times_s[2:-1] * ecg.fs).astype(int)
    mean = ecg.signals[LEAD["II"]][starts[:, None] + window].mean(axis=0)
    line = np.linspace(mean[:5].mean(), mean[-5:].mean(), len(mean))
    return float((mean - line).max())


def test_p_waves_are_absent_in_fibrillation() -> None:
    def typical(rhythm: str) -> float:
        return float(np.median([p_wave_mv(generate_ecg(s, rhythm=rhythm, seconds=30.0)) for s in range(15)]))

    assert typical("sinus rhythm") > 0.06
    assert typical("atrial fibrillation") < 0.03
    assert len(generate_ecg(1, rhythm="atrial fibrillation").p_times_s) == 0
    sinus = generate_ecg(1, rhythm="sinus rhythm")
    assert abs(len(sinus.p_times_s) - len(sinus.beat_times_s)) <= 1


def test_fibrillation_is_irregular_and_sinus_rhythm_is_not() -> None:
    def variation(rhythm: str) -> float:
        rr = np.diff(generate_ecg(3, rhythm=rhythm, seconds=30.0).beat_times_s)
        return float(rr.std() / rr.mean())

    assert variation("atrial fibrillation") > 0.1
    assert variation("sinus rhythm") < 0.04
    assert variation("sinus arrhythmia") > 0.05


def test_wenckebach_drops_beats_and_first_degree_block_is_slow_to_conduct() -> None:
    wenckebach = generate_ecg(2, rhythm="Wenckebach block", seconds=20.0)
    assert len(wenckebach.p_times_s) > 1.15 * len(wenckebach.beat_times_s)
    block = generate_ecg(2, rhythm="first-degree AV block")
    before = block.p_times_s[block.p_times_s < block.beat_times_s[-1]][-1]
    assert block.beat_times_s[-1] - before > 0.22


def test_r_wave_grows_across_the_chest() -> None:
    ratios = []
    for seed in range(30):
        ecg = generate_ecg(seed, rhythm="sinus rhythm")
        if "right" in ecg.description:
            continue
        r, s = ecg.signals.max(axis=1), -ecg.signals.min(axis=1)
        ratios.append([r[LEAD[v]] / (r[LEAD[v]] + s[LEAD[v]]) for v in ("V1", "V3", "V5")])
    v1, v3, v5 = np.median(ratios, axis=0)
    assert v1 < v3 < v5


def test_sampling_frequency_changes_the_sampling_only() -> None:
    coarse, fine = (generate_ecg(4, rhythm="paced rhythm", fs=fs) for fs in (250, 1000))
    assert coarse.signals.shape == (12, 2500)
    assert fine.signals.shape == (12, 10000)
    np.testing.assert_allclose(coarse.beat_times_s, fine.beat_times_s)
    assert generate_ecg(4, seconds=2.5).signals.shape == (12, 1250)


def test_it_is_quick() -> None:
    generate_ecg(0)
    start = time.process_time()
    for seed in range(10):
        generate_ecg(seed)
    assert (time.process_time() - start) / 10 < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rhythm": "waltz"}, "rhythm must be one of .* got 'waltz'"),
        ({"fs": 50}, "fs must be 100 Hz or more; got 50"),
        ({"seconds": 0.0}, "seconds must be positive.* got 0.0"),
        ({"seconds": float("nan")}, "seconds must be positive.* got nan"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate_ecg(0, **arguments)
