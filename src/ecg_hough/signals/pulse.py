"""Calibration pulses: the rectangle of 1 mV before or behind the traces, and the gain that it states.

In: the page's pixels and map, row traces, panels. Out: height and width of the pulses in page millimetres.
A pulse is two upright strokes of equal height, a few millimetres apart, joined by a flat top, with nothing
between them, above them or beside them; grid squares go on beyond their corners, and a QRS complex has no
flat top. Rows must agree. Pulses taller than their rows are apart run into each other; of such a chain the
tops remain, and the length of its strokes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing

from ecg_hough.cores import side_by_side
from ecg_hough.elements import PulsePlace, RowTrace, Window
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame, cut_strip, shrink_for_strips, strip_map
from ecg_hough.page_map import PageMap
from ecg_hough.paper import PULSE_MV
from ecg_hough.traces.ink import InkModel

# Tuned on own renders of all layouts (benchmark_pages, other seeds than the published one).
OUTSIDE_MM, INSIDE_MM = 22.0, 9.0
"""Searched beyond and within the block's ends."""
ABOVE_MM, BELOW_MM = 27.0, 8.0
"""Searched round the row's level: a pulse of 20 mm/mV fits."""
HEIGHT_MM = (4.0, 23.0)
WIDTH_MM = (3.0, 11.5)
"""Sizes that a pulse may have between its strokes; with its feet it is usually 5 or 10 mm wide."""
INK_SHARES = (0.5, 0.75)
"""Darkness, 1 the pen's, from which a pixel is ink; the higher one where the grid is nearly as dark."""
GAP_MM = 0.6
"""Gaps in a stroke that are bridged."""
STROKE_MM = 2.2
"""Widest stroke."""
EVEN_MM = 0.7
"""Largest difference of the two strokes' tops or feet."""
TOP_MIN, HOLLOW_MAX = 0.8, 0.15
"""Share of ink along the flat top, and most between the strokes."""
BESIDE_MAX, ABOVE_MAX = 0.25, 0.65
"""Most ink beside the strokes at mid height, and above the top, where some carts write "1 mV"."""
GAINS_MM_MV = (5.0, 10.0, 20.0)
SNAP_SHARE = 0.12
"""A pulse this near to a usual gain states it; usual gains lie a factor of 2 apart."""
HEIGHT_SPREAD = 0.06
"""Heights of a page's pulses are alike within this."""
IN_LINE_MM = 2.0
"""Pulses of a page stand below each other within this."""
WITHIN_MM, CROSSED_BELOW, CROSSED_MIN = 0.6, 0.25, 0.6
"""Between a pulse's strokes, this far off them, a trace that far below its top (share of its height) says
that it is none, if it fills this share of the place."""
CHAIN_OFF_MM = 1.5
"""Farthest that the tops of pulses in a chain stand off where a usual gain has them."""
CHAIN_BARS_MIN = 0.7
"""Share of a chain's rows whose top must be seen."""
ONE_PULSE_QUALITY = 0.7
"""Quality from which one pulse alone is believed."""


@dataclass(frozen=True)
class Pulse:
    """One pulse in mm: its row, left stroke, width and height (middles of strokes), and quality 0 to 1.

    `foot_mm` is the middle of its foot's stroke down the page: the row's zero line.
    """

    row_index: int
    x_mm: float
    width_mm: float
    height_mm: float
    quality: float
    foot_mm: float = float("nan")

    @property
    def top_mm(self) -> float:
        """Middle of its top's stroke, mm down the page."""
        return self.foot_mm - self.height_mm


