"""Ranges of a network's activations, with which it runs in eight bits.

In: exported weights and pages. Out: `ranges` in the weights' card. Needs neither torch nor nnunetv2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.networks.int8 import rounded_inputs, without_joins
from ecg_hough.networks.runtime import RANGES, Network, load_network
from ecg_hough.pipeline import digitize
from ecg_hough.training.export_weights import put_into_card

OnProgress = Callable[[int, int], Any]


def measure_ranges(
    weights: Path,
    pages: Sequence[Path],
    *,
    seed: int = 0,
    on_progress: OnProgress = lambda done, total: None,
) -> dict[str, tuple[float, float]]:
    """Measure the ranges of a network's activations on pages and put them into its card.

    Every page is digitised with the shipped networks, and one of the batches that the network of the same
    task was given is drawn. Ranges are means over the batches, of the lowest and of the highest value:
    single outliers would coarsen all other values. The pixels' range is whole.

    Args:
        weights: the ONNX file, its card next to it.
        pages: images; those that cannot be read are skipped.
    Raises:
        ValueError: no page can be read, or the weights are none that the package knows.
    """
    network = Network(weights, precision="f32")
    shipped = load_network(str(network.card["task"]))
    watch, names = _watched(network.path)
    rng = np.random.default_rng(seed)
    lows, highs = [], []
    batches: list[NDArray[np.float32]] = []
    shipped.on_batch = lambda batch: batches.append(batch.copy())
    try:
        for k, page in enumerate(pages):
            batches.clear()
            try:
                digitize(page)
            except PageError:
                continue
            finally:
                on_progress(k + 1, len(pages))
            if batches:
                values = watch([batches[rng.integers(len(batches))]]).values()
                lows.append([float(v.min()) for v in values])
                highs.append([float(v.max()) for v in values])
    finally:
        shipped.on_batch = None
    if not lows:
        raise ValueError(f"pages must be readable ECGs; none of {len(pages)} is")
    low, high = np.mean(lows, axis=0), np.mean(highs, axis=0)
    low[0], high[0] = np.min(lows, axis=0)[0], np.max(highs, axis=0)[0]
    ranges = {
        name: (float(f"{a:.4g}"), float(f"{b:.4g}")) for name, a, b in zip(names, low, high, strict=True)
    }
    measured = {RANGES: ranges, "ranges_from": {"pages": len(lows), "seed": seed}}
    put_into_card(weights.with_suffix(".json"), measured)
    return ranges


def _watched(path: Path) -> tuple[Any, list[str]]:
    """The network up to each of its rounded inputs, compiled, and their names; the pixels first."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(str(path))
    without_joins(model)
    sources = rounded_inputs(model)
    results = [ov.opset13.result(source) for source in sources.values()]
    watched = ov.Model(results, model.get_parameters())
    return core.compile_model(watched, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}), list(sources)
