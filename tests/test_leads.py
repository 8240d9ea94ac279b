"""Leads are found on pages that lie small in their picture, and where rows stand near each other."""

import numpy as np
import pytest

from ecg_hough.ecg_model import generate_ecg
from ecg_hough.leads import find_leads
from ecg_hough.paper import LEADS
from ecg_hough.render import render_page
from ecg_hough.robustness import FIRST_SEED, page_style


@pytest.mark.parametrize(
    ("distortion", "severity"), [("margin", 0.0), ("margin", 1.0), ("margin", 1.5), ("pitch", 10.0)]
)
def test_leads_are_found_where_the_page_is_small_or_its_rows_are_near(
    distortion: str, severity: float
) -> None:
    ecg = generate_ecg(FIRST_SEED)
    page = render_page(ecg.signals, ecg.fs, seed=FIRST_SEED, style=page_style(distortion, severity))
    found = find_leads(page.image, 0.0)
    assert found.turns == 0
    assert found.layout.layout is not None
    assert found.layout.layout.name == "3x4+1"
    seen = {(panel.lead, panel.rhythm): panel for panel in found.layout.panels}
    assert set(seen) == {*((lead, False) for lead in LEADS), ("II", True)}
    # Rows and panels stand where they were drawn; the edges are made exact later.
    for panel in page.panels:
        drawn = panel.trace[np.isfinite(panel.trace).all(axis=1)]
        box = seen[panel.lead, panel.rhythm]
        level = float(np.nanmedian(box.path_rows))
        ends = found.canvas.to_page(np.array([[level, box.start_col], [level, box.end_col]]))
        off = np.abs(ends[:, 1] - (drawn[:, 1].min(), drawn[:, 1].max())).max()
        assert off < 10.0 * page.px_per_mm
        assert abs(ends[0, 0] - np.median(drawn[:, 0])) < 2.0 * page.px_per_mm
