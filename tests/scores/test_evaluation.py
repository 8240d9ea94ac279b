"""Evaluation of two small WFDB folders whose errors are known."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from ecg_hough.output.read_back import read_leads, resample_lead
from ecg_hough.paper import LEADS
from ecg_hough.scores.evaluation import evaluate, without_nan

FS = 250
SECONDS = 4.0


def page_signals(fs: int = FS) -> NDArray[np.float64]:
    """(12, N) mV: II over the whole page, the others in their quarter of a 3x4 layout."""
    t = np.arange(round(SECONDS * fs)) / fs
    beats = sum(np.exp(-(((t - at) / 0.02) ** 2)) for at in (0.35, 1.3, 2.2, 3.45))
    signals = np.stack([(1.0 + 0.05 * k) * beats + 0.05 * np.sin(t + k) for k in range(12)])
    for k, lead in enumerate(LEADS):
        if lead != "II":
            signals[k, (t < k // 3 * 1.0) | (t >= k // 3 * 1.0 + 1.0)] = np.nan
    return signals


def write(
    folder: Path, stem: str, signals: NDArray[np.float64], fs: int = FS, leads: tuple[str, ...] = LEADS
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    n = len(leads)
    wfdb.wrsamp(
        stem,
        fs=fs,
        units=["mV"] * n,
        sig_name=list(leads),
        p_signal=signals.T,
        fmt=["16"] * n,
        adc_gain=[5000.0] * n,
        baseline=[0] * n,
        write_dir=str(folder),
    )


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Truth: clean/a, clean/b, worn/c. Predictions: a 10 % high, b lacks V6 and half of V5, c missing."""
    signals = page_signals()
    for profile, stem in (("clean", "a"), ("clean", "b"), ("worn", "c")):
        write(tmp_path / "truth" / profile, stem, signals)
    write(tmp_path / "pred" / "clean", "a", 1.1 * signals)
    partly = 1.1 * signals
    printed = np.flatnonzero(np.isfinite(signals[10]))
    partly[10, printed[: int(0.6 * printed.size)]] = np.nan
    write(tmp_path / "pred" / "clean", "b", partly[:11], leads=LEADS[:11])
    return tmp_path / "pred", tmp_path / "truth"


def test_known_errors_are_found(folders: tuple[Path, Path]) -> None:
    result = evaluate(*folders)
    table = result.leads.set_index(["profile", "page", "lead"])
    assert len(table) == 36
    a = table.loc[("clean", "a")]
    np.testing.assert_allclose(a["unaligned_snr_db"], 20.0, atol=0.1)
    np.testing.assert_allclose(a["gain_error"], 0.1, atol=0.002)
    np.testing.assert_allclose(a["pearson_r"], 1.0, atol=1e-4)
    np.testing.assert_allclose(a["timing_error_s"], 0.0, atol=0.001)
    assert a["found"].all()
    assert a.loc["II", "coverage"] == 1.0
    assert np.isnan(a["dice"]).all()


def test_missing_channel_is_zeros_and_a_half_read_lead_is_not_found(folders: tuple[Path, Path]) -> None:
    b = evaluate(*folders, workers=1).leads.set_index(["profile", "page", "lead"]).loc[("clean", "b")]
    assert list(b.index[~b["found"].to_numpy(dtype=bool)]) == ["V5", "V6"]
    assert b.loc["V5", "coverage"] == pytest.approx(0.4, abs=0.01)
    assert b.loc["V6", "coverage"] == 0.0
    assert b.loc["V6", "unaligned_snr_db"] == 0.0
    assert 0.0 <= b.loc["V6", "challenge_snr_db"] < 3.0
    assert np.isnan(b.loc["V6", ["rmse_mv", "gain_error"]].to_numpy(dtype=float)).all()


def test_missing_page_scores_zero_and_is_listed(folders: tuple[Path, Path]) -> None:
    result = evaluate(*folders)
    assert result.missing == {"worn/c": "no record"}
    worn = result.leads[result.leads["profile"] == "worn"]
    assert (worn["challenge_snr_db"] == 0.0).all()
    assert not worn["found"].any()
    pages = result.pages.set_index("page")
    assert pages.loc["c", "kaggle_ratio"] == 0.0
    assert pages.loc["a", "kaggle_ratio"] > 90.0


def test_unreadable_prediction_is_listed_with_its_reason(folders: tuple[Path, Path]) -> None:
    predictions, truth = folders
    (predictions / "worn").mkdir()
    (predictions / "worn" / "c.hea").write_text("c 12 250 1000\nc.dat 16 1000/mV 16 0 0 0 0 I\n")
    assert evaluate(predictions, truth).missing["worn/c"].startswith("cannot be read")


