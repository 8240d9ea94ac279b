"""Coarse masks of every row's own ink and of its neighbours'.

In: class probabilities on the canvas and the layout. Out: two masks per row, which the trace network sees
together with the strip.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import PageLayout
from ecg_hough.layout.paths import class_weights
from ecg_hough.paper import LEADS

MASK_MIN = 0.3
"""Lead probability from which a pixel lies under a row's coarse mask, for the centroid read-out."""
PATH_REACH_PX = 4.0
"""Canvas px by which ink must be nearer to one row's path than to another's for a claim e times as strong."""
NAME_FLOOR = 0.15
"""Claim of a row on ink that is surely named as another row's lead; on its own lead's it is 1 + this."""


def row_masks(probabilities: NDArray[np.float32], layout: PageLayout) -> NDArray[np.float32]:
    """(n, 2, rows, cols) per row of the page: ink of its own traces, ink of other rows' traces.

    Ink is divided among rows by the distance to their coarse paths and by its class, compared with the
    classes along each path: a misnamed trace remains with its row, and where a tall QRS complex crosses
    another row its class decides. Rows without a panel claim theirs, which is nobody's signal.
    """
    _, n_rows, n_cols = probabilities.shape
    indices = sorted({panel.row_index for panel in layout.panels})
    n_read, n = len(indices), len(indices) + len(layout.unplaced)
    weights = np.zeros((n, len(LEADS), n_cols), np.float32)
    path = np.full((n, n_cols), np.nan)
    spans = [
        (indices.index(panel.row_index), panel.start_col, panel.end_col, panel.path_rows)
        for panel in layout.panels
    ]
    spans += [(k, 0.0, float(n_cols), line) for k, line in enumerate(layout.unplaced, start=n_read)]
    for k, start_col, end_col, path_rows in spans:
        a, b = (int(np.clip(round(v), 0, n_cols)) for v in (start_col, end_col))
        path[k, a:b] = path_rows[a:b]
        known = np.arange(a, b)[np.isfinite(path_rows[a:b])]
        if known.size:
            at = np.clip(np.rint(path_rows[known]).astype(int), 0, n_rows - 1)
            weights[k, :, a:b] = class_weights(probabilities[1:, at, known].sum(axis=1))[:, None]
    for k in range(n):  # a row's line where its path is not known: that of its nearest known columns
        known = np.flatnonzero(np.isfinite(path[k]))
        path[k] = np.interp(np.arange(n_cols), known, path[k, known]) if known.size else 0.0
    ink = 1.0 - probabilities[0]
    rows = np.arange(n_rows, dtype=np.float32)
    distance = np.abs(rows[None, :, None] - path[:, None, :].astype(np.float32))
    claim = np.exp(-(distance - distance.min(axis=0)) / PATH_REACH_PX)
    sure = 1.0 / np.maximum(ink, 1e-3)
    for k in range(n):
        claim[k] *= NAME_FLOOR + sure * np.einsum("crx,cx->rx", probabilities[1:], weights[k])
    claim *= ink / np.maximum(claim.sum(axis=0), 1e-9)
    claim = claim[:n_read]
    return np.stack([claim, np.clip(ink - claim, 0, 1)], axis=1)
