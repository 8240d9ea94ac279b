"""Which lead stands where: from the leads network's class probabilities to panels with coarse paths.

In: class probabilities on the canvas (13, rows, cols). Out: `PageLayout`, one `LeadPanel` for every
printed piece of a lead, all in canvas pixels.

Single pixels name their lead unreliably (a lead's class bleeds into its neighbours, a panel may be
misnamed as a whole), but the page as a whole obeys one of few layouts. So rows are found from the
ink alone (`rows`), the class evidence is summed per row and column, and the known layouts compete for
it by likelihood. All of them are handed on, since traces may tell later which one it is (`layout_check`);
where none fits, each row's segments by its own evidence are handed on, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Candidate, LeadPanel, PageLayout, PanelBox
from ecg_hough.errors import PageError
from ecg_hough.layout.named import named_layout
from ecg_hough.layout.names import CanvasName, PlacedName, add_names, place_names
from ecg_hough.layout.paths import PanelPlace, find_paths
from ecg_hough.layout.rows import RowEvidence, TraceRows, at_columns, cumulate, find_rows, gather_evidence
from ecg_hough.paper import KNOWN_LAYOUTS, LEADS, Layout

# Tuned on the disturbed masks of 200 rendered pages on a 704 px canvas (2.3-2.7 px/mm), see test_layout.
MISSING_COST = 30.0
"""Cost of a layout's panel that is not on the page, in nats: about 12 columns' worth."""
RHYTHM_COST = 25.0
"""Cost of calling a row a rhythm strip."""
STRIP_TRACED_MIN = 0.6
"""Share of the block's width that a rhythm strip is traced on: of 151 strips of own renders the least has
0.9, a pen's stroke and a piece of a row that were taken for strips 0.30 and 0.36."""
LEFT_OUT_TRACED_MIN = 0.8
"""Traced share of a row, of the page's median, from which it is a lead's and no stroke or line of letters."""
RHYTHM_MAX = {"3x4": 3, "6x2": 3}
"""Most rhythm strips under the short rows; other shapes are printed without, or names tell of some."""
SPARE_COST = 0.1
"""Cost per traced column of a page row that has no place in the layout, in nats."""
VOTE_CAP = 15.0
"""Most that one row can lose at a column edge, in nats: 4 columns of a wrong class."""
OUTER_REACH = 0.25
"""Farthest that an outer edge may stand off equal columns, in column widths."""
INNER_REACH_PX = 8.0
"""Farthest that an inner edge may stand off foreshortened columns: 3 mm."""
EDGE_PRIOR = 2.0
"""Cost of moving one inner edge off the equal columns, in nats per pixel."""
LEAN_MAX = 0.06
"""Largest lean of the column edges from the vertical, px per px."""
MIN_AGREEMENT = 0.5
"""Share of the traced columns that must carry the class their layout expects."""
TOLD_MIN, MIN_AGREEMENT_TOLD = 0.75, 0.3
"""Share of the panels whose name is printed beside them from which less of it is enough: faint traces."""
NAMES_AGAINST_MAX = 0.45
"""Largest share of surely read names that may contradict a known layout."""
SURE_NAME = 0.85
"""Score of a surely read name."""
NAMES_MIN = 2
"""Fewest names from which they are counted."""
NAME_INSET_PX = 10.0
"""How far before its panel's start a name's middle may stand: 4 mm."""
MIN_PANELS = 0.5
"""Share of a layout's short panels that must be on the page."""
PRESENT_MIN = 0.12
"""Share of a panel's columns that must hold the expected class for the lead to be there."""
MISNAMED_MIN = 0.5
"""Share of a panel's columns with any trace from which a lead is there under a wrong name."""
SEGMENT_MIN_PX = 28
"""Shortest panel where no layout fits: 11 mm."""
SURE_SHARE = 0.35
"""Share of a panel's columns with the expected class from which its name is believed."""
SWITCH_COST = 20.0
"""Cost of a change of lead inside a row where no layout fits, in nats."""


