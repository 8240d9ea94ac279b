"""PTB-XL and PTB-XL+: recordings and statements; a folder enters, records or the Challenge's labels leave.

PTB-XL 1.0.3 (Wagner et al. 2020; fetched by `datasets.ptbxl_table`): `records500/00000/00001_hr.hea`,
`ptbxl_database.csv` (ecg_id, patient_id, scp_codes as a Python dict, filename_hr, ...) and
`scp_statements.csv` (the code in the first column, diagnostic, diagnostic_class). PTB-XL+ 1.0.1 (Strodthoff
et al. 2023, Sci Data 10:279): `labels/12sl_statements.csv` (ecg_id, statements as a Python list of acronyms)
and `labels/mapping/12slv23ToSNOMED.csv` (StatementNumber, Acronym, ...). Columns as public readers use them.
"""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterator
from pathlib import Path

from ecg_hough.datasets import DatasetRecord, index_records
from ecg_hough.datasets.ptbxl_table import DATABASE_CSV, patient_groups, read_table

DATASET = "ptbxl"
ACUTE_MI_STATEMENTS = frozenset(
    {821, 822, 823, 827, 829, 902, 903, 904, 963, 964, 965, 966, 967, 968}
)  # fmt: skip
"""12SL statements that the Challenge 2024 counts as acute infarction (its prepare_ptbxl_data.py)."""
_RHYTHM_LABELS = {
    "PAC": "PAC", "PVC": "PVC", "AFIB": "AFIB/AFL", "AFLT": "AFIB/AFL", "STACH": "TACHY", "SVTAC": "TACHY",
    "PSVT": "TACHY", "SBRAD": "BRADY",
}  # fmt: skip
"""SCP code -> label of the Challenge 2024, same source."""


def read_records(folder: Path) -> Iterator[DatasetRecord]:
    """The 500 Hz records below `folder` (those at 100 Hz where there are no others).

    Labels are SCP codes of ptbxl_database.csv; without that file there are none, and each record is taken
    for a patient of its own.

    Raises:
        ValueError: no record of PTB-XL there.
    """
    found = index_records(folder)
    names = [name for name in found if name.endswith("_hr")] or [n for n in found if n.endswith("_lr")]
    if not names:
        raise ValueError(f"folder must hold PTB-XL's records (00001_hr.hea); found none in {folder}")
    patients = patient_groups(folder)
    codes = {_number(row["ecg_id"]): tuple(scp_codes(row)) for row in read_table(Path(folder))}
    for name in sorted(names):
        labels = codes.get(_number(name[:-3]), ())
        yield DatasetRecord(DATASET, name, found[name], patients.get(name, name), labels)


def scp_codes(row: dict[str, str]) -> dict[str, float]:
    """SCP code -> likelihood (0..100, 0 = not stated) of a row of ptbxl_database.csv."""
    codes: dict[str, float] = ast.literal_eval(row["scp_codes"])
    return codes


def challenge_labels(ptbxl: Path, plus: Path) -> dict[int, tuple[str, ...]]:
    """ecg_id -> labels of the Challenge 2024, as its organisers made them.

    NORM, STTC, CD and HYP are PTB-XL's diagnostic classes; an infarction is acute where 12SL states
    that (PTB-XL does not), old elsewhere; the other labels are single SCP codes.

    Args:
        ptbxl: folder with ptbxl_database.csv and scp_statements.csv.
        plus: PTB-XL+'s folder.

    Raises:
        ValueError: a table is missing or lacks a column.
    """
    ptbxl, plus = Path(ptbxl), Path(plus)
    database = read_table(ptbxl)
    if not database:
        raise ValueError(f"folder must hold {DATABASE_CSV}; {ptbxl} has none")
    try:
        statements = _rows(ptbxl / "scp_statements.csv")
        code_column = next(iter(statements[0]))
        diagnostic_class = {
            row[code_column]: row["diagnostic_class"]
            for row in statements
            if row["diagnostic"] and float(row["diagnostic"]) == 1
        }
        mapping = _rows(plus / "labels" / "mapping" / "12slv23ToSNOMED.csv")
        acute = {
            row["Acronym"]
            for row in mapping
            if row["StatementNumber"].strip() and _number(row["StatementNumber"]) in ACUTE_MI_STATEMENTS
        }
        statements_of = {
            _number(row["ecg_id"]): set(ast.literal_eval(row["statements"]))
            for row in _rows(plus / "labels" / "12sl_statements.csv")
        }
        return {
            ecg_id: _labels(scp_codes(row), diagnostic_class, bool(acute & statements_of.get(ecg_id, set())))
            for row in database
            for ecg_id in (_number(row["ecg_id"]),)
        }
    except (KeyError, IndexError, SyntaxError) as error:
        raise ValueError(f"tables of {ptbxl} and {plus} must have PTB-XL's columns; {error!r}") from error


def _labels(codes: dict[str, float], diagnostic_class: dict[str, str], acute: bool) -> tuple[str, ...]:
    from ecg_hough.datasets.challenge2024 import LABELS

    classes = {diagnostic_class[code] for code in codes if code in diagnostic_class}
    labels = classes & {"NORM", "STTC", "CD", "HYP"}
    labels |= {_RHYTHM_LABELS[code] for code in codes if code in _RHYTHM_LABELS}
    if acute:
        labels.add("Acute MI")
    elif "MI" in classes:
        labels.add("Old MI")
    return tuple(label for label in LABELS if label in labels)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise ValueError(f"folder must hold PTB-XL's tables; there is no {path}")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> int:
    return int(float(text))
