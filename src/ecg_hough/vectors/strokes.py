"""Which strokes of a page are traces of an ECG.

In: `Drawing`. Out: `DrawnTrace`s: open, read from left to right, with their vertices in px of the picture. A
trace is drawn as one path, or as pieces whose ends meet, even as many as there are samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Colour, Drawing, DrawnPath

WELD_MM = 0.02
"""Ends of pieces nearer than this are one point."""
VERTICES_MIN, LEAST_VERTICES = 200, 20
"""Fewest vertices of a trace; and of another one in the same colour and width, once there are some."""
LONG_MM = 20.0
"""Shortest trace."""
TRACES_MIN = 3
"""Fewest traces of a page."""
PEN_MM = 0.3
"""A path with vertices farther apart than a pen is wide shows no more than its picture."""
BROKEN_MAX = 0.1
"""Greatest length of other strokes in the traces' colour and width, as a share of the traces'; level and
upright ones, and pulses, do not count."""

Style = tuple[Colour, float]
"""Colour and width of a stroke."""


class NotDrawnError(Exception):
    """The page's traces cannot be taken from its paths; the message completes "vector: "."""


@dataclass(frozen=True)
class Stroke:
    """Strokes of one style that meet, as one: (n, 2) row and column, px."""

    points: NDArray[np.float64]
    style: Style
    closed: bool = False

    @property
    def size(self) -> NDArray[np.float64]:
        """Height and width, px."""
        return np.ptp(self.points, axis=0)


@dataclass(frozen=True)
class DrawnTrace:
    """A trace: (n, 2) row and column, px, from left to right."""

    points: NDArray[np.float64]
    style: Style

    @property
    def start(self) -> float:
        """Column of its first vertex."""
        return float(self.points[0, 1])

    @property
    def end(self) -> float:
        """Column of its last vertex."""
        return float(self.points[-1, 1])

    @property
    def level(self) -> float:
        """Median row."""
        return float(np.median(self.points[:, 0]))

    @property
    def step(self) -> float:
        """Usual distance of vertices along the trace, px; programs leave out some on straight parts."""
        steps = np.diff(self.points[:, 1])
        return float(np.percentile(steps[steps > 0], 25)) if (steps > 0).any() else np.inf


def weld(paths: Iterable[DrawnPath], tolerance_px: float) -> list[Stroke]:
    """Strokes of one style whose ends meet, as one each; closed ones and single points are not welded."""
    out: list[Stroke] = []
    by_style: dict[Style, list[NDArray[np.float64]]] = {}
    drawn: set[tuple] = set()
    for path in paths:
        style = (path.colour, round(path.width_px, 2))
        if len(path.points) == 2:  # some programs draw a line twice
            ends = sorted(tuple(np.round(end / tolerance_px).tolist()) for end in path.points)
            if (style, *ends) in drawn:
                continue
            drawn.add((style, *ends))
        if path.closed or len(path.points) < 2:
            out.append(Stroke(path.points, style, True))
        else:
            by_style.setdefault(style, []).append(path.points)
    for style, pieces in by_style.items():
        in_order = _welded_in_order(pieces, tolerance_px)
        out += [Stroke(points, style) for points in _welded_anyhow(in_order, tolerance_px)]
    return out


def _welded_in_order(pieces: list[NDArray[np.float64]], tolerance: float) -> list[NDArray[np.float64]]:
    """Pieces that meet the one drawn just before them, as one."""
    chains: list[list[NDArray[np.float64]]] = []
    for piece in pieces:
        if chains:
            last = chains[-1]
            end, start = last[-1][-1], last[0][0]
            if _meet(end, piece[0], tolerance):
                last.append(piece[1:])
                continue
            if _meet(end, piece[-1], tolerance):
                last.append(piece[-2::-1])
                continue
            if len(last) == 1 and _meet(start, piece[0], tolerance):
                chains[-1] = [last[0][::-1], piece[1:]]
                continue
        chains.append([piece])
    return [np.concatenate(chain) if len(chain) > 1 else chain[0] for chain in chains]


def _meet(one: NDArray[np.float64], two: NDArray[np.float64], tolerance: float) -> bool:
    return abs(one[0] - two[0]) <= tolerance and abs(one[1] - two[1]) <= tolerance


def _welded_anyhow(pieces: list[NDArray[np.float64]], tolerance: float) -> list[NDArray[np.float64]]:
    """Pieces as one where the ends of exactly two meet, in whatever order they were drawn."""
    places: dict[tuple[int, int], list[int]] = {}
    for k, piece in enumerate(pieces):
        for end in (piece[0], piece[-1]):
            places.setdefault((round(end[0] / tolerance), round(end[1] / tolerance)), []).append(k)

    def partner(k: int, end: NDArray[np.float64]) -> int | None:
        r, c = round(end[0] / tolerance), round(end[1] / tolerance)
        near = [i for dr in (-1, 0, 1) for dc in (-1, 0, 1) for i in places.get((r + dr, c + dc), ())]
        others = [
            i
            for i in near
            if i != k and (_meet(pieces[i][0], end, tolerance) or _meet(pieces[i][-1], end, tolerance))
        ]
        return others[0] if len(others) == 1 else None

    used: set[int] = set()
    out = []
    for k in range(len(pieces)):
        if k in used:
            continue
        used.add(k)
        chain, ends = [pieces[k]], [k, k]
        for side in (0, -1):
            while True:
                end = chain[-1][-1] if side else chain[0][0]
                other = partner(ends[side], end)
                if other is None or other in used:
                    break
                used.add(other)
                ends[side] = other
                piece = pieces[other]
                if side:
                    chain.append(piece[1:] if _meet(piece[0], end, tolerance) else piece[-2::-1])
                else:
                    chain.insert(0, piece[:-1] if _meet(piece[-1], end, tolerance) else piece[:0:-1])
        out.append(np.concatenate(chain) if len(chain) > 1 else chain[0])
    return out


