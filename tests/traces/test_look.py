"""One row as the trace network sees it: its strip, its masks, and what is read."""

from dataclasses import replace

import numpy as np

from drawn_page import drawn_page
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame
from ecg_hough.layout.sheet import Sheet
from ecg_hough.options import Options
from ecg_hough.traces.distribution import READOUTS_PER_COLUMN
from ecg_hough.traces.look import PageReader, RowLook, in_mm

NO_TRACE_LOGIT = -9.0


def reader_of(sheet: Sheet) -> PageReader:
    """Of column centroids."""
    return PageReader.of(
        sheet.image, sheet.page_map, sheet.canvas, sheet.probabilities, sheet.layout, None, Options()
    )


def test_the_view_has_no_place_outside_the_image_and_without_a_trace() -> None:
    n_cols = 40
    logits = np.full((4, 64, n_cols // 2), NO_TRACE_LOGIT, np.float32)
    logits[:, 19:22, :10] = 8.0  # a trace in the left half
    inside = np.ones(READOUTS_PER_COLUMN * n_cols, bool)
    inside[:6] = False
    empty = np.zeros((128, n_cols), np.float32)
    look = RowLook(2, StripFrame(30.0, 5.0, (128, n_cols)), None, empty, empty, inside, logits)
    view = look.view
    assert np.isnan(view.y_mm[:6]).all()
    np.testing.assert_allclose(view.y_mm[6:40], 30.0 + 40.5 / STRIP_PX_PER_MM, atol=0.02)
    assert np.isnan(view.y_mm[40:]).all()
    assert view.x_mm[0] == 5.0 - 0.25 / STRIP_PX_PER_MM
    # Rows of the logits are two strip px high.
    np.testing.assert_allclose(np.diff(view.levels_mm), 2 / STRIP_PX_PER_MM)


def test_a_row_s_strip_shows_its_trace_where_its_mask_is() -> None:
    sheet = drawn_page().sheet
    page = reader_of(sheet)
    assert page.indices == [0, 1, 2, 3]
    look = page.look(2)
    assert look is not None
    assert look.row_index == 2
    assert look.strip.shape == (*look.frame.shape, 3)
    dark = look.strip.max(axis=2) < 120
    assert look.own[dark].mean() > 0.5
    assert look.own[~dark].mean() < 0.1
    y_mm, x_mm = in_mm(look.readouts.rows, look.frame)
    seen = look.readouts.presence > 0
    panel = max((p for p in drawn_page().page.panels if p.row == 2), key=lambda p: len(p.mv))
    y, x = sheet.page_map.to_mm(panel.trace[:, 0], panel.trace[:, 1])
    within = seen & (x_mm > x.min()) & (x_mm < x.max())
    assert np.median(np.abs(y_mm[within] - np.interp(x_mm[within], x, y))) < 0.15


def test_a_row_without_ink_has_no_look() -> None:
    page = reader_of(drawn_page().sheet)
    blank = replace(page, masks=np.zeros_like(page.masks))
    assert blank.look(0) is None
