"""Our pipeline with the 2024 winner's read-out: the mean row of the ink in each column under the lead's
mask.

Read-out: Krones et al. 2024 (arXiv:2410.14185). Geometry, layout and calibration are this package's own,
so that the difference to `ours` is the read-out alone, and the difference to `krones2024` everything
else.

With a label map given, the mask is the ink within 2 px of the labelled line, ink being what is at most
`INK_SHARE` of the way from the trace's darkest to the paper. That choice decides much: antialiased rims let
the stroke of a flank into the neighbouring columns. On four clean ECG-Image-Kit pages, true time and scale
given, the halfway level scores 17.5 dB, an eighth of the way 21.2 dB, and the line itself without any
stroke width 24 dB. Without a label map the mask is the pen's pixels under the leads network's coarse masks
(`ink.pen_under`, `ecg-hough predict --readout centroid`).
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

import ecg_hough
from ecg_hough.assembly import record_of
from ecg_hough.elements import Box, PageLayout, RowTrace, TimeBase
from ecg_hough.errors import PageError
from ecg_hough.geometry.page_geometry import find_geometry
from ecg_hough.image.colours import grey_of
from ecg_hough.image.reading import Picture
from ecg_hough.layout.fit import find_layout
from ecg_hough.layout.sheet import Sheet
from ecg_hough.layout.windows import panel_windows
from ecg_hough.networks.canvas import Canvas, to_canvas
from ecg_hough.options import CENTROID
from ecg_hough.output.ecg import Ecg
from ecg_hough.page_map import PageMap
from ecg_hough.paper import LEADS
from ecg_hough.pipeline import digitize
from ecg_hough.signals.calibrate import calibrate
from ecg_hough.signals.columns import place_columns
from ecg_hough.signals.scale import PaperScale
from ecg_lab.methods.common import Options
from ecg_lab.methods.masks import canvas_probabilities, check_labels

REACH_PX = 2
"""Ink counts within this distance of the labelled line, page px."""
INK_SHARE = 0.12
"""Ink is at most this share of the way from the line's darkest to the paper; set so that clean pages give the
reference of 20.1 dB for perfect masks, whose own level is not known."""
SD_MM = 0.05
"""Expected error of a read-out with a given mask: the least one of the trace network."""
GAP_MM = 0.5
"""Read-outs this near to a labelled column are filled by a straight line."""


def run(image: NDArray[np.uint8], labels: NDArray[np.uint8] | None, options: Options) -> Ecg:
    """Digitise one page (rows, cols, 3), by its label map (rows, cols) where given.

    Raises:
        PageError: the page cannot be digitised; as `digitize`.
    """
    if labels is None:
        ecg = digitize(
            image,
            fs=options.fs,
            speed_mm_s=options.speed_mm_s,
            gain_mm_mv=options.gain_mm_mv,
            options=CENTROID,
        )
        return replace(ecg, versions=ecg.versions | {"method": "centroid"})
    check_labels(labels, image.shape)
    geometry = find_geometry(image)
    if geometry.page_map is None or not geometry.grid_found:
        raise PageError("grid", "a given label map is read at the grid's scale; no grid is visible")
    canvas = to_canvas(image, geometry.angle_deg)
    probabilities = canvas_probabilities(labels, canvas)
    layout = find_layout(probabilities)
    if layout.layout is None:
        raise PageError(
            "layout",
            f"the label map must show a known layout; agreement {layout.agreement:.2f}. Is it upright?",
        )
    rows = label_rows(image, labels, geometry.page_map, canvas, layout)
    windows = panel_windows(layout, canvas, geometry.page_map)
    columns = place_columns(rows, windows, layout.layout, options.speed_mm_s)
    base = TimeBase(columns, layout.layout, options.speed_mm_s, options.gain_mm_mv)
    sheet = Sheet(
        0, Box.of(image.shape), image, geometry, geometry.page_map, canvas, probabilities, layout,
        words=(), sides_mm=(), warnings=(*geometry.warnings, *layout.warnings),
    )  # fmt: skip
    scale = PaperScale(options.speed_mm_s, options.gain_mm_mv, "given", "given", options.gain_mm_mv)
    result = calibrate(rows, base, fs=options.fs)
    versions = {"ecg_hough": ecg_hough.__version__, "method": "centroid"}
    picture = Picture(image, "array")
    return record_of(picture, sheet, rows, base, scale, result, versions=versions, seconds={})


def label_rows(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    page_map: PageMap,
    canvas: Canvas,
    layout: PageLayout,
) -> tuple[RowTrace, ...]:
    """Every row of the page by column centroids of the ink under its leads' labels."""
    grey = grey_of(image)
    step_mm = 1.0 / float(page_map.px_per_mm[1])
    out = []
    for index, mask in row_label_masks(labels, canvas, layout).items():
        rows, seen = mask_centroids(grey, mask)
        cols = np.flatnonzero(seen)
        if cols.size < 2:
            continue
        y, x = page_map.to_mm(rows[cols], cols)
        # Read-outs are evenly spaced along the page; a column of the image is one, up to the page's turn.
        order = np.argsort(x)
        x_mm = np.arange(x.min(), x.max(), step_mm)
        known = _gap(x_mm, x[order]) <= GAP_MM
        y_mm = np.where(known, np.interp(x_mm, x[order], y[order]), np.nan)
        out.append(RowTrace(index, x_mm, y_mm, np.where(known, SD_MM, np.nan), known.astype(float)))
    return tuple(out)


