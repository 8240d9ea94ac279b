"""Which lead is printed where: from the leads network's class probabilities to panels with coarse paths.

In: class probabilities on the canvas (1 + leads, rows, cols). Out: `PageLayout`, one `LeadPanel` for every
printed piece of a lead, all in canvas pixels.

Single pixels are often wrong (a lead's class bleeds into its neighbours, a panel may be misnamed as a whole),
but a page follows one of a few layouts. So rows are found from the ink alone (`rows`), the class evidence is
summed per row and column, and the layout that best explains all pixels and printed names wins (`assign`,
`edges`). The other layouts are handed on, because the traces may support one of them later
(`signals.choose_layout`). Where none fits, each row's segments by its own evidence are handed on as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Candidate, LeadPanel, PageLayout, PanelBox
from ecg_hough.errors import PageError
from ecg_hough.layout.assign import MIN_PANELS, BlockFrame, assign_rows
from ecg_hough.layout.edges import block_extent, on_edges_of, refine_edges, settle_edges
from ecg_hough.layout.named import named_layout
from ecg_hough.layout.names import CanvasName, PlacedName, add_names, place_names
from ecg_hough.layout.paths import PanelPlace, find_paths
from ecg_hough.layout.placed import PanelSpan, PlacedLayout, agreement, is_present, lead_share
from ecg_hough.layout.rows import RowEvidence, TraceRows, find_rows, gather_evidence
from ecg_hough.layout.segments import segment_rows
from ecg_hough.paper import KNOWN_LAYOUTS, LEADS, Layout

# Tuned on the disturbed masks of 200 rendered pages on a 704 px canvas (2.3-2.7 px/mm), see test_fit.
LEAN_MAX = 0.06
"""Largest lean of the column edges from the vertical, px per px."""
REFINED = 3
"""Likeliest layouts whose edges are refined."""
UNPLACED_TRACED_MIN = 0.8
"""Traced share of a row, of the page's median, from which it is a lead's and no stroke or line of letters."""
MIN_AGREEMENT = 0.5
"""Share of the traced columns that must carry the class their layout expects."""
NAMED_SHARE_MIN, MIN_AGREEMENT_NAMED = 0.75, 0.3
"""Share of the panels with their name printed next to them from which less agreement is enough: faint
traces."""
CONTRADICTED_MAX = 0.45
"""Largest share of surely read names that may contradict a known layout."""
SURE_NAME = 0.85
"""Score of a surely read name."""
NAMES_MIN = 2
"""Fewest names from which they are counted."""
ROWS_APART = 0.7
"""Least distance of a row from others, in pitches, that is no other level of the same trace."""
NAME_INSET_PX = 10.0
"""How far before its panel's start a name's middle may lie: 4 mm."""


@dataclass(frozen=True)
class LayoutFit:
    """The likeliest layout of a page, before its panels are traced.

    Attributes:
        rows, evidence: rows of traces and what they show of leads; names: printed ones that have a row.
        fit: the likeliest layout; others: the other known ones, likeliest first.
        agreement: share of the traced columns that carry the class expected there, 0 to 1.
        coherence: how much coherent, plausibly arranged trace the maps hold, nats per canvas column: the
            layout's likelihood gain weighted with its agreement. It compares quarter turns of one page: a
            wrong one scatters the classes and no layout fits.
    """

    rows: TraceRows
    evidence: RowEvidence
    names: tuple[PlacedName, ...]
    fit: PlacedLayout
    others: tuple[PlacedLayout, ...]
    agreement: float
    coherence: float

    @property
    def printed(self) -> frozenset[tuple[str, int]]:
        """Printed names as (lead, page row)."""
        return frozenset((LEADS[placed.name.lead], placed.row) for placed in self.names)


def fit_layout(probabilities: NDArray[np.float32]) -> LayoutFit | None:
    """Find the rows of traces and the layout that fits them best.

    Args:
        probabilities: (13, rows, cols) class probabilities, background first, then `paper.LEADS`; the
            page is upright with at most about 3 degrees of residual tilt.

    Returns:
        None where nothing looks like a trace.

    Raises:
        ValueError: not 13 maps.
    """
    n_classes = len(LEADS) + 1
    if probabilities.ndim != 3 or len(probabilities) != n_classes:
        raise ValueError(f"probabilities must be ({n_classes}, rows, cols); got {probabilities.shape}")
    rows = find_rows(probabilities)
    return _fitted(rows, gather_evidence(rows)) if rows is not None else None


def fit_names(fitted: LayoutFit, names: tuple[CanvasName, ...]) -> LayoutFit:
    """Fit again with names of leads read on the canvas; the same where none of them belongs to a row."""
    placed = place_names(names, fitted.rows, fitted.evidence)
    if not placed:
        return fitted
    return _fitted(fitted.rows, add_names(placed, fitted.rows, fitted.evidence), placed)


def _fitted(rows: TraceRows, evidence: RowEvidence, names: tuple[PlacedName, ...] = ()) -> LayoutFit:
    fit, others = _all_fits(rows, evidence, named_layout(names, rows))
    agreeing = agreement(fit.panels(evidence.level), evidence)
    coherence = max(0.0, fit.score * agreeing**2 / rows.lines.shape[1])
    return LayoutFit(rows, evidence, names, fit, others, agreeing, coherence)


@dataclass(frozen=True)
class _Check:
    """Whether the likeliest layout is the page's.

    Attributes:
        present: its panels that are on the page; whole: at least `MIN_PANELS` of the short ones are.
        contradicted: share of the surely read names that lie in a panel of another lead.
        fits: it is whole, agrees with the traces, and its printed names do not contradict it.
    """

    present: list[PanelSpan]
    whole: bool
    contradicted: float
    fits: bool


def find_layout(probabilities: NDArray[np.float32], fitted: LayoutFit | None = None) -> PageLayout:
    """Find which lead is printed where.

    Args:
        probabilities: as for `fit_layout`; fitted: its result, where it is known already.

    Raises:
        ValueError: not 13 maps.
        PageError: no trace on the page, or no lead that could be named.
    """
    fitted = fitted or fit_layout(probabilities)
    if fitted is None:
        share = float((probabilities[0] < 0.5).mean())
        raise PageError(
            "layout", f"a page needs a row of traces; {share:.2%} of it looks like trace. Is this an ECG?"
        )
    check = _check(fitted)
    loose = [] if check.fits else segment_rows(fitted.evidence)
    shown = check.present if check.whole else []
    if not (shown or loose):
        raise PageError("layout", f"{len(fitted.rows.lines)} trace rows found, but no lead could be named")
    # Rows without a place in the likeliest layout are traced as well: another layout may have one.
    placed = {panel.row for panel in shown}
    traced = [*shown, *(panel for panel in loose if panel.row not in placed)]
    panels = _as_panels(traced, fitted, probabilities)
    return PageLayout(
        panels=panels,
        layout=fitted.fit.layout if check.fits else None,
        score=fitted.fit.score,
        agreement=fitted.agreement,
        row_pitch=fitted.rows.pitch,
        named=_named_share(((panel.lead, panel.row_index) for panel in panels), fitted),
        printed=fitted.printed,
        warnings=_warnings(fitted, check),
        candidates=_candidates(fitted, shown, {panel.row for panel in traced}) if check.whole else (),
        loose=tuple(panel.box for panel in loose),
        unplaced=_unplaced(fitted.rows, {panel.row for panel in traced}),
    )


def _unplaced(rows: TraceRows, traced: set[int]) -> tuple[NDArray[np.float64], ...]:
    """Lines of the rows that are not traced and are as far from those that are as rows are."""
    levels = rows.lines.mean(axis=1)
    apart = [
        k
        for k in range(len(levels))
        if k not in traced and min(abs(levels[k] - levels[j]) for j in traced) >= ROWS_APART * rows.pitch
    ]
    return tuple(rows.lines[k] for k in apart)


def _check(fitted: LayoutFit) -> _Check:
    layout, evidence = fitted.fit.layout, fitted.evidence
    present = [panel for panel in fitted.fit.panels(evidence.level) if is_present(panel, evidence)]
    n_short = len(layout.rows) * layout.n_columns
    whole = sum(not panel.rhythm for panel in present) >= MIN_PANELS * n_short
    contradicted = _contradicted_share(fitted)
    named = _named_share(((LEADS[panel.lead], panel.row) for panel in present), fitted)
    least = MIN_AGREEMENT_NAMED if named >= NAMED_SHARE_MIN else MIN_AGREEMENT
    fits = whole and fitted.agreement >= least and contradicted <= CONTRADICTED_MAX
    return _Check(present, whole, contradicted, fits)


def _warnings(fitted: LayoutFit, check: _Check) -> tuple[str, ...]:
    layout = fitted.fit.layout
    if not check.fits:
        return (
            f"layout: no known layout fits what the leads network sees (best {layout.name}: "
            f"{fitted.agreement:.0%} of the traces agree, at least {MIN_AGREEMENT:.0%} are needed; "
            f"{check.contradicted:.0%} of the printed names contradict it, at most {CONTRADICTED_MAX:.0%} "
            "may)",
        )
    absent = len(layout.rows) * layout.n_columns + len(layout.rhythm) - len(check.present)
    return (f"layout: {absent} of the {layout.name} layout's panels are not on the page",) if absent else ()


def _named_share(panels: Iterable[tuple[str, int]], fitted: LayoutFit) -> float:
    """Share of panels, each as (lead, page row), whose lead's name is printed next to them."""
    is_printed = [panel in fitted.printed for panel in panels]
    return float(np.mean(is_printed)) if is_printed else 0.0


