"""Pages of all layouts: choices drawn evenly, truth complete, scale always stated."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ecg_hough.output.read_back import read_leads
from ecg_hough.paper import LEADS
from ecg_hough.render.ecg_model import generate_ecg
from ecg_lab.benchmark_pages import CHOICES, draw_evenly, render_benchmark, render_choice


def test_choices_are_drawn_evenly_and_independently() -> None:
    choices = draw_evenly(CHOICES, 198, 3)
    for name, values in CHOICES.items():
        counts = Counter(choice[name] for choice in choices)
        assert set(counts) == set(values)
        assert max(counts.values()) - min(counts.values()) <= 1
    pairs = Counter((choice["block"], choice["speed_mm_s"]) for choice in choices)
    assert len(pairs) == len(CHOICES["block"]) * len(CHOICES["speed_mm_s"])


def test_page_and_its_truth(tmp_path: Path) -> None:
    (path,) = render_benchmark(tmp_path, n=1, seed=4)
    truth = json.loads(path.with_name(f"{path.stem}.truth.json").read_text())
    signals, fs = read_leads(path.with_suffix(""))
    printed = {lead for lead, signal in signals.items() if np.isfinite(signal).any()}
    assert {panel["lead"] for panel in truth["panels"]} == printed
    assert fs == 500
    assert truth["columns"] in ("sequential", "simultaneous", "one")
    assert len(truth["rhythm"]) == sum(panel["rhythm"] for panel in truth["panels"])
    row, left, right = next(panel["box_px"] for panel in truth["panels"] if panel["box_px"] is not None)
    assert left < right
    assert row > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_another_scale_is_told_on_the_page(seed: int) -> None:
    ecg = generate_ecg(seed)
    choice = {name: values[0] for name, values in CHOICES.items()}
    choice |= {"block": ("6x1-limb", 0), "speed_mm_s": 50.0, "gain_mm_mv": 20.0, "pulse": "none"}
    page = render_choice(ecg.signals, ecg.fs, choice, seed)
    sheet = page.style["sheet"]
    assert sheet["footer"]
    assert sheet["stray_texts"] == 0  # they name the standard scale
    assert (sheet["speed_mm_s"], sheet["gain_mm_mv"]) == (50.0, 20.0)
    y = sheet["size_mm"][0] - sheet["font_mm"]
    rows, cols = page.page_map.to_pixels(np.array([y, y]), sheet["block_left_mm"] + np.array([40.0, 120.0]))
    assert ((rows > 0) & (rows < page.image.shape[0]) & (cols > 0) & (cols < page.image.shape[1])).all()
    assert page.layout.rows == tuple((lead,) for lead in LEADS[:6])


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n must be 1 or more"):
        render_benchmark(tmp_path, n=0)
