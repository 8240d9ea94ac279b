"""Panels and coarse traces, from the leads network's canvas to page millimetres.

In: the layout on its canvas, and a page map. Out: `Window` of every panel.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import PageLayout, PanelBox, Window
from ecg_hough.networks.canvas import Canvas
from ecg_hough.page_map import PageMap

logger = logging.getLogger(__name__)


def panel_windows(layout: PageLayout, canvas: Canvas, page_map: PageMap) -> tuple[Window, ...]:
    """The layout's panels in page millimetres; a layout may reach beyond the page, its panels do not."""
    rows = {panel.row_index for panel in layout.panels}
    return windows_on_rows(layout, layout.panels, rows, canvas, page_map)


def windows_on_rows(
    layout: PageLayout, panels: Iterable[PanelBox], rows: set[int], canvas: Canvas, page_map: PageMap
) -> tuple[Window, ...]:
    """Panels on some of the layout's rows, in page millimetres."""
    paths = row_paths(layout)
    places = tuple(panel for panel in panels if panel.row_index in rows)
    ends = np.zeros((len(places), 2, 2))
    for k, place in enumerate(places):
        start, end = place.start_col, place.end_col
        path = paths[place.row_index]
        here = path[max(0, round(start)) : max(0, round(end))]
        row = float(np.nanmedian(here if np.isfinite(here).any() else path))
        on_page = np.flatnonzero(canvas.covered[int(np.clip(row, 0, canvas.covered.shape[0] - 1))])
        if on_page.size:
            first, stop = on_page[0], on_page[-1] + 1
            if min(start, end) < first or max(start, end) > stop:
                logger.debug(
                    "%s in row %d: columns %.1f to %.1f end at the page, %d to %d",
                    place.lead, place.row_index, start, end, first, stop,
                )  # fmt: skip
            start, end = (float(np.clip(col, first, stop)) for col in (start, end))
        ends[k] = [[row, start - 0.5], [row, end - 0.5]]
    points = canvas.to_page(ends.reshape(-1, 2))
    _, x = page_map.to_mm(points[:, 0], points[:, 1])
    return tuple(
        Window(place.lead, place.row_index, place.column_index, place.rhythm, float(a), float(b))
        for place, (a, b) in zip(places, x.reshape(-1, 2), strict=True)
    )


def row_paths(layout: PageLayout) -> dict[int, NDArray[np.float64]]:
    """Coarse trace of every row, (cols,) rows of the canvas, NaN where there is none."""
    paths: dict[int, NDArray[np.float64]] = {}
    for panel in layout.panels:
        path = paths.setdefault(panel.row_index, np.full(panel.path_rows.size, np.nan))
        path[np.isnan(path)] = panel.path_rows[np.isnan(path)]
    return paths


def block_mm(layout: PageLayout, canvas: Canvas, page_map: PageMap) -> float:
    """Width of the block of traces, mm."""
    windows = panel_windows(layout, canvas, page_map)
    start_mm, end_mm = min(w.start_mm for w in windows), max(w.end_mm for w in windows)
    logger.debug("block of traces: %.1f to %.1f mm, %d panels", start_mm, end_mm, len(windows))
    return end_mm - start_mm
