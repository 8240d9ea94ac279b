"""The Kaggle contest: train pages, and the answers wanted for the test pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecg_hough.datasets import read_pages
from ecg_hough.datasets.kaggle import read_test
from ecg_hough.paper import LEADS
from made_up_ecg import as_printed
from made_up_records import FS, made_up_signals, write_csv, write_image


def test_kaggle_train_pages(tmp_path: Path) -> None:
    signals = as_printed(made_up_signals())
    write_csv(tmp_path / "train.csv", [{"id": "77", "fs": FS, "sig_len": signals.shape[1]}])
    rows = [
        {lead: "" if np.isnan(v) else v for lead, v in zip(LEADS, column, strict=True)}
        for column in signals.T
    ]
    write_csv(tmp_path / "train" / "77" / "77.csv", rows)
    for kind in ("0001", "0005"):
        write_image(tmp_path / "train" / "77" / f"77-{kind}.png")
    pages = list(read_pages("kaggle", tmp_path))
    assert [(page.page_id, page.profile) for page in pages] == [
        ("77-0001", "rendered"),
        ("77-0005", "phone photo"),
    ]
    reference = pages[0].reference()
    assert reference.fs == FS
    np.testing.assert_allclose(reference.signals, signals, atol=1e-9)


def test_kaggle_test_rows(tmp_path: Path) -> None:
    rows = [
        {"id": page, "lead": lead, "fs": fs, "number_of_rows": int((10 if lead == "II" else 2.5) * fs)}
        for page, fs in (("5", 1025), ("6", 250))
        for lead in LEADS
    ]
    write_csv(tmp_path / "test.csv", rows)
    write_image(tmp_path / "test" / "5.png")
    write_image(tmp_path / "test" / "6" / "6.png")
    first, second = read_test(tmp_path)
    assert (first.fs, first.rows["II"], first.rows["V1"]) == (1025, 10250, 2562)
    assert second.image_path == tmp_path / "test" / "6" / "6.png"
    write_csv(tmp_path / "test.csv", [rows[0], {**rows[1], "fs": 500}])
    with pytest.raises(ValueError, match="each lead once, at one fs; 5 in"):
        read_test(tmp_path)
