"""A rendered page with its truth and the lead maps that a perfect leads network would give."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ecg_hough.elements import Box, PageLayout
from ecg_hough.geometry.page_geometry import PageGeometry
from ecg_hough.layout.fit import find_layout
from ecg_hough.layout.sheet import Sheet
from ecg_hough.networks.canvas import Canvas, to_canvas
from ecg_hough.paper import LEADS, make_layout
from ecg_hough.render import RenderedPage, render_page
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.style import CameraStyle, PageStyle, SheetStyle, WearStyle
from ecg_hough.training.case_pictures import page_canvas


@dataclass(frozen=True)
class DrawnPage:
    page: RenderedPage
    canvas: Canvas
    probabilities: np.ndarray  # (13, 704, 704)
    layout: PageLayout

    @property
    def sheet(self) -> Sheet:
        """The page as found without an error."""
        page_map, image = self.page.page_map, self.page.image
        geometry = PageGeometry(0.0, page_map.px_per_mm, True, page_map, 0.0, "grid-affine", ())
        return Sheet(
            0, Box.of(image.shape), image, geometry, page_map, self.canvas, self.probabilities, self.layout,
            words=(), sides_mm=(), warnings=(),
        )  # fmt: skip


@lru_cache(maxsize=8)
def drawn_page(shape: str = "3x4", rhythm: tuple[str, ...] = ("II",)):
    """Letter paper at 150 dpi in the renderer's plain style: always the same."""
    ecg = generate_ecg(11, rhythm="sinus rhythm")
    layout = make_layout(shape, rhythm=rhythm)
    sheet = SheetStyle(layout=layout, size_mm=(215.9, 279.4), dpi=150.0)
    style = PageStyle(sheet, WearStyle(), CameraStyle(keep_size=False, background="white"))
    page = render_page(ecg.signals, ecg.fs, seed=3, style=style)
    canvas = to_canvas(page.image)
    _, labels = page_canvas(page)
    maps = np.stack(
        [cv2.GaussianBlur((labels == k).astype(np.float32), (0, 0), 0.6) for k in range(1 + len(LEADS))]
    )
    maps /= maps.sum(axis=0, keepdims=True)
    return DrawnPage(page, canvas, maps, find_layout(maps))


def draw_grid(
    px_per_mm: float,
    *,
    size_mm: tuple[float, float] = (180.0, 270.0),
    minor: tuple[int, int, int] | None = (255, 215, 215),
    major: tuple[int, int, int] | None = (240, 110, 110),
    aspect: float = 1.0,
    angle_deg: float = 0.0,
) -> np.ndarray:
    """Area-sampled grid of 0.15 mm lines, columns `aspect` times wider than rows."""
    rows, cols = round(size_mm[0] * px_per_mm), round(size_mm[1] * px_per_mm * aspect)
    r, c = np.mgrid[:rows, :cols].astype(float)
    a = np.deg2rad(angle_deg)
    y = (r * np.cos(a) + c * np.sin(a)) / px_per_mm
    x = (c * np.cos(a) - r * np.sin(a)) / px_per_mm / aspect
    image = np.full((rows, cols, 3), 255.0)
    for step, colour in ((1.0, minor), (5.0, major)):
        if colour is None:
            continue
        for mm, pitch in ((y, px_per_mm), (x, px_per_mm * aspect)):
            away = np.abs(mm - step * np.round(mm / step)) * pitch
            cover = np.clip(0.5 + 0.075 * px_per_mm - away, 0, min(1.0, 0.15 * px_per_mm))[..., None]
            image = image * (1 - cover) + np.array(colour, float) * cover
    return image.astype(np.uint8)
