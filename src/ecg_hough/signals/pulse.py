"""Calibration pulses: the rectangle of 1 mV before or behind the traces, and the gain that it states.

In: the page's pixels and map, row traces, panels. Out: height and width of the pulses in page millimetres.
A pulse is two upright strokes of equal height, a few millimetres apart, joined by a flat top, with nothing
between them, above them or next to them; the lines of grid squares continue beyond their corners, and a QRS
complex has no flat top. Rows must agree. Pulses that are taller than the distance of their rows run into each
other; in such a chain only the tops and the length of the strokes can be seen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing

from ecg_hough.cores import side_by_side
from ecg_hough.elements import Pulse, PulsePlace, RowTrace, Window
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame, cut_strip, shrink_for_strips, strip_map
from ecg_hough.numeric import runs
from ecg_hough.page_map import PageMap
from ecg_hough.paper import PULSE_MV
from ecg_hough.signals.limits import Limit, keeps_limits
from ecg_hough.traces.ink import InkModel

log = logging.getLogger(__name__)

# Tuned on own renders of all layouts (benchmark_pages, other seeds than the published one).
OUTSIDE_MM, INSIDE_MM = 22.0, 9.0
"""Distances from the block's ends, outwards and inwards, that are searched."""
ABOVE_MM, BELOW_MM = 27.0, 8.0
"""Distances from the row's level that are searched: a pulse of 20 mm/mV fits."""
LEVEL_MM = 25.0
"""How far from a pulse the level of its row's trace is taken: a second at 25 mm/s."""
HEIGHT_MM = (4.0, 23.0)
WIDTH_MM = (3.0, 11.5)
"""Size of a pulse between the middles of its strokes; with its feet it is usually 5 or 10 mm wide."""
INK_SHARES = (0.5, 0.75)
"""Darkness, 1 the pen's, from which a pixel is ink; the higher one where the grid is nearly as dark."""
GAP_MM = 0.6
"""Gaps in a stroke that are bridged."""
STROKE_MM = 2.2
"""Widest stroke."""
EVEN_MM, UNEVEN_FOOT_MM = 0.7, 3.0
"""Largest difference of the two strokes' tops, and of their feet: a trace that continues from the foot may
lengthen one stroke."""
TOP_MIN, HOLLOW_MAX = 0.8, 0.15
"""Least share of ink along the flat top, and greatest between the strokes."""
OUTSIDE_INK_MAX, ABOVE_MAX = 0.25, 0.65
"""Greatest share of ink next to the strokes at mid height, and above the top, where some carts print "1
mV"."""
GAINS_MM_MV = (5.0, 10.0, 20.0)
SNAP_SHARE = 0.12
"""Relative error of a pulse's height within which it states a usual gain; these differ by factors of 2."""
HEIGHT_SPREAD = 0.06
"""Relative difference within which the heights of a page's pulses are equal."""
IN_LINE_MM = 2.0
"""Pulses of a page are below each other within this."""
WITHIN_MM, CROSSED_BELOW, CROSSED_MIN = 0.6, 0.25, 0.6
"""A trace between the strokes, this far from them and below the top by this share of the height, which covers
this share of the width: such a candidate is no pulse."""
CHAIN_OFF_MM = 1.5
"""Largest distance of the tops of chained pulses from their places at a usual gain."""
CHAIN_BARS_MIN = 0.7
"""Least share of a chain's rows whose top is seen."""
ONE_PULSE_QUALITY = 0.7
"""Quality from which a single pulse is used."""


