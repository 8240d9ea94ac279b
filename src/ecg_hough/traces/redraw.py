"""A stretch of a row drawn again between places that a person gives.

In: the page as it was found, its rows, and a stroke along the row that is meant. Out: the row with that
stretch read again. The trace network sees the place with a mask drawn along the stroke, and the trace takes
the smoothest way through the peaks of its distribution that begins and ends where the stroke does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import RowTrace
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame, cut_strip, shrink_for_strips, strip_map
from ecg_hough.layout.sheet import Sheet
from ecg_hough.networks.runtime import load_network
from ecg_hough.options import SHIPPED, Options
from ecg_hough.traces.crossings import way_through
from ecg_hough.traces.distribution import READOUTS_PER_COLUMN
from ecg_hough.traces.frame import STRIP_ROWS_MAX, inside_image
from ecg_hough.traces.look import PageReader, RowLook
from ecg_hough.traces.marks import drawn_masks
from ecg_hough.traces.row_trace import row_trace
from ecg_hough.traces.second_look import settled
from ecg_hough.traces.tiles import HEADROOM_MM, ROWS_STEP, STRIP_ROWS, TILE_COLS, TRACE_NETWORK, strip_logits

AROUND_MM = 12.0
"""Seen to either side of a stroke: the network's neighbourhood, and level trace to measure the pen on."""
FREEHAND_SD_MM = 0.12
"""Expected error of a stroke that is taken as it is drawn: a hand on an enlarged picture."""
UNSEEN_SD_MM = 0.25
"""Expected error where no ink is seen and the stroke itself is taken: half a pen's width."""


def redraw(
    sheet: Sheet,
    rows: tuple[RowTrace, ...],
    row_index: int,
    stroke_mm: NDArray[np.float64],
    options: Options = SHIPPED,
    *,
    snap: bool = True,
) -> RowTrace:
    """The row with its stretch along a stroke read again.

    Args:
        sheet: the page; rows: all of its rows, as read.
        row_index: of the row that is meant.
        stroke_mm: (m, 2) y and x in page mm, at least two points. Its ends are kept; of two points those
            between are found by the ink alone, of more also by the distance from the stroke.
        options: how strips are cut and strokes fitted.
        snap: whether the trace is looked for in the ink; without, it is the stroke.

    Raises:
        ValueError: no such row, or a stroke without length along the page.
    """
    k = next((i for i, row in enumerate(rows) if row.row_index == row_index), None)
    if k is None:
        raise ValueError(f"row must be one of the page's rows; got {row_index}")
    stroke = stroke_mm[np.argsort(stroke_mm[:, 1], kind="stable")]
    if len(stroke) < 2 or stroke[-1, 1] - stroke[0, 1] < 2 / STRIP_PX_PER_MM:
        raise ValueError("a stroke must have two points apart from each other along the page")
    row = with_reach(rows[k], stroke[0, 1], stroke[-1, 1])
    here = (row.x_mm >= stroke[0, 1]) & (row.x_mm <= stroke[-1, 1])
    along = np.interp(row.x_mm, stroke[:, 1], stroke[:, 0])
    doubt = None if row.wrong is None else np.where(here, 0.0, row.wrong)
    meant = replace(row, y_mm=np.where(here, along, row.y_mm), drawn=(), wrong=doubt)
    if not snap:
        return replace(
            meant,
            sd_mm=np.where(here, FREEHAND_SD_MM, row.sd_mm),
            presence=np.where(here, 1.0, row.presence),
        )
    seen = _look(sheet, (*rows[:k], meant, *rows[k + 1 :]), k, stroke, options)
    page, look = seen
    view = look.view
    span = np.flatnonzero((view.x_mm >= stroke[0, 1]) & (view.x_mm <= stroke[-1, 1]))
    line = np.interp(view.x_mm[span], stroke[:, 1], stroke[:, 0])
    way = way_through(view, span, look.readouts.presence[span], line, drawn_by_hand=len(stroke) > 2)
    place = view.y_mm.copy()
    place[span] = way
    again = row_trace(page, look, settled(look, place))
    # `settled` leaves read-outs alone that nothing was seen at.
    off = np.abs(again.y_mm[span] - way) > HEADROOM_MM
    known = np.isfinite(again.y_mm[span]) & ~off
    y_mm = np.where(known, again.y_mm[span], way)
    sd_mm = np.where(known, again.sd_mm[span], UNSEEN_SD_MM)
    x_mm = view.x_mm[span]
    return replace(
        meant,
        y_mm=np.where(here, np.interp(row.x_mm, x_mm, y_mm), row.y_mm),
        sd_mm=np.where(here, np.interp(row.x_mm, x_mm, sd_mm), row.sd_mm),
        presence=np.where(here, 1.0, row.presence),
    )


