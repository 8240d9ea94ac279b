"""Paper speed and gain of a page: given, printed, stated by its pulses, or assumed.

In: the page's pixels, map, traces and panels. Out: `PaperScale` and in words what was assumed. A wrong
reading is worse than none: evidence counts only where it is strong, and the standard 25 mm/s and
10 mm/mV are taken otherwise, with a warning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.calibration import PulsePlace, Window
from ecg_hough.geometry import PageMap
from ecg_hough.ink import find_ink
from ecg_hough.paper import GAIN_MM_MV, PAPER_SPEED_MM_S
from ecg_hough.printed_scale import PrintedScale, read_printed_scale
from ecg_hough.pulse import SNAP_SHARE, Pulse, find_pulses, gain_of_pulses, place_of_pulses
from ecg_hough.traces import RowTrace

SNAP_UNSURE = 0.25
"""Allowed error of a pulse's height where the page shows no grid."""
CONTRAST_MIN = 0.6
"""Least contrast of ink to grid at which pulses and text are looked for."""
UNUSUAL_MIN = 0.78
"""Least correlation of printed text that states another speed or gain than the usual one: on noisy pages "25"
has been read as "50" at 0.67, true ones reach 0.83 and more. A wrong scale costs the page, a missing one
a warning."""
WIDE_PULSE_MM = 8.0
"""A pulse lasts 0.2 s on most carts: one this wide hints at 50 mm/s."""


@dataclass(frozen=True)
class PaperScale:
    """Speed and gain, where each comes from ("given", "text", "pulse", "assumed"), warnings, and where the
    page's pulses stand."""

    speed_mm_s: float
    gain_mm_mv: float
    speed_from: str
    gain_from: str
    warnings: tuple[str, ...] = ()
    pulse: PulsePlace | None = None


def find_paper_scale(
    image: NDArray[np.uint8],
    page_map: PageMap,
    rows: tuple[RowTrace, ...],
    windows: tuple[Window, ...],
    *,
    speed_mm_s: float | None = None,
    gain_mm_mv: float | None = None,
    has_grid: bool = True,
) -> PaperScale:
    """Find a page's speed and gain.

    Args:
        image: the page, upright (rows, cols, 3); page_map: its millimetres; rows, windows: traces, panels.
        speed_mm_s, gain_mm_mv: what the user knows; it wins.
        has_grid: whether the millimetres come from a grid.
    """
    if speed_mm_s is not None and gain_mm_mv is not None:
        return PaperScale(speed_mm_s, gain_mm_mv, "given", "given")
    ink = find_ink(image, page_map, rows)
    pulses: tuple[Pulse, ...] = ()
    printed = PrintedScale()
    if ink is not None and ink.contrast >= CONTRAST_MIN:
        pulses = find_pulses(image, page_map, ink, rows, windows)
        printed = _believed(read_printed_scale(image, page_map, ink))
    warnings = []
    speed, speed_from = speed_mm_s, "given"
    if speed is None:
        speed, speed_from = printed.speed_mm_s, "text"
    if speed is None:
        speed, speed_from = PAPER_SPEED_MM_S, "assumed"
        words = f"paper speed of {speed:g} mm/s assumed: none could be read on the page"
        if pulses and float(np.median([p.width_mm for p in pulses])) >= WIDE_PULSE_MM:
            words += ", and its pulses are as wide as 0.2 s at 50 mm/s"
        warnings.append(words)
    pulse_gain = gain_of_pulses(pulses, len(rows), SNAP_SHARE if has_grid else SNAP_UNSURE)
    gain, gain_from = gain_mm_mv, "given"
    if gain is None:
        # The pulse was drawn with the traces, whatever the text says.
        gain, gain_from = (pulse_gain, "pulse") if pulse_gain is not None else (printed.gain_mm_mv, "text")
        if pulse_gain is not None and printed.gain_mm_mv not in (None, pulse_gain):
            warnings.append(
                f"the calibration pulse is {pulse_gain:g} mm high, the page says {printed.gain_mm_mv:g}"
                " mm/mV; the pulse was taken"
            )
    if gain is None:
        gain, gain_from = GAIN_MM_MV, "assumed"
        warnings.append(f"gain of {gain:g} mm/mV assumed: no calibration pulse or text could be read")
    place = place_of_pulses(pulses, gain)
    return PaperScale(speed, gain, speed_from, gain_from, tuple(warnings), place)


def _believed(printed: PrintedScale) -> PrintedScale:
    """Without what is unusual and not clearly printed."""
    if printed.speed_mm_s != PAPER_SPEED_MM_S and printed.speed_score < UNUSUAL_MIN:
        printed = replace(printed, speed_mm_s=None)
    if printed.gain_mm_mv != GAIN_MM_MV and printed.gain_score < UNUSUAL_MIN:
        printed = replace(printed, gain_mm_mv=None)
    return printed
