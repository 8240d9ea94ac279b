"""Which records are trained on, and how their names are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecg_hough.datasets.split import (
    held_out_records,
    patients_of,
    read_signals,
    split_records,
    trained_names,
)
from ecg_hough.paper import LEADS
from made_up_records import FS, made_up_signals, write_record


def test_held_out_records_are_never_trained_on(tmp_path: Path) -> None:
    held_out = min(held_out_records())
    for name in (held_out, "90001_hr"):
        write_record(tmp_path / "deep" / name, made_up_signals())
    training, validation = split_records(tmp_path)
    assert [stem.name for stem in training] == ["90001_hr"]
    assert [stem.name for stem in validation] == [held_out]


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must hold WFDB records"):
        split_records(tmp_path)


def test_leads_are_read_in_the_standard_order_whatever_the_files_order(tmp_path: Path) -> None:
    signals = made_up_signals()
    backwards = tuple(lead.upper() for lead in LEADS[::-1])
    write_record(tmp_path / "a", signals[::-1], backwards)
    read, fs = read_signals(tmp_path / "a")
    assert fs == FS
    np.testing.assert_allclose(read, signals, atol=1e-9)


def test_a_record_without_a_lead_is_refused(tmp_path: Path) -> None:
    write_record(tmp_path / "a", made_up_signals()[:11], LEADS[:11])
    with pytest.raises(ValueError, match="lacks V6"):
        read_signals(tmp_path / "a")


def test_only_known_patients_are_kept(tmp_path: Path) -> None:
    write_record(tmp_path / "00001_hr", made_up_signals())
    patients = patients_of([tmp_path / "00001_hr"], tmp_path)
    assert trained_names(patients) == {"record_names": ["00001_hr"]}
    assert trained_names({**patients, "00002_hr": "15709"})["patient_ids"] == ["15709"]
