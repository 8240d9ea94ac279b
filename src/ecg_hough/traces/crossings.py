"""Where rows of traces meet and cross: which ink is which row's, settled for all rows of a page together.

In: the trace network's distribution in every column of every row. Out: how much rows contest ink there, and
the place that each row most likely takes. One row alone does not show it: where a tall QRS complex crosses
the neighbouring row, the network may follow the wrong one. Two things help: a trace continues smoothly, and
ink that another row explains is not this row's. So each row takes the smoothest way through the peaks of its
columns' distributions, at a price for places that other rows take, row by row and a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from ecg_hough.numeric import runs

DOUBT_MIN = 0.02
"""Probability of rows away from the peak from which a column is doubtful."""
MEET_MM = 1.0
"""Two rows read within this distance of each other meet: about two strokes' width."""
NEIGHBOURS = 8
"""Read-outs, half a millimetre, to either side of a doubtful one that are settled with it."""
PEAKS = 6
PEAK_MIN = 0.02
"""Peaks of a column that are weighed, and the least, as a share of the highest. Tuned with the weights below
on rendered pages of rows that are close to each other."""
PEAK_SMOOTH_PX = 5
UNARY = 0.5
"""Weight of a peak's log probability: neighbouring read-outs see the same ink, and are not independent."""
BEND_MM = 4.0
"""Change of slope between two read-outs, in mm, from which a bend is unlikely (Student's t)."""
TAKEN, TAKEN_MM = 3.0, 0.5
"""Price of a place that another row takes, and the distance over which it falls."""
SWEEPS = 2
OFF_STROKE_MM, STROKE_WORTH, SEEN_MIN = 1.0, 3.0, 0.95
"""Distance from a stroke drawn by hand from which a peak is unlikely (Student's t); by how many nats the
highest peak is preferred to the stroke itself; and the presence below which it is by fewer: on ink presence
is 0.998 and more, on blank paper 0.01 to 0.7."""


@dataclass(frozen=True)
class RowView:
    """The network's view of one row.

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
    contested = [
        _contested(row, contest > DOUBT_MIN) for row, contest in zip(rows, contests(rows), strict=True)
    ]
    for _ in range(SWEEPS):
        for k, (row, stretches) in enumerate(zip(rows, contested, strict=True)):
            if not stretches.readout.size:
                continue
            taken = np.zeros_like(stretches.at)
            for j, (other, place) in enumerate(zip(rows, places, strict=True)):
                if j != k:
                    low, high = _stroke_at(other, place, row.x_mm[stretches.readout])
                    off = np.maximum(low[:, None] - stretches.at, stretches.at - high[:, None])
                    taken = np.fmax(taken, np.exp(-0.5 * (np.maximum(off, 0.0) / TAKEN_MM) ** 2))
            chosen = _smoothest(stretches.at, UNARY * stretches.worth - TAKEN * taken, stretches.lengths)
            here = np.take_along_axis(stretches.at, chosen[:, None], 1)[:, 0]
            seen = np.isfinite(row.y_mm[stretches.readout])
            places[k][stretches.readout] = np.where(seen, here, np.nan)
    return places


def way_through(
    row: RowView,
    readout: NDArray[np.intp],
    presence: NDArray[np.float64],
    line_mm: NDArray[np.float64],
    *,
    drawn_by_hand: bool,
) -> NDArray[np.float64]:
    """(n,) mm down the page where a row runs that passes the first and the last place of a line.

    Args:
        readout: (n,) read-outs of the row, one after the other.
        presence: (n,) probability of a trace there; line_mm: (n,) places of the line.
        drawn_by_hand: the line follows the trace, which then is near it; else it only joins its ends.
    """
    at, worth = _peaks(row, readout)
    seen = np.clip(presence, 1e-6, 1 - 1e-6)
    odds = np.log(seen / (1 - seen)) - np.log(SEEN_MIN / (1 - SEEN_MIN))
    worth = worth + 2.0 * np.minimum(odds, 0.0)[:, None] / UNARY
    if drawn_by_hand:
        worth = worth - np.log1p(((at - line_mm[:, None]) / OFF_STROKE_MM) ** 2) / UNARY
    at = np.column_stack([at, line_mm])
    worth = np.column_stack([worth, np.full(readout.size, -STROKE_WORTH / UNARY)])
    for end in (0, -1):
        at[end], worth[end] = line_mm[end], 0.0
    if readout.size < 3:
        return line_mm.copy()
    chosen = _smoothest(at, UNARY * worth, np.array([readout.size]))
    return np.take_along_axis(at, chosen[:, None], 1)[:, 0]


def _places_at(row: RowView, place: NDArray[np.float64], x_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) mm where a row runs at other places along the page; NaN beyond its ends."""
    return np.interp(x_mm, row.x_mm, place, left=np.nan, right=np.nan)


