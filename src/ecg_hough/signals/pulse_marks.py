"""Calibration pulses where the marks network sees their upright strokes: height, step and foot, mm.

In: the page's pixels and map, what is ink, rows and their landmarks. Out: the best pulse of every row. The
network knows a pulse from a beat or a frame; its height is measured on the ink between the two strokes, and
its foot where these end. A pulse with a step states two gains, that of limb leads and that of chest leads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from ecg_hough.elements import Pulse, RowMark, RowTrace
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame, cut_strip, shrink_for_strips, strip_map
from ecg_hough.numeric import runs
from ecg_hough.page_map import PageMap
from ecg_hough.signals.pulse import ABOVE_MM, BELOW_MM, GAP_MM, level_near
from ecg_hough.traces.ink import InkModel

log = logging.getLogger(__name__)

WIDTH_MM = (1.8, 13.0)
"""Width of a pulse: 0.1 to 0.25 s at 25 and 50 mm/s."""
BESIDE_MM = 3.0
"""What is looked at beside a pulse."""
SHARP_MM = 0.5
"""Half the height over which a line's middle is averaged."""
INK = 0.5
"""Darkness of a line at a pulse's foot, 1 the pen's; of a stroke, over its own."""
STEP_MM, STEP_GAIN = 1.5, 0.15
"""Least height of a step, and by how much two levels must explain more of the top than one."""
LEAST_MM = 2.0
"""Height of the lowest pulse."""

Floats = NDArray[np.float64]


def pulses_of_marks(
    image: NDArray[np.uint8],
    page_map: PageMap,
    ink: InkModel,
    rows: tuple[RowTrace, ...],
    marks: tuple[RowMark, ...],
) -> tuple[Pulse, ...]:
    """The likeliest pulse of every row that shows one.

    Args:
        image: the page, upright (rows, cols, 3); page_map: its millimetres; ink: what is ink.
        rows: traces; marks: landmarks of the rows.
    """
    pixels, factor = shrink_for_strips(image, float(np.mean(page_map.px_per_mm)))
    found = []
    for row in rows:
        seen = np.isfinite(row.y_mm)
        if not seen.any():
            continue
        best: Pulse | None = None
        for left_mm, right_mm, probability in _pairs(marks, row.row_index):
            if best is not None and probability <= best.quality:
                break
            level = level_near(row, 0.5 * (left_mm + right_mm))
            shape = (ABOVE_MM + BELOW_MM, right_mm - left_mm + 2 * BESIDE_MM)
            frame = StripFrame(level - ABOVE_MM, left_mm - BESIDE_MM, (_px(shape[0]), _px(shape[1])))
            dark = ink.darkness(cut_strip(pixels, strip_map(frame, page_map), factor))
            pulse = _measured(np.asarray(dark, float), frame, row, (left_mm, right_mm), probability)
            if pulse is not None and (best is None or pulse.quality > best.quality):
                best = pulse
        if best is not None:
            log.debug(
                "pulse of row %d at %.1f mm: %.2f mm wide, %.2f mm high, step %.2f mm, quality %.2f",
                best.row_index, best.x_mm, best.width_mm, best.height_mm, best.step_mm, best.quality,
            )  # fmt: skip
            found.append(best)
    return tuple(found)


def _px(mm: float) -> int:
    return round(mm * STRIP_PX_PER_MM)


def _pairs(marks: tuple[RowMark, ...], row_index: int) -> Iterator[tuple[float, float, float]]:
    """Left and right strokes of what may be pulses of a row, mm, with their probability, likeliest first."""
    mine = [mark for mark in marks if mark.row_index == row_index]
    pairs = [
        (left.x_mm, right.x_mm, float(np.sqrt(left.probability * right.probability)))
        for left in mine
        if left.kind == "pulse_left"
        for right in mine
        if right.kind == "pulse_right" and WIDTH_MM[0] <= right.x_mm - left.x_mm <= WIDTH_MM[1]
    ]
    return iter(sorted(pairs, key=lambda pair: -pair[2]))


