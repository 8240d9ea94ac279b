"""Which lead a rhythm strip shows: the one whose short copy it repeats.

In: row traces, panels and their layout. Out: the same with the strips' names put right. A strip is drawn from
the same samples as the short panel of its lead, at the same place of the page (sequential columns) or at the
columns' start (simultaneous ones), so no printed name is needed to tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ecg_hough.elements import RowTrace, Window
from ecg_hough.paper import Layout
from ecg_hough.signals.columns import column_edges, places_on_strip
from ecg_hough.signals.raster import on_raster, time_apart

ALIKE_MM = 0.3
"""Where a strip and its copy are farther apart, one is misread, and how far says nothing."""
APART_FLOOR, APART_MOST = 0.03, 0.8
"""What reading leaves of a strip and its copy, and where all else is equally unlike."""
WEIGHTS = (7.8, 4.5, 0.8)
"""Log odds of a lead by the share of time in which its copy differs (minus its logarithm), by being printed
there, and by being the name so far. Logistic regression on 192 own renders with strips
(benchmark_pages, seeds 31313, 42424, 53535 and 64646)."""


@dataclass(frozen=True)
class NamedStrips:
    """Layout and panels with the strips' names to go on with; warnings where those are others than before."""

    layout: Layout | None
    windows: tuple[Window, ...]
    warnings: tuple[str, ...] = ()


def check_strips(
    rows: tuple[RowTrace, ...],
    windows: tuple[Window, ...],
    layout: Layout | None,
    *,
    printed: frozenset[tuple[str, int]] = frozenset(),
) -> NamedStrips:
    """Rename rhythm strips that clearly repeat another lead than the one they were taken for.

    Args:
        rows: traces in page millimetres.
        windows, layout: panels at their columns' common edges, and the layout so far.
        printed: names, with their rows, that are printed there: given up less easily.
    """
    if layout is None:
        return NamedStrips(layout, windows)
    strips, leads, features = measure(rows, windows, layout, printed)
    # No page prints a strip twice: of all ways to give them different names the likeliest.
    assigned = zip(*linear_sum_assignment(features @ WEIGHTS, maximize=True), strict=True)
    named = {strips[k].row_index: leads[j] for k, j in assigned}
    changed = [f"{w.lead} to {named[w.row_index]}" for w in strips if named[w.row_index] != w.lead]
    if not changed:
        return NamedStrips(layout, windows)
    out = [replace(w, lead=named.get(w.row_index, w.lead)) if w.rhythm else w for w in windows]
    rhythm = tuple(w.lead for w in out if w.rhythm)
    words = f"layout: rhythm strip renamed from {', '.join(changed)}, whose short copy it repeats"
    return NamedStrips(layout.with_strips(rhythm), tuple(out), (words,))


def measure(
    rows: tuple[RowTrace, ...],
    windows: tuple[Window, ...],
    layout: Layout,
    printed: frozenset[tuple[str, int]] = frozenset(),
) -> tuple[list[Window], list[str], NDArray[np.float64]]:
    """The page's strips (k,), its leads (n,), and what `WEIGHTS` weigh of each of them (k, n, 3).

    Without short leads beside strips there is nothing to compare, and no strips are returned.
    """
    if not layout.rhythm or layout.n_columns == 1 or all(w.rhythm for w in windows):
        return [], [], np.zeros((0, 0, len(WEIGHTS)))
    by_row = {row.row_index: row for row in rows}
    starts, ends = column_edges(windows, layout.n_columns)
    length = min(b - a for a, b in zip(starts, ends, strict=True))
    strips, leads = [w for w in windows if w.rhythm], sorted({w.lead for w in windows})
    features = np.zeros((len(strips), len(leads), len(WEIGHTS)))
    copies = [
        (w, on_raster(by_row[w.row_index], starts[w.column_index], length)) for w in windows if not w.rhythm
    ]
    for k, strip in enumerate(strips):
        at = [on_raster(by_row[strip.row_index], start, length) for start in places_on_strip(starts, ends)]
        apart = np.full(len(leads), np.nan)
        for w, copy in copies:
            apart[leads.index(w.lead)] = _apart(at[0], at[w.column_index], copy, w.lead, layout)
        # Of a lead without a copy nothing is known that speaks for it.
        apart[np.isnan(apart)] = np.nanmax(apart)
        features[k, :, 0] = -np.log(np.minimum(apart, APART_MOST) + APART_FLOOR)
        features[k, :, 1] = [(lead, strip.row_index) in printed for lead in leads]
        features[k, :, 2] = [lead == strip.lead for lead in leads]
    return strips, leads, features


def _apart(
    at_start: NDArray[np.float64],
    under: NDArray[np.float64],
    copy: NDArray[np.float64],
    lead: str,
    layout: Layout,
) -> float:
    """In what share of the time a strip differs from a short panel, in the better of both orders."""
    # Cabrera pages print -aVR among the limb leads, and aVR as a strip.
    signs = (1.0, -1.0) if lead == "aVR" and layout.cabrera else (1.0,)
    return min(time_apart(part, sign * copy, ALIKE_MM) for part in (at_start, under) for sign in signs)
