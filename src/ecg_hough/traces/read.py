"""Rows of traces, read column by column at sub-pixel accuracy.

In: the page as it was found. Out: `Rows`: where each trace runs in page millimetres, the expected error of
each read-out, and where there is no trace. Two read-outs are possible: the trace network (a distribution over
rows for every column) and, as the named baseline, the 2024 winner's column centroid (Krones et al. 2024) of
the ink under the leads network's mask.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter

from ecg_hough.cores import pool_for
from ecg_hough.elements import RowTrace
from ecg_hough.layout.sheet import Sheet
from ecg_hough.networks.runtime import Network, load_network
from ecg_hough.options import SHIPPED, Options
from ecg_hough.traces.against_ink import against_ink
from ecg_hough.traces.look import PageReader
from ecg_hough.traces.marks import marks_of_rows
from ecg_hough.traces.reject import without_ruled_lines
from ecg_hough.traces.row_trace import row_trace
from ecg_hough.traces.rows import Rows
from ecg_hough.traces.second_look import read_together
from ecg_hough.traces.tiles import TRACE_NETWORK


def read_rows(sheet: Sheet, options: Options = SHIPPED) -> Rows:
    """Read every row of a page.

    Args:
        sheet: the page; options: read-out, and the steps of the method that are used.
    """
    network = load_network(TRACE_NETWORK) if options.readout == "trace" else None
    traces = without_ruled_lines(read_traces(sheet, network, options))
    ink, dark, checked = against_ink(sheet, traces, spikes=options.spikes)
    traces = traces if network is None else checked
    if network is None or not options.marks:
        return Rows(traces, ink, dark=dark)
    return Rows(traces, ink, marks_of_rows(sheet, traces), dark=dark)


def read_traces(sheet: Sheet, network: Network | None, options: Options) -> tuple[RowTrace, ...]:
    """Traces of all rows; without a network column centroids."""
    page = PageReader.of(
        sheet.image, sheet.page_map, sheet.canvas, sheet.probabilities, sheet.layout, network, options
    )
    # Much of a row's reading runs on one core: rows are read side by side.
    with pool_for(len(page.indices)) as pool:
        looks = [look for look in pool.map(page.look, range(len(page.indices))) if look is not None]
        if network is None:
            readouts = list(pool.map(attrgetter("readouts"), looks))
            return tuple(pool.map(partial(row_trace, page), looks, readouts))
        readouts, wrong = read_together(page, looks, pool)
        return tuple(pool.map(partial(row_trace, page), looks, readouts, wrong))
