"""Where rows of traces meet and cross: whose ink is whose, settled for all rows of a page together.

In: what the trace network says of every row's columns. Out: how much rows contest ink there, and the
place that each row most likely takes. One row alone cannot tell: where a tall QRS crosses its
neighbour, the network may follow the wrong one. Two things help: a trace goes on as it went, and ink that
another row explains is not this row's. So each row takes the smoothest way through the peaks of its columns'
distributions, at a price for places that other rows take, row by row and a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from ecg_hough.runs import runs

DOUBT_MIN = 0.02
"""Probability of rows away from the peak from which a column is doubtful."""
MEET_MM = 1.0
"""Two rows read within this distance of each other meet: about two strokes' width."""
BESIDE = 8
"""Read-outs, half a millimetre, beside a doubtful one that are settled with it."""
PEAKS = 6
PEAK_MIN = 0.02
"""Peaks of a column that are weighed, and the least, as a share of the highest. Tuned with the weights below
on rendered pages of rows that stand close."""
PEAK_SMOOTH_PX = 5
UNARY = 0.5
"""Weight of a peak's log probability: neighbouring read-outs see the same ink, and are not independent."""
BEND_MM = 4.0
"""Change of slope between two read-outs, in mm, from which a bend is unlikely (Student's t)."""
TAKEN, TAKEN_MM = 3.0, 0.5
"""Price of a place that another row takes, and the distance over which it falls."""
SWEEPS = 2


@dataclass(frozen=True)
class RowView:
    """What the network says of one row.

    Attributes:
        x_mm: (n,) place of every read-out along the page.
        y_mm: (n,) where it was read, NaN where no trace is seen.
        doubt: (n,) probability of rows away from there.
        logits: (subcolumns, m, columns) of the network, n at most subcolumns * columns.
        levels_mm: (m,) place down the page of the network's rows.
    """

    x_mm: NDArray[np.float64]
    y_mm: NDArray[np.float64]
    doubt: NDArray[np.float64]
    logits: NDArray[np.float32]
    levels_mm: NDArray[np.float64]


def contests(rows: Sequence[RowView]) -> list[NDArray[np.float64]]:
    """(n,) per row: its doubt at every read-out, and 1 more where it meets another row."""
    out = []
    for row in rows:
        contest = np.where(np.isfinite(row.y_mm), row.doubt, 0.0)
        meets = np.zeros(contest.size, bool)
        for other in rows:
            if other is not row:
                meets |= np.abs(row.y_mm - _places_at(other, other.y_mm, row.x_mm)) < MEET_MM
        out.append(contest + meets)
    return out


def settle(rows: Sequence[RowView]) -> list[NDArray[np.float64]]:
    """(n,) mm per row: where it runs down the page, as read but for contested ink; NaN as in `y_mm`."""
    places = [row.y_mm.copy() for row in rows]
    spans = [_spans(contest > DOUBT_MIN) for contest in contests(rows)]
    peaks = [[_peaks(row, a, b) for a, b in spans[k]] for k, row in enumerate(rows)]
    for _ in range(SWEEPS):
        for k, row in enumerate(rows):
            others = [(rows[j], places[j]) for j in range(len(rows)) if j != k]
            for (a, b), (at, worth) in zip(spans[k], peaks[k], strict=True):
                taken = np.zeros_like(at)
                for other, place in others:
                    off = at - _places_at(other, place, row.x_mm[a:b])[:, None]
                    taken = np.fmax(taken, np.exp(-0.5 * (off / TAKEN_MM) ** 2))
                chosen = _smoothest(at, UNARY * worth - TAKEN * taken)
                here = at[np.arange(b - a), chosen]
                places[k][a:b] = np.where(np.isfinite(row.y_mm[a:b]), here, np.nan)
    return places


def _places_at(row: RowView, place: NDArray[np.float64], x_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) mm where a row runs at other places along the page; NaN beyond its ends."""
    return np.interp(x_mm, row.x_mm, place, left=np.nan, right=np.nan)


def _spans(contested: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and stop of contested read-outs, with those beside them."""
    return [(a, b) for a, b in runs(maximum_filter1d(contested, 2 * BESIDE + 1)) if b - a >= 3]


def _peaks(row: RowView, a: int, b: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(b - a, PEAKS) mm of the highest peaks of read-outs a to b, and their log share of the highest."""
    n_sub = row.logits.shape[0]
    at = np.arange(a, b)
    logits = row.logits[at % n_sub, :, at // n_sub]
    p = cv2.blur(np.exp(logits - logits.max(axis=1, keepdims=True)), (PEAK_SMOOTH_PX, 1))
    share = p / p.max(axis=1, keepdims=True)
    beside = np.pad(share, ((0, 0), (1, 1)))
    is_peak = (share >= beside[:, :-2]) & (share > beside[:, 2:]) & (share >= PEAK_MIN)
    worth = np.where(is_peak, np.log(np.maximum(share, PEAK_MIN)), -1e6)
    best = np.argsort(-worth, axis=1)[:, :PEAKS]
    return row.levels_mm[best], np.take_along_axis(worth, best, 1).astype(float)


def _smoothest(at: NDArray[np.float64], worth: NDArray[np.float64]) -> NDArray[np.intp]:
    """(m,) index of the peak that each of m >= 3 read-outs takes: dynamic programming over pairs of peaks.

    Args:
        at: (m, k) mm; worth: (m, k).
    """
    m, k = at.shape
    total = worth[0][:, None] + worth[1][None, :]
    back = np.zeros((m, k, k), np.intp)
    for i in range(2, m):
        bend = at[i][None, None, :] - 2 * at[i - 1][None, :, None] + at[i - 2][:, None, None]
        ways = total[:, :, None] - np.log1p((bend / BEND_MM) ** 2)
        back[i] = ways.argmax(axis=0)
        total = ways.max(axis=0) + worth[i]
    chosen = np.empty(m, np.intp)
    chosen[-2], chosen[-1] = np.unravel_index(total.argmax(), total.shape)
    for i in range(m - 1, 1, -1):
        chosen[i - 2] = back[i][chosen[i - 1], chosen[i]]
    return chosen
