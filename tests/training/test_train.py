import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecg_hough.networks.canvas import CANVAS_PX
from ecg_hough.networks.runtime import Network
from ecg_hough.training.prepare_data import DataSettings, prepare
from ecg_hough.training.train import CONFIGS, TrainSettings, _check_input, _planned, read_config, train

WINNERS_PARAMETERS = 59.2e6
"""Of the 2024 winner's network (Krones et al. 2024), one input channel."""
WINNERS_DATASET = "Dataset501_Pages"
LIGHT_PATCH = [256, 512]
"""For one step on a processor: nine stages need multiples of 256, and more than one pixel at the bottom."""


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.json")), ids=lambda path: path.stem)
def test_configurations_fit_their_networks(path: Path) -> None:
    config = read_config(path.stem)
    chosen = config["configuration"]
    shape = chosen["architecture"]
    assert config["name"] == path.stem
    assert len(shape["features_per_stage"]) == shape["n_stages"]
    assert all(side % 2 ** (shape["n_stages"] - 1) == 0 for side in chosen["patch_size"])
    assert {"epochs", "iterations_per_epoch", "validation_iterations"} <= set(config["training"])


def test_an_unknown_configuration_is_refused() -> None:
    known = "krones2024, krones2024_small, leads, leads_more, tiny"
    with pytest.raises(ValueError, match=rf"config must be one of {known}, .*; got best"):
        read_config("best")


def test_an_unknown_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="fold must be 0 to 4 or all; got 5"):
        TrainSettings(config="tiny", fold=5)


def test_one_normalization_applies_to_all_channels() -> None:
    planned = {"normalization_schemes": ["RGBTo01Normalization"] * 3, "batch_size": 12}
    got = _planned(planned, {"normalization_schemes": "ZScoreNormalization", "batch_size": 2}, "net_2d")
    assert got == {
        "normalization_schemes": ["ZScoreNormalization"] * 3,
        "batch_size": 2,
        "data_identifier": "net_2d",
    }


@pytest.mark.parametrize(
    ("config", "channels", "canvas", "message"),
    [
        ("krones2024", 3, "page", "krones2024 needs pages with planes red; .* has 3 channels"),
        ("krones2024", 1, "canvas704", "needs cases on canvas page; .* are on canvas704"),
        ("leads", 1, "canvas704", "leads needs pages with planes rgb"),
        ("leads", 3, "page", "needs cases on canvas canvas704"),
    ],
)
def test_a_data_set_for_another_network_is_refused(
    tmp_path: Path, config: str, channels: int, canvas: str, message: str
) -> None:
    names = {str(k): "plane" for k in range(channels)}
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": names}))
    (tmp_path / "prepare.json").write_text(json.dumps({"options": {"canvas": canvas}}))
    with pytest.raises(ValueError, match=message):
        _check_input(read_config(config), tmp_path)


@pytest.mark.train
@pytest.mark.slow
def test_from_pages_to_an_exported_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nnunetv2")
    from ecg_hough.training.export_weights import export

    monkeypatch.setenv("nnUNet_n_proc_DA", "0")  # no second process that imports torch
    data = tmp_path / "data"
    prepare(data / "nnUNet_raw", DataSettings(n=6, profile="clean"), workers=1)
    steps: list[tuple[int, float]] = []
    settings = TrainSettings(config="tiny", device="cpu", epochs=1, iterations=3, workers=1)
    options: dict[str, Any] = {
        "data": data,
        "results": tmp_path / "runs",
        "on_step": lambda epoch, step, loss: steps.append((epoch, loss)),
    }
    train(settings, **options)
    # The same command with more epochs goes on after the first, with the pages added since.
    prepare(data / "nnUNet_raw", DataSettings(n=8, profile="clean"), workers=1)
    fold = train(replace(settings, epochs=2), **options)
    assert [epoch for epoch, _ in steps] == [0, 0, 0, 1, 1, 1]
    assert np.isfinite([loss for _, loss in steps]).all()
    network = Network(export(fold, tmp_path / "weights"), threads=1)
    assert network.run(np.zeros((1, 3, CANVAS_PX, CANVAS_PX), np.float32)).shape == (1, 13, 704, 704)
    training = network.card["training"]
    assert (training["epochs"], training["steps"], training["log"]["rows"]) == (2, 6, 2)
    assert training["command"].startswith("ecg-hough train --config tiny --fold 0")
    assert training["hardware"]["cores"] >= 1
    about = network.card["data"]
    assert (about["cases"], about["generated_cases"], about["records"]) == (8, 8, 0)
    assert about["prepare"]["options"]["profile"] == "clean"
    assert about["trained_on"] + about["validated_on"] == 8
    # A published card names no folder of this machine.
    assert str(tmp_path) not in json.dumps(network.card)


@pytest.mark.train
@pytest.mark.slow
def test_the_winners_network_is_built_and_takes_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("nnunetv2")
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from ecg_hough.training.nnunet_run import build_network
    from ecg_hough.training.train import plan, set_environment
    from ecg_hough.training.trainer_krones2024 import Krones2024Trainer

    data, results = tmp_path / "data", tmp_path / "runs"
    chosen = DataSettings(n=4, profile="clean", planes="red", canvas="page", dpi=40, dataset=WINNERS_DATASET)
    prepare(data / "nnUNet_raw", chosen, workers=1)
    set_environment(data, results)
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    identifier = plan("krones2024", data, WINNERS_DATASET, workers=1)
    preprocessed = data / "nnUNet_preprocessed" / WINNERS_DATASET
    plans = json.loads((preprocessed / f"{identifier}.json").read_text())
    configuration = plans["configurations"]["2d"]
    assert configuration["normalization_schemes"] == ["ZScoreNormalization"]
    assert configuration["data_identifier"] == "krones2024Plans_2d"
    assert configuration["patch_size"] == [1024, 1280]
    assert configuration["batch_size"] == 2
    assert (preprocessed / "krones2024Plans_2d").is_dir()

    network = build_network(PlansManager(plans).get_configuration("2d"), 1, 13)
    n_parameters = sum(p.numel() for p in network.parameters())
    assert n_parameters == pytest.approx(WINNERS_PARAMETERS, rel=0.01)
    with torch.no_grad():
        assert network(torch.zeros(1, 1, *LIGHT_PATCH)).shape == (1, 13, *LIGHT_PATCH)
    del network

    configuration |= {"patch_size": LIGHT_PATCH}
    plans["continue_training"] = False
    dataset_json = json.loads((preprocessed / "dataset.json").read_text())
    trainer = Krones2024Trainer(plans, "2d", 0, dataset_json, torch.device("cpu"))
    assert (trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.initial_lr) == (500, 250, 0.01)
    losses: list[float] = []
    trainer.on_step = lambda epoch, step, loss: losses.append(loss)
    trainer.initialize()
    trainer.on_train_start()
    assert trainer.inference_allowed_mirroring_axes == (0, 1)
    assert trainer.enable_deep_supervision
    trainer.network.train()
    trainer.train_step(next(trainer.dataloader_train))
    assert len(losses) == 1
    assert np.isfinite(losses).all()
