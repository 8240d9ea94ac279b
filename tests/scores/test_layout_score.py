"""What was understood of pages: shares counted on made-up reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ecg_hough.scores.layout_score import layout_table, score_layouts, score_page


def truth(**changes: Any) -> dict[str, Any]:
    panels = [
        {"lead": "I", "rhythm": False, "box_px": [100.0, 50.0, 250.0]},
        {"lead": "V1", "rhythm": False, "box_px": [101.0, 250.0, 450.0]},
        {"lead": "II", "rhythm": False, "box_px": [200.0, 50.0, 250.0]},
        {"lead": "V2", "rhythm": False, "box_px": [201.0, 250.0, 450.0]},
        {"lead": "II", "rhythm": True, "box_px": [300.0, 50.0, 450.0]},
    ]
    page = {
        "layout": "6x2+1", "rhythm": ["II"], "columns": "sequential", "speed_mm_s": 25.0, "gain_mm_mv": 10.0,
        "names_printed": True, "panels": panels,
    }  # fmt: skip
    return page | changes


def report(**changes: Any) -> dict[str, Any]:
    page = truth()
    read = {key: page[key] for key in ("layout", "columns", "speed_mm_s", "gain_mm_mv", "panels")}
    return read | {"speed_from": "assumed", "gain_from": "pulse"} | changes


def test_all_right() -> None:
    score = score_page(truth(), report())
    assert all(score[q] for q in ("layout", "columns", "speed", "gain"))
    assert score["panels"] == score["panels_right"] == 5
    assert not score["misread"]


def test_a_swapped_name_costs_two_panels() -> None:
    panels = [dict(panel) for panel in truth()["panels"]]
    panels[0]["lead"], panels[2]["lead"] = "II", "I"
    assert score_page(truth(), report(panels=panels))["panels_right"] == 3


def test_a_rhythm_strip_of_another_lead_is_another_layout() -> None:
    panels = [dict(panel) for panel in truth()["panels"]]
    panels[4]["lead"] = "V5"
    score = score_page(truth(), report(panels=panels))
    assert not score["layout"]
    assert score["panels_right"] == 4


def test_a_wrong_read_scale_is_misread_and_an_assumed_one_is_not() -> None:
    assert score_page(truth(gain_mm_mv=5.0), report())["misread"]
    assert not score_page(truth(speed_mm_s=50.0), report())["misread"]


def test_unread_pages_and_one_column(tmp_path: Path) -> None:
    (tmp_path / "a.truth.json").write_text(json.dumps(truth()))
    (tmp_path / "b.truth.json").write_text(json.dumps(truth(names_printed=False, columns="one")))
    figures = score_layouts(tmp_path, {"a": report()})
    assert figures is not None
    assert figures["layout_pct"] == 50.0
    assert figures["columns_pct"] == 100.0
    assert figures["lead_identity_named_pct"] == 100.0
    assert figures["lead_identity_unnamed_pct"] == 0.0
    assert figures["wrong"] == {"b": ["layout", "speed", "gain"]}
    assert layout_table(figures).row_count == 1


@pytest.mark.parametrize("document", [None, {"layout": "3x4", "panels": []}])
def test_no_truth_no_score(tmp_path: Path, document: dict[str, Any] | None) -> None:
    if document is not None:  # a truth file of an older renderer
        (tmp_path / "a.truth.json").write_text(json.dumps(document))
    assert score_layouts(tmp_path, {}) is None