@dataclass(frozen=True)
class _Fit:
    """A layout laid on the page. Edges: columns of the boundaries at mid height and their lean."""

    template: Layout  # without rhythm strips
    edges: NDArray[np.float64]  # (columns + 1,)
    lean: NDArray[np.float64]  # (columns + 1,) columns per canvas row
    slots: tuple[tuple[int, int], ...]  # (page row, layout row), -1 - lead for rhythm strips
    score: float

    @property
    def layout(self) -> Layout:
        rhythm = tuple(LEADS[-1 - t] for _, t in self.slots if t < 0)
        return self.template.with_strips(rhythm)

    @property
    def rows(self) -> tuple[int, ...]:
        """The page rows that it has a place for."""
        return tuple(int(i) for i, _ in self.slots)

    def boxes(self, level: NDArray[np.float64]) -> list[_Box]:
        """All panels, whether or not they are on the page."""
        rows = self.template.rows
        out = []
        for i, t in self.slots:
            at = self.edges + self.lean * level[i]
            if t < 0:
                out.append(_Box(-1 - t, i, 0, True, float(at[0]), float(at[-1])))
                continue
            for j, lead in enumerate(rows[t]):
                out.append(_Box(LEADS.index(lead), i, j, False, float(at[j]), float(at[j + 1])))
        return out


@dataclass(frozen=True)
class LayoutFit:
    """The likeliest layout of a page, before its panels are traced.

    Attributes:
        rows, evidence: rows of traces and what they say about leads; names: printed ones that have a row.
        fit: the likeliest layout; others: the other known ones, likeliest first.
        agreement: share of the traced columns that carry the class expected there, 0 to 1.
        coherence: how much coherent, plausibly arranged trace the maps hold, nats per canvas column: the
            layout's likelihood gain weighted with its agreement. It compares quarter turns of one page: a
            wrong one scatters the classes and no layout fits.
    """

    rows: TraceRows
    evidence: RowEvidence
    names: tuple[PlacedName, ...]
    fit: _Fit
    others: tuple[_Fit, ...]
    agreement: float
    coherence: float


@dataclass(frozen=True)
class _Box:
    """A panel's place; start and end count pixel edges (pixel k spans k to k + 1)."""

    lead: int
    row: int
    column: int
    rhythm: bool
    start: float
    end: float

    def pixels(self, n_cols: int) -> slice:
        """Canvas columns whose centre lies in the window."""
        a = int(np.clip(np.ceil(self.start - 0.5), 0, n_cols))
        return slice(a, int(np.clip(np.ceil(self.end - 0.5), a, n_cols)))


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
    if probabilities.ndim != 3 or len(probabilities) != len(LEADS) + 1:
        raise ValueError(f"probabilities must be (13, rows, cols); got {probabilities.shape}")
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
    agreement = _agreement(fit.boxes(evidence.level), evidence)
    coherence = max(0.0, fit.score * agreement**2 / rows.lines.shape[1])
    return LayoutFit(rows, evidence, names, fit, others, agreement, coherence)


