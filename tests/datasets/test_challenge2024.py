"""Challenge 2024: headers that name images, with and without signals."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from ecg_hough.datasets import read_pages
from ecg_hough.datasets.challenge2024 import LABELS, header_values
from made_up_records import made_up_signals, write_image, write_record


def write_challenge(folder: Path, *, hidden: bool) -> None:
    """Two records; of hidden ones only images and headers without checksums are given."""
    write_record(folder / "00001_hr", made_up_signals(), comments=["Age: 56", "Labels: NORM, BRADY"])
    header = folder / "00001_hr.hea"
    header.write_text(header.read_text() + "# Image: 00001_hr-0.png, 00001_hr-1.png\n")
    write_image(folder / "00001_hr-0.png")
    write_image(folder / "00001_hr-1.png")
    (folder / "00002_hr.hea").write_text("00002_hr 0 100 1000\n# Image: gone.png\n")
    if hidden:
        first, *lines = header.read_text().splitlines()
        signal_lines = [" ".join([*line.split()[:5], "", "", "", line.split()[8]]) for line in lines[:12]]
        header.write_text("\n".join([first, *signal_lines, lines[-1]]) + "\n")
        (folder / "00001_hr.dat").unlink()


def test_challenge_headers_name_images_and_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_challenge(tmp_path, hidden=False)
    with caplog.at_level(logging.WARNING):
        pages = list(read_pages("challenge2024", tmp_path))
    assert [page.page_id for page in pages] == ["00001_hr-0", "00001_hr-1"]
    assert pages[0].labels == ("NORM", "BRADY")
    np.testing.assert_allclose(pages[0].reference().signals, made_up_signals(), atol=1e-9)
    assert "gone.png, which is not there" in caplog.text


def test_challenge_headers_without_signals(tmp_path: Path) -> None:
    write_challenge(tmp_path, hidden=True)
    pages = list(read_pages("challenge2024", tmp_path))
    assert len(pages) == 2
    assert all(page.load_reference is None and page.labels == () for page in pages)


def test_header_values_of_both_phases() -> None:
    text = "a 1 2 3\n#Dx: NORM, CD\n# Labels: \n#Image: b.png\n# Image: c.png, d.png\n"
    assert header_values(text, "Labels", "Dx") == ["NORM", "CD"]
    assert header_values(text, "Image") == ["b.png", "c.png", "d.png"]
    assert len(LABELS) == 11
