"""Landmarks of all rows: where panels begin and end, separators and calibration pulses.

In: the page and its traces. Out: `RowMark`s in page millimetres. The marks network sees a strip of each row
with masks that are drawn along the traces.
"""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.cores import side_by_side
from ecg_hough.elements import RowMark, RowTrace
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame, cut_strip, shrink_for_strips, strip_map
from ecg_hough.layout.sheet import Sheet
from ecg_hough.networks.marks_net import MARKS_NETWORK, STRIP_MM, find_marks
from ecg_hough.networks.runtime import Network, load_network
from ecg_hough.numeric import runs

BEYOND_MM = 28.0
"""Searched before the first read-out of a row and behind its last: pulses are there."""
MASK_PX_PER_MM, MASK_BLUR, MASK_PEN_PX = 2.3, 0.6, 2
"""Drawn masks are as coarse as the leads network's, with which the network was trained."""


def marks_of_rows(
    sheet: Sheet, traces: tuple[RowTrace, ...], network: Network | None = None
) -> tuple[RowMark, ...]:
    """Landmarks of every row that has a trace, row by row.

    Args:
        network: None takes the shipped one.
    """
    network = network or load_network(MARKS_NETWORK)
    pixels, factor = shrink_for_strips(sheet.image, float(np.mean(sheet.page_map.px_per_mm)))
    see = partial(_marks_of_row, sheet, pixels, factor, traces, network)
    found = side_by_side(see, range(len(traces)))
    return tuple(mark for row in found for mark in row)


def _marks_of_row(
    sheet: Sheet,
    pixels: NDArray[np.uint8],
    factor: float,
    traces: tuple[RowTrace, ...],
    network: Network,
    k: int,
) -> list[RowMark]:
    """Landmarks of the k-th row."""
    row = traces[k]
    seen = np.isfinite(row.y_mm)
    if not seen.any():
        return []
    level, first, last = float(np.median(row.y_mm[seen])), row.x_mm[seen].min(), row.x_mm[seen].max()
    n_cols = int(np.ceil((last - first + 2 * BEYOND_MM) * STRIP_PX_PER_MM))
    shape = (round(STRIP_MM * STRIP_PX_PER_MM), n_cols)
    frame = StripFrame(level - STRIP_MM / 2, float(first) - BEYOND_MM, shape)
    strip = cut_strip(pixels, strip_map(frame, sheet.page_map), factor)
    found = find_marks(strip, drawn_masks(traces, k, frame), network)
    return [
        RowMark(kind, row.row_index, frame.x_mm + column / STRIP_PX_PER_MM, probability)
        for kind, column, probability in found
    ]


def drawn_masks(traces: tuple[RowTrace, ...], k: int, frame: StripFrame) -> NDArray[np.float32]:
    """(2, rows, cols) masks of the k-th row's trace and of the others', 0..1."""
    shape = [int(np.ceil(n / STRIP_PX_PER_MM * MASK_PX_PER_MM)) + 2 for n in frame.shape]
    masks = np.zeros((2, *shape), np.uint8)
    for j, row in enumerate(traces):
        at = frame.from_mm(np.stack([row.y_mm, row.x_mm], -1)[::3]) / STRIP_PX_PER_MM * MASK_PX_PER_MM
        for line in mask_lines(at):
            cv2.polylines(masks[int(j != k)], [line], False, 255, MASK_PEN_PX, cv2.LINE_AA, 4)
    scale = MASK_PX_PER_MM / STRIP_PX_PER_MM
    back = np.array([[scale, 0, 0], [0, scale, 0]])
    flags, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, (frame.shape[1], frame.shape[0])
    coarse = [
        cv2.GaussianBlur(mask, (0, 0), MASK_BLUR).astype(np.float32) / np.float32(255) for mask in masks
    ]
    return np.stack([cv2.warpAffine(mask, back, size, flags=flags) for mask in coarse])


def mask_lines(points: NDArray[np.float64]) -> list[NDArray[np.int32]]:
    """(n, 2) row, col with NaN between pieces -> OpenCV's polylines in 1/16 px."""
    pieces = (points[a:b, None, ::-1] for a, b in runs(np.isfinite(points[:, 0])))
    return [np.round(piece * 16).astype(np.int32) for piece in pieces]
