import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray

from ecg_hough.networks.int8 import LEVELS, _with_zero, quantize, rounded_inputs, without_joins
from ecg_hough.networks.runtime import RANGES, WEIGHTS, Network
from ecg_hough.render import render_page

SHIPPED = [
    path
    for path in sorted(WEIGHTS.glob("*.onnx"))
    if RANGES in json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
]
"""Networks that run in eight bits; the others run in bfloat16."""
ROUNDING_MAX = 0.3
"""Error (RMS) of the logits in eight bits, in standard deviations of the logits: 0.04 to 0.2, and 0.4 where
one range is half of what it must be."""


def batch_for(network: Network) -> NDArray[np.float32]:
    """A corner of a rendered page, with half masks where the network takes some."""
    from ecg_hough.render.ecg_model import generate_ecg

    ecg = generate_ecg(3)
    image = render_page(ecg.signals, ecg.fs, seed=3, profile="scan", dpi=100).image[:256, :256]
    channels = network.card["input"]["channels"]
    n = channels if isinstance(channels, int) else len(channels)
    batch = np.full((1, n, 256, 256), 0.5, np.float32)
    batch[0, :3] = image.transpose(2, 0, 1).astype(np.float32) / 255
    return batch


def read(path: Path) -> Any:
    return ov.Core().read_model(str(path))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_joins_taken_apart_compute_the_same(path: Path) -> None:
    network = Network(path, threads=1, precision="f32")
    batch = batch_for(network)
    model = read(path)
    without_joins(model)
    kinds = {node.get_type_name() for node in model.get_ops()}
    assert "ConvolutionBackpropData" not in kinds
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    got, expected = compiled([batch])[0], network.run(batch)
    assert np.abs(got - expected).max() < 1e-3 * np.ptp(expected)


@pytest.mark.skipif(
    "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"),
    reason="sums of eight-bit products overflow on this processor, where networks run in float32",
)
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_networks_keep_their_answer_in_eight_bits(path: Path) -> None:
    exact = Network(path, threads=1, precision="f32")
    batch = batch_for(exact)
    expected = exact.run(batch)
    got = Network(path, threads=1, precision="int8").run(batch)
    error = np.sqrt(np.mean((got - expected) ** 2)) / expected.std()
    assert 0 < error < ROUNDING_MAX


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_convolution_but_the_last_runs_on_integers(path: Path) -> None:
    """What the rounding is for: one that OpenVINO does not take for such costs time and precision."""
    model = read(path)
    without_joins(model)
    quantize(model, Network(path).card[RANGES])
    running = ov.Core().compile_model(model, "CPU").get_runtime_model().get_ops()
    kinds = [
        info["runtimePrecision"].astype(str)
        for info in (node.get_rt_info() for node in running)
        if info["layerType"].astype(str) == "Convolution"
    ]
    assert len(kinds) > 15
    assert sum(kind not in ("i8", "u8") for kind in kinds) == 1


def test_ranges_of_another_network_are_refused() -> None:
    traces, words = (WEIGHTS / f"{name}.onnx" for name in ("traces", "words"))
    model = read(traces)
    without_joins(model)
    with pytest.raises(ValueError, match="ranges must be those of this network"):
        quantize(model, Network(words).card[RANGES])


def test_the_logits_own_convolution_is_not_rounded() -> None:
    model = read(WEIGHTS / "traces.onnx")
    without_joins(model)
    last = next(node for node in model.get_ordered_ops()[::-1] if node.get_type_name() == "Convolution")
    assert last.input_value(0).get_node().get_friendly_name() not in rounded_inputs(model)


@pytest.mark.parametrize("span", [(0.0, 1.0), (-0.1, 9.3), (-4.0, 4.0), (0.2, 3.0), (-2.0, -1.0)])
def test_zero_is_a_level(span: tuple[float, float]) -> None:
    low, high = (float(v.item()) for v in _with_zero(*span))
    step = (high - low) / (LEVELS - 1)
    assert abs(-low / step - round(-low / step)) < 1e-4
    assert low - step <= min(span[0], 0)
    assert abs(low - min(span[0], 0)) <= step
    assert abs(high - max(span[1], 0)) <= step


def test_a_map_that_is_empty_keeps_a_range() -> None:
    low, high = _with_zero(0.0, 0.0)
    assert low <= 0 < high
