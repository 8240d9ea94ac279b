"""Where a lead's beat would run if it were like the lead's others: a second opinion on contested beats.

In: where rows were settled, how much their read-outs are contested, and where leads change along each row.
Out: of every row the contested beats that are lower than the lead's usual one, as they would be if like it. A
tall wave that is lost in the ink of the row above is missing in some beats and seen in others; the network is
asked again with masks of the usual beat, and what it sees then decides (`second_look`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from ecg_hough.traces.crossings import DOUBT_MIN

STEP_MM = 0.1
"""Step along the page on which the rows' slopes are added."""
BEAT_GAP_MM, STEEP_SHARE, STEEP_MM = 7.0, 0.35, 0.4
"""Least distance of beats, 0.28 s at 25 mm/s; how steep all rows together are there, as a share of the
steepest; and the width over which that is added."""
REACH_MM, EDGE_MM = 3.5, 0.8
"""Half the width of a beat, and what of its ends is its level."""
LAG_MM = 0.8
"""How far a lead's beat may lie beside the instant at which all leads are steepest, from beat to beat."""
OFF_MM, LOST_MM = 2.0, 10.0
"""By how much a contested beat is lower than the usual one, so that it is looked at again; distance from that
of what is not read."""
READ_SHARE = 0.5
"""Share of a beat that must be read."""
TALL_QUANTILE, TALL_SHARE = 0.8, 0.9
"""Of a lead's beats those are usual that are this high, as a share of a quantile of all."""

Floats = NDArray[np.float64]


def beat_places(x_mm: Sequence[Floats], y_mm: Sequence[Floats]) -> Floats:
    """(beats,) places along the page at which the rows together are steepest, mm.

    Args:
        x_mm, y_mm: (n,) of each row, NaN where nothing is read.
    """
    first, last = min(float(x[0]) for x in x_mm), max(float(x[-1]) for x in x_mm)
    at = np.arange(first, last, STEP_MM)
    steep = np.zeros(at.size)
    for x, y in zip(x_mm, y_mm, strict=True):
        slope = np.abs(np.diff(np.interp(at, x, y, left=np.nan, right=np.nan), append=np.nan))
        seen = np.isfinite(slope)
        if seen.any():
            usual = float(np.quantile(slope[seen], 0.97))
            steep[seen] += np.minimum(slope[seen] / max(usual, 1e-6), 3.0)
    steep = gaussian_filter1d(steep, STEEP_MM / STEP_MM)
    peaks, _ = find_peaks(
        steep, height=STEEP_SHARE * float(np.quantile(steep, 0.995)), distance=round(BEAT_GAP_MM / STEP_MM)
    )
    return at[peaks]


class UsualBeat(NamedTuple):
    """Where a row would run from read-out `first` to before `stop` if its beat were the lead's usual one:
    y_mm (stop - first,), mm down the page.
    """

    first: int
    stop: int
    y_mm: Floats

    def off(self, y_mm: Floats) -> float:
        """Mean distance of a reading, at most `LOST_MM`; as much where nothing is read."""
        off = np.minimum(np.abs(np.nan_to_num(y_mm - self.y_mm, nan=LOST_MM)), LOST_MM)
        return float(off.mean())


def usual_beats(
    x_mm: Sequence[Floats],
    places: Sequence[Floats],
    contests: Sequence[Floats],
    spans: Sequence[Sequence[tuple[float, float]]],
) -> list[list[UsualBeat]]:
    """Of every row the contested beats that are lower than the lead's usual one, as they would be if like it.

    Args:
        x_mm, places: (n,) of each row, mm along and down the page.
        contests: (n,) of each row, see `crossings.contests`.
        spans: of each row, begin and end of its leads along the page, mm.
    """
    if not x_mm:
        return []
    beats = beat_places(x_mm, places)
    return [
        [
            beat
            for begin, end in leads
            for beat in _of_lead(x, place, contest, beats[(beats > begin) & (beats < end)])
        ]
        for x, place, contest, leads in zip(x_mm, places, contests, spans, strict=True)
    ]


def _of_lead(x_mm: Floats, place: Floats, contest: Floats, beats: Floats) -> list[UsualBeat]:
    """The same of one lead, of whose beats the places along the page are given."""
    step = float(x_mm[1] - x_mm[0])
    reach, lag = round(REACH_MM / step), round(LAG_MM / step)
    at = np.rint((beats - x_mm[0]) / step).astype(int)
    at = at[(at - reach - lag >= 0) & (at + reach + lag < place.size)]
    at = at[[np.isfinite(place[k - reach : k + reach + 1]).mean() > READ_SHARE for k in at]]
    level = np.array([_level(place[k - reach : k + reach + 1]) for k in at])
    at, level = at[np.isfinite(level)], level[np.isfinite(level)]
    if at.size < 2:
        return []
    wide = np.stack([place[k - reach - lag : k + reach + lag + 1] for k in at]) - level[:, None]
    contested = np.array([(contest[k - reach : k + reach + 1] > DOUBT_MIN).any() for k in at])
    height = np.nanmax(wide, axis=1) - np.nanmin(wide, axis=1)
    # What is lost in other rows' ink is lost from a wave's top: the usual beat is one of the tall ones.
    tall = height >= TALL_SHARE * np.quantile(height, TALL_QUANTILE)
    middle = wide[np.argsort(height)[-1 - int(tall.sum()) // 2], lag : lag + 2 * reach + 1]
    lags = np.array([_lag(one, middle) for one in wide])
    shapes = np.stack([one[m : m + 2 * reach + 1] for one, m in zip(wide, lags, strict=True)])
    usual = np.ma.median(np.ma.masked_invalid(shapes[tall]), axis=0).filled(np.nan)
    if not np.isfinite(usual).any():
        return []
    usual = _filled(usual)
    low = height < np.ptp(usual) - OFF_MM
    return [
        UsualBeat(first, first + usual.size, level[b] + usual)
        for b in np.flatnonzero(contested & low)
        for first in [int(at[b] - reach + lags[b] - lag)]
    ]


def _filled(shape: Floats) -> Floats:
    """A beat whose gaps are bridged."""
    seen = np.isfinite(shape)
    return np.interp(np.arange(shape.size), np.flatnonzero(seen), shape[seen])


def _level(y_mm: Floats) -> float:
    """The level of a beat at its two ends; NaN where nothing is read."""
    n = max(1, round(y_mm.size * EDGE_MM / (2 * REACH_MM)))
    ends = np.concatenate([y_mm[:n], y_mm[-n:]])
    return float(np.median(ends[np.isfinite(ends)])) if np.isfinite(ends).any() else np.nan


def _lag(wide: Floats, shape: Floats) -> int:
    """Where in a wider stretch a shape is nearest, both from their level."""
    windows = np.lib.stride_tricks.sliding_window_view(wide, shape.size)
    off = np.minimum(np.abs(np.nan_to_num(windows - shape, nan=LOST_MM)), LOST_MM)
    return int(np.argmin(off.mean(axis=1)))
