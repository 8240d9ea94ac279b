"""Chapman-Shaoxing: signals behind a MATLAB header."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_hough.datasets import read_records
from ecg_hough.paper import LEADS
from made_up_records import FS, made_up_signals


def write_chapman(stem: Path, signals: NDArray[np.float64]) -> None:
    """As on PhysioNet: a MATLAB 4 file of int16 (12, N), read by WFDB as format 16 after 24 bytes."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    counts = np.rint(1000 * signals).astype("<i2")
    head = np.array([30, 12, counts.shape[1], 0, 4], "<i4").tobytes() + b"val\0"
    stem.with_suffix(".mat").write_bytes(head + counts.T.tobytes())
    lines = [f"{stem.name} 12 {FS} {counts.shape[1]} 23-Mar-2021 20:20:47"]
    for lead, row in zip(LEADS, counts, strict=True):
        checksum = int(row.astype(np.int64).sum()) & 0xFFFF
        lines.append(f"{stem.name}.mat 16+24 1000/mV 16 0 {row[0]} {checksum} 0 {lead}")
    lines += ["#Age: 85", "#Sex: Male", "#Dx: 164889003,59118001", "#Rx: Unknown"]
    stem.with_suffix(".hea").write_text("\n".join(lines) + "\n")


def test_chapman_records_are_read_behind_the_matlab_header(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "WFDBRecords" / "01" / "010"
    write_chapman(place / "JS00001", made_up_signals(3))
    write_chapman(place / "JS00002", made_up_signals(4))
    (place / "JS00002.mat").unlink()
    with caplog.at_level(logging.WARNING):
        (record,) = read_records("chapman", tmp_path)
    assert "JS00002" in caplog.text
    assert (record.record_id, record.patient_id) == ("JS00001", "JS00001")
    assert record.labels == ("164889003", "59118001")
    np.testing.assert_allclose(record.reference().signals, made_up_signals(3), atol=1e-9)
