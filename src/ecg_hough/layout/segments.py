"""Where no known layout fits: each row of traces divided into leads by its own evidence.

In: what the rows show of every lead. Out: `PanelSpan`s.
"""

from __future__ import annotations

import numpy as np

from ecg_hough.layout.placed import PanelSpan
from ecg_hough.layout.rows import RowEvidence

# Tuned on the disturbed masks of 200 rendered pages on a 704 px canvas (2.3-2.7 px/mm), see test_fit.
SEGMENT_MIN_PX = 28
"""Shortest panel: 11 mm."""
SWITCH_COST = 20.0
"""Cost of a change of lead inside a row, in nats."""


def segment_rows(evidence: RowEvidence) -> list[PanelSpan]:
    """Leads of each row by its own evidence: the likeliest sequence with few changes (Viterbi)."""
    gain = np.diff(evidence.gain, axis=2)
    n, n_leads, n_cols = gain.shape
    gain = np.concatenate([gain, np.zeros((n, 1, n_cols))], axis=1)  # the last state is "no lead"
    total = gain[:, :, 0]
    came = np.zeros((n_cols, n, n_leads + 1), np.int64)
    same = np.broadcast_to(np.arange(n_leads + 1), (n, n_leads + 1))
    for c in range(1, n_cols):
        best = total.argmax(1)[:, None]
        change = np.take_along_axis(total, best, 1) - SWITCH_COST
        came[c] = np.where(total >= change, same, best)
        total = np.maximum(total, change) + gain[:, :, c]
    panels = []
    for i in range(n):
        states = np.zeros(n_cols, int)
        states[-1] = total[i].argmax()
        for c in range(n_cols - 1, 0, -1):
            states[c - 1] = came[c, i, states[c]]
        cuts = np.flatnonzero(np.diff(states)) + 1
        column = 0
        for a, b in zip([0, *cuts], [*cuts, n_cols], strict=True):
            if states[a] < n_leads and b - a >= SEGMENT_MIN_PX:
                panels.append(PanelSpan(int(states[a]), i, column, False, float(a), float(b)))
                column += 1
    return panels
