"""Read-outs: the distribution's mean and presence, the centroid baseline, ink given to the right row."""

from itertools import pairwise

import numpy as np
import pytest

from drawn_page import drawn_page
from ecg_hough.elements import RowTrace
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame
from ecg_hough.options import Options
from ecg_hough.paper import LEADS
from ecg_hough.traces.centroid import centroid_rows
from ecg_hough.traces.crossings import settle
from ecg_hough.traces.masks import row_masks
from ecg_hough.traces.read import (
    HEADROOM_MM,
    STRIP_ROWS,
    TARGET_SIGMA_PX,
    TILE_COLS,
    TILE_OVERLAP,
    _frame,
    _Look,
    _settled,
    _tiles,
    distribution_rows,
    read_logits,
    read_traces,
    strip_logits,
    without_loose_ends,
    without_ruled_lines,
)


def bell(centre, n=64, height=9.0, sigma=1.2):
    return height - 0.5 * ((np.arange(n) - centre) / sigma) ** 2


def test_distribution_gives_sub_pixel_rows_in_column_order():
    true = np.array([[20.3, 30.8], [20.6, 31.4], [21.0, 32.0], [21.9, 33.3]])  # sub-column, column
    logits = np.stack([np.stack([bell(r) for r in sub], axis=1) for sub in true]).astype(np.float32)
    rows, sd, presence, doubt = distribution_rows(logits)
    assert np.allclose(rows, true.T.ravel(), atol=0.01)
    assert np.allclose(sd, np.sqrt(1.2**2 - TARGET_SIGMA_PX**2), atol=0.05)
    assert (presence > 0.99).all()
    assert (doubt < 1e-3).all()


def test_no_trace_where_all_rows_are_unlikely():
    _, _, presence, _ = distribution_rows(np.full((4, 64, 8), -9.0, np.float32))
    assert (presence < 0.05).all()


def test_a_far_second_peak_does_not_pull_the_mean():
    logits = np.maximum(bell(12.0, height=9), bell(55.0, height=7.5))[None, :, None].astype(np.float32)
    rows, _, _, doubt = distribution_rows(logits)
    assert rows[0] == pytest.approx(12.0, abs=0.05)
    assert doubt[0] == pytest.approx(np.exp(-1.5) / (1 + np.exp(-1.5)), abs=0.02)


def test_centroid_of_a_drawn_line():
    strip = np.full((64, 100, 3), 255, np.uint8)
    centre = 30 + 10 * np.sin(np.arange(100) / 9)
    for c, r in enumerate(centre):
        strip[round(r) - 1 : round(r) + 2, c] = 20
    strip[:, 60:75] = 255  # a gap
    own = np.zeros((64, 100), np.float32)
    own[10:50] = 1.0
    rows, _, presence = centroid_rows(strip, own)
    seen = presence > 0.5
    assert not seen[2 * 64 : 2 * 71].any()
    assert seen[: 2 * 55].all()
    at = np.arange(100).repeat(2) + np.tile([-0.25, 0.25], 100)
    assert np.abs(rows - (30 + 10 * np.sin(at / 9)))[seen].max() < 2.5
    assert np.median(np.abs(rows - (30 + 10 * np.sin(at / 9)))[seen]) < 0.4


def test_centroid_is_not_drawn_to_grid_and_letters_under_the_mask():
    strip = np.full((200, 480, 3), 255, np.uint8)
    strip[::8] = strip[:, ::8] = (255, 200, 200)
    strip[::40] = strip[:, ::40] = (225, 40, 40)  # as dark as a pen's rim in grey
    centre = 110 + 25 * np.sin(np.arange(480) / 15)
    for c, r in enumerate(centre):
        strip[round(r) - 1 : round(r) + 2, c] = 10
    strip[60:78, 40:44] = strip[60:78, 52:56] = strip[67:71, 44:52] = 0  # a name above the trace
    own = np.zeros((200, 480), np.float32)
    for c, r in enumerate(centre):
        own[max(0, round(r) - 18) : round(r) + 18, c] = 1.0
    own[55:90, 36:60] = 1.0
    rows, _, presence = centroid_rows(strip, own)
    off = np.abs(rows - np.repeat(centre, 2))
    assert (presence > 0.5).all()
    assert off.max() < 1.5
    assert np.sqrt(np.mean(off**2)) < 0.7


def test_no_centroid_without_ink():
    plain = np.full((64, 100, 3), 250, np.uint8)
    own = np.zeros((64, 100), np.float32)
    assert not centroid_rows(plain, own)[2].any()
    own[20:40] = 1.0
    assert not centroid_rows(plain, own)[2].any()


def test_ink_goes_to_its_own_row():
    drawn = drawn_page()
    masks = row_masks(drawn.probabilities, drawn.layout)
    assert masks.shape == (4, 2, 704, 704)
    # Lead II stands in the second row and in the rhythm strip: each keeps its own copy.
    lead_ii = drawn.probabilities[LEADS.index("II") + 1]
    assert (masks[1, 0] * lead_ii).sum() > 0.15 * lead_ii.sum()
    assert (masks[3, 0] * lead_ii).sum() > 0.6 * lead_ii.sum()
    ink = 1 - drawn.probabilities[0]
    assert np.abs(masks[:, 0].sum(axis=0) - ink).max() < 0.35


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
    masks, tiles = np.zeros((2, 64, 1500), np.float32), _tiles(1500)
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
    tiles = _tiles(n_cols)
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


