"""Traces held against the page's ink: spikes that were missed, tips that are not seen.

In: the page and its traces. Out: what is ink, and where, and the traces: pacing spikes as high as theirs
(`spikes`), and with the probability of being wrong where ink goes on beyond a tip (`tips`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import RowTrace
from ecg_hough.layout.sheet import Sheet
from ecg_hough.traces.ink import InkModel, find_ink
from ecg_hough.traces.spikes import with_spikes
from ecg_hough.traces.tips import with_unseen_tips


def against_ink(
    sheet: Sheet, rows: tuple[RowTrace, ...], *, spikes: bool = True
) -> tuple[InkModel | None, NDArray[np.bool_] | None, tuple[RowTrace, ...]]:
    """What is ink on the page, and (rows, cols) which pixels are, None where it cannot be distinguished from
    the paper; and the page's traces.

    Args:
        rows: all of the page's traces; spikes: pacing spikes are read at their printed height.
    """
    ink = find_ink(sheet.image, sheet.page_map, rows)
    if ink is None:
        return None, None, rows
    dark = ink.dark(sheet.image)
    if spikes:
        rows = with_spikes(dark, sheet.page_map, rows, sheet.words_mm)
    return ink, dark, with_unseen_tips(dark, sheet.page_map, rows)
