"""A layout placed on the rows of a page: where its panels lie, and how much of their leads is seen there.

In: a layout, the columns of its edges, the page rows of its rows. Out: `PlacedLayout`, its `PanelSpan`s, and
the share of trace and of the expected lead in each of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import PanelBox
from ecg_hough.layout.rows import RowEvidence
from ecg_hough.paper import LEADS, Layout

PRESENT_MIN = 0.12
"""Share of a panel's columns that must hold the expected class for the lead to be there."""
MISNAMED_MIN = 0.5
"""Share of a panel's columns with any trace from which a lead is there under a wrong name."""
COLUMNS_MIN = 4
"""Fewest canvas columns of a panel that is there."""


@dataclass(frozen=True)
class PanelSpan:
    """A panel on a page row; start and end count pixel edges (pixel k spans k to k + 1).

    Attributes:
        lead: index into `paper.LEADS`; row: page row; column: of the layout, 0 for rhythm strips.
    """

    lead: int
    row: int
    column: int
    rhythm: bool
    start: float
    end: float

    def pixels(self, n_cols: int) -> slice:
        """Canvas columns whose centre lies in the panel."""
        a = int(np.clip(np.ceil(self.start - 0.5), 0, n_cols))
        return slice(a, int(np.clip(np.ceil(self.end - 0.5), a, n_cols)))

    @property
    def box(self) -> PanelBox:
        """The same in canvas pixels, whose centres are whole numbers."""
        return PanelBox(
            LEADS[self.lead], self.row, self.column, self.rhythm, self.start - 0.5, self.end - 0.5
        )


@dataclass(frozen=True)
class PlacedLayout:
    """A layout placed on a page.

    Attributes:
        template: the layout without rhythm strips.
        edges: (columns + 1,) canvas columns of the boundaries at mid height; lean: (columns + 1,) their
            change in columns per canvas row.
        short: (page row, layout row) of the short rows; strips: (page row, lead) of the rhythm strips below.
        score: log-likelihood gain over unnamed traces, nats; -inf where the layout is impossible.
    """

    template: Layout
    edges: NDArray[np.float64]
    lean: NDArray[np.float64]
    short: tuple[tuple[int, int], ...]
    strips: tuple[tuple[int, int], ...]
    score: float

    @property
    def layout(self) -> Layout:
        """The layout with its rhythm strips."""
        return self.template.with_strips(tuple(LEADS[lead] for _, lead in self.strips))

    @property
    def rows(self) -> tuple[int, ...]:
        """The page rows that have a place in it."""
        return tuple(i for i, _ in (*self.short, *self.strips))

    def panels(self, level: NDArray[np.float64]) -> list[PanelSpan]:
        """All panels, whether or not they are on the page.

        Args:
            level: (n,) height of every page row, as in `RowEvidence`.
        """
        out = []
        for i, t in self.short:
            at = (self.edges + self.lean * level[i]).tolist()
            for j, lead in enumerate(self.template.rows[t]):
                out.append(PanelSpan(LEADS.index(lead), i, j, False, at[j], at[j + 1]))
        for i, lead_index in self.strips:
            at = (self.edges + self.lean * level[i]).tolist()
            out.append(PanelSpan(lead_index, i, 0, True, at[0], at[-1]))
        return out


def lead_share(panel: PanelSpan, evidence: RowEvidence) -> float:
    """Share of the panel's columns that hold trace of its lead, 0 to 1."""
    cols = panel.pixels(evidence.weight.shape[1])
    held = evidence.share[panel.row, panel.lead, cols] * evidence.weight[panel.row, cols]
    return float(held.mean()) if held.size else 0.0


def is_present(panel: PanelSpan, evidence: RowEvidence) -> bool:
    """Whether a panel is on the page: its lead is seen, or much trace of another name."""
    traced = evidence.weight[panel.row, panel.pixels(evidence.weight.shape[1])]
    if traced.size < COLUMNS_MIN:
        return False
    return lead_share(panel, evidence) >= PRESENT_MIN or float(traced.mean()) >= MISNAMED_MIN


def agreement(panels: list[PanelSpan], evidence: RowEvidence) -> float:
    """Share of all traced columns of the page that carry the class expected there, 0 to 1."""
    n_cols = evidence.weight.shape[1]
    good = 0.0
    for panel in panels:
        cols = panel.pixels(n_cols)
        good += float((evidence.share[panel.row, panel.lead, cols] * evidence.weight[panel.row, cols]).sum())
    return good / max(1e-9, float(evidence.weight.sum()))