@dataclass(frozen=True)
class _Side:
    """What is searched at one end of the block.

    Attributes:
        edges_mm, levels_mm: end and level of every row's trace there; rows: the traces.
        reach_mm: from where to where, off the end.
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
    """The best pulse of every row, on the side of the page where more of them stand.

    Args:
        image: the page, upright (rows, cols, 3); page_map: its millimetres.
        ink: what is ink; rows, windows: its traces and panels.
    """
    pixels, factor = shrink_for_strips(image, float(np.mean(page_map.px_per_mm)))

    def darkness(frame: StripFrame) -> NDArray[np.float32]:
        return ink.darkness(cut_strip(pixels, strip_map(frame, page_map), factor))

    sides = [_side(rows, windows, left=left) for left in (True, False)]
    found = max(side_by_side(lambda side: _single_pulses(side, darkness), sides), key=_say)
    if gain_of_pulses(found, len(rows)) is None:
        chain = max(side_by_side(lambda side: _chained_pulses(side, darkness), sides), key=_say)
        return chain or found
    return found


def _side(rows: tuple[RowTrace, ...], windows: tuple[Window, ...], *, left: bool) -> _Side:
    edges, levels = {}, {}
    for row in rows:
        mine = [w for w in windows if w.row_index == row.row_index]
        if not mine or not np.isfinite(row.y_mm).any():
            continue
        edge = min(w.start_mm for w in mine) if left else max(w.end_mm for w in mine)
        near = np.isfinite(row.y_mm) & (np.abs(row.x_mm - edge) < 25.0)
        edges[row.row_index] = edge
        levels[row.row_index] = float(np.median(row.y_mm[near]) if near.any() else np.nanmedian(row.y_mm))
    reach = (-OUTSIDE_MM, INSIDE_MM) if left else (-INSIDE_MM, OUTSIDE_MM)
    return _Side(edges, levels, {row.row_index: row for row in rows}, reach)


def _single_pulses(side: _Side, darkness: Callable[[StripFrame], NDArray[np.float32]]) -> tuple[Pulse, ...]:
    """The best pulse of every row that shows one."""
    found = []
    for k, level in side.levels_mm.items():
        frame = side.frame(side.edges_mm[k], level, level)
        dark = darkness(frame)
        tried = [best_pulse(dark > share) for share in INK_SHARES]
        if any(tried):
            x, width, height, quality, foot = max((p for p in tried if p), key=lambda p: p[3])
            foot_mm = float(frame.to_mm(np.array([[foot, 0.0]]))[0, 0])
            pulse = Pulse(k, frame.x_mm + x, width, height, quality, foot_mm)
            if not _is_crossed(pulse, side.rows[k]):
                found.append(pulse)
    return tuple(_whole(found))


def _chained_pulses(side: _Side, darkness: Callable[[StripFrame], NDArray[np.float32]]) -> tuple[Pulse, ...]:
    """A pulse for every row where all of them run into each other."""
    levels = side.levels_mm
    if len(levels) < 2:
        return ()
    edge = float(np.median(list(side.edges_mm.values())))
    frame = side.frame(edge, min(levels.values()), max(levels.values()))
    dark = darkness(frame)
    return max((find_chain(dark > share, frame, levels) for share in INK_SHARES), key=_say)


def _say(pulses: tuple[Pulse, ...]) -> float:
    return sum(pulse.quality for pulse in pulses)


def find_chain(mask: NDArray[np.bool_], frame: StripFrame, levels: dict[int, float]) -> tuple[Pulse, ...]:
    """Pulses that are taller than their rows are apart: their strokes run into each other, their tops remain.

    Args:
        mask: (rows, cols) ink beside all rows, at `STRIP_PX_PER_MM`; frame: where that is.
        levels: the rows' levels, mm down the page.

    Returns:
        A pulse for every row; none without a chain.
    """
    scale = STRIP_PX_PER_MM
    closed = binary_closing(mask, np.ones((round(GAP_MM * scale), 1), bool))
    extent = max(levels.values()) - min(levels.values())
    reach, gap = round(1.5 * scale), round(0.5 * scale)
    strokes = [s for s in upright_strokes(closed) if (s[3] - s[2]) / scale > extent + HEIGHT_MM[0]]
    at_mm = frame.to_mm(np.column_stack([np.arange(len(mask)), np.zeros(len(mask))]))[:, 0]
    best: tuple[Pulse, ...] = ()
    for i, (c1, w1, top1, foot1) in enumerate(strokes):
        for c2, w2, top2, foot2 in strokes[i + 1 :]:
            width, pen = (c2 - c1) / scale, 0.5 * (w1 + w2)
            even = abs(top1 - top2) <= EVEN_MM * scale
            if not (even and WIDTH_MM[0] <= width <= WIDTH_MM[1]):
                continue
            foot_mm = float(frame.to_mm(np.array([[min(foot1, foot2) - 0.5 - 0.5 * pen, 0.0]]))[0, 0])
            top_mm = float(frame.to_mm(np.array([[0.5 * (top1 + top2) - 0.5 + 0.5 * pen, 0.0]]))[0, 0])
            height = foot_mm - top_mm - extent
            gain = min(GAINS_MM_MV, key=lambda g: abs(height - g * PULSE_MV))
            if abs(height - gain * PULSE_MV) > CHAIN_OFF_MM:
                continue
            inner = slice(round(c1 + 0.5 * w1) + 1, round(c2 - 0.5 * w2))
            along = closed[:, inner].mean(axis=1)
            tops = np.array(list(levels.values())) - gain * PULSE_MV
            near = np.abs(at_mm - tops[:, None]) < CHAIN_OFF_MM  # (rows of traces, rows)
            seen = float(np.mean([along[there].max() >= TOP_MIN for there in near]))
            inside = (at_mm > top_mm) & (at_mm < foot_mm) & ~near.any(axis=0)
            hollow = _ink_share(mask[inside][:, inner])
            quality = seen * (1.0 - hollow)
            if seen < CHAIN_BARS_MIN or hollow > HOLLOW_MAX or quality * len(levels) <= _say(best):
                continue
            # Lines of a grid go on beside the uppermost top, where no foot can be.
            bar = slice(round(0.5 * (top1 + top2)), round(0.5 * (top1 + top2) + pen) + 1)
            left, right = round(c1 - 0.5 * w1) - gap, round(c2 + 0.5 * w2) + gap
            beside = mask[bar, max(0, left - reach) : max(0, left)], mask[bar, right : right + reach]
            if max(_ink_share(part) for part in beside) > BESIDE_MAX:
                continue
            x_mm = frame.x_mm + c1 / scale
            # Where their feet stand is hidden by the next row's strokes.
            best = tuple(Pulse(k, x_mm, width, height, quality) for k in levels)
    return best


def _is_crossed(pulse: Pulse, row: RowTrace) -> bool:
    """Whether the row's trace runs between the strokes below the top: lines of a grid and its frame stand so,
    a pulse does not."""
    inside = (row.x_mm > pulse.x_mm + WITHIN_MM) & (row.x_mm < pulse.x_mm + pulse.width_mm - WITHIN_MM)
    below = row.y_mm[inside] > pulse.top_mm + CROSSED_BELOW * pulse.height_mm
    return bool(below.size) and float(below.mean()) > CROSSED_MIN


def _whole(pulses: list[Pulse]) -> list[Pulse]:
    """Pulses without those that are the upper part of a taller one, which a row above sees."""
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


def gain_of_pulses(
    pulses: tuple[Pulse, ...], n_rows: int, snap: float = SNAP_SHARE, one_quality: float = ONE_PULSE_QUALITY
) -> float | None:
    """Gain in mm/mV that the pulses state, one of the usual ones; None without agreement.

    Args:
        pulses: at most one a row; n_rows: rows of traces on the page; snap: relative error that is allowed,
            more where the page's scale is not sure; one_quality: of the only pulse of three rows or more.
    """
    votes: dict[float, list[Pulse]] = {}
    for pulse in pulses:
        for gain in GAINS_MM_MV:
            if abs(pulse.height_mm / (gain * PULSE_MV) - 1.0) <= snap:
                votes.setdefault(gain, []).append(pulse)
    if not votes:
        return None
    gain = max(votes, key=lambda g: sum(p.quality for p in votes[g]))
    agreeing, others = votes[gain], len(pulses) - len(votes[gain])
    if others >= len(agreeing):
        return None
    if len(agreeing) >= 2:
        places = np.array([p.x_mm for p in agreeing])
        # Pulses stand below each other.
        return gain if np.median(np.abs(places - np.median(places))) < IN_LINE_MM else None
    return gain if n_rows <= 2 or agreeing[0].quality >= one_quality else None


def common_height(pulses: tuple[Pulse, ...], n_rows: int) -> float | None:
    """Height in mm that most of a page's pulses share, whatever gain it means; None without agreement."""
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
    """Where the pulses of a page stand; None unless some have the page's gain and stand below each other."""
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


