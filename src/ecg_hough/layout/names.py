"""Printed names of leads as evidence for the rows of traces next to them.

In: rows of traces, the leads network's classes along them, and names read on the page, all on the canvas.
Out: the evidence with the names in it. Carts print every name at the same place relative to its trace, a
little above or below its start, so one offset for all names of the page shows which row each belongs to;
words elsewhere (headers, notes) have no row and count for nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.layout.rows import RowEvidence, TraceRows, log_gain
from ecg_hough.paper import LEADS

# Tuned on own renders of all layouts (benchmark_pages, other seeds than the published one).
OFFSET_MAX = 0.8
"""Farthest that names are printed above or below their row's line, in row pitches."""
OFFSET_MAX_PX, OFFSET_FAR = 34.0, 0.6
"""The same on a page of few rows: 13 mm, but at least this share of the pitch: panels may have frames."""
OFFSET_SIGMA_PX = 3.0
"""Spread of a page's names round their common offset: traces are not level."""
MATCH_MAX_PX = 8.0
"""Farthest that a name may lie off the common offset."""
OFFSET_COST = 0.01
"""Cost of the offset per px: of two that fit alike the smaller one is right."""
TRUST = 0.8
"""Share of the evidence that a name of score 1 claims for its lead."""
REACH_PX = 120
"""Columns right of a name whose class shows whether it belongs to the row."""
BEFORE_PX, BEHIND_PX = 12, 8
"""A name claims nothing this near to the next one and to itself: where its trace begins is not known."""
FIRST_BEFORE_PX = 30
"""A row's first name claims from here on: it may be printed above the pulse or inside the trace."""
APART_PX = 40
"""Two names of a row nearer than this cannot both be names of traces; the better one is kept."""
COLUMN_PX = 14.0
"""Farthest that a name lies to the left or right of the names of its column in other rows: 5 mm."""
ROWS_MIN = 3
"""Rows with names from which a name in no column is not trusted."""
NAMED_MIN = 2
"""Fewest names at a common offset that are trusted."""
COPIES_MAX = 2
"""A lead is printed once on a page, and once more as a rhythm strip; what is read more often is no name:
dashes look like "I"."""


@dataclass(frozen=True)
class CanvasName:
    """A name read on the page: index into `paper.LEADS`, its middle on the canvas, and its score 0 to 1."""

    lead: int
    row: float
    col: float
    score: float


@dataclass(frozen=True)
class PlacedName:
    """A name and the index of the row of traces that it belongs to."""

    name: CanvasName
    row: int


def place_names(
    names: tuple[CanvasName, ...], rows: TraceRows, evidence: RowEvidence
) -> tuple[PlacedName, ...]:
    """Give names their rows by their common offset; empty where too few agree on one.

    Args:
        names: on the canvas; rows, evidence: of the same page.
    """
    n_cols = rows.lines.shape[1]
    names = tuple(name for name in names if 0 <= name.col < n_cols)
    if len(names) < NAMED_MIN:
        return ()
    cols = np.array([round(name.col) for name in names]).clip(0, n_cols - 1)
    lines = rows.lines + rows.curl
    above = np.array([name.row for name in names])[:, None] - lines[:, cols].T  # (names, rows)
    agrees = np.array([[_agreement(name, i, evidence) for i in range(len(rows.lines))] for name in names])
    score = np.array([name.score for name in names])
    off = np.abs(above - _common_offset(above, 0.5 + agrees, score, rows.pitch))
    found = [
        PlacedName(name, int(i))
        for name, i, d in zip(names, off.argmin(axis=1), off.min(axis=1), strict=True)
        if d <= MATCH_MAX_PX
    ]
    kept = _apart(_in_columns(_without_copies(found), rows))
    return kept if len(kept) >= NAMED_MIN else ()


def _common_offset(
    above: NDArray[np.float64], weight: NDArray[np.float64], score: NDArray[np.float64], pitch: float
) -> float:
    """The offset from their rows' lines, px, at which the most names lie.

    Args:
        above: (names, rows) px of each name below each line; weight: of each such pair.
        score: (names,); pitch: of the rows, NaN with one.
    """
    pitch = pitch if np.isfinite(pitch) else OFFSET_MAX_PX
    farthest = min(OFFSET_MAX * pitch, max(OFFSET_MAX_PX, OFFSET_FAR * pitch))
    offsets = np.arange(-farthest, farthest + 0.5)

    def gain(offset: float) -> float:
        near = np.exp(-0.5 * ((above - offset) / OFFSET_SIGMA_PX) ** 2)
        best = (near * weight * score[:, None]).max(axis=1)
        return float(best.sum() - OFFSET_COST * abs(offset))

    return float(offsets[int(np.argmax([gain(offset) for offset in offsets]))])


def _without_copies(placed: list[PlacedName]) -> list[PlacedName]:
    """Without names of leads that are read more often than a page prints them."""
    copies = Counter(p.name.lead for p in placed)
    return [p for p in placed if copies[p.name.lead] <= COPIES_MAX]


def _apart(placed: list[PlacedName]) -> tuple[PlacedName, ...]:
    """The best ones, of which no two of a row are nearer to each other than names are."""
    kept: list[PlacedName] = []
    for p in sorted(placed, key=lambda p: -p.name.score):
        if all(p.row != other.row or abs(other.name.col - p.name.col) >= APART_PX for other in kept):
            kept.append(p)
    return tuple(kept)


def add_names(placed: tuple[PlacedName, ...], rows: TraceRows, evidence: RowEvidence) -> RowEvidence:
    """The evidence with every name's share of the columns from it to the next name of its row."""
    share = evidence.share.copy()
    n_cols = share.shape[2]
    for i in range(len(share)):
        mine = sorted((p.name for p in placed if p.row == i), key=lambda name: name.col)
        for k, name in enumerate(mine):
            start = name.col + BEHIND_PX if k else name.col - FIRST_BEFORE_PX
            end = mine[k + 1].col - BEFORE_PX if k + 1 < len(mine) else n_cols
            cols = slice(int(max(start, 0)), int(max(end, 0)))
            part = TRUST * name.score
            share[i, :, cols] *= 1.0 - part
            share[i, name.lead, cols] += part
    return replace(evidence, gain=log_gain(share, evidence.weight), share=share)


def _in_columns(placed: list[PlacedName], rows: TraceRows) -> list[PlacedName]:
    """Without names in no column: a QRS complex may look like "II", but not in every row."""
    if len({p.row for p in placed}) < ROWS_MIN:
        return placed
    # Columns lean by what the rows slope.
    col = np.array([p.name.col + rows.slope * p.name.row for p in placed])
    row = np.array([p.row for p in placed])
    near = (np.abs(col[:, None] - col) <= COLUMN_PX) & (row[:, None] != row)
    return [p for p, supported in zip(placed, near.any(axis=1), strict=True) if supported]


def _agreement(name: CanvasName, row: int, evidence: RowEvidence) -> float:
    """Share of the traces right of a name that the leads network takes for its lead."""
    cols = slice(round(name.col), round(name.col) + REACH_PX)
    weight = evidence.weight[row, cols]
    total = float(weight.sum())
    return float((evidence.share[row, name.lead, cols] * weight).sum()) / total if total > 1.0 else 0.0


def canvas_names(words: list[tuple[str, float, float, float]]) -> tuple[CanvasName, ...]:
    """Names of leads among words (word, row, col, score) on the canvas; "-aVR" is aVR."""
    return tuple(
        CanvasName(LEADS.index(word.removeprefix("-")), row, col, score)
        for word, row, col, score in words
        if word.removeprefix("-") in LEADS
    )