def find_layout(probabilities: NDArray[np.float32], fitted: LayoutFit | None = None) -> PageLayout:
    """Find which lead stands where.

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
    rows, evidence, fit, agreement = fitted.rows, fitted.evidence, fitted.fit, fitted.agreement
    present = [box for box in fit.boxes(evidence.level) if _is_present(box, evidence)]
    layout, warnings = fit.layout, []
    loose: list[_Box] = []
    n_short = len(layout.rows) * layout.n_columns
    whole = sum(not b.rhythm for b in present) >= MIN_PANELS * n_short
    against = _names_against(fitted)
    printed = frozenset((LEADS[p.name.lead], p.row) for p in fitted.names)
    told = (
        np.mean([(LEADS[box.lead], box.row) in printed for box in present]) >= TOLD_MIN if present else False
    )
    agrees = agreement >= (MIN_AGREEMENT_TOLD if told else MIN_AGREEMENT)
    if agrees and whole and against <= NAMES_AGAINST_MAX:
        known: Layout | None = layout
        absent = n_short + len(layout.rhythm) - len(present)
        if absent:
            warnings.append(f"layout: {absent} of the {layout.name} layout's panels are not on the page")
    else:
        known, loose = None, _segment_rows(evidence)
        warnings.append(
            f"layout: the leads network's view fits none (best {layout.name}, {agreement:.0%} of the "
            f"traces agree, limit {MIN_AGREEMENT:.0%}; {against:.0%} of the printed names do not, limit "
            f"{NAMES_AGAINST_MAX:.0%})"
        )
    shown = present if whole else []
    if not (shown or loose):
        raise PageError("layout", f"{len(rows.lines)} trace rows found, but no lead could be named")
    # Rows that the likeliest layout has no place for are traced, too: another one may have.
    placed = {box.row for box in shown}
    boxes = [*shown, *(box for box in loose if box.row not in placed)]
    candidates = _candidates(fitted, shown, {box.row for box in boxes}) if whole else ()
    panels = _as_panels(boxes, evidence, probabilities, rows)
    named = float(np.mean([(panel.lead, panel.row_index) in printed for panel in panels]))
    places = tuple(_as_place(box) for box in loose)
    return PageLayout(
        panels, known, fit.score, agreement, rows.pitch, named, printed, tuple(warnings), candidates, places
    )


def _candidates(fitted: LayoutFit, present: list[_Box], traced: set[int]) -> tuple[Candidate[PanelBox], ...]:
    """All known layouts whose rows are traced, likeliest first; of the first the panels that are there."""
    held = max(1.0, float(fitted.evidence.weight.sum()))
    out = []
    for fit in (fitted.fit, *fitted.others):
        boxes = present if fit is fitted.fit else fit.boxes(fitted.evidence.level)
        if {box.row for box in boxes} <= traced:
            places = tuple(_as_place(box) for box in boxes)
            out.append(Candidate(fit.layout, places, fit.score / held))
    return tuple(out)


def _as_place(box: _Box) -> PanelBox:
    return PanelBox(LEADS[box.lead], box.row, box.column, box.rhythm, box.start - 0.5, box.end - 0.5)


def _names_against(fitted: LayoutFit) -> float:
    """Share of the surely read names that stand in a panel of another lead."""
    boxes = fitted.fit.boxes(fitted.evidence.level)
    sure = [placed for placed in fitted.names if placed.name.score >= SURE_NAME]
    against = 0
    for placed in sure:
        # A name stands a little before or behind its panel's start.
        at = placed.name.col + NAME_INSET_PX
        here = [b.lead for b in boxes if b.row == placed.row and b.start - NAME_INSET_PX <= at < b.end]
        against += bool(here) and placed.name.lead not in here
    return against / len(sure) if len(sure) >= NAMES_MIN else 0.0


def _all_fits(rows: TraceRows, evidence: RowEvidence, named: Layout | None) -> tuple[_Fit, tuple[_Fit, ...]]:
    """The layout of greatest likelihood, and all others: on rough edges, the best three on refined ones.

    `named` is a layout that is tried besides the known ones.
    """
    # A page turned by a small angle: columns lean by what the rows slope.
    lean = float(np.clip(-rows.slope, -LEAN_MAX, LEAN_MAX))
    start, end = _extent(evidence, lean)
    templates = [*KNOWN_LAYOUTS, *([named] if named is not None else [])]
    fits = [_assign(template, evidence, (start, end, lean)) for template in templates]
    fits = sorted(fits, key=lambda fit: -fit.score)
    fits[:3] = sorted((_refine_edges(fit, evidence) for fit in fits[:3]), key=lambda fit: -fit.score)
    fits[0] = _with_all_rows(fits[0], evidence)
    best = _settle_edges(fits[0], evidence)
    # Rows under wrong names are left out where that costs less: each layout is tried with all of them, too,
    # and with just those of the best one.
    others = fits[1:]
    for used in dict.fromkeys([tuple(range(len(evidence.weight))), best.rows]):
        unlike = [fit for fit in fits if fit.rows != used]
        whole = [_assign(fit.template, evidence, (start, end, lean), exactly=used) for fit in unlike]
        others += [fit for fit in whole if np.isfinite(fit.score)]
    return best, tuple(_on_edges_of(best, fit) for fit in others)


def _with_all_rows(fit: _Fit, evidence: RowEvidence) -> _Fit:
    """The fit with a place for every row, where it leaves one out and misses as many of its own.

    A page that shows as many rows as its layout has shows those: some are under wrong names.
    """
    traced = evidence.weight.mean(axis=1)
    out = sorted(set(range(len(traced))) - set(fit.rows))
    missing = sum(t >= 0 for _, t in fit.slots) < len(fit.template.rows)
    if not (out and missing) or traced[out].min() < LEFT_OUT_TRACED_MIN * np.median(traced):
        return fit
    frame = (float(fit.edges[0]), float(fit.edges[-1]), float(fit.lean[0]))
    whole = _assign(fit.template, evidence, frame, exactly=tuple(range(len(traced))))
    return whole if np.isfinite(whole.score) else fit


def _on_edges_of(best: _Fit, fit: _Fit) -> _Fit:
    """Another layout on the best one's edges: where traces begin and end is seen whatever their names."""
    n = len(fit.edges)
    if n == len(best.edges):
        return replace(fit, edges=best.edges, lean=best.lean)
    part = np.linspace(0.0, 1.0, n)
    edges = best.edges[0] + part * (best.edges[-1] - best.edges[0])
    return replace(fit, edges=edges, lean=best.lean[0] + part * (best.lean[-1] - best.lean[0]))


