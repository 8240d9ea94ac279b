"""nnU-Net's result folder of a fold: checkpoint, plans and logs enter, a network and its card leave."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_hough.datasets.split import trained_names
from ecg_hough.paper import LEADS, WORDS
from ecg_hough.training.cases import TRAINING, Case
from ecg_hough.training.run_card import TrainedRun, hardware, log_essentials, read_json

if TYPE_CHECKING:
    import torch

_KINDS = ("latest", "final", "best")


def read_nnunet_run(folder: Path, checkpoint: str | None) -> TrainedRun:
    """The network of a fold's folder.

    Args:
        folder: of the fold, with checkpoints; plans.json and dataset.json are one above it.
        checkpoint: "latest", "final" or "best"; None takes the newer of latest and final.
    Raises:
        ValueError: no such checkpoint.
    """
    path = _checkpoint_path(folder, checkpoint)
    network, state = read_network(path, folder.parent)
    started_with = state["init_args"]
    plans, dataset = _contract(folder.parent, started_with)
    configuration = _configuration(plans, started_with["configuration"])
    channels = list(dataset["channel_names"].values())
    outputs = [label for label, _ in sorted(dataset["labels"].items(), key=lambda item: item[1])]
    reads_words = tuple(outputs[1:]) == WORDS
    reads_leads = tuple(outputs[1:]) == LEADS
    if reads_words:
        network.coarse = True  # type: ignore[assignment]  # half the picture's resolution places a word well enough
    architecture = configuration.network_arch_init_kwargs
    card = {
        "task": "words" if reads_words else "leads" if reads_leads else "masks",
        "labels": dict(dataset["labels"]),
        "input": _input(channels, configuration, state),
        "outputs": outputs,
        "architecture": {
            "class": configuration.network_arch_class_name,
            "features_per_stage": architecture["features_per_stage"],
            "parameters": sum(p.numel() for p in network.parameters()),
        },
        "data": describe_data(plans["dataset_name"], dataset, str(started_with["fold"]), folder.parent),
        "training": _describe_training(folder, path, state, plans),
        "exported_on": hardware(),
    }
    stride = prod(max(stage) for stage in architecture["strides"])
    return TrainedRun(network, len(channels), stride, card)


def read_network(checkpoint: Path, results: Path) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The network of a checkpoint, ready for inference, and all else that the checkpoint holds.

    Args:
        checkpoint: nnU-Net's file; results: the folder of plans.json and dataset.json; where they are not
            there, those in the checkpoint are taken.
    Raises:
        ValueError: the file holds more than numbers, or no network of its plans.
    """
    state = load_checkpoint(checkpoint)
    plans, dataset = _contract(results, state["init_args"])
    configuration = _configuration(plans, state["init_args"]["configuration"])
    network = build_network(configuration, len(dataset["channel_names"]), len(dataset["labels"]))
    # Compiled networks carry a prefix, those with deep supervision more heads than are built here.
    weights = {key.removeprefix("_orig_mod."): value for key, value in state["network_weights"].items()}
    network.load_state_dict(weights)
    network.eval()
    return network, state


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Content of a checkpoint by nnU-Net; nothing that it holds is run.

    Raises:
        ValueError: the file holds more than tensors, numbers and text.
    """
    import pickle

    import torch

    # The log's numbers are numpy scalars, which torch's safe loading takes where they are named; numpy moved
    # them.
    scalar = (getattr(np, "_core", None) or np.core).multiarray.scalar
    kinds = [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "bool")]
    named: list[Any] = [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *kinds]
    try:
        with torch.serialization.safe_globals(named):
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} must be a checkpoint by nnU-Net, of tensors, numbers and text; it is damaged, or holds "
            f"code, which is not run: {str(error).splitlines()[0]}"
        ) from error
    return state


def _contract(results: Path, started_with: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plans and dataset.json of a results folder, or those that a checkpoint was begun with."""
    plans_path, dataset_path = results / "plans.json", results / "dataset.json"
    plans = json.loads(plans_path.read_text()) if plans_path.is_file() else started_with["plans"]
    dataset = json.loads(dataset_path.read_text()) if dataset_path.is_file() else started_with["dataset_json"]
    return plans, dataset


def _configuration(plans: dict[str, Any], name: str) -> Any:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    return PlansManager(plans).get_configuration(name)


def _input(channels: list[str], configuration: Any, state: dict[str, Any]) -> dict[str, Any]:
    """What the network takes."""
    schemes = configuration.normalization_schemes
    return {
        "channels": channels,
        "normalization": schemes,
        "scale": 1 / 255 if set(schemes) == {"RGBTo01Normalization"} else None,
        "layout": "NCHW",
        "canvas_px": list(configuration.patch_size),
        "mirror_axes": list(state.get("inference_allowed_mirroring_axes") or ()),
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


def describe_data(name: str, dataset: dict[str, Any], fold: str, folder: Path) -> dict[str, Any]:
    """Counts of cases, patients and sources, from what `train` kept next to plans.json.

    A run of another program keeps nothing of the kind. Its records are then unknown ("records" is None), even
    where a data set of the same name is on this machine: every winner's data set is `Dataset500_Signals`.
    """
    about: dict[str, Any] = {"dataset": name, "cases": dataset["numTraining"]}
    if not (folder / "cases.csv").is_file():
        return about | {"records": None}
    with (folder / "cases.csv").open(newline="") as file:
        cases = [case for case in csv.DictReader(file) if case.get("part", TRAINING) == TRAINING]
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
    drawn = {
        Case(case["name"], case["group"], case["source"], 0).record: case["group"]
        for case in cases
        if case["source"] != "generated"
    }
    return about | trained_names(drawn)
