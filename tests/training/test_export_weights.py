import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from ecg_hough.networks.runtime import Network
from ecg_hough.paper import LEADS

pytest.importorskip("torch")
pytest.importorskip("nnunetv2")

from ecg_hough.training import export_weights
from ecg_hough.training.export_weights import MAX_DEVIATION, export, list_records, load_run
from made_up_records import made_up_signals, write_csv, write_record
from made_up_run import write_nnunet_run, write_trace_run

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nnunet_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(run, tmp_path_factory.mktemp("weights"))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "rows", "cols"), [(1, 96, 160), (3, 128, 64)])
def test_any_batch_and_size_gives_torchs_logits(
    run: Path, exported: Path, n: int, rows: int, cols: int
) -> None:
    import torch

    image = np.random.default_rng(1).random((n, 3, rows, cols), np.float32)
    with torch.no_grad():
        expected = load_run(run)(torch.from_numpy(image)).numpy()
    got = Network(exported, precision="f32").run(image)
    assert got.shape == expected.shape == (n, 13, rows, cols)
    assert np.abs(got - expected).max() < MAX_DEVIATION * np.ptp(expected)


def test_the_card_states_what_the_network_is(run: Path, exported: Path) -> None:
    card = json.loads(exported.with_suffix(".json").read_text())
    assert (card["name"], card["task"], card["figures"]) == ("leads", "leads", {})
    assert card["labels"] == {"background": 0, **{lead: k + 1 for k, lead in enumerate(LEADS)}}
    assert card["outputs"] == ["background", *LEADS]
    assert card["input"]["scale"] == pytest.approx(1 / 255)
    assert card["input"]["canvas_px"] == [704, 704]
    assert card["sha256"] == hashlib.sha256(exported.read_bytes()).hexdigest()
    assert card["size_bytes"] == exported.stat().st_size
    assert card["check"]["openvino_against_torch"] < MAX_DEVIATION
    training = card["training"]
    assert (training["epochs"], training["steps"], training["averaged_weights"]) == (2, 20, True)
    assert training["log"]["last"] == {"epoch": 1, "steps": 20, "val_dice": None}
    assert training["log"]["best"]["epoch"] == 0
    assert str(run.parent) not in exported.with_suffix(".json").read_text()


def test_half_precision_halves_the_file(run: Path, exported: Path, tmp_path: Path) -> None:
    whole = export(run, tmp_path, half=False)
    assert exported.stat().st_size < 0.65 * whole.stat().st_size


def test_the_newer_of_latest_and_final_is_taken(tmp_path: Path) -> None:
    fold = write_nnunet_run(tmp_path, seed=1, kind="latest")
    write_nnunet_run(tmp_path, seed=2, kind="final")
    write_nnunet_run(tmp_path, seed=3, kind="best")
    os.utime(fold / "checkpoint_final.pth", (1, 1))

    def taken(checkpoint: str | None = None) -> float:
        return float(next(load_run(fold, checkpoint=checkpoint).parameters()).sum())

    assert taken() == taken("latest") != taken("final")
    os.utime(fold / "checkpoint_latest.pth", (0, 0))
    assert taken() == taken("final") != taken("best")


def test_a_trace_network_is_exported_with_its_settings(tmp_path: Path) -> None:
    path = export(write_trace_run(tmp_path / "run"), tmp_path / "weights")
    assert path.name == "traces.onnx"
    network = Network(path)
    assert network.card["training"]["steps"] == 7
    assert network.card["training"]["seed"] == 4
    assert network.card["training"]["log"]["best"] == {"step": 7, "val_rmse_px": 0.5}
    channels = network.card["input"]["channels"]
    assert network.run(np.zeros((1, channels, 64, 128), np.float32)).shape[2:] == (32, 64)


def test_a_deviating_export_replaces_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = export(run, tmp_path, name="net")
    before = old.read_bytes(), old.with_suffix(".json").read_bytes()
    monkeypatch.setattr(export_weights, "MAX_DEVIATION", 1e-9)
    with pytest.raises(ValueError, match="nothing was replaced"):
        export(run, tmp_path, name="net")
    assert (old.read_bytes(), old.with_suffix(".json").read_bytes()) == before
    assert {path.name for path in tmp_path.iterdir()} == {"net.onnx", "net.json"}


def test_weights_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    fold = write_nnunet_run(tmp_path / "run", scale=1e7)
    with pytest.raises(ValueError, match=r"must fit half precision .* reaches"):
        export(fold, tmp_path / "weights")
    assert not list((tmp_path / "weights").iterdir())


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"folder must hold checkpoint_latest.pth or checkpoint_final.pth"):
        export(tmp_path, tmp_path / "weights")
    with pytest.raises(ValueError, match="checkpoint must be one of latest, final, best; got 'newest'"):
        export(tmp_path, tmp_path / "weights", checkpoint="newest")


def test_the_records_of_an_older_card_are_added_later(tmp_path: Path) -> None:
    records = tmp_path / "ptbxl"
    rows = [{"ecg_id": k, "patient_id": p, "filename_hr": f"0000{k}_hr", "filename_lr": f"0000{k}_lr"}
            for k, p in ((1, 15709), (2, 13243))]  # fmt: skip
    for row in rows:
        write_record(records / row["filename_hr"], made_up_signals())
    write_csv(records / "ptbxl_database.csv", rows)
    card = tmp_path / "traces.json"
    card.write_text(json.dumps({"name": "traces", "data": {"records": 2}, "sha256": "0"}))
    list_records(card, records)
    content = json.loads(card.read_text())
    assert content["data"]["record_names"] == ["00001_hr", "00002_hr"]
    assert content["data"]["patient_ids"] == ["13243", "15709"]
    assert content["sha256"] == "0"
    card.write_text(json.dumps({"name": "traces", "data": {"records": 3}}))
    with pytest.raises(ValueError, match=r"must be those trained on: 3 by the card; .* holds 2"):
        list_records(card, records)
