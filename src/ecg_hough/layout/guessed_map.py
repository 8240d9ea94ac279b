"""A page map where no grid gives one: from the traces themselves, and the sheet's edges where these are seen.

In: a geometry without a grid, and the layout on its canvas. Out: `PageMap` whose millimetres are assumed.
Leads' zero lines are printed level and parallel, and all rows are equally long: where the coarse traces rise
or fall together by more than beats and baseline wander do, the page was photographed at an angle, and the
block of traces is made a rectangle again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import theilslopes

from ecg_hough.elements import PageLayout
from ecg_hough.errors import PageError
from ecg_hough.geometry.page_geometry import PageGeometry
from ecg_hough.geometry.sheet_edges import homography, project
from ecg_hough.layout.windows import block_mm, panel_windows, row_paths
from ecg_hough.networks.canvas import Canvas
from ecg_hough.numeric import robust_scale
from ecg_hough.page_map import PageMap
from ecg_hough.paper import BLOCK_MM, PAPER_SPEED_MM_S, RECORD_S

# Tuned on the 31 pages without a grid among 710 own renders (benchmark_pages, other seeds than the published
# one): seven of a missed perspective rise and fall by 4.5 to 35 mm, others on no sheet of known format by up
# to 2.8.
SLANT_MIN_MM = 4.5
"""Rise or fall of the outer rows over the block, by which it is no rectangle."""
RESIDUAL_MAX = 0.9
"""Largest residual of fanned rows, of that of level ones, with which the fan is used."""
ROWS_MIN = 3
"""Fewest rows from which a fan or a turn is measured."""
CELL_MM = 8.0
"""Length of trace of which the median is taken, so that beats do not count."""
CELLS_MIN = 8
"""Fewest such places of a row whose slope counts."""
TURN_SURE = 3.0
"""Standard errors of their mean slope by which rows rise alike."""
SLANT_SCALE_MM = 0.5
"""Scale of the robust loss."""
LATTICE = 24
"""Nodes of the new map in each direction."""


def map_without_grid(
    geometry: PageGeometry, canvas: Canvas, layout: PageLayout, shape: tuple[int, int]
) -> PageMap:
    """Assume a page map with a block of traces 250 mm wide; a sheet of known format has its own scale.

    That is 10 s at the usual 25 mm/s; at 50 mm/s carts print 5 s on the same paper.

    Args:
        geometry: without a grid; canvas, layout: of the image that it is of; shape: rows and columns of that.
    """
    if geometry.paper is not None and geometry.page_map is not None:
        return geometry.page_map
    page_map = geometry.page_map
    if page_map is None:
        page_map = _flat_map(geometry.angle_deg, canvas, layout, shape)
        turn_deg = common_turn(_cells(canvas, layout, page_map))
        page_map = _flat_map(geometry.angle_deg + turn_deg, canvas, layout, shape)
    page_map = _scaled_to_columns(page_map, canvas, layout)
    corners = block_corners(canvas, layout, page_map)
    if corners is None:
        return page_map
    return _scaled_to_columns(_squared(page_map, corners), canvas, layout)


def _flat_map(angle_deg: float, canvas: Canvas, layout: PageLayout, shape: tuple[int, int]) -> PageMap:
    """A flat page map of this angle, where neither grid nor edges are visible."""
    ends = []
    for panel in layout.panels:
        row = float(np.nanmedian(panel.path_rows))
        ends.append(canvas.to_page(np.array([[row, panel.start_col], [row, panel.end_col]])))
    angle = np.deg2rad(angle_deg)
    along = np.array([-np.sin(angle), np.cos(angle)])  # page right, as (row, col)
    down = np.array([np.cos(angle), np.sin(angle)])
    right = np.array(ends) @ along
    scale = scale_from_columns(float(right[:, 0].min()), float(right[:, 1].max()), PAPER_SPEED_MM_S)
    # The origin is set so that the whole image has positive millimetres.
    corners = np.array([[0, 0], [0, shape[1]], [shape[0], 0], [shape[0], shape[1]]], float)
    origin = down * (corners @ down).min() + along * (corners @ along).min()
    size = tuple(float(np.ptp(corners @ axis)) / scale for axis in (down, along))
    matrix = np.column_stack([down * scale, along * scale, origin])
    return PageMap.from_affine(matrix, (size[0], size[1]))


def _scaled_to_columns(page_map: PageMap, canvas: Canvas, layout: PageLayout) -> PageMap:
    """A map whose millimetres are assumed, with a block of traces 250 mm wide."""
    return page_map.scaled(BLOCK_MM / block_mm(layout, canvas, page_map))


def block_corners(canvas: Canvas, layout: PageLayout, page_map: PageMap) -> NDArray[np.float64] | None:
    """Where the block's corners lie on a map on which rows rise or fall together.

    Returns:
        (4, 2) mm down and along: the first row's start and end, the last row's start and end. None where the
        block is a rectangle, or has too few rows.
    """
    cells = _cells(canvas, layout, page_map)
    fan = _fan(list(cells.values())) if len(cells) >= ROWS_MIN else None
    if fan is None:
        return None
    windows = panel_windows(layout, canvas, page_map)
    starts = [min(w.start_mm for w in windows if w.row_index == k) for k in cells]
    ends = [max(w.end_mm for w in windows if w.row_index == k) for k in cells]
    # Both ends of the block are straight, whatever a single row's are.
    corners = []
    sides = [Polynomial.fit(fan.medians, side, 1) for side in (starts, ends)]
    for row in (0, -1):
        for side in sides:
            edge = float(side(fan.medians[row]))
            corners.append([fan.levels[row] + fan.slants[row] * (edge - fan.middle) / fan.half, edge])
    return np.array(corners)


class _Fan(NamedTuple):
    """Straight rows whose slant changes evenly down the page, mm.

    Attributes:
        levels: (n,) of the fitted rows at the block's middle; medians: (n,) of their traces.
        slants: (2,) rise of the first and the last row over half the block.
        middle, half: of the block along the page.
    """

    levels: NDArray[np.float64]
    medians: NDArray[np.float64]
    slants: NDArray[np.float64]
    middle: float
    half: float


def _fan(cells: list[NDArray[np.float64]]) -> _Fan | None:
    """The fan of rows (n, 2) each, mm down and along; None where they are as level as printed rows."""
    row_of = np.repeat(np.arange(len(cells)), [len(points) for points in cells])
    y, x = np.concatenate(cells).T
    middle, half = 0.5 * (x.max() + x.min()), 0.5 * np.ptp(x)
    along = (x - middle) / half
    medians = np.array([np.median(points[:, 0]) for points in cells])
    place = 2.0 * (medians - medians.mean()) / np.ptp(medians)

    def residual(fan: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of the cells from straight rows; `fan`: slant at the middle, its growth, and levels."""
        return y - fan[2:][row_of] - along * (fan[0] + fan[1] * place[row_of])

    flat = np.r_[0.0, 0.0, medians]
    fan = least_squares(residual, flat, loss="soft_l1", f_scale=SLANT_SCALE_MM).x
    slants = fan[0] + fan[1] * place[[0, -1]]
    remaining, before = np.abs(residual(fan)).mean(), np.abs(residual(flat)).mean()
    if 2.0 * np.abs(slants).max() < SLANT_MIN_MM or remaining > RESIDUAL_MAX * before:
        return None
    return _Fan(fan[2:], medians, slants, float(middle), float(half))


