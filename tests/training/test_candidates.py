"""Candidates: the trained network and its mean with the old one, each with a card and the trust so far."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("dynamic_network_architectures", reason="needs the train extra")
from ecg_hough.networks.runtime import Network  # noqa: E402
from ecg_hough.training.candidates import candidates  # noqa: E402
from ecg_hough.training.export_weights import export  # noqa: E402
from ecg_hough.training.exported import load_exported  # noqa: E402
from ecg_hough.training.trace_run import read_trace_run  # noqa: E402
from made_up_run import write_trace_run  # noqa: E402


def weights_of(path: Path, run: Path) -> np.ndarray:
    network = read_trace_run(run).network
    load_exported(network, path)
    return np.concatenate([p.detach().numpy().ravel() for p in network.parameters()])


def test_the_trained_network_and_the_mean(tmp_path: Path) -> None:
    run = write_trace_run(tmp_path / "run")
    start = export(run, tmp_path / "weights")
    state = torch.load(run / "checkpoint.pth", weights_only=True)
    state["average"] = {name: 1.5 * values for name, values in state["average"].items()}
    torch.save(state, run / "checkpoint.pth")
    trust = tmp_path / "trust.json"
    trust.write_text("{}")
    made = candidates(run, start, tmp_path / "work", trust)
    old, trained, mean = (
        weights_of(path, run)
        for path in (start, *(made[name] / "traces.onnx" for name in ("trained", "mean")))
    )
    assert np.abs(old - trained).max() > 0.01
    assert mean == pytest.approx(0.5 * (old + trained), abs=2e-3)
    assert all((folder / "trust.json").read_text() == "{}" for folder in made.values())
    assert Network(made["mean"] / "traces.onnx").card["task"] == "traces"
    stamp = (made["mean"] / "traces.onnx").stat().st_mtime_ns
    candidates(run, start, tmp_path / "work", trust)
    assert (made["mean"] / "traces.onnx").stat().st_mtime_ns == stamp, "a stopped run goes on"
