"""The trace network's own loop: it learns, pauses, goes on, and records what it began with."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("dynamic_network_architectures", reason="needs the train extra")

from ecg_hough.training import trace_train  # noqa: E402
from ecg_hough.training.export_weights import export  # noqa: E402
from ecg_hough.training.trace_network import make_network  # noqa: E402
from ecg_hough.training.trace_train import TraceTrainSettings, train_traces  # noqa: E402
from made_up_run import write_trace_run  # noqa: E402

FEATURES = (4, 8, 8)


def crops(n, rng):
    """Dark lines on light crops of 64 x 64 px, and their rows."""
    rows = rng.integers(12, 52, n)
    channels = np.full((n, 5, 64, 64), 230, np.uint8)
    channels[np.arange(n), :, rows] = 20
    return channels, np.broadcast_to(rows[:, None, None], (n, 2, 64)).astype(np.float32).copy()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A small network and drawn lines in place of rendered pages."""

    def batches(stems, *, seed, batch_size, workers=1, corrected=None):
        rng = np.random.default_rng(seed)
        while True:
            yield crops(batch_size, rng)

    monkeypatch.setattr(trace_train, "make_network", lambda features=FEATURES: make_network(features))
    monkeypatch.setattr(trace_train, "WARMUP_STEPS", 5)
    monkeypatch.setattr(trace_train, "batches", batches)
    fixed = list(zip(*crops(6, np.random.default_rng(5)), strict=True))
    monkeypatch.setattr(trace_train, "validation_crops", lambda stems, seed: fixed)


def log_of(run: Path) -> list[dict[str, float]]:
    with (run / "log.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_the_loop_learns(tmp_path):
    settings = TraceTrainSettings(steps=60, learning_rate=1e-2, batch_size=4, threads=1, ema=0.9)
    run = train_traces(settings, records=None, out=tmp_path / "run")
    once = TraceTrainSettings(steps=1, batch_size=4, threads=1, ema=0.9)
    untrained = train_traces(once, records=None, out=tmp_path / "one")
    assert log_of(run)[-1]["step"] == 60
    assert log_of(run)[-1]["val_cross_entropy"] < 0.8 * log_of(untrained)[-1]["val_cross_entropy"]


def test_a_run_goes_on_and_remembers_what_it_began_with(tmp_path):
    weights = export(write_trace_run(tmp_path / "first"), tmp_path / "weights")
    out = tmp_path / "run"
    settings = TraceTrainSettings(steps=2, batch_size=2, threads=1)
    train_traces(replace(settings, start_from=weights), records=None, out=out)
    train_traces(replace(settings, steps=4), records=None, out=out)
    assert [row["step"] for row in log_of(out)] == [2, 4]
    kept = json.loads((out / "settings.json").read_text())
    assert kept["start_from"] == weights.name
    assert kept["steps"] == 4
    train_traces(replace(settings, steps=1, fresh=True), records=None, out=out)
    assert json.loads((out / "settings.json").read_text())["start_from"] is None
