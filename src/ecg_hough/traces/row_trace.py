"""From a row's read-outs to its trace in page millimetres.

In: a look at a row and its read-outs. Out: `RowTrace`: without loose ends, with the stroke fitted to the ink.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import RowTrace
from ecg_hough.geometry.strips import STRIP_PX_PER_MM
from ecg_hough.traces.distribution import Readouts
from ecg_hough.traces.look import PRESENT_MIN, PageReader, RowLook, in_mm
from ecg_hough.traces.reject import without_loose_ends
from ecg_hough.traces.stroke_fit import FittedStroke, fit_stroke

READOUT_SD_TIMES = 0.75
"""Error of the fitted rows, in standard deviations of the network's distribution: with it 90% of the errors
lie within 1.645 of it on rendered pages (the confidence check)."""


def row_trace(
    page: PageReader, look: RowLook, readouts: Readouts, wrong: NDArray[np.float64] | None = None
) -> RowTrace:
    """A row in page millimetres, with the stroke fitted to its ink.

    Args:
        wrong: (n,) probability that a read-out lies on another row's ink; None where it was not estimated.
    """
    presence = np.where(look.inside, readouts.presence, 0.0)
    seen = without_loose_ends(readouts.rows, presence >= PRESENT_MIN)
    stroke = FittedStroke(readouts.rows)
    if page.options.stroke_fit:
        stroke = fit_stroke(
            look.strip,
            readouts.rows,
            readouts.sd,
            seen,
            STRIP_PX_PER_MM,
            image_px_per_mm=page.px_per_mm,
            grid_out=page.options.grid_out,
        )
    y_mm, x_mm = in_mm(stroke.rows, look.frame)
    sd_mm = READOUT_SD_TIMES * readouts.sd / STRIP_PX_PER_MM
    y_mm, sd_mm = np.where(seen, y_mm, np.nan), np.where(seen, sd_mm, np.nan)
    pen_mm = stroke.width_px / STRIP_PX_PER_MM
    return RowTrace(look.row_index, x_mm, y_mm, sd_mm, presence, pen_mm, stroke.bars, wrong=wrong)
