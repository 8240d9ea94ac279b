"""A rendered page with its truth and the lead maps that a perfect leads network would give."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ecg_hough.ecg_model import generate_ecg
from ecg_hough.layout import PageLayout, find_layout
from ecg_hough.paper import make_layout
from ecg_hough.render import RenderedPage, render_page
from ecg_hough.render.style import CameraStyle, PageStyle, SheetStyle, WearStyle
from ecg_hough.segmentation import Canvas, to_canvas
from ecg_hough.training.prepare_data import page_canvas


@dataclass(frozen=True)
class DrawnPage:
    page: RenderedPage
    canvas: Canvas
    probabilities: np.ndarray  # (13, 704, 704)
    layout: PageLayout


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
    maps = np.stack([cv2.GaussianBlur((labels == k).astype(np.float32), (0, 0), 0.6) for k in range(13)])
    maps /= maps.sum(axis=0, keepdims=True)
    return DrawnPage(page, canvas, maps, find_layout(maps))