def _extent(evidence: RowEvidence, lean: float) -> tuple[float, float]:
    """First and last column of the traces at mid height: where a good part of the rows begins and ends."""
    spans = []
    for row, level in zip(evidence.weight, evidence.level, strict=True):
        cols = np.flatnonzero(row > 0.3)
        if cols.size > 0.1 * row.size:
            first, last = np.percentile(cols, [0.5, 99.5])
            spans.append((first - lean * level, last + 1 - lean * level))
    if not spans:
        cols = np.flatnonzero(evidence.weight.max(0) > 0.1)
        return float(cols[0]), float(cols[-1] + 1)
    start, end = np.array(spans).T
    return float(np.percentile(start, 30)), float(np.percentile(end, 70))


def _assign(
    template: Layout,
    evidence: RowEvidence,
    frame: tuple[float, float, float],
    *,
    exactly: tuple[int, ...] | None = None,
) -> _Fit:
    """Best monotone assignment of page rows to layout rows, rhythm strips or nothing.

    `frame` is start, end and lean of the columns. With `exactly` just these page rows are assigned, and no
    layout row is left out; the score is -inf where their numbers differ.
    """
    start, end, lean = frame
    n, n_t, n_c = len(evidence.weight), len(template.rows), template.n_columns
    edges = np.linspace(start, end, n_c + 1)
    cols = edges[None, None, :] + lean * evidence.level[:, None, None]
    at = at_columns(evidence.gain, np.broadcast_to(cols, (n, 12, n_c + 1)))
    panel = np.diff(at, axis=2)  # (n, 12, columns)
    lead = np.array([[LEADS.index(name) for name in row] for row in template.rows])
    # An expected lead that is not there at all costs the same however wide the panel is.
    traced = cumulate(evidence.weight)[:, None, :]
    held = np.diff(at_columns(traced, cols), axis=2) / np.maximum(1.0, np.diff(edges))  # (n, 1, columns)
    # ... and half of that where something else stands in its place: the lead may be misnamed.
    floor = MISSING_COST * (0.5 * np.clip(held, 0.0, 1.0) - 1.0)
    short = np.maximum(panel[:, lead, np.arange(n_c)], floor).sum(2)  # (n, n_t)
    spare = SPARE_COST * traced[:, 0, -1]
    strip = at[:, :, -1] - at[:, :, 0]
    rhythm_lead, rhythm = strip.argmax(1), strip.max(1) - RHYTHM_COST
    rhythm[held.mean(axis=(1, 2)) < STRIP_TRACED_MIN] = -np.inf
    missing = MISSING_COST * n_c
    strips = len(template.rhythm) or RHYTHM_MAX.get(template.shape, 0)
    # best[i, t, k]: score of page rows from i on, with layout rows from t on and k rhythm strips open
    best = np.full((n + 1, n_t + 1, strips + 1), -np.inf)
    move = np.zeros(best.shape, int)
    best[n] = -missing * (n_t - np.arange(n_t + 1))[:, None]
    move[n] = 3
    if exactly is not None:
        best[n, :n_t] = -np.inf
    for i in range(n - 1, -1, -1):
        may_stay_out = exactly is None or i not in exactly
        may_stand = exactly is None or i in exactly
        for t in range(n_t, -1, -1):
            options = np.full((4, strips + 1), -np.inf)
            if may_stay_out:
                options[0] = best[i + 1, t] - spare[i]
            if t == n_t and strips and may_stand:
                options[1, 1:] = best[i + 1, t, :-1] + rhythm[i]
            if t < n_t and may_stand:
                options[2] = best[i + 1, t + 1] + short[i, t]
            if t < n_t and exactly is None:
                # No strip after a missing last row: that is the last row under a wrong name.
                options[3] = best[i, t + 1, 0 if t == n_t - 1 else slice(None)] - missing
            move[i, t] = options.argmax(0)
            best[i, t] = options.max(0)
    score = float(best[0, 0, strips])
    if not np.isfinite(score):
        return _Fit(template, edges, np.full(n_c + 1, lean), (), score)
    slots, i, t, k = [], 0, 0, strips
    while i < n:
        step = move[i, t, k]
        if step == 1:
            slots.append((i, -1 - int(rhythm_lead[i])))
            k -= 1
        elif step == 2:
            slots.append((i, t))
        k = 0 if step == 3 and t == n_t - 1 else k
        t += step in (2, 3)
        i += step != 3
    if sum(slot[1] >= 0 for slot in slots) < MIN_PANELS * n_t + 0.5:
        # One limb lead misnamed as a chest lead must not turn six limb rows into half of twelve.
        score *= 0.5
    return _Fit(template, edges, np.full(n_c + 1, lean), tuple(slots), score)


