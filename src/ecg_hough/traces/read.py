"""Rows of traces, read column by column at sub-pixel accuracy.

In: the page's pixels and map, the lead maps and the layout. Out: one `RowTrace` a row: where the trace
runs in page millimetres, how sure each read-out is, and where there is none. Two read-outs share this:
the trace network (a distribution over rows for every column) and, as the named baseline, the winner's
column centroid (Krones et al. 2024) of the ink under the lead's mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.cores import pool_for
from ecg_hough.elements import RowTrace
from ecg_hough.geometry.strips import (
    STRIP_PX_PER_MM,
    StripFrame,
    cut_strip,
    shrink_for_strips,
    strip_map,
    strip_to_page,
)
from ecg_hough.layout.sheet import Sheet
from ecg_hough.networks.canvas import Canvas
from ecg_hough.networks.runtime import Network, load_network
from ecg_hough.numeric import runs
from ecg_hough.options import SHIPPED, Options
from ecg_hough.page_map import PageMap, on_every_pixel
from ecg_hough.traces.centroid import centroid_rows
from ecg_hough.traces.crossings import MEET_MM, PEAK_SMOOTH_PX, RowView, contests, settle
from ecg_hough.traces.ink import InkModel, find_ink
from ecg_hough.traces.masks import row_masks
from ecg_hough.traces.stroke_fit import FittedStroke, fit_stroke

TRACE_NETWORK = "traces"
READOUTS_PER_COLUMN = 2
"""At c - 1/4 and c + 1/4 of every column c; see `readout_columns`."""
STRIP_ROWS = 256
"""Least height of a strip and of its tiles, 32 mm: as trained. Taller traces get the next multiple of 64."""
STRIP_ROWS_MAX = 640
MARGIN_MM = 6.0
"""Read beyond a row's ends, where the network tells the trace's end from its surroundings."""
HEADROOM_MM = 3.0
"""Space kept above and below a row's ink."""
INK_MIN = 0.4
"""Lead probability of a canvas pixel that is a row's ink."""
INK_POINTS = 2000
"""Pixels of a row's ink, at least, that tell where its strip lies."""
BESIDE_PANELS_PX = 30.0
"""Canvas px beside a row's panels in which ink may be its own: 12 mm, what the network's edges may be off."""
SPECK_PERCENTILES = (2.0, 98.0)
"""Of a row's ink, where it reaches farther up and down than a strip is high: the rest are specks."""
TILE_COLS, TILE_OVERLAP = 576, 48
"""Columns of a tile, and the fewest that it shares with the next one."""
UNSEEN_LOGIT = -20.0
"""Of rows above and below a tile: no trace."""
CHANGED_MIN = 8
"""Read-outs, half a millimetre, that are settled elsewhere than read, from which a tile is seen again."""
MASK_SHRINK, MASK_BLUR = 3, 0.6
"""Drawn masks are as coarse as the leads network's: strip px per pixel, and their blur."""
PRESENT_MIN = 0.5
"""Probability of a trace from which a column is read."""
JUMP_MM, LOOSE_MM, BESIDE_MM = 5.0, 7.0, 8.0
"""A row's first or last stretch, up to `LOOSE_MM` long, is not its own where it is reached by such a jump and
lies as far off the level of the `BESIDE_MM` beside it."""
PEAK_REACH_PX = 20
"""The mean is taken this far round the distribution's peak, in rows of the network's output: 5 mm, the
extent of a QRS flank in one column. Mass farther away is another trace and would pull the mean."""
TARGET_SIGMA_PX = 0.8
"""Width of the bells that the network is taught, in rows of its output (1/4 mm)."""
RULED_MM, BEATING_MM = 0.4, 1.5
"""Rise and fall of a ruled line about a straight one, at most, and of most rows of its page, at least: of 300
own renders the flattest row of beats has 1.0."""
READOUT_SD_TIMES = 0.75
"""Error of the fitted rows, in standard deviations of the network's distribution: with it 90% of the errors
lie within 1.645 of it on rendered pages (`ecg-hough confidence`)."""
SD_FLOOR_PX = 0.2
"""Least expected error: 0.05 mm."""


