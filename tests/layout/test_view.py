"""Leads are found on small and on dense pages, and the right way up."""

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.errors import PageError
from ecg_hough.layout import view as leads
from ecg_hough.layout.view import find_leads
from ecg_hough.paper import LEADS, make_layout
from ecg_hough.render import render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_lab.robustness import FIRST_SEED, page_style


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


@pytest.mark.parametrize("seed", [6, 10])
@pytest.mark.parametrize("turns", [0, 2])
def test_words_tell_which_way_is_up_where_rows_look_level_both_ways(seed: int, turns: int) -> None:
    """Six unnamed chest leads: upside down they look as much like leads to the network, or more."""
    style = sample_style(np.random.default_rng(seed), "clean", layout=make_layout("6x1-precordial"), dpi=150)
    sheet = replace(style.sheet, names="none", footer=True, speed_mm_s=50.0, gain_mm_mv=10.0, grid="lines")
    ecg = generate_ecg(seed)
    page = render_page(ecg.signals, ecg.fs, seed=seed, style=replace(style, sheet=sheet))
    found = find_leads(np.ascontiguousarray(np.rot90(page.image, turns)), 0.0)
    assert found.turns == turns
    assert {"50 mm/s", "10 mm/mV"} <= {word.word for word in found.words}


def test_a_wide_banner_is_drawn_taller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve rows 5 mm apart, 10 s at 50 mm/s: on the canvas they stand four px apart."""
    style = sample_style(np.random.default_rng(3), "clean", layout=make_layout("12x1"), dpi=120)
    sheet = replace(
        style.sheet,
        size_mm=(100.0, 860.0),
        block_left_mm=180.0,
        block_width_mm=500.0,
        first_row_mm=15.0,
        row_pitch_mm=5.0,
        speed_mm_s=50.0,
        gain_mm_mv=5.0,
        names="above",
        grid="lines",
        missing=(),
    )
    ecg = generate_ecg(3)
    page = render_page(ecg.signals, ecg.fs, seed=3, style=replace(style, sheet=sheet))
    # Rows that are seen at all are looked at closer; of faint ones none is.
    monkeypatch.setattr(leads, "_look_closer", lambda seen, angle_deg: seen)
    found = find_leads(page.image, 0.0)
    assert found.turns == 0
    assert [panel.lead for panel in found.layout.panels] == list(LEADS)
    monkeypatch.setattr(leads, "WIDE_TIMES", np.inf)
    with pytest.raises(PageError, match="evidence"):
        find_leads(page.image, 0.0)
