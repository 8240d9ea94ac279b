"""The Kaggle contest "PhysioNet - Digitization of ECG Images" (2025/26): its folder enters, pages leave.

From the contest's data description: `train.csv` (id, fs, sig_len), `train/<id>/<id>-<type>.png` and
`train/<id>/<id>.csv` with a column of mV per lead, empty where not printed; `test.csv` (id, lead, fs,
number_of_rows) and `test/<id>.png`, or `test/<id>/<id>.png` in some copies. Types as in
`ecg_image_database.TYPES`. All pages are 3x4+II at 25 mm/s and 10 mm/mV.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ecg_hough.datasets import STANDARD_PAGE, DatasetPage, Reference, log
from ecg_hough.datasets.ecg_image_database import TYPES
from ecg_hough.paper import LEADS

DATASET = "kaggle"


@dataclass(frozen=True)
class AskedPage:
    """The answer that the contest wants for one test page.

    Attributes:
        page_id: the contest's id.
        image_path: the image; it may be missing.
        fs: samples a second of the answer.
        rows: lead -> number of samples of the answer, in the order of test.csv.
    """

    page_id: str
    image_path: Path
    fs: int
    rows: dict[str, int]


def read_pages(folder: Path) -> Iterator[DatasetPage]:
    """Train pages in the order of train.csv; images that are not there are skipped.

    Raises:
        ValueError: no train.csv, or a broken one.
    """
    folder = Path(folder)
    for row in _read_table(folder / "train.csv", ("id", "fs", "sig_len")):
        place = folder / "train" / row["id"]
        images = sorted(place.glob(f"{row['id']}-*.png"))
        if not images:
            log.warning("kaggle: no image of %s in %s", row["id"], place)
        for image in images:
            kind = image.stem.rsplit("-", 1)[1]
            yield DatasetPage(
                DATASET,
                image.stem,
                image,
                TYPES.get(kind, kind),
                row["id"],
                row["id"],
                partial(load_table, place / f"{row['id']}.csv", float(row["fs"])),
                STANDARD_PAGE.name,
            )


def read_test(folder: Path) -> list[AskedPage]:
    """Test pages in the order of test.csv.

    Raises:
        ValueError: no test.csv, a broken one, an unknown lead, or one page with two sampling frequencies.
    """
    folder = Path(folder)
    rows: dict[str, dict[str, int]] = {}
    fs: dict[str, int] = {}
    table = folder / "test.csv"
    for line, row in enumerate(_read_table(table, ("id", "lead", "fs", "number_of_rows")), start=2):
        page = row["id"]
        if row["lead"] not in LEADS:
            raise ValueError(
                f"lead must be one of {', '.join(LEADS)}; got {row['lead']!r} in {table}, line {line}"
            )
        if row["lead"] in rows.setdefault(page, {}) or fs.setdefault(page, int(float(row["fs"]))) != int(
            float(row["fs"])
        ):
            raise ValueError(f"a page must have each lead once, at one fs; {page} in {table}, line {line}")
        rows[page][row["lead"]] = int(row["number_of_rows"])
    return [AskedPage(page, _test_image(folder, page), fs[page], rows[page]) for page in rows]


def load_table(path: Path, fs: float) -> Reference:
    """Signals of a train page's CSV.

    Raises:
        ValueError: the file cannot be read or lacks a lead.
    """
    try:
        with Path(path).open(newline="") as file:
            rows = list(csv.DictReader(file))
        signals = np.array([[float(row[lead] or "nan") for row in rows] for lead in LEADS], np.float64)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"table must hold a column of mV for each lead; {path}: {error!r}") from error
    return Reference(signals.reshape(len(LEADS), -1), fs)


def _test_image(folder: Path, page: str) -> Path:
    flat, nested = folder / "test" / f"{page}.png", folder / "test" / page / f"{page}.png"
    return nested if nested.is_file() and not flat.is_file() else flat


def _read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    if not path.is_file():
        raise ValueError(f"folder must hold the contest's files; there is no {path}")
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"{path} must have the columns {', '.join(columns)}; it lacks {', '.join(missing)}")
    return rows
