"""The layers of the whole-page network: a page enters, the samples of its leads leave."""

from __future__ import annotations

import torch
from torch import nn

PAGE_STAGES = (12, 24, 32, 48)
"""Channels of the stages; each halves the rows, and the first two the columns."""
ROW_CHANNELS = 96
DILATIONS = (1, 2, 4, 8, 16, 32)
"""Of the layers along the columns: together they see a page's whole width."""
CELL_COLS = 4
"""Columns of the page for one of the map's."""


class WholePageNet(nn.Module):
    """(n, 3, rows, cols) colours, 0 to 1 -> (n, samples + 2) mV of every sample, then where the rows of
    traces start and end, in widths of the page.

    Convolutions keep the columns; one as high as the page turns each column into channels, and layers along
    the columns answer with the height of every row of traces. The samples are read from that between the
    start and the end that the network gives.
    """

    order: torch.Tensor

    def __init__(self, shape: tuple[int, int], order: torch.Tensor, n_rows: int, row_samples: int) -> None:
        """Args:
        shape: rows and columns of every page.
        order: of the answer's samples, among `n_rows` rows of `row_samples` each.
        """
        super().__init__()
        self.n_rows = n_rows
        layers: list[nn.Module] = []
        channels = 3
        for k, features in enumerate(PAGE_STAGES):
            layers += [
                *_block(nn.Conv2d(channels, features, 5 if k == 0 else 3, (2, 2 if k < 2 else 1),
                                  padding=2 if k == 0 else 1, bias=False)),
                *(_block(nn.Conv2d(features, features, 3, padding=1, bias=False)) if k > 1 else ()),
            ]  # fmt: skip
            channels = features
        self.page = nn.Sequential(*layers)
        self.column = nn.Sequential(
            *_block(nn.Conv2d(channels, ROW_CHANNELS, (shape[0] // 2 ** len(PAGE_STAGES), 1), bias=False))
        )
        self.along = nn.ModuleList(
            nn.Sequential(
                *_block(
                    nn.Conv2d(
                        ROW_CHANNELS, ROW_CHANNELS, (1, 5), padding=(0, 2 * d), dilation=(1, d), bias=False
                    )
                )
            )
            for d in DILATIONS
        )
        self.heights = nn.Conv2d(ROW_CHANNELS, n_rows * CELL_COLS, 1)
        # Training starts at flat leads: random heights are ten times as high as waves.
        nn.init.zeros_(self.heights.weight)
        self.ends = nn.Conv2d(ROW_CHANNELS, 2, 1)
        self.row_samples = row_samples
        self.register_buffer("order", order)

    def forward(self, pages: torch.Tensor) -> torch.Tensor:
        x = self.column(self.page(pages))
        for layer in self.along:
            x = x + layer(x)
        heights = self.heights(x).squeeze(2)  # (n, rows of traces x columns of a cell, cells)
        n, _, cells = heights.shape
        heights = heights.reshape(n, self.n_rows, CELL_COLS, cells).transpose(2, 3)
        weights = torch.softmax(self.ends(x).squeeze(2).float(), -1)
        ends = ((weights * torch.arange(cells, device=x.device)).sum(-1) + 0.5) / cells
        # Their own loss alone teaches the ends: through the samples they would take the way that lowers a
        # beat's error, not the one to its place.
        rows = read_between(heights.flatten(2), ends.detach(), self.row_samples)
        return torch.cat([rows.flatten(1)[:, self.order].float(), ends], 1)


def read_between(heights: torch.Tensor, ends: torch.Tensor, n_samples: int) -> torch.Tensor:
    """(n, rows, n_samples) of (n, rows, cols): samples evenly from one end to the other, linear between.

    Args:
        ends: (n, 2) first and last edge, in widths of the page.
    """
    n_cols = heights.shape[-1]
    share = (torch.arange(n_samples, device=ends.device) + 0.5) / n_samples
    start, end = ends.unsqueeze(-1).unbind(1)
    at = ((start + (end - start) * share) * n_cols - 0.5).clamp(0, n_cols - 1)
    cols = torch.arange(n_cols, device=ends.device).unsqueeze(-1)
    return heights @ torch.relu(1.0 - (at.unsqueeze(1) - cols).abs()).to(heights.dtype)


def _block(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    return convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
