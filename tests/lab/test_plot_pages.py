"""Plots of every kind: drawn to the chosen scales, truth complete, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ecg_hough.output.read_back import read_leads
from ecg_hough.paper import LEADS
from ecg_hough.pipeline import digitize
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.scores.metrics import challenge_snr, unaligned_snr
from ecg_lab.plot_pages import CHOICES, PANEL_MV, draw_plot, render_plots

CHOICE: dict[str, Any] = {name: values[0] for name, values in CHOICES.items()} | {"dpi": 150}


@pytest.mark.slow
def test_plots_and_their_truth(tmp_path: Path) -> None:
    paths = render_plots(tmp_path, n=4, seed=3)
    again = render_plots(tmp_path / "again", n=4, seed=3)
    assert [path.name for path in paths] == [path.name for path in again]
    for path, other in zip(paths, again, strict=True):
        assert (cv2.imread(str(path)) == cv2.imread(str(other))).all()
        signals, fs = read_leads(path.with_suffix(""))
        assert fs == 500
        assert sum(np.isfinite(lead).any() for lead in signals.values()) == 12
    with pytest.raises(ValueError, match="n must be"):
        render_plots(tmp_path, n=0)


@pytest.mark.slow
@pytest.mark.parametrize("sequential", [True, False])
def test_only_what_a_plot_shows_is_its_truth(tmp_path: Path, sequential: bool) -> None:
    ecg = generate_ecg(5)
    signals = ecg.signals.copy()
    signals[0, 100] = 2.0  # beyond the panel's axes
    choice = CHOICE | {"axes": "each", "sequential": sequential}
    shown = draw_plot(signals, ecg.fs, choice, tmp_path / "plot.png")
    seen = np.isfinite(shown)
    assert np.isnan(shown[0, 100])
    assert np.nanmax(np.abs(shown)) <= PANEL_MV[3] / 2
    assert (shown[seen] == signals[seen]).all()
    first = [int(np.flatnonzero(row)[0]) for row in seen]
    assert first == ([0] * 3 + [1250] * 3 + [2500] * 3 + [3750] * 3 if sequential else [0] * 12)


CHOSEN: tuple[dict[str, Any], ...] = (
    {"axes": "one", "shape": "6x2", "stretch": 0.7},
    {"axes": "each", "shape": "3x4", "stretch": 1.4},
)
MORE: tuple[dict[str, Any], ...] = (
    {"axes": "one", "shape": "12x1", "stretch": 2.0},
    {"axes": "each", "shape": "3x4", "stretch": 1.0},
    {"axes": "each", "shape": "4x3", "stretch": 2.0},
    {"axes": "each", "shape": "6x2", "stretch": 0.5},
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "choice",
    [*CHOSEN, *(pytest.param(choice, marks=pytest.mark.slow) for choice in MORE)],
    ids=lambda choice: "-".join(str(value) for value in choice.values()),
)
def test_plots_are_read(tmp_path: Path, choice: dict[str, Any]) -> None:
    ecg = generate_ecg(6)
    choice = CHOICE | choice
    shown = draw_plot(ecg.signals, ecg.fs, choice, tmp_path / "plot.png")
    found = digitize(tmp_path / "plot.png")
    assert found.px_per_mm is not None
    across = choice["scale"] * choice["dpi"] / 25.4
    assert found.px_per_mm == pytest.approx((across * choice["stretch"], across), rel=0.01)
    snrs = [challenge_snr(true, seen, ecg.fs) for true, seen in zip(shown, found.signals, strict=True)]
    assert len(snrs) == len(LEADS)
    assert np.mean(snrs) > 12


@pytest.mark.slow
def test_spaces_between_panels_are_no_time(tmp_path: Path) -> None:
    """Three columns of a third of ten seconds, 4 mm apart, each in a frame that hides its first samples."""
    ecg = generate_ecg(6)
    choice = CHOICE | {"axes": "each", "shape": "4x3", "sequential": True}
    shown = draw_plot(ecg.signals, ecg.fs, choice, tmp_path / "plot.png")
    found = digitize(tmp_path / "plot.png")
    for true, seen in zip(shown, found.signals, strict=True):
        first, begins = (np.flatnonzero(np.isfinite(lead))[0] / ecg.fs for lead in (true, seen))
        assert begins == pytest.approx(first, abs=0.02)
    assert np.mean([unaligned_snr(t, s) for t, s in zip(shown, found.signals, strict=True)]) > 12
