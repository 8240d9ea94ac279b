"""Pages on which the odds of simultaneous columns are fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.signals.column_order import SEQUENTIAL, SIMULTANEOUS, find_column_order
from ecg_hough.training import order_fit
from ecg_hough.training.order_fit import LAYOUTS, lay_on_paper, pages


def test_layouts_have_several_columns_and_their_usual_strips() -> None:
    assert min(layout.n_columns for layout in LAYOUTS) > 1
    assert {"3x4", "3x4+1", "3x4+3", "6x2", "6x2+1"} <= {layout.name for layout in LAYOUTS}
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)


@pytest.mark.parametrize("simultaneous", [False, True])
def test_the_order_of_a_page_with_a_strip_is_found(simultaneous: bool) -> None:
    layout = next(layout for layout in LAYOUTS if layout.name == "3x4+1")
    ecg = generate_ecg(4)
    page = lay_on_paper(ecg.signals, ecg.fs, layout, simultaneous, np.random.default_rng(2), 0.0)
    rows, windows, shown = page
    assert len(rows) == layout.n_rows
    assert len(windows) == 13
    assert shown == layout
    assert find_column_order(*page).name == (SIMULTANEOUS if simultaneous else SEQUENTIAL)


def test_every_layout_is_laid_on_paper_in_both_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    ecg = generate_ecg(1)
    monkeypatch.setattr(order_fit, "read_signals", lambda stem: (ecg.signals, ecg.fs))
    laid = [(page[2].name, truth) for page, truth in pages([Path("a")], np.random.default_rng(0))]
    assert laid == [(layout.name, truth) for layout in LAYOUTS for truth in (False, True)]
