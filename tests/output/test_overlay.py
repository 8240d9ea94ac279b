"""Overlay, label map and figure: traces are drawn where they are, and missing leads state why."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.output.overlay import LABEL_MM, draw_label_map, draw_overlay, plot_ecg
from ecg_hough.paper import LEADS
from made_up_ecg import MISSING, made_up_ecg


def test_overlay_draws_traces_where_they_are() -> None:
    ecg = made_up_ecg()
    image = np.full((400, 500, 3), 255, np.uint8)
    picture = draw_overlay(image, ecg)
    assert picture.dtype == np.uint8
    assert picture.shape[0] == 400
    assert picture.shape[1] > 500
    for trace in ecg.traces:
        row, col = np.rint(trace.points[200]).astype(int)
        assert picture[row, col].min() < 200
    assert (image == 255).all()


def test_overlay_of_a_full_page_is_quick_and_of_a_huge_one_small() -> None:
    ecg = made_up_ecg(seconds=10.0)
    start = time.process_time()
    draw_overlay(np.full((1700, 2200, 3), 255, np.uint8), ecg)
    assert time.process_time() - start < 2.0
    assert max(draw_overlay(np.full((6000, 200, 3), 255, np.uint8), ecg).shape) <= 5000


def test_overlay_wants_rgb() -> None:
    with pytest.raises(ValueError, match="rows, cols, 3"):
        draw_overlay(np.zeros((10, 10), np.uint8), made_up_ecg())


def test_label_map_holds_every_trace_at_a_pen_s_width() -> None:
    ecg = made_up_ecg()
    labels = draw_label_map((400, 500), ecg)
    assert set(np.unique(labels)) == {0} | {k + 1 for k, lead in enumerate(LEADS) if lead != MISSING}
    widths = (labels == 1).sum(axis=0)
    assert np.median(widths[widths > 0]) == pytest.approx(LABEL_MM * 7.87, abs=2.5)
    # Gaps stay gaps, and without a scale the width is that of a usual page.
    assert not (labels == 1)[:, 202:208].any()
    assert draw_label_map((400, 500), replace(ecg, px_per_mm=None)).any()


def test_figure_names_the_leads_and_states_why_one_is_missing() -> None:
    figure = plot_ecg(made_up_ecg())
    assert {axis.get_ylabel() for axis in figure.axes} == {f"{lead} (mV)" for lead in LEADS}
    assert [text.get_text() for axis in figure.axes for text in axis.texts] == ["not printed"]
