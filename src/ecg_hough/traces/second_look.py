"""Rows that contest ink: looked at once more, and read where all rows together most likely run.

In: looks at all rows of a page. Out: `Readouts` of every row. Where rows, settled together (`crossings`), run
elsewhere than each was read, the network sees the tiles there again with masks drawn along the settled rows;
of both looks the one with less doubt is kept, tile by tile.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from operator import attrgetter

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.geometry.strips import StripFrame
from ecg_hough.traces.contested import probability_wrong
from ecg_hough.traces.crossings import MEET_MM, RowView, contests, settle
from ecg_hough.traces.distribution import READOUTS_PER_COLUMN, Readouts, read_at, stride_of
from ecg_hough.traces.look import PageReader, RowLook
from ecg_hough.traces.marks import mask_lines
from ecg_hough.traces.tiles import TILE_COLS, Tile, strip_logits, tiles_of
from ecg_hough.traces.usual_beats import UsualBeat, usual_beats

CHANGED_MIN = 8
"""Read-outs, half a millimetre, that are settled elsewhere than read, from which a tile is seen again."""
MASK_SHRINK, MASK_BLUR = 3, 0.6
"""Drawn masks are as coarse as the leads network's: strip px per pixel, and their blur."""


def read_together(
    page: PageReader, looks: list[RowLook], pool: Executor
) -> tuple[list[Readouts], list[NDArray[np.float64] | None]]:
    """Read-outs of all rows of a page, as far as the page's options have them settled together; then also the
    probabilities (n,) that they lie on another row's ink, else None.

    Args:
        looks: with logits; pool: reads rows side by side.
    """
    looks, places = settle_together(page, looks, pool)
    if not page.options.settled:
        return [look.readouts for look in looks], [None] * len(looks)
    edges = [[mm for lead in page.leads_mm.get(look.row_index, []) for mm in lead] for look in looks]
    wrong = probability_wrong([look.view for look in looks], places, edges)
    return list(pool.map(settled, looks, places)), [*wrong]


def settle_together(
    page: PageReader, looks: list[RowLook], pool: Executor
) -> tuple[list[RowLook], list[NDArray[np.float64]]]:
    """Looks at all rows, of contested tiles the less contested one, and where all rows run, mm (n,) each.

    Args:
        looks, pool: as for `read_together`.
    """
    view_of = attrgetter("view")
    views = list(pool.map(view_of, looks))
    places = settle(views)
    if page.options.second_look:
        read = [view.y_mm for view in views]
        again = list(pool.map(partial(_look_again, page, looks, views, read, places), range(len(looks))))
        if any(new is not old for new, old in zip(again, looks, strict=True)):
            looks = _less_contested(looks, again, views, list(pool.map(view_of, again)))
            places = settle(list(pool.map(view_of, looks)))
        if page.options.usual_beats:
            looks, places = _with_usual_beats(page, looks, places, pool)
    return looks, places


def _with_usual_beats(
    page: PageReader, looks: list[RowLook], places: list[NDArray[np.float64]], pool: Executor
) -> tuple[list[RowLook], list[NDArray[np.float64]]]:
    """The same, where contested beats that are lower than their lead's usual one were looked at again, with
    masks of that one: what the network then sees is taken where it is nearer to the usual beat.

    Of many waves' tops in one blot the network follows what its masks suggest, if there is ink.
    """
    view_of = attrgetter("view")
    views = list(pool.map(view_of, looks))
    moved = [replace(view, y_mm=place) for view, place in zip(views, places, strict=True)]
    spans = [page.leads_mm.get(look.row_index, []) for look in looks]
    usual = usual_beats([v.x_mm for v in views], places, contests(moved), spans)
    out = list(pool.map(partial(_look_for_beats, page, looks, views, places, usual), range(len(looks))))
    if all(new is old for new, old in zip(out, looks, strict=True)):
        return looks, places
    return out, settle(list(pool.map(view_of, out)))