@dataclass(frozen=True)
class _Side:
    """The places searched at one end of the block.

    Attributes:
        edges_mm, levels_mm: end and level of every row's trace there; rows: the traces.
        reach_mm: from where to where, relative to the end.
    """

    edges_mm: dict[int, float]
    levels_mm: dict[int, float]
    rows: dict[int, RowTrace]
    reach_mm: tuple[float, float]

    def frame(self, edge_mm: float, top_mm: float, foot_mm: float) -> StripFrame:
        """The place from `ABOVE_MM` above one level to `BELOW_MM` below another."""
        start, stop = self.reach_mm
        height = ABOVE_MM + foot_mm - top_mm + BELOW_MM
        shape = (round(height * STRIP_PX_PER_MM), round((stop - start) * STRIP_PX_PER_MM))
        return StripFrame(top_mm - ABOVE_MM, edge_mm + start, shape)


def find_pulses(
    image: NDArray[np.uint8],
    page_map: PageMap,
    ink: InkModel,
    rows: tuple[RowTrace, ...],
    windows: tuple[Window, ...],
) -> tuple[Pulse, ...]:
    """The best pulse of every row, on the side of the page with the greater total quality.

    Args:
        image: the page, upright (rows, cols, 3); page_map: its millimetres.
        ink: what is ink; rows, windows: its traces and panels.
    """
    pixels, factor = shrink_for_strips(image, float(np.mean(page_map.px_per_mm)))

    def darkness(frame: StripFrame) -> NDArray[np.float32]:
        return ink.darkness(cut_strip(pixels, strip_map(frame, page_map), factor))

    sides = [_side(rows, windows, left=left) for left in (True, False)]
    found = max(side_by_side(lambda side: _single_pulses(side, darkness), sides), key=_total_quality)
    if gain_of_pulses(found, len(rows)) is None:
        chain = max(side_by_side(lambda side: _chained_pulses(side, darkness), sides), key=_total_quality)
        found = chain or found
    if found:
        log.info(
            "calibration pulses: in %d of %d rows, mean quality %.2f, heights %s mm",
            len(found), len(rows), _total_quality(found) / len(found),
            ", ".join(f"{pulse.height_mm:.2f}" for pulse in found),
        )  # fmt: skip
    else:
        log.info(
            "calibration pulses: none in %d rows; no two upright strokes %g to %g mm apart keep all limits",
            len(rows), *WIDTH_MM,
        )  # fmt: skip
    for pulse in found:
        log.debug("pulse of row %d at %.1f mm: %.2f mm wide, %.2f mm high, quality %.2f",
                  pulse.row_index, pulse.x_mm, pulse.width_mm, pulse.height_mm, pulse.quality)  # fmt: skip
    return found


def _side(rows: tuple[RowTrace, ...], windows: tuple[Window, ...], *, left: bool) -> _Side:
    edges, levels = {}, {}
    for row in rows:
        mine = [w for w in windows if w.row_index == row.row_index]
        if not mine or not np.isfinite(row.y_mm).any():
            continue
        edge = min(w.start_mm for w in mine) if left else max(w.end_mm for w in mine)
        edges[row.row_index], levels[row.row_index] = edge, level_near(row, edge)
    reach = (-OUTSIDE_MM, INSIDE_MM) if left else (-INSIDE_MM, OUTSIDE_MM)
    return _Side(edges, levels, {row.row_index: row for row in rows}, reach)


def level_near(row: RowTrace, x_mm: float) -> float:
    """Level of a row's trace next to a place along the page, mm down the page; the row has read-outs."""
    near = np.isfinite(row.y_mm) & (np.abs(row.x_mm - x_mm) < LEVEL_MM)
    return float(np.median(row.y_mm[near])) if near.any() else float(np.nanmedian(row.y_mm))


def _single_pulses(side: _Side, darkness: Callable[[StripFrame], NDArray[np.float32]]) -> tuple[Pulse, ...]:
    """The best pulse of every row that shows one."""
    found = []
    for k, level in side.levels_mm.items():
        frame = side.frame(side.edges_mm[k], level, level)
        dark = darkness(frame)
        tried = [best_pulse(dark > share, k, frame.x_mm) for share in INK_SHARES]
        if any(tried):
            x, width, height, quality, foot = max((p for p in tried if p), key=lambda p: p[3])
            foot_mm = float(frame.to_mm(np.array([[foot, 0.0]]))[0, 0])
            pulse = Pulse(k, frame.x_mm + x, width, height, quality, foot_mm)
            if not _is_crossed(pulse, side.rows[k]):
                found.append(pulse)
    return tuple(_whole(found))


