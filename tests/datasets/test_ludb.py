"""LUDB: records with marked waves, and pages drawn of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecg_hough.datasets import read_pages, read_records
from ecg_hough.datasets.ludb import Wave, read_waves
from ecg_hough.paper import LEADS
from made_up_ecg import as_printed
from made_up_records import made_up_signals, write_csv, write_image, write_record
from places import SHARED


def test_ludb_records_waves_and_labels(tmp_path: Path) -> None:
    lower = tuple(lead.lower() for lead in LEADS)
    for number in (1, 10, 2):
        write_record(tmp_path / "data" / str(number), made_up_signals(number), lower)
    wfdb.wrann(
        "2", "avr", np.array([12, 20, 40, 48, 50, 56, 70, 80]), ["p", ")", "(", "N", ")", "(", "t", ")"],
        write_dir=str(tmp_path / "data"),
    )  # fmt: skip
    write_csv(
        tmp_path / "ludb.csv",
        [
            {
                "ID": "2\n",
                "Sex": "F\n",
                "Age": "51\n",
                "Rhythms": "Sinus bradycardia",
                "Other states": "a\nb\n",
            }
        ],
    )
    records = list(read_records("ludb", tmp_path))
    assert [record.record_id for record in records] == ["1", "2", "10"]
    assert records[1].labels == ("Sinus bradycardia", "a", "b")
    assert records[0].labels == ()
    np.testing.assert_allclose(records[2].reference().signals, made_up_signals(10), atol=1e-9)
    waves = read_waves(records[1], "aVR")
    assert waves == (Wave("P", None, 12, 20), Wave("QRS", 40, 48, 50), Wave("T", 56, 70, 80))
    with pytest.raises(ValueError, match=r"there is no .*2\.v1"):
        read_waves(records[1], "V1")


def test_ludb_pages_by_ecgminer(tmp_path: Path) -> None:
    write_record(tmp_path / "005", as_printed(made_up_signals()))
    write_image(tmp_path / "005.png")
    write_image(tmp_path / "notes.png")  # without a record: no page
    (page,) = read_pages("ludb", tmp_path)
    assert (page.page_id, page.record_id, page.layout) == ("005", "5", "3x4+1")
    np.testing.assert_allclose(page.reference().signals, as_printed(made_up_signals()), atol=1e-9)


@pytest.mark.skipif(not (SHARED / "ludb").is_dir(), reason="the development pages are not here")
def test_ludb_pages_of_the_development_data() -> None:
    pages = list(read_pages("ludb", SHARED / "ludb"))
    assert len(pages) == 40
    signals = pages[0].reference().signals
    assert np.isfinite(signals[LEADS.index("II")]).all()
    assert np.isfinite(signals[LEADS.index("V6")]).mean() == pytest.approx(0.25, abs=0.01)