def test_another_fs_and_length(tmp_path: Path) -> None:
    write(tmp_path / "truth", "a", page_signals())
    write(tmp_path / "pred", "a", 1.1 * page_signals(500)[:, :-4], fs=500)
    result = evaluate(tmp_path / "pred", tmp_path / "truth")
    assert (result.leads["profile"] == "").all()
    assert result.leads["found"].all()
    np.testing.assert_allclose(result.leads["unaligned_snr_db"], 20.0, atol=1.0)


def test_resampling_keeps_gaps_and_values() -> None:
    t = np.arange(2000) / 500
    lead = np.sin(2.0 * np.pi * 3.0 * t) + 1.0
    lead[500:1000] = np.nan
    for fs in (250.0, 512.0, 1000.0):
        new = resample_lead(lead, 500.0, fs)
        at = np.arange(new.size) / fs
        assert new.size == 4 * fs
        assert np.isnan(new[(at > 1.002) & (at < 1.997)]).all()
        inside = ((at > 0.1) & (at < 0.9)) | ((at > 2.1) & (at < 3.9))
        np.testing.assert_allclose(new[inside], np.sin(2.0 * np.pi * 3.0 * at[inside]) + 1.0, atol=0.01)
    assert np.isnan(resample_lead(np.full(10, np.nan), 500.0, 250.0)).all()


def test_dice_only_where_both_label_maps_lie(folders: tuple[Path, Path]) -> None:
    labels = np.zeros((4, 4), dtype=np.uint8)
    labels[0] = 1
    half = labels.copy()
    half[0, 2:] = 0
    for folder, image in zip(folders, (half, labels), strict=True):
        cv2.imwrite(str(folder / "clean" / "a.labels.png"), image)
    leads = evaluate(*folders).leads
    a = leads[(leads["page"] == "a")].set_index("lead")["dice"]
    assert a["I"] == pytest.approx(2.0 * 2.0 / 6.0)
    assert np.isnan(a["II"])
    f1 = leads[(leads["page"] == "a")].set_index("lead")["mask_f1"]
    assert f1["I"] == 1.0  # the other half lies within the tolerance
    assert leads.loc[leads["page"] == "b", "dice"].isna().all()


def test_outputs(folders: tuple[Path, Path], tmp_path: Path) -> None:
    import pandas as pd
    from rich.console import Console

    result = evaluate(*folders)
    result.to_csv(tmp_path / "leads.csv")
    result.to_json(tmp_path / "summary.json")
    result.plot(tmp_path / "figure.png")
    assert len(pd.read_csv(tmp_path / "leads.csv")) == 36
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["profiles"]["worn"]["challenge_snr_db"] == 0.0
    assert summary["profiles"]["worn"]["kaggle_db"] is None
    assert summary["profiles"]["clean"]["pages"] == 2
    assert set(summary["leads"]) == set(LEADS)
    assert cv2.imread(str(tmp_path / "figure.png")) is not None
    console = Console(width=120, record=True, quiet=False, file=(tmp_path / "table.txt").open("w"))
    console.print(result.table())
    assert "worn" in console.export_text()


def test_bad_arguments(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    with pytest.raises(ValueError, match="predictions must be a folder"):
        evaluate(tmp_path / "none", tmp_path / "truth")
    with pytest.raises(ValueError, match="must hold WFDB records"):
        evaluate(tmp_path / "truth", tmp_path / "truth")
    with pytest.raises(ValueError, match="workers must be at least 1"):
        evaluate(tmp_path, tmp_path, workers=0)


def test_names_get_their_usual_case_and_units_are_checked(tmp_path: Path) -> None:
    write(tmp_path, "a", page_signals()[:2], leads=("AVR", "ii"))
    leads, fs = read_leads(tmp_path / "a")
    assert (list(leads), fs) == (["aVR", "II"], 250.0)
    header = tmp_path / "a.hea"
    header_text = header.read_text()
    header.write_text(header_text.replace("/mV", "/uV"))
    with pytest.raises(ValueError, match="units must be mV"):
        read_leads(tmp_path / "a")
    header.rename(tmp_path / "a+1.hea").write_text(header_text.replace("a 2", "a+1 2"))
    with pytest.raises(ValueError, match=r"a\+1\.hea must be a WFDB header"):
        read_leads(tmp_path / "a+1")


def test_json_values() -> None:
    assert without_nan({"a": [float("nan"), np.float64(1.0), np.int64(2)], "b": float("-inf")}) == {
        "a": [None, 1.0, 2],
        "b": None,
    }
