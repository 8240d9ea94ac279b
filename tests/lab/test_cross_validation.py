"""Cross-validation: which records score a fold, and what stands in its row."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ecg_hough.errors import PageError
from ecg_hough.networks import runtime
from ecg_hough.render import RenderedPage
from ecg_lab.cross_validation import CrossValidation, cross_validate, score_fold, validation_records
from made_up_records import made_up_signals, write_record

pytest.importorskip("torch")
pytest.importorskip("nnunetv2")

CASES = [("page_0", "00001_hr"), ("page_1", "00002_hr"), ("page_2", "generated"), ("page_3", "00003_hr")]


@pytest.fixture
def settings(tmp_path: Path) -> CrossValidation:
    raw = tmp_path / "data" / "nnUNet_raw" / "Dataset500_Signals"
    raw.mkdir(parents=True)
    with (raw / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("name", "source"), *CASES])
    folds = [["page_0", "page_2"], ["page_1"], ["page_3"]]
    splits = [{"train": [], "val": names} for names in folds]
    (raw / "splits_final.json").write_text(json.dumps(splits))
    for _, source in CASES:
        if source != "generated":
            write_record(tmp_path / "records" / source, made_up_signals())
    return CrossValidation(
        data=tmp_path / "data", results=tmp_path / "runs", records=tmp_path / "records", folds=(0, 1), pages=2
    )


def test_a_fold_is_scored_on_its_own_records(settings: CrossValidation, tmp_path: Path) -> None:
    assert [stem.name for stem in validation_records(settings, 0)] == ["00001_hr"]
    assert [stem.name for stem in validation_records(settings, 1)] == ["00002_hr"]
    with pytest.raises(ValueError, match="below the data set's 3; got 3"):
        validation_records(settings, 3)
    elsewhere = CrossValidation(data=settings.data, records=tmp_path / "none")
    with pytest.raises(ValueError, match="none of fold 0's 2 is in"):
        validation_records(elsewhere, 0)
    with pytest.raises(ValueError, match="prepared first"):
        validation_records(CrossValidation(data=tmp_path / "none"), 0)


def test_every_fold_is_trained_exported_and_scored(
    settings: CrossValidation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Any] = []

    def train(options: Any, **_: Any) -> Path:
        trained.append(options.fold)
        return tmp_path / f"run_{options.fold}"

    def export(run: Path, out: Path, *, name: str) -> Path:
        out.mkdir(parents=True)
        card = {"training": {"steps": 40, "log": {"last": {"val_dice": 0.5}}}}
        (out / f"{name}.json").write_text(json.dumps(card))
        return out / f"{name}.onnx"

    def score(weights: Path, stems: list[Path], n: int, profile: str, fold: int) -> dict[str, Any]:
        assert weights == tmp_path / "out" / f"fold_{fold}"
        return {"pages": n, "failed": fold, "challenge_snr_db": 20.0 - fold, "found_pct": 100.0}

    monkeypatch.setattr("ecg_hough.training.train.train", train)
    monkeypatch.setattr("ecg_hough.training.export_weights.export", export)
    monkeypatch.setattr("ecg_lab.cross_validation.score_fold", score)
    table = cross_validate(settings, tmp_path / "out")
    assert trained == [0, 1]
    assert table["challenge_snr_db"].tolist() == [20.0, 19.0]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out" / "folds.csv"), table)


def test_a_page_that_fails_scores_nothing(
    settings: CrossValidation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One page is read to half of its height, the other not at all."""
    shown: list[RenderedPage] = []
    used: list[Path | None] = []

    def render_page(*arguments: Any, **options: Any) -> RenderedPage:
        from ecg_hough.render.page import render_page as render

        shown.append(render(*arguments, **(options | {"profile": "clean", "dpi": 40})))
        return shown[-1]

    def digitize(image: np.ndarray, **_: Any) -> Any:
        used.append(runtime._weights)
        if len(shown) == 2:
            raise PageError("grid", "no grid")
        from types import SimpleNamespace as Record

        return Record(signals=shown[0].signals / 2, lead_status=[Record(found=True)] * 12)

    monkeypatch.setattr("ecg_hough.render.render_page", render_page)
    monkeypatch.setattr("ecg_hough.pipeline.digitize", digitize)
    scores = score_fold(tmp_path, validation_records(settings, 0), 2, "mixed", 0)
    assert used == [tmp_path, tmp_path]
    assert runtime._weights is None
    printed = [int(np.isfinite(page.signals).any(axis=1).sum()) for page in shown]
    assert (scores["pages"], scores["failed"]) == (2, 1)
    assert scores["found_pct"] == pytest.approx(100 * printed[0] / sum(printed))
    # Half the height leaves a quarter of the power, 6 dB; alignment may gain a little.
    whole = scores["challenge_snr_db"] * sum(printed) / printed[0]
    assert 5.5 < whole < 9.0
