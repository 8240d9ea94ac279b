"""The trace network's run folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("dynamic_network_architectures", reason="needs the train extra")

from ecg_hough.training.trace_run import is_trace_run, read_trace_run  # noqa: E402
from made_up_run import write_trace_run  # noqa: E402

pytestmark = pytest.mark.train


def test_a_run_gives_its_averaged_network_and_its_card(tmp_path: Path) -> None:
    folder = write_trace_run(tmp_path / "run")
    assert is_trace_run(folder)
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps(settings | {"record_names": ["00001_hr"]}))
    checkpoint = torch.load(folder / "checkpoint.pth")
    checkpoint["network"] = {name: torch.zeros_like(v) for name, v in checkpoint["network"].items()}
    torch.save(checkpoint, folder / "checkpoint.pth")
    run = read_trace_run(folder)
    assert not run.network.training
    assert all(float(p.detach().abs().sum()) > 0 for p in run.network.parameters())
    assert run.card["data"]["record_names"] == ["00001_hr"]
    assert run.card["training"]["log"]["best"] == {"step": 7, "val_rmse_px": 0.5}
    assert run.stride == 8


def test_another_folder_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{}")
    assert not is_trace_run(tmp_path)
