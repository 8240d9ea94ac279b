"""Tiles: a strip is seen once, in tiles as high as its ink."""

from itertools import pairwise

import numpy as np
import pytest

from ecg_hough.geometry.strips import STRIP_PX_PER_MM
from ecg_hough.traces.distribution import read_logits
from ecg_hough.traces.tiles import (
    GROW_ROWS,
    HEADROOM_MM,
    STRIP_ROWS,
    TILE_COLS,
    TILE_OVERLAP,
    UNSEEN_LOGIT,
    rows_beyond,
    rows_of_tiles,
    strip_logits,
    tiles_of,
    with_rows,
)


class DarkestRow:
    """A stand-in for the network: bells at the darkest row; every second read-out `lean` px too low."""

    def __init__(self, lean=0.0):
        self.lean, self.runs = lean, 0

    def run(self, batch):
        self.runs += 1
        n_rows, n_cols = batch.shape[2:]
        assert n_cols == TILE_COLS
        dark = batch[0, 0].argmin(axis=0).reshape(-1, 2).repeat(2, axis=1).astype(float)
        dark[:, [1, 3]] += self.lean
        rows = np.arange(n_rows // 2)[None, :, None]
        return (9 - 0.5 * (rows - (dark.T[:, None] - 0.5) / 2) ** 2)[None].astype(np.float32)


def test_a_mirrored_strip_is_read_the_same():
    strip = np.full((64, 701, 3), 255, np.uint8)
    centre = np.round(30 + 20 * np.sin(np.arange(701) / 60)).astype(int)
    strip[centre, np.arange(701)] = 0
    masks = np.zeros((2, 64, 701), np.float32)
    plain, flipped = DarkestRow(), DarkestRow()
    once = read_logits(strip_logits(strip, *masks, plain), 701)
    twice = read_logits(strip_logits(strip, *masks, flipped, flip=True), 701)
    assert flipped.runs == 2 * plain.runs
    assert np.abs(once[0] - centre.repeat(2)).max() < 0.1
    for a, b in zip(once, twice, strict=True):
        assert np.allclose(a, b, atol=1e-3)
    # An error that goes with the direction of time meets its mirror image: both read-outs have half of it.
    leaning = read_logits(strip_logits(strip, *masks, DarkestRow(lean=1.0), flip=True), 701)[0]
    leaning -= centre.repeat(2)
    assert np.abs(leaning - 0.5).max() < 0.1


def test_tiles_can_be_looked_at_alone():
    strip = np.full((64, 1500, 3), 255, np.uint8)
    strip[40] = 0
    network = DarkestRow()
    masks, tiles = np.zeros((2, 64, 1500), np.float32), tiles_of(1500)
    every = strip_logits(strip, *masks, network)
    known = np.full_like(every, -7.0)
    alone = strip_logits(strip, *masks, network, known=known, tiles=tiles[1:2])
    assert len(tiles) == 3
    assert network.runs == 4
    here = slice(tiles[1].first // 2, tiles[1].stop // 2)
    assert np.array_equal(alone[:, :, here], every[:, :, here])
    assert (np.delete(alone, np.r_[here], axis=2) == -7.0).all()
    assert (known == -7.0).all()


@pytest.mark.parametrize("n_cols", [100, 576, 577, 1500, 2114, 2160])
def test_tiles_cover_a_strip_once_and_share_enough(n_cols):
    tiles = tiles_of(n_cols)
    assert len(tiles) == max(1, np.ceil((n_cols - TILE_OVERLAP) / (TILE_COLS - TILE_OVERLAP)))
    assert tiles[0].first == 0
    assert tiles[-1].stop in (max(n_cols, TILE_COLS), n_cols + 1)
    for before, after in pairwise(tiles):
        assert before.stop == after.first
        assert min(after.first - after.start, before.start + TILE_COLS - before.stop) >= TILE_OVERLAP // 2 - 1
    assert all(place % 2 == 0 for tile in tiles for place in tile[:2])


def test_a_tile_is_as_high_as_its_rows_ink():
    class Bottom:
        """A stand-in that reads every column at the lowest row that it sees, and notes how many it saw."""

        def __init__(self):
            self.rows = []

        def run(self, batch):
            n_rows, n_cols = batch.shape[2:]
            self.rows.append(n_rows)
            logits = np.full((1, 4, n_rows // 2, n_cols // 2), -9.0, np.float32)
            logits[:, :, -1] = 9.0
            return logits

    strip, network = np.full((640, 1500, 3), 255, np.uint8), Bottom()
    own = np.zeros((640, 1500), np.float32)
    own[320] = 1.0
    own[40:320, 1400] = 1.0  # a QRS complex in the last tile
    logits = strip_logits(strip, own, np.zeros_like(own), network)
    assert logits.shape == (4, 320, 750)
    assert network.rows == [STRIP_ROWS, STRIP_ROWS, 384]
    rows, _, presence, _ = read_logits(logits, 1500)
    # Round the row's level, or as low as the ink's top with its headroom lets it.
    top = 40 - HEADROOM_MM * STRIP_PX_PER_MM
    assert rows[0] == pytest.approx(320 + STRIP_ROWS / 2 - 1.5, abs=1)
    assert rows[-1] == pytest.approx(top + 384 - 1.5, abs=1)
    assert (presence > 0.99).all()


def test_tiles_grow_where_a_trace_leaves_them():
    n_rows, n_cols = 512, 1500
    strip = np.full((n_rows, n_cols, 3), 255, np.uint8)
    strip[256, :1200], strip[4, 1200:] = 0, 0
    strip[4:256, 1200] = 0
    own = np.zeros((n_rows, n_cols), np.float32)
    own[256] = 1.0
    rows = rows_of_tiles(own)
    assert {seen.stop - seen.start for seen in rows} == {STRIP_ROWS}
    # The tile ends below the ink, and the stand-in sees the darkest row that there is.
    strip[rows[-1].start, 1200:] = 0
    logits = strip_logits(strip, own, own, DarkestRow(), rows=rows)
    beyond = rows_beyond(logits, rows, n_cols)
    assert set(beyond) == {len(rows) - 1}
    grown = beyond[len(rows) - 1]
    assert (grown.start, grown.stop) == (rows[-1].start - GROW_ROWS, rows[-1].stop)
    taller = with_rows(logits, 64, 128)
    assert taller.shape[1] == (n_rows + 64 + 128) // 2
    assert np.array_equal(taller[:, 32:-64], logits)
    assert taller[:, :32].max() == UNSEEN_LOGIT
