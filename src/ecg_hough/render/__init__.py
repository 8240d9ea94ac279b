"""The package's own page renderer: training pages and test fixtures with their complete truth.

Paper first (`sheet`), then what happens to it (`wear`), then the camera (`camera`); `style` draws
every choice from a seed, `page` puts them together.
"""

from ecg_hough.render.page import Panel, RenderedPage, draw_labels, render_page
from ecg_hough.render.style import PROFILES, CameraStyle, PageStyle, SheetStyle, WearStyle, sample_style

__all__ = [
    "PROFILES", "CameraStyle", "PageStyle", "Panel", "RenderedPage", "SheetStyle", "WearStyle",
    "draw_labels", "render_page", "sample_style",
]  # fmt: skip
