"""One rendered page with its complete truth.

In: a record's signals and a seed. Out: `RenderedPage`: the image, the signals as printed, every
sample's position in the image, lead masks, and the mm -> px map after every distortion.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from ecg_hough.page_map import PageMap
from ecg_hough.paper import LEADS, Layout
from ecg_hough.render.camera import Warp, apply_warp, expose, make_warp
from ecg_hough.render.sheet import Mark, PrintedText, SheetPanel, Word, draw_sheet
from ecg_hough.render.style import PageStyle, sample_style
from ecg_hough.render.wear import worn_print

_MAP_STEP_MM = 5.0
_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Panel:
    """One lead as it appears in the image.

    Attributes:
        lead, row, column, rhythm: place in the layout.
        start_s: time of the first printed sample in the record, s.
        trace: (n, 2) float32 row and column, image px, of every sample.
        mv: (n,) the samples, mV.
        stroke_px: width of the pen, image px.
        inverted: printed upside down (-aVR); `mv` is the lead itself.
    """

    lead: str
    row: int
    column: int
    rhythm: bool
    start_s: float
    trace: np.ndarray
    mv: np.ndarray
    stroke_px: float
    inverted: bool = False


@dataclass(frozen=True)
class RenderedPage:
    """A page and its complete truth.

    Attributes:
        image: (rows, cols, 3) uint8 RGB.
        fs: Hz; signals: (12, N) mV, NaN where not printed.
        layout, panels: which lead is printed where; words: the known words, image px.
        page_map: sheet mm -> image px after all distortions.
        px_per_mm: scale of the flat sheet; angle_deg: page angle, counter-clockwise.
        style: every choice made, ready for JSON.
        marks: landmarks of the rows, sheet mm.
        texts: all printed texts, image px.
    """

    image: np.ndarray
    fs: int
    signals: np.ndarray
    layout: Layout
    panels: tuple[Panel, ...]
    words: tuple[Word, ...]
    page_map: PageMap
    px_per_mm: float
    angle_deg: float
    style: dict[str, Any] = field(repr=False)
    marks: tuple[Mark, ...] = ()
    texts: tuple[PrintedText, ...] = ()

    def label_map(self, *, min_stroke_px: float = 0.0, scale: float = 1.0) -> np.ndarray:
        """Lead masks (rows, cols) uint8: 0 background, k + 1 for LEADS[k].

        Args:
            min_stroke_px: traces thinner than this (in label map px) are drawn that wide.
            scale: label map px per image px.
        """
        rows, cols = (round(n * scale) for n in self.image.shape[:2])
        return draw_labels((rows, cols), self.panels, scale=scale, min_stroke_px=min_stroke_px)


def draw_labels(
    shape: tuple[int, int],
    panels: tuple[Panel, ...],
    *,
    scale: float = 1.0,
    offset: tuple[float, float] = (0.0, 0.0),
    min_stroke_px: float = 0.0,
) -> np.ndarray:
    """Draw the panels' traces as a label map: position = (image px + 0.5) * scale - 0.5 + offset."""
    labels = np.zeros(shape, np.uint8)
    for panel in panels:
        width = max(round(panel.stroke_px * scale), round(min_stroke_px), 1)
        points = (panel.trace + 0.5) * scale - 0.5 + np.asarray(offset)
        keep = np.isfinite(points).all(axis=1)
        fixed = np.round(points[keep][:, ::-1] * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        if len(fixed) > 1:
            value = LEADS.index(panel.lead) + 1
            cv2.polylines(labels, [fixed[:, None]], False, value, width, cv2.LINE_8, _SUBPIXEL_BITS)
    return labels


def render_page(
    signals: np.ndarray,
    fs: int,
    *,
    seed: int,
    profile: str = "mixed",
    layout: Layout | None = None,
    dpi: float | None = None,
    style: PageStyle | None = None,
) -> RenderedPage:
    """Render one page.

    Args:
        signals: (12, N) mV in the standard order, NaN where not recorded.
        fs: sampling frequency, Hz.
        seed: same seed, same page.
        profile: mixture of distortions, see `render.style.PROFILES`.
        layout, dpi: fixed when given, else drawn.
        style: the whole style when given; profile, layout and dpi are then not used.
    Raises:
        ValueError: signals not (12, N) or shorter than 2 s.
    """
    signals = np.asarray(signals, float)
    if signals.ndim != 2 or signals.shape[0] != len(LEADS) or signals.shape[1] < 2 * fs:
        raise ValueError(f"signals must be (12, N) with at least 2 s; got {signals.shape} at {fs} Hz")
    rng = np.random.default_rng(seed)
    if style is None:
        style = sample_style(rng, profile, layout=layout, dpi=dpi)
    sheet = draw_sheet(signals, fs, style.sheet, rng)
    flat = worn_print(sheet, style.sheet, style.wear, rng)
    warp = make_warp(flat.shape[:2], sheet.px_per_mm, style.camera, rng)
    image = expose(apply_warp(flat, warp, style.camera, rng), style.camera, rng)
    page_map = _page_map(warp, style.sheet.size_mm, sheet.px_per_mm)
    zoom = float(np.sqrt(abs(np.linalg.det(warp.homography[:2, :2])))) / abs(warp.homography[2, 2])
    panels = tuple(_in_image(panel, warp, fs, sheet.stroke_px * zoom) for panel in sheet.panels)
    return RenderedPage(
        image=image,
        fs=fs,
        signals=_printed(sheet.panels, signals.shape[1]),
        layout=style.sheet.layout,
        panels=panels,
        words=tuple(Word(word.word, warp.to_image(word.corners)) for word in sheet.words),
        page_map=page_map,
        px_per_mm=sheet.px_per_mm,
        angle_deg=style.camera.rotation_deg,
        style=asdict(style),
        marks=sheet.marks,
        texts=tuple(replace(text, corners=warp.to_image(text.corners)) for text in sheet.texts),
    )


def _in_image(panel: SheetPanel, warp: Warp, fs: int, stroke_px: float) -> Panel:
    return Panel(
        lead=panel.lead,
        row=panel.row,
        column=panel.column,
        rhythm=panel.rhythm,
        start_s=panel.first / fs,
        trace=warp.to_image(panel.trace).astype(np.float32),
        mv=panel.mv,
        stroke_px=stroke_px,
        inverted=panel.inverted,
    )


def _page_map(warp: Warp, size_mm: tuple[float, float], px_per_mm: float) -> PageMap:
    y_mm = np.arange(0, size_mm[0] + _MAP_STEP_MM, _MAP_STEP_MM)
    x_mm = np.arange(0, size_mm[1] + _MAP_STEP_MM, _MAP_STEP_MM)
    nodes = np.stack(np.meshgrid(y_mm, x_mm, indexing="ij"), axis=-1) * px_per_mm - 0.5
    seen = warp.to_image(nodes)
    return PageMap(y_mm=y_mm, x_mm=x_mm, rows=seen[..., 0], cols=seen[..., 1])


def _printed(panels: tuple[SheetPanel, ...], n: int) -> np.ndarray:
    """(12, n) mV: what the page shows of each lead; where a lead is printed twice, the rhythm strip."""
    out = np.full((len(LEADS), n), np.nan)
    for panel in sorted(panels, key=lambda p: p.rhythm):
        out[LEADS.index(panel.lead), panel.first : panel.first + len(panel.mv)] = panel.mv
    return out