def common_turn(cells: dict[int, NDArray[np.float64]]) -> float:
    """Degrees by which all rows rise alike, so that the page is turned by them; 0 where they do not.

    A lead's wander differs from row to row.

    Args:
        cells: as `_cells` gives them.
    """
    rows = [points for points in cells.values() if len(points) >= CELLS_MIN]
    if len(rows) < ROWS_MIN:
        return 0.0
    slopes = np.array([theilslopes(points[:, 0], points[:, 1]).slope for points in rows])
    turn = float(np.median(slopes))
    standard_error = robust_scale(slopes - turn, 0.0) / np.sqrt(len(slopes))
    return float(np.rad2deg(np.arctan(turn))) if abs(turn) > TURN_SURE * standard_error else 0.0


def _cells(canvas: Canvas, layout: PageLayout, page_map: PageMap) -> dict[int, NDArray[np.float64]]:
    """(n, 2) mm down and along of every row's coarse trace, medians of short stretches, from the top."""
    out = {}
    for k, path in sorted(row_paths(layout).items()):
        cols = np.flatnonzero(np.isfinite(path))
        points = canvas.to_page(np.column_stack([path[cols], cols]).astype(float))
        y, x = page_map.to_mm(points[:, 0], points[:, 1])
        cell = np.floor(x / CELL_MM)
        out[k] = np.array([[np.median(v[cell == c]) for v in (y, x)] for c in np.unique(cell)])
    return {k: points for k, points in out.items() if len(points)}


def _squared(page_map: PageMap, corners: NDArray[np.float64]) -> PageMap:
    """The map on which the block with these corners is a rectangle of its mean height and width."""
    down, along = corners.T
    top, bottom, left, right = (v.mean() for v in (down[:2], down[2:], along[::2], along[1::2]))
    y, x = (np.linspace(v[0], v[-1], LATTICE) for v in (page_map.y_mm, page_map.x_mm))
    v, u = np.meshgrid((y - top) / (bottom - top), (x - left) / (right - left), indexing="ij")
    y_seen, x_seen = np.moveaxis(project(homography(corners), v, u), -1, 0)
    return PageMap(y, x, *page_map.to_pixels(y_seen, x_seen))


def scale_from_columns(
    start_px: float, end_px: float, speed_mm_s: float = PAPER_SPEED_MM_S, seconds: float = RECORD_S
) -> float:
    """px per mm when nothing but the block's width is known: the usual 10 s (Krones et al. 2024)."""
    if not end_px > start_px:
        raise PageError("calibration", f"block of traces must have a width; got {end_px - start_px:.0f} px")
    return (end_px - start_px) / (seconds * speed_mm_s)
