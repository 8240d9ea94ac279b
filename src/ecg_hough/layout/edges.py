"""Where the columns of a placed layout begin and end, and how their edges lean.

In: a `PlacedLayout` on rough, equal columns, and what the page rows show. Out: the same on the columns where
traces begin and end and where their class changes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.layout.assign import MISSING_COST, BlockFrame, assign_rows
from ecg_hough.layout.placed import PanelSpan, PlacedLayout, is_present, lead_share
from ecg_hough.layout.rows import RowEvidence, at_columns, cumulate

# Tuned on the disturbed masks of 200 rendered pages on a 704 px canvas (2.3-2.7 px/mm), see test_fit.
VOTE_CAP = 15.0
"""Most that one row can lose at a column edge, in nats: 4 columns of a wrong class."""
OUTER_REACH = 0.25
"""Farthest that an outer edge may lie off equal columns, in column widths."""
INNER_REACH_PX = 8.0
"""Farthest that an inner edge may lie off foreshortened columns: 3 mm."""
EDGE_PRIOR = 2.0
"""Cost of moving one inner edge off the equal columns, in nats per pixel."""
SURE_SHARE = 0.35
"""Share of a panel's columns with the expected class from which its name is trusted."""
TRACED_MIN = 0.3
"""Occupancy from which a column is traced."""


def block_extent(evidence: RowEvidence, lean: float) -> tuple[float, float]:
    """First and last column of the traces at mid height: where a good part of the rows begins and ends."""
    spans = []
    for row, level in zip(evidence.weight, evidence.level, strict=True):
        cols = np.flatnonzero(row > TRACED_MIN)
        if cols.size > 0.1 * row.size:
            first, last = np.percentile(cols, [0.5, 99.5])
            spans.append((first - lean * level, last + 1 - lean * level))
    if not spans:
        cols = np.flatnonzero(evidence.weight.max(0) > 0.1)
        return float(cols[0]), float(cols[-1] + 1)
    start, end = np.array(spans).T
    return float(np.percentile(start, 30)), float(np.percentile(end, 70))


def refine_edges(fit: PlacedLayout, evidence: RowEvidence) -> PlacedLayout:
    """Move the common start, end and lean to the best likelihood, coarse to fine; then assign again."""
    start, end, lean = float(fit.edges[0]), float(fit.edges[-1]), float(fit.lean[0])
    panels = fit.panels(evidence.level)
    if not panels:
        return fit
    row = np.array([panel.row for panel in panels])
    curve = evidence.gain[row, [panel.lead for panel in panels]]  # (panels, cols + 1)
    n_c = len(fit.edges) - 1
    first = np.array([panel.column / n_c for panel in panels])[:, None]
    last = np.array([1.0 if panel.rhythm else (panel.column + 1) / n_c for panel in panels])[:, None]
    level = evidence.level[row][:, None]
    width = end - start
    steps = ((0.12 * width, 0.02 * width, 0.02), (0.02 * width, 4.0, 0.01), (4.0, 1.0, 0.004))
    for radius, step, lean_radius in steps:
        offsets = np.arange(-radius, radius + step / 2, step)
        # A cropped page continues beyond the canvas, so the edges may leave it.
        tilts = lean + np.linspace(-lean_radius, lean_radius, 5)
        grid = np.meshgrid(start + offsets, end + offsets, tilts)
        s, e, tilt = (axis.ravel()[None, :] for axis in grid)
        low = at_columns(curve, s + first * (e - s) + tilt * level)
        high = at_columns(curve, s + last * (e - s) + tilt * level)
        score = np.maximum(high - low, -MISSING_COST).sum(0)
        score -= (1e-3 * np.abs(s + e - fit.edges[0] - fit.edges[-1]) + np.abs(tilt - lean))[0]
        k = int(score.argmax())
        start, end, lean = float(s[0, k]), float(e[0, k]), float(tilt[0, k])
    return assign_rows(fit.template, evidence, BlockFrame(start, end, lean))


def settle_edges(fit: PlacedLayout, evidence: RowEvidence) -> PlacedLayout:
    """Give every column edge its own place and lean (perspective).

    Outer edges lie where the traces begin and end. Inner ones keep equal columns up to one term of
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


def _edge_curves(fit: PlacedLayout, evidence: RowEvidence) -> list[tuple[list[int], NDArray[np.float64]]]:
    """For every column edge the rows that show it, and their log-likelihood (rows, cols + 1) of its place."""
    n_c = len(fit.edges) - 1
    traced = cumulate(np.where(evidence.weight > TRACED_MIN, 1.0, -1.0))
    panels = [panel for panel in fit.panels(evidence.level) if is_present(panel, evidence)]
    first, last = _rows_of_column(panels, 0), _rows_of_column(panels, n_c - 1)
    named = {
        (panel.row, panel.column): panel.lead
        for panel in panels
        if not panel.rhythm and lead_share(panel, evidence) >= SURE_SHARE
    }
    curves = [(first, -traced[first])]
    for j in range(1, n_c):
        rows = [i for i, column in named if column == j - 1 and (i, j) in named]
        before, after = [named[i, j - 1] for i in rows], [named[i, j] for i in rows]
        curves.append((rows, evidence.gain[rows, before] - evidence.gain[rows, after]))
    return [*curves, (last, traced[last])]


def _rows_of_column(panels: list[PanelSpan], column: int) -> list[int]:
    """Page rows with a panel in a column, rhythm strips among them."""
    return sorted({panel.row for panel in panels if panel.rhythm or panel.column == column})


def on_edges_of(best: PlacedLayout, fit: PlacedLayout) -> PlacedLayout:
    """Another layout on the best one's edges: where traces begin and end is seen whatever their names are."""
    n = len(fit.edges)
    if n == len(best.edges):
        return replace(fit, edges=best.edges, lean=best.lean)
    part = np.linspace(0.0, 1.0, n)
    edges = best.edges[0] + part * (best.edges[-1] - best.edges[0])
    return replace(fit, edges=edges, lean=best.lean[0] + part * (best.lean[-1] - best.lean[0]))
