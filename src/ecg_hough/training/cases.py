"""Which pages a data set for training holds: records, data sets or kit pages enter, a list of cases leaves.

A case is known by its number: the same source and seed give the same cases, and more pages go on where
fewer ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_hough.datasets import ptbxl_table, read_records
from ecg_hough.datasets.kit_pages import find_kit_pages
from ecg_hough.datasets.rendered import page_seed
from ecg_hough.datasets.split import held_out_records, split_records

GENERATED = "generated"
"""Source of a case that shows a generated ECG."""


@dataclass(frozen=True)
class Case:
    """One page to make: `group` is the patient, `source` a record, a sidecar or "generated"."""

    name: str
    group: str
    source: str
    seed: int


def _numbered(k: int, seed: int, stem: Path | None = None, groups: dict[str, str] | None = None) -> Case:
    """Case k: a page of a record, or of a generated ECG where there is none."""
    own = page_seed(seed, k)
    if stem is None:
        return Case(f"page_{k:06d}", f"generated_{own}", GENERATED, own)
    return Case(f"page_{k:06d}", (groups or {}).get(stem.name, stem.name), str(stem), own)


def record_cases(records: Path | None, n: int, generated: float, seed: int) -> list[Case]:
    """n pages of the records of a folder that are not held out, and of generated ECGs."""
    stems: list[Path] = []
    groups: dict[str, str] = {}
    if records is not None:
        stems, _ = split_records(records)
        groups = ptbxl_table.patient_groups(records)
        if not stems:
            raise ValueError(f"records must hold some that are not held out; {records} has none")
    return _drawn_cases(stems, groups, n, generated, seed)


def dataset_cases(source: str, folder: Path, n: int, generated: float, seed: int) -> list[Case]:
    """n pages of the records of a data set (see `datasets.RECORD_SETS`), and of generated ECGs."""
    records = list(read_records(source, folder))
    groups = {record.path.name: record.patient_id for record in records}
    return _drawn_cases([record.path for record in records], groups, n, generated, seed)


def _drawn_cases(
    stems: list[Path], groups: dict[str, str], n: int, generated: float, seed: int
) -> list[Case]:
    """n pages, each of a record drawn by its number, or of a generated ECG."""
    cases = []
    for k in range(n):
        rng = np.random.default_rng([page_seed(seed, k), 1])
        if stems and rng.random() >= generated:
            stem = stems[int(rng.integers(len(stems)))]
            cases.append(_numbered(k, seed, stem, groups))
        else:
            cases.append(_numbered(k, seed))
    return cases


def ptbxl_cases(folder: Path, n: int, generated: float, seed: int) -> list[Case]:
    """The database's records in its own order, so that more pages go on where fewer ended."""
    held_out = held_out_records()
    shows_record = [np.random.default_rng([page_seed(seed, k), 1]).random() >= generated for k in range(n)]
    needed = sum(shows_record)
    stems: list[Path] = []
    to_fetch = needed
    while len(stems) < needed:
        fetched = ptbxl_table.fetch_ptbxl(folder, n=to_fetch)
        stems = [stem for stem in fetched if stem.name not in held_out]
        if len(fetched) < to_fetch:
            break  # the whole database
        to_fetch = needed + len(fetched) - len(stems)
    if needed and not stems:
        raise ValueError(f"records must hold some that are not held out; {folder} has none")
    groups = ptbxl_table.patient_groups(folder)
    cases = []
    n_shown = 0
    for k, shown in enumerate(shows_record):
        if shown:
            stem = stems[n_shown % len(stems)]
            n_shown += 1
            cases.append(_numbered(k, seed, stem, groups))
        else:
            cases.append(_numbered(k, seed))
    return cases


def kit_cases(folder: Path, n: int) -> list[Case]:
    """The first n of the pages that ECG-Image-Kit drew into a folder."""
    sidecars = find_kit_pages(folder)[:n]
    if not sidecars:
        raise ValueError(f"folder must hold ECG-Image-Kit pages (PNG and JSON); found none in {folder}")
    groups = ptbxl_table.patient_groups(folder)
    return [
        # The kit numbers the pages of one record as <record>-<k>.
        Case(
            "_".join(path.relative_to(folder).with_suffix("").parts),
            groups.get(path.stem, path.stem.rsplit("-", 1)[0]),
            str(path),
            k,
        )
        for k, path in enumerate(sidecars)
    ]
