"""Which lead a rhythm strip shows: the one whose short copy it repeats.

In: row traces, panels and their layout. Out: the same with the strips' names put right. A strip is drawn from
the same samples as the short panel of its lead, at the same place of the page (sequential columns) or at the
columns' start (simultaneous ones), so no printed name is needed to tell them apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from ecg_hough.columns import Window, column_edges, places_on_strip
from ecg_hough.layout_check import CheckedLayout
from ecg_hough.paper import Layout
from ecg_hough.raster import on_raster, time_apart
from ecg_hough.traces import RowTrace

# Tuned on own renders of all layouts (benchmark_pages, seeds 6161, 7777, 8888 and 9191).
ALIKE_MM = 0.3
"""Where a strip and its copy are farther apart, one of them is misread, and how far says nothing."""
CLEARER, CLEARER_THAN_PRINT = 0.1, 0.3
"""By how much more another lead's copy must agree than that of the name so far, or of a printed one."""
BEYOND_LEVEL = 0.85
"""A level line agrees with any strip between its beats; what agrees hardly more than that is no copy."""


def check_strips(
    rows: tuple[RowTrace, ...],
    windows: tuple[Window, ...],
    layout: Layout | None,
    *,
    printed: frozenset[tuple[str, int]] = frozenset(),
) -> CheckedLayout:
    """Rename rhythm strips that clearly repeat another lead than the one they were taken for.

    Args:
        rows: traces in page millimetres.
        windows, layout: panels at their columns' common edges, and the layout so far.
        printed: names, with their rows, that are printed there: given up less easily.
    """
    if layout is None or not layout.rhythm or layout.n_columns == 1:
        return CheckedLayout(layout, windows)
    by_row = {row.row_index: row for row in rows}
    short = [w for w in windows if not w.rhythm]
    if not short:
        return CheckedLayout(layout, windows)
    edges = column_edges(windows, layout.n_columns)
    strips = [w for w in windows if w.rhythm]
    # No page prints a strip twice: of all ways to give them different names the one that fits best.
    leads = sorted({w.lead for w in windows})
    cost = np.ones((len(strips), len(leads)))
    for k, strip in enumerate(strips):
        for lead, apart in _apart_from(strip, by_row, short, edges, layout).items():
            cost[k, leads.index(lead)] = apart
        believed = CLEARER_THAN_PRINT if (strip.lead, strip.row_index) in printed else CLEARER
        cost[k, leads.index(strip.lead)] -= believed
    named = {strips[k].row_index: leads[j] for k, j in zip(*linear_sum_assignment(cost), strict=True)}
    changed = [f"{w.lead} to {named[w.row_index]}" for w in strips if named[w.row_index] != w.lead]
    if not changed:
        return CheckedLayout(layout, windows)
    out = [replace(w, lead=named.get(w.row_index, w.lead)) if w.rhythm else w for w in windows]
    rhythm = tuple(w.lead for w in out if w.rhythm)
    words = f"layout: rhythm strip renamed from {', '.join(changed)}, whose short copy it repeats"
    return CheckedLayout(layout.with_strips(rhythm), tuple(out), (words,))


def _apart_from(
    strip: Window,
    by_row: dict[int, RowTrace],
    short: list[Window],
    edges: tuple[list[float], list[float]],
    layout: Layout,
) -> dict[str, float]:
    """In what share of the time a strip differs from a lead's short panel, in the better of both orders.

    Other leads than the strip's own are left out where a level line agrees nearly as well.
    """
    starts, ends = edges
    length = min(b - a for a, b in zip(starts, ends, strict=True))
    at = [on_raster(by_row[strip.row_index], start, length) for start in places_on_strip(starts, ends)]
    level = float(np.median([time_apart(y, np.zeros(y.size), ALIKE_MM) for y in at]))
    out: dict[str, float] = {}
    for w in short:
        copy = on_raster(by_row[w.row_index], starts[w.column_index], length)
        # Cabrera pages print -aVR among the limb leads, and aVR as a strip.
        signs = (1.0, -1.0) if w.lead == "aVR" and layout.cabrera else (1.0,)
        apart = min(time_apart(at[k], sign * copy, ALIKE_MM) for k in {0, w.column_index} for sign in signs)
        if apart <= BEYOND_LEVEL * level or w.lead == strip.lead:
            out[w.lead] = min(apart, out.get(w.lead, 1.0))
    return out
