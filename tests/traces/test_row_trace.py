"""A row's trace in page millimetres: NaN where nothing is read, and the expected error of what is."""

from types import SimpleNamespace

import numpy as np

from drawn_strip import PX_PER_MM, SHAPE, strip_of, true_rows
from ecg_hough.geometry.strips import StripFrame
from ecg_hough.options import Options
from ecg_hough.traces.distribution import Readouts
from ecg_hough.traces.look import RowLook
from ecg_hough.traces.row_trace import READOUT_SD_TIMES, row_trace

TOP_MM, LEFT_MM = 40.0, 12.0


def look_and_readouts() -> tuple[RowLook, Readouts]:
    y, x = true_rows()
    masks = np.zeros((2, *SHAPE), np.float32)
    inside = np.ones(y.size, bool)
    inside[-50:] = False
    look = RowLook(3, StripFrame(TOP_MM, LEFT_MM, SHAPE), strip_of(y, x, width=3.0), *masks, inside, None)
    presence = np.where(np.arange(y.size) < 100, 0.1, 0.9)
    return look, Readouts(y + 0.6, np.full(y.size, 0.8), presence, np.zeros(y.size))


def test_read_outs_become_millimetres() -> None:
    look, readouts = look_and_readouts()
    page = SimpleNamespace(options=Options(stroke_fit=False), px_per_mm=PX_PER_MM)
    row = row_trace(page, look, readouts)
    assert row.row_index == 3
    seen = slice(100, -50)
    np.testing.assert_allclose(row.y_mm[seen], TOP_MM + readouts.rows[seen] / PX_PER_MM)
    np.testing.assert_allclose(row.sd_mm[seen], READOUT_SD_TIMES * 0.8 / PX_PER_MM)
    np.testing.assert_allclose(row.x_mm[:2], LEFT_MM + np.array([-0.25, 0.25]) / PX_PER_MM)
    for values in (row.y_mm, row.sd_mm):
        assert np.isnan(values[:100]).all()
        assert np.isnan(values[-50:]).all()
    assert not row.presence[-50:].any()
    assert np.isnan(row.pen_mm)


def test_the_stroke_fit_moves_them_onto_the_ink_and_measures_the_pen() -> None:
    look, readouts = look_and_readouts()
    page = SimpleNamespace(options=Options(), px_per_mm=PX_PER_MM)
    row = row_trace(page, look, readouts)
    seen = slice(120, -70)
    off_px = row.y_mm[seen] * PX_PER_MM - TOP_MM * PX_PER_MM - true_rows()[0][seen]
    assert np.sqrt(np.mean(off_px**2)) < 0.3
    assert abs(row.pen_mm * PX_PER_MM - 3.0) < 0.8
