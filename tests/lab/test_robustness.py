"""Distorted pages: what is varied, what stays, and a run that goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ecg_hough.errors import PageError
from ecg_lab import robustness
from ecg_lab.cli import app
from ecg_lab.robustness import COLUMNS, SEVERITIES, measure_angles, measure_robustness, page_style, score_page

FEW = {"blur": (0.0, 2.0), "noise": (0.0, 20.0), "stains": (0.0, 8.0)}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Pages at 50 dpi, read by a stand-in that returns the truth with an error of 10 %."""
    seen: list[Any] = []
    draw = robustness._draw

    def score(page: Any, readout: str) -> dict[str, Any]:
        seen.append(readout)
        return {"challenge_snr_db": 20.0, "unaligned_snr_db": 18.0, "leads_found": 12, "failure": ""}

    monkeypatch.setattr(robustness, "DPI", 50.0)
    monkeypatch.setattr(robustness, "score_page", score)
    monkeypatch.setattr(robustness, "_draw", lambda style, page: draw(style, page))
    return seen


def test_every_distortion_changes_one_thing() -> None:
    base = page_style("blur", 0)
    for name, steps in SEVERITIES.items():
        styles = {page_style(name, value) for value in steps}
        assert len(styles) == len(steps), name
        for style in styles:
            parts = [style.sheet != base.sheet, style.wear != base.wear, style.camera != base.camera]
            assert sum(parts) <= 1, name
    with pytest.raises(ValueError, match="distortion must be one of"):
        page_style("glare", 1)


def test_a_run_is_resumed_and_shares_pages(calls: list[Any], tmp_path: Path) -> None:
    out = tmp_path / "robustness.csv"
    first = measure_robustness(out, n=1, distortions=("blur",), severities=FEW)
    assert calls == ["trace", "centroid"] * 2
    assert list(first.columns) == list(COLUMNS)
    table = measure_robustness(out, n=1, distortions=tuple(FEW), severities=FEW)
    # Without noise and without stains the page is one page.
    assert len(calls) == 2 * (2 + 3)
    assert len(table) == 2 * 6
    assert not table.duplicated(["distortion", "severity", "page", "method"]).any()
    stains = table[table["distortion"] == "stains"].set_index("severity")["covered_pct"]
    assert (stains[0.0] == 0).all()
    assert (stains[8.0] > 1).all()
    assert (stains[8.0] < 100).all()
    before = len(calls)
    again = measure_robustness(out, n=1, distortions=tuple(FEW), severities=FEW)
    assert len(calls) == before
    pd.testing.assert_frame_equal(again, table)


def test_rows_of_other_weights_are_made_again(calls: list[Any], tmp_path: Path) -> None:
    out = tmp_path / "robustness.csv"
    measure_robustness(out, n=1, distortions=("blur",), severities={"blur": (0.0,)})
    text = out.read_text()
    out.write_text(text.replace("traces-", "older-"))
    measure_robustness(out, n=1, distortions=("blur",), severities={"blur": (0.0,)})
    assert len(calls) == 4
    assert "older" not in out.read_text()


def test_a_stopped_run_leaves_what_was_there(
    calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, severities = tmp_path / "robustness.csv", {"blur": (0.0, 2.0)}
    measure_robustness(out, n=1, distortions=("blur",), severities=severities)
    before, score = out.read_text(), robustness.score_page

    def stop(page: Any, readout: str) -> dict[str, Any]:
        if len(calls) == 6:
            raise KeyboardInterrupt
        return score(page, readout)

    monkeypatch.setattr(robustness, "score_page", stop)
    with pytest.raises(KeyboardInterrupt):
        measure_robustness(out, n=1, distortions=("blur",), severities=severities, overwrite=True)
    assert out.read_text() == before
    monkeypatch.setattr(robustness, "score_page", score)
    table = measure_robustness(out, n=1, distortions=("blur",), severities=severities)
    # Four calls made the first rows, two the one page before the stop, two the rest.
    assert len(calls) == 8
    assert len(table) == 4
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        measure_robustness(tmp_path / "a.csv", n=0)
    with pytest.raises(ValueError, match="distortions must be of"):
        measure_robustness(tmp_path / "a.csv", distortions=("glare",))
    (tmp_path / "b.csv").write_text("x\n1\n")
    with pytest.raises(ValueError, match="must be a CSV of this command"):
        measure_robustness(tmp_path / "b.csv")


def test_a_page_that_cannot_be_read_scores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    page = robustness._draw(replace(page_style("dpi", 50)), 0)
    monkeypatch.setattr(robustness, "digitize", _refuses)
    score = score_page(page, "trace")
    assert score["challenge_snr_db"] == 0.0
    assert score["leads_found"] == 0
    assert score["failure"] == "grid: too blurred"


def test_a_good_reading_scores_well(monkeypatch: pytest.MonkeyPatch) -> None:
    page = robustness._draw(page_style("dpi", 50), 0)

    class Read:
        signals = np.pad(1.1 * page.signals, ((0, 0), (0, 3)), constant_values=np.nan)

    monkeypatch.setattr(robustness, "digitize", lambda *args, **options: Read)
    score = score_page(page, "trace")
    assert score["unaligned_snr_db"] == pytest.approx(20.0, abs=0.01)
    assert score["leads_found"] == 12


def test_angles_of_a_page_turned_by_whole_degrees() -> None:
    row = measure_angles(1).iloc[0]
    assert row["true_deg"] == round(row["true_deg"]) != 0
    for name in ("krones2024_deg", "hough_deg", "geometry_deg"):
        assert row[name] == pytest.approx(row["true_deg"], abs=0.1), name


def test_command_line(calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SEVERITIES, "blur", (0.0, 2.0))
    out = tmp_path / "r.csv"
    result = CliRunner().invoke(
        app, ["robustness", "-o", str(out), "-n", "1", "--only", "blur", "--angles", "0"]
    )
    assert result.exit_code == 0, result.output
    assert "20.0 (12)" in result.output
    assert len(pd.read_csv(out)) == 4
    assert not (tmp_path / "angles.csv").exists()


def _refuses(*args: Any, **options: Any) -> None:
    raise PageError("grid", "too blurred")
