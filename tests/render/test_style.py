"""What a page looks like: drawn from a seed, for every known layout."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.paper import KNOWN_LAYOUTS, SHAPES, make_layout
from ecg_hough.render.style import _LAYOUT_SHARES, PROFILES, sample_style


def styles(n: int, profile: str = "mixed") -> list:
    return [sample_style(np.random.default_rng(seed), profile, dpi=100) for seed in range(n)]


def test_every_known_layout_is_drawn() -> None:
    drawn = {(s.sheet.layout.shape, s.sheet.layout.cabrera) for s in styles(600)}
    assert drawn >= {(layout.shape, layout.cabrera) for layout in KNOWN_LAYOUTS}


def test_every_usual_number_of_strips_has_a_share() -> None:
    shares = {(shape, n_strips) for shape, n_strips, _ in _LAYOUT_SHARES}
    assert shares == {(name, n) for name, shape in SHAPES.items() for n in range(shape.strips_usual + 1)}


def test_the_same_seed_gives_the_same_style() -> None:
    assert styles(5) == styles(5)
    assert len({style.sheet.size_mm for style in styles(20)}) > 3


def test_traces_fit_on_the_sheet() -> None:
    for style in styles(200):
        sheet = style.sheet
        height, width = sheet.size_mm
        assert sheet.block_left_mm >= 0
        assert sheet.block_left_mm + sheet.block_width_mm <= width
        assert sheet.first_row_mm > 0
        assert sheet.first_row_mm + sheet.row_pitch_mm * (sheet.layout.n_rows - 1) < height


def test_a_fixed_layout_and_resolution_are_kept() -> None:
    layout = make_layout("6x2", cabrera=True)
    style = sample_style(np.random.default_rng(0), "photo", layout=layout, dpi=123)
    assert (style.sheet.layout, style.sheet.dpi, style.profile) == (layout, 123, "photo")
    assert not style.camera.keep_size


def test_a_fax_is_black_and_white() -> None:
    assert all(style.camera.threshold and style.sheet.ink == (0, 0, 0) for style in styles(10, "fax"))


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match=f"profile must be one of {', '.join(PROFILES)}; got 'wet'"):
        sample_style(np.random.default_rng(0), "wet")