@dataclass(frozen=True)
class Rows:
    """All rows of a page.

    Attributes:
        traces: rows in page millimetres, from the top.
        ink: what is ink on the page; None where it cannot be told from the paper.
    """

    traces: tuple[RowTrace, ...]
    ink: InkModel | None


def read_rows(sheet: Sheet, options: Options = SHIPPED) -> Rows:
    """Read every row of a page.

    Args:
        sheet: the page; options: read-out, and what is left out or added.
    """
    network = load_network(TRACE_NETWORK) if options.readout == "trace" else None
    traces = without_ruled_lines(read_traces(sheet, network, options))
    return Rows(traces, find_ink(sheet.image, sheet.page_map, traces))


def read_traces(sheet: Sheet, network: Network | None, options: Options) -> tuple[RowTrace, ...]:
    """Traces of all rows; without a network column centroids."""
    layout, page_map = sheet.layout, sheet.page_map
    pixels, factor = shrink_for_strips(sheet.image, float(np.mean(page_map.px_per_mm)))
    indices = sorted({panel.row_index for panel in layout.panels})
    panels = [[panel for panel in layout.panels if panel.row_index == index] for index in indices]
    edges = [(min(p.start_col for p in mine), max(p.end_col for p in mine)) for mine in panels]
    masks = row_masks(sheet.probabilities, layout)
    shape = sheet.image.shape[:2]
    reader = _Reader(pixels, factor, shape, page_map, sheet.canvas, masks, edges, network, options)
    view_of = attrgetter("view")
    # Much of a row's reading runs on one core: rows are read side by side.
    with pool_for(len(indices)) as pool:
        looks = [look for look in pool.map(reader.look, range(len(indices))) if look is not None]
        views = list(pool.map(view_of, looks)) if network is not None else []
        places = settle(views)
        if network is not None and options.second_look:
            again = list(pool.map(partial(reader.look_again, looks, views, places), range(len(looks))))
            if any(new is not old for new, old in zip(again, looks, strict=True)):
                looks = _less_contested(looks, again, views, list(pool.map(view_of, again)))
                views = list(pool.map(view_of, looks))
                places = settle(views)
        if network is not None and options.settled:
            readings = list(pool.map(_settled, looks, places))
        else:
            readings = list(pool.map(_as_read, looks))
        return tuple(pool.map(reader.read, looks, readings, [indices[look.k] for look in looks]))


@dataclass(frozen=True)
class _Look:
    """One row as the trace network sees it.

    Attributes:
        k: which of the page's rows; frame, strip: where the strip lies, and its pixels (rows, cols, 3).
        own, other: (rows, cols) coarse masks of this row's ink and of others'.
        inside: (2 * cols,) read-outs within the image.
        logits: (4, rows / 2, cols / 2) of the network, some columns more; None for centroids.
    """

    k: int
    frame: StripFrame
    strip: NDArray[np.uint8]
    own: NDArray[np.float32]
    other: NDArray[np.float32]
    inside: NDArray[np.bool_]
    logits: NDArray[np.float32] | None

    @cached_property
    def reading(self) -> tuple[NDArray[np.float64], ...]:
        """Row, expected error (both strip px), presence and doubt of every read-out, (2 * cols,) each."""
        if self.logits is None:
            rows, sd, presence = centroid_rows(self.strip, self.own)
            return rows, sd, presence, np.zeros_like(rows)
        return read_logits(self.logits, self.frame.shape[1])

    @cached_property
    def view(self) -> RowView:
        """What the network says of the row, for all rows to be settled together."""
        assert self.logits is not None
        rows, _, presence, doubt = self.reading
        y_mm, x_mm = _in_mm(rows, self.frame)
        levels = (np.arange(self.logits.shape[1], dtype=float) + 0.5) * _stride(self.logits) - 0.5
        seen = self.inside & (presence >= PRESENT_MIN)
        levels_mm: NDArray[np.float64] = self.frame.y_mm + levels / STRIP_PX_PER_MM
        return RowView(x_mm, np.where(seen, y_mm, np.nan), doubt, self.logits, levels_mm)


