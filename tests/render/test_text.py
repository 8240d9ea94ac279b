"""Printed text in every face."""

import numpy as np
import pytest

from ecg_hough.render.text import FACES, draw_text, text_coverage, text_width


@pytest.mark.parametrize("face", FACES)
def test_every_face_draws_and_longer_texts_are_wider(face: str) -> None:
    cover = text_coverage("aVR", face, 20)
    assert cover.dtype == np.uint8
    assert cover.max() > 200
    assert text_width("aVR aVL", face, 20) > 1.5 * text_width("aVR", face, 20)
    assert text_width("", face, 20) == 0


def test_text_is_cut_at_the_border() -> None:
    layer = np.zeros((30, 30), np.uint8)
    draw_text(layer, "V1", -5, 20, FACES[0], 20)
    assert layer[:, 20:].any()
    assert not layer[:, :20].any()
    draw_text(layer, "V1", 100, 100, FACES[0], 20)


def test_an_unknown_face_is_refused() -> None:
    with pytest.raises(ValueError, match="face must be one of"):
        text_coverage("V1", "Comic.ttf", 20)
