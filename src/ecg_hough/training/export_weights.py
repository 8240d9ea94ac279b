"""Turn a checkpoint into weights that run without torch.

In: a run folder, nnU-Net's (`train.train`) or the trace network's (`trace_train.train_traces`). Out:
`<name>.onnx` with weights in half precision, and `<name>.json`, the card that says what the network
takes and gives and how it was made. Nothing is put in place before OpenVINO has given torch's answer.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import platform
import re
import tempfile
import warnings
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_hough.datasets.split import patients_of, split_records, trained_names
from ecg_hough.networks.runtime import WEIGHTS, Network
from ecg_hough.paper import WORDS

if TYPE_CHECKING:
    import onnx
    import torch

OPSET = 17
MAX_DEVIATION = 2e-2
"""Largest difference between OpenVINO and torch, as a share of the logits' range. Half-precision weights
give 0.001 to 0.005 on the networks shipped; a wrong weight gives far more."""
CHECK_PX = 256
"""Least side of the random images that are compared."""
HALF_FROM = 256
"""Tensors of fewer values (biases, norms) stay in single precision: they weigh nothing on disk."""

HALF = ".half"
"""Ends the name of a tensor that is stored in half precision."""

_KINDS = ("latest", "final", "best")
_LARGEST_HALF = 65504.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Run:
    """A trained network and its part of the card."""

    network: torch.nn.Module
    channels: int
    stride: int
    """Rows and columns must be multiples of it."""
    card: dict[str, Any]


def export(
    folder: Path,
    out: Path = WEIGHTS,
    *,
    name: str | None = None,
    checkpoint: str | None = None,
    half: bool = True,
    figures: dict[str, Any] | None = None,
    data: Path | None = None,
    records: Path | None = None,
    average_with: Path | None = None,
) -> Path:
    """Write a run's network as ONNX with its card, and return the ONNX file.

    Args:
        folder: nnU-Net's fold folder, or the run folder of the trace network.
        out: folder of the weights.
        name: of the network; None takes "leads", "words" or "traces", by the kind of run.
        checkpoint: "latest", "final" or "best" of nnU-Net's; None takes the newer of latest and final.
        half: store weights in half precision; they are computed with in single precision.
        figures: measured figures for the card.
        data: folder of nnUNet_raw, for the card's description of the cases where the run has none.
        records: folder of the WFDB records trained on, for the card where the run does not name them.
        average_with: exported weights that the run started from; the mean of both is written. It is often
            better than either (Wortsman et al. 2022, arXiv 2203.05482).
    Raises:
        ValueError: no run in `folder`, no such checkpoint, weights that half precision cannot hold, or
            OpenVINO's answer differs from torch's; `average_with` is no network of this shape. What stood in
            `out` stays.
    """
    folder, out = Path(folder), Path(out)
    if (folder / "settings.json").is_file() and (folder / "checkpoint.pth").is_file():
        run = _trace_run(folder)
    else:
        run = _nnunet_run(folder, checkpoint, data)
    if average_with is not None:
        _average(run, average_with)
    name = name or str(run.card["task"])
    if records is not None and "record_names" not in run.card["data"]:
        run.card["data"] |= _names_of(records, int(run.card["data"].get("records") or 0))
    if average_with is not None:
        _add_earlier(run.card, average_with)
    out.mkdir(parents=True, exist_ok=True)
    # In `out`, so that the replacement is a renaming on one disk.
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=out) as part:
        path = Path(part) / f"{name}.onnx"
        _write_onnx(run, path, half)
        content = path.read_bytes()
        card = {
            "name": name,
            **run.card,
            "figures": figures or {},
            "precision": "float16 weights" if half else "float32 weights",
            "package": f"ecg-hough {version('ecg-hough')}",
            "date": datetime.now(UTC).date().isoformat(),
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        card_path = path.with_suffix(".json")
        card_path.write_text(json.dumps(card, indent=1) + "\n")
        deviation = _check(run, path)
        card["check"] = {"openvino_against_torch": float(f"{deviation:.3g}"), "limit": MAX_DEVIATION}
        card_path.write_text(json.dumps(card, indent=1) + "\n")
        # The card last: with an old card the new file is refused, and never taken for the old one.
        os.replace(path, out / path.name)
        os.replace(card_path, out / card_path.name)
    log.info("%s: %.1f MB, off by %.4f of the range", name, len(content) / 1e6, deviation)
    return out / f"{name}.onnx"


def _average(run: _Run, other: Path) -> None:
    """Half the run's weights, half another export's."""
    import torch

    from ecg_hough.training.exported import load_exported

    theirs = deepcopy(run.network)
    load_exported(theirs, other)
    with torch.no_grad():
        for mine, its in zip(run.network.parameters(), theirs.parameters(), strict=True):
            mine.add_(its).mul_(0.5)


def _add_earlier(card: dict[str, Any], other: Path) -> None:
    """What the card of averaged weights says of their training: their records are trained on, too."""
    earlier = _read_json(other.with_suffix(".json"))
    data = dict(earlier.get("data", {}))
    names = data.pop("record_names", [])
    card["training"]["averaged_with"] = {"name": other.name, "sha256": earlier.get("sha256")}
    card["training"]["before"] = earlier.get("training", {})
    card["data"]["before"] = data
    if names and "record_names" in card["data"]:
        card["data"]["record_names"] = sorted({*names, *card["data"]["record_names"]})


def list_records(card: Path, records: Path) -> None:
    """Supplement a card made before cards named their records; `datasets.guard` reads the names.

    Args:
        card: JSON file beside the weights.
        records: folder of the WFDB records trained on; the held-out ones in it are left out.

    Raises:
        ValueError: the folder holds another number of records than the card counts.
    """
    content = _read_json(card)
    data = content["data"]
    put_into_card(card, {"data": {**data, **_names_of(records, int(data.get("records") or 0))}})


def put_into_card(card: Path, values: dict[str, Any]) -> None:
    """Replace entries of a card, or add them; the file is whole at every moment."""
    content = _read_json(card) | values
    part = card.with_name(f".{card.name}.part")
    part.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(part, card)


def _names_of(records: Path, counted: int) -> dict[str, list[str]]:
    """Names of the records of a folder that are trained on, and their patients where known."""
    training, _ = split_records(records)
    if len(training) != counted:
        raise ValueError(
            f"records must be those trained on: {counted} by the card; {records} holds {len(training)}"
        )
    return trained_names(patients_of(training, records))


def load_run(folder: Path, *, checkpoint: str | None = None) -> torch.nn.Module:
    """The trained network of a run folder in torch, averaged weights, ready for inference.

    Raises:
        ValueError: no run in `folder`, or no such checkpoint.
    """
    folder = Path(folder)
    if (folder / "settings.json").is_file() and (folder / "checkpoint.pth").is_file():
        return _trace_run(folder).network
    return _nnunet_run(folder, checkpoint, None).network


def _nnunet_run(folder: Path, checkpoint: str | None, data: Path | None) -> _Run:
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
    schemes = configuration.normalization_schemes
    outputs = [label for label, _ in sorted(dataset["labels"].items(), key=lambda item: item[1])]
    reads_words = tuple(outputs[1:]) == WORDS
    if reads_words:
        network.coarse = True  # type: ignore[assignment]  # half the picture's resolution places a word well enough
    made_by = _read_json(folder / "run.json")
    iterations = made_by.get("iterations_per_epoch", plans.get("training", {}).get("iterations_per_epoch"))
    epochs = int(state["current_epoch"])
    card = {
        "task": "words" if reads_words else "leads",
        "labels": dict(dataset["labels"]),
        "input": {
            "channels": channels,
            "normalization": schemes,
            "scale": 1 / 255 if set(schemes) == {"RGBTo01Normalization"} else None,
            "layout": "NCHW",
            "canvas_px": list(configuration.patch_size),
        },
        "outputs": outputs,
        "architecture": {
            "class": configuration.network_arch_class_name,
            "features_per_stage": configuration.network_arch_init_kwargs["features_per_stage"],
            "parameters": sum(p.numel() for p in network.parameters()),
        },
        "data": _describe_data(
            plans["dataset_name"], dataset, str(started_with["fold"]), folder.parent, data
        ),
        "training": {
            "command": made_by.get("command"),
            "trainer": state["trainer_name"],
            "plans": plans["plans_name"],
            "schedule": plans.get("training", {}),
            "fold": str(started_with["fold"]),
            "seed": made_by.get("seed"),
            "checkpoint": path.name,
            "epochs": epochs,
            "steps": state.get("n_steps", epochs * iterations if iterations else None),
            "averaged_weights": "raw_weights" in state,
            "hardware": made_by.get("hardware"),
            "log": _log_essentials(folder / "log.csv", "val_dice", best=max),
        },
        "exported_on": hardware(),
    }
    stride = prod(max(stage) for stage in configuration.network_arch_init_kwargs["strides"])
    return _Run(network, len(channels), stride, card)


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


def _trace_run(folder: Path) -> _Run:
    import torch

    from ecg_hough.training.trace_train import CHANNELS, STRIDE, make_network

    state = torch.load(folder / "checkpoint.pth", map_location="cpu", weights_only=True)
    settings = _read_json(folder / "settings.json")
    features = tuple(settings["features"])
    network = make_network(features)
    network.load_state_dict(state["average"])
    network.eval()
    outputs = next(p.shape[0] for name, p in state["average"].items() if name.endswith("seg_layers.0.bias"))
    made_by = _read_json(folder / "run.json")
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
            "log": _log_essentials(folder / "log.csv", "val_rmse_px", best=min),
        },
        "exported_on": hardware(),
    }
    return _Run(network, CHANNELS, STRIDE * 2 ** (len(features) - 1), card)


def _checkpoint_path(folder: Path, kind: str | None) -> Path:
    if kind is not None and kind not in _KINDS:
        raise ValueError(f"checkpoint must be one of {', '.join(_KINDS)}; got {kind!r}")
    kinds: Iterable[str] = _KINDS[:2] if kind is None else (kind,)
    found = [p for p in (folder / f"checkpoint_{k}.pth" for k in kinds) if p.is_file()]
    if not found:
        wanted = " or ".join(f"checkpoint_{k}.pth" for k in kinds)
        raise ValueError(f"folder must hold {wanted} of nnU-Net or a trace network's run; got {folder}")
    return max(found, key=lambda path: path.stat().st_mtime)


def _write_onnx(run: _Run, path: Path, half: bool) -> None:
    import onnx
    import torch

    side = max(2 * run.stride, CHECK_PX)
    # Two images: with a batch of one, torch writes some batch sizes down as constants.
    example = torch.rand(2, run.channels, side, side)
    axes = {0: "batch", 2: "rows", 3: "cols"}
    with warnings.catch_warnings(), torch.no_grad():
        # The older exporter is deprecated, and the one of the two that keeps three free axes here.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            run.network,
            (example,),
            str(path),
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": axes, "logits": axes},
            dynamo=False,
        )
    model = onnx.load(path)
    if half:
        _halve_weights(model)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _halve_weights(model: onnx.ModelProto) -> None:
    """Store large weights as float16, each cast back to float32 as the graph's first steps."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or prod(tensor.dims) < HALF_FROM:
            continue
        values = numpy_helper.to_array(tensor)
        largest = float(np.abs(values).max())
        if not largest <= _LARGEST_HALF:
            raise ValueError(
                f"weights must fit half precision (65504); {tensor.name} reaches {largest:g} (half=False)"
            )
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + HALF))
        casts.append(helper.make_node("Cast", [name + HALF], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _check(run: _Run, path: Path) -> float:
    """Largest deviation of OpenVINO from torch on two images, as a share of torch's range."""
    import torch

    network = Network(path, precision="f32")
    side = max(2 * run.stride, CHECK_PX)
    rng = np.random.default_rng(0)
    worst = 0.0
    for shape in ((1, run.channels, side, side + run.stride), (2, run.channels, side + run.stride, side)):
        image = rng.random(shape, np.float32)
        with torch.no_grad():
            expected = run.network(torch.from_numpy(image)).numpy()
        got = network.run(image)
        if got.shape != expected.shape:
            raise ValueError(f"{path.name} must give shape {expected.shape} for {shape}; got {got.shape}")
        deviation = float(np.abs(got - expected).max()) / float(np.ptp(expected))
        if not deviation < MAX_DEVIATION:
            raise ValueError(
                f"OpenVINO must give torch's logits within {MAX_DEVIATION} of their range; {path.name} is "
                f"off by {deviation:.3g}: nothing was replaced (half=False keeps full precision)"
            )
        worst = max(worst, deviation)
    return worst


def hardware() -> dict[str, Any]:
    """Processor and number of cores of this machine, and its GPU where torch sees one."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    found: dict[str, Any] = {"cpu": model, "cores": os.cpu_count()}
    import torch

    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name(0)
    return found


def _describe_data(
    name: str, dataset: dict[str, Any], fold: str, results: Path, data: Path | None
) -> dict[str, Any]:
    """Counts of cases, patients and sources, from what `train` kept or from the data set itself."""
    about: dict[str, Any] = {"dataset": name, "cases": dataset["numTraining"]}
    # Kept by `train` beside plans.json, so that a run folder is enough.
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
        about["prepare"] = _read_json(folder / "prepare.json")
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


def _log_essentials(path: Path, key: str, *, best: Any) -> dict[str, Any] | None:
    """First, last and best row of a log; None where there is no log."""
    if not path.is_file():
        return None
    with path.open(newline="") as file:
        rows = [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(file)]
    scored = [row for row in rows if row.get(key) is not None]
    if not rows:
        return None
    return {
        "first": rows[0],
        "last": rows[-1],
        "best": best(scored, key=lambda row: row[key]) if scored else None,
        "best_by": key,
        "rows": len(rows),
    }


def _number(text: str | None) -> float | None:
    """A finite number or None: JSON knows no NaN."""
    value = float(text) if text else float("nan")
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return content
