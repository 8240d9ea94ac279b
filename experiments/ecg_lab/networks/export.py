"""Weights that run without torch: a run of `train-peer`, or every fold of an nnU-Net results folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ecg_hough.training.export_weights import write_network
from ecg_hough.training.nnunet_run import read_nnunet_run
from ecg_hough.training.run_card import TrainedRun, hardware, log_essentials
from ecg_lab.networks.loop import CHECKPOINT
from ecg_lab.networks.nnunet_folder import EXPORTED, checkpoint_of, find_results
from ecg_lab.networks.peers import find_peer


def export_folds(folder: Path) -> list[Path]:
    """Write network.onnx and its card into every fold of a results folder; returns the files.

    Weights stay in single precision: what is computed is what torch computes.

    Raises:
        ValueError: no such folder, or a fold without a checkpoint.
    """
    root = find_results(Path(folder))
    paths = []
    for fold in sorted(root.glob("fold_*")):
        kind = checkpoint_of(fold).stem.removeprefix("checkpoint_")
        run = read_nnunet_run(fold, kind)
        paths.append(write_network(run, fold, EXPORTED.removesuffix(".onnx"), half=False))
    return paths


def export_peer(folder: Path, out: Path) -> Path:
    """Write the averaged weights of a run of `train-peer` under the method's name; returns the ONNX file.

    Raises:
        ValueError: no run in `folder`.
    """
    folder = Path(folder)
    if not (folder / "settings.json").is_file() or not (folder / CHECKPOINT).is_file():
        raise ValueError(f"folder must hold settings.json and {CHECKPOINT} of train-peer; got {folder}")
    run = read_peer_run(folder)
    return write_network(run, Path(out), str(run.card["task"]))


def read_peer_run(folder: Path) -> TrainedRun:
    """The averaged network of a run of `train-peer`."""
    import torch

    state = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
    settings: dict[str, Any] = json.loads((folder / "settings.json").read_text())
    peer = find_peer(settings["peer"])
    network = peer.make()
    network.load_state_dict(state["average"])
    network.eval()
    named = {key: settings.pop(key) for key in ("record_names", "patient_ids") if key in settings}
    card: dict[str, Any] = {
        "task": peer.name,
        "labels": None,
        "input": {
            "channels": peer.channels,
            "normalization": peer.normalization,
            "layout": "NCHW",
            "canvas_px": None if peer.shape is None else list(peer.shape),
        },
        "outputs": peer.outputs,
        "architecture": {"parameters": sum(p.numel() for p in network.parameters())},
        "data": {"records": settings["records"], "pages": "rendered during training", **named},
        "training": {
            "command": f"ecg-lab train-peer {peer.name} --steps {settings['steps']}",
            "seed": settings["seed"],
            "settings": settings,
            "steps": int(state["step"]),
            "minutes": round(float(state["minutes"]), 1),
            "averaged_weights": True,
            "log": log_essentials(folder / "log.csv", "val_error", best=min),
        },
        "exported_on": hardware(),
    }
    rows, cols = peer.shape or (None, None)
    return TrainedRun(network, peer.channels, peer.stride, card, rows, cols)
