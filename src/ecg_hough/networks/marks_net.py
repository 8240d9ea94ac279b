"""The marks network: where panels of a row begin and end, and where separators and pulses are.

In: a strip of a row, its pixels and coarse masks. Out: landmarks with their place along the strip and their
probability.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import MARK_KINDS
from ecg_hough.networks.runtime import Network

MARKS_NETWORK = "marks"
STRIP_MM = 40.0
"""Height of a strip round its row's level."""
CELL_PX = 2
"""Strip columns of an output: 1/4 mm."""
TILE_PX, TILE_STEP_PX = 512, 384
"""Strip columns that are seen at once, as trained, and from one tile to the next."""
LEAST_PROBABILITY = 0.15
"""Of a landmark that is given."""

Found = tuple[str, float, float]
"""Kind, column of the strip and probability of a landmark."""


def half_height(planes: NDArray) -> NDArray:
    """(n, rows / 2, cols): upright strokes need no finer rows."""
    _, rows, cols = planes.shape
    return np.stack([cv2.resize(plane, (cols, rows // 2), interpolation=cv2.INTER_AREA) for plane in planes])


def find_marks(strip: NDArray[np.uint8], masks: NDArray[np.float32], network: Network) -> list[Found]:
    """Landmarks of one row.

    Args:
        strip: (rows, cols, 3) pixels; masks: (2, rows, cols) ink of this row and of others, 0..1.
    """
    planes = np.concatenate([strip.transpose(2, 0, 1).astype(np.float32) / 255, masks])
    heat, offset = _tiled(half_height(planes), network)
    out = []
    for k, kind in enumerate(MARK_KINDS):
        before, after = np.append(0.0, heat[k, :-1]), np.append(heat[k, 1:], 0.0)
        for i in np.flatnonzero((heat[k] > LEAST_PROBABILITY) & (heat[k] >= after) & (heat[k] > before)):
            near = slice(max(0, i - 1), i + 2)
            cells = np.arange(heat.shape[1])[near] + offset[k, near]
            cell = float(np.average(cells, weights=heat[k, near]))
            out.append((kind, (cell + 0.5) * CELL_PX - 0.5, float(heat[k, i])))
    return out


def _tiled(planes: NDArray[np.float32], network: Network) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(kinds, cells) probability of a landmark, and distance to it in cells: means over overlapping tiles."""
    n_cols, cells = planes.shape[2], TILE_PX // CELL_PX
    starts = list(range(0, max(1, n_cols - TILE_PX), TILE_STEP_PX))
    starts = sorted({*starts, max(0, n_cols - TILE_PX) // CELL_PX * CELL_PX})
    width = starts[-1] + TILE_PX
    padded = np.pad(planes, ((0, 0), (0, 0), (0, max(0, width - n_cols))), mode="edge")
    seen = network.run(np.stack([padded[:, :, a : a + TILE_PX] for a in starts]), few_shapes=False)
    n = len(MARK_KINDS)
    weight = np.minimum(np.arange(cells) + 1.0, np.arange(cells)[::-1] + 1.0)
    total, sums = np.zeros(width // CELL_PX), np.zeros((2 * n, width // CELL_PX))
    for a, tile in zip(starts, seen, strict=True):
        here = slice(a // CELL_PX, a // CELL_PX + cells)
        probability = 1.0 / (1.0 + np.exp(-tile[:n].astype(float)))
        sums[:, here] += np.concatenate([probability, tile[n:]]) * weight
        total[here] += weight
    means = sums / total
    kept = n_cols // CELL_PX
    return means[:n, :kept], means[n:, :kept]
