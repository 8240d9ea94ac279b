"""Millimetres of a page that a program drew: by its grid, by its pulses, or by the grid that its picture
shows.

In: `Content`. Out: `PageGeometry`. That a point is 1/72 inch is believed of pages whose pulses agree alone:
pages are scaled to fit a sheet.
"""

from __future__ import annotations

import logging

import numpy as np

from ecg_hough.geometry.page_geometry import PageGeometry, find_geometry
from ecg_hough.page_map import PageMap
from ecg_hough.paper import GAIN_MM_MV, GAIN_WORDS
from ecg_hough.vectors.content import Content
from ecg_hough.vectors.grid import DrawnGrid, find_grid
from ecg_hough.vectors.strokes import NotDrawnError

log = logging.getLogger(__name__)

NOMINAL_OFF = 0.015
"""A pulse of the printed gain within this share of its nominal height shows that the page is printed at its
nominal size; a pulse's height is known to half a device pixel."""
UNEVEN_SQUARES = 0.2
"""Log ratio of a square's sides from which a person should look."""
BLOCK_MM_MIN, BLOCK_MM_MAX = 90.0, 620.0
"""Widths of the block of traces, of carts: squares that make it narrower or wider are no millimetres."""


def geometry_of(content: Content) -> PageGeometry:
    """Millimetres of the page.

    Raises:
        NotDrawnError: nothing shows them.
    """
    grid, source = _by_lines(content), "its grid"
    if grid is None and content.pulses:
        grid, source = _by_pulses(content), "its pulses"
    if grid is None:
        seen = find_geometry(content.image)
        if seen.px_per_mm is None or seen.ambiguous:
            raise NotDrawnError("neither a grid nor a calibration pulse is among its paths")
        grid, source = DrawnGrid(*seen.px_per_mm, 1.0), "the grid of its picture"
    block_mm = _block_px(content) / grid.across
    if not BLOCK_MM_MIN <= block_mm <= BLOCK_MM_MAX:
        raise NotDrawnError(f"by {source} its traces are {block_mm:.0f} mm wide, which no cart prints")
    log.info("vector: %.4f px/mm down, %.4f across, by %s", grid.down, grid.across, source)
    size = content.image.shape
    matrix = np.array([[grid.down, 0.0, 0.0], [0.0, grid.across, 0.0]])
    page_map = PageMap.from_affine(matrix, (size[0] / grid.down, size[1] / grid.across))
    ratio = grid.down / grid.across
    warning = (
        f"grid: its squares are {ratio:.2f} times as tall as wide; assumed 5 mm in both directions,"
        " 0.2 s and 0.5 mV at 25 mm/s and 10 mm/mV"
    )
    warnings = (warning,) if abs(np.log(ratio)) > UNEVEN_SQUARES else ()
    return PageGeometry(0.0, (grid.down, grid.across), True, page_map, 0.0, "vector", warnings)


def _by_lines(content: Content) -> DrawnGrid | None:
    grid = find_grid(content.strokes, content.px_per_mm[1], _block_px(content))
    if grid is not None and not grid.sure:
        raise NotDrawnError("it is unknown whether the lines of its grid are 1 or 5 mm apart")
    return grid


def _block_px(content: Content) -> float:
    """Width of the block of traces."""
    return max(trace.end for trace in content.traces) - min(trace.start for trace in content.traces)


def _by_pulses(content: Content) -> DrawnGrid:
    """The scale of a page without a grid, by the height of its pulses: its nominal one where they agree."""
    gains = {GAIN_WORDS[word.word] for word in content.words if word.word in GAIN_WORDS}
    gain = gains.pop() if len(gains) == 1 else GAIN_MM_MV
    down, across = content.px_per_mm
    times = float(np.median([pulse.height for pulse in content.pulses])) / gain / down
    if abs(times - 1.0) <= NOMINAL_OFF:
        times = 1.0
    # A page that was scaled to fit a sheet was scaled alike both ways.
    return DrawnGrid(down * times, across * times, 1.0)