def best_pulse(mask: NDArray[np.bool_]) -> tuple[float, float, float, float, float] | None:
    """The best pulse in a mask: left stroke, width and height in mm (of the strokes' middles), quality, and
    the row of its foot's middle.

    Args:
        mask: (rows, cols) ink at `STRIP_PX_PER_MM`.
    """
    scale = STRIP_PX_PER_MM
    closed = binary_closing(mask, np.ones((round(GAP_MM * scale), 1), bool))
    strokes = upright_strokes(closed)
    best: tuple[float, float, float, float, float] | None = None
    for i, (c1, w1, top1, foot1) in enumerate(strokes):
        for c2, w2, top2, foot2 in strokes[i + 1 :]:
            width = (c2 - c1) / scale
            if not WIDTH_MM[0] <= width <= WIDTH_MM[1]:
                continue
            # A trace that leaves the foot may lengthen one stroke downwards; the shorter one is the pulse's.
            uneven_foot = abs(foot1 - foot2) / scale
            if abs(top1 - top2) > EVEN_MM * scale or uneven_foot > 3.0:
                continue
            pen = 0.5 * (w1 + w2)
            top, foot = 0.5 * (top1 + top2), min(foot1, foot2)
            height = (foot - top - pen) / scale
            if not HEIGHT_MM[0] <= height <= HEIGHT_MM[1]:
                continue
            a, b = round(c1 + 0.5 * w1) + 1, round(c2 - 0.5 * w2)
            r = round(top)
            pen_px = max(2, round(pen))
            bar = closed[max(0, r - 1) : r + pen_px + 2, a:b].any(axis=0).mean()
            inner = slice(round(top + pen + 0.12 * (foot - top)), round(foot - pen - 0.12 * (foot - top)))
            hollow = mask[inner, a + 1 : b - 1]
            above = mask[max(0, r - round(2.0 * scale)) : max(0, r - round(0.5 * scale)), a:b]
            reach, gap = round(1.5 * scale), round(0.5 * scale)
            outer_left = mask[
                inner, max(0, round(c1 - 0.5 * w1) - gap - reach) : max(0, round(c1 - 0.5 * w1) - gap)
            ]
            outer_right = mask[inner, round(c2 + 0.5 * w2) + gap : round(c2 + 0.5 * w2) + gap + reach]
            empty = [_ink_share(part) for part in (hollow, above, outer_left, outer_right)]
            if bar < TOP_MIN or empty[0] > HOLLOW_MAX or max(empty[2:]) > BESIDE_MAX or empty[1] > ABOVE_MAX:
                continue
            quality = float(bar) * (1.0 - empty[0]) * (1.0 - max(empty[1:])) * np.exp(-0.3 * uneven_foot)
            if best is None or quality > best[3]:
                best = (c1 / scale, width, height, float(quality), foot - 0.5 - 0.5 * pen)
    return best


