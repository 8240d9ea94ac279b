"""Reading records: names in their usual case, NaN kept, and plain errors for what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecg_hough.output.export import write_signals
from ecg_hough.output.read_back import read_leads, record_stems, resample_lead
from ecg_hough.paper import LEADS


def write(folder: Path, name: str, signals: np.ndarray, names: list[str], units: str = "mV") -> Path:
    """A record as other programs write it."""
    wfdb.wrsamp(
        name,
        fs=250,
        units=[units] * len(names),
        sig_name=names,
        p_signal=signals.T,
        fmt=["16"] * len(names),
        write_dir=str(folder),
    )
    return folder / name


def test_what_we_write_is_read_back(tmp_path: Path) -> None:
    signals = np.random.default_rng(0).normal(size=(12, 400))
    signals[3] = np.nan
    signals[5, :100] = np.nan
    write_signals(tmp_path, "a", signals, 500)
    leads, fs = read_leads(tmp_path / "a")
    assert fs == 500.0
    assert tuple(leads) == LEADS
    read = np.array(list(leads.values()))
    np.testing.assert_array_equal(np.isnan(read), np.isnan(signals))
    np.testing.assert_allclose(read, signals, atol=0.0005 + 1e-9)


def test_names_get_their_usual_case(tmp_path: Path) -> None:
    stem = write(tmp_path, "a", np.zeros((3, 10)), ["i", "AVR", "pleth"])
    assert list(read_leads(stem)[0]) == ["I", "aVR", "pleth"]


def test_records_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="units must be mV; got \\['uV'\\] in a"):
        read_leads(write(tmp_path, "a", np.zeros((1, 10)), ["I"], units="uV"))
    with pytest.raises(ValueError, match="names of signals must differ; got II twice in b"):
        read_leads(write(tmp_path, "b", np.zeros((2, 10)), ["II", "ii"]))
    (tmp_path / "c.hea").write_text("no header\n")
    with pytest.raises(ValueError, match=r"c\.hea must be a WFDB header"):
        read_leads(tmp_path / "c")


def test_stems_of_the_truth(tmp_path: Path) -> None:
    for folder in ("predicted", "true/clean"):
        (tmp_path / folder).mkdir(parents=True)
    predicted, true = tmp_path / "predicted", tmp_path / "true"
    with pytest.raises(ValueError, match="got none"):
        record_stems(predicted, true)
    with pytest.raises(ValueError, match="predictions must be a folder"):
        record_stems(tmp_path / "nowhere", true)
    write(true / "clean", "b", np.zeros((1, 10)), ["I"])
    write(true, "a", np.zeros((1, 10)), ["I"])
    assert record_stems(predicted, true) == [Path("a"), Path("clean/b")]


def test_resampling_keeps_shape_and_gaps() -> None:
    t = np.arange(1000) / 500
    lead = np.sin(2 * np.pi * 3 * t)
    lead[400:600] = np.nan
    slow = resample_lead(lead, 500, 250)
    assert slow.size == 500
    assert np.isnan(slow[202:298]).all()
    known = np.isfinite(slow)
    assert known.sum() == 400
    assert np.abs(slow[known] - np.sin(2 * np.pi * 3 * np.arange(500) / 250)[known]).max() < 0.02
    assert resample_lead(lead, 500, 500) is lead
    assert np.isnan(resample_lead(np.full(10, np.nan), 500, 250)).all()
