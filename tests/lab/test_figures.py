"""Figures from small result files, and the notebooks as they lie in the repository."""

from __future__ import annotations

import ast
import base64
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from made_up_ecg import stand_in_digitize

pytest.importorskip("neurokit2", reason="needs the notebooks extra of the laboratory")
pytest.importorskip("nbformat", reason="needs the notebooks extra of the laboratory")

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from ecg_hough.paper import LEADS
from ecg_lab import figures
from ecg_lab.beside_the_paper import (
    DRAWN_LINES,
    PAPER,
    hough_figure,
    paper_figure,
    paper_table,
    tilted_page,
)
from ecg_lab.cli import app
from ecg_lab.fidelity import MEASURES, bland_altman
from ecg_lab.notebooks import MAX_PICTURE_BYTES, small_outputs, store_outputs
from ecg_lab.robustness import COLUMNS, SEVERITIES
from places import ROOT

COMPARED: dict[str, Any] = {
    "pages": 8, "failed": 0, "challenge_snr_db": 21.1, "unaligned_snr_db": 19.0, "kaggle_db": 22.0,
    "found_pct": 100.0, "pages_per_s": 1.0, "interval_95": {"challenge_snr_db": [20.0, 22.5]},
}  # fmt: skip
NOTEBOOKS = sorted((ROOT / "experiments").glob("*.ipynb"))


