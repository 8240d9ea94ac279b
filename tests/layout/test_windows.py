"""Panels in page millimetres: through the canvas and the page map, and not beyond the page."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from ecg_hough.elements import LeadPanel, PageLayout, PanelBox
from ecg_hough.layout.windows import block_mm, panel_windows, row_paths, windows_on_rows
from ecg_hough.networks.canvas import CANVAS_PX, to_canvas
from ecg_hough.page_map import PageMap

PX_PER_MM = 4.0
MM_PER_CANVAS_PX = 250.0 / CANVAS_PX  # the page is 250 mm wide and fills the canvas
CANVAS = to_canvas(np.full((800, 1000, 3), 255, np.uint8))
FLAT = PageMap.from_affine([[PX_PER_MM, 0, -0.5], [0, PX_PER_MM, -0.5]], (200.0, 250.0))
"""Millimetre 0 is the page's edge."""


def panel(lead: str, row: int, column: int, start: float, end: float, level: float) -> LeadPanel:
    path = np.full(CANVAS_PX, np.nan)
    path[int(max(start, 0)) : int(min(end, CANVAS_PX))] = level
    return LeadPanel(lead, row, column, False, start, end, path, 1.0)


def layout_of(*panels: LeadPanel) -> PageLayout:
    return PageLayout(panels, None, 0.0, 1.0, 100.0)


LAYOUT = layout_of(
    panel("I", 0, 0, 99.5, 299.5, 200.0),
    panel("V1", 0, 1, 299.5, 499.5, 210.0),
    panel("II", 1, 0, 99.5, 499.5, 350.0),
)


def test_windows_are_the_panels_in_millimetres() -> None:
    windows = panel_windows(LAYOUT, CANVAS, FLAT)
    assert [(w.lead, w.row_index, w.column_index) for w in windows] == [
        ("I", 0, 0),
        ("V1", 0, 1),
        ("II", 1, 0),
    ]
    edges = np.array([[99.5, 299.5], [299.5, 499.5], [99.5, 499.5]]) * MM_PER_CANVAS_PX
    np.testing.assert_allclose([(w.start_mm, w.end_mm) for w in windows], edges, atol=1e-6)
    assert block_mm(LAYOUT, CANVAS, FLAT) == pytest.approx(400 * MM_PER_CANVAS_PX)


def test_panels_end_at_the_page(caplog: pytest.LogCaptureFixture) -> None:
    layout = layout_of(panel("I", 0, 0, -40.0, 350.0, 200.0), panel("V1", 0, 1, 350.0, 800.0, 200.0))
    with caplog.at_level(logging.DEBUG, logger="ecg_hough.layout"):
        first, last = panel_windows(layout, CANVAS, FLAT)
    assert first.start_mm == pytest.approx(0.0, abs=1e-6)
    assert last.end_mm == pytest.approx(250.0, abs=1e-6)
    assert first.end_mm == pytest.approx(350.0 * MM_PER_CANVAS_PX, abs=1e-6)
    assert sum("end at the page" in record.message for record in caplog.records) == 2


def test_other_panels_on_the_same_rows_and_only_on_those() -> None:
    boxes = [PanelBox("aVR", 1, 0, False, 199.5, 299.5), PanelBox("V3", 5, 0, False, 0.0, 100.0)]
    (window,) = windows_on_rows(LAYOUT, boxes, {0, 1}, CANVAS, FLAT)
    assert (window.lead, window.row_index) == ("aVR", 1)
    assert window.start_mm == pytest.approx(199.5 * MM_PER_CANVAS_PX)


def test_a_slanting_page_map_has_edges_at_the_row_s_own_height() -> None:
    slanted = PageMap.from_affine([[PX_PER_MM, 0, -0.5], [0.4, PX_PER_MM, -0.5]], (200.0, 250.0))
    windows = panel_windows(LAYOUT, CANVAS, slanted)
    down_mm = (350.0 - 200.0) * MM_PER_CANVAS_PX
    assert windows[0].start_mm - windows[2].start_mm == pytest.approx(0.1 * down_mm, abs=0.01)


def test_a_row_s_path_is_that_of_all_its_panels() -> None:
    paths = row_paths(LAYOUT)
    assert sorted(paths) == [0, 1]
    assert paths[0][150] == 200.0
    assert paths[0][400] == 210.0
    assert np.isnan(paths[0][600])