def _chained_pulses(side: _Side, darkness: Callable[[StripFrame], NDArray[np.float32]]) -> tuple[Pulse, ...]:
    """A pulse for every row, where the pulses of all rows run into each other."""
    levels = side.levels_mm
    if len(levels) < 2:
        return ()
    edge = float(np.median(list(side.edges_mm.values())))
    frame = side.frame(edge, min(levels.values()), max(levels.values()))
    dark = darkness(frame)
    return max((find_chain(dark > share, frame, levels) for share in INK_SHARES), key=_total_quality)


def _total_quality(pulses: tuple[Pulse, ...]) -> float:
    return sum(pulse.quality for pulse in pulses)


class Stroke(NamedTuple):
    """An upright stroke, px: middle column, width, top row, and the row behind its foot."""

    middle: float
    width: float
    top: float
    foot: float


def find_chain(mask: NDArray[np.bool_], frame: StripFrame, levels: dict[int, float]) -> tuple[Pulse, ...]:
    """Pulses taller than the distance of their rows: their strokes run into each other, their tops remain
    visible.

    Args:
        mask: (rows, cols) ink next to all rows, at `STRIP_PX_PER_MM`; frame: where that is.
        levels: the rows' levels, mm down the page.

    Returns:
        A pulse for every row; none without a chain.
    """
    closed = binary_closing(mask, np.ones((round(GAP_MM * STRIP_PX_PER_MM), 1), bool))
    extent = max(levels.values()) - min(levels.values())
    least = (extent + HEIGHT_MM[0]) * STRIP_PX_PER_MM
    strokes = [one for one in upright_strokes(closed) if one.foot - one.top > least]
    best: tuple[Pulse, ...] = ()
    for i, first in enumerate(strokes):
        for second in strokes[i + 1 :]:
            chain = _chain_between(first, second, mask, closed, frame, levels)
            if _total_quality(chain) > _total_quality(best):
                best = chain
    return best


def _chain_between(
    first: Stroke,
    second: Stroke,
    mask: NDArray[np.bool_],
    closed: NDArray[np.bool_],
    frame: StripFrame,
    levels: dict[int, float],
) -> tuple[Pulse, ...]:
    """A pulse for every row, if two strokes are those of a chain; none else. `closed` is `mask` without
    gaps."""
    scale = STRIP_PX_PER_MM
    width, pen = (second.middle - first.middle) / scale, 0.5 * (first.width + second.width)
    top, foot = 0.5 * (first.top + second.top), min(first.foot, second.foot)
    x_mm = frame.x_mm + first.middle / scale
    candidate = ("chain of pulses at %.1f mm", x_mm)
    uneven_top = abs(first.top - second.top)
    alike = [Limit("difference of its strokes' tops in px", uneven_top, most=EVEN_MM * scale)]
    if not WIDTH_MM[0] <= width <= WIDTH_MM[1] or not keeps_limits(log, candidate, alike):
        return ()
    at_mm = frame.to_mm(np.column_stack([np.arange(len(mask)), np.zeros(len(mask))]))[:, 0]
    foot_mm = float(frame.to_mm(np.array([[foot - 0.5 - 0.5 * pen, 0.0]]))[0, 0])
    top_mm = float(frame.to_mm(np.array([[top - 0.5 + 0.5 * pen, 0.0]]))[0, 0])
    height = foot_mm - top_mm - (max(levels.values()) - min(levels.values()))
    gain = min(GAINS_MM_MV, key=lambda g: abs(height - g * PULSE_MV))
    off_mm = abs(height - gain * PULSE_MV)
    if not keeps_limits(log, candidate, [Limit("error of its height in mm", off_mm, most=CHAIN_OFF_MM)]):
        return ()
    inner = slice(round(first.middle + 0.5 * first.width) + 1, round(second.middle - 0.5 * second.width))
    along = closed[:, inner].mean(axis=1)
    tops = np.array(list(levels.values())) - gain * PULSE_MV
    near = np.abs(at_mm - tops[:, None]) < CHAIN_OFF_MM  # (rows of traces, rows)
    seen = float(np.mean([along[there].max() >= TOP_MIN for there in near]))
    inside = (at_mm > top_mm) & (at_mm < foot_mm) & ~near.any(axis=0)
    hollow = _ink_share(mask[inside][:, inner])
    # Lines of a grid continue next to the uppermost top, where no foot can be.
    uppermost = slice(round(top), round(top + pen) + 1)
    limits = (
        Limit("share of tops that are seen", seen, least=CHAIN_BARS_MIN),
        Limit("ink between the strokes", hollow, most=HOLLOW_MAX),
        Limit("ink next to its uppermost top", max(_ink_outside(mask, uppermost, first, second)),
              most=OUTSIDE_INK_MAX),
    )  # fmt: skip
    if not keeps_limits(log, candidate, limits):
        return ()
    # The feet are hidden by the next row's strokes.
    return tuple(Pulse(k, x_mm, width, height, seen * (1.0 - hollow)) for k in levels)