def _measured(
    dark: Floats, frame: StripFrame, row: RowTrace, strokes_mm: tuple[float, float], probability: float
) -> Pulse | None:
    """A pulse between two strokes, measured on the darkness (rows, cols) around it; None without a top."""
    left, right = ((mm - frame.x_mm) * STRIP_PX_PER_MM for mm in strokes_mm)
    pen = max(2.0, (row.pen_mm if np.isfinite(row.pen_mm) else 0.35) * STRIP_PX_PER_MM)
    a, b = round(left + 0.5 * pen) + 1, round(right - 0.5 * pen)
    if b - a < 4:
        return None
    smooth = uniform_filter1d(np.clip(dark, 0.0, 1.0), max(3, round(pen)), axis=0)
    level = ABOVE_MM * STRIP_PX_PER_MM
    # The top is where all columns between the strokes are dark; a trace or a grid line may lie below it.
    inner = smooth[: round(level - LEAST_MM * STRIP_PX_PER_MM), a:b]
    one = _line(inner)
    two = max((_two_lines(inner, k) for k in range(3, inner.shape[1] - 2)), key=lambda t: t[2])
    stepped = two[2] > one[1] + STEP_GAIN and two[1] - two[0] > STEP_MM * STRIP_PX_PER_MM
    top, share = (two[0], two[2]) if stepped else one
    foot = _foot(dark, smooth, (left, right), pen, (top, level))
    if foot is None or foot - top < LEAST_MM * STRIP_PX_PER_MM:
        return None
    step = (foot - two[1]) / STRIP_PX_PER_MM if stepped else np.nan
    foot_mm = float(frame.to_mm(np.array([[foot, 0.0]]))[0, 0])
    width, height = strokes_mm[1] - strokes_mm[0], (foot - top) / STRIP_PX_PER_MM
    return Pulse(row.row_index, strokes_mm[0], width, height, probability * share, foot_mm, float(step))


def _line(part: Floats) -> tuple[float, float]:
    """Row of the darkest horizontal line of a part, to a fraction of a pixel, and its mean darkness."""
    profile = part.mean(axis=1)
    k = int(profile.argmax())
    reach = round(SHARP_MM * STRIP_PX_PER_MM)
    near = slice(max(0, k - reach), k + reach + 1)
    weight = np.maximum(profile[near] - 0.5 * profile[k], 0.0)
    return float(np.average(np.arange(near.start, near.start + weight.size), weights=weight + 1e-9)), float(
        profile[k]
    )


def _two_lines(part: Floats, split: int) -> tuple[float, float, float]:
    """Rows of the darkest lines left and right of a column, and their mean darkness."""
    (first, dark), (second, darker) = _line(part[:, :split]), _line(part[:, split:])
    n = part.shape[1]
    return first, second, (dark * split + darker * (n - split)) / n


def _foot(
    dark: Floats, smooth: Floats, strokes: tuple[float, float], pen: float, reach: tuple[float, float]
) -> float | None:
    """Row of the pulse's foot: of the lines outside its strokes where these end on them, else where they end.

    Args:
        reach: rows of its top and of the trace next to it.
    """
    feet: list[float] = []
    top = reach[0]
    aside, gap = max(1, round(0.3 * STRIP_PX_PER_MM)), round(GAP_MM * STRIP_PX_PER_MM)
    for stroke in strokes:
        column = dark[:, max(0, round(stroke) - aside) : round(stroke) + aside + 1].max(axis=1)
        between = column[round(top) : max(round(top) + gap, round(reach[1]))]
        seen = column > INK * min(1.0, float(np.quantile(between, 0.7)))
        # The right stroke of a pulse with a step begins at its step.
        first = round(top) + int(np.argmax(seen[round(top) : round(top) + between.size]))
        end = _end_of_run(seen, first, gap)
        if end is not None and end < len(dark) - 1:
            feet.append(end - 0.5 - 0.5 * pen)
    lines: list[float] = []
    low = round(top + LEAST_MM * STRIP_PX_PER_MM)
    for begin, behind in ((strokes[0] - 2.5 * STRIP_PX_PER_MM, strokes[0] - pen),
                        (strokes[1] + pen, strokes[1] + 2.5 * STRIP_PX_PER_MM)):  # fmt: skip
        part = smooth[low:, max(0, round(begin)) : max(1, round(behind))]
        if part.size:
            row, share = _line(part)
            if share > INK and min((abs(low + row - end) for end in feet), default=0.0) < 2.0 * gap:
                lines.append(low + row)
    return float(np.median(lines or feet)) if lines or feet else None


def _end_of_run(column: NDArray[np.bool_], start: int, gap: int) -> int | None:
    """Last row of a stroke from a row on, gaps bridged; None where there is no stroke."""
    end = None
    for a, b in runs(column[start:]):
        if a > (gap if end is None else end + gap):
            break
        end = b
    return None if end is None else start + end
