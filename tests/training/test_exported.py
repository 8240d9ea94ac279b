"""Training goes on from exported weights: `training.exported`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("dynamic_network_architectures", reason="needs the train extra")

from ecg_hough.training.export_weights import export, load_run  # noqa: E402
from ecg_hough.training.exported import load_exported  # noqa: E402
from ecg_hough.training.trace_network import make_network  # noqa: E402
from made_up_run import write_trace_run  # noqa: E402

FEATURES = (4, 8, 8)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_trace_run(tmp_path / "run")


def test_exported_weights_come_back_but_for_half_precision(run: Path, tmp_path: Path) -> None:
    path = export(run, tmp_path / "weights")
    trained, other = load_run(run), make_network(FEATURES).eval()
    load_exported(other, path)
    picture = torch.rand(1, 5, 64, 64)
    with torch.no_grad():
        expected, found = trained(picture), other(picture)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=5e-3 * float(expected.abs().max()))


def test_weights_of_another_network_or_none_are_refused(run: Path, tmp_path: Path) -> None:
    path = export(run, tmp_path / "weights")
    with pytest.raises(ValueError, match="network of this shape"):
        load_exported(make_network((6, 8, 8)), path)
    with pytest.raises(ValueError, match="must be a file"):
        load_exported(make_network(FEATURES), tmp_path / "none.onnx")


def test_an_export_may_be_the_mean_of_two(run: Path, tmp_path: Path) -> None:
    first = export(run, tmp_path / "first")
    checkpoint = torch.load(run / "checkpoint.pth")
    network = make_network(FEATURES)
    network.load_state_dict(checkpoint["average"])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2
    torch.save({**checkpoint, "average": network.state_dict()}, run / "checkpoint.pth")
    earlier = json.loads(first.with_suffix(".json").read_text())
    earlier["data"]["record_names"] = ["00001_hr"]
    first.with_suffix(".json").write_text(json.dumps(earlier))
    settings = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps(settings | {"record_names": ["00002_hr"]}))
    path = export(run, tmp_path / "mean", average_with=first)
    mean = make_network(FEATURES)
    load_exported(mean, path)
    later = dict(network.named_parameters())
    for name, value in mean.named_parameters():
        if not name.startswith("decoder.seg_layers.0"):  # a head that is not exported
            torch.testing.assert_close(value, later[name] - 0.1, rtol=2e-3, atol=2e-3)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["training"]["averaged_with"]["sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()
    assert card["training"]["before"] == earlier["training"]
    # The guard refuses the records of both.
    assert card["data"]["record_names"] == ["00001_hr", "00002_hr"]
