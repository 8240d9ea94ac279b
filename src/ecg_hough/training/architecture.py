"""nnU-Net's plain U-Net: by itself, and from half resolution, for words as it is, for leads with two channels
of position.

The first stage at full resolution costs as much as all others together and adds nothing to a lead's
name; the first convolution still sees every pixel. A lead's name is mostly a matter of its place on
the page, which convolutions alone learn slowly, from the padding at the borders: two ramps, down and
across, are added to the colours. Found by their dotted names in the plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet


def plain_unet(channels: int, outputs: int, features: Sequence[int], stride: int = 1) -> PlainConvUNet:
    """(n, channels, rows, cols) -> (n, outputs, rows / stride, cols / stride) logits.

    Args:
        features: of every stage; stride: of the first one.
    """
    n = len(features)
    return PlainConvUNet(
        input_channels=channels,
        n_stages=n,
        features_per_stage=features,
        conv_op=torch.nn.Conv2d,
        kernel_sizes=3,
        strides=[stride] + [2] * (n - 1),
        n_conv_per_stage=2,
        num_classes=outputs,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=torch.nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=False,
    )


class HalfUNet(PlainConvUNet):
    """(n, 3, rows, cols) -> (n, classes, rows, cols) logits; half of both while training or `coarse`.

    Its first stride is 2. In evaluation the logits are interpolated back, so that nnU-Net's own
    predictor and the exported network give maps of the input's size, unless `coarse` is set.
    """

    coarse = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        if self.training or self.coarse:
            return logits
        return torch.nn.functional.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)


class PlacedUNet(HalfUNet):
    """`HalfUNet` with two more channels: how far down and how far across a pixel lies, -1 to 1."""

    def __init__(self, input_channels: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(input_channels + 2, *args, **kwargs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, _, rows, cols = x.shape
        down = torch.linspace(-1, 1, rows, device=x.device).view(1, 1, rows, 1).expand(n, 1, rows, cols)
        across = torch.linspace(-1, 1, cols, device=x.device).view(1, 1, 1, cols).expand(n, 1, rows, cols)
        return super().forward(torch.cat([x, down.to(x.dtype), across.to(x.dtype)], dim=1))
