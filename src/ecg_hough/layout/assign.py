"""Which row of the page is which row of a layout.

In: a layout, what each page row shows of every lead, and the columns that the block takes. Out: a
`PlacedLayout`: the assignment of greatest likelihood in which rows keep their order (dynamic programming).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecg_hough.layout.placed import PlacedLayout
from ecg_hough.layout.rows import RowEvidence, at_columns, cumulate
from ecg_hough.paper import LEADS, SHAPES, Layout

# Tuned on the disturbed masks of 200 rendered pages on a 704 px canvas (2.3-2.7 px/mm), see test_fit.
MISSING_COST = 30.0
"""Cost of a layout's panel that is not on the page, in nats: about 12 columns' worth."""
RHYTHM_COST = 25.0
"""Cost of calling a row a rhythm strip."""
STRIP_TRACED_MIN = 0.6
"""Share of the block's width that a rhythm strip is traced on: of 151 strips of own renders the least has
0.9, a pen's stroke and a piece of a row that were taken for strips 0.30 and 0.36."""
SPARE_COST = 0.1
"""Cost per traced column of a page row that has no place in the layout, in nats."""
MIN_PANELS = 0.5
"""Share of a layout's short panels that must be on the page."""

_SPARE, _STRIP, _SHORT, _MISSING = range(4)
"""What the assignment does next: the page row has no place, is a rhythm strip, is the next short row; or the
next short row is not on the page."""


class BlockFrame(NamedTuple):
    """First and last canvas column of the block of traces at mid height, and the lean of all column edges."""

    start: float
    end: float
    lean: float


class _RowScores(NamedTuple):
    """Log-likelihood gain of every page row in each part that it can play, nats.

    Attributes:
        spare: (n,) without a place; strip: (n,) as a rhythm strip of its likeliest lead, strip_lead (n,).
        short: (n, layout rows) as each short row; missing: of a short row that is not on the page.
    """

    spare: NDArray[np.float64]
    strip: NDArray[np.float64]
    strip_lead: NDArray[np.intp]
    short: NDArray[np.float64]
    missing: float


def assign_rows(
    template: Layout, evidence: RowEvidence, frame: BlockFrame, *, exactly: tuple[int, ...] | None = None
) -> PlacedLayout:
    """The best assignment of page rows, from the top, to layout rows, rhythm strips or nothing.

    Args:
        template: a layout; rhythm strips of it count only by their number.
        exactly: just these page rows are assigned, and no layout row is missing; the score is -inf where
            their numbers differ.
    """
    n_columns = template.n_columns
    edges, lean = np.linspace(frame.start, frame.end, n_columns + 1), np.full(n_columns + 1, frame.lean)
    scores = _row_scores(template, evidence, edges, frame.lean)
    strips = len(template.rhythm) or (SHAPES[template.shape].strips_max if template.shape in SHAPES else 0)
    score, moves = _best_moves(scores, strips, exactly)
    if not np.isfinite(score):
        return PlacedLayout(template, edges, lean, (), (), score)
    short, strip_rows = _follow(moves)
    if len(short) < MIN_PANELS * len(template.rows) + 0.5:
        # One limb lead misnamed as a chest lead must not turn six limb rows into half of twelve.
        score *= 0.5
    leads = tuple((i, int(scores.strip_lead[i])) for i in strip_rows)
    return PlacedLayout(template, edges, lean, tuple(short), leads, score)


def _row_scores(
    template: Layout, evidence: RowEvidence, edges: NDArray[np.float64], lean: float
) -> _RowScores:
    n, n_columns = len(evidence.weight), template.n_columns
    cols = edges[None, None, :] + lean * evidence.level[:, None, None]
    at = at_columns(evidence.gain, np.broadcast_to(cols, (n, len(LEADS), n_columns + 1)))
    panel = np.diff(at, axis=2)  # (n, leads, columns)
    lead = np.array([[LEADS.index(name) for name in row] for row in template.rows])
    # An expected lead that is not there at all costs the same however wide the panel is.
    traced = cumulate(evidence.weight)[:, None, :]
    held = np.diff(at_columns(traced, cols), axis=2) / np.maximum(1.0, np.diff(edges))  # (n, 1, columns)
    # ... and half of that where something else is in its place: the lead may be misnamed.
    floor = MISSING_COST * (0.5 * np.clip(held, 0.0, 1.0) - 1.0)
    short = np.maximum(panel[:, lead, np.arange(n_columns)], floor).sum(2)
    whole = at[:, :, -1] - at[:, :, 0]
    strip = whole.max(1) - RHYTHM_COST
    strip[held.mean(axis=(1, 2)) < STRIP_TRACED_MIN] = -np.inf
    spare = SPARE_COST * traced[:, 0, -1]
    return _RowScores(-spare, strip, whole.argmax(1), short, -MISSING_COST * n_columns)


def _best_moves(
    scores: _RowScores, strips: int, exactly: tuple[int, ...] | None
) -> tuple[float, NDArray[np.intp]]:
    """The score of the best assignment, and the move (n + 1, layout rows + 1, strips + 1) that it makes at
    page row i, with layout rows from t on and k rhythm strips still open."""
    n, n_t = scores.short.shape
    best = np.full((n + 1, n_t + 1, strips + 1), -np.inf)
    move = np.zeros(best.shape, np.intp)
    best[n] = scores.missing * (n_t - np.arange(n_t + 1))[:, None]
    move[n] = _MISSING
    if exactly is not None:
        best[n, :n_t] = -np.inf
    for i in range(n - 1, -1, -1):
        placed = None if exactly is None else i in exactly
        for t in range(n_t, -1, -1):
            gains = _gains(best, i, t, scores, placed)
            move[i, t], best[i, t] = gains.argmax(0), gains.max(0)
    return float(best[0, 0, strips]), move


def _gains(
    best: NDArray[np.float64], i: int, t: int, scores: _RowScores, placed: bool | None
) -> NDArray[np.float64]:
    """(4, strips + 1) score from page row i and layout row t on, by the next move.

    Args:
        best: of later rows; placed: whether page row i must have a place or must have none; None is free.
    """
    n_t = best.shape[1] - 1
    gains = np.full((4, best.shape[2]), -np.inf)
    if not placed:
        gains[_SPARE] = best[i + 1, t] + scores.spare[i]
    if placed is not False:
        if t == n_t:
            gains[_STRIP, 1:] = best[i + 1, t, :-1] + scores.strip[i]
        else:
            gains[_SHORT] = best[i + 1, t + 1] + scores.short[i, t]
    if t < n_t and placed is None:
        # No strip after a missing last row: that is the last row under a wrong name.
        gains[_MISSING] = best[i, t + 1, 0 if t == n_t - 1 else slice(None)] + scores.missing
    return gains


def _follow(moves: NDArray[np.intp]) -> tuple[list[tuple[int, int]], list[int]]:
    """The (page row, layout row) pairs and the page rows of rhythm strips along the best moves."""
    n, n_t, k = (size - 1 for size in moves.shape)
    short: list[tuple[int, int]] = []
    strips: list[int] = []
    i = t = 0
    while i < n:
        step = moves[i, t, k]
        if step == _STRIP:
            strips.append(i)
            k -= 1
        elif step == _SHORT:
            short.append((i, t))
        elif step == _MISSING and t == n_t - 1:
            k = 0
        t += step in (_SHORT, _MISSING)
        i += step != _MISSING
    return short, strips
