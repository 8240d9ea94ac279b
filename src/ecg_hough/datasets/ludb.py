"""LUDB: 200 12-lead ECGs with marked waves; a folder enters, records, waves or drawn pages leave.

The data base (Kalyakulina et al. 2020, physionet.org/content/ludb/1.0.1): `data/1.hea` to `data/200.hea`,
500 Hz, 10 s, leads named in lower case; per lead an annotation file named after it (`1.i`, `1.avr`, `1.v6`),
where "(" and ")" bound a wave whose peak is "p" (P wave), "N" (QRS) or "t" (T wave); `ludb.csv` with a row a
record. One record a person. File names and symbols as public readers of the data base use them.

The pages: ECGMiner's authors drew the records (3x4+II, 960 x 2000 px; Santamonica et al. 2024). A folder of
them holds `005.png` and the signals as printed in `005.hea` and `005.dat`, NaN where not printed; checked on
40 pages.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ecg_hough.datasets import STANDARD_PAGE, DatasetPage, DatasetRecord, wfdb_loader
from ecg_hough.paper import LEADS

DATASET = "ludb"
WAVES = {"p": "P", "N": "QRS", "t": "T"}
"""Annotation symbol of a peak -> the wave."""
_TABLE = "ludb.csv"
_NO_STATEMENTS = ("ID", "Sex", "Age")
"""Columns of the table that are no labels; all others are."""


@dataclass(frozen=True)
class Wave:
    """A marked wave of one lead, in samples; an onset or end that is not marked is None."""

    kind: str
    onset: int | None
    peak: int
    end: int | None


def read_records(folder: Path) -> Iterator[DatasetRecord]:
    """Records of the data base in the order of their numbers.

    Raises:
        ValueError: no record there.
    """
    headers = [path for path in Path(folder).rglob("*.hea") if path.stem.isdigit()]
    if not headers:
        raise ValueError(f"folder must hold LUDB's records (1.hea, 2.hea, ...); found none in {folder}")
    table = next(iter(sorted(Path(folder).rglob(_TABLE))), None)
    labels = {} if table is None else _read_labels(table)
    for header in sorted(headers, key=lambda path: int(path.stem)):
        record = str(int(header.stem))
        yield DatasetRecord(DATASET, record, header.with_suffix(""), record, labels.get(record, ()))


def read_waves(record: DatasetRecord, lead: str) -> tuple[Wave, ...]:
    """Waves that the cardiologists marked in one lead, in order of time.

    Args:
        record: of `read_records`.
        lead: one of `paper.LEADS`.

    Raises:
        ValueError: an unknown lead, or no annotation file for it.
    """
    import wfdb

    if lead not in LEADS:
        raise ValueError(f"lead must be one of {', '.join(LEADS)}; got {lead!r}")
    path = record.path.with_name(f"{record.path.name}.{lead.lower()}")
    if not path.is_file():
        raise ValueError(f"a lead must have its annotation file; there is no {path}")
    marks = wfdb.rdann(str(record.path), lead.lower())
    waves: list[Wave] = []
    onset: int | None = None
    peak: tuple[str, int] | None = None
    for sample, symbol in zip(marks.sample, marks.symbol, strict=True):
        if symbol == ")":
            if peak is not None:
                waves.append(Wave(peak[0], onset, peak[1], int(sample)))
            onset = peak = None
            continue
        if peak is not None:  # the last wave's end is not marked
            waves.append(Wave(peak[0], onset, peak[1], None))
            onset = peak = None
        if symbol == "(":
            onset = int(sample)
        elif symbol in WAVES:
            peak = WAVES[symbol], int(sample)
    if peak is not None:
        waves.append(Wave(peak[0], onset, peak[1], None))
    return tuple(waves)


def read_pages(folder: Path) -> Iterator[DatasetPage]:
    """Pages by ECGMiner's renderer below `folder`.

    Raises:
        ValueError: no page with its record next to it.
    """
    images = [path for path in sorted(Path(folder).rglob("*.png")) if path.with_suffix(".hea").is_file()]
    if not images:
        raise ValueError(
            f"folder must hold LUDB pages (005.png) next to their records (005.hea); got {folder}"
        )
    for image in images:
        record = str(int(image.stem)) if image.stem.isdigit() else image.stem
        yield DatasetPage(
            DATASET,
            image.stem,
            image,
            "ecgminer",
            record,
            record,
            wfdb_loader(image.with_suffix("")),
            STANDARD_PAGE.name,
        )


def _read_labels(table: Path) -> dict[str, tuple[str, ...]]:
    """Record -> statements of the table, a cell of several lines being several statements."""
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    return {
        str(int(row["ID"])): tuple(
            line.strip()
            for column, cell in row.items()
            if column not in _NO_STATEMENTS
            for line in (cell or "").splitlines()
            if line.strip()
        )
        for row in rows
    }
