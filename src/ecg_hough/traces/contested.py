"""How surely contested ink was given to the right row.

In: the network's views of all rows, and where they were settled. Out: for every read-out the probability that
it lies on another row's ink. Nearly all waves that are read wrongly lie where a row is in doubt or meets
another, but most of these are read rightly. How much doubt there is, how far rows share a place, whether the
settled course is the network's own, and how high the wave is tell the two apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.special import expit

from ecg_hough.numeric import runs
from ecg_hough.traces.crossings import DOUBT_MIN, MEET_MM, NEIGHBOURS, RowView, contests

STRAY_MM = 23.3
"""How far a read-out lies off its row when it lies on another's ink (root mean square)."""
WEIGHTS, BIAS = (0.824, 2.152, 3.590, -0.222, 1.307), -1.395
"""Log odds of a wrong wave by `Stretch.features`, fitted by `python -m ecg_hough.training.contest_fit RECORDS
26 88` to 564 stretches of 16 pages. On 5 others 25 % of the stretches given 5 to 20 % are wrong, 51 % of
those given 20 to 50 %, and 95 % of those given more."""
EDGE_MM, STEP_REACH = 2.5, 20
"""How far the leads network's edges may be off; read-outs to either side of a step between leads, 1.2 mm,
where doubt is about the two leads and what separates them, and not about another row."""
_DOUBT_FLOOR = 1e-3


class Stretch(NamedTuple):
    """Read-outs [first, stop) of a row that are contested, with their neighbours; see `stretches`.

    Attributes:
        features: log10 of the greatest doubt; share of read-outs that meet another row; share that is settled
            elsewhere than at the network's peak; height in cm; greatest step between two read-outs in cm.
    """

    first: int
    stop: int
    features: tuple[float, ...]


def stretches(
    rows: Sequence[RowView],
    places: Sequence[NDArray[np.float64]],
    edges_mm: Sequence[Sequence[float]] | None = None,
) -> list[list[Stretch]]:
    """Contested stretches of every row.

    Args:
        rows: the network's views; places: (n,) mm per row, where each was settled.
        edges_mm: of each row, where leads begin and end along the page: a step from one to the next is no
            wave's, and the column of the step shows both.
    """
    settled = [replace(row, y_mm=place) for row, place in zip(rows, places, strict=True)]
    edges_mm = edges_mm if edges_mm is not None else [()] * len(rows)
    out = []
    for row, place, contest, edges in zip(rows, places, contests(settled), edges_mm, strict=True):
        moved = np.abs(place - row.y_mm) > MEET_MM
        cuts = _steps_between_leads(row.x_mm, place, edges)
        for cut in cuts:
            near = slice(max(0, cut - STEP_REACH), cut + STEP_REACH)
            contest[near] = np.where(contest[near] >= 1.0, contest[near], 0.0)
        spans = runs(maximum_filter1d(contest > DOUBT_MIN, 2 * NEIGHBOURS + 1))
        pieces = [piece for a, b in spans for piece in pairwise([a, *(c for c in cuts if a < c < b), b])]
        out.append([Stretch(a, b, _features(place[a:b], contest[a:b], moved[a:b])) for a, b in pieces])
    return out


def _steps_between_leads(
    x_mm: NDArray[np.float64], place: NDArray[np.float64], edges_mm: Sequence[float]
) -> list[int]:
    """Read-outs at which another lead begins: after the greatest step near its edge."""
    steps = np.nan_to_num(np.abs(np.diff(place)))
    out = set()
    for edge in edges_mm:
        near = np.flatnonzero(np.abs(x_mm[1:] - edge) < EDGE_MM)
        if near.size and steps[near].max() > 0.0:
            out.add(int(near[steps[near].argmax()]) + 1)
    return sorted(out)


def _features(
    place: NDArray[np.float64], contest: NDArray[np.float64], moved: NDArray[np.bool_]
) -> tuple[float, ...]:
    """See `Stretch`. A contest is the doubt, and 1 more where another row is met."""
    meets = contest >= 1.0
    doubt = float((contest - meets).max())
    known = place[np.isfinite(place)]
    height, step = (
        (float(np.ptp(known)), float(np.abs(np.diff(known)).max())) if known.size > 1 else (0.0, 0.0)
    )
    return (
        float(np.log10(max(doubt, _DOUBT_FLOOR))),
        float(meets.mean()),
        float(moved.mean()),
        height / 10.0,
        step / 10.0,
    )


def probability_wrong(
    rows: Sequence[RowView],
    places: Sequence[NDArray[np.float64]],
    edges_mm: Sequence[Sequence[float]] | None = None,
) -> list[NDArray[np.float64]]:
    """(n,) per row: probability that a read-out lies on another row's ink; 0 where nothing is contested.

    Args:
        rows, places, edges_mm: as for `stretches`.
    """
    out = []
    for row, mine in zip(rows, stretches(rows, places, edges_mm), strict=True):
        wrong = np.zeros(row.x_mm.size)
        for first, stop, features in mine:
            wrong[first:stop] = expit(np.dot(WEIGHTS, features) + BIAS)
        out.append(wrong)
    return out