def _ink_outside(mask: NDArray[np.bool_], rows: slice, first: Stroke, second: Stroke) -> tuple[float, float]:
    """Share of ink left of two strokes and right of them, in some rows of a mask."""
    reach, gap = round(1.5 * STRIP_PX_PER_MM), round(0.5 * STRIP_PX_PER_MM)
    left, right = (
        round(first.middle - 0.5 * first.width) - gap,
        round(second.middle + 0.5 * second.width) + gap,
    )
    before, behind = mask[rows, max(0, left - reach) : max(0, left)], mask[rows, right : right + reach]
    return _ink_share(before), _ink_share(behind)


def _is_crossed(pulse: Pulse, row: RowTrace) -> bool:
    """Whether the row's trace runs between the strokes below the top: it does between lines of a grid, not
    inside a pulse."""
    inside = (row.x_mm > pulse.x_mm + WITHIN_MM) & (row.x_mm < pulse.x_mm + pulse.width_mm - WITHIN_MM)
    below = row.y_mm[inside] > pulse.top_mm + CROSSED_BELOW * pulse.height_mm
    share = float(below.mean()) if below.size else 0.0
    candidate = ("pulse of row %d at %.1f mm", pulse.row_index, pulse.x_mm)
    return not keeps_limits(log, candidate, [Limit("trace between its strokes", share, most=CROSSED_MIN)])


def _whole(pulses: list[Pulse]) -> list[Pulse]:
    """Pulses without those that are the upper part of a taller one, as found from the row above."""
    return [
        pulse
        for pulse in pulses
        if not any(
            abs(pulse.x_mm - other.x_mm) < EVEN_MM
            and abs(pulse.top_mm - other.top_mm) < EVEN_MM
            and pulse.height_mm < other.height_mm
            for other in pulses
        )
    ]


