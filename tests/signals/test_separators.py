"""Separators between columns: drawn ones are placed to a fraction of a pixel, beats and grids are none."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ecg_hough.elements import Window
from ecg_hough.paper import make_layout
from ecg_hough.render import render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.page import Panel, RenderedPage
from ecg_hough.signals.separators import find_separators
from ecg_hough.traces.ink import InkModel

BLACK = InkModel(np.full(3, -1 / (3 * 255)), -1.0, 9.0)
"""Darkness 1 for black, 0 for white."""


def drawn(separator: str, *, shape: str = "3x4", sequential: bool = True, **sheet: object) -> RenderedPage:
    layout = make_layout(shape)
    style = sample_style(np.random.default_rng(4), "clean", layout=layout, dpi=200)
    changed = replace(
        style.sheet,
        separator=separator, missing=(), speed_mm_s=25.0, gain_mm_mv=10.0, size_mm=(210.0, 297.0),
        sequential=sequential, block_left_mm=20.0, block_width_mm=250.0, first_row_mm=45.0,
        row_pitch_mm=34.0, rhythm_pitch_mm=34.0, amplitude=1.0, ink=(0, 0, 0), ink_alpha=1.0,
        grid_block_only=False, stray_texts=0, joined=False, minor=(255, 220, 220),
        stroke_mm=0.3, separator_mm=3.1, **{"major": (255, 150, 150), **sheet},
    )  # fmt: skip
    ecg = generate_ecg(12, rhythm="sinus rhythm")
    return render_page(ecg.signals, ecg.fs, seed=4, style=replace(style, sheet=changed))


def place(page: RenderedPage, panel: Panel) -> tuple[float, float, float]:
    """Start, end and zero line of a panel, mm."""
    y, x = page.page_map.to_mm(panel.trace[[0, -1], 0], panel.trace[[0, -1], 1])
    return float(x[0]), float(x[1]), float(y[0] + panel.mv[0] * 10.0)


def found(page: RenderedPage, off_mm: float = 0.0) -> tuple[dict[int, float], dict[int, float]]:
    """Found and true edges; the panels are handed over `off_mm` off."""
    edges, levels, windows = {}, {}, []
    for panel in page.panels:
        start, end, levels[panel.row] = place(page, panel)
        edges[panel.column] = start
        windows.append(Window(panel.lead, panel.row, panel.column, False, start + off_mm, end + off_mm))
    edges.pop(0)
    return find_separators(page.image, page.page_map, BLACK, levels, tuple(windows)), edges


@pytest.mark.parametrize("separator", ["bars", "ticks", "dashed"])
@pytest.mark.parametrize("off_mm", [-1.3, 0.9])
def test_separators_are_placed_to_a_fraction_of_a_pixel(separator, off_mm):
    seen, true = found(drawn(separator), off_mm)
    assert set(seen) == set(true)
    assert max(abs(seen[j] - true[j]) for j in true) < 0.04  # a third of a pixel


@pytest.mark.parametrize(("shape", "sequential"), [("3x4", True), ("3x4", False), ("6x2", False)])
def test_a_page_without_separators_has_none(shape, sequential):
    for separator in ("none", "gap"):
        assert found(drawn(separator, shape=shape, sequential=sequential))[0] == {}


def test_lines_of_a_dark_grid_are_no_separators():
    page = drawn("none", major=(30, 30, 30))
    assert found(page)[0] == {}


def draw_strokes(page: RenderedPage, panels: list[Panel], off_mm: float) -> None:
    """Strokes like separators, so far right of the panels' starts."""
    for panel in panels:
        start, _, level = place(page, panel)
        at = np.full(2, start + off_mm)
        rows, cols = page.page_map.to_pixels(np.array([level - 3.1, level + 3.1]), at)
        ends = np.round(np.column_stack([cols, rows])).astype(int)
        cv2.line(page.image, ends[0].tolist(), ends[1].tolist(), (0, 0, 0), 3)


def test_of_two_strokes_in_every_row_the_one_at_the_edge_is_the_separator():
    # Lines of a dark grid, 2.5 mm off, may look the same.
    page = drawn("bars")
    draw_strokes(page, [panel for panel in page.panels if panel.column > 0], -2.5)
    seen, true = found(page)
    assert set(seen) == set(true)
    assert max(abs(seen[j] - true[j]) for j in true) < 0.04


def test_strokes_at_the_edge_in_too_few_rows_hide_no_separator():
    page = drawn("bars", shape="6x2")
    off_mm = 2.2
    draw_strokes(page, [panel for panel in page.panels if panel.column > 0][:4], off_mm)
    seen, true = found(page, off_mm)
    assert seen == pytest.approx(true, abs=0.04)
