"""Where the renderer draws each sample: at its own time on the page, in every layout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.paper import make_layout
from ecg_hough.render import render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.style import CameraStyle


@pytest.mark.parametrize("shape", ["3x4", "4x3", "2x6"])
@pytest.mark.parametrize("sequential", [True, False])
def test_samples_are_drawn_at_their_time(shape: str, sequential: bool) -> None:
    layout = make_layout(shape, rhythm=("II",) if shape == "3x4" else ())
    style = sample_style(np.random.default_rng(3), "clean", layout=layout, dpi=150)
    sheet = replace(style.sheet, sequential=sequential, block_width_mm=247.3, missing=(), speed_mm_s=25.0)
    ecg = generate_ecg(4)
    page = render_page(ecg.signals, ecg.fs, seed=3, style=replace(style, sheet=sheet, camera=CameraStyle()))
    column_s = 247.3 / layout.n_columns / 25.0
    for panel in page.panels:
        _, x_mm = page.page_map.to_mm(panel.trace[:, 0], panel.trace[:, 1])
        on_block = (x_mm - sheet.block_left_mm) / 25.0
        times = panel.start_s + np.arange(len(panel.trace)) / ecg.fs
        if not sequential:
            times = times + panel.column * column_s
        np.testing.assert_allclose(on_block, times, atol=2e-4)
        # Columns begin at equal parts of the block, to a sample.
        assert on_block[0] == pytest.approx(panel.column * column_s, abs=1.01 / ecg.fs)
        if not panel.rhythm:
            assert on_block[-1] == pytest.approx((panel.column + 1) * column_s, abs=2.01 / ecg.fs)