def test_the_stroke_fit_moves_centroids_when_asked():
    sheet = drawn_page().sheet
    bare = read_traces(sheet, None, Options(stroke_fit=False))
    fitted = read_traces(sheet, None, Options())
    for a, b in zip(bare, fitted, strict=True):
        assert np.array_equal(np.isfinite(a.y_mm), np.isfinite(b.y_mm))
        assert np.nanmax(np.abs(a.y_mm - b.y_mm)) > 0.01


def test_a_deep_wave_has_room_in_its_strip():
    drawn = drawn_page()
    own = np.zeros(drawn.probabilities.shape[1:], np.float32)
    own[200:203, 50:600] = 1.0  # the row's line
    own[200:320, 300:303] = 1.0  # 45 mm down
    own[190:200, 298:300] = 1.0
    frame = _frame(own, (50.0, 600.0), drawn.page.page_map, drawn.canvas)
    y, _ = drawn.page.page_map.to_mm(*drawn.canvas.to_page(np.array([[190.0, 299.0], [319.0, 301.0]])).T)
    assert frame.y_mm < y[0] - 1.0
    assert frame.y_mm + frame.shape[0] / STRIP_PX_PER_MM > y[1] + 1.0
    assert frame.shape[0] % 64 == 0
    # A speck beside the panels moves nothing, and one farther off than any wave next to nothing.
    own[640:644, 2:14] = 1.0
    assert _frame(own, (50.0, 600.0), drawn.page.page_map, drawn.canvas) == frame
    own[660:662, 420:432] = 1.0
    moved = _frame(own, (50.0, 600.0), drawn.page.page_map, drawn.canvas)
    assert abs(moved.y_mm - frame.y_mm) < 5.0
    assert moved.shape[0] <= frame.shape[0]


def test_a_stretch_behind_a_jump_at_the_row_s_end_is_another_trace() -> None:
    rows = np.full(800, 100.0)
    seen = np.ones(800, bool)
    seen[:40] = seen[770:] = False
    rows[:50] = 180.0  # the row below
    rows[720:] = 30.0  # letters above
    rows[60:64] = rows[690:694] = 20.0  # tall R waves stay, and what is before and behind them
    out = without_loose_ends(rows, seen)
    assert np.array_equal(np.flatnonzero(out), np.arange(50, 720))
    rows[:200] = 180.0  # a longer stretch stays: a column on another level
    assert without_loose_ends(rows, seen)[40:200].all()
    calm = np.full(800, 100.0)
    assert np.array_equal(without_loose_ends(calm, seen), seen)


def test_a_row_read_elsewhere_than_it_runs_is_read_there():
    # Two read-outs have their higher peak 8 mm off, where no trace can go and come back from.
    n, level, far = 40, 20.3, 52.0
    logits = np.stack([np.maximum(bell(level, height=8), bell(far, height=2))] * n, 1)
    logits[:, [20]] = np.maximum(bell(level, height=7.5), bell(far, height=8))[:, None]
    look = _Look(0, StripFrame(0.0, 0.0, (128, 2 * n)), None, None, None, np.ones(4 * n, bool),
                 np.repeat(logits[None], 4, axis=0).astype(np.float32))  # fmt: skip
    view = look.view
    assert np.ptp(view.y_mm) > 7
    rows, sd, presence = _settled(look, settle([view])[0])
    assert np.allclose(rows, (level + 0.5) * 2 - 0.5, atol=0.1)
    assert np.allclose(sd, sd[0], atol=0.05)
    assert (presence > 0.9).all()
    untouched = _settled(look, view.y_mm)
    assert all(a is b for a, b in zip(untouched, look.reading[:3], strict=True))


def row_trace(k, y_mm):
    x_mm = np.arange(y_mm.size) / 16
    return RowTrace(k, x_mm, y_mm, np.where(np.isfinite(y_mm), 0.1, np.nan), np.isfinite(y_mm).astype(float))


def test_lines_ruled_above_and_below_the_rows_are_none_of_them():
    x = np.arange(3000)
    beats = 50.0 - 5.0 * np.exp(-0.5 * ((x % 400 - 200) / 10) ** 2)
    axis = 120.0 + 0.004 * x + 0.05 * np.sin(x)  # slanting, read a little unevenly
    flat = np.where(x < 2900, axis, np.nan)
    rows = [row_trace(k, y) for k, y in enumerate((axis - 100, beats, flat, beats + 20, beats + 40, axis))]
    kept = without_ruled_lines(tuple(rows))
    assert [row.row_index for row in kept] == [1, 2, 3, 4]  # a lead may be flat between others
    still = tuple(rows[2:3] * 3)
    assert without_ruled_lines(still) is still  # no heartbeat at all: that is for others to say
    assert without_ruled_lines(()) == ()