def _refine_edges(fit: _Fit, evidence: RowEvidence) -> _Fit:
    """Move the common start, end and lean to the best likelihood, coarse to fine; then assign again."""
    start, end, lean = float(fit.edges[0]), float(fit.edges[-1]), float(fit.lean[0])
    boxes = fit.boxes(evidence.level)
    if not boxes:
        return fit
    row = np.array([box.row for box in boxes])
    curve = evidence.gain[row, [box.lead for box in boxes]]  # (panels, cols + 1)
    n_c = len(fit.edges) - 1
    left = np.array([box.column / n_c for box in boxes])[:, None]
    right = np.array([1.0 if box.rhythm else (box.column + 1) / n_c for box in boxes])[:, None]
    level = evidence.level[row][:, None]
    width = end - start
    steps = ((0.12 * width, 0.02 * width, 0.02), (0.02 * width, 4.0, 0.01), (4.0, 1.0, 0.004))
    for radius, step, lean_radius in steps:
        offsets = np.arange(-radius, radius + step / 2, step)
        # A cropped page continues beyond the canvas, so the edges may leave it.
        tilts = lean + np.linspace(-lean_radius, lean_radius, 5)
        grid = np.meshgrid(start + offsets, end + offsets, tilts)
        s, e, tilt = (axis.ravel()[None, :] for axis in grid)
        low = at_columns(curve, s + left * (e - s) + tilt * level)
        high = at_columns(curve, s + right * (e - s) + tilt * level)
        score = np.maximum(high - low, -MISSING_COST).sum(0)
        score -= (1e-3 * np.abs(s + e - fit.edges[0] - fit.edges[-1]) + np.abs(tilt - lean))[0]
        k = int(score.argmax())
        start, end, lean = float(s[0, k]), float(e[0, k]), float(tilt[0, k])
    return _assign(fit.template, evidence, (start, end, lean))


