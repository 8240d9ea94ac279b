"""Our files of format 16 are those that wfdb writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecg_hough.output.format16 import write_format16
from ecg_hough.paper import LEADS

wfdb = pytest.importorskip("wfdb")


@pytest.mark.parametrize("fs", [500, 257])
@pytest.mark.parametrize("comments", [[], ["a line", "Lead aVR: not printed"]])
def test_the_same_bytes_as_wfdb(tmp_path: Path, fs: int, comments: list[str]) -> None:
    rng = np.random.default_rng(0)
    signals = rng.normal(0, 1, (12, 777))
    signals[3] = np.nan
    signals[5, :100] = np.nan
    signals[7] *= 30
    gains = [1000.0] * 12
    gains[7], gains[8] = 271.0, 0.123456789
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
    write_format16(tmp_path / "ours", "a_1", signals, fs, gains, LEADS, comments)
    wfdb.wrsamp(
        "a_1", fs=fs, units=["mV"] * 12, sig_name=list(LEADS), p_signal=signals.T.copy(), fmt=["16"] * 12,
        adc_gain=gains, baseline=[0] * 12, comments=comments, write_dir=str(tmp_path / "theirs"),
    )  # fmt: skip
    for suffix in (".hea", ".dat"):
        ours, theirs = ((tmp_path / folder / f"a_1{suffix}").read_bytes() for folder in ("ours", "theirs"))
        assert ours == theirs, suffix