def _candidates(
    fitted: LayoutFit, present: list[PanelSpan], traced: set[int]
) -> tuple[Candidate[PanelBox], ...]:
    """All known layouts whose rows are traced, likeliest first; of the first the panels that are there."""
    n_traced = max(1.0, float(fitted.evidence.weight.sum()))
    out = []
    for fit in (fitted.fit, *fitted.others):
        panels = present if fit is fitted.fit else fit.panels(fitted.evidence.level)
        if {panel.row for panel in panels} <= traced:
            boxes = tuple(panel.box for panel in panels)
            out.append(Candidate(fit.layout, boxes, fit.score / n_traced))
    return tuple(out)


def _contradicted_share(fitted: LayoutFit) -> float:
    """Share of the surely read names that lie in a panel of another lead."""
    panels = fitted.fit.panels(fitted.evidence.level)
    sure = [placed for placed in fitted.names if placed.name.score >= SURE_NAME]
    contradicted = 0
    for placed in sure:
        # A name is printed a little before or behind its panel's start.
        at = placed.name.col + NAME_INSET_PX
        here = [p.lead for p in panels if p.row == placed.row and p.start - NAME_INSET_PX <= at < p.end]
        contradicted += bool(here) and placed.name.lead not in here
    return contradicted / len(sure) if len(sure) >= NAMES_MIN else 0.0