def reading_turns(strokes: list[Stroke], drawing: Drawing) -> int:
    """Clockwise quarter turns that make a page upright whose traces are drawn in time's direction.

    Words decide between the two ways along the traces' axis; else the order in which vertices were drawn.
    """
    votes: Counter[int] = Counter()
    for stroke in strokes:
        if is_long(stroke, drawing.scale):
            votes[direction(stroke.points, WELD_MM * drawing.scale)] += len(stroke.points)
    del votes[-1]
    if not votes:
        return 0
    drawn = votes.most_common(1)[0][0]
    words: Counter[int] = Counter()
    for word in drawing.words:
        if word.turns % 2 == drawn % 2:
            words[word.turns] += len(word.text)
    reads = words.most_common(1)[0][0] if words else drawn
    return (4 - reads) % 4


def is_long(stroke: Stroke, px_per_mm: float) -> bool:
    """Whether a stroke has as many vertices, and is as long, as a trace."""
    return (
        not stroke.closed and len(stroke.points) >= VERTICES_MIN and stroke.size.max() >= LONG_MM * px_per_mm
    )


def direction(points: NDArray[np.float64], tolerance: float) -> int:
    """Which way a stroke runs without turning back: 0 to the right, 1 down, 2 to the left, 3 up; -1 none."""
    steps = np.diff(points, axis=0)
    size = np.ptp(points, axis=0)
    fits = {
        0: steps[:, 1].min() >= -tolerance and size[1] > 0,
        1: steps[:, 0].min() >= -tolerance and size[0] > 0,
        2: steps[:, 1].max() <= tolerance and size[1] > 0,
        3: steps[:, 0].max() <= tolerance and size[0] > 0,
    }
    return next((way for way, fit in fits.items() if fit), -1)


def find_traces(strokes: list[Stroke], px_per_mm: float) -> tuple[DrawnTrace, ...]:
    """Traces among the strokes of an upright page.

    Raises:
        NotDrawnError: there are some, but coarse ones, or others are in pieces.
    """
    tolerance = WELD_MM * px_per_mm
    along = [s for s in strokes if not s.closed and direction(s.points, tolerance) in (0, 2)]
    long = [s for s in along if is_long(s, px_per_mm) and s.size[1] >= LONG_MM * px_per_mm]
    if len(long) < TRACES_MIN:
        _refuse_coarse(along, px_per_mm)
        return ()
    styles = {stroke.style for stroke in long}
    traces, others = [], 0.0
    for stroke in along:
        width_mm = stroke.size[1] / px_per_mm
        if stroke.style not in styles:
            continue
        if len(stroke.points) >= LEAST_VERTICES and width_mm >= LONG_MM:
            traces.append(stroke)
        elif stroke.size.min() > tolerance and not is_stepped(stroke.points):
            others += width_mm
    total = sum(stroke.size[1] for stroke in traces) / px_per_mm
    if others > BROKEN_MAX * total:
        raise NotDrawnError(
            f"{others:.0f} mm of trace are in pieces that do not meet, besides {total:.0f} mm"
        )
    unlike = {stroke.points.round(1).tobytes(): stroke for stroke in traces}
    return tuple(DrawnTrace(_rightwards(stroke.points), stroke.style) for stroke in unlike.values())


def _refuse_coarse(along: list[Stroke], px_per_mm: float) -> None:
    """Raise NotDrawnError where strokes look like traces but have few vertices."""
    coarse = [
        len(s.points)
        for s in along
        if len(s.points) >= LEAST_VERTICES
        and s.size[1] >= LONG_MM * px_per_mm
        and s.size[0] > 0
        and not is_stepped(s.points)
    ]
    if len(coarse) >= TRACES_MIN:
        raise NotDrawnError(
            f"its traces have {min(coarse)} vertices or more, of which at least {VERTICES_MIN} are needed"
        )


def is_stepped(points: NDArray[np.float64]) -> bool:
    """Whether a stroke has two levels only, as a pulse."""
    y = points[:, 0]
    low, high = float(y.min()), float(y.max())
    near = np.minimum(y - low, high - y) <= 0.05 * (high - low)
    return bool(near.mean() > 0.8)


def _rightwards(points: NDArray[np.float64]) -> NDArray[np.float64]:
    points = points if points[-1, 1] >= points[0, 1] else points[::-1]
    # What turns back by less than two ends may be apart is one place.
    out = points.copy()
    out[:, 1] = np.maximum.accumulate(points[:, 1])
    return out
