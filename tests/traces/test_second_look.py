"""Rows that contest ink are read where all rows together most likely run."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np

from ecg_hough.geometry.strips import StripFrame
from ecg_hough.options import Options
from ecg_hough.traces.crossings import settle
from ecg_hough.traces.look import RowLook
from ecg_hough.traces.second_look import MASK_SHRINK, _better_tiles, _drawn_masks, read_together, settled
from ecg_hough.traces.tiles import tiles_of


def bell(centre, n=64, height=9.0, sigma=1.2):
    return height - 0.5 * ((np.arange(n) - centre) / sigma) ** 2


def test_a_row_read_elsewhere_than_it_runs_is_read_there():
    # Two read-outs have their higher peak 8 mm off, where no trace can go and come back from.
    n, level, far = 40, 20.3, 52.0
    logits = np.stack([np.maximum(bell(level, height=8), bell(far, height=2))] * n, 1)
    logits[:, [20]] = np.maximum(bell(level, height=7.5), bell(far, height=8))[:, None]
    look = RowLook(0, StripFrame(0.0, 0.0, (128, 2 * n)), None, None, None, np.ones(4 * n, bool),
                 np.repeat(logits[None], 4, axis=0).astype(np.float32))  # fmt: skip
    view = look.view
    assert np.ptp(view.y_mm) > 7
    rows, sd, presence, _ = settled(look, settle([view])[0])
    assert np.allclose(rows, (level + 0.5) * 2 - 0.5, atol=0.1)
    assert np.allclose(sd, sd[0], atol=0.05)
    assert (presence > 0.9).all()
    assert settled(look, view.y_mm) is look.readouts


def look_of(rows: np.ndarray, *, doubt: float = 0.0) -> RowLook:
    """A look at a strip of 128 rows whose distributions have their peaks at `rows` (n,) of the output."""
    logits = np.stack([bell(r) for r in rows], axis=1)
    if doubt:
        logits = np.maximum(logits, np.stack([bell(60.0, height=9.0 + np.log(doubt)) for _ in rows], axis=1))
    logits = np.repeat(logits[None], 4, axis=0).astype(np.float32)
    shape = (128, 2 * len(rows))
    masks = np.zeros((2, *shape), np.float32)
    strip = np.full((*shape, 3), 255, np.uint8)
    return RowLook(0, StripFrame(0.0, 0.0, shape), strip, *masks, np.ones(2 * shape[1], bool), logits)


def test_rows_apart_are_not_looked_at_again() -> None:
    looks = [look_of(np.full(400, 12.0)), look_of(np.full(400, 45.0))]
    # No network is asked for: it would fail.
    page = SimpleNamespace(options=Options(), network=None, leads_mm={})
    with ThreadPoolExecutor(1) as pool:
        readouts, wrong = read_together(page, looks, pool)
    assert all(got is look.readouts for got, look in zip(readouts, looks, strict=True))
    assert all((w == 0).all() for w in wrong)


def test_of_every_tile_the_less_contested_look_is_kept() -> None:
    old, new = look_of(np.full(600, 20.0)), look_of(np.full(600, 30.0))
    first, *_, last = tiles_of(1200)
    before, after = np.zeros(2400), np.zeros(2400)
    before[2 * first.first : 2 * first.stop] = 0.3
    after[2 * last.first :] = 0.1
    kept = _better_tiles(old, new, before, after)
    edge = first.stop // 2
    assert np.array_equal(kept.logits[:, :, :edge], new.logits[:, :, :edge])
    assert np.array_equal(kept.logits[:, :, edge:], old.logits[:, :, edge:])
    assert _better_tiles(old, new, after, before) is not old
    assert _better_tiles(old, new, before, before) is old


def test_masks_are_drawn_where_the_rows_run() -> None:
    looks = [look_of(np.full(400, 12.0)), look_of(np.full(400, 45.0))]
    views = [look.view for look in looks]
    own, other = _drawn_masks(0, looks[0].frame, views, [view.y_mm for view in views])
    assert own.shape == other.shape == (128, 800)
    middle = (np.arange(128)[:, None] * own).sum(axis=0)[10:-10] / own.sum(axis=0)[10:-10]
    assert np.abs(middle - looks[0].readouts.rows[0]).max() < MASK_SHRINK
    assert own[:, 400].max() > 0.6
    assert other[:60].max() < 0.01