def _all_fits(
    rows: TraceRows, evidence: RowEvidence, named: Layout | None
) -> tuple[PlacedLayout, tuple[PlacedLayout, ...]]:
    """The layout of greatest likelihood, and all others: on rough edges, the best three on refined ones.

    `named` is a layout that is tried in addition to the known ones.
    """
    # A page turned by a small angle: columns lean by what the rows slope.
    lean = float(np.clip(-rows.slope, -LEAN_MAX, LEAN_MAX))
    frame = BlockFrame(*block_extent(evidence, lean), lean)
    templates = [*KNOWN_LAYOUTS, *([named] if named is not None else [])]
    fits = [assign_rows(template, evidence, frame) for template in templates]
    fits = sorted(fits, key=lambda fit: -fit.score)
    refined = [refine_edges(fit, evidence) for fit in fits[:REFINED]]
    fits[:REFINED] = sorted(refined, key=lambda fit: -fit.score)
    fits[0] = _with_all_rows(fits[0], evidence)
    best = settle_edges(fits[0], evidence)
    # Rows under wrong names have no place where that costs less: each layout is also tried with all of them,
    # and with just those of the best one.
    others = fits[1:]
    for used in dict.fromkeys([tuple(range(len(evidence.weight))), best.rows]):
        unlike = [fit for fit in fits if fit.rows != used]
        whole = [assign_rows(fit.template, evidence, frame, exactly=used) for fit in unlike]
        others += [fit for fit in whole if np.isfinite(fit.score)]
    return best, tuple(on_edges_of(best, fit) for fit in others)


def _with_all_rows(fit: PlacedLayout, evidence: RowEvidence) -> PlacedLayout:
    """The fit with a place for every row, where one row has none and as many of the layout are missing.

    A page that shows as many rows as its layout has shows those: some are under wrong names.
    """
    traced = evidence.weight.mean(axis=1)
    unplaced = sorted(set(range(len(traced))) - set(fit.rows))
    missing = len(fit.short) < len(fit.template.rows)
    if not (unplaced and missing) or traced[unplaced].min() < UNPLACED_TRACED_MIN * np.median(traced):
        return fit
    frame = BlockFrame(float(fit.edges[0]), float(fit.edges[-1]), float(fit.lean[0]))
    whole = assign_rows(fit.template, evidence, frame, exactly=tuple(range(len(traced))))
    return whole if np.isfinite(whole.score) else fit


def _as_panels(
    panels: list[PanelSpan], fitted: LayoutFit, probabilities: NDArray[np.float32]
) -> tuple[LeadPanel, ...]:
    """The panels with their coarse paths."""
    n_cols = probabilities.shape[2]
    columns = [panel.pixels(n_cols) for panel in panels]
    places = [PanelPlace(p.row, c.start, c.stop) for p, c in zip(panels, columns, strict=True)]
    paths = find_paths(places, probabilities, fitted.rows)
    return tuple(
        LeadPanel(**vars(panel.box), path_rows=path, confidence=min(1.0, lead_share(panel, fitted.evidence)))
        for panel, path in zip(panels, paths, strict=True)
    )
