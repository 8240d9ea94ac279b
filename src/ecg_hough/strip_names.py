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
from ecg_hough.raster import on_raster, share_left
from ecg_hough.traces import RowTrace

# Tuned on own renders of all layouts (benchmark_pages, other seeds than the published one).
COPY_MAX = 0.06
"""Largest share of variance by which a strip differs from the short copy of its lead."""
OTHER_TIMES, OTHER_FLOOR = 1.5, 0.001
"""How many times more the name that is given up must differ; what reading alone leaves."""
PRINTED_TIMES = 8.0
"""The same for a name that is printed: II is misread as III, but few others are."""


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
    rests = [_rests(by_row[strip.row_index], by_row, short, edges, layout) for strip in strips]
    named = {strip.row_index: strip.lead for strip in strips}
    for strip, rest in zip(strips, rests, strict=True):
        best = min(rest, key=lambda name: rest[name])
        times = PRINTED_TIMES if (strip.lead, strip.row_index) in printed else OTHER_TIMES
        clear = rest.get(strip.lead, 1.0) >= times * (rest[best] + OTHER_FLOOR)
        if rest[best] <= COPY_MAX and clear:
            named[strip.row_index] = best
    if len(set(named.values())) < len(named):
        # No page prints a strip twice: of all ways to give them different names the one that fits best.
        leads = sorted(set().union(*rests))
        cost = np.array([[rest.get(lead, 1.0) for lead in leads] for rest in rests])
        for k, j in zip(*linear_sum_assignment(cost), strict=True):
            named[strips[k].row_index] = leads[j]
    changed = [f"{w.lead} to {named[w.row_index]}" for w in strips if named[w.row_index] != w.lead]
    if not changed:
        return CheckedLayout(layout, windows)
    out = [replace(w, lead=named.get(w.row_index, w.lead)) if w.rhythm else w for w in windows]
    rhythm = tuple(w.lead for w in out if w.rhythm)
    words = f"layout: rhythm strip renamed from {', '.join(changed)}, whose short copy it repeats"
    return CheckedLayout(layout.with_strips(rhythm), tuple(out), (words,))


def _rests(
    strip: RowTrace,
    by_row: dict[int, RowTrace],
    short: list[Window],
    edges: tuple[list[float], list[float]],
    layout: Layout,
) -> dict[str, float]:
    """By how much of its variance a strip differs from every short panel, in the better of both orders."""
    starts, ends = edges
    length = min(b - a for a, b in zip(starts, ends, strict=True))
    at = [on_raster(strip, start, length) for start in places_on_strip(starts, ends)]
    rest: dict[str, float] = {}
    for w in short:
        copy = on_raster(by_row[w.row_index], starts[w.column_index], length)
        # Cabrera pages print -aVR among the limb leads, and aVR as a strip.
        signs = (1.0, -1.0) if w.lead == "aVR" and layout.cabrera else (1.0,)
        left = min(share_left(at[k], sign * copy) for k in {0, w.column_index} for sign in signs)
        rest[w.lead] = min(left, rest.get(w.lead, 1.0))
    return rest
