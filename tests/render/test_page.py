"""A rendered page and its truth agree."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.paper import LEADS, make_layout
from ecg_hough.render import render_page
from ecg_hough.render.ecg_model import generate_ecg


@pytest.fixture(scope="module")
def ecg():
    return generate_ecg(5)


@pytest.mark.parametrize("profile", ["scan", "photo"])
def test_samples_lie_on_dark_pixels_after_every_distortion(ecg, profile: str) -> None:
    page = render_page(ecg.signals, ecg.fs, seed=8, profile=profile, dpi=120)
    grey = page.image.mean(axis=2)
    inside = 0
    darker = 0
    for panel in page.panels:
        rows, cols = np.rint(panel.trace).astype(int).T
        ok = (rows > 8) & (cols >= 0) & (rows < grey.shape[0] - 8) & (cols < grey.shape[1])
        rows, cols = rows[ok], cols[ok]
        around = (grey[rows - 8, cols] + grey[rows + 8, cols]) / 2
        inside += rows.size
        darker += int((grey[rows, cols] < around - 10).sum())
    assert darker > 0.7 * inside


def test_signals_are_what_is_printed(ecg) -> None:
    page = render_page(
        ecg.signals, ecg.fs, seed=1, profile="clean", layout=make_layout("3x4", rhythm=("II",))
    )
    for panel in page.panels:
        if not panel.rhythm and panel.lead in page.layout.rhythm:
            continue
        first = round(panel.start_s * page.fs)
        shown = page.signals[LEADS.index(panel.lead), first : first + len(panel.mv)]
        np.testing.assert_array_equal(shown, panel.mv)
    printed = np.isfinite(page.signals).mean(axis=1)
    assert printed[LEADS.index("V6")] < 0.5 < printed[LEADS.index("II")]


def test_the_same_seed_gives_the_same_page(ecg) -> None:
    one, other = (render_page(ecg.signals, ecg.fs, seed=3, profile="worn", dpi=60) for _ in range(2))
    np.testing.assert_array_equal(one.image, other.image)
    assert one.style == other.style


def test_label_maps_hold_the_leads_of_the_panels(ecg) -> None:
    page = render_page(ecg.signals, ecg.fs, seed=1, profile="clean", dpi=80)
    labels = page.label_map(min_stroke_px=2, scale=0.5)
    assert labels.shape == tuple(round(n * 0.5) for n in page.image.shape[:2])
    assert {LEADS[k - 1] for k in np.unique(labels) if k} == {panel.lead for panel in page.panels}


def test_short_or_misshapen_signals_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 s; got"):
        render_page(np.zeros((12, 500)), 500, seed=0)
    with pytest.raises(ValueError, match=r"must be \(12, N\)"):
        render_page(np.zeros((3, 5000)), 500, seed=0)
