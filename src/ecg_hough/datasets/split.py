"""The records that networks train on, and those they must never see.

Held out are the PTB-XL records of which the development pages were drawn (56 of the 200 in the
development data), so that no benchmark scores a record that was trained on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import wfdb

_HELD_OUT_FILE = Path(__file__).with_name("held_out.txt")


def held_out_records() -> frozenset[str]:
    """Names of the records kept for validation, e.g. "00009_hr"."""
    return frozenset(_HELD_OUT_FILE.read_text().split())


def split_records(folder: Path) -> tuple[list[Path], list[Path]]:
    """WFDB records below `folder` (paths without suffix), sorted: for training, for validation.

    Raises:
        ValueError: no record there.
    """
    stems = sorted(path.with_suffix("") for path in Path(folder).rglob("*.hea"))
    if not stems:
        raise ValueError(f"folder must hold WFDB records (*.hea); found none in {folder}")
    held_out = held_out_records()
    return [s for s in stems if s.name not in held_out], [s for s in stems if s.name in held_out]


def patients_of(stems: list[Path], folder: Path) -> dict[str, str]:
    """Record -> patient, by PTB-XL's table where `folder` has one; else each record is its own patient."""
    from ecg_hough.datasets.ptbxl_table import patient_groups

    groups = patient_groups(folder)
    return {stem.name: groups.get(stem.name, stem.name) for stem in stems}


def trained_names(patient_of: dict[str, str]) -> dict[str, list[str]]:
    """A card's entries on the records trained on: their names, and the patients where those are known.

    Args:
        patient_of: record -> patient; a record that is its own patient has no known one.
    """
    patients = sorted({patient for record, patient in patient_of.items() if patient != record})
    return {"record_names": sorted(patient_of), **({"patient_ids": patients} if patients else {})}


def read_signals(stem: Path) -> tuple[np.ndarray, int]:
    """(12, N) float mV in the standard order of leads, and fs in Hz."""
    from ecg_hough.paper import LEADS

    record = wfdb.rdrecord(str(stem))
    by_name = {name.upper(): k for k, name in enumerate(record.sig_name)}
    missing = [lead for lead in LEADS if lead.upper() not in by_name]
    if missing:
        raise ValueError(f"record must hold the 12 leads; {stem} lacks {', '.join(missing)}")
    signals = record.p_signal.T[[by_name[lead.upper()] for lead in LEADS]]
    return np.asarray(signals, float), int(record.fs)