def _look_for_beats(
    page: PageReader,
    looks: list[RowLook],
    views: list[RowView],
    places: list[NDArray[np.float64]],
    usual: list[list[UsualBeat]],
    k: int,
) -> RowLook:
    """The k-th look, with masks of its usual beats."""
    look, wanted = looks[k], places[k].copy()
    for beat in usual[k]:
        wanted[beat.first : beat.stop] = beat.y_mm
    again = _look_again(page, looks, views, places, [*places[:k], wanted, *places[k + 1 :]], k)
    if again is look:
        return look
    assert look.logits is not None
    assert again.logits is not None
    stride, logits, any_nearer = stride_of(look.logits), look.logits.copy(), False
    for beat in usual[k]:
        here = slice(beat.first, beat.stop)
        if beat.off(again.view.y_mm[here]) < beat.off(places[k][here]):
            any_nearer = True
            per_column = READOUTS_PER_COLUMN * stride
            columns = slice(beat.first // per_column, -(-beat.stop // per_column))
            logits[:, :, columns] = again.logits[:, :, columns]
    return replace(look, logits=logits) if any_nearer else look


def settled(look: RowLook, place: NDArray[np.float64]) -> Readouts:
    """Read-outs of a row that runs at `place` (n,), mm down the page."""
    at = np.flatnonzero(np.abs(place - look.view.y_mm) > MEET_MM)
    if not at.size:
        return look.readouts
    assert look.logits is not None
    peak = np.interp(place[at], look.view.levels_mm, np.arange(look.view.levels_mm.size))
    return read_at(look.readouts, look.logits, at, peak)


def _look_again(
    page: PageReader,
    looks: list[RowLook],
    views: list[RowView],
    read: list[NDArray[np.float64]],
    places: list[NDArray[np.float64]],
    k: int,
) -> RowLook:
    """The k-th look, with masks of where all rows may run, at tiles where it was read elsewhere.

    Args:
        read, places: (n,) of every row, mm down the page: where it was read, and where it may run.
    """
    look = looks[k]
    changed = ~(np.abs(places[k] - read[k]) <= MEET_MM) & np.isfinite(places[k])
    tiles = [tile for tile in tiles_of(look.frame.shape[1]) if _n_changed(changed, tile) >= CHANGED_MIN]
    if not tiles:
        return look
    assert page.network is not None
    drawn = _drawn_masks(k, look.frame, views, places)
    explained = cv2.dilate(drawn.max(axis=0), np.ones((9, 9)))
    unexplained = 0.5 * np.clip(look.own + look.other, 0, 1) * (1 - explained)
    own, other = np.maximum(drawn, unexplained)
    flip = page.options.flip
    again = strip_logits(look.strip, own, other, page.network, flip=flip, known=look.logits, tiles=tiles)
    return replace(look, logits=again)


def _n_changed(changed: NDArray[np.bool_], tile: Tile) -> int:
    first = READOUTS_PER_COLUMN * tile.start
    return int(changed[first : first + READOUTS_PER_COLUMN * TILE_COLS].sum())


def _less_contested(
    old: list[RowLook], new: list[RowLook], views: list[RowView], fresh: list[RowView]
) -> list[RowLook]:
    """Of every tile the look with less doubt and fewer places that two rows share.

    Args:
        views, fresh: of the old looks and of the new ones.
    """
    pairs = zip(old, new, contests(views), contests(fresh), strict=True)
    return [
        look if again is look else _better_tiles(look, again, *contest) for look, again, *contest in pairs
    ]


def _better_tiles(
    look: RowLook, again: RowLook, before: NDArray[np.float64], after: NDArray[np.float64]
) -> RowLook:
    """A look with those tiles of another in which the row is less contested."""
    assert look.logits is not None
    assert again.logits is not None
    stride, logits, any_better = stride_of(look.logits), look.logits.copy(), False
    for tile in tiles_of(look.frame.shape[1]):
        here = slice(READOUTS_PER_COLUMN * tile.first, READOUTS_PER_COLUMN * tile.stop)
        if after[here].sum() < before[here].sum():
            columns = slice(tile.first // stride, tile.stop // stride)
            logits[:, :, columns] = again.logits[:, :, columns]
            any_better = True
    return replace(look, logits=logits) if any_better else look


def _drawn_masks(
    k: int, frame: StripFrame, views: list[RowView], places: list[NDArray[np.float64]]
) -> NDArray[np.float32]:
    """(2, rows, cols) masks of a row's ink and of others', drawn where the rows run."""
    n_rows, n_cols = frame.shape
    small = np.zeros((2, n_rows // MASK_SHRINK + 2, n_cols // MASK_SHRINK + 2), np.uint8)
    for j, (view, place) in enumerate(zip(views, places, strict=True)):
        points = frame.from_mm(np.stack([place, view.x_mm], -1))[::2] / MASK_SHRINK
        for line in mask_lines(points):
            cv2.polylines(small[0 if j == k else 1], [line], False, 255, 2, cv2.LINE_AA, 4)
    size = (small.shape[2] * MASK_SHRINK, small.shape[1] * MASK_SHRINK)
    masks = np.stack([cv2.resize(cv2.GaussianBlur(mask, (0, 0), MASK_BLUR), size) for mask in small])
    return masks[:, :n_rows, :n_cols].astype(np.float32) / np.float32(255)
