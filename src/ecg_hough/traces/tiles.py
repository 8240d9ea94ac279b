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
from ecg_hough.traces.distribution import stride_of

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
NEAR_BORDER_PX, BORDER_SHARE, GROW_ROWS = 12, 0.05, 128
"""A trace that comes so near to its tile's upper or lower border, with this probability, may go on beyond it:
the tile grows there by so many rows, 16 mm."""


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


def rows_of_tiles(own: NDArray[np.float32]) -> list[slice]:
    """Rows of each tile of a strip that hold its row's ink, by the coarse mask (rows, cols) of that."""
    return [_tile_rows(own[:, tile.start : tile.start + TILE_COLS]) for tile in tiles_of(own.shape[1])]


def rows_beyond(logits: NDArray[np.float32], rows: Sequence[slice], n_cols: int) -> dict[int, slice]:
    """Tiles whose trace may leave them, and the rows that they need: those may lie beyond the strip.

    Masks end where a tall wave crosses another row, and a tile that ends with them would cut the wave.

    Args:
        logits: of a strip of `n_cols` columns; rows: of its tiles.
    """
    out, stride = {}, stride_of(logits)
    for k, (tile, seen) in enumerate(zip(tiles_of(n_cols), rows, strict=True)):
        here = logits[
            :, seen.start // stride : seen.stop // stride, tile.first // stride : tile.stop // stride
        ]
        p = np.exp(here - np.maximum(here.max(axis=1, keepdims=True), 0.0))
        near = NEAR_BORDER_PX // stride
        all_p = np.maximum(p.sum(axis=1), 1e-6)
        up, down = (
            bool((part.sum(axis=1) > BORDER_SHARE * all_p)[p.max(axis=1) > 0.5].any())
            for part in (p[:, :near], p[:, -near:])
        )
        if up or down:
            out[k] = slice(seen.start - GROW_ROWS * up, seen.stop + GROW_ROWS * down)
    return out


def with_rows(logits: NDArray[np.float32], top: int, bottom: int) -> NDArray[np.float32]:
    """Logits of a strip that has so many rows more above and below, in which nothing was seen."""
    stride = stride_of(logits)
    more = ((0, 0), (top // stride, bottom // stride), (0, 0))
    return np.pad(logits, more, constant_values=UNSEEN_LOGIT)


def strip_logits(
    strip: NDArray[np.uint8],
    own: NDArray[np.float32],
    other: NDArray[np.float32],
    network: Network,
    *,
    flip: bool = False,
    known: NDArray[np.float32] | None = None,
    tiles: Sequence[Tile] = (),
    rows: Sequence[slice] | None = None,
) -> NDArray[np.float32]:
    """(4, rows / 2, m) logits of a strip, m at least cols / 2: the last tile may reach beyond its end.

    Args:
        own, other: coarse masks.
        flip: average the logits with those of the strip mirrored along time.
        known: logits that are kept except in `tiles`; None runs the network on all tiles.
        rows: of each of all tiles; None takes those of `own`.
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
        here = own[:, start : start + TILE_COLS]
        seen = _tile_rows(here) if rows is None else rows[every.index(Tile(start, first, stop))]
        tile = padded[None, :, seen, start : start + TILE_COLS]
        logits = network.run(tile)[0]
        if flip:
            # Read-outs of one output column run along time, too: mirrored with the columns.
            logits = 0.5 * (logits + network.run(tile[..., ::-1])[0][::-1, :, ::-1])
        stride = TILE_COLS // logits.shape[2]
        if out is None:
            out = np.empty((len(logits), n_rows // stride, every[-1].stop // stride), np.float32)
        kept = out[:, :, first // stride : stop // stride]
        kept[:] = UNSEEN_LOGIT
        kept[:, seen.start // stride : seen.stop // stride] = logits[
            :, :, (first - start) // stride : (stop - start) // stride
        ]
    assert out is not None
    return out
