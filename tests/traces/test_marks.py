import numpy as np
import pytest

from drawn_page import drawn_page
from ecg_hough.elements import MARK_KINDS, RowTrace
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame
from ecg_hough.networks.marks_net import CELL_PX, TILE_PX
from ecg_hough.traces.marks import BEYOND_MM, drawn_masks, marks_of_rows


def row(index: int, level_mm: float) -> RowTrace:
    x = np.arange(20.0, 60.0, 1 / 16)
    return RowTrace(index, x, np.full(x.size, level_mm), np.full(x.size, 0.05), np.ones(x.size))


def test_masks_are_drawn_where_the_traces_run():
    frame = StripFrame(30.0, 20.0, (320, 320))
    masks = drawn_masks((row(0, 50.0), row(1, 60.0)), 0, frame)
    assert masks.shape == (2, 320, 320)
    for mask, level in zip(masks, (50.0, 60.0), strict=True):
        at = round((level - 30.0) * STRIP_PX_PER_MM)
        assert mask[at - 3 : at + 4, 100].max() > 0.5
        assert mask[at + 40, 100] == 0.0
    assert masks.max() <= 1.0


class FirstTile:
    """A stand-in for the network: the end of a panel at a fixed column of the first tile."""

    def __init__(self, column):
        self.column = column

    def run(self, batch, *, few_shapes=True):
        out = np.full((len(batch), 2 * len(MARK_KINDS), TILE_PX // CELL_PX), -9.0, np.float32)
        out[:, len(MARK_KINDS) :] = 0.0
        out[0, MARK_KINDS.index("end"), self.column // CELL_PX] = 5.0
        return out


def test_landmarks_are_in_page_millimetres_row_by_row():
    sheet = drawn_page().sheet
    rows = (row(2, 60.0), row(5, 90.0))
    found = marks_of_rows(sheet, rows, FirstTile(64))
    assert [mark.row_index for mark in found] == [2, 5]
    for mark in found:
        assert mark.kind == "end"
        assert mark.x_mm == pytest.approx(20.0 - BEYOND_MM + 64 / STRIP_PX_PER_MM, abs=0.1)
        assert mark.probability == pytest.approx(0.993, abs=0.01)


def test_a_row_without_a_trace_has_no_landmarks():
    empty = RowTrace(0, np.arange(10.0), np.full(10, np.nan), np.full(10, np.nan), np.zeros(10))
    assert marks_of_rows(drawn_page().sheet, (empty,), FirstTile(64)) == ()
