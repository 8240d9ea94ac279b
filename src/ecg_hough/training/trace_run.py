"""The trace network's run folder: checkpoint, settings and log enter, a network and its card leave."""

from __future__ import annotations

from pathlib import Path

from ecg_hough.training.run_card import TrainedRun, hardware, log_essentials, read_json
from ecg_hough.training.trace_network import CHANNELS, STRIDE, make_network


def is_trace_run(folder: Path) -> bool:
    """Whether a folder is a run of the trace network, not of nnU-Net."""
    return (folder / "settings.json").is_file() and (folder / "checkpoint.pth").is_file()


def read_trace_run(folder: Path) -> TrainedRun:
    """The averaged network of a run folder of `trace_train`."""
    import torch

    state = torch.load(folder / "checkpoint.pth", map_location="cpu", weights_only=True)
    settings = read_json(folder / "settings.json")
    features = tuple(settings["features"])
    network = make_network(features)
    network.load_state_dict(state["average"])
    network.eval()
    outputs = next(p.shape[0] for name, p in state["average"].items() if name.endswith("seg_layers.0.bias"))
    made_by = read_json(folder / "run.json")
    named = {key: settings[key] for key in ("record_names", "patient_ids") if key in settings}
    card = {
        "task": "traces",
        "labels": None,
        "input": {
            "channels": CHANNELS,
            "normalization": ["divide by 255"] * CHANNELS,
            "scale": 1 / 255,
            "layout": "NCHW",
            "canvas_px": None,
        },
        "outputs": f"{outputs} per column: logits over the rows, to be compared with 0 for no trace",
        "architecture": {
            "class": "PlainConvUNet",
            "features_per_stage": list(features),
            "parameters": sum(p.numel() for p in network.parameters()),
        },
        "data": {"records": settings.get("records"), "pages": "rendered during training"} | named,
        "training": {
            "command": made_by.get("command")
            or f"train_traces(steps={settings['steps']}, batch_size={settings['batch_size']}, "
            f"learning_rate={settings['learning_rate']}, ema={settings['ema']}, seed={settings['seed']})",
            "settings": settings,
            "seed": settings["seed"],
            "checkpoint": "checkpoint.pth",
            "steps": int(state["step"]),
            "averaged_weights": True,
            "hardware": made_by.get("hardware"),
            "log": log_essentials(folder / "log.csv", "val_rmse_px", best=min),
        },
        "exported_on": hardware(),
    }
    return TrainedRun(network, CHANNELS, STRIDE * 2 ** (len(features) - 1), card)