def gain_of_pulses(pulses: tuple[Pulse, ...], n_rows: int) -> float | None:
    """Gain in mm/mV that the pulses state, one of the usual ones; None without agreement.

    Args:
        pulses: at most one a row; n_rows: rows of traces on the page.
    """
    votes: dict[float, list[Pulse]] = {}
    for pulse in pulses:
        for gain in GAINS_MM_MV:
            if abs(pulse.height_mm / (gain * PULSE_MV) - 1.0) <= SNAP_SHARE:
                votes.setdefault(gain, []).append(pulse)
    if not votes:
        if pulses:
            log.debug(
                "pulses rejected: heights %s mm are no usual gain", [round(p.height_mm, 2) for p in pulses]
            )
        return None
    gain = max(votes, key=lambda g: sum(p.quality for p in votes[g]))
    agreeing, others = votes[gain], len(pulses) - len(votes[gain])
    candidate = ("pulses of %g mm/mV", gain)
    if not keeps_limits(log, candidate, [Limit("pulses of this gain", len(agreeing), least=others + 1)]):
        return None
    if len(agreeing) >= 2:
        places = np.array([p.x_mm for p in agreeing])
        spread = float(np.median(np.abs(places - np.median(places))))
        # Pulses are printed below each other.
        in_line = keeps_limits(log, candidate, [Limit("distance from a line in mm", spread, most=IN_LINE_MM)])
        return gain if in_line else None
    quality = agreeing[0].quality
    sure = n_rows <= 2 or keeps_limits(
        log, candidate, [Limit("quality of its one pulse", quality, ONE_PULSE_QUALITY)]
    )
    return gain if sure else None


def common_height(pulses: tuple[Pulse, ...], n_rows: int) -> float | None:
    """Height in mm that most of a page's pulses share, at whatever gain; None without agreement."""
    if not pulses:
        return None
    heights = np.array([p.height_mm for p in pulses])
    alike = np.abs(heights / np.median(heights) - 1.0) <= HEIGHT_SPREAD
    if np.count_nonzero(alike) <= len(pulses) / 2:
        return None
    if len(pulses) == 1 and n_rows > 2 and pulses[0].quality < ONE_PULSE_QUALITY:
        return None
    return float(np.median(heights[alike]))


def place_of_pulses(pulses: tuple[Pulse, ...], gain_mm_mv: float) -> PulsePlace | None:
    """Where the pulses of a page are; None unless some have the page's gain and are below each other."""
    good = [p for p in pulses if abs(p.height_mm / (gain_mm_mv * PULSE_MV) - 1.0) <= SNAP_SHARE]
    if not good:
        return None
    x = float(np.median([p.x_mm for p in good]))
    good = [p for p in good if abs(p.x_mm - x) < IN_LINE_MM]
    if not good or (len(good) == 1 and good[0].quality < ONE_PULSE_QUALITY):
        return None
    right = float(np.median([p.x_mm + p.width_mm for p in good]))
    feet = {p.row_index: p.foot_mm for p in good if np.isfinite(p.foot_mm)}
    return PulsePlace(float(np.median([p.x_mm for p in good])), right, feet)


def best_pulse(
    mask: NDArray[np.bool_], row_index: int = 0, left_mm: float = 0.0
) -> tuple[float, float, float, float, float] | None:
    """The best pulse in a mask: left stroke, width and height in mm (between the strokes' middles), quality,
    and the mask's row at the middle of its foot.

    Args:
        mask: (rows, cols) ink at `STRIP_PX_PER_MM`.
        row_index, left_mm: row of traces and place of the mask along the page, for the log.
    """
    closed = binary_closing(mask, np.ones((round(GAP_MM * STRIP_PX_PER_MM), 1), bool))
    strokes = upright_strokes(closed)
    found = [
        pulse
        for i, first in enumerate(strokes)
        for second in strokes[i + 1 :]
        if (pulse := _pulse_between(first, second, mask, closed, (row_index, left_mm))) is not None
    ]
    return max(found, key=lambda pulse: pulse[3], default=None)


