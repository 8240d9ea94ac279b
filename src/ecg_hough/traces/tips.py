"""Waves whose tip is not seen: ink goes on where the trace turns back.

In: the page's pixels and map, the rows' traces and the ink. Out: the same traces, with the probability that
such a wave is wrong. A wave is as high as its ink: above its tip there is paper. Where the strokes of two
rows meet in one blot, as a tall R does with the S of the row above, the tip may lie anywhere in it, and what
is read there is wrong every other time.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks, peak_widths
from scipy.special import expit

from ecg_hough.elements import RowTrace
from ecg_hough.page_map import PageMap
from ecg_hough.traces.ink import is_ink

Floats = NDArray[np.float64]

TALL_MM, WAVE_MM = 2.0, 3.0
"""Height of a wave whose tip is looked at, over its surroundings this near: half a broad QRS complex."""
PEN_MM = 0.4
"""Width of a pen that is not known."""
BEYOND_MM, STEP_MM = (0.8, 2.4), 0.1
"""Ink beyond a tip from which on it is not seen, as another row's line is thinner, and as far as it counts;
step in which it is followed."""
ASIDE_MM, ASIDE_STEP_MM, WIDE_PENS = 2.0, 0.05, (0.5, 3.0)
"""How far the ink beyond a tip is measured sideways, in steps; least and largest width that counts, in
pens."""
NEAR_MM, OVER_MM = 0.3, 0.5
"""Another row's trace explains ink this near along the page, and this far beyond its own extent."""
WEIGHTS, BIAS = (1.506, 0.422, -0.431, 2.699), -3.247
"""Log odds of a wrong wave by ink beyond its tip past the least, mm; its width in pens; the share of it that
other rows' traces explain; and the probability of being another row's (`contested`).
Fitted by `ecg-lab fit-tips` to 1,959 waves of 143 pages with recorded ECGs; 52 % of these were wrong. On
pages held out 22 % of the waves given 0.20 on average are wrong, 41 % of those given 0.43, 57 % of those
given 0.56, 66 % of those given 0.65, and 76 % of those given 0.77."""
UPPER = 0.5
"""Share of a wave's height, from its tip, that is as uncertain as the tip."""


def with_unseen_tips(
    dark: NDArray[np.bool_], page_map: PageMap, rows: tuple[RowTrace, ...]
) -> tuple[RowTrace, ...]:
    """The same rows; `RowTrace.wrong` is at least the probability by `unseen_tips`.

    Args:
        dark: (rows, cols) ink of the page; rows: all of its traces.
    """
    out = []
    for row in rows:
        wrong = np.zeros(row.x_mm.size) if row.wrong is None else row.wrong.copy()
        for tip in unseen_tips(dark, page_map, row, rows):
            p = expit(float(np.dot(WEIGHTS, tip.features)) + BIAS)
            wrong[tip.first : tip.stop] = np.maximum(wrong[tip.first : tip.stop], p)
        out.append(replace(row, wrong=wrong) if wrong.any() else row)
    return tuple(out)


class UnseenTip(NamedTuple):
    """A wave whose tip is not seen.

    Attributes:
        at: read-out of its tip; first, stop: of its upper part; upwards: on the page.
        features: see `WEIGHTS`.
    """

    at: int
    first: int
    stop: int
    upwards: bool
    features: tuple[float, ...]


def unseen_tips(
    dark: NDArray[np.bool_], page_map: PageMap, row: RowTrace, rows: tuple[RowTrace, ...]
) -> list[UnseenTip]:
    """Waves of a row beyond whose tips ink goes on.

    Args:
        dark: (rows, cols) ink of the page.
    """
    seen = np.isfinite(row.y_mm)
    if not seen.any():
        return []
    pen = row.pen_mm if np.isfinite(row.pen_mm) else PEN_MM
    level = np.where(seen, row.y_mm, np.median(row.y_mm[seen]))
    within = 2 * round(WAVE_MM / float(row.x_mm[1] - row.x_mm[0])) + 1
    out = []
    for down in (-1.0, 1.0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of places that are level within the window
            places, _ = find_peaks(down * level, prominence=TALL_MM, wlen=within)
            _, _, left, right = peak_widths(down * level, places, rel_height=UPPER, wlen=within)
        for at, a, b in zip(places.tolist(), left.tolist(), right.tolist(), strict=True):
            edge = float(level[at] + down * pen / 2)
            length = _ink_along(dark, page_map, float(row.x_mm[at]), edge, down)
            if length <= BEYOND_MM[0]:
                continue
            pens = _width(dark, page_map, float(row.x_mm[at]), edge + down * BEYOND_MM[0]) / pen
            features = (
                min(length, BEYOND_MM[1]) - BEYOND_MM[0],
                float(np.clip(pens, *WIDE_PENS)),
                _explained(row, rows, at, edge + down * np.arange(0.0, length, STEP_MM)),
                0.0 if row.wrong is None else float(row.wrong[at]),
            )
            out.append(UnseenTip(at, int(np.floor(a)), int(np.ceil(b)) + 1, down < 0, features))
    return out


def _ink_along(dark: NDArray[np.bool_], page_map: PageMap, x_mm: float, edge_mm: float, down: float) -> float:
    """Length of the ink that begins at a place, up or down the page, mm."""
    steps = np.arange(0.0, BEYOND_MM[1] + STEP_MM, STEP_MM)
    ink = is_ink(dark, page_map, edge_mm + down * steps, np.full(steps.size, x_mm))
    return STEP_MM * float(np.cumprod(ink).sum())


def _width(dark: NDArray[np.bool_], page_map: PageMap, x_mm: float, y_mm: float) -> float:
    """Width of the ink at a place along the page, mm."""
    steps = np.arange(0.0, ASIDE_MM, ASIDE_STEP_MM)
    aside = [
        np.cumprod(is_ink(dark, page_map, np.full(steps.size, y_mm), x_mm + side * steps)).sum()
        for side in (-1.0, 1.0)
    ]
    return ASIDE_STEP_MM * float(sum(aside))


def places_near(row: RowTrace, x_mm: float, within_mm: float) -> Floats:
    """Where a row was read near a place along the page, mm down the page."""
    y = row.y_mm[np.abs(row.x_mm - x_mm) < within_mm]
    return np.asarray(y[np.isfinite(y)])


def _explained(row: RowTrace, rows: tuple[RowTrace, ...], at: int, places_mm: Floats) -> float:
    """Share of places down the page that other rows' traces run through near a read-out."""
    taken = np.zeros(places_mm.size, bool)
    for other in rows:
        y = places_near(other, float(row.x_mm[at]), NEAR_MM)
        if other is not row and y.size:
            taken |= (places_mm > y.min() - OVER_MM) & (places_mm < y.max() + OVER_MM)
    return float(taken.mean())