def _stroke_at(
    row: RowView, place: NDArray[np.float64], x_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(m,) mm each: highest and lowest place down the page that a row's stroke takes; a steep one takes many.

    NaN where there is none.
    """
    halfway = np.append(0.5 * (place[1:] + place[:-1]), np.nan)
    ends = np.stack([place, halfway, np.roll(halfway, 1)])
    at = np.clip(np.searchsorted(row.x_mm, x_mm), 0, place.size - 1)
    at -= (at > 0) & (np.abs(row.x_mm[at - 1] - x_mm) < np.abs(row.x_mm[at] - x_mm))
    known = np.isfinite(place[at]) & (x_mm >= row.x_mm[0]) & (x_mm <= row.x_mm[-1])
    low, high = (np.where(known, f.reduce(ends[:, at]), np.nan) for f in (np.fmin, np.fmax))
    return low, high


class _Contested(NamedTuple):
    """Stretches of a row's read-outs that are contested, one after the other.

    Attributes:
        readout: (n,) of all stretches; lengths: (stretches,) of each, 3 at least.
        at: (n, PEAKS) mm of the highest peaks; worth: their log share of the highest.
    """

    readout: NDArray[np.intp]
    lengths: NDArray[np.intp]
    at: NDArray[np.float64]
    worth: NDArray[np.float64]


def _contested(row: RowView, contested: NDArray[np.bool_]) -> _Contested:
    """Contested read-outs with their neighbours, and their peaks."""
    spans = [(a, b) for a, b in runs(maximum_filter1d(contested, 2 * NEIGHBOURS + 1)) if b - a >= 3]
    readout = np.concatenate([np.arange(a, b) for a, b in spans] or [np.arange(0)])
    return _Contested(readout, np.array([b - a for a, b in spans], np.intp), *_peaks(row, readout))


def _peaks(row: RowView, readout: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, PEAKS) mm of the highest peaks of the read-outs (n,), and their log share of the highest."""
    n_sub = row.logits.shape[0]
    if not readout.size:
        return np.zeros((0, PEAKS)), np.zeros((0, PEAKS))
    logits = row.logits[readout % n_sub, :, readout // n_sub]
    p = cv2.blur(np.exp(logits - logits.max(axis=1, keepdims=True)), (PEAK_SMOOTH_PX, 1))
    share = p / p.max(axis=1, keepdims=True)
    padded = np.pad(share, ((0, 0), (1, 1)))
    is_peak = (share >= padded[:, :-2]) & (share > padded[:, 2:]) & (share >= PEAK_MIN)
    worth = np.where(is_peak, np.log(np.maximum(share, PEAK_MIN)), -1e6)
    best = np.argsort(-worth, axis=1)[:, :PEAKS]
    return row.levels_mm[best], np.take_along_axis(worth, best, 1).astype(float)


def _smoothest(
    at: NDArray[np.float64], worth: NDArray[np.float64], lengths: NDArray[np.intp]
) -> NDArray[np.intp]:
    """(n,) index of the peak that each read-out takes: dynamic programming over pairs of peaks.

    Args:
        at: (n, k) mm; worth: (n, k).
        lengths: of the stretches that the n read-outs make up, each 3 at least; all are followed at once.
    """
    # The longest come first: those that are not at their end yet are always the first ones.
    order = np.argsort(-lengths, kind="stable")
    first = (np.cumsum(lengths) - lengths)[order]
    long = lengths[order]
    k = at.shape[1]
    total = worth[first][:, :, None] + worth[first + 1][:, None, :]
    back: list[NDArray[np.intp]] = []
    for i in range(2, int(long[0])):
        here = first[: np.count_nonzero(long > i)] + i
        bend = (
            at[here][:, None, None, :] - 2 * at[here - 1][:, None, :, None] + at[here - 2][:, :, None, None]
        )
        ways = total[: here.size, :, :, None] - np.log1p((bend / BEND_MM) ** 2)
        back.append(ways.argmax(axis=1))
        total[: here.size] = ways.max(axis=1) + worth[here][:, None, :]
    chosen = np.empty(len(at), np.intp)
    best = total.reshape(-1, k * k).argmax(axis=1)
    chosen[first + long - 2], chosen[first + long - 1] = best // k, best % k
    for i in range(int(long[0]) - 1, 1, -1):
        which = np.arange(np.count_nonzero(long > i))
        here = first[which] + i
        chosen[here - 2] = back[i - 2][which, chosen[here - 1], chosen[here]]
    return chosen