def _look(
    sheet: Sheet, rows: tuple[RowTrace, ...], k: int, stroke: NDArray[np.float64], options: Options
) -> tuple[PageReader, RowLook]:
    """The k-th row as the network sees it around a stroke, with masks drawn along all rows."""
    network = load_network(TRACE_NETWORK)
    pixels, factor = shrink_for_strips(sheet.image, float(np.mean(sheet.page_map.px_per_mm)))
    nothing = np.zeros((0, 2, *sheet.canvas.image.shape[:2]), np.float32)
    page = PageReader(
        pixels, factor, sheet.image.shape, sheet.page_map, sheet.canvas, [], nothing, [], network, options
    )
    frame = _frame(stroke)
    where = strip_map(frame, sheet.page_map)
    strip = cut_strip(pixels, where, factor, cubic=options.cubic)
    own, other = drawn_masks(rows, k, frame)
    inside = np.repeat(inside_image(where, sheet.image.shape), READOUTS_PER_COLUMN)
    logits = strip_logits(strip, own, other, network, flip=options.flip)
    return page, RowLook(rows[k].row_index, frame, strip, own, other, inside, logits)


def _frame(stroke: NDArray[np.float64]) -> StripFrame:
    """A strip around a stroke, a tile long at least."""
    (top, left), (bottom, right) = stroke.min(axis=0), stroke.max(axis=0)
    height = (bottom - top + 2 * HEADROOM_MM) * STRIP_PX_PER_MM
    n_rows = int(np.clip(ROWS_STEP * np.ceil(height / ROWS_STEP), STRIP_ROWS, STRIP_ROWS_MAX))
    n_cols = max(TILE_COLS, 2 * int(np.ceil((right - left + 2 * AROUND_MM) * STRIP_PX_PER_MM / 2)))
    middle = 0.5 * (top + bottom), 0.5 * (left + right)
    first = middle[0] - n_rows / 2 / STRIP_PX_PER_MM, middle[1] - n_cols / 2 / STRIP_PX_PER_MM
    return StripFrame(float(first[0]), float(first[1]), (n_rows, n_cols))


def with_reach(row: RowTrace, left_mm: float, right_mm: float) -> RowTrace:
    """The row with read-outs, without a trace, as far as two places along the page, mm."""
    step = float(row.x_mm[1] - row.x_mm[0])
    before = max(0, int(np.ceil((row.x_mm[0] - left_mm) / step)))
    behind = max(0, int(np.ceil((right_mm - row.x_mm[-1]) / step)))
    if not before and not behind:
        return row

    def padded(values: NDArray[np.float64], fill: float) -> NDArray[np.float64]:
        return np.concatenate([np.full(before, fill), values, np.full(behind, fill)])

    n = before + row.x_mm.size + behind
    x_mm = row.x_mm[0] + step * (np.arange(n) - before)
    y_mm, sd_mm = padded(row.y_mm, np.nan), padded(row.sd_mm, np.nan)
    wrong = None if row.wrong is None else padded(row.wrong, 0.0)
    return replace(row, x_mm=x_mm, y_mm=y_mm, sd_mm=sd_mm, presence=padded(row.presence, 0.0), wrong=wrong)
