"""What all data sets have in common: folders, names, records of pages."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecg_hough import datasets
from ecg_hough.datasets import STANDARD_PAGE, read_pages, read_records
from made_up_ecg import as_printed
from made_up_records import FS, made_up_signals, write_image, write_record


@pytest.mark.parametrize(
    ("read", "name"),
    [
        *((read_pages, name) for name in datasets.PAGE_SETS),
        *((read_records, name) for name in datasets.RECORD_SETS),
    ],
)
def test_a_folder_of_something_else_is_refused(tmp_path: Path, read: Any, name: str) -> None:
    write_image(tmp_path / "holiday.png")
    with pytest.raises(ValueError, match=r"folder must hold|there is no"):
        list(read(name, tmp_path))
    with pytest.raises(ValueError, match="there is no folder"):
        list(read(name, tmp_path / "nowhere"))


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be one of challenge2024, .*; got 'mit'"):
        read_pages("mit", tmp_path)
    with pytest.raises(ValueError, match=r"must be one of chapman, .*; got 'kaggle'"):
        read_records("kaggle", tmp_path)


def test_pages_go_to_other_processes(tmp_path: Path) -> None:
    write_record(tmp_path / "005", as_printed(made_up_signals()))
    write_image(tmp_path / "005.png")
    (page,) = read_pages("ludb", tmp_path)
    assert pickle.loads(pickle.dumps(page)).reference().fs == FS


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    write_record(tmp_path / "005", made_up_signals())
    write_image(tmp_path / "005.png")
    (tmp_path / "005.dat").unlink()
    (page,) = read_pages("ludb", tmp_path)
    with pytest.raises(ValueError, match=r"must be readable WFDB; .*005"):
        page.reference()


def test_a_record_that_is_cut_already_stays_as_it_is() -> None:
    signals = made_up_signals()
    signals[6] = np.nan
    signals[6, :250] = 1.0  # V1 in the first column: another layout
    shown = datasets.printed_part(signals, FS, STANDARD_PAGE)
    np.testing.assert_array_equal(shown[6], signals[6])
    assert np.isfinite(shown[7]).sum() == 250
