"""What is taken of what was learnt: only weights that are better, with their cards; a stopped run goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason='needs pip install "ecg-hough[serve]"')
from ecg_hough.networks.runtime import (
    WEIGHTS,
    check_weights,
    own_versions,
    use_weights,
    weights_file,
)
from ecg_hough.review.library import PageEntry
from ecg_hough.review.places import How
from ecg_hough.review.store import Decision, Standing
from ecg_hough.scores.guard import trained_on
from ecg_hough.signals.trust import TrustModel
from ecg_hough.training import learn as learning
from ecg_hough.training.corrected_pages import CorrectedPage, file_of, is_held_out, is_learnt
from ecg_hough.training.learn import LearnSettings, learn
from ecg_hough.training.learned_figures import Figures, compared
from ecg_hough.training.trust_recalibration import JudgedPage

BEFORE = Figures(5.0, 12, 60, 25.0, 5, 3)
BETTER = Figures(9.0, 4, 60, 24.95, 5, 3)
FORGETFUL = Figures(12.0, 2, 60, 24.8, 5, 3)
"""Better on corrected pages, and worse by 0.2 dB on the standard set."""
COMMAND = "ecg-hough learn out -o weights"


def page(k: int, held_out: bool, *, touched: bool = True) -> CorrectedPage:
    changed = np.zeros(12, bool)
    changed[0] = touched
    return CorrectedPage(
        f"page_{k}", f"key{k}", Path("page.png"), 1, How(), np.zeros((12, 5)), changed, held_out
    )


PAGES = [page(k, held_out=k > 3) for k in range(6)]


class Fakes:
    """In place of reading and training: figures by the name of the candidate."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **figures: Figures) -> None:
        self.figures = {"before": BEFORE} | figures
        self.measured: list[str] = []
        self.off = 1.5
        self.pages = PAGES
        monkeypatch.setattr(learning, "standard_pages", lambda folder: [])
        for name in ("pages_of", "measure", "_train", "candidates"):
            monkeypatch.setattr(learning, name, getattr(self, name.strip("_")))

    def pages_of(self, engine: Any, folder: Path, on_progress: Any) -> tuple[list[CorrectedPage], dict]:
        folder.mkdir(parents=True, exist_ok=True)
        for one in self.pages:
            file_of(one, folder).touch()
        return list(self.pages), {"lost": "page: it is not where it was read"}

    def train(self, pages: Sequence[CorrectedPage], *args: Any) -> Path:
        assert len(pages) == sum(not one.held_out for one in self.pages)
        return Path("run")

    def candidates(self, run: Path, start: Path, work: Path, trust: Path) -> dict[str, Path]:
        for name in learning.SHARES:
            folder = work / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "traces.onnx").write_bytes(name.encode())
            card = {"name": "traces", "sha256": name, "data": {"records": 0}, "training": {"steps": 7}}
            (folder / "traces.json").write_text(json.dumps(card))
        return {name: work / name for name in learning.SHARES}

    def measure(self, weights: Path | None, pages: Sequence[CorrectedPage], *args: Any) -> Any:
        name = weights.name if weights is not None else "before"
        self.measured.append(name if name in learning.SHARES else "before")
        name = name if name in self.figures else "before"
        right = np.tile(np.arange(12) % 2 == 0, (8, 1))
        said = np.full((8, 12), 1 / (1 + np.exp(-self.off)))
        return self.figures[name], [JudgedPage(p, r) for p, r in zip(said, right, strict=True)]


def run(out: Path, **settings: Any) -> learning.Learned:
    made = LearnSettings(**settings)
    return learn(None, out, standard=Path("samples"), command=COMMAND, settings=made)  # type: ignore[arg-type]


def test_the_better_network_is_written_with_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Fakes(monkeypatch, trained=FORGETFUL, mean=BETTER)
    result = run(tmp_path / "weights")
    assert result.taken == "mean"
    names = {path.name for path in (tmp_path / "weights").iterdir()}
    assert names == {"traces.onnx", "traces.json", "trust.json", "learned.txt"}
    assert (tmp_path / "weights" / "traces.onnx").read_bytes() == b"mean"
    card = json.loads((tmp_path / "weights" / "traces.json").read_text())
    shipped = json.loads((WEIGHTS / "traces.json").read_text())
    assert card["data"]["record_names"] == shipped["data"]["record_names"], "it was trained on those, too"
    assert card["data"]["corrected_pages"] == 4
    assert card["training"]["command"] == COMMAND
    assert card["training"]["started_from"]["sha256"] == shipped["sha256"]
    assert card["figures"]["held_out_pages"]["corrected_db"] == 9.0
    assert any("+4.0 dB" in one for one in result.sentences)
    (traces,) = trained_on(tmp_path / "weights")
    assert traces.listed


