"""Where the strip of a row lies on the page.

In: the coarse mask of the row's ink on the canvas. Out: `StripFrame` in page millimetres, tall enough for the
row's highest and deepest wave.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame
from ecg_hough.networks.canvas import Canvas
from ecg_hough.page_map import PageMap
from ecg_hough.traces.tiles import HEADROOM_MM, INK_MIN, ROWS_STEP, STRIP_ROWS

STRIP_ROWS_MAX = 640
"""Greatest height of a strip, 80 mm."""
MARGIN_MM = 6.0
"""Read beyond a row's ends, where the network distinguishes the trace's end from its surroundings."""
INK_POINTS = 2000
"""Pixels of a row's ink, at least, from which the strip's place is taken."""
AROUND_PANELS_PX = 30.0
"""Canvas px to the left and right of a row's panels in which ink may be its own: 12 mm, the error of the
leads network's edges."""
SPECK_PERCENTILES = (2.0, 98.0)
"""Of a row's ink, where it reaches farther up and down than a strip is high: beyond are specks."""


def row_frame(
    own: NDArray[np.float32], edges: tuple[float, float], page_map: PageMap, canvas: Canvas
) -> StripFrame:
    """The strip of one row: round the middle of its ink, tall enough for its highest and deepest QRS.

    `edges` are the canvas columns where its panels start and end: a speck outside them is none of its ink.
    """
    at = np.argwhere(own > INK_MIN).astype(float)
    within = (at[:, 1] > edges[0] - AROUND_PANELS_PX) & (at[:, 1] < edges[1] + AROUND_PANELS_PX)
    at = at[within] if within.any() else at
    page = canvas.to_page(at[:: max(1, len(at) // INK_POINTS)])
    y, x = page_map.to_mm(page[:, 0], page[:, 1])
    middle = float(np.median(y))
    least = STRIP_ROWS / 2 / STRIP_PX_PER_MM
    highest, lowest = y.min(), y.max()
    if lowest - highest > STRIP_ROWS_MAX / STRIP_PX_PER_MM:  # farther than any wave: that is a speck
        highest, lowest = np.percentile(y, SPECK_PERCENTILES)
    up, down = (max(float(v) + HEADROOM_MM, least) for v in (middle - highest, lowest - middle))
    rows = int(ROWS_STEP * np.ceil(min((up + down) * STRIP_PX_PER_MM, STRIP_ROWS_MAX) / ROWS_STEP))
    # What a tall row lacks is taken from both sides alike.
    top = middle - up - (rows / STRIP_PX_PER_MM - up - down) / 2
    cols_px = int(np.ceil((x.max() - x.min() + 2 * MARGIN_MM) * STRIP_PX_PER_MM))
    return StripFrame(top, float(x.min()) - MARGIN_MM, (rows, cols_px))


def taller(frame: StripFrame, top: int, bottom: int) -> StripFrame:
    """The strip with so many rows more above and below; for strips that are not turned."""
    n_rows, n_cols = frame.shape
    y_mm = frame.y_mm - top / STRIP_PX_PER_MM
    return replace(frame, y_mm=y_mm, shape=(n_rows + top + bottom, n_cols))


def inside_image(
    where: tuple[NDArray[np.float32], NDArray[np.float32]], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """(cols,) whether the middle of each strip column lies in the image."""
    r, c = (m[m.shape[0] // 2] for m in where)
    return (r > -0.5) & (r < shape[0] - 0.5) & (c > -0.5) & (c < shape[1] - 0.5)
