"""A network in eight bits: a third faster where the processor multiplies such numbers (VNNI, AMX).

In: an OpenVINO model of a U-Net and the ranges of its activations, which its card holds. Out: the same model,
in place, with rounded activations and weights on every convolution but the last. The file is not changed;
`training.quantize_weights` measures the ranges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 256
WIDE = 16
"""Channels that are worth a convolution of their own."""
_UP = 2
"""Factor of the transposed convolutions that `without_joins` takes apart."""


def without_joins(model: Any) -> None:
    """Take the decoder's joins apart, in place; what the model computes is unchanged.

    A convolution of joined maps becomes the sum of one of each, so that each map has a range of its own and
    the encoder's need no second rounding. A transposed convolution by 2 becomes one of single pixels, whose
    channels are then spread over 2 x 2 pixels: OpenVINO runs that in eight bits, and the former not.
    """
    from openvino import opset13 as ops

    for conv in _convolutions(model):
        source, weights = conv.input_value(0).get_node(), _weights(conv)
        if conv.get_type_name() == "ConvolutionBackpropData":
            if weights.shape[2:] == (_UP, _UP):
                n_in, n_out = weights.shape[:2]
                single = weights.transpose(2, 3, 1, 0).reshape(_UP * _UP * n_out, n_in, 1, 1)
                out = _convolve(conv.input_value(0), single)
                conv.output(0).replace(ops.depth_to_space(out, "blocks_first", _UP).output(0))
        elif source.get_type_name() == "Concat":
            parts = source.input_values()
            widths = [part.get_partial_shape()[1].get_length() for part in parts]
            if min(widths) < WIDE:
                continue
            out = None
            for part, its in zip(parts, np.split(weights, np.cumsum(widths)[:-1], axis=1), strict=True):
                one = _convolve(part, its, like=conv)
                out = one if out is None else ops.add(out, one)
            conv.output(0).replace(out.output(0))
    model.validate_nodes_and_infer_types()


def rounded_inputs(model: Any) -> dict[str, Any]:
    """Outputs of the nodes that feed a convolution in eight bits, by the nodes' names.

    The last convolution is not among them: the logits' own rounding would be seen in every read-out.
    """
    sources = [conv.input_value(0) for conv in _convolutions(model)[:-1]]
    return {source.get_node().get_friendly_name(): source for source in sources}


def quantize(model: Any, ranges: Mapping[str, Sequence[float]]) -> None:
    """Round activations and weights of a model to eight bits, in place.

    OpenVINO makes such convolutions integer ones when it compiles the model. Activations have one scale and
    zero point each, weights a scale per output channel (Jacob et al. 2018, arXiv 1712.05877, section 2).

    Args:
        model: after `without_joins`.
        ranges: lowest and highest value of each of `rounded_inputs`; values beyond are clipped.
    Raises:
        ValueError: the ranges are those of another network.
    """
    sources = rounded_inputs(model)
    if missing := sorted(set(sources) - set(ranges)):
        raise ValueError(
            f"ranges must be those of this network; {len(missing)} of {len(sources)} maps have none, "
            f"{missing[0]!r} the first: measure them again (ecg-hough quantize)"
        )
    convolutions = [conv for conv in _convolutions(model)[:-1] if conv.get_type_name() == "Convolution"]
    rounded: dict[str, Any] = {}
    for conv in convolutions:
        name = conv.input_value(0).get_node().get_friendly_name()
        if name not in rounded:
            rounded[name] = _rounded(sources[name], *_with_zero(*ranges[name]))
        conv.input(0).replace_source_output(rounded[name].output(0))
        conv.input(1).replace_source_output(_rounded_weights(_weights(conv)).output(0))
    model.validate_nodes_and_infer_types()


def _with_zero(lowest: float, highest: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The range, widened and shifted so that zero, with which borders are padded, is one of the levels."""
    lowest, highest = min(lowest, 0.0), max(highest, 0.0)
    step = max((highest - lowest) / (LEVELS - 1), float(np.finfo(np.float32).tiny))
    below = round(-lowest / step)
    shape = (1, 1, 1, 1)
    return np.full(shape, -below * step, np.float32), np.full(shape, (LEVELS - 1 - below) * step, np.float32)


def _rounded(values: Any, lowest: NDArray[np.float32], highest: NDArray[np.float32]) -> Any:
    from openvino import opset13 as ops

    return ops.fake_quantize(values, lowest, highest, lowest, highest, LEVELS)


def _rounded_weights(weights: NDArray[np.float32]) -> Any:
    """Integers from -127 to 127 and a scale per output channel, in the form that OpenVINO takes for them."""
    from openvino import opset13 as ops

    most = LEVELS // 2 - 1
    scale = np.maximum(np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / most, np.finfo(np.float32).tiny)
    integers = np.rint(weights / scale).astype(np.int8)
    return ops.multiply(ops.convert(ops.constant(integers), "f32"), ops.constant(scale))


def _convolve(values: Any, kernel: NDArray[np.float32], like: Any = None) -> Any:
    from openvino import opset13 as ops

    # Made here: OpenVINO's own conversion of arrays takes a list of numbers on the way.
    weights = ops.constant(np.ascontiguousarray(kernel))
    if like is None:
        return ops.convolution(values, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    return ops.convolution(
        values, weights, like.get_strides(), like.get_pads_begin(), like.get_pads_end(), like.get_dilations()
    )


def _convolutions(model: Any) -> list[Any]:
    """In the order in which they are computed."""
    kinds = ("Convolution", "ConvolutionBackpropData")
    return [node for node in model.get_ordered_ops() if node.get_type_name() in kinds]


def _weights(conv: Any) -> NDArray[np.float32]:
    node = conv.input_value(1).get_node()
    while node.get_type_name() == "Convert":  # stored in half precision
        node = node.input_value(0).get_node()
    return np.asarray(node.data, np.float32)
