"""PTB-XL: patients, statements, and the labels of the Challenge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecg_hough.datasets import read_records
from ecg_hough.datasets.ptbxl import challenge_labels
from ecg_hough.paper import LEADS
from made_up_records import FS, made_up_signals, write_csv, write_record


@pytest.fixture
def ptbxl(tmp_path: Path) -> Path:
    folder = tmp_path / "ptbxl"
    rows = []
    for ecg_id, patient, codes in (
        (1, 15709, {"NORM": 100.0, "SR": 0.0}),
        (2, 13243, {"IMI": 50.0, "PVC": 0.0}),
    ):
        name = f"records500/00000/{ecg_id:05d}_hr"
        write_record(
            folder / name, made_up_signals(ecg_id), ("I", "II", "III", "AVR", "AVL", "AVF", *LEADS[6:])
        )
        rows.append(
            {"ecg_id": ecg_id, "patient_id": f"{patient}.0", "scp_codes": str(codes), "strat_fold": 3,
             "filename_lr": name.replace("500", "100").replace("_hr", "_lr"), "filename_hr": name}
        )  # fmt: skip
    write_csv(folder / "ptbxl_database.csv", rows)
    (folder / "scp_statements.csv").write_text(
        ",description,diagnostic,form,rhythm,diagnostic_class\n"
        "NORM,normal ECG,1.0,,,NORM\nIMI,inferior infarction,1.0,,,MI\nPVC,ventricular premature,,1.0,,\n"
    )
    return folder


def test_ptbxl_records_have_patients_and_statements(ptbxl: Path) -> None:
    first, second = read_records("ptbxl", ptbxl)
    assert (first.record_id, first.patient_id, first.labels) == ("00001_hr", "15709", ("NORM", "SR"))
    assert second.patient_id == "13243"
    reference = second.reference()
    assert reference.fs == FS
    np.testing.assert_allclose(reference.signals, made_up_signals(2), atol=1e-9)


def test_ptbxl_plus_separates_acute_from_old_infarction(ptbxl: Path, tmp_path: Path) -> None:
    plus = tmp_path / "plus"
    (plus / "labels" / "mapping").mkdir(parents=True)
    (plus / "labels" / "mapping" / "12slv23ToSNOMED.csv").write_text(
        "StatementNumber,Acronym,Full\n821,ACUTMI,acute MI\n1,NSR,normal sinus rhythm\n"
    )
    statements = plus / "labels" / "12sl_statements.csv"
    write_csv(
        statements, [{"ecg_id": 1, "statements": "['NSR']"}, {"ecg_id": 2, "statements": "['NSR', 'ACUTMI']"}]
    )
    assert challenge_labels(ptbxl, plus) == {1: ("NORM",), 2: ("Acute MI", "PVC")}
    write_csv(statements, [{"ecg_id": 1, "statements": "['NSR']"}])
    assert challenge_labels(ptbxl, plus)[2] == ("Old MI", "PVC")
    statements.unlink()
    with pytest.raises(ValueError, match=r"there is no .*12sl_statements\.csv"):
        challenge_labels(ptbxl, plus)
