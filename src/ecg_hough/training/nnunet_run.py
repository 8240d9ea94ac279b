"""nnU-Net's result folder of a fold: checkpoint, plans and logs enter, a network and its card leave."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecg_hough.datasets.split import trained_names
from ecg_hough.paper import WORDS
from ecg_hough.training.run_card import TrainedRun, hardware, log_essentials, read_json

if TYPE_CHECKING:
    import torch

_KINDS = ("latest", "final", "best")


def read_nnunet_run(folder: Path, checkpoint: str | None, data: Path | None) -> TrainedRun:
    """The network of a fold's folder.

    Args:
        folder: of the fold, with checkpoints; plans.json and dataset.json are one above it.
        checkpoint: "latest", "final" or "best"; None takes the newer of latest and final.
        data: folder of nnUNet_raw, where the run folder does not describe its cases.
    Raises:
        ValueError: no such checkpoint.
    """
    import torch
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    path = _checkpoint_path(folder, checkpoint)
    # Numbers of the log are numpy scalars there, which torch's safe loading refuses.
    state = torch.load(path, map_location="cpu", weights_only=False)
    started_with = state["init_args"]
    plans_path, dataset_path = folder.parent / "plans.json", folder.parent / "dataset.json"
    plans = json.loads(plans_path.read_text()) if plans_path.is_file() else started_with["plans"]
    dataset = json.loads(dataset_path.read_text()) if dataset_path.is_file() else started_with["dataset_json"]
    configuration = PlansManager(plans).get_configuration(started_with["configuration"])
    channels = list(dataset["channel_names"].values())
    network = build_network(configuration, len(channels), len(dataset["labels"]))
    # Compiled networks carry a prefix.
    weights = {key.removeprefix("_orig_mod."): value for key, value in state["network_weights"].items()}
    network.load_state_dict(weights)
    network.eval()
    outputs = [label for label, _ in sorted(dataset["labels"].items(), key=lambda item: item[1])]
    reads_words = tuple(outputs[1:]) == WORDS
    if reads_words:
        network.coarse = True  # type: ignore[assignment]  # half the picture's resolution places a word well enough
    architecture = configuration.network_arch_init_kwargs
    card = {
        "task": "words" if reads_words else "leads",
        "labels": dict(dataset["labels"]),
        "input": _input(channels, configuration),
        "outputs": outputs,
        "architecture": {
            "class": configuration.network_arch_class_name,
            "features_per_stage": architecture["features_per_stage"],
            "parameters": sum(p.numel() for p in network.parameters()),
        },
        "data": describe_data(plans["dataset_name"], dataset, str(started_with["fold"]), folder.parent, data),
        "training": _describe_training(folder, path, state, plans),
        "exported_on": hardware(),
    }
    stride = prod(max(stage) for stage in architecture["strides"])
    return TrainedRun(network, len(channels), stride, card)


def _input(channels: list[str], configuration: Any) -> dict[str, Any]:
    """What the network takes."""
    schemes = configuration.normalization_schemes
    return {
        "channels": channels,
        "normalization": schemes,
        "scale": 1 / 255 if set(schemes) == {"RGBTo01Normalization"} else None,
        "layout": "NCHW",
        "canvas_px": list(configuration.patch_size),
    }


def _describe_training(
    folder: Path, checkpoint: Path, state: dict[str, Any], plans: dict[str, Any]
) -> dict[str, Any]:
    """How long and with what the network was trained."""
    made_by = read_json(folder / "run.json")
    iterations = made_by.get("iterations_per_epoch", plans.get("training", {}).get("iterations_per_epoch"))
    epochs = int(state["current_epoch"])
    return {
        "command": made_by.get("command"),
        "trainer": state["trainer_name"],
        "plans": plans["plans_name"],
        "schedule": plans.get("training", {}),
        "fold": str(state["init_args"]["fold"]),
        "seed": made_by.get("seed"),
        "checkpoint": checkpoint.name,
        "epochs": epochs,
        "steps": state.get("n_steps", epochs * iterations if iterations else None),
        "averaged_weights": "raw_weights" in state,
        "hardware": made_by.get("hardware"),
        "log": log_essentials(folder / "log.csv", "val_dice", best=max),
    }


def build_network(configuration: Any, channels: int, outputs: int) -> torch.nn.Module:
    """The network of an nnU-Net configuration, without deep supervision, weights random."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    network: torch.nn.Module = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        channels,
        outputs,
        allow_init=True,
        deep_supervision=False,
    )
    return network


def _checkpoint_path(folder: Path, kind: str | None) -> Path:
    if kind is not None and kind not in _KINDS:
        raise ValueError(f"checkpoint must be one of {', '.join(_KINDS)}; got {kind!r}")
    kinds: Iterable[str] = _KINDS[:2] if kind is None else (kind,)
    found = [p for p in (folder / f"checkpoint_{k}.pth" for k in kinds) if p.is_file()]
    if not found:
        wanted = " or ".join(f"checkpoint_{k}.pth" for k in kinds)
        raise ValueError(f"folder must hold {wanted} of nnU-Net or a trace network's run; got {folder}")
    return max(found, key=lambda path: path.stat().st_mtime)


def describe_data(
    name: str, dataset: dict[str, Any], fold: str, results: Path, data: Path | None
) -> dict[str, Any]:
    """Counts of cases, patients and sources, from what `train` kept or from the data set itself."""
    about: dict[str, Any] = {"dataset": name, "cases": dataset["numTraining"]}
    # Kept by `train` next to plans.json, so that a run folder is enough.
    folders = [results] + ([Path(data) / "nnUNet_raw" / name] if data is not None else [])
    folder = next((f for f in folders if (f / "cases.csv").is_file()), None)
    if folder is None:
        return about
    with (folder / "cases.csv").open(newline="") as file:
        cases = list(csv.DictReader(file))
    sources = {case["source"] for case in cases} - {"generated"}
    about |= {
        "patients": len({c["group"] for c in cases if c["source"] != "generated"}),
        "records": len(sources),
        "generated_cases": sum(case["source"] == "generated" for case in cases),
    }
    if (folder / "prepare.json").is_file():
        about["prepare"] = read_json(folder / "prepare.json")
    if (folder / "splits_final.json").is_file() and fold != "all":
        split = json.loads((folder / "splits_final.json").read_text())[int(fold)]
        about |= {"trained_on": len(split["train"]), "validated_on": len(split["val"])}
    else:
        about["trained_on"] = len(cases)
    # The records of all folds: what validated a network also chose it.
    drawn = {_record_name(case["source"]): case["group"] for case in cases if case["source"] != "generated"}
    return about | trained_names(drawn)


def _record_name(source: str) -> str:
    """Record of a case: its name, or that of a kit's sidecar without the page's number."""
    return re.sub(r"(-\d+)?(_0000)?\.json$", "", source)
