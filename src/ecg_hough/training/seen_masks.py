"""What the leads network makes of a rendered page's rows: the masks that the trace network learns with.

In: a rendered page. Out: its canvas, and masks of every row's own and of other rows' ink.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import LeadPanel, PageLayout
from ecg_hough.errors import PageError
from ecg_hough.layout.fit import find_layout
from ecg_hough.networks.canvas import Canvas, to_canvas
from ecg_hough.networks.leads_net import lead_probabilities
from ecg_hough.networks.runtime import Network
from ecg_hough.render import RenderedPage
from ecg_hough.traces.masks import row_masks


def seen_masks(
    page: RenderedPage, network: Network, *, found: bool = False
) -> tuple[Canvas, NDArray[np.float32]]:
    """The canvas of a page and (n, 2, side, side) what the leads network makes of its rows.

    Args:
        found: panels and coarse paths are those that are found, where every row is; else the true ones.
    """
    canvas = to_canvas(page.image)
    probabilities = lead_probabilities(canvas, network)
    layout = _true_layout(page, canvas, probabilities.shape[2])
    if found:
        layout = _found_layout(probabilities, layout)
    return canvas, row_masks(probabilities, layout)


def _found_layout(probabilities: NDArray[np.float32], true: PageLayout) -> PageLayout:
    """The layout that is found, where its rows are the true ones; else the true one."""
    try:
        layout = find_layout(probabilities)
    except PageError:
        return true
    lines, found_lines = _row_lines(true), _row_lines(layout)
    if len(lines) != len(found_lines):
        return true
    pitch = float(np.diff(lines).min()) if len(lines) > 1 else np.inf
    return layout if np.abs(found_lines - lines).max() < 0.5 * pitch else true


def _row_lines(layout: PageLayout) -> NDArray[np.float64]:
    """(n,) median place of every row's coarse paths, canvas px."""
    rows: dict[int, list[NDArray[np.float64]]] = {}
    for panel in layout.panels:
        rows.setdefault(panel.row_index, []).append(panel.path_rows[np.isfinite(panel.path_rows)])
    return np.array([np.median(np.concatenate(paths)) for _, paths in sorted(rows.items())])


def _true_layout(page: RenderedPage, canvas: Canvas, side: int) -> PageLayout:
    """Panels and coarse paths of a rendered page, on a canvas of so many columns."""
    panels = []
    for panel in page.panels:
        points = canvas.from_page(panel.trace[np.isfinite(panel.trace).all(axis=1)].astype(float))
        column = np.rint(points[:, 1]).astype(int)
        inside = (column >= 0) & (column < side)
        count = np.bincount(column[inside], minlength=side)
        total = np.bincount(column[inside], points[inside, 0], minlength=side)
        path = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        if count.any():
            start, end = float(points[:, 1].min()), float(points[:, 1].max()) + 1
            panels.append(LeadPanel(panel.lead, panel.row, panel.column, panel.rhythm, start, end, path, 1.0))
    return PageLayout(tuple(panels), page.layout, 0.0, 1.0, float("nan"))
