"""PTB-Image: scans and the records they are named after."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from ecg_hough.datasets import read_pages
from ecg_hough.paper import LEADS
from made_up_records import FS, made_up_signals, write_image, write_record


def test_ptb_image_pairs_scans_with_ptb_records(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = (*(lead.lower() for lead in LEADS), "vx", "vy", "vz")
    signals = np.vstack([made_up_signals(), np.zeros((3, 10 * FS))])
    write_record(tmp_path / "ptbdb" / "patient001" / "s0010_re", signals, names)
    write_record(tmp_path / "ptbdb" / "patient002" / "s0015lre", signals, names)
    write_image(tmp_path / "images" / "s0010_re.png")
    write_image(tmp_path / "images" / "s0015lre_scan.png")
    write_image(tmp_path / "images" / "s0500_re.png")
    with caplog.at_level(logging.WARNING):
        first, second, third = read_pages("ptb-image", tmp_path)
    assert (first.record_id, first.patient_id) == ("s0010_re", "patient001")
    assert (second.record_id, second.patient_id) == ("s0015lre", "patient002")
    np.testing.assert_allclose(first.reference().signals, made_up_signals(), atol=1e-9)
    assert third.load_reference is None
    assert "no record s0500_re" in caplog.text
    with pytest.raises(ValueError, match="gives none for images_s0500_re"):
        third.reference()