def _pulse_between(
    first: Stroke,
    second: Stroke,
    mask: NDArray[np.bool_],
    closed: NDArray[np.bool_],
    where: tuple[int, float],
) -> tuple[float, float, float, float, float] | None:
    """As `best_pulse`, of two strokes; None where they are none. `closed` is `mask` without gaps."""
    scale = STRIP_PX_PER_MM
    width = (second.middle - first.middle) / scale
    # A trace that leaves the foot may lengthen one stroke downwards; the shorter one is the pulse's.
    uneven_foot = abs(first.foot - second.foot) / scale
    candidate = ("pulse of row %d at %.1f mm", where[0], where[1] + first.middle / scale)
    alike = (
        Limit("difference of its strokes' tops in px", abs(first.top - second.top), most=EVEN_MM * scale),
        Limit("difference of its strokes' feet in mm", uneven_foot, most=UNEVEN_FOOT_MM),
    )
    if not WIDTH_MM[0] <= width <= WIDTH_MM[1] or not keeps_limits(log, candidate, alike):
        return None
    pen = 0.5 * (first.width + second.width)
    top, foot = 0.5 * (first.top + second.top), min(first.foot, second.foot)
    height = (foot - top - pen) / scale
    if not keeps_limits(log, candidate, [Limit("height in mm", height, *HEIGHT_MM)]):
        return None
    a, b = round(first.middle + 0.5 * first.width) + 1, round(second.middle - 0.5 * second.width)
    r = round(top)
    bar = closed[max(0, r - 1) : r + max(2, round(pen)) + 2, a:b].any(axis=0).mean()
    inner = slice(round(top + pen + 0.12 * (foot - top)), round(foot - pen - 0.12 * (foot - top)))
    hollow = _ink_share(mask[inner, a + 1 : b - 1])
    above = _ink_share(mask[max(0, r - round(2.0 * scale)) : max(0, r - round(0.5 * scale)), a:b])
    outside = max(_ink_outside(mask, inner, first, second))
    limits = (
        Limit("ink along its top", bar, least=TOP_MIN),
        Limit("ink between its strokes", hollow, most=HOLLOW_MAX),
        Limit("ink next to its strokes", outside, most=OUTSIDE_INK_MAX),
        Limit("ink above its top", above, most=ABOVE_MAX),
    )
    if not keeps_limits(log, candidate, limits):
        return None
    quality = float(bar) * (1.0 - hollow) * (1.0 - max(above, outside)) * np.exp(-0.3 * uneven_foot)
    return first.middle / scale, width, height, float(quality), foot - 0.5 - 0.5 * pen


def _ink_share(part: NDArray[np.bool_]) -> float:
    """Share of ink in a part of a mask; 0 where that part is outside."""
    return float(part.mean()) if part.size else 0.0


def upright_strokes(mask: NDArray[np.bool_]) -> list[Stroke]:
    """Upright strokes of a mask.

    Neighbouring columns whose longest runs of ink are long enough and alike are one stroke.
    """
    n_rows, n_cols = mask.shape
    least = HEIGHT_MM[0] * STRIP_PX_PER_MM
    longest: list[tuple[int, int, int]] = []
    for c in np.flatnonzero(mask.sum(axis=0) >= least).tolist():
        first, behind = max(runs(mask[:, c]), key=lambda run: run[1] - run[0])
        # A run that touches the border of the strip is a grid line or a frame.
        if behind - first >= least and first > 0 and behind < n_rows:
            longest.append((c, first, behind))
    strokes: list[Stroke] = []
    group: list[tuple[int, int, int]] = []
    for run in [*longest, (n_cols + 9, 0, 0)]:
        if group and (run[0] > group[-1][0] + 2 or abs(run[1] - group[-1][1]) > 2.0 * STRIP_PX_PER_MM):
            columns, tops, feet = (np.array(v, float) for v in zip(*group, strict=True))
            width = float(columns[-1] - columns[0] + 1.0)
            if width <= STROKE_MM * STRIP_PX_PER_MM:
                long = feet - tops >= np.quantile(feet - tops, 0.5)
                strokes.append(
                    Stroke(
                        float(columns.mean()),
                        width,
                        float(np.median(tops[long])),
                        float(np.median(feet[long])),
                    )
                )
            group = []
        group.append(run)
    return strokes
