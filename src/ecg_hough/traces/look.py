"""One row of a page as the trace network sees it.

In: the page as it was found, and which of its rows. Out: `RowLook`: the row's strip, masks and logits, and
what is read from them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import LeadPanel, PageLayout
from ecg_hough.geometry.strips import (
    STRIP_PX_PER_MM,
    StripFrame,
    cut_strip,
    shrink_for_strips,
    strip_map,
    strip_to_page,
)
from ecg_hough.networks.canvas import Canvas
from ecg_hough.networks.runtime import Network
from ecg_hough.options import Options
from ecg_hough.page_map import PageMap, on_every_pixel
from ecg_hough.traces.centroid import centroid_rows
from ecg_hough.traces.crossings import RowView
from ecg_hough.traces.distribution import (
    READOUTS_PER_COLUMN,
    Readouts,
    read_logits,
    readout_columns,
    stride_of,
)
from ecg_hough.traces.frame import STRIP_ROWS_MAX, inside_image, row_frame, taller
from ecg_hough.traces.masks import row_masks
from ecg_hough.traces.tiles import (
    INK_MIN,
    ROWS_STEP,
    rows_beyond,
    rows_of_tiles,
    strip_logits,
    tiles_of,
    with_rows,
)

GROWTHS = 3
"""Times that a strip is made taller where the trace leaves it."""
PRESENT_MIN = 0.5
"""Probability of a trace from which a column is read."""


@dataclass(frozen=True)
class RowLook:
    """One row as the trace network sees it.

    Attributes:
        row_index: row of the page; frame, strip: where the strip lies, and its pixels (rows, cols, 3).
        own, other: (rows, cols) coarse masks of this row's ink and of others'.
        inside: (2 * cols,) read-outs within the image.
        logits: (4, rows / 2, cols / 2) of the network, some columns more; None for centroids.
    """

    row_index: int
    frame: StripFrame
    strip: NDArray[np.uint8]
    own: NDArray[np.float32]
    other: NDArray[np.float32]
    inside: NDArray[np.bool_]
    logits: NDArray[np.float32] | None

    @cached_property
    def readouts(self) -> Readouts:
        """Every read-out at its own highest peak."""
        if self.logits is None:
            rows, sd, presence = centroid_rows(self.strip, self.own)
            return Readouts(rows, sd, presence, np.zeros_like(rows))
        return read_logits(self.logits, self.frame.shape[1])

    @cached_property
    def view(self) -> RowView:
        """The network's view of the row, for all rows to be settled together."""
        assert self.logits is not None
        y_mm, x_mm = in_mm(self.readouts.rows, self.frame)
        levels = (np.arange(self.logits.shape[1], dtype=float) + 0.5) * stride_of(self.logits) - 0.5
        seen = self.inside & (self.readouts.presence >= PRESENT_MIN)
        levels_mm: NDArray[np.float64] = self.frame.y_mm + levels / STRIP_PX_PER_MM
        return RowView(x_mm, np.where(seen, y_mm, np.nan), self.readouts.doubt, self.logits, levels_mm)


