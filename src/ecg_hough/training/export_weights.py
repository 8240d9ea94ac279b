"""Turn a checkpoint into weights that run without torch.

In: a run folder, nnU-Net's (`train.train`) or the trace network's (`trace_train.train_traces`). Out:
`<name>.onnx` with weights in half precision, and `<name>.json`, the card that states what the network
takes and gives and how it was made. Nothing is put in place before OpenVINO has given torch's answer.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import warnings
from copy import deepcopy
from datetime import UTC, datetime
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_hough.datasets.split import patients_of, split_records, trained_names
from ecg_hough.networks.runtime import WEIGHTS, Network
from ecg_hough.training.exported import HALF, load_exported
from ecg_hough.training.marks_run import is_marks_run, read_marks_run
from ecg_hough.training.nnunet_run import read_nnunet_run
from ecg_hough.training.run_card import TrainedRun, read_json
from ecg_hough.training.trace_run import is_trace_run, read_trace_run

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
"""Tensors of fewer values (biases, norms) stay in single precision: they need little space."""

_LARGEST_HALF = 65504.0

log = logging.getLogger(__name__)


def export(
    folder: Path,
    out: Path = WEIGHTS,
    *,
    name: str | None = None,
    checkpoint: str | None = None,
    half: bool = True,
    records: Path | None = None,
    average_with: Path | None = None,
) -> Path:
    """Write a run's network as ONNX with its card, and return the ONNX file.

    Args:
        folder: nnU-Net's fold folder, or the run folder of the trace network.
        out: folder of the weights.
        name: of the network; None takes "leads", "words", "traces" or "marks", by the kind of run.
        checkpoint: "latest", "final" or "best" of nnU-Net's; None takes the newer of latest and final.
        half: store weights in half precision; they are computed with in single precision.
        records: folder of the WFDB records trained on, for the card where the run does not name them.
        average_with: exported weights that the run started from; the mean of both is written. It is often
            better than either (Wortsman et al. 2022, arXiv 2203.05482).
    Raises:
        ValueError: no run in `folder`, no such checkpoint, weights that half precision cannot hold, or
            OpenVINO's answer differs from torch's; `average_with` is no network of this shape. Files in
            `out` then stay as they are.
    """
    folder = Path(folder)
    run = _read_run(folder, checkpoint)
    if average_with is not None:
        _average(run, average_with)
    name = name or str(run.card["task"])
    if records is not None and "record_names" not in run.card["data"]:
        run.card["data"] |= _names_of(records, run.card["data"].get("records"))
    if average_with is not None:
        _add_earlier(run.card, average_with)
    return write_network(run, Path(out), name, half=half)


def write_network(run: TrainedRun, out: Path, name: str, *, half: bool = True) -> Path:
    """Write a network as ONNX with its card, once OpenVINO has given torch's answer; returns the ONNX file.

    Args:
        run: the network and what its card states; out: folder of the weights; name: of the network.
        half: store weights in half precision; they are computed with in single precision.
    Raises:
        ValueError: weights that half precision cannot hold, or another answer. Files in `out` then stay as
            they are.
    """
    out.mkdir(parents=True, exist_ok=True)
    # In `out`, so that the replacement is a renaming on one disk.
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=out) as part:
        path = Path(part) / f"{name}.onnx"
        _write_onnx(run, path, half)
        content = path.read_bytes()
        card = {
            "name": name,
            **run.card,
            "figures": {},
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


def _average(run: TrainedRun, other: Path) -> None:
    """Half the run's weights, half another export's."""
    import torch

    theirs = deepcopy(run.network)
    load_exported(theirs, other)
    with torch.no_grad():
        for mine, its in zip(run.network.parameters(), theirs.parameters(), strict=True):
            mine.add_(its).mul_(0.5)


def _add_earlier(card: dict[str, Any], other: Path) -> None:
    """Add the training of the other weights to the card: their records were trained on, too."""
    earlier = read_json(other.with_suffix(".json"))
    data = dict(earlier.get("data", {}))
    names = data.pop("record_names", [])
    card["training"]["averaged_with"] = {"name": other.name, "sha256": earlier.get("sha256")}
    card["training"]["before"] = earlier.get("training", {})
    card["data"]["before"] = data
    if names and "record_names" in card["data"]:
        card["data"]["record_names"] = sorted({*names, *card["data"]["record_names"]})


def list_records(card: Path, records: Path) -> None:
    """Add the records' names to a card that was made without them; `scores.guard` reads them.

    Args:
        card: JSON file next to the weights.
        records: folder of the WFDB records trained on; the held-out ones in it do not count.

    Raises:
        ValueError: the folder holds another number of records than the card counts.
    """
    content = read_json(card)
    data = content["data"]
    put_into_card(card, {"data": {**data, **_names_of(records, data.get("records"))}})


def put_into_card(card: Path, values: dict[str, Any]) -> None:
    """Replace entries of a card, or add them; the file is whole at every moment."""
    content = read_json(card) | values
    part = card.with_name(f".{card.name}.part")
    part.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(part, card)


def _names_of(records: Path, counted: int | None) -> dict[str, Any]:
    """Number and names of the records of a folder that are trained on, and their patients where known.

    Args:
        counted: how many the card counts; None where it does not know.
    """
    training, _ = split_records(records)
    if counted is not None and len(training) != counted:
        raise ValueError(
            f"records must be those trained on: {counted} by the card; {records} holds {len(training)}"
        )
    return {"records": len(training), **trained_names(patients_of(training, records))}


def load_run(folder: Path, *, checkpoint: str | None = None) -> torch.nn.Module:
    """The trained network of a run folder in torch, averaged weights, ready for inference.

    Raises:
        ValueError: no run in `folder`, or no such checkpoint.
    """
    return _read_run(Path(folder), checkpoint).network


def _read_run(folder: Path, checkpoint: str | None) -> TrainedRun:
    if is_marks_run(folder):
        return read_marks_run(folder)
    return read_trace_run(folder) if is_trace_run(folder) else read_nnunet_run(folder, checkpoint)


def _write_onnx(run: TrainedRun, path: Path, half: bool) -> None:
    import onnx
    import torch

    side = max(2 * run.stride, CHECK_PX)
    # Two images: with a batch of one, torch writes some batch sizes down as constants.
    example = torch.rand(2, run.channels, run.rows or side, run.cols or side)
    axes = {"image": {0: "batch", 2: "rows", 3: "cols"}, "logits": {0: "batch", 2: "rows", 3: "cols"}}
    if run.rows is not None:  # folded into channels: only columns come out
        axes = {"image": {0: "batch", 3: "cols"}, "logits": {0: "batch", 2: "cols"}}
    if run.cols is not None:
        axes = {"image": {0: "batch"}, "logits": {0: "batch"}}
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
            dynamic_axes=axes,
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


def _check(run: TrainedRun, path: Path) -> float:
    """Largest deviation of OpenVINO from torch on two images, as a share of torch's range."""
    import torch

    network = Network(path, precision="f32")
    side = max(2 * run.stride, CHECK_PX)
    rng = np.random.default_rng(0)
    worst = 0.0
    wide = side + run.stride
    for n, rows, cols in ((1, side, wide), (2, wide, side)):
        shape = (n, run.channels, run.rows or rows, run.cols or cols)
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