def test_a_network_that_forgets_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = Fakes(monkeypatch, trained=FORGETFUL, mean=FORGETFUL)
    fakes.off = 0.0
    result = run(tmp_path)
    assert (result.taken, result.trust_taken) == (None, False)
    assert [path.name for path in tmp_path.iterdir()] == ["learned.txt"]
    assert any("stays as it was: no candidate" in one for one in result.sentences)


def test_trust_alone_may_be_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Fakes(monkeypatch, trained=BEFORE, mean=BEFORE)
    result = run(tmp_path)
    assert (result.taken, result.trust_taken) == (None, True)
    model, shipped = TrustModel.read(tmp_path / "trust.json"), TrustModel.read(WEIGHTS / "trust.json")
    assert model.calibration[1] < shipped.calibration[1]
    assert model.parts.keys() == shipped.parts.keys()
    check_weights(tmp_path)
    try:
        use_weights(tmp_path)
        assert weights_file("trust.json") == tmp_path / "trust.json"
        assert weights_file("traces.onnx") == WEIGHTS / "traces.onnx"
        assert own_versions()["trust"].startswith("trust-")
    finally:
        use_weights(None)
    assert trained_on(tmp_path) == ()
    assert own_versions() == {}


def test_what_was_learnt_before_is_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Fakes(monkeypatch, trained=BETTER, mean=BEFORE)
    run(tmp_path)
    Fakes(monkeypatch, trained=replace(BETTER, corrected_db=11.0), mean=BEFORE)
    again = run(tmp_path)
    assert again.taken == "trained"
    card = json.loads((tmp_path / "traces.json").read_text())
    assert card["training"]["started_from"]["sha256"] == "trained"
    assert card["data"]["corrected_pages"] == 8


def test_a_stopped_run_goes_on_and_another_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = Fakes(monkeypatch, trained=BETTER, mean=BEFORE)

    def stop(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(learning, "_write", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert fakes.measured == ["before", "trained", "mostly-trained", "mean"]
    monkeypatch.undo()
    fakes = Fakes(monkeypatch, trained=BETTER, mean=BEFORE)
    assert run(tmp_path).taken == "trained"
    assert fakes.measured == []
    fakes = Fakes(monkeypatch, trained=BETTER, mean=BEFORE)
    run(tmp_path, steps=7)
    assert fakes.measured == ["before", "trained", "mostly-trained", "mean"]


def test_too_few_pages_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = Fakes(monkeypatch, trained=BETTER, mean=BEFORE)
    fakes.pages = [*PAGES[:4], page(4, held_out=True), page(5, held_out=True, touched=False)]
    with pytest.raises(ValueError, match="has 4 and 1; 1 cannot be read"):
        run(tmp_path)


def test_which_pages_count() -> None:
    entry = PageEntry("a", "a.png", "12ab")
    assert is_learnt(Standing(Decision("accepted")))
    assert is_learnt(Standing(version=2))
    assert not is_learnt(Standing())
    assert not is_learnt(Standing(Decision("rejected", "no ECG"), 2))
    held = [is_held_out(replace(entry, sha256=f"{k}")) for k in range(400)]
    assert 70 < sum(held) < 130
    assert held == [is_held_out(replace(entry, stem="other", sha256=f"{k}")) for k in range(400)]


def test_leads_are_compared() -> None:
    rng = np.random.default_rng(0)
    truth = np.full((12, 1000), np.nan)
    truth[:3] = rng.normal(0, 0.3, (3, 1000)).cumsum(axis=1) * 0.1
    read = np.full((12, 1000), np.nan)
    read[0], read[1] = truth[0], -truth[1]
    snr_db, wrong, right = compared(truth, read, 500)
    assert snr_db[0] == 40.0
    assert (snr_db[1] < 5.0, snr_db[2]) == (True, 0.0)
    assert np.isnan(snr_db[3:]).all()
    assert wrong[:3].tolist() == [False, True, True]
    assert right[:3].tolist() == [True, False, False]
    assert compared(truth, None, 500)[1][:3].all()
