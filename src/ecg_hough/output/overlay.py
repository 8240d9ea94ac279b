"""Pictures for people: traces drawn on the page, the calibrated leads, and label maps.

In: the page's image and its `Ecg`. Out: an RGB picture, a label map, or a matplotlib figure. Nothing is
measured here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.numeric import runs
from ecg_hough.paper import LEADS, RECORD_S
from ecg_hough.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Colour = tuple[int, int, int]

LEAD_COLOURS: tuple[Colour, ...] = (
    (214, 39, 40),
    (31, 119, 180),
    (44, 160, 44),
    (148, 103, 189),
    (255, 127, 14),
    (23, 150, 170),
    (227, 60, 160),
    (120, 80, 60),
    (90, 130, 20),
    (20, 60, 200),
    (170, 20, 90),
    (0, 130, 100),
)
"""RGB, one a lead, apart from each other on a white or pink page."""
MAX_SIDE_PX = 2400
"""Longer side of the page in the overlay; a larger page is scaled down."""
FADE = 0.45
"""How far the page is faded towards white, so that the traces are visible."""
PANEL_ASPECT = 1.0
"""Width of the panel of calibrated leads, as a multiple of the page's height."""
ROW_MV = 3.0
"""Least height of a lead's row, in mV."""
BOX_S, BOX_MV = 0.2, 0.5
"""A large square of ECG paper at 25 mm/s and 10 mm/mV."""
GRID_COLOUR: Colour = (240, 188, 188)
TEXT_COLOUR: Colour = (60, 60, 60)
FONT = cv2.FONT_HERSHEY_SIMPLEX
SUBPIXEL_BITS = 3
"""OpenCV draws at 1/8 px, so that a trace does not look like stairs."""
LABEL_MM = 0.5
"""Width of the lines in label maps, mm: about that of a pen."""


def draw_overlay(image: NDArray[np.uint8], ecg: Record) -> NDArray[np.uint8]:
    """The page with its traces and lead names, and the calibrated leads to its right.

    Args:
        image: (rows, cols, 3) uint8 RGB, the image that was digitised.
        ecg: its record.

    Returns:
        (rows', cols', 3) uint8 RGB; at most 2400 px of page on the longer side.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be (rows, cols, 3) uint8; got {image.shape} {image.dtype}")
    scale = min(1.0, MAX_SIDE_PX / max(image.shape[:2]))
    if scale < 1.0:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    page = cv2.addWeighted(image, 1.0 - FADE, np.full_like(image, 255), FADE, 0.0).astype(np.uint8)
    thickness = max(1, round(min(page.shape[:2]) / 700))
    for trace in ecg.traces:
        colour = LEAD_COLOURS[LEADS.index(trace.lead)]
        # Pixel k's centre is at k, so the scale works about −0.5.
        points = (np.asarray(trace.points, dtype=np.float64) + 0.5) * scale - 0.5
        _draw_line(page, points, colour, thickness)
        seen = points[np.isfinite(points).all(axis=1)]
        if len(seen):
            top = float(np.min(seen[: max(1, len(seen) // 10), 0]))
            name = f"{trace.lead} (rhythm)" if trace.rhythm else trace.lead
            _draw_text(page, name, top - 6 * thickness, float(seen[0, 1]), colour, 0.4 * thickness + 0.2)
    return np.concatenate([page, _draw_leads(ecg, page.shape[0])], axis=1)


def _draw_leads(ecg: Record, height: int) -> NDArray[np.uint8]:
    """Twelve rows of calibrated leads on an ECG grid, `height` pixels tall."""
    width = round(height * PANEL_ASPECT)
    panel = np.full((height, width, 3), 255, np.uint8)
    font = height / 2200
    left, bottom = round(70 * font), round(40 * font)
    seconds = max(ecg.signals.shape[1] / ecg.fs, 1.0 / ecg.fs)
    px_per_s = (width - left - 4) / seconds
    row_px = (height - bottom) / len(LEADS)
    for time_s in np.arange(0.0, seconds + 1e-9, BOX_S):
        col = left + round(time_s * px_per_s)
        cv2.line(panel, (col, 0), (col, height - bottom), GRID_COLOUR, 1)
    for row, (lead, signal, status) in enumerate(zip(LEADS, ecg.signals, ecg.lead_status, strict=True)):
        centre = (row + 0.5) * row_px
        middle, span = _row_range(signal)
        px_per_mv = row_px / span
        n_boxes = int(span / BOX_MV / 2)
        for box in range(-n_boxes, n_boxes + 1):
            level = round(centre + box * BOX_MV * px_per_mv)
            cv2.line(panel, (left, level), (width, level), GRID_COLOUR, 1)
        colour = LEAD_COLOURS[row]
        _draw_text(panel, lead, centre, 4, colour, font)
        if not status.found:
            _draw_text(panel, status.reason or "not found", centre, left + 10, TEXT_COLOUR, font)
            continue
        cols = left + np.arange(signal.size) / ecg.fs * px_per_s
        rows = centre - (signal - middle) * px_per_mv
        _draw_line(panel, np.stack([rows, cols], axis=1), colour, max(1, round(2 * font)))
    note = f"{seconds:g} s; one box {BOX_S:g} s x {BOX_MV:g} mV; {ecg.layout}; {ecg.angle_deg:+.2f} deg"
    _draw_text(panel, note, height - bottom / 4, left, TEXT_COLOUR, 0.8 * font)
    return panel


def _row_range(signal: NDArray[np.floating]) -> tuple[float, float]:
    """Middle (a whole number of boxes) and height in mV of a lead's row; high leads get a taller scale."""
    if np.isnan(signal).all():
        return 0.0, ROW_MV
    low, high = float(np.nanmin(signal)), float(np.nanmax(signal))
    middle = round((low + high) / 2 / BOX_MV) * BOX_MV
    return middle, max(ROW_MV, 2.1 * max(high - middle, middle - low))