def _settle_edges(fit: _Fit, evidence: RowEvidence) -> _Fit:
    """Give every column edge its own place and lean (perspective).

    Outer edges stand where the traces begin and end. Inner ones keep equal columns up to one term of
    foreshortening, and each may then move a little to the change of class.
    """
    n_c = len(fit.edges) - 1
    edges, lean = fit.edges.copy(), fit.lean.copy()
    width = max((edges[-1] - edges[0]) / n_c, 1.0)  # on pages turned wrongly a fit may have no width at all
    tilts = np.linspace(-0.03, 0.03, 13)
    curves = _edge_curves(fit, evidence)

    def vote(j: int, cols: NDArray[np.float64], leans: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows' votes for places of edge j; a row whose class bleeds far across loses no more than a cap."""
        rows, curve = curves[j]
        if not rows:
            return np.zeros(cols.shape)
        values = at_columns(curve, cols + leans * evidence.level[rows][:, None])
        return np.maximum(values - values.max(1, keepdims=True), -VOTE_CAP).sum(0)

    # Foreshortening can move the outer edges far from equal columns, curl the inner ones only a little.
    shift = np.arange(-OUTER_REACH * width, OUTER_REACH * width + 0.01, 0.5)
    d_col, d_lean = (axis.ravel() for axis in np.meshgrid(shift, tilts))
    for j in (0, n_c):
        score = vote(j, edges[j] + d_col, lean[j] + d_lean) - 0.05 * np.abs(d_col) - 20.0 * np.abs(d_lean)
        k = int(score.argmax())
        edges[j], lean[j] = edges[j] + d_col[k], lean[j] + d_lean[k]
    part = np.arange(n_c + 1) / n_c
    lean = lean[0] + part * (lean[-1] - lean[0])
    q = np.linspace(-0.35, 0.35, 141)[:, None]
    places = edges[0] + (edges[-1] - edges[0]) * part * (1.0 + q) / (1.0 + q * part)  # (141, columns + 1)
    together = sum((vote(j, places[:, j], lean[j]) for j in range(1, n_c)), -5.0 * np.abs(q[:, 0]))
    edges = places[int(together.argmax())].copy()
    shift = np.arange(-INNER_REACH_PX, INNER_REACH_PX + 0.01, 0.25)
    d_col, d_lean = (axis.ravel() for axis in np.meshgrid(shift, tilts))
    for j in range(1, n_c):
        score = vote(j, edges[j] + d_col, lean[j] + d_lean)
        score -= EDGE_PRIOR * np.abs(d_col) + 300.0 * np.abs(d_lean)
        k = int(score.argmax())
        edges[j], lean[j] = edges[j] + d_col[k], lean[j] + d_lean[k]
    return replace(fit, edges=edges, lean=lean)


def _edge_curves(fit: _Fit, evidence: RowEvidence) -> list[tuple[list[int], NDArray[np.float64]]]:
    """For every column edge the rows that know it, and their log-likelihood (rows, cols + 1) of its place."""
    n_c = len(fit.edges) - 1
    traced = cumulate(np.where(evidence.weight > 0.3, 1.0, -1.0))
    boxes = [b for b in fit.boxes(evidence.level) if _is_present(b, evidence)]
    named = {(b.row, b.column): b for b in boxes if not b.rhythm and _mean_share(b, evidence) >= SURE_SHARE}
    first = sorted({b.row for b in boxes if b.rhythm or b.column == 0})
    last = sorted({b.row for b in boxes if b.rhythm or b.column == n_c - 1})
    curves = [(first, -traced[first])]
    for j in range(1, n_c):
        rows = [i for i, column in named if column == j - 1 and (i, j) in named]
        left, right = [named[i, j - 1].lead for i in rows], [named[i, j].lead for i in rows]
        curves.append((rows, evidence.gain[rows, left] - evidence.gain[rows, right]))
    return [*curves, (last, traced[last])]


def _mean_share(box: _Box, evidence: RowEvidence) -> float:
    """Share of the box's columns that hold trace of its lead."""
    cols = box.pixels(evidence.weight.shape[1])
    held = evidence.share[box.row, box.lead, cols] * evidence.weight[box.row, cols]
    return float(held.mean()) if held.size else 0.0


def _is_present(box: _Box, evidence: RowEvidence) -> bool:
    traced = evidence.weight[box.row, box.pixels(evidence.weight.shape[1])]
    if traced.size < 4:
        return False
    return _mean_share(box, evidence) >= PRESENT_MIN or float(traced.mean()) >= MISNAMED_MIN


def _agreement(boxes: list[_Box], evidence: RowEvidence) -> float:
    """Share of all traced columns that carry the class expected there."""
    n_cols = evidence.weight.shape[1]
    good = 0.0
    for box in boxes:
        cols = box.pixels(n_cols)
        good += float((evidence.share[box.row, box.lead, cols] * evidence.weight[box.row, cols]).sum())
    return good / max(1e-9, float(evidence.weight.sum()))


def _segment_rows(evidence: RowEvidence) -> list[_Box]:
    """Leads of each row by its own evidence: the likeliest sequence with few changes (Viterbi)."""
    gain = np.diff(evidence.gain, axis=2)
    n, _, n_cols = gain.shape
    gain = np.concatenate([gain, np.zeros((n, 1, n_cols))], axis=1)  # the last state is "no lead"
    total = gain[:, :, 0]
    came = np.zeros((n_cols, n, 13), np.int64)
    stay = np.broadcast_to(np.arange(13), (n, 13))
    for c in range(1, n_cols):
        best = total.argmax(1)[:, None]
        change = np.take_along_axis(total, best, 1) - SWITCH_COST
        came[c] = np.where(total >= change, stay, best)
        total = np.maximum(total, change) + gain[:, :, c]
    boxes = []
    for i in range(n):
        states = np.zeros(n_cols, int)
        states[-1] = total[i].argmax()
        for c in range(n_cols - 1, 0, -1):
            states[c - 1] = came[c, i, states[c]]
        cuts = np.flatnonzero(np.diff(states)) + 1
        column = 0
        for a, b in zip([0, *cuts], [*cuts, n_cols], strict=True):
            if states[a] < 12 and b - a >= SEGMENT_MIN_PX:
                boxes.append(_Box(int(states[a]), i, column, False, float(a), float(b)))
                column += 1
    return boxes


def _as_panels(
    boxes: list[_Box], evidence: RowEvidence, probabilities: NDArray[np.float32], rows: TraceRows
) -> tuple[LeadPanel, ...]:
    n_cols = probabilities.shape[2]
    windows = [box.pixels(n_cols) for box in boxes]
    places = [PanelPlace(b.row, w.start, w.stop) for b, w in zip(boxes, windows, strict=True)]
    return tuple(
        LeadPanel(
            lead=LEADS[box.lead],
            row_index=box.row,
            column_index=box.column,
            rhythm=box.rhythm,
            start_col=box.start - 0.5,
            end_col=box.end - 0.5,
            path_rows=path,
            confidence=min(1.0, _mean_share(box, evidence)),
        )
        for box, path in zip(boxes, find_paths(places, probabilities, rows), strict=True)
    )