def mask_centroids(
    grey: NDArray[np.uint8], own: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Mean row of the ink near each column's labelled pixels, (cols,), and where there is one.

    Args:
        grey: (rows, cols) levels; own: (rows, cols) labelled pixels.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * REACH_PX + 1, 2 * REACH_PX + 1))
    near = cv2.dilate(own.astype(np.uint8), disc) > 0
    ink = near & (grey <= ink_level(grey, own))
    # A labelled column whose ink is faint keeps its labels.
    bare = own.any(axis=0) & ~ink.any(axis=0)
    ink[:, bare] = own[:, bare]
    count = ink.sum(axis=0)
    mean = (ink * np.arange(ink.shape[0])[:, None]).sum(axis=0) / np.maximum(count, 1)
    return mean, count > 0


def row_label_masks(
    labels: NDArray[np.uint8], canvas: Canvas, layout: PageLayout
) -> dict[int, NDArray[np.bool_]]:
    """Labelled pixels (rows, cols) of every row of traces; a lead printed twice goes to the nearer row."""
    masks: dict[int, NDArray[np.bool_]] = {}
    for panel in layout.panels:
        masks.setdefault(panel.row_index, np.zeros(labels.shape, bool))
    for lead in {panel.lead for panel in layout.panels}:
        panels = [panel for panel in layout.panels if panel.lead == lead]
        at = np.argwhere(labels == LEADS.index(lead) + 1)
        seen = canvas.from_page(at.astype(float))
        col = np.clip(np.rint(seen[:, 1]).astype(int), 0, canvas.image.shape[1] - 1)
        away = np.stack(
            [_distance(panel.path_rows, panel.start_col, panel.end_col, seen, col) for panel in panels]
        )
        mine = away.argmin(axis=0)
        for k, panel in enumerate(panels):
            masks[panel.row_index][tuple(at[mine == k].T)] = True
    return masks


def _distance(
    path: NDArray[np.float64],
    start: float,
    end: float,
    points: NDArray[np.float64],
    col: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Distance of canvas points to a panel's coarse path, columns outside the panel added."""
    level = float(np.nanmedian(path))
    row = np.where(np.isfinite(path), path, level)[col]
    outside = np.maximum(0.0, np.maximum(start - points[:, 1], points[:, 1] - end))
    return np.abs(points[:, 0] - row) + outside


def ink_level(grey: NDArray[np.uint8], own: NDArray[np.bool_]) -> float:
    """Grey level from which a pixel is no ink: `INK_SHARE` of the way from the labelled line to the paper."""
    if not own.any():
        return 0.0
    dark, paper = float(np.percentile(grey[own], 10)), float(np.median(grey))
    return dark + INK_SHARE * max(0.0, paper - dark)


def _gap(at: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each place to the nearest known one; known ones are sorted."""
    after = np.clip(np.searchsorted(known, at), 1, known.size - 1)
    return np.minimum(np.abs(known[after] - at), np.abs(known[after - 1] - at))
