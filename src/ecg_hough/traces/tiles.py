"""The trace network on a strip, tile by tile.

In: a strip's pixels and the coarse masks of its row's and of other rows' ink. Out: logits over the rows for
every half column. A strip is longer than the network's input, so it is seen in tiles that overlap, each as
high as the row's ink there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.geometry.strips import STRIP_PX_PER_MM
from ecg_hough.networks.runtime import Network

TRACE_NETWORK = "traces"
STRIP_ROWS = 256
"""Least height of a strip and of its tiles, 32 mm: as trained. Taller traces get the next multiple of
`ROWS_STEP`."""
ROWS_STEP = 64
HEADROOM_MM = 3.0
"""Space kept above and below a row's ink."""
INK_MIN = 0.4
"""Lead probability of a pixel that is a row's ink."""
TILE_COLS, TILE_OVERLAP = 576, 48
"""Columns of a tile, and the fewest that it shares with the next one."""
UNSEEN_LOGIT = -20.0
"""Of rows above and below a tile: no trace."""


class Tile(NamedTuple):
    """Columns of a strip: seen from `start` on; the logits of those from `first` to `stop` are kept."""

    start: int
    first: int
    stop: int


def tiles_of(n_cols: int) -> list[Tile]:
    """Tiles of a strip of so many columns, evenly spread, each seen with a margin of its neighbours.

    The last one may reach beyond the strip's end.
    """
    n = max(1, -(-(n_cols - TILE_OVERLAP) // (TILE_COLS - TILE_OVERLAP)))
    # Even: the network's columns are pairs.
    starts = [2 * -(-k * max(0, n_cols - TILE_COLS) // (2 * max(1, n - 1))) for k in range(n)]
    borders = [2 * ((a + TILE_COLS + b) // 4) for a, b in pairwise(starts)]
    ends = [0, *borders, starts[-1] + TILE_COLS]
    return [Tile(a, first, stop) for a, (first, stop) in zip(starts, pairwise(ends), strict=True)]


def _tile_rows(own: NDArray[np.float32]) -> slice:
    """Rows of a tile that hold a row's ink, with headroom: the network's input is as high as it must be.

    Args:
        own: (rows, cols) coarse mask of the row's ink in the tile.
    """
    n_rows = own.shape[0]
    inked = np.flatnonzero((own > INK_MIN).any(axis=1))
    highest, lowest = (int(inked[0]), int(inked[-1]) + 1) if inked.size else (n_rows // 2, n_rows // 2)
    headroom = round(HEADROOM_MM * STRIP_PX_PER_MM)
    highest, lowest = highest - headroom, lowest + headroom
    height = min(n_rows, max(STRIP_ROWS, ROWS_STEP * -(-(lowest - highest) // ROWS_STEP)))
    # Round the row's level where that will do, as trained.
    top = int(np.clip((n_rows - height) // 2, lowest - height, highest))
    top = 2 * (int(np.clip(top, 0, n_rows - height)) // 2)
    return slice(top, top + height)


def strip_logits(
    strip: NDArray[np.uint8],
    own: NDArray[np.float32],
    other: NDArray[np.float32],
    network: Network,
    *,
    flip: bool = False,
    known: NDArray[np.float32] | None = None,
    tiles: Sequence[Tile] = (),
) -> NDArray[np.float32]:
    """(4, rows / 2, m) logits of a strip, m at least cols / 2: the last tile may reach beyond its end.

    Args:
        own, other: coarse masks.
        flip: average the logits with those of the strip mirrored along time.
        known: logits that are kept except in `tiles`; None runs the network on all tiles.
    """
    n_rows, n_cols = strip.shape[:2]
    every = tiles_of(n_cols)
    padded = np.empty((strip.shape[2] + 2, n_rows, every[-1].stop), np.float32)
    for channel, plane in zip(padded, cv2.split(strip), strict=False):
        np.multiply(plane, np.float32(1 / 255), out=channel[:, :n_cols])
    for channel, mask in zip(padded[-2:], (own, other), strict=True):
        np.clip(mask, 0, 1, out=channel[:, :n_cols])
    padded[:, :, n_cols:] = padded[:, :, n_cols - 1 : n_cols]
    out = None if known is None else known.copy()
    for start, first, stop in every if out is None else tiles:
        rows = _tile_rows(own[:, start : start + TILE_COLS])
        tile = padded[None, :, rows, start : start + TILE_COLS]
        logits = network.run(tile)[0]
        if flip:
            # Read-outs of one output column run along time, too: mirrored with the columns.
            logits = 0.5 * (logits + network.run(tile[..., ::-1])[0][::-1, :, ::-1])
        stride = TILE_COLS // logits.shape[2]
        if out is None:
            out = np.empty((len(logits), n_rows // stride, every[-1].stop // stride), np.float32)
        kept = out[:, :, first // stride : stop // stride]
        kept[:] = UNSEEN_LOGIT
        kept[:, rows.start // stride : rows.stop // stride] = logits[
            :, :, (first - start) // stride : (stop - start) // stride
        ]
    assert out is not None
    return out
