"""The leads network's architecture: nnU-Net's plain U-Net, from half resolution, told where it looks.

The first stage at full resolution costs as much as all others together and adds nothing to a lead's
name; the first convolution still sees every pixel. A lead's name is mostly a matter of its place on
the page, which convolutions alone learn slowly, from the padding at the borders: two ramps, down and
across, are added to the colours. Found by its dotted name in the plans.
"""

from __future__ import annotations

from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet


class PlacedUNet(PlainConvUNet):
    """(n, 3, rows, cols) -> (n, classes, rows, cols) logits; half of both while training.

    Its first stride is 2. In evaluation the logits are interpolated back, so that nnU-Net's own
    predictor and the exported network give maps of the input's size.
    """

    def __init__(self, input_channels: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(input_channels + 2, *args, **kwargs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, _, rows, cols = x.shape
        down = torch.linspace(-1, 1, rows, device=x.device).view(1, 1, rows, 1).expand(n, 1, rows, cols)
        across = torch.linspace(-1, 1, cols, device=x.device).view(1, 1, 1, cols).expand(n, 1, rows, cols)
        logits = super().forward(torch.cat([x, down.to(x.dtype), across.to(x.dtype)], dim=1))
        if self.training:
            return logits
        return torch.nn.functional.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
