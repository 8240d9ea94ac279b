"""The leads network's architecture: nnU-Net's plain U-Net that starts at half resolution.

The first stage at full resolution costs as much as all others together and adds nothing to a lead's
name; the first convolution still sees every pixel. Found by its dotted name in the plans.
"""

from __future__ import annotations

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet


class HalfResolutionUNet(PlainConvUNet):
    """(n, 3, rows, cols) -> (n, classes, rows, cols) logits; half of both while training.

    Its first stride is 2. In evaluation the logits are interpolated back, so that nnU-Net's own
    predictor and the exported network give maps of the input's size.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        if self.training:
            return logits
        return torch.nn.functional.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
