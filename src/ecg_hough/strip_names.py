"""Which lead a rhythm strip shows: the one whose short copy it repeats.

In: row traces, panels and their layout. Out: the same with the strips' names put right. A strip is drawn from
the same samples as the short panel of its lead, at the same place of the page (sequential columns) or at the
columns' start (simultaneous ones), so no printed name is needed to tell them apart.
"""

from __future__ import annotations

from dataclasses import replace

from ecg_hough.calibration import Window
from ecg_hough.column_order import column_edges, on_raster, share_left
from ecg_hough.limb_check import CheckedLayout
from ecg_hough.paper import Layout, make_layout
from ecg_hough.traces import RowTrace

# Tuned on own renders of all layouts (benchmark_pages, other seeds than the published one).
COPY_MAX = 0.03
"""Largest share of variance by which a strip differs from the short copy of its lead."""
OTHER_TIMES, OTHER_FLOOR = 3.0, 0.004
"""How many times more the name that is given up must differ; what reading alone leaves."""


def check_strips(
    rows: tuple[RowTrace, ...], windows: tuple[Window, ...], layout: Layout | None
) -> CheckedLayout:
    """Rename rhythm strips that clearly repeat another lead than the one they were taken for.

    Args:
        rows: traces in page millimetres; windows, layout: panels and layout so far.
    """
    if layout is None or not layout.rhythm or layout.n_columns == 1:
        return CheckedLayout(layout, windows)
    by_row = {row.row_index: row for row in rows}
    short = [w for w in windows if not w.rhythm and w.row_index in by_row]
    if not short:
        return CheckedLayout(layout, windows)
    starts, ends = column_edges(windows, layout.n_columns)
    length = min(b - a for a, b in zip(starts, ends, strict=True))
    out, changed = [], []
    for window in windows:
        lead = window.lead
        if window.rhythm and window.row_index in by_row:
            strip = by_row[window.row_index]
            at = {start: on_raster(strip, start, length) for start in starts}
            rest: dict[str, float] = {}
            for w in short:
                copy = on_raster(by_row[w.row_index], starts[w.column_index], length)
                # Cabrera pages print -aVR among the limb leads, and aVR as a strip.
                signs = (1.0, -1.0) if w.lead == "aVR" and layout.cabrera else (1.0,)
                left = min(
                    share_left(at[starts[k]], sign * copy) for k in {0, w.column_index} for sign in signs
                )
                rest[w.lead] = min(left, rest.get(w.lead, 1.0))
            best = min(rest, key=lambda name: rest[name])
            if rest[best] <= COPY_MAX and rest.get(lead, 1.0) >= OTHER_TIMES * (rest[best] + OTHER_FLOOR):
                changed.append(f"{lead} to {best}")
                lead = best
        out.append(replace(window, lead=lead))
    if not changed:
        return CheckedLayout(layout, windows)
    rhythm = tuple(w.lead for w in out if w.rhythm)
    shape = layout.name.split("+")[0].removesuffix("-cabrera")
    words = f"layout: rhythm strip renamed from {', '.join(changed)}, whose short copy it repeats"
    return CheckedLayout(make_layout(shape, rhythm=rhythm, cabrera=layout.cabrera), tuple(out), (words,))
