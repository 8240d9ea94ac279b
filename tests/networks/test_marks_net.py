import numpy as np
import pytest

from ecg_hough.elements import MARK_KINDS
from ecg_hough.networks.marks_net import CELL_PX, TILE_PX, find_marks, half_height

ROWS = 320


class DarkColumns:
    """A stand-in for the network: a separator at every dark column of the middle row."""

    def __init__(self):
        self.batches = []

    def run(self, batch, *, few_shapes=True):
        self.batches.append(batch.shape)
        n, _, rows, cols = batch.shape
        out = np.full((n, 2 * len(MARK_KINDS), cols // CELL_PX), -9.0, np.float32)
        kind = MARK_KINDS.index("separator")
        cells = np.arange(cols // CELL_PX)
        for k, planes in enumerate(batch):
            for column in np.flatnonzero(planes[0, rows // 2] < 0.5):
                off = (column + 0.5) / CELL_PX - 0.5 - cells
                out[k, kind] = np.maximum(out[k, kind], 4.0 - 6.0 * off**2)
                near = np.abs(off) < 2.5
                out[k, len(MARK_KINDS) + kind][near] = off[near]
        return out


@pytest.mark.parametrize("n_cols", [300, TILE_PX, 1200, 1301])
def test_landmarks_are_found_to_a_fraction_of_a_column_in_strips_of_any_length(n_cols):
    columns = [40, n_cols // 2 + 3, n_cols - 60]
    strip = np.full((ROWS, n_cols, 3), 255, np.uint8)
    strip[:, columns] = 0
    network = DarkColumns()
    found = find_marks(strip, np.zeros((2, ROWS, n_cols), np.float32), network)
    assert [kind for kind, *_ in found] == ["separator"] * 3
    assert [column for _, column, _ in found] == pytest.approx(columns, abs=0.05)
    assert all(probability > 0.9 for *_, probability in found)
    assert {shape[1:] for shape in network.batches} == {(5, ROWS // 2, TILE_PX)}


def test_a_strip_without_landmarks_has_none():
    strip = np.full((ROWS, 800, 3), 255, np.uint8)
    assert find_marks(strip, np.zeros((2, ROWS, 800), np.float32), DarkColumns()) == []


def test_half_height_means_pairs_of_rows():
    planes = np.arange(2 * 4 * 3, dtype=np.float32).reshape(2, 4, 3)
    assert np.array_equal(half_height(planes), 0.5 * (planes[:, ::2] + planes[:, 1::2]))
