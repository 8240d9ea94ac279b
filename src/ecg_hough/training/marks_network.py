"""Architecture and loss of the marks network. In: nothing. Out: a torch module, and its outputs' loss."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from ecg_hough.elements import MARK_KINDS
from ecg_hough.geometry.strips import STRIP_PX_PER_MM
from ecg_hough.networks.marks_net import CELL_PX, STRIP_MM

CHANNELS = 5
ROWS = round(STRIP_MM * STRIP_PX_PER_MM) // 2
"""Rows of the network's input."""
STRIDE = 16
"""Columns of the input must be multiples of it."""
FEATURES = (16, 24, 40, 64, 96)
_STRIDES = ((2, 2), (2, 1), (2, 2), (2, 2), (2, 2))
_FLAT = 64
SIGMA_CELLS = 0.7
"""Width of the bells that the network is taught, in cells."""
NEAR_CELLS = 2.5
"""Within this of a landmark its distance is asked."""
HEAT_WEIGHT, DISTANCE_WEIGHT, FOCUS = 4.0, 2.0, 1.5


def _block(a: int, b: int, stride: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, 3, stride, 1), nn.InstanceNorm2d(b, affine=True), nn.LeakyReLU(inplace=True),
        nn.Conv2d(b, b, 3, 1, 1), nn.InstanceNorm2d(b, affine=True), nn.LeakyReLU(inplace=True),
    )  # fmt: skip


class MarksNetwork(nn.Module):
    """A U-Net whose rows are folded into channels on the way down; only columns come back.

    (n, 5, ROWS, cols) -> (n, 2 * kinds, cols / CELL_PX): logits, then distances to the landmark in cells.
    """

    def __init__(self) -> None:
        super().__init__()
        heights = [ROWS // 2 ** (k + 1) for k in range(len(FEATURES))]
        ins = (CHANNELS, *FEATURES[:-1])
        self.down = nn.ModuleList(_block(a, b, s) for a, b, s in zip(ins, FEATURES, _STRIDES, strict=True))
        self.flat = nn.ModuleList(nn.Conv1d(w * h, _FLAT, 1) for w, h in zip(FEATURES, heights, strict=True))
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(2 * _FLAT, _FLAT, 5, 1, 2), nn.InstanceNorm1d(_FLAT, affine=True),
                nn.LeakyReLU(inplace=True), nn.Conv1d(_FLAT, _FLAT, 5, 1, 2),
                nn.InstanceNorm1d(_FLAT, affine=True), nn.LeakyReLU(inplace=True),
            )
            for _ in range(3)
        )  # fmt: skip
        self.out = nn.Conv1d(_FLAT, 2 * len(MARK_KINDS), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = []
        for down, flat in zip(self.down, self.flat, strict=True):
            x = down(x)
            seen.append(flat(x.flatten(1, 2)))
        y = seen[4]
        for up, skip in zip(self.up, (seen[3], seen[2], seen[0] + seen[1]), strict=True):
            y = F.interpolate(y, scale_factor=2.0, mode="linear", align_corners=False)
            y = up(torch.cat([y, skip], dim=1))
        out: torch.Tensor = self.out(y)
        return out


def targets_of(marks: list[NDArray[np.float32]], n_cells: int) -> tuple[torch.Tensor, ...]:
    """Heat, distance in cells, and where it is asked, each (n, kinds, n_cells).

    Args:
        marks: of every crop (m, 2), kind and column of the strip.
    """
    cells = np.arange(n_cells, dtype=np.float32)
    heat = np.zeros((len(marks), len(MARK_KINDS), n_cells), np.float32)
    distance, asked = np.zeros_like(heat), np.zeros_like(heat)
    for n, rows in enumerate(marks):
        for kind, column in rows:
            k, away = int(kind), (column + 0.5) / CELL_PX - 0.5 - cells
            nearer = (asked[n, k] == 0) | (np.abs(away) < np.abs(distance[n, k]))
            nearer &= np.abs(away) <= NEAR_CELLS
            distance[n, k][nearer] = away[nearer]
            asked[n, k][nearer] = 1.0
            heat[n, k] = np.maximum(heat[n, k], np.exp(-0.5 * (away / SIGMA_CELLS) ** 2))
    return torch.from_numpy(heat), torch.from_numpy(distance), torch.from_numpy(asked)


def marks_loss(
    out: torch.Tensor, heat: torch.Tensor, distance: torch.Tensor, asked: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """Focal cross-entropy of the heat (Zhou et al. 2019, Objects as Points) and smooth L1 of the distance."""
    logits, seen = out.chunk(2, dim=1)
    focus = (heat - torch.sigmoid(logits)).abs() ** FOCUS
    n = asked.sum().clamp_min(1.0)
    cross = (F.binary_cross_entropy_with_logits(logits, heat, reduction="none") * focus).sum() / n
    error = (F.smooth_l1_loss(seen, distance, reduction="none", beta=0.3) * asked).sum() / n
    with torch.no_grad():
        off = float(((seen - distance).abs() * asked).sum() / n)
    return HEAT_WEIGHT * cross + DISTANCE_WEIGHT * error, {"heat": float(cross), "distance_cells": off}
