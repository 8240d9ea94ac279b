"""Pages for training, as an nnU-Net raw data set.

In: records (WFDB folder, PTB-XL, generated ECGs) or pages by ECG-Image-Kit. Out:
`DatasetXXX_Name/{imagesTr,labelsTr,dataset.json,splits_final.json,cases.csv}` with canvases as the
leads network sees them, or with whole pages. Every case is seeded by its number, made whole or not at
all, and not made again: a stopped run goes on where it was. `prepare.json` keeps the options, so that
one folder never holds cases of two kinds.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ecg_hough.datasets import RECORD_SETS
from ecg_hough.datasets.split import split_records
from ecg_hough.paper import LEADS, WORDS
from ecg_hough.training.case_pictures import CANVASES, PLANES, Drawing, is_made, make_case
from ecg_hough.training.cases import (
    TRAINING,
    VALIDATION_FOLD,
    Case,
    by_strat_fold,
    dataset_cases,
    kit_cases,
    ptbxl_cases,
    record_cases,
)

N_FOLDS = 5
SOURCES = ("renderer", "kit", "ptbxl", "chapman", "ludb")
SPLITS = ("patients", "strat")

OnProgress = Callable[[int, int], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataSettings:
    """What a data set for training holds.

    Attributes:
        source: "renderer" (own pages of `records`, or of generated ECGs where None), "kit" (pages and
            sidecars by ECG-Image-Kit in `folder`; unusable ones are skipped with a warning), "ptbxl"
            (as many records as there are pages for them are fetched into `folder`, then rendered), or
            "chapman" or "ludb" (own pages of that data set's records in `folder`, see `datasets`).
        n: number of pages; a larger one for the same folder adds pages.
        records: folder of WFDB records; those in `split.held_out_records` are not used.
        folder: of the kit's pages or of a data set; "ptbxl" has a default.
        generated: share of pages that show generated ECGs, when records are given.
        profile: mixture of distortions, see `render.style.PROFILES`; None takes "kit" for whole pages, else
            "mixed".
        planes: "rgb", or "red" for pictures of one channel.
        split: "patients" for five folds that keep a patient on one side; "strat" for PTB-XL's own folds: 1
            to 8 to train, 9 to validate (both fold 0), 10 as imagesTs and labelsTs.
        canvas: "canvas704" for the leads network's square; "page" for whole pages as the 2024 winner trained
            on (turned upright, labels of one pixel, see `winner_labels`); "words" for pages at
            `words_net.WORD_PX_PER_MM` with words all over them, and the words as labels.
        hard_share: share of canvases that show pages which are hard to read, see `hard_pages`.
        dpi: of rendered pages; None draws from `TRAIN_DPI`, or takes `PAGE_DPI` for whole pages.
        dataset: nnU-Net's name of the data set.
        seed: same seed and records, same data set.
    Raises:
        ValueError: an unknown choice, no pages, or a source without its folder.
    """

    source: str = "renderer"
    n: int = 200
    records: Path | None = None
    folder: Path | None = None
    generated: float = 0.35
    profile: str | None = None
    planes: str = "rgb"
    canvas: str = "canvas704"
    split: str = "patients"
    hard_share: float = 0.0
    dpi: float | None = None
    dataset: str = "Dataset500_Signals"
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {"source": SOURCES, "planes": PLANES, "canvas": CANVASES, "split": SPLITS}
        for option, known in choices.items():
            value = getattr(self, option)
            if value not in known:
                raise ValueError(f"{option} must be {', '.join(known[:-1])} or {known[-1]}; got {value!r}")
        if self.profile is None:
            object.__setattr__(self, "profile", "kit" if self.canvas == "page" else "mixed")
        if self.hard_share and (self.canvas != "canvas704" or self.source == "kit"):
            raise ValueError("hard_share needs canvas canvas704 and rendered pages; got another")
        if not self.n >= 1:
            raise ValueError(f"n must be 1 or more; got {self.n}")

    @property
    def drawing(self) -> Drawing:
        """How the cases are drawn."""
        return Drawing(str(self.profile), self.planes, self.canvas, self.dpi, self.hard_share)


def prepare(
    out: Path,
    settings: DataSettings,
    *,
    workers: int = 2,
    on_progress: OnProgress | None = None,
) -> Path:
    """Make an nnU-Net raw data set and return its folder.

    Args:
        out: the nnUNet_raw folder.
        settings: what the data set holds.
        workers: processes.
        on_progress: called with (pages done, pages in all).
    Raises:
        ValueError: nothing to make pages of, or a folder with pages made with other settings.
    """
    root = out / settings.dataset
    options = {
        "source": settings.source,
        "seed": settings.seed,
        "generated": settings.generated,
        "split": settings.split,
        **asdict(settings.drawing),
    }
    _check_options(root, options)
    cases = _cases(settings, out)
    if settings.split == "strat":
        cases = by_strat_fold(cases, _records_folder(settings, out))
    for part in {TRAINING, *(case.part for case in cases)}:
        for kind in ("images", "labels"):
            (root / f"{kind}{part}").mkdir(parents=True, exist_ok=True)
    if settings.source == "renderer":
        options["records"] = _records_digest(settings.records)
    _keep_options(root, options, cases)
    refused = _make_cases(root, cases, settings.drawing, workers, on_progress or (lambda done, total: None))
    if refused:
        log.warning("%d of %d pages were skipped", len(refused), len(cases))
    cases = [case for case in cases if case.name not in refused]
    if not cases:
        raise ValueError(f"at least one page must be usable; all {len(refused)} were skipped, see the log")
    _write_contract(root, cases, settings)
    return root


def _records_folder(settings: DataSettings, out: Path) -> Path:
    """Where the table of the records' patients and folds is."""
    given = settings.records if settings.source == "renderer" else settings.folder
    return given or out.parent / "ptbxl"


def _cases(settings: DataSettings, out: Path) -> list[Case]:
    """The pages to make."""
    source, folder, drawn = settings.source, settings.folder, (settings.n, settings.generated, settings.seed)
    if source == "kit":
        if folder is None:
            raise ValueError("source kit needs a folder of ECG-Image-Kit pages; got none")
        return kit_cases(folder, settings.n)
    if source == "ptbxl":
        return ptbxl_cases(folder or out.parent / "ptbxl", *drawn)
    if source in RECORD_SETS:
        if folder is None:
            raise ValueError(f"source {source} needs the folder of its records; got none")
        return dataset_cases(source, folder, *drawn)
    return record_cases(settings.records, *drawn)


def _make_cases(
    root: Path, cases: list[Case], drawing: Drawing, workers: int, on_progress: OnProgress
) -> set[str]:
    """Make the cases that are not there yet; returns the names of those that cannot be made."""
    jobs = [case for case in cases if not is_made(root, case)]
    done = len(cases) - len(jobs)
    on_progress(done, len(cases))
    refused = set()
    # Spawned, not forked: a fork of a process that has run networks waits for their threads for ever.
    spawn = get_context("spawn")
    with ProcessPoolExecutor(max_workers=workers, mp_context=spawn, initializer=_single_thread) as pool:
        results = pool.map(make_case, jobs, [root] * len(jobs), [drawing] * len(jobs), chunksize=4)
        for case, refusal in zip(jobs, results, strict=True):
            if refusal is not None:
                log.warning("skipped %s: %s", case.source, refusal)
                refused.add(case.name)
            done += 1
            on_progress(done, len(cases))
    return refused


def _check_options(root: Path, options: dict[str, Any]) -> None:
    """Refuse a folder whose cases were made with other options."""
    path = root / "prepare.json"
    if not path.is_file():
        return
    made: dict[str, Any] = json.loads(path.read_text())["options"]
    changed = [k for k, value in options.items() if k in made and made[k] != value]
    if changed:
        begun, now = (", ".join(f"{k}={of[k]!r}" for k in changed) for of in (made, options))
        raise ValueError(
            f"{root.name} must go on with the options it was begun with, {begun}; got {now}. Take those, or "
            "another data set or folder"
        )


def _keep_options(root: Path, options: dict[str, Any], cases: list[Case]) -> None:
    """Write the options, after a last look at the cases that are there."""
    _check_options(root, options)
    table = root / "cases.csv"
    if table.is_file():
        with table.open(newline="") as file:
            made = {row["name"]: (row["source"], int(row["seed"])) for row in csv.DictReader(file)}
        for case in cases:
            now = (Path(case.source).name, case.seed)
            if made.get(case.name, now) != now:
                raise ValueError(
                    f"{root.name} must go on with the records and seed it was begun with; {case.name} shows "
                    f"{made[case.name]}, and would show {now}. Take another data set or folder"
                )
        if not (root / "prepare.json").is_file():
            log.warning("%s has no prepare.json: that its pages are %s is not known", root.name, options)
    part = root / ".prepare.json.part"
    part.write_text(json.dumps({"options": options}, indent=1))
    os.replace(part, root / "prepare.json")


def _records_digest(records: Path | None) -> str | None:
    """Short sha256 of the names of the records trained on; None where there are none."""
    if records is None:
        return None
    names = "\n".join(stem.name for stem in split_records(records)[0])
    return hashlib.sha256(names.encode()).hexdigest()[:12]


def _single_thread() -> None:
    cv2.setNumThreads(1)


def _write_contract(root: Path, cases: list[Case], settings: DataSettings) -> None:
    """dataset.json, folds, and where every case came from."""
    names = WORDS if settings.canvas == "words" else LEADS
    # nnU-Net normalises by these names; it takes the z-score for those it does not know.
    channels = ["red"] if settings.planes == "red" else ["rgb_to_0_1"] * 3
    training = [case for case in cases if case.part == TRAINING]
    dataset_json = {
        "channel_names": {str(k): channel for k, channel in enumerate(channels)},
        "labels": {"background": 0, **{name: k + 1 for k, name in enumerate(names)}},
        "numTraining": len(training),
        "file_ending": ".png",
        "overwrite_image_reader_writer": "NaturalImage2DIO",
    }
    (root / "dataset.json").write_text(json.dumps(dataset_json, indent=1))
    splits = _strat_split(training) if settings.split == "strat" else _patient_splits(training)
    (root / "splits_final.json").write_text(json.dumps(splits, indent=1))
    with (root / "cases.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=["name", "group", "source", "seed", "part"])
        writer.writeheader()
        for case in cases:
            row = {**asdict(case), "source": Path(case.source).name}
            writer.writerow({name: row[name] for name in writer.fieldnames})


def _patient_splits(cases: list[Case]) -> list[dict[str, list[str]]]:
    """Five folds; a patient's cases are all in one."""
    groups = sorted({case.group for case in cases})
    rng = np.random.default_rng(0)
    fold_of = dict(zip(groups, rng.permutation(len(groups)) % N_FOLDS, strict=True))
    return [
        {
            "train": [case.name for case in cases if fold_of[case.group] != fold],
            "val": [case.name for case in cases if fold_of[case.group] == fold],
        }
        for fold in range(N_FOLDS)
    ]


def _strat_split(cases: list[Case]) -> list[dict[str, list[str]]]:
    """One fold: PTB-XL's own folds 1 to 8 to train on, 9 to validate."""
    split = {
        "train": [case.name for case in cases if case.fold != VALIDATION_FOLD],
        "val": [case.name for case in cases if case.fold == VALIDATION_FOLD],
    }
    for part, names in split.items():
        if not names:
            raise ValueError(
                f"a split by strat_fold needs pages to {part}; none of the {len(cases)} is of its folds"
            )
    return [split]
