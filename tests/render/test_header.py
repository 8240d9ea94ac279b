from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.paper import make_layout
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.header import FORMS, LANGUAGES, PRIVATE, sample_header
from ecg_hough.render.page import render_page
from ecg_hough.render.style import sample_style, with_header


def test_every_language_and_form_is_drawn() -> None:
    rng = np.random.default_rng(0)
    headers = [sample_header(rng) for _ in range(120)]
    assert {header.language for header in headers} == set(LANGUAGES)
    assert {header.form for header in headers} == set(FORMS)
    with pytest.raises(ValueError, match="language must be one of en, de, fr, es, it; got 'nl'"):
        sample_header(rng, "nl")


def test_what_is_written_is_the_truth() -> None:
    header = sample_header(np.random.default_rng(3), "de")
    parts = [part for text in header.texts for part in text.parts]
    values = {kind.removeprefix("value "): piece for piece, kind in parts if kind.startswith("value ")}
    assert {name: str(value) for name, value in header.values.items()} == {
        name: piece for name, piece in values.items() if piece != "*"
    }
    assert {kind for _, kind in parts} >= set(PRIVATE)
    assert header.patient.id in [piece for piece, kind in parts if kind == "id"]


def test_words_lie_where_their_ink_is() -> None:
    rng = np.random.default_rng(4)
    header = sample_header(rng)
    style = with_header(sample_style(rng, "clean", layout=make_layout("3x4"), dpi=120), header)
    page = render_page(generate_ecg(4).signals, 500, seed=4, style=style)
    written = [text for text in page.texts if text.kind in PRIVATE]
    assert written
    for text in written:
        (top, left), (bottom, right) = (
            np.round(f(text.corners, axis=0)).astype(int) for f in (np.min, np.max)
        )
        box = page.image[top:bottom, left:right].astype(int)
        assert box.size
        assert np.ptp(box.min(axis=2)) > 60
    highest = min(panel.trace[:, 0].min() for panel in page.panels)
    assert max(text.corners[:, 0].max() for text in written) < highest + 30


def test_pages_without_a_known_header_are_as_before() -> None:
    rng = np.random.default_rng(5)
    style = sample_style(rng, "scan", dpi=100)
    assert style.sheet.header is None
    page = render_page(generate_ecg(5).signals, 500, seed=5, style=style)
    assert {text.kind for text in page.texts} <= {"lead", "scale", "other"}
