"""Rows of traces, read column by column at sub-pixel accuracy.

In: the page as it was found. Out: `Rows`: where each trace runs in page millimetres, the expected error of
each read-out, and where there is no trace. Two read-outs are possible: the trace network (a distribution over
rows for every column) and, as the named baseline, the 2024 winner's column centroid (Krones et al. 2024) of
the ink under the leads network's mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from operator import attrgetter

import numpy as np

from ecg_hough.cores import pool_for
from ecg_hough.elements import RowTrace
from ecg_hough.geometry.strips import STRIP_PX_PER_MM
from ecg_hough.layout.sheet import Sheet
from ecg_hough.networks.runtime import Network, load_network
from ecg_hough.options import SHIPPED, Options
from ecg_hough.traces.distribution import Readouts
from ecg_hough.traces.ink import InkModel, find_ink
from ecg_hough.traces.look import PRESENT_MIN, PageReader, RowLook, in_mm
from ecg_hough.traces.reject import without_loose_ends, without_ruled_lines
from ecg_hough.traces.second_look import read_together
from ecg_hough.traces.stroke_fit import FittedStroke, fit_stroke

TRACE_NETWORK = "traces"
READOUT_SD_TIMES = 0.75
"""Error of the fitted rows, in standard deviations of the network's distribution: with it 90% of the errors
lie within 1.645 of it on rendered pages (the confidence check)."""


@dataclass(frozen=True)
class Rows:
    """All rows of a page.

    Attributes:
        traces: rows in page millimetres, from the top.
        ink: what is ink on the page; None where it cannot be distinguished from the paper.
    """

    traces: tuple[RowTrace, ...]
    ink: InkModel | None


def read_rows(sheet: Sheet, options: Options = SHIPPED) -> Rows:
    """Read every row of a page.

    Args:
        sheet: the page; options: read-out, and the steps of the method that are used.
    """
    network = load_network(TRACE_NETWORK) if options.readout == "trace" else None
    traces = without_ruled_lines(read_traces(sheet, network, options))
    return Rows(traces, find_ink(sheet.image, sheet.page_map, traces))


def read_traces(sheet: Sheet, network: Network | None, options: Options) -> tuple[RowTrace, ...]:
    """Traces of all rows; without a network column centroids."""
    page = PageReader.of(sheet, network, options)
    # Much of a row's reading runs on one core: rows are read side by side.
    with pool_for(len(page.indices)) as pool:
        looks = [look for look in pool.map(page.look, range(len(page.indices))) if look is not None]
        if network is None:
            readouts = list(pool.map(attrgetter("readouts"), looks))
        else:
            readouts = read_together(page, looks, pool)
        return tuple(pool.map(partial(_row_trace, page), looks, readouts))


def _row_trace(page: PageReader, look: RowLook, readouts: Readouts) -> RowTrace:
    """A row in page millimetres, with the stroke fitted to its ink."""
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
    return RowTrace(look.row_index, x_mm, y_mm, sd_mm, presence, pen_mm, stroke.bars)
