"""Pages by other programs: what each panel shows is their truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ecg_hough.output.read_back import read_leads
from ecg_hough.paper import LEADS
from ecg_hough.render.ecg_model import generate_ecg
from ecg_lab.program_pages import CHOICES, ECG_PLOT, PMECG, draw_page, render_programs, shown_of

CHOICE = {name: values[0] for name, values in CHOICES.items()}


def test_what_is_shown_is_the_truth_from_the_first_second_on() -> None:
    signals = np.arange(12 * 5000, dtype=float).reshape(12, 5000)
    shown = shown_of(signals, 500, [("I", 2.0, 5.0), ("V6", 3.0, 4.0)])
    assert shown.shape == (12, 1500)
    assert (shown[0] == signals[0, 1000:2500]).all()
    assert np.flatnonzero(np.isfinite(shown[11])).tolist() == list(range(500, 1000))
    assert np.isnan(shown[1:11]).all()


@pytest.mark.parametrize(
    ("program", "arrangement"),
    [("ecg_plot", k) for k in range(len(ECG_PLOT))] + [("pmecg", k) for k in range(len(set(PMECG)))],
)
def test_every_arrangement_shows_twelve_leads(program: str, arrangement: int) -> None:
    pytest.importorskip(program)
    ecg = generate_ecg(3)
    choice = CHOICE | {"program": program, "arrangement": arrangement}
    figure, panels = draw_page(ecg.signals, ecg.fs, choice)
    assert {lead for lead, *_ in panels} == set(LEADS)
    widths_mm = {(last - first) * choice["paper"][0] for _, first, last in panels}
    assert figure.get_size_inches()[0] * 25.4 > max(widths_mm)


@pytest.mark.slow
def test_pages_and_their_truth(tmp_path: Path) -> None:
    pytest.importorskip("ecg_plot")
    pytest.importorskip("pmecg")
    for path in render_programs(tmp_path, n=4, seed=3):
        image = cv2.imread(str(path))
        assert image is not None
        assert image.std() > 0
        signals, fs = read_leads(path.with_suffix(""))
        assert fs == 500
        assert sum(np.isfinite(lead).any() for lead in signals.values()) == 12
