"""Cross-validation of a leads network: a data set with folds enters; per fold a network and its scores leave.

For every fold a network is trained on the others (the same command goes on where it was stopped),
exported, and used to digitise pages of the records of its own fold, which it has not seen. The other
networks are the shipped ones in every fold: they have seen those records, so the figures compare leads
networks, and are no estimate of the whole package on new records.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_hough.datasets.rendered import page_seed
from ecg_hough.datasets.split import read_signals
from ecg_hough.errors import PageError

if TYPE_CHECKING:
    import pandas as pd

PAGE_SEED = 900
"""Pages that are scored have seeds of their own: no training page has them."""
COLUMNS = ("fold", "steps", "val_dice", "pages", "failed", "challenge_snr_db", "found_pct")


@dataclass(frozen=True)
class CrossValidation:
    """What is trained and scored.

    Attributes:
        config, dataset: as for `ecg-hough train`; data, results: its folders.
        records: folder of the WFDB records that the data set shows.
        folds: which ones.
        pages: rendered and scored of each fold; profile: their wear.
        epochs, max_minutes: of each fold's training; None takes the configuration's, and no limit.
    """

    config: str = "leads"
    dataset: str = "Dataset500_Signals"
    data: Path = Path("data")
    results: Path = Path("runs")
    records: Path = Path("data/ptbxl")
    folds: Sequence[int] = (0, 1, 2, 3, 4)
    pages: int = 20
    profile: str = "mixed"
    epochs: int | None = None
    max_minutes: float | None = None


def cross_validate(
    settings: CrossValidation,
    out: Path,
    *,
    on_progress: Callable[[str], None] = lambda words: None,
) -> pd.DataFrame:
    """Train, export and score every fold; one row each, kept in `out`/folds.csv as they come.

    Args:
        out: folder of the folds' weights and of the table; on_progress: called with what is done next.
    Raises:
        ValueError: no such data set or fold, or a fold without records to score on.
    """
    import pandas as pd

    from ecg_hough.training.export_weights import export
    from ecg_hough.training.train import TrainSettings, train

    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for fold in settings.folds:
        stems = validation_records(settings, fold)
        on_progress(f"fold {fold}: training")
        options = TrainSettings(
            config=settings.config, fold=fold, dataset=settings.dataset, epochs=settings.epochs,
            max_minutes=settings.max_minutes,
        )  # fmt: skip
        run = train(options, data=settings.data, results=settings.results)
        path = export(run, out / f"fold_{fold}", name="leads")
        on_progress(f"fold {fold}: scoring {settings.pages} pages of {len(stems)} records")
        scores = score_fold(path.parent, stems, settings.pages, settings.profile, fold)
        training = json.loads(path.with_suffix(".json").read_text())["training"]
        last = (training.get("log") or {}).get("last") or {}
        rows.append({"fold": fold, "steps": training["steps"], "val_dice": last.get("val_dice"), **scores})
        part = out / ".folds.csv.part"
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(part, index=False)
        os.replace(part, out / "folds.csv")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def validation_records(settings: CrossValidation, fold: int) -> list[Path]:
    """Records that a fold's network is not trained on, from the data set's own split.

    Raises:
        ValueError: the data set is not there, has no such fold, or its records are not in the folder.
    """
    raw = settings.data / "nnUNet_raw" / settings.dataset
    if not (raw / "splits_final.json").is_file():
        raise ValueError(
            f"data set must be prepared first (ecg-hough prepare-data); {raw} has no splits_final.json"
        )
    splits = json.loads((raw / "splits_final.json").read_text())
    if not 0 <= fold < len(splits):
        raise ValueError(f"fold must be below the data set's {len(splits)}; got {fold}")
    shown = set(splits[fold]["val"])
    with (raw / "cases.csv").open(newline="") as file:
        names = {row["source"] for row in csv.DictReader(file) if row["name"] in shown}
    stems = sorted(p.with_suffix("") for p in Path(settings.records).rglob("*.hea") if p.stem in names)
    if not stems:
        raise ValueError(
            f"records must be those of the data set; none of fold {fold}'s {len(names)} is in "
            f"{settings.records}"
        )
    return stems


def score_fold(weights: Path, stems: Sequence[Path], n: int, profile: str, fold: int) -> dict[str, Any]:
    """Scores of n rendered pages of records that a network has not seen; a page that fails has 0 dB a lead.

    Args:
        weights: folder with the fold's leads network.
    """
    from ecg_hough.networks.runtime import use_weights
    from ecg_hough.pipeline import digitize
    from ecg_hough.render import render_page
    from ecg_hough.scores.metrics import challenge_snr

    scores: list[float] = []
    found: list[bool] = []
    failed = 0
    use_weights(weights)
    try:
        for k in range(n):
            signals, fs = read_signals(stems[k % len(stems)])
            page = render_page(signals, fs, seed=page_seed(PAGE_SEED + fold, k), profile=profile)
            printed = np.flatnonzero(np.isfinite(page.signals).any(axis=1))
            try:
                ecg = digitize(page.image, fs=fs)
            except PageError:
                failed += 1
                scores += [0.0] * len(printed)
                found += [False] * len(printed)
                continue
            scores += [challenge_snr(page.signals[i], ecg.signals[i], fs) for i in printed]
            found += [ecg.lead_status[i].found for i in printed]
    finally:
        use_weights(None)
    return {
        "pages": n,
        "failed": failed,
        "challenge_snr_db": float(np.nanmean(scores)),
        "found_pct": 100.0 * float(np.mean(found)),
    }
