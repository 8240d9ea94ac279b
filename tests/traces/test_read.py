"""Rows of a page: both read-outs on a drawn page, with and without the stroke fit."""

import numpy as np

from drawn_page import drawn_page
from ecg_hough.options import Options
from ecg_hough.traces.read import read_traces


def test_centroid_reads_a_rendered_page():
    drawn = drawn_page()
    page = drawn.page
    rows = read_traces(drawn.sheet, None, Options(stroke_fit=False))
    assert len(rows) == 4
    for row in rows:
        panel = max((p for p in page.panels if p.row == row.row_index), key=lambda p: len(p.mv))
        y, x = page.page_map.to_mm(panel.trace[:, 0], panel.trace[:, 1])
        read = np.interp(x, row.x_mm, row.y_mm)
        finite = np.isfinite(read)
        assert finite.mean() > 0.9
        assert np.median(np.abs(read - y)[finite]) < 0.15  # mm: the stroke is 0.2 to 0.7 wide


def test_the_stroke_fit_moves_centroids_when_asked():
    sheet = drawn_page().sheet
    bare = read_traces(sheet, None, Options(stroke_fit=False))
    fitted = read_traces(sheet, None, Options())
    for a, b in zip(bare, fitted, strict=True):
        assert np.array_equal(np.isfinite(a.y_mm), np.isfinite(b.y_mm))
        assert np.nanmax(np.abs(a.y_mm - b.y_mm)) > 0.01
