"""The marks network's run folder: checkpoint, settings and log enter, a network and its card leave."""

from __future__ import annotations

from pathlib import Path

from ecg_hough.elements import MARK_KINDS
from ecg_hough.training.marks_network import CHANNELS, FEATURES, ROWS, STRIDE, MarksNetwork
from ecg_hough.training.run_card import TrainedRun, hardware, log_essentials, read_json


def is_marks_run(folder: Path) -> bool:
    """Whether a folder is a run of the marks network."""
    return (
        read_json(folder / "settings.json").get("task") == "marks" and (folder / "checkpoint.pth").is_file()
    )


def read_marks_run(folder: Path) -> TrainedRun:
    """The averaged network of a run folder of `marks_train`."""
    import torch

    state = torch.load(folder / "checkpoint.pth", map_location="cpu", weights_only=True)
    settings = read_json(folder / "settings.json")
    network = MarksNetwork()
    network.load_state_dict(state["average"])
    network.eval()
    named = {key: settings[key] for key in ("record_names", "patient_ids") if key in settings}
    card = {
        "task": "marks",
        "labels": {kind: k for k, kind in enumerate(MARK_KINDS)},
        "input": {
            "channels": CHANNELS,
            "normalization": ["divide by 255"] * CHANNELS,
            "scale": 1 / 255,
            "layout": "NCHW",
            "canvas_px": None,
            "rows": ROWS,
        },
        "outputs": "a column per 1/4 mm: logits of the kinds, then distances to the landmark in columns",
        "architecture": {
            "class": "MarksNetwork",
            "features_per_stage": list(FEATURES),
            "parameters": sum(p.numel() for p in network.parameters()),
        },
        "data": {"records": settings.get("records"), "pages": "rendered during training"} | named,
        "training": {
            "command": "ecg-hough train-marks",
            "settings": settings,
            "seed": settings.get("seed"),
            "checkpoint": "checkpoint.pth",
            "steps": int(state["step"]),
            "averaged_weights": True,
            "log": log_essentials(folder / "log.csv", "val_distance_cells", best=min),
        },
        "exported_on": hardware(),
    }
    return TrainedRun(network, CHANNELS, STRIDE, card, rows=ROWS)
