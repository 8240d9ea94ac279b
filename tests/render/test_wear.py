"""Ageing of paper and print."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.paper import make_layout
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.sheet import Sheet, draw_sheet
from ecg_hough.render.style import SheetStyle, WearStyle
from ecg_hough.render.wear import smooth_noise, worn_print

STYLE = SheetStyle(make_layout("3x4"), (150.0, 280.0), 60.0, header_lines=0, first_row_mm=30.0)


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    ecg = generate_ecg(1)
    return draw_sheet(ecg.signals, ecg.fs, STYLE, np.random.default_rng(0))


def test_noise_is_smooth_and_of_unit_size() -> None:
    noise = smooth_noise((400, 500), 20, np.random.default_rng(0))
    assert noise.shape == (400, 500)
    assert abs(float(noise.mean())) < 0.2
    assert 0.5 < float(noise.std()) < 1.5
    assert float(np.abs(np.diff(noise, axis=0)).max()) < 0.6


def test_without_wear_ink_lies_on_the_paper(sheet: Sheet) -> None:
    image = worn_print(sheet, STYLE, WearStyle(), np.random.default_rng(0))
    bare = (sheet.ink == 0) & (sheet.text == 0)
    np.testing.assert_array_equal(image[bare], sheet.paper[bare])
    assert (image[sheet.ink == 255] == 0).all()


@pytest.mark.parametrize("wear", [WearStyle(fading=0.6), WearStyle(broken_ink=0.5)])
def test_faded_print_is_lighter(sheet: Sheet, wear: WearStyle) -> None:
    rng = np.random.default_rng(0)
    new, old = (worn_print(sheet, STYLE, w, rng)[sheet.ink == 255].mean() for w in (WearStyle(), wear))
    assert old > new + 10


@pytest.mark.parametrize(
    "name", ["creases", "wrinkles", "stains", "mould", "handwriting", "highlighter", "stamps", "punch_holes"]
)
def test_each_kind_of_wear_leaves_a_mark(sheet: Sheet, name: str) -> None:
    wear = replace(WearStyle(crease_strength=0.2), **{name: True if name == "punch_holes" else 2})
    rng = np.random.default_rng(3)
    plain = worn_print(sheet, STYLE, WearStyle(), rng)
    worn = worn_print(sheet, STYLE, wear, rng)
    assert (plain != worn).any()
    assert worn.shape == plain.shape
