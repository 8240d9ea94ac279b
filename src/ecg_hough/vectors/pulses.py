"""Calibration pulses among a page's strokes.

In: strokes that are no traces, and traces. Out: `DrawnPulse`s in px; and traces without the pulses that were
drawn in one stroke with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.vectors.strokes import DrawnTrace, Stroke

HEIGHT_MM, WIDTH_MM = (3.5, 42.0), (2.0, 12.5)
"""Size of a pulse at the page's nominal size; pages may be printed at another one."""
LEVEL_SHARE = 0.04
"""A pulse's foot and top are level within this share of its height."""
TOP_MIN = 0.6
"""Least share of the width that is at the top's level: programs slope its strokes by a sample."""
JOINED_MM = 16.0
"""Length of a trace's beginning in which a pulse is searched."""


@dataclass(frozen=True)
class DrawnPulse:
    """A pulse, px: columns of its strokes, rows of its foot and its top."""

    left: float
    right: float
    foot: float
    top: float

    @property
    def height(self) -> float:
        return self.foot - self.top


def find_pulses(strokes: Iterable[Stroke], px_per_mm: float) -> tuple[DrawnPulse, ...]:
    """Pulses that are strokes of their own, each once."""
    found: list[DrawnPulse] = []
    for stroke in strokes:
        points = stroke.points
        if stroke.closed or len(points) < 4 or not _is_size(stroke.size / px_per_mm):
            continue
        points = points if points[-1, 1] >= points[0, 1] else points[::-1]
        pulse = pulse_in(points)
        if pulse is not None and not any(_same(pulse, other) for other in found):
            found.append(pulse)
    return tuple(found)


def _is_size(size_mm: NDArray[np.float64]) -> bool:
    height, width = size_mm
    return bool(HEIGHT_MM[0] <= height <= HEIGHT_MM[1] and WIDTH_MM[0] <= width <= 2.5 * WIDTH_MM[1])


def _same(one: DrawnPulse, two: DrawnPulse) -> bool:
    return abs(one.left - two.left) < 2.0 and abs(one.foot - two.foot) < 2.0


def pulse_in(points: NDArray[np.float64]) -> DrawnPulse | None:
    """The pulse that (n, 2) vertices from left to right draw: level, up, level, down, level; else None."""
    y, x = points.T
    foot, top = float(np.median(y[[0, -1]])), float(y.min())
    height = foot - top
    if height <= 0 or y.max() - foot > LEVEL_SHARE * height or abs(y[0] - y[-1]) > LEVEL_SHARE * height:
        return None
    above = y < foot - 0.5 * height
    change = np.flatnonzero(np.diff(above.astype(int)))
    if len(change) != 2:
        return None
    left, right = (_crossing(x, y, int(k), foot - 0.5 * height) for k in change)
    at_top = x[y <= top + LEVEL_SHARE * height]
    outside = np.concatenate([y[: change[0]], y[change[1] + 2 :]])
    level = bool(np.all(np.abs(outside - foot) <= LEVEL_SHARE * height))
    if not level or np.ptp(at_top) < TOP_MIN * (right - left):
        return None
    middle = y[(x >= at_top[0]) & (x <= at_top[-1]) & above]
    if np.ptp(middle) > LEVEL_SHARE * height:
        return None
    return DrawnPulse(left, right, foot, top)


def _crossing(x: NDArray[np.float64], y: NDArray[np.float64], k: int, level: float) -> float:
    """Place between vertices k and k + 1 where the stroke crosses a level."""
    share = (level - y[k]) / (y[k + 1] - y[k])
    return float(x[k] + share * (x[k + 1] - x[k]))


def without_pulse(trace: DrawnTrace, px_per_mm: float) -> tuple[DrawnTrace, DrawnPulse | None]:
    """A trace without the pulse at its start, and that pulse."""
    points = trace.points
    y, x = points.T
    near = int(np.searchsorted(x, x[0] + JOINED_MM * px_per_mm))
    start = y[0]
    # The first return to the foot's level ends the pulse; it has to begin with the foot or the rise.
    top = float(y[:near].min())
    height = start - top
    if not HEIGHT_MM[0] * px_per_mm <= height <= HEIGHT_MM[1] * px_per_mm:
        return trace, None
    above = y[:near] < start - 0.5 * height
    change = np.flatnonzero(np.diff(above.astype(int)))
    if len(change) < 2:
        return trace, None
    flat = np.abs(y[change[0] + 1 : change[1] + 1] - top) <= LEVEL_SHARE * height
    left, right = (_crossing(x, y, int(k), start - 0.5 * height) for k in change[:2])
    back = change[1] + 1 + int(np.argmax(np.abs(y[change[1] + 1 :] - start) <= LEVEL_SHARE * height))
    on_top = x[change[0] + 1 : change[1] + 1][flat]
    foot_level = np.abs(y[: change[0]] - start).max(initial=0.0) <= LEVEL_SHARE * height
    wide = WIDTH_MM[0] * px_per_mm <= right - left <= WIDTH_MM[1] * px_per_mm
    if not (wide and foot_level and flat.mean() > TOP_MIN and np.ptp(on_top) >= TOP_MIN * (right - left)):
        return trace, None
    # Beyond the fall the foot goes on level for some vertices: they are the pulse's.
    while (
        back + 1 < len(y)
        and abs(y[back + 1] - y[back]) <= 1e-3
        and x[back + 1] - x[0] < JOINED_MM * px_per_mm
    ):
        back += 1
    return replace(trace, points=points[back + 1 :]), DrawnPulse(left, right, float(start), top)
