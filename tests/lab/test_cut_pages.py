"""Pages that end at their traces, or within them."""

import json

import cv2
import numpy as np
import pytest

from ecg_hough.output.read_back import read_leads
from ecg_lab.cut_pages import LOST_MM, cut_pages


@pytest.fixture
def pages(tmp_path):
    """Six straight pages of one row: I from column 100 to 600 of 800, 2.5 s of 200 px each, and one askew."""
    from ecg_hough.output.export import write_signals

    folder = tmp_path / "pages"
    folder.mkdir()
    for k in range(7):
        image = np.full((100, 800, 3), 255, np.uint8)
        image[50, 100:600] = 0
        cv2.imwrite(str(folder / f"{k}.png"), image)
        signals = np.full((12, 1250), np.nan)
        signals[0] = np.sin(np.arange(1250) / 20)
        write_signals(folder, str(k), signals, 500)
        panel = {"lead": "I", "start_s": 0.0, "box_px": [50.0, 100.0, 600.0]}
        page = {"angle_deg": 3.0 if k == 6 else 0.0, "px_per_mm": 8.0, "speed_mm_s": 25.0, "panels": [panel]}
        (folder / f"{k}.truth.json").write_text(json.dumps(page))
    return folder


def test_the_truth_is_what_is_left_of_the_page(pages, tmp_path):
    images = cut_pages([pages], tmp_path / "cuts", n=6, seed=1)
    assert len(images) == 6
    for k, path in enumerate(images):
        image = cv2.imread(str(path))
        ink = np.flatnonzero((image < 128).any(axis=(0, 2)))
        leads, fs = read_leads(path.with_suffix(""))
        shown = np.isfinite(leads["I"]).sum() / fs
        assert shown == pytest.approx(ink.size / 200.0, abs=0.01)
        lost = 2.5 - shown
        within = k % 6 in (1, 3, 5)
        assert (lost > LOST_MM[0] / 25.0 - 0.01) == within
        gap = min(ink[0], image.shape[1] - 1 - ink[-1])
        assert gap <= 3


def test_too_few_straight_pages_are_an_error(pages, tmp_path):
    with pytest.raises(ValueError, match=r"7 straight pages .* hold 6"):
        cut_pages([pages], tmp_path / "cuts", n=7)