def _ink_share(part: NDArray[np.bool_]) -> float:
    """Share of ink in a part of a mask; 0 where that lies outside."""
    return float(part.mean()) if part.size else 0.0


def upright_strokes(mask: NDArray[np.bool_]) -> list[tuple[float, float, float, float]]:
    """Upright strokes of a mask: middle column, width, top row, row behind the foot (px).

    Columns next to each other whose longest run of ink is long enough and alike are one stroke.
    """
    n_rows, n_cols = mask.shape
    padded = np.zeros((n_rows + 2, n_cols), np.int8)
    padded[1:-1] = mask
    step = np.diff(padded, axis=0)
    least = HEIGHT_MM[0] * STRIP_PX_PER_MM
    runs: list[tuple[int, int, int]] = []
    for c in range(n_cols):
        first, behind = np.flatnonzero(step[:, c] == 1), np.flatnonzero(step[:, c] == -1)
        if first.size:
            k = int(np.argmax(behind - first))
            # A run that touches the border of the strip is a grid line or a frame.
            if behind[k] - first[k] >= least and first[k] > 0 and behind[k] < n_rows:
                runs.append((c, int(first[k]), int(behind[k])))
    strokes: list[tuple[float, float, float, float]] = []
    group: list[tuple[int, int, int]] = []
    for run in [*runs, (n_cols + 9, 0, 0)]:
        if group and (run[0] > group[-1][0] + 2 or abs(run[1] - group[-1][1]) > 2.0 * STRIP_PX_PER_MM):
            columns, tops, feet = (np.array(v, float) for v in zip(*group, strict=True))
            width = columns[-1] - columns[0] + 1.0
            if width <= STROKE_MM * STRIP_PX_PER_MM:
                longest = feet - tops >= np.quantile(feet - tops, 0.5)
                strokes.append(
                    (
                        float(columns.mean()),
                        float(width),
                        float(np.median(tops[longest])),
                        float(np.median(feet[longest])),
                    )
                )
            group = []
        group.append(run)
    return strokes