def _draw_line(image: NDArray[np.uint8], points: NDArray[np.floating], colour: Colour, width: int) -> None:
    """Draw (n, 2) row, col points, broken where they are NaN."""
    pieces = [
        np.rint(points[start:stop, ::-1] * (1 << SUBPIXEL_BITS)).astype(np.int32)[:, None]
        for start, stop in runs(np.isfinite(points).all(axis=1))
    ]
    if pieces:
        cv2.polylines(image, pieces, False, colour, width, cv2.LINE_AA, SUBPIXEL_BITS)


def _draw_text(
    image: NDArray[np.uint8], text: str, row: float, col: float, colour: Colour, size: float
) -> None:
    at = (round(col), max(round(row), round(22 * size)))
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(image, plain, at, FONT, size, (255, 255, 255), max(3, round(6 * size)), cv2.LINE_AA)
    cv2.putText(image, plain, at, FONT, size, colour, max(1, round(2 * size)), cv2.LINE_AA)


def draw_label_map(shape: tuple[int, ...], ecg: Record) -> NDArray[np.uint8]:
    """Label map (rows, cols) of the read traces: 0 background, k + 1 for LEADS[k].

    Args:
        shape: rows and columns of the page's image.
        ecg: the record; its scale, where known, gives the width of the line, `LABEL_MM`.
    """
    labels = np.zeros(shape[:2], np.uint8)
    scale = float(np.mean(ecg.px_per_mm)) if ecg.px_per_mm is not None else shape[1] / 280.0
    width = max(1, round(LABEL_MM * scale))
    for trace in ecg.traces:
        for a, b in runs(np.isfinite(trace.points).all(axis=1)):
            points = np.round(trace.points[a:b, ::-1] * 16).astype(np.int32)
            value = LEADS.index(trace.lead) + 1
            cv2.polylines(labels, [points[:, None]], False, value, width, cv2.LINE_8, 4)
    return labels


def plot_ecg(ecg: Record) -> Figure:
    """The 12 leads on an ECG grid, limb leads in the left column and chest leads in the right one.

    Grey shows the expected error (one standard deviation); a lead that was not found shows why.
    """
    from matplotlib.figure import Figure

    seconds = max(ecg.signals.shape[1] / ecg.fs, 1.0 / ecg.fs)
    figure = Figure(figsize=(7.0 + 0.9 * max(seconds, RECORD_S), 11.0), layout="constrained")
    n_rows = len(LEADS) // 2
    axes = figure.subplots(n_rows, 2, sharex=True)
    for index, lead in enumerate(LEADS):
        axis = axes[index % n_rows, index // n_rows]
        _plot_lead(axis, ecg, index, seconds)
        axis.set_ylabel(f"{lead} (mV)")
    for axis in axes[-1]:
        axis.set_xlabel("time (s)")
    figure.suptitle(f"{ecg.source}: layout {ecg.layout}, quality {ecg.quality:.2f}")
    return figure


def _plot_lead(axis: Axes, ecg: Record, index: int, seconds: float) -> None:
    signal, status = ecg.signals[index], ecg.lead_status[index]
    middle, span = _row_range(signal)
    low, high = middle - span / 2, middle + span / 2
    # Lines as collections: a grid of minor ticks takes seconds to draw.
    for part, width in ((5.0, 0.3), (1.0, 0.7)):
        step_s, step_mv = BOX_S / part, BOX_MV / part
        levels = np.arange(np.ceil(low / step_mv), np.floor(high / step_mv) + 1) * step_mv
        axis.vlines(np.arange(0.0, seconds + 1e-9, step_s), low, high, color="#f2b8b8", lw=width, zorder=0)
        axis.hlines(levels, 0.0, seconds, color="#f2b8b8", lw=width, zorder=0)
    axis.set(xlim=(0.0, seconds), ylim=(low, high))
    if not status.found:
        axis.text(
            seconds / 2, middle, status.reason or "not found", ha="center", va="center", color="#555555"
        )
        return
    times = np.arange(signal.size) / ecg.fs
    error = ecg.sd_mv[index]
    axis.fill_between(times, signal - error, signal + error, color="#999999", alpha=0.4, lw=0)
    axis.plot(times, signal, color="black", lw=0.8)
