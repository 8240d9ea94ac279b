"""The commands of `ecg-lab`: help, what reaches the laboratory, plain errors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from ecg_lab.cli import app
from made_up_ecg import made_up_ecg, stand_in_digitize, write_page_image

COMMANDS = (
    "predict", "compare", "benchmark", "right-leads", "wrong-waves", "delineators", "headers", "redaction",
    "fit-trust", "fit-tips", "ablations", "robustness", "fidelity", "geometry-benchmark", "confidence",
    "words",
    "render-benchmark", "render-plots", "render-programs", "render-others", "render-crossings", "cut-pages",
    "paper",
    "notebooks",
    "cross-validate", "train-peer", "export-peer", "export-network", "kaggle-submit", "kaggle-check",
    "kaggle-score", "kills", "mutations", "cost", "memory", "load", "hostile-uploads", "gallery",
    "learn-bench",
)  # fmt: skip


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return stand_in_digitize(monkeypatch)


def run(*arguments: object, status: int = 0) -> str:
    """What `ecg-lab` prints; never a traceback, and the expected exit status."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result.output


def test_every_command_has_help_with_an_example() -> None:
    overview = run("--help")
    assert len(app.registered_commands) == len(COMMANDS)
    for command in COMMANDS:
        assert command in overview
        assert f"ecg-lab {command}" in run(command, "--help")


@pytest.mark.parametrize(
    ("command", "module", "package", "extra"),
    [
        (("kaggle-submit", "contest"), "ecg_lab.kaggle", "pyarrow", "experiments[kaggle]"),
        (("kaggle-check", "s.parquet", "contest"), "ecg_lab.kaggle", "pyarrow", "experiments[kaggle]"),
        (("fidelity", "out", "truth"), "ecg_lab.fidelity", "neurokit2", "experiments[notebooks]"),
        (("render-programs", "-o", "out"), "ecg_lab.program_pages", "pmecg", "experiments[programs]"),
    ],
)
def test_a_missing_package_names_its_own_extra(
    command: tuple[str, ...], module: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The laboratory's module is replaced by one whose functions find that package missing."""

    class Missing(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise ModuleNotFoundError(f"No module named {package!r}", name=f"{package}.part")

    monkeypatch.setitem(sys.modules, module, Missing(module))
    printed = run(*command, status=1)
    assert f"pip install -e '{extra}'" in printed
    assert "train" not in printed


def test_submit_without_pyarrow_names_the_kaggle_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert "this needs the kaggle extra" in run("kaggle-submit", tmp_path, status=1)


def test_predict_with_another_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def run_method(page: Path, name: str, **options: Any) -> Any:
        seen.update(options, name=name)
        return made_up_ecg(250, source=page.name)

    monkeypatch.setattr("ecg_lab.methods.run_method", run_method)
    page, out = write_page_image(tmp_path / "a.png"), tmp_path / "out"
    (tmp_path / "masks").mkdir()
    arguments = ("predict", page, "-o", out, "--method", "krones2024", "--masks", tmp_path / "masks")
    arguments += ("--format", "csv")
    assert "1 digitised" in run(*arguments, "--fs", 250, "--speed", 50)
    assert (seen["name"], seen["masks"]) == ("krones2024", tmp_path / "masks")
    assert (seen["options"].fs, seen["options"].speed_mm_s, seen["options"].gain_mm_mv) == (250, 50.0, 10.0)
    assert (out / "a.csv").is_file()
    assert json.loads((out / "a.json").read_text())["request"]["options"]["method"] == "krones2024"
    assert "0 digitised, 1 skipped" in run(*arguments, "--fs", 250, "--speed", 50)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("predict", "a.png", "-o", "out", "--method", "x"), "method must be one of"),
        (("predict", "a.png", "-o", "out", "--method", "ecgminer", "--masks", "."), "masks are read by"),
        (
            ("predict", "a.png", "-o", "out", "--method", "centroid", "--masks", "none"),
            "masks must be a folder",
        ),
        (("predict", "a.png", "-o", "out", "--method", "ours", "--speed", "0"), "must be positive"),
        (("predict", "a.png", "-o", "out"), "--method"),
        (("compare", "nowhere"), "got none in"),
        (("compare", "nowhere", "--methods", "x"), "method must be one of"),
        (("benchmark", "nowhere"), "got none in"),
        (("ablations", "nowhere"), "got none in"),
        (("ablations", "nowhere", "--change", "x"), "a change must be one of"),
        (("ablations", "nowhere", "-n", "0"), "--n"),
        (("robustness", "--only", "glare"), "distortions must be of"),
        (("geometry-benchmark", "--set", "glare"), "set must be one of"),
        (("fidelity", "nowhere", "nowhere"), "nowhere"),
        (("confidence", "-n", "0"), "--n"),
        (("render-plots", "-o", "out", "-n", "0"), "--n"),
        (("kaggle-check", "s.parquet", "nowhere"), "must be a Parquet file"),
    ],
)
def test_bad_arguments_exit_with_2(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in run(*arguments, status=2)
    assert not list(tmp_path.iterdir())


def test_benchmark_prints_accuracy_speed_and_memory(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = write_page_image(tmp_path / "kit" / "clean" / "a.png")
    made_up_ecg(source="truth").to_wfdb(page.parent, "a")
    printed = run("benchmark", tmp_path / "kit", "-o", tmp_path / "out")
    for words in ("SNR dB", "2200 x 1700 px", "Peak memory", "s again"):
        assert words in printed
    assert "folder must hold" in run("benchmark", tmp_path / "out", "-o", tmp_path / "b", status=2)
