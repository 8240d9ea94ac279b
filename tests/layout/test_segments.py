"""Rows divided by their own evidence, where no known layout fits."""

from __future__ import annotations

import numpy as np

from ecg_hough.layout.rows import RowEvidence, log_gain
from ecg_hough.layout.segments import SEGMENT_MIN_PX, segment_rows
from ecg_hough.paper import LEADS

N_COLS = 300


def test_a_row_is_cut_where_its_lead_changes() -> None:
    share = np.full((2, len(LEADS), N_COLS), 0.01)
    weight = np.ones((2, N_COLS))
    share[0, LEADS.index("V2"), 0:130] = 0.9
    share[0, LEADS.index("aVF"), 130:220] = 0.9
    share[0, LEADS.index("I"), 60 : 60 + 5] = 0.95  # a few wrong columns
    weight[0, 220:] = 0.0
    share[1, LEADS.index("II"), 100 : 100 + SEGMENT_MIN_PX - 4] = 0.9  # too short for a panel
    weight[1] = 0.0
    weight[1, 100 : 100 + SEGMENT_MIN_PX - 4] = 1.0
    panels = segment_rows(RowEvidence(log_gain(share, weight), weight, share, np.zeros(2)))
    found = [(LEADS[p.lead], p.row, p.column, p.start, p.end) for p in panels]
    assert found == [("V2", 0, 0, 0.0, 130.0), ("aVF", 0, 1, 130.0, 220.0)]
