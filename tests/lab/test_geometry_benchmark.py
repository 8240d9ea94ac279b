"""Errors of page maps: a map compared with itself, moved, and scaled; figures of a set; the file written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecg_lab.geometry_benchmark import (
    HARD_TILT_DEG,
    PageErrors,
    benchmark_page,
    map_errors_px,
    run_geometry_benchmark,
    summary,
)


def errors(median_px: float | None, residual_px: float | None, *, has_grid: bool = True) -> PageErrors:
    p95 = None if median_px is None else 2 * median_px
    return PageErrors("scan", 0, has_grid, "grid-affine", 0.0, median_px, p95, residual_px, 0.1)


def test_the_true_map_has_no_error_wherever_its_millimetres_begin() -> None:
    page = benchmark_page("low", 1)
    truth = page.page_map
    assert map_errors_px(truth, page).max() < 1e-3
    moved = replace(truth, y_mm=truth.y_mm + 35.0, x_mm=truth.x_mm - 10.0)
    assert map_errors_px(moved, page).max() < 1e-3


def test_a_wrong_scale_is_an_error_in_px() -> None:
    page, bare = benchmark_page("low", 2), benchmark_page("low", 1)
    assert bare.style["sheet"]["grid"] == "none"
    errors_px = []
    for seen in (page, bare):
        wrong = replace(seen.page_map, x_mm=seen.page_map.x_mm * 1.01)
        errors_px.append(map_errors_px(wrong, seen).max())
    far_end = 0.005 * np.ptp(next(panel.trace[:, 1] for panel in page.panels if len(panel.trace)))
    assert errors_px[0] > far_end
    # No map can show the scale of a page without a grid.
    assert errors_px[1] < 1e-3


@pytest.mark.slow
def test_hard_pages_are_tilted() -> None:
    a, b = np.deg2rad(benchmark_page("hard", 2).style["camera"]["tilt_deg"])
    tilt = np.rad2deg(np.arccos(np.cos(a) * np.cos(b)))
    assert HARD_TILT_DEG[0] - 1 < tilt < HARD_TILT_DEG[1] + 1


def test_summary_counts_missing_maps_and_false_residuals() -> None:
    pages = [errors(0.1, 0.1), errors(4.0, 0.1), errors(None, None), errors(None, None, has_grid=False)]
    figures = summary(pages)
    assert figures["without_map"] == 2
    assert figures["without_grid"] == 1
    assert figures["pages_in_bar"] == pytest.approx(1 / 3, abs=1e-3)
    assert figures["honest"] == 0.5
    assert figures["worst_page_px"] == 4.0


def test_a_run_writes_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "new" / "geometry.json"
    result = run_geometry_benchmark(n=1, seed=0, sets=("low",), results=path)
    written = json.loads(path.read_text())
    assert written["sets"] == result.figures["sets"]
    assert written["command"].endswith("--set low")
    assert written["sets"]["low"]["median_px"] < 0.5
    assert result.table().row_count == 1


def test_an_unknown_set_is_refused() -> None:
    with pytest.raises(ValueError, match="set must be one of"):
        benchmark_page("moon", 0)
