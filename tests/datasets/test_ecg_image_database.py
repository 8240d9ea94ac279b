"""ECG-Image-Database: kinds of images, and records cut to what the page shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecg_hough.datasets import read_pages
from made_up_ecg import as_printed
from made_up_records import made_up_signals, write_image, write_record


def test_ecg_image_database_cuts_the_record_to_the_page(tmp_path: Path) -> None:
    write_record(tmp_path / "records" / "00001_hr", made_up_signals())
    for kind in ("0001", "0003", "0099"):
        write_image(tmp_path / "images" / f"00001_hr-{kind}.png")
    pages = list(read_pages("ecg-image-database", tmp_path))
    assert [page.profile for page in pages] == ["rendered", "colour scan", "0099"]
    assert {page.record_id for page in pages} == {"00001_hr"}
    np.testing.assert_allclose(pages[1].reference().signals, as_printed(made_up_signals()), atol=1e-9)