@dataclass(frozen=True)
class _Reader:
    """Looks at the rows of one page.

    Attributes:
        pixels, factor: the page, shrunk by the factor; shape: of the page as given.
        page_map, canvas: as in `Sheet`; options: as for `read_rows`.
        network: the trace network; None reads column centroids.
        masks: see `row_masks`; edges: canvas columns where each row's panels start and end.
    """

    pixels: NDArray[np.uint8]
    factor: float
    shape: tuple[int, ...]
    page_map: PageMap
    canvas: Canvas
    masks: NDArray[np.float32]
    edges: list[tuple[float, float]]
    network: Network | None
    options: Options

    def look(self, k: int) -> _Look | None:
        """The k-th row; None where it has no ink."""
        if not (self.masks[k, 0] > INK_MIN).any():
            return None
        frame = _frame(self.masks[k, 0], self.edges[k], self.page_map, self.canvas)
        where = strip_map(frame, self.page_map)
        strip = cut_strip(self.pixels, where, self.factor, cubic=self.options.cubic)
        row, col = on_every_pixel(partial(self._on_canvas, frame), frame.shape)
        own, other = (cv2.remap(mask, col, row, cv2.INTER_LINEAR) for mask in self.masks[k])
        inside = np.repeat(_inside(where, self.shape), READOUTS_PER_COLUMN)
        network, flip = self.network, self.options.flip
        logits = None if network is None else strip_logits(strip, own, other, network, flip=flip)
        return _Look(k, frame, strip, own, other, inside, logits)

    def _on_canvas(self, frame: StripFrame, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) row, col of a strip -> row, col on the canvas."""
        return self.canvas.from_page(strip_to_page(frame, self.page_map, points))

    def look_again(
        self, looks: list[_Look], views: list[RowView], places: list[NDArray[np.float64]], k: int
    ) -> _Look:
        """The k-th look, with masks of where all rows run by now, at tiles where that is news."""
        look = looks[k]
        assert self.network is not None
        changed = np.abs(places[k] - views[k].y_mm) > MEET_MM
        wide = READOUTS_PER_COLUMN * TILE_COLS
        tiles = [
            tile
            for tile in _tiles(look.frame.shape[1])
            if changed[READOUTS_PER_COLUMN * tile.start :][:wide].sum() >= CHANGED_MIN
        ]
        if not tiles:
            return look
        drawn = _drawn_masks(k, look.frame, views, places)
        explained = cv2.dilate(drawn.max(axis=0), np.ones((9, 9)))
        rest = 0.5 * np.clip(look.own + look.other, 0, 1) * (1 - explained)
        own, other = np.maximum(drawn, rest)
        flip = self.options.flip
        again = strip_logits(look.strip, own, other, self.network, flip=flip, known=look.logits, tiles=tiles)
        return replace(look, logits=again)

    def read(self, look: _Look, reading: tuple[NDArray[np.float64], ...], row_index: int) -> RowTrace:
        """The row's trace.

        Args:
            reading: row, expected error (both strip px) and presence of every read-out.
        """
        rows, sd, presence = reading
        presence = np.where(look.inside, presence, 0.0)
        seen = without_loose_ends(rows, presence >= PRESENT_MIN)
        stroke = FittedStroke(rows)
        if self.options.stroke_fit:
            stroke = fit_stroke(
                look.strip,
                rows,
                sd,
                seen,
                STRIP_PX_PER_MM,
                image_px_per_mm=self.factor * float(np.mean(self.page_map.px_per_mm)),
                grid_out=self.options.grid_out,
            )
        y_mm, x_mm = _in_mm(stroke.rows, look.frame)
        sd_mm = READOUT_SD_TIMES * sd / STRIP_PX_PER_MM
        y_mm, sd_mm = np.where(seen, y_mm, np.nan), np.where(seen, sd_mm, np.nan)
        pen_mm = stroke.width_px / STRIP_PX_PER_MM
        return RowTrace(row_index, x_mm, y_mm, sd_mm, presence, pen_mm, stroke.bars)


class _Tile(NamedTuple):
    """Columns of a strip: seen from `start` on; the logits of those from `first` to `stop` are kept."""

    start: int
    first: int
    stop: int


def _tiles(n_cols: int) -> list[_Tile]:
    """Tiles of a strip, evenly spread, each seen with a margin of its neighbours; the last one may reach
    beyond the strip's end."""
    n = max(1, -(-(n_cols - TILE_OVERLAP) // (TILE_COLS - TILE_OVERLAP)))
    # Even: the network's columns are pairs.
    starts = [2 * -(-k * max(0, n_cols - TILE_COLS) // (2 * max(1, n - 1))) for k in range(n)]
    borders = [2 * ((a + TILE_COLS + b) // 4) for a, b in pairwise(starts)]
    ends = [0, *borders, starts[-1] + TILE_COLS]
    return [_Tile(a, first, stop) for a, (first, stop) in zip(starts, pairwise(ends), strict=True)]


def _tile_rows(own: NDArray[np.float32]) -> slice:
    """Rows of a tile that hold a row's ink, with headroom: the network's input is as high as it must be.

    Args:
        own: (rows, cols) coarse mask of the row's ink in the tile.
    """
    n_rows = own.shape[0]
    inked = np.flatnonzero((own > INK_MIN).any(axis=1))
    highest, lowest = (int(inked[0]), int(inked[-1]) + 1) if inked.size else (n_rows // 2, n_rows // 2)
    headroom = round(HEADROOM_MM * STRIP_PX_PER_MM)
    highest, lowest = highest - headroom, lowest + headroom
    height = min(n_rows, max(STRIP_ROWS, 64 * -(-(lowest - highest) // 64)))
    # Round the row's level where that will do, as trained.
    top = int(np.clip((n_rows - height) // 2, lowest - height, highest))
    top = 2 * (int(np.clip(top, 0, n_rows - height)) // 2)
    return slice(top, top + height)


def strip_logits(
    strip: NDArray[np.uint8],
    own: NDArray[np.float32],
    other: NDArray[np.float32],
    network: Network,
    *,
    flip: bool = False,
    known: NDArray[np.float32] | None = None,
    tiles: Sequence[_Tile] = (),
) -> NDArray[np.float32]:
    """(4, rows / 2, m) logits of a strip, m at least cols / 2: the last tile may reach beyond its end.

    Args:
        own, other: coarse masks.
        flip: average the logits with those of the strip mirrored along time.
        known: logits that stay but for `tiles`; None looks at all tiles.
    """
    n_rows, n_cols = strip.shape[:2]
    every = _tiles(n_cols)
    padded = np.empty((strip.shape[2] + 2, n_rows, every[-1].stop), np.float32)
    for channel, plane in zip(padded, cv2.split(strip), strict=False):
        np.multiply(plane, np.float32(1 / 255), out=channel[:, :n_cols])
    for channel, mask in zip(padded[-2:], (own, other), strict=True):
        np.clip(mask, 0, 1, out=channel[:, :n_cols])
    padded[:, :, n_cols:] = padded[:, :, n_cols - 1 : n_cols]
    out = None if known is None else known.copy()
    for start, first, stop in every if out is None else tiles:
        rows = _tile_rows(own[:, start : start + TILE_COLS])
        tile = padded[None, :, rows, start : start + TILE_COLS]
        logits = network.run(tile)[0]
        if flip:
            # Read-outs of one output column run along time, too: mirrored with the columns.
            logits = 0.5 * (logits + network.run(tile[..., ::-1])[0][::-1, :, ::-1])
        stride = TILE_COLS // logits.shape[2]
        if out is None:
            out = np.empty((len(logits), n_rows // stride, every[-1].stop // stride), np.float32)
        kept = out[:, :, first // stride : stop // stride]
        kept[:] = UNSEEN_LOGIT
        kept[:, rows.start // stride : rows.stop // stride] = logits[
            :, :, (first - start) // stride : (stop - start) // stride
        ]
    assert out is not None
    return out


def read_logits(logits: NDArray[np.float32], n_cols: int) -> tuple[NDArray[np.float64], ...]:
    """Row, expected error (both strip px), presence and doubt of every read-out, (2 * cols,) each."""
    stride = _stride(logits)
    rows, sd, presence, doubt = distribution_rows(logits)
    n = READOUTS_PER_COLUMN * n_cols
    return ((rows + 0.5) * stride - 0.5)[:n], (sd * stride)[:n], presence[:n], doubt[:n]


def _stride(logits: NDArray[np.float32]) -> int:
    """Strip px per row and column of logits: a column holds the read-outs of all of its strip columns."""
    return logits.shape[0] // READOUTS_PER_COLUMN


def _in_mm(rows: NDArray[np.float64], frame: StripFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n,) y and x, mm, of a strip's read-outs."""
    mm = frame.to_mm(np.stack([rows, readout_columns(frame.shape[1]).ravel()], axis=-1))
    return mm[:, 0], mm[:, 1]


def _less_contested(
    old: list[_Look], new: list[_Look], views: list[RowView], fresh: list[RowView]
) -> list[_Look]:
    """Of every tile the look that leaves less doubt and fewer places that two rows share.

    Args:
        views, fresh: of the old looks and of the new ones.
    """
    out = []
    for a, b, before, after in zip(old, new, contests(views), contests(fresh), strict=True):
        assert a.logits is not None
        assert b.logits is not None
        better = []
        for tile in _tiles(a.frame.shape[1]):
            here = slice(READOUTS_PER_COLUMN * tile.first, READOUTS_PER_COLUMN * tile.stop)
            if after[here].sum() < before[here].sum():
                better.append(slice(tile.first // _stride(a.logits), tile.stop // _stride(a.logits)))
        if a is not b and better:
            logits = a.logits.copy()
            for columns in better:
                logits[:, :, columns] = b.logits[:, :, columns]
            a = replace(a, logits=logits)
        out.append(a)
    return out


def _as_read(look: _Look) -> tuple[NDArray[np.float64], ...]:
    """Row, expected error (both strip px) and presence of the read-outs of a row, each at its own peak."""
    return look.reading[:3]


def _settled(look: _Look, place: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Row, expected error (both strip px) and presence of the read-outs of a row that runs at `place`, mm."""
    rows, sd, presence = _as_read(look)
    at = np.flatnonzero(np.abs(place - look.view.y_mm) > MEET_MM)
    if not at.size:
        return rows, sd, presence
    assert look.logits is not None
    n_sub, stride = look.logits.shape[0], _stride(look.logits)
    columns = look.logits[at % n_sub, :, at // n_sub]
    peak = np.interp(place[at], look.view.levels_mm, np.arange(look.view.levels_mm.size))
    mean, spread, _ = _round_peaks(np.exp(columns - columns.max(axis=1, keepdims=True)), peak)
    rows, sd = rows.copy(), sd.copy()
    rows[at], sd[at] = (mean + 0.5) * stride - 0.5, spread * stride
    return rows, sd, presence


def _lines(points: NDArray[np.float64]) -> list[NDArray[np.int32]]:
    """(n, 2) row, col with NaN between pieces -> OpenCV's polylines in 1/16 px."""
    pieces = (points[a:b, None, ::-1] for a, b in runs(np.isfinite(points[:, 0])))
    return [np.round(piece * 16).astype(np.int32) for piece in pieces]


def _drawn_masks(
    k: int, frame: StripFrame, views: list[RowView], places: list[NDArray[np.float64]]
) -> NDArray[np.float32]:
    """(2, rows, cols) masks of a row's ink and of others', drawn where the rows run."""
    n_rows, n_cols = frame.shape
    small = np.zeros((2, n_rows // MASK_SHRINK + 2, n_cols // MASK_SHRINK + 2), np.uint8)
    for j, (view, place) in enumerate(zip(views, places, strict=True)):
        points = frame.from_mm(np.stack([place, view.x_mm], -1))[::2] / MASK_SHRINK
        for line in _lines(points):
            cv2.polylines(small[0 if j == k else 1], [line], False, 255, 2, cv2.LINE_AA, 4)
    size = (small.shape[2] * MASK_SHRINK, small.shape[1] * MASK_SHRINK)
    masks = np.stack([cv2.resize(cv2.GaussianBlur(mask, (0, 0), MASK_BLUR), size) for mask in small])
    return masks[:, :n_rows, :n_cols].astype(np.float32) / np.float32(255)


def readout_columns(n_cols: int) -> NDArray[np.float64]:
    """(n_cols, READOUTS_PER_COLUMN) place of every read-out of a strip, in columns."""
    offsets = (np.arange(READOUTS_PER_COLUMN) + 0.5) / READOUTS_PER_COLUMN - 0.5
    return np.arange(n_cols)[:, None] + offsets


def without_loose_ends(rows: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Read-outs (n,) seen, without stretches at both ends on another level, behind a jump.

    Where a row ends before its neighbours, or letters stand beside it, its last read-outs are theirs. No
    trace rises by `JUMP_MM` between two read-outs: at 25 mm/s and 10 mm/mV that is 200 mV/s.

    Args:
        rows: (n,) strip rows of the read-outs.
    """
    at = np.flatnonzero(seen)
    step, jump = STRIP_PX_PER_MM * READOUTS_PER_COLUMN, JUMP_MM * STRIP_PX_PER_MM
    beside = round(BESIDE_MM * step)
    jumps = np.flatnonzero((np.abs(np.diff(rows[at])) >= jump) & (np.diff(at) <= step)).tolist()
    first, stop = 0, at.size
    # Behind the flank of a QRS complex the trace is back on its level.
    for j in jumps:
        if at[j] - at[0] < LOOSE_MM * step:
            loose, rest = at[first : j + 1], at[j + 1 : j + 1 + beside]
            if abs(np.median(rows[loose]) - np.median(rows[rest])) >= jump:
                first = j + 1
    for j in jumps[::-1]:
        if at[-1] - at[j + 1] < LOOSE_MM * step and j >= first:
            loose, rest = at[j + 1 : stop], at[max(first, j + 1 - beside) : j + 1]
            if abs(np.median(rows[loose]) - np.median(rows[rest])) >= jump:
                stop = j + 1
    out = np.zeros_like(seen)
    out[at[first:stop]] = True
    return out


def without_ruled_lines(rows: tuple[RowTrace, ...]) -> tuple[RowTrace, ...]:
    """Rows of traces without straight lines above and below them: axes of time, frames and rules of forms."""
    extents = [_extent_mm(row) for row in rows]
    if not extents or np.median(extents) < BEATING_MM:
        return rows
    beating = [k for k, extent in enumerate(extents) if extent >= RULED_MM]
    return rows[beating[0] : beating[-1] + 1]


def _extent_mm(row: RowTrace) -> float:
    """How far a row rises and falls about a straight line; 0 without a trace."""
    known = np.isfinite(row.y_mm)
    if not known.any():
        return 0.0
    x, y = row.x_mm[known], row.y_mm[known]
    low, high = np.percentile(y - np.polyval(np.polyfit(x - x[0], y, 1), x - x[0]), [1, 99])
    return float(high - low)


def _frame(
    own: NDArray[np.float32], edges: tuple[float, float], page_map: PageMap, canvas: Canvas
) -> StripFrame:
    """The strip of one row: round the middle of its ink, tall enough for its highest and deepest QRS.

    `edges` are the canvas columns where its panels start and end: a speck beside them is none of its ink.
    """
    at = np.argwhere(own > INK_MIN).astype(float)
    within = (at[:, 1] > edges[0] - BESIDE_PANELS_PX) & (at[:, 1] < edges[1] + BESIDE_PANELS_PX)
    at = at[within] if within.any() else at
    page = canvas.to_page(at[:: max(1, len(at) // INK_POINTS)])
    y, x = page_map.to_mm(page[:, 0], page[:, 1])
    middle = float(np.median(y))
    least = STRIP_ROWS / 2 / STRIP_PX_PER_MM
    highest, lowest = y.min(), y.max()
    if lowest - highest > STRIP_ROWS_MAX / STRIP_PX_PER_MM:  # farther than any wave: that is a speck
        highest, lowest = np.percentile(y, SPECK_PERCENTILES)
    up, down = (max(float(v) + HEADROOM_MM, least) for v in (middle - highest, lowest - middle))
    rows = int(64 * np.ceil(min((up + down) * STRIP_PX_PER_MM, STRIP_ROWS_MAX) / 64))
    # What a tall row lacks is taken from both sides alike.
    top = middle - up - (rows / STRIP_PX_PER_MM - up - down) / 2
    cols_px = int(np.ceil((x.max() - x.min() + 2 * MARGIN_MM) * STRIP_PX_PER_MM))
    return StripFrame(top, float(x.min()) - MARGIN_MM, (rows, cols_px))


def _inside(
    where: tuple[NDArray[np.float32], NDArray[np.float32]], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """(cols,) whether the middle of each strip column lies in the image."""
    r, c = (m[m.shape[0] // 2] for m in where)
    return (r > -0.5) & (r < shape[0] - 0.5) & (c > -0.5) & (c < shape[1] - 0.5)


def distribution_rows(
    logits: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean round the peak, spread, presence and doubt of (n, rows, cols) logits, in column order (n * cols,).

    Doubt is the share of the distribution that lies away from the peak.

    "No trace" is a further class of logit 0.
    """
    n_sub, n_rows, n_cols = logits.shape
    columns = logits.transpose(2, 0, 1).reshape(n_cols * n_sub, n_rows)
    top = np.maximum(columns.max(axis=1, keepdims=True), 0.0)
    p = np.exp(columns - top)
    total = p.sum(axis=1)
    presence = total / (total + np.exp(-top[:, 0]))
    peak = cv2.blur(p, (PEAK_SMOOTH_PX, 1)).argmax(axis=1)
    mean, sd, mass = _round_peaks(p, peak)
    doubt = 1.0 - mass / np.maximum(total, 1e-30)
    return mean, sd, presence.astype(float), doubt.astype(float)


def _round_peaks(
    p: NDArray[np.float32], peak: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    """Mean, spread and mass, each (n,), of distributions (n, rows) round their peaks (n,)."""
    rows = np.arange(p.shape[1], dtype=np.float32)
    q = p * (np.abs(rows[None] - peak[:, None]) <= PEAK_REACH_PX)
    mass = np.maximum(q.sum(axis=1), 1e-30)
    mean = q @ rows / mass
    # The network was taught bells of this width: what is wider is its own doubt.
    variance = np.maximum(q @ rows**2 / mass - mean**2 - TARGET_SIGMA_PX**2, SD_FLOOR_PX**2)
    return mean.astype(float), np.sqrt(variance).astype(float), mass
