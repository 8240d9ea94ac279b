"""Which lead a rhythm strip shows: the one whose short copy it repeats.

In: row traces, panels and their layout. Out: the same with the strips' names corrected. A strip is drawn from
the same samples as the short panel of its lead, at the same place of the page (sequential columns) or at the
columns' start (simultaneous ones), so strips can be named without printed names.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ecg_hough.elements import RowTrace, Window
from ecg_hough.paper import Layout
from ecg_hough.signals.columns import column_edges, places_on_strip
from ecg_hough.signals.raster import on_raster, share_of_time_apart

log = logging.getLogger(__name__)

ALIKE_MM = 0.3
"""Where a strip and its copy are farther apart than this, one of them is misread; how far does not matter."""
APART_FLOOR, APART_MOST = 0.03, 0.8
"""Share of the time in which a strip and its copy differ through reading errors alone, and from which on all
leads are equally unlike."""
WEIGHTS = (7.8, 4.5, 0.8)
"""Log odds of a lead by the share of time in which its copy differs (minus its logarithm), by being printed
there, and by being the name so far. Fitted to 192 own renders with strips. `python -m
ecg_hough.training.strip_fit` refits them in some minutes: on 115 strips of 60 pages it gives (3.5, 0.9, 1.8).
Of 49 strips on held-out pages the names so far are right for 63.3%, these weights and the refit for 95.9%
each."""


@dataclass(frozen=True)
class NamedStrips:
    """Layout and panels with the strips' final names; a warning where these differ from the names before."""

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
        printed: names that are printed there, with their rows: they weigh more than the name so far.
    """
    if layout is None:
        return NamedStrips(layout, windows)
    strips, leads, features = measure(rows, windows, layout, printed)
    assigned = assign_leads(features, np.array(WEIGHTS))
    named = {strip.row_index: leads[k] for strip, k in zip(strips, assigned, strict=True)}
    for strip, odds in zip(strips, features @ WEIGHTS, strict=True):
        _log_choice(strip, leads, odds, named[strip.row_index], printed)
    changed = [f"{w.lead} to {named[w.row_index]}" for w in strips if named[w.row_index] != w.lead]
    if not changed:
        return NamedStrips(layout, windows)
    out = [replace(w, lead=named.get(w.row_index, w.lead)) if w.rhythm else w for w in windows]
    rhythm = tuple(w.lead for w in out if w.rhythm)
    words = f"layout: rhythm strip renamed from {', '.join(changed)}, whose short copy it repeats"
    return NamedStrips(layout.with_strips(rhythm), tuple(out), (words,))


def assign_leads(features: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.intp]:
    """(strips,) index of each strip's lead: the likeliest way to give a page's strips different names.

    Args:
        features: (strips, leads, 3), see `measure`; weights: (3,).
    """
    return np.asarray(linear_sum_assignment(features @ weights, maximize=True)[1])


def measure(
    rows: tuple[RowTrace, ...],
    windows: tuple[Window, ...],
    layout: Layout,
    printed: frozenset[tuple[str, int]] = frozenset(),
) -> tuple[list[Window], list[str], NDArray[np.float64]]:
    """The page's strips (k,), its leads (n,), and the features of each pair (k, n, 3) that `WEIGHTS` weigh.

    Without short leads there is nothing to compare a strip with, and no strips are returned.
    """
    if not layout.rhythm or layout.n_columns == 1 or all(w.rhythm for w in windows):
        return [], [], np.zeros((0, 0, len(WEIGHTS)))
    strips, leads = [w for w in windows if w.rhythm], sorted({w.lead for w in windows})
    features = np.zeros((len(strips), len(leads), len(WEIGHTS)))
    for k, apart in enumerate(_shares_apart(rows, windows, layout, strips, leads)):
        features[k, :, 0] = -np.log(np.minimum(apart, APART_MOST) + APART_FLOOR)
        features[k, :, 1] = [(lead, strips[k].row_index) in printed for lead in leads]
        features[k, :, 2] = [lead == strips[k].lead for lead in leads]
    return strips, leads, features


def _shares_apart(
    rows: tuple[RowTrace, ...],
    windows: tuple[Window, ...],
    layout: Layout,
    strips: list[Window],
    leads: list[str],
) -> list[NDArray[np.float64]]:
    """For every strip the share of the time in which it differs from each lead's short copy, (leads,)."""
    by_row = {row.row_index: row for row in rows}
    starts, ends = column_edges(windows, layout.n_columns)
    length = min(b - a for a, b in zip(starts, ends, strict=True))
    copies = [
        (w, on_raster(by_row[w.row_index], starts[w.column_index], length)) for w in windows if not w.rhythm
    ]
    out = []
    for strip in strips:
        at = [on_raster(by_row[strip.row_index], start, length) for start in places_on_strip(starts, ends)]
        apart = np.full(len(leads), np.nan)
        for w, copy in copies:
            apart[leads.index(w.lead)] = _apart(at[0], at[w.column_index], copy, w.lead, layout)
        # A lead without a short copy has no evidence in its favour.
        apart[np.isnan(apart)] = np.nanmax(apart)
        out.append(apart)
    return out


def _apart(
    at_start: NDArray[np.float64],
    under: NDArray[np.float64],
    copy: NDArray[np.float64],
    lead: str,
    layout: Layout,
) -> float:
    """Share of the time in which a strip differs from a short panel, in the better of both orders."""
    # Cabrera pages print -aVR among the limb leads, and aVR as a strip.
    signs = (1.0, -1.0) if lead == "aVR" and layout.cabrera else (1.0,)
    return min(
        share_of_time_apart(part, sign * copy, ALIKE_MM) for part in (at_start, under) for sign in signs
    )


def _log_choice(
    strip: Window,
    leads: list[str],
    odds: NDArray[np.float64],
    chosen: str,
    printed: frozenset[tuple[str, int]],
) -> None:
    """Log the lead that a strip was given, and the name before and a printed one that it overruled."""
    best = odds[leads.index(chosen)]
    log.info("rhythm strip in row %d: %s, log odds %.1f", strip.row_index, chosen, best)
    for k, lead in enumerate(leads):
        source = (
            "printed" if (lead, strip.row_index) in printed else "earlier" if lead == strip.lead else None
        )
        if source and lead != chosen:
            log.debug(
                "rhythm strip in row %d: %s name %s rejected: log odds %.1f, those of %s are %.1f",
                strip.row_index, source, lead, odds[k], chosen, best,
            )  # fmt: skip
