"""Pictures and label maps of cases: labels lie on ink, and words where they are printed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ecg_hough.networks.canvas import CANVAS_PX
from ecg_hough.paper import WORDS
from ecg_hough.render import CameraStyle, render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.training import case_pictures
from ecg_hough.training.case_pictures import Drawing, is_made, make_case, page_canvas, reading_case
from ecg_hough.training.cases import GENERATED, Case


def test_labels_of_a_canvas_lie_on_the_ink() -> None:
    ecg = generate_ecg(2)
    page = render_page(ecg.signals, ecg.fs, seed=2, profile="clean", dpi=100)
    image, labels = page_canvas(page)
    assert image.shape[:2] == labels.shape == (CANVAS_PX, CANVAS_PX)
    assert np.median(image[labels > 0]) < np.median(image[labels == 0]) - 40


@pytest.mark.parametrize("turned", [False, True])
def test_words_are_labelled_unless_the_page_is_turned(turned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_pictures, "TURNED_SHARE", float(turned))
    ecg = generate_ecg(2)
    style = sample_style(np.random.default_rng(2), "clean", dpi=120)
    style = replace(style, sheet=replace(style.sheet, word_texts=60), camera=CameraStyle())
    page = render_page(ecg.signals, ecg.fs, seed=2, style=style)
    image, labels = reading_case(page, np.random.default_rng(0))
    assert image.shape[:2] == labels.shape
    found = {WORDS[k - 1] for k in np.unique(labels) if k}
    assert found == (set() if turned else {word.word for word in page.words})


def test_a_case_is_made_with_one_plane(tmp_path: Path) -> None:
    case = Case("page_000000", "g", GENERATED, 7)
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    assert not is_made(tmp_path, case)
    assert make_case(case, tmp_path, Drawing(profile="clean", planes="red", canvas="page", dpi=40)) is None
    assert is_made(tmp_path, case)
    image = cv2.imread(str(tmp_path / "imagesTr" / "page_000000_0000.png"), cv2.IMREAD_UNCHANGED)
    assert image.ndim == 2