def benchmark_run(readout: str, snr: float) -> dict[str, Any]:
    row = {
        "pages": 8,
        "leads": 96,
        "challenge_snr_db": snr,
        "unaligned_snr_db": snr - 5,
        "kaggle_db": snr + 1,
        "found_pct": 100.0,
        "median_s_per_page": 1.5 if readout == "trace" else 0.8,
        "interval_95": {"challenge_snr_db": [snr - 1, snr + 2]},
    }
    return {
        "data": "kit",
        "options": {"readout": readout},
        "profiles": {"clean": row, "photo": row | {"challenge_snr_db": snr - 3}},
        "leads": {lead: {"challenge_snr_db": snr + k / 10, "leads": 8} for k, lead in enumerate(LEADS)},
    }


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with every result file, small."""
    folder = tmp_path / "results"
    folder.mkdir()
    runs = {f"kit {name}": benchmark_run(name, snr) for name, snr in (("centroid", 15.0), ("trace", 19.0))}
    (folder / "benchmark.json").write_text(json.dumps({"runs": runs}))
    curves = [
        (name, step, 0, method, 20.0 - k, 15.0 - k, 12 - k, 5.0 * k if name == "stains" else np.nan, "w", "")
        for name, steps in SEVERITIES.items()
        for k, step in enumerate(steps[:3])
        for method in ("trace", "centroid")
    ]
    pd.DataFrame(curves, columns=list(COLUMNS)).to_csv(folder / "robustness.csv", index=False)
    pd.DataFrame(
        {
            "true_deg": [2.0, 3.5],
            "krones2024_deg": [2.0, np.nan],
            "hough_deg": [2.01, 3.49],
            "geometry_deg": [2.0, 3.5],
        }
    ).to_csv(folder / "angles.csv", index=False)
    rng = np.random.default_rng(0)
    pairs = [
        ("ours", "kit", "clean", str(page), "", name, 100.0 + page, 100.0 + page + rng.normal())
        for name in MEASURES
        for page in range(6)
    ]
    table = pd.DataFrame(
        pairs, columns=["method", "data", "profile", "page", "lead", "measure", "true", "digitised"]
    )
    table.to_csv(folder / "fidelity_pairs.csv.gz", index=False)
    bland_altman(table).to_csv(folder / "fidelity.csv", index=False)
    for network in ("leads", "words"):
        pd.DataFrame(
            {"steps": [1, 2], "train_loss": [2.0, 1.0], "val_loss": [2.0, 1.5], "val_dice": [0.1, 0.5]}
        ).to_csv(folder / f"training_{network}.csv", index=False)
    pd.DataFrame(
        {
            "step": [1, 2],
            "train_cross_entropy": [2.0, 1.0],
            "val_cross_entropy": [2.0, 1.5],
            "val_snr_db": [9.0, 17.0],
        }
    ).to_csv(folder / "training_traces.csv", index=False)
    return folder


def test_scores_are_those_of_the_files(results: Path) -> None:
    scores = figures.read_scores(results)
    assert len(scores) == 4
    row = scores[(scores["method"] == "trace") & (scores["profile"] == "photo")].iloc[0]
    assert (row["snr_db"], row["low_db"], row["s_per_page"]) == (16.0, 18.0, 1.5)
    table = figures.comparison_table(scores)
    assert table.loc["trace", "clean"] == "19.0 (18.0 to 21.0)"
    leads = figures.read_lead_scores(results).set_index(["method", "lead"])["snr_db"]
    assert leads["centroid", "III"] == pytest.approx(15.2)


def test_the_comparison_of_methods_is_preferred(results: Path) -> None:
    row = benchmark_run("trace", 19.0)["profiles"]["clean"] | {"failed": 0, "pages_per_s": 0.5}
    lost = row | {
        "challenge_snr_db": None,
        "interval_95": {"challenge_snr_db": [None, None]},
        "pages_per_s": None,
    }
    variants = {"krones2024+true": {"kit/clean": row, "ludb": lost, "all": row}, "ours": {"ludb": row}}
    (results / "compare.json").write_text(json.dumps({"variants": variants}))
    scores = figures.read_scores(results)
    assert scores[["method", "profile"]].to_numpy().tolist() == [
        ["krones2024+true", "clean"],
        ["krones2024+true", "ludb"],
        ["ours", "ludb"],
    ]
    assert scores["s_per_page"].tolist()[::2] == [2.0, 2.0]
    assert figures.comparison_table(scores).loc["krones2024+true", "ludb"] == "-"
    drawn = figures.comparison_figure(scores).axes[0]
    assert [text.get_text() for text in drawn.get_yticklabels()] == ["ours", "krones2024+true"]


def test_ours_comes_first_and_is_blue(results: Path) -> None:
    drawn = figures.runtime_figure(figures.read_scores(results))
    points = drawn.axes[0].collections
    assert points[0].get_offsets().data[0].tolist() == [1.5, 17.5]
    assert points[0].get_facecolor()[0][:3].tolist() == pytest.approx([0, 0x72 / 255, 0xB2 / 255])


def test_bland_altman_figure_draws_the_limits(results: Path) -> None:
    pairs = pd.read_csv(results / "fidelity_pairs.csv.gz").fillna({"lead": ""})
    drawn = figures.bland_altman_figure(pairs)
    agreement = bland_altman(pairs).set_index("measure")
    for axes, name in zip(drawn.axes, MEASURES, strict=True):
        levels = [line.get_ydata()[0] for line in axes.get_lines()]
        assert levels == pytest.approx(agreement.loc[name, ["bias", "lower", "upper"]].tolist())
        assert len(axes.collections[0].get_offsets()) == 6
    with pytest.raises(ValueError, match="method must be one of ours"):
        figures.bland_altman_figure(pairs, "theirs")


def test_rotation_figure_counts_pages_without_an_angle(results: Path) -> None:
    drawn = figures.rotation_figure(pd.read_csv(results / "angles.csv"))
    labels = drawn.axes[1].get_legend_handles_labels()[1]
    assert "after: krones2024 (1 of 2)" in labels


def test_robustness_figure_has_severity_grow_to_the_right(results: Path) -> None:
    drawn = figures.robustness_figure(pd.read_csv(results / "robustness.csv"))
    shown = {axes.get_xlabel(): axes for axes in drawn.axes if axes.get_visible()}
    assert len(shown) == len(SEVERITIES)
    assert shown["rotation, degrees"].get_xlim()[0] < shown["rotation, degrees"].get_xlim()[1]
    assert shown["resolution, dpi"].get_xlim()[0] > shown["resolution, dpi"].get_xlim()[1]
    assert shown["page under stains, %"].get_lines()[0].get_xdata().tolist() == [0.0, 5.0, 10.0]


@pytest.mark.slow
def test_all_figures_are_drawn_and_small(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "method",
        "masks",
        "vectorisation",
        "hough",
    ):  # these run the networks: the notebooks draw them
        monkeypatch.setattr(figures, f"{name}_figure", lambda *page: figures.lead_figure(_leads()))
    monkeypatch.setattr(figures, "SAVE_DPI", (50,))
    (results / "compare.json").write_text(json.dumps({"variants": {"ours": {"ludb": COMPARED}}}))
    out = tmp_path / "figures"
    outcome = figures.draw_all(out, results=results, samples=ROOT / "samples")
    assert all(words == f"{name}.png" for name, words in outcome.items())
    for name in outcome:
        picture = cv2.imread(str(out / f"{name}.png"))
        assert picture is not None
        assert picture.std() > 5
        assert (out / f"{name}.png").stat().st_size < 200_000


def test_a_missing_result_is_named(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("method", "masks", "vectorisation", "hough"):
        monkeypatch.setattr(figures, f"{name}_figure", lambda *page: figures.lead_figure(_leads()))
    (results / "angles.csv").unlink()
    monkeypatch.setattr(figures, "save", lambda drawn, path: path)
    result = CliRunner().invoke(
        app,
        ["paper", "-o", str(tmp_path / "f"), "--results", str(results), "--samples", str(ROOT / "samples")],
    )
    assert result.exit_code == 1
    assert "rotation: not drawn: angles.csv missing" in result.output
    assert not (tmp_path / "f" / "rotation.png").exists()
    with pytest.raises(ValueError, match="run `make benchmark` first"):
        figures.read_scores(tmp_path)


def test_a_large_figure_is_saved_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = figures.lead_figure(_leads())
    full = figures.save(drawn, tmp_path / "full.png")
    monkeypatch.setattr(figures, "MAX_BYTES", full.stat().st_size - 1)
    less = figures.save(drawn, tmp_path / "less.png")
    assert cv2.imread(str(less)).shape < cv2.imread(str(full)).shape


def test_vectorisation_shows_truth_and_both_readouts(monkeypatch: pytest.MonkeyPatch) -> None:
    read = stand_in_digitize(monkeypatch)
    page = figures.clean_page()
    drawn = figures.vectorisation_figure(page, n_leads=2)
    assert len(read) == 2
    for axes in drawn.axes:
        lead = axes.get_title().removeprefix("Lead ")
        truth = axes.get_lines()[0]
        panel = next(panel for panel in page.panels if panel.lead == lead and not panel.rhythm)
        np.testing.assert_array_equal(truth.get_xdata(), panel.trace[:, 1])
        assert axes.get_ylim()[0] > axes.get_ylim()[1]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_define_nothing_and_hold_small_outputs(path: Path) -> None:
    """They can be read without running: every cell was run, in order, and shows something small."""
    text = path.read_text(encoding="utf-8")
    book = json.loads(text)
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert code
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output["output_type"] == "error" or output.get("name") == "stderr" for output in outputs)
    assert path.stat().st_size < 300_000
    assert str(Path.home()) not in text
    assert str(ROOT) not in text
    for cell in code:
        source = "".join(line for line in cell["source"] if not line.startswith("%"))
        defined = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef, ast.Lambda)
        assert not any(isinstance(node, defined) for node in ast.walk(ast.parse(source)))


def test_outputs_are_made_small() -> None:
    drawn = figures.lead_figure(_leads())
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=300)
    picture = {"image/png": base64.b64encode(buffer.getvalue()).decode(), "text/plain": "<Figure>"}
    noise = NotebookNode(output_type="stream", name="stderr", text="a warning")
    shown = NotebookNode(output_type="display_data", data=NotebookNode(picture), metadata={"x": 1})
    (kept,) = small_outputs([noise, shown])
    assert set(kept.data) == {"image/png"}
    assert len(base64.b64decode(kept.data["image/png"])) <= MAX_PICTURE_BYTES


def test_a_notebook_is_kept_with_its_outputs(tmp_path: Path) -> None:
    cells = [new_code_cell("print(6 * 7)"), new_code_cell("import sys; print('no', file=sys.stderr)")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "a.ipynb")
    (written,) = store_outputs([tmp_path / "a.ipynb"], out=tmp_path / "out")
    book = nbformat.read(written, as_version=4)
    assert [cell.execution_count for cell in book.cells] == [1, 2]
    assert [output.text for cell in book.cells for output in cell.outputs] == ["42\n"]
    assert nbformat.read(tmp_path / "a.ipynb", as_version=4).cells[0].outputs == []


def test_the_paper_stands_beside_ours(results: Path) -> None:
    row = COMPARED
    variants = {
        "ours": {"ludb": row | {"challenge_snr_db": 25.1}},
        "krones2024+true": {"ecg_image_kit/clean": row},
        "ecgminer": {"ludb": row},
    }
    (results / "compare.json").write_text(json.dumps({"variants": variants}))
    table = paper_table(results)
    published = table[table["system"].str.startswith(PAPER)]
    assert published["snr_db"].tolist()[:2] == [17.02, 12.15]
    assert published["low_db"].isna().all()
    assert table["snr_db"].tolist()[len(published) :] == [21.1, 25.1]
    assert table["pages"].tolist()[-2:] == ["ECG-Image-Kit, clean", "LUDB, by ECGMiner's authors"]
    drawn = paper_figure(table).axes[0]
    assert len(drawn.get_yticklabels()) == len(table)


@pytest.mark.slow
def test_the_hough_lines_of_a_page_are_drawn() -> None:
    page = tilted_page()
    drawn = hough_figure(page)
    left = drawn.axes[0]
    assert len(left.get_lines()) == 2 * DRAWN_LINES
    kept = [line for line in left.get_lines() if line.get_color() == "#D55E00"]
    slopes = [np.ptp(line.get_ydata()) / np.ptp(line.get_xdata()) for line in kept]
    assert np.rad2deg(np.arctan(slopes)) == pytest.approx(page.angle_deg, abs=1.0)
    assert "median +3.0°" in left.get_title()


def test_every_notebook_is_described() -> None:
    assert len(NOTEBOOKS) >= 10
    text = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    for path in NOTEBOOKS:
        assert f"`{path.stem}`" in text


def _leads() -> pd.DataFrame:
    return pd.DataFrame({"method": "trace", "lead": list(LEADS), "snr_db": np.arange(12) + 10.0})
