"""Which pages a data set for training holds: records, data sets or kit pages enter, a list of cases leaves.

A case is known by its number: the same source and seed give the same cases, and more pages go on where
fewer ended.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ecg_hough.datasets import ptbxl_table, read_records
from ecg_hough.datasets.kit_pages import find_kit_pages
from ecg_hough.datasets.rendered import page_seed
from ecg_hough.datasets.split import held_out_records, split_records

log = logging.getLogger(__name__)

VALIDATION_FOLD, TEST_FOLD = 9, 10
"""Of PTB-XL's folds, as Wagner et al. propose and the 2024 winner did."""
GENERATED = "generated"
"""Source of a case that shows a generated ECG."""


TRAINING, TESTING = "Tr", "Ts"
"""Parts of a data set, as nnU-Net's folders are named."""


@dataclass(frozen=True)
class Case:
    """One page to make.

    Attributes:
        name: of its files; group: the patient; source: a record, a sidecar or "generated".
        seed: of the page.
        part: `TRAINING` (folds decide what it is used for) or `TESTING`.
        fold: PTB-XL's own, 1 to 10, where the split goes by it and the record has one.
    """

    name: str
    group: str
    source: str
    seed: int
    part: str = TRAINING
    fold: int | None = None

    @property
    def record(self) -> str:
        """Name of the record that the page shows: its file's, or a kit's sidecar's without the page's
        number."""
        return re.sub(r"(-\d+)?(_0000)?\.json$", "", Path(self.source).name)


def by_strat_fold(cases: list[Case], folder: Path) -> list[Case]:
    """The cases with PTB-XL's own folds: 1 to 8 and pages without one to train on, 9 to validate, 10 to test.

    Raises:
        ValueError: no ptbxl_database.csv in `folder`.
    """
    folds = ptbxl_table.strat_folds(folder)
    if not folds:
        raise ValueError(f"a split by strat_fold needs {ptbxl_table.DATABASE_CSV}; there is none in {folder}")
    placed = [replace(case, fold=folds.get(case.record)) for case in cases]
    return [replace(case, part=TESTING) if case.fold == TEST_FOLD else case for case in placed]


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
    cases = [
        # The kit numbers the pages of one record as <record>-<k>.
        Case(
            "_".join(path.relative_to(folder).with_suffix("").parts),
            groups.get(path.stem, path.stem.rsplit("-", 1)[0]),
            str(path),
            k,
        )
        for k, path in enumerate(sidecars)
    ]
    held_out = sorted({case.record for case in cases} & held_out_records())
    if held_out:
        log.warning(
            "%d of the records on these pages are held out for benchmarks (%s%s): a network trained on "
            "them must not be scored on the development pages",
            len(held_out), ", ".join(held_out[:5]), ", ..." if len(held_out) > 5 else "",
        )  # fmt: skip
    return cases
