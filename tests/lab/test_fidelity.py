"""Clinical measures of generated ECGs whose waves are known, and their agreement."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ecg_hough.output.export import write_signals
from ecg_hough.paper import LEADS
from ecg_hough.render.ecg_model import generate_ecg
from ecg_lab.cli import app
from ecg_lab.fidelity import (
    AMPLITUDES,
    INTERVALS,
    MEASURES,
    bland_altman,
    compare_measures,
    find_beats,
    measure,
    read_pairs,
    store,
)

pytest.importorskip("neurokit2", reason="needs the notebooks extra of the laboratory")
FS = 500
SEED = 3


def printed(signals: np.ndarray) -> np.ndarray:
    """As a 3x4 page with rhythm strip II shows them."""
    out = signals.copy()
    quarter = signals.shape[1] // 4
    for k, lead in enumerate(LEADS):
        if lead != "II":
            out[k, : k // 3 * quarter] = np.nan
            out[k, (k // 3 + 1) * quarter :] = np.nan
    return out


@pytest.fixture(scope="module")
def ecg() -> np.ndarray:
    return generate_ecg(SEED).signals


@pytest.fixture
def folders(tmp_path: Path, ecg: np.ndarray) -> tuple[Path, Path]:
    """Truth: a, b, c. Predictions: a 10 % high, b without chest leads, c missing."""
    signals = printed(ecg)
    for stem in "abc":
        write_signals(tmp_path / "truth" / "clean", stem, signals, FS)
    write_signals(tmp_path / "pred" / "clean", "a", 1.1 * signals, FS)
    limb = signals.copy()
    limb[6:] = np.nan
    write_signals(tmp_path / "pred" / "clean", "b", limb, FS)
    return tmp_path / "pred", tmp_path / "truth"


def test_the_rate_and_the_waves_are_those_of_the_generator() -> None:
    record = generate_ecg(SEED)
    leads = dict(zip(LEADS, record.signals, strict=True))
    found = measure(leads, record.fs)
    assert found["", "HR"] == pytest.approx(record.heart_rate_bpm, rel=0.02)
    # The generator's QRS begins 40 ms before the R peak.
    pr_ms = 1000 * np.median(record.beat_times_s[1:-1] - 0.04 - record.p_times_s[1:-1])
    assert found["", "PR"] == pytest.approx(pr_ms, abs=40)
    assert 60 < found["", "QRS"] < 140
    assert found["", "PR"] < found["", "QT"] < 600
    # Around every R peak is the highest point of lead II.
    peaks = [
        record.signals[1, round(t * FS) - 20 : round(t * FS) + 20].max() for t in record.beat_times_s[1:-1]
    ]
    assert found["II", "R"] == pytest.approx(np.median(peaks), abs=0.15)


def test_amplitudes_follow_the_gain_and_intervals_do_not(ecg: np.ndarray) -> None:
    leads = dict(zip(LEADS, printed(ecg), strict=True))
    once, twice = measure(leads, FS), measure({k: 2 * v + 0.3 for k, v in leads.items()}, FS)
    for name in INTERVALS:
        assert twice["", name] == pytest.approx(once["", name], abs=4.1)
    for lead in ("I", "II", "V2", "V5"):
        for name in AMPLITUDES:
            assert twice[lead, name] == pytest.approx(2 * once[lead, name], abs=0.06)


def test_a_raised_st_segment_is_seen(ecg: np.ndarray) -> None:
    beats = find_beats(ecg[1], FS)
    assert beats is not None
    raised = ecg.copy()
    for j in beats.j[np.isfinite(beats.j)]:
        raised[8, round(j) + 15 : round(j) + 60] += 0.2
    base, other = (measure({"II": s[1], "V3": s[8]}, FS)["V3", "ST"] for s in (ecg, raised))
    assert other - base == pytest.approx(0.2, abs=0.01)


def test_a_gap_in_the_strip_is_bridged_only_when_short(ecg: np.ndarray) -> None:
    short, long = ecg[1].copy(), ecg[1].copy()
    short[2000:2010] = np.nan
    long[1500:3500] = np.nan
    assert find_beats(short, FS) is not None
    assert find_beats(long, FS) is None


@pytest.mark.parametrize("strip", [np.zeros(5000), np.full(5000, np.nan), np.zeros(0)])
def test_no_beats_no_measures(strip: np.ndarray) -> None:
    assert find_beats(strip, FS) is None
    assert measure({"II": strip}, FS) == {}


def test_failures_are_counted_and_not_dropped(folders: tuple[Path, Path]) -> None:
    pairs = compare_measures(*folders)
    assert len(pairs) == 3 * (len(INTERVALS) + 12 * len(AMPLITUDES))
    table = bland_altman(pairs).set_index("measure")
    assert table.loc["HR", ["pairs", "only_true", "neither"]].tolist() == [2, 1, 0]
    assert table.loc["HR", "bias"] == pytest.approx(0.0, abs=0.1)
    amplitudes = pairs[pairs["measure"] == "R"]
    measured = amplitudes["true"].notna().sum()
    # 12 leads of page a and 6 of page b were read.
    assert table.loc["R", "pairs"] == 18 * measured // 36
    assert table.loc["R", ["pairs", "only_true", "only_digitised", "neither"]].sum() == 36
    page_a = amplitudes[(amplitudes["page"] == "a") & amplitudes["true"].notna()]
    np.testing.assert_allclose(page_a["digitised"], 1.1 * page_a["true"], atol=0.03)


def test_bland_altman_limits_are_the_textbooks() -> None:
    pairs = pd.DataFrame({"true": [1.0, 2.0, 3.0, np.nan], "digitised": [1.1, 2.3, 2.9, 1.0]})
    pairs = pairs.assign(method="m", measure="R")
    row = bland_altman(pairs).set_index("measure").loc["R"]
    assert row["bias"] == pytest.approx(0.1)
    assert row["upper"] - row["lower"] == pytest.approx(2 * 1.96 * 0.2)
    assert row["only_digitised"] == 1


def test_other_methods_stay_in_the_files(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "results" / "fidelity.csv"
    store(compare_measures(*folders, method="one"), out)
    pairs = compare_measures(*folders, method="two")
    store(pairs, out)
    agreement = store(pairs, out)
    assert agreement["method"].unique().tolist() == ["one", "two"]
    assert len(read_pairs(out.with_name("fidelity_pairs.csv.gz"))) == 2 * len(pairs)
    assert len(pd.read_csv(out)) == 2 * len(MEASURES)


def test_a_foreign_file_is_not_written_over(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "fidelity_pairs.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    with pytest.raises(ValueError, match="must be a CSV of this command"):
        store(compare_measures(*folders), tmp_path / "fidelity.csv")


def test_command_line(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "fidelity.csv"
    result = CliRunner().invoke(app, ["fidelity", str(folders[0]), str(folders[1]), "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert "QTc" in result.output
    assert out.is_file()
    empty = tmp_path / "empty"
    empty.mkdir()
    result = CliRunner().invoke(app, ["fidelity", str(folders[0]), str(empty), "-o", str(out)])
    assert result.exit_code == 2
    assert "must hold WFDB records" in result.output
