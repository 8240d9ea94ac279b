"""Weights of an exported network, for training to go on from where there is no checkpoint.

In: an ONNX file that `export_weights` wrote. Out: its weights in a torch network of the same shape.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

HALF = ".half"
"""Ends the name of a tensor that is stored in half precision."""
_UNUSED = "decoder.seg_layers."
"""Deep supervision's heads: a network that is trained with them is exported with the last one alone."""


def load_exported(network: torch.nn.Module, path: Path) -> None:
    """Put an exported network's weights into a torch network, in place.

    Args:
        network: of the exported one's architecture; heads that were not exported stay as they are.
        path: the ONNX file.
    Raises:
        ValueError: no file, or a network of another shape.
    """
    import onnx
    import torch
    from onnx import numpy_helper

    if not path.is_file():
        raise ValueError(f"weights to start from must be a file; got {path}")
    stored = {
        tensor.name.removesuffix(HALF): numpy_helper.to_array(tensor)
        for tensor in onnx.load(str(path)).graph.initializer
    }
    with torch.no_grad():
        # Each parameter once: nnU-Net's blocks name theirs several times over.
        for name, parameter in network.named_parameters():
            if name not in stored and name.startswith(_UNUSED):
                continue
            if name not in stored or stored[name].shape != tuple(parameter.shape):
                got = stored[name].shape if name in stored else "nothing"
                raise ValueError(
                    f"{path.name} must hold a network of this shape;"
                    f" {name} must be {tuple(parameter.shape)}, got {got}"
                )
            parameter.copy_(torch.tensor(stored[name], dtype=parameter.dtype))