@dataclass(frozen=True)
class PageReader:
    """Looks at the rows of one page.

    Attributes:
        pixels: the page, shrunk by `factor`; shape: of the page as given.
        page_map, canvas: its millimetres, and what the leads network saw of it.
        indices: (n,) rows with panels; masks: (n, 2, rows, cols), see `row_masks`.
        edges: canvas columns where each row's panels start and end.
        network: the trace network; None reads column centroids.
        options: how the page is read.
        leads_mm: by row, where each of its leads begins and ends, mm along the page; empty where unknown.
    """

    pixels: NDArray[np.uint8]
    factor: float
    shape: tuple[int, ...]
    page_map: PageMap
    canvas: Canvas
    indices: list[int]
    masks: NDArray[np.float32]
    edges: list[tuple[float, float]]
    network: Network | None
    options: Options
    leads_mm: dict[int, list[tuple[float, float]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        image: NDArray[np.uint8],
        page_map: PageMap,
        canvas: Canvas,
        probabilities: NDArray[np.float32],
        layout: PageLayout,
        network: Network | None,
        options: Options,
    ) -> PageReader:
        """The reader of a page; arguments as in `layout.sheet.Sheet`."""
        pixels, factor = shrink_for_strips(image, float(np.mean(page_map.px_per_mm)))
        indices = sorted({panel.row_index for panel in layout.panels})
        panels = [[panel for panel in layout.panels if panel.row_index == index] for index in indices]
        edges = [(min(p.start_col for p in mine), max(p.end_col for p in mine)) for mine in panels]
        masks = row_masks(probabilities, layout)
        leads_mm = {
            index: [_extent_mm(panel, masks.shape[2], canvas, page_map) for panel in mine]
            for index, mine in zip(indices, panels, strict=True)
        }
        return cls(
            pixels, factor, image.shape, page_map, canvas, indices, masks, edges, network, options, leads_mm
        )

    @property
    def px_per_mm(self) -> float:
        """Scale of `pixels`."""
        return self.factor * float(np.mean(self.page_map.px_per_mm))

    def look(self, k: int) -> RowLook | None:
        """The k-th row; None where it has no ink."""
        if not (self.masks[k, 0] > INK_MIN).any():
            return None
        frame = row_frame(self.masks[k, 0], self.edges[k], self.page_map, self.canvas)
        look = self._look_in(k, frame)
        if self.network is None:
            return look
        rows = rows_of_tiles(look.own)
        logits = strip_logits(
            look.strip, look.own, look.other, self.network, flip=self.options.flip, rows=rows
        )
        for _ in range(GROWTHS):
            beyond = rows_beyond(logits, rows, frame.shape[1])
            if not beyond:
                break
            top = max(0, -min(seen.start for seen in beyond.values()))
            bottom = max(0, max(seen.stop for seen in beyond.values()) - frame.shape[0])
            bottom += -(frame.shape[0] + top + bottom) % ROWS_STEP
            if frame.shape[0] + top + bottom > STRIP_ROWS_MAX:
                break
            if top or bottom:
                frame = taller(frame, top, bottom)
                look = self._look_in(k, frame)
                logits = with_rows(logits, top, bottom)
                rows = [slice(seen.start + top, seen.stop + top) for seen in rows]
            for n, seen in beyond.items():
                rows[n] = slice(seen.start + top, seen.stop + top)
            logits = strip_logits(
                look.strip, look.own, look.other, self.network, flip=self.options.flip, known=logits,
                tiles=[tiles_of(frame.shape[1])[n] for n in beyond], rows=rows,
            )  # fmt: skip
        return replace(look, logits=logits)

    def _look_in(self, k: int, frame: StripFrame) -> RowLook:
        """The k-th row in a strip, without the network."""
        where = strip_map(frame, self.page_map)
        strip = cut_strip(self.pixels, where, self.factor, cubic=self.options.cubic)
        row, col = on_every_pixel(partial(self._on_canvas, frame), frame.shape)
        own, other = (cv2.remap(mask, col, row, cv2.INTER_LINEAR) for mask in self.masks[k])
        inside = np.repeat(inside_image(where, self.shape), READOUTS_PER_COLUMN)
        return RowLook(self.indices[k], frame, strip, own, other, inside, None)

    def _on_canvas(self, frame: StripFrame, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) row, col of a strip -> row, col on the canvas."""
        return self.canvas.from_page(strip_to_page(frame, self.page_map, points))


def _extent_mm(panel: LeadPanel, n_rows: int, canvas: Canvas, page_map: PageMap) -> tuple[float, float]:
    """Begin and end of a lead along the page, mm."""
    row = float(np.nanmedian(panel.path_rows)) if np.isfinite(panel.path_rows).any() else n_rows / 2
    page = canvas.to_page(np.array([[row, panel.start_col], [row, panel.end_col]]))
    _, x = page_map.to_mm(page[:, 0], page[:, 1])
    return float(x[0]), float(x[1])


def in_mm(rows: NDArray[np.float64], frame: StripFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n,) y and x, mm, of a strip's read-outs."""
    mm = frame.to_mm(np.stack([rows, readout_columns(frame.shape[1]).ravel()], axis=-1))
    return mm[:, 0], mm[:, 1]
