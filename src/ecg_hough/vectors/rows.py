"""Traces of a document in the rows of its page, in millimetres, with the pulses of these rows.

In: traces and pulses in px, the page's rows on the canvas, px per mm. Out: `RowTrace`s and `Pulse`s.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.documents.pdf import PDF_DPI
from ecg_hough.elements import Pulse, RowTrace
from ecg_hough.layout.rows import TraceRows
from ecg_hough.networks.canvas import Canvas
from ecg_hough.vectors.pulses import DrawnPulse
from ecg_hough.vectors.strokes import PEN_MM, DrawnTrace, NotDrawnError

OVERLAP_MM = 1.0
"""Traces in one row may overlap by this much."""
RASTER_MM = 1 / 16
"""Step of the read-outs between vertices, on which layouts and columns are found."""
EVEN_STEPS = 0.05
"""Steps along a trace that differ by less, as a share, are even."""
LEFT_OUT_PT, POINT_PX = 0.06, 72.0 / PDF_DPI
"""Standard error of vertices that were left out, points: matplotlib leaves out those within 0.11; and points
per px."""
STEP_MM_MIN = 1e-4
"""Differences of heights below this are rounding."""


def known_ink(
    seen: NDArray[np.float32], canvas: Canvas, traces: tuple[DrawnTrace, ...]
) -> NDArray[np.float32]:
    """Class probabilities (13, rows, cols) where the paths are the only ink.

    Args:
        seen: those of the leads network: the shares of the leads are taken from its opinion nearby.
    """
    ink = np.zeros(seen.shape[1:], np.uint8)
    for trace in traces:
        points = canvas.from_page(trace.points)[:, ::-1]
        cv2.polylines(ink, [np.round(points * 16).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 4)
    dark = ink.astype(np.float32) / 255.0
    share = np.stack([cv2.dilate(plane, np.ones((5, 5), np.uint8)) for plane in seen[1:]]) + 1e-3
    share /= share.sum(axis=0)
    return np.concatenate([(1.0 - dark)[None], share * dark]).astype(np.float32)


def row_traces(
    rows: TraceRows, canvas: Canvas, traces: tuple[DrawnTrace, ...], px_per_mm: tuple[float, float]
) -> tuple[RowTrace, ...]:
    """Each row with its traces.

    Raises:
        NotDrawnError: two traces of one row overlap, or vertices are farther apart than a pen is wide.
    """
    lines = rows.lines + rows.curl
    by_row: dict[int, list[DrawnTrace]] = {}
    for trace in traces:
        at = canvas.from_page(trace.points)
        cols = np.clip(np.round(at[:, 1]).astype(int), 0, lines.shape[1] - 1)
        off = np.median(np.abs(lines[:, cols] - at[:, 0]), axis=1)
        by_row.setdefault(int(off.argmin()), []).append(trace)
    for mine in by_row.values():
        mine.sort(key=lambda trace: trace.start)
        for one, two in pairwise(mine):
            if (one.end - two.start) / px_per_mm[1] > OVERLAP_MM:
                raise NotDrawnError("traces that overlap were taken for one row")
    return tuple(_row_trace(k, mine, px_per_mm) for k, mine in sorted(by_row.items()))


def _row_trace(index: int, traces: list[DrawnTrace], px_per_mm: tuple[float, float]) -> RowTrace:
    """A row in page millimetres: vertices, and read-outs interpolated between them."""
    down, across = px_per_mm
    step_mm = max(trace.step for trace in traces) / across
    if step_mm > PEN_MM:
        raise NotDrawnError(
            f"the vertices of its traces are {step_mm:.2f} mm apart, at most {PEN_MM} mm is used"
        )
    drawn = tuple(np.column_stack([t.points[:, 1] / across, t.points[:, 0] / down]) for t in traces)
    x_mm = np.arange(drawn[0][0, 0], drawn[-1][-1, 0] + RASTER_MM, RASTER_MM)
    y_mm = np.full(x_mm.size, np.nan)
    for points in drawn:
        inside = (x_mm >= points[0, 0] - 1e-9) & (x_mm <= points[-1, 0] + RASTER_MM)
        y_mm[inside] = np.interp(x_mm[inside], *points.T)
    seen = np.isfinite(y_mm)
    half_step = 0.5 * height_step(drawn)
    uneven = any(np.ptp(steps) > EVEN_STEPS * np.median(steps) for p in drawn for steps in [np.diff(p[:, 0])])
    # Programs leave out vertices that are nearly on a line: on a steep one that is much.
    slope = np.gradient(np.nan_to_num(y_mm) * down, RASTER_MM * across)
    left_out = uneven * LEFT_OUT_PT / POINT_PX / down * np.hypot(1.0, slope)
    sd_mm = np.where(seen, np.hypot(half_step, left_out), np.nan)
    return RowTrace(index, x_mm, y_mm, sd_mm, seen.astype(float), drawn=drawn)


def height_step(drawn: tuple[NDArray[np.float64], ...]) -> float:
    """Step of the vertices' heights, mm: the smallest difference that many neighbours have."""
    steps = np.concatenate([np.abs(np.diff(points[:, 1])) for points in drawn])
    steps = steps[steps > STEP_MM_MIN]
    return float(np.percentile(steps, 5)) if steps.size else 0.0


def pulses_of_rows(
    pulses: tuple[DrawnPulse, ...], rows: tuple[RowTrace, ...], px_per_mm: tuple[float, float]
) -> tuple[Pulse, ...]:
    """Pulses in page millimetres, each in the row whose trace is nearest to its foot; one a row."""
    down, across = px_per_mm
    levels = {row.row_index: float(np.nanmedian(row.y_mm)) for row in rows}
    best: dict[int, tuple[float, Pulse]] = {}
    for pulse in pulses:
        foot, left, width = pulse.foot / down, pulse.left / across, (pulse.right - pulse.left) / across
        index = min(levels, key=lambda k, y=foot: abs(levels[k] - y))  # type: ignore[misc]
        off = abs(levels[index] - foot)
        if index not in best or off < best[index][0]:
            best[index] = (off, Pulse(index, left, width, pulse.height / down, 1.0, foot))
    return tuple(best[k][1] for k in sorted(best))
