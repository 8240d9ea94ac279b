"""The trace network and its loss: for every column of a strip a distribution over its rows.

nnU-Net's 2-D architecture with our loss: targets are sub-pixel rows, not label maps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecg_hough.traces.distribution import READOUTS_PER_COLUMN, TARGET_SIGMA_PX
from ecg_hough.training.row_truth import IGNORED, NO_TRACE

if TYPE_CHECKING:
    import torch

MEAN_WEIGHT = 0.15
"""Weight of the read-out's own error (smooth L1, rows) in addition to the distribution's cross-entropy."""
FEATURES = (32, 48, 64, 96, 128, 128)
CHANNELS = 5
STRIDE = 2
"""The network's first stride: half resolution costs a quarter, and rows are read between pixels anyway.
Along time nothing is lost: every output column carries the read-outs of both its strip columns."""
OUTPUTS = READOUTS_PER_COLUMN * STRIDE


def make_network(features: tuple[int, ...] = FEATURES) -> torch.nn.Module:
    """nnU-Net's plain U-Net: (n, 5, rows, cols) -> (n, OUTPUTS, rows / 2, cols / 2) logits."""
    from ecg_hough.training.architecture import plain_unet

    return plain_unet(CHANNELS, OUTPUTS, features, STRIDE)


def output_target(target: torch.Tensor) -> torch.Tensor:
    """(n, 2, cols) rows in strip px -> (n, OUTPUTS, cols / STRIDE) rows of the network's output."""
    import torch

    n, _, cols = target.shape
    paired = target.permute(0, 2, 1).reshape(n, cols // STRIDE, OUTPUTS).permute(0, 2, 1)
    return torch.where(paired >= 0, (paired + 0.5) / STRIDE - 0.5, paired).contiguous()


def trace_loss(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
    """Cross-entropy of the column's distribution plus the error of its mean.

    Args:
        logits: (n, OUTPUTS, rows, cols); a further class "no trace" has logit 0.
        target: (n, OUTPUTS, cols) from `output_target`.
    """
    import torch
    import torch.nn.functional as F

    n_rows = logits.shape[2]
    rows = torch.arange(n_rows, dtype=torch.float32).view(1, 1, -1, 1)
    full = torch.cat([logits, torch.zeros_like(logits[:, :, :1])], dim=2)
    log_p = F.log_softmax(full, dim=2)
    has = target > NO_TRACE + 0.5
    counts = target > IGNORED + 0.5
    bell = torch.exp(-0.5 * ((rows - target[:, :, None]) / TARGET_SIGMA_PX) ** 2)
    bell = bell / bell.sum(2, keepdim=True).clamp_min(1e-6)
    on_row = -(bell * log_p[:, :, :n_rows]).sum(2)
    entropy = torch.where(has, on_row, -log_p[:, :, n_rows])[counts].mean()
    mean = (torch.softmax(logits, dim=2) * rows).sum(2)
    error = F.smooth_l1_loss(mean[has], target[has], beta=1.0)
    with torch.no_grad():
        found = log_p[:, :, n_rows] < np.log(0.5)
        figures = {
            "cross_entropy": float(entropy),
            "rmse_px": float((mean[has] - target[has]).square().mean().sqrt()),
            "presence_error": float((found[counts] != has[counts]).float().mean()),
        }
    return entropy + MEAN_WEIGHT * error, figures
