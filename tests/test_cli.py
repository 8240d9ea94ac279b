from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
import pytest
import wfdb
from PIL import Image
from typer.testing import CliRunner

import ecg_hough
from ecg_hough.cli.app import app
from ecg_hough.cli.arguments import RECORD_FORMATS
from ecg_hough.options import CENTROID
from ecg_hough.output.export import SIGNAL_FORMATS, write_page
from made_up_ecg import header_only_png, made_up_ecg, stand_in_digitize, write_page_image


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return stand_in_digitize(monkeypatch)


def run(*arguments: object, status: int = 0) -> str:
    """What `ecg-hough` prints; never a traceback, and the expected exit status."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result.output


def test_version_and_help() -> None:
    assert ecg_hough.__version__ in run("--version")
    commands = (
        "predict", "info", "doctor", "convert", "redact", "evaluate", "render", "prepare-data", "train",
        "train-traces", "train-marks", "export", "quantize", "nnunet", "review", "serve", "dicom-listen",
        "suggest", "learn",
    )  # fmt: skip
    overview = run("--help")
    assert len(app.registered_commands) == len(commands)
    for command in commands:
        assert command in overview
        assert f"ecg-hough {command}" in run(command, "--help")


def test_predict_writes_everything_asked_for(tmp_path: Path, calls: list[str]) -> None:
    page = write_page_image(tmp_path / "a.png")
    out = tmp_path / "out"
    printed = run("predict", page, "-o", out, "--fs", 250, "--format", "csv", "--overlay")
    assert {path.name for path in out.iterdir()} == {
        "a.hea",
        "a.dat",
        "a.csv",
        "a.json",
        "a.overlay.png",
        "report.json",
    }
    assert wfdb.rdrecord(str(out / "a")).fs == 250
    assert "1 digitised, 0 skipped" in printed
    assert "a.png: warning: aVR is not printed." in printed
    assert "0 digitised, 1 skipped" in run(
        "predict", page, "-o", out, "--fs", 250, "--format", "csv", "--overlay"
    )
    again = run("predict", page, "-o", out, "--fs", 250, "--format", "csv", "--overlay", "--overwrite")
    assert "1 digitised, 0 skipped" in again
    assert calls == ["a.png"] * 2


def test_predict_writes_several_formats_at_once(tmp_path: Path, calls: list[str]) -> None:
    page, out = write_page_image(tmp_path / "a.png"), tmp_path / "out"
    run("predict", page, "-o", out, "--format", "wfdb,dicom,fhir", "--format", "npz")
    assert {path.name for path in out.glob("a.*")} == {
        "a.hea", "a.dat", "a.json", "a.dcm", "a.fhir.json", "a.npz",
    }  # fmt: skip
    asked = ("predict", page, "-o", out, "--format")
    assert "must be of wfdb, csv, dicom" in run(*asked, "scp", status=2)
    assert "must be 200 to 1000 Hz" in run(*asked, "dicom", "--fs", 100, status=2)
    assert calls == ["a.png"]


def test_formats_of_the_command_line_are_those_of_the_export() -> None:
    assert RECORD_FORMATS == SIGNAL_FORMATS
    words = set(re.findall(r"[a-z0-9-]+", run("predict", "--help")))
    assert words >= set(RECORD_FORMATS)


def test_convert(tmp_path: Path) -> None:
    write_page(made_up_ecg(), tmp_path, "a")
    write_page(made_up_ecg(), tmp_path, "b")
    (tmp_path / "b.dat").unlink()
    out = tmp_path / "out"
    printed = run("convert", tmp_path / "a.json", "--to", "edf,parquet", "-o", out)
    assert "1 records converted, 0 failed; 2 files written" in printed
    assert {path.name for path in out.iterdir()} == {"a.edf", "a.parquet"}
    printed = run("convert", tmp_path, "--to", "dicom", "-o", out, status=1)
    assert "b.json: " in printed
    assert "1 records converted, 1 failed; 1 files written" in printed
    who = ("--patient-id", "4711", "--patient-name", "Doe, Jane", "--birth-date", "1950-02-03", "--sex", "f")
    run("convert", tmp_path / "a.hea", "--to", "dicom", *who, "--recorded", "2019-03-04T05:06")
    found = pydicom.dcmread(tmp_path / "a.dcm")
    assert (found.PatientName, found.PatientID, found.PatientBirthDate) == ("Doe^Jane", "4711", "19500203")
    assert (found.PatientSex, found.StudyDate, found.StudyTime) == ("F", "20190304", "050600")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "scp"), "must be of wfdb"),
        (("--to", "edf", "--sex", "x"), "must be F, M or O"),
        (("--to", "edf", "--birth-date", "3.2.1950"), "does not match"),
    ],
)
def test_convert_says_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    write_page(made_up_ecg(), tmp_path, "a")
    assert words in run("convert", tmp_path / "a.json", *arguments, status=2)


def test_predict_measures_and_draws_without_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_digitize(monkeypatch)
    monkeypatch.setattr("ecg_hough.header.redact.read_area", lambda *_: [])
    page, out = write_page_image(tmp_path / "a.png"), tmp_path / "out"
    run("predict", page, "-o", out, "--measure", "--redact", "--overlay")
    written = json.loads((out / "a.json").read_bytes())
    assert written["request"]["options"]["redact"]
    assert isinstance(written["measurements"], list)
    assert (out / "a.overlay.png").is_file()


def test_redact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_digitize(monkeypatch)
    monkeypatch.setattr("ecg_hough.header.redact.read_area", lambda *_: [])
    pages, out = tmp_path / "pages", tmp_path / "out"
    write_page_image(pages / "a.png")
    (pages / "b.png").write_text("no image")
    printed = run("redact", pages, "-o", out, status=1)
    assert "b.png: page: b.png is not an image" in printed
    assert "1 pages without names, 1 failed" in printed
    assert [path.name for path in out.iterdir()] == ["a.redacted.png"]
    first = np.asarray(Image.open(out / "a.redacted.png"))
    assert len(np.unique(first[:20].reshape(-1, 3), axis=0)) == 1  # above the traces there is paper alone
    assert "exists; allow it with --overwrite" in run("redact", pages / "a.png", "-o", out, status=1)
    assert "1 pages without names, 0 failed" in run("redact", pages / "a.png", "-o", out, "--overwrite")


def test_convert_of_nothing(tmp_path: Path) -> None:
    assert "at least one record is needed" in run("convert", tmp_path, "--to", "edf", status=2)


def test_predict_passes_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def digitize(page: Path, number: int, **options: Any) -> None:
        seen.update(options | {"number": number})
        raise ecg_hough.PageError("grid", "no grid")

    module = ModuleType("ecg_hough.pipeline")
    module.digitize = digitize  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ecg_hough.pipeline", module)
    page = write_page_image(tmp_path / "a.png")
    options = ("--fs", 1000, "--readout", "centroid", "--speed", 50, "--gain", 5, "--layout", "3x4+1")
    options += ("--leads", "I aVR V1 V4 / II aVL V2 V5 / III aVF V3 V6 / II")
    printed = run("predict", page, "-o", tmp_path / "out", *options, status=1)
    assert "a.png: grid: no grid" in printed
    asked = {
        "number": 1, "fs": 1000, "options": CENTROID, "speed_mm_s": 50.0, "gain_mm_mv": 5.0,
        "layout": "3x4+1", "leads": "I aVR V1 V4 / II aVL V2 V5 / III aVF V3 V6 / II",
    }  # fmt: skip
    assert seen == asked | {"header": "measurements"}
    run("predict", page, "-o", tmp_path / "out", "--header", "none", status=1)
    assert seen["header"] == "none"
    said = run("predict", page, "-o", tmp_path / "out", "--redact", "--header", "all", status=2)
    assert "header must be measurements or none where names are redacted" in said
    refused = run("predict", page, "-o", tmp_path / "out", "--layout", "5x5", status=2)
    assert "layout must be one of 3x4" in refused
    refused = run("predict", page, "-o", tmp_path / "out", "--weights", tmp_path, status=2)
    assert "weights must be a folder with leads.onnx" in refused


def test_ctrl_c_says_how_a_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    module = ModuleType("ecg_hough.training.trace_train")
    module.TraceTrainSettings = dict  # type: ignore[attr-defined]
    module.train_traces = interrupted  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ecg_hough.training.trace_train", module)
    printed = run("train-traces", "-o", tmp_path / "run", status=130)
    assert "The same command goes on from the last checkpoint in" in printed


def bad_pages(folder: Path) -> dict[str, str]:
    """One file for each way a page can be bad, with words of the message."""
    folder.mkdir()
    good = write_page_image(folder / "good.png")
    (folder / "text.png").write_text("no image")
    (folder / "truncated.png").write_bytes(good.read_bytes()[:5000])
    (folder / "empty.png").touch()
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    header_only_png(folder / "huge.png", 30_000)
    Image.new("L", (400, 300), 255).save(folder / "blank.png")
    write_page_image(folder / "bug.png")
    return {
        "text.png": "page: text.png is not an image",
        "truncated.png": "page: truncated.png is damaged or cut short",
        "empty.png": "page: empty.png is empty",
        "dot.png": "page: the shorter side must have at least 150 px; got 1 x 1",
        "huge.png": "page: a page has at most 200 megapixels; got 30000 x 30000",
        "blank.png": "page: the page is blank",
        "bug.png": "internal: RuntimeError: a bug",
    }


def test_bad_pages_are_named_one_by_one_and_the_good_one_is_done(tmp_path: Path, calls: list[str]) -> None:
    expected = bad_pages(tmp_path / "pages")
    out = tmp_path / "out"
    printed = run("predict", tmp_path / "pages", tmp_path / "missing.png", "-o", out, status=1)
    for name, words in expected.items():
        assert f"{name}: {words}" in printed
    assert "missing.png: page: no such file" in printed
    assert "1 digitised, 0 skipped (finished before), 8 failed" in printed
    assert {path.name for path in out.iterdir()} == {"good.hea", "good.dat", "good.json", "report.json"}
    report = json.loads((out / "report.json").read_text())
    assert report["counts"] == {"done": 1, "failed": 8}


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict",),
        ("predict", "a.png"),
        ("predict", "a.png", "-o", "out", "--readout", "guess"),
        ("predict", "a.png", "-o", "out", "--fs", "0"),
        ("predict", "a.png", "-o", "out", "--speed", "-25"),
        ("predict", "a.png", "-o", "out", "--gain", "inf"),
        ("predict", "a.png", "-o", "out", "--workers", "0"),
        ("info", "a.png", "--speed", "0"),
        ("info", "a.png", "--gain", "nan"),
        ("render", "-o", "out", "--dpi", "inf"),
        ("render", "-o", "out", "--seed", "-1"),
        ("prepare-data", "--dpi", "nan"),
        ("train", "--max-minutes", "0"),
        ("train-traces", "--learning-rate", "-1"),
        ("evaluate", "nowhere", "nowhere"),
        ("render", "-o", "out", "--profile", "dirty"),
        ("no-such-command",),
    ],
)
def test_bad_arguments_exit_with_2(arguments: tuple[str, ...]) -> None:
    run(*arguments, status=2)


@pytest.mark.parametrize("value", ["0", "-25", "inf", "nan"])
@pytest.mark.parametrize("name", ["--speed", "--gain"])
@pytest.mark.parametrize("command", [("info", "a.png"), ("predict", "a.png", "-o", "out")])
def test_scales_must_be_positive_and_finite(command: tuple[str, ...], name: str, value: str) -> None:
    printed = " ".join(run(*command, name, value, status=2).replace("│", " ").split())
    assert f"'{name}': must be positive and finite; got {value}" in printed


def test_an_empty_folder_is_a_bad_argument(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    assert "found none in" in run("predict", tmp_path / "pages", "-o", tmp_path / "out", status=2)


def test_an_output_that_cannot_be_written(tmp_path: Path, calls: list[str]) -> None:
    page = write_page_image(tmp_path / "a.png")
    assert "export: cannot write into" in run("predict", page, "-o", page, status=1)


def test_info(tmp_path: Path, calls: list[str]) -> None:
    page = write_page_image(tmp_path / "a.png")
    printed = run("info", page)
    for words in (
        "+1.25°", "7.870 x 7.880 px/mm", "3x4+1", "11 of 12", "aVR  not printed", "warning: aVR",
        "25 mm/s, assumed", "no leads to compare",
    ):  # fmt: skip
        assert words in printed
    assert json.loads(run("info", page, "--json"))["layout"] == "3x4+1"
    assert "page: no such file" in run("info", tmp_path / "b.png", status=1)
    assert {path.name for path in tmp_path.iterdir()} == {"a.png"}


def test_info_shows_where_the_scale_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ecg = replace(
        made_up_ecg(), speed_mm_s=50.0, speed_from="text", gain_from="pulse", columns="simultaneous",
        einthoven_mv=0.012, leads_agree=True,
    )  # fmt: skip
    replace_module(monkeypatch, "ecg_hough.pipeline", digitize=lambda page, number, **options: ecg)
    printed = run("info", tmp_path / "a.png")
    for words in (
        "50 mm/s, read from the print", "10 mm/mV, measured on the calibration pulse",
        "all of the same seconds", "Einthoven 0.012 mV, within the expected errors",
    ):  # fmt: skip
        assert words in printed


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A digitiser that logs at both levels; the log's level is as before when the test is over."""

    def digitize(page: Path, number: int, **options: Any) -> Any:
        stage = logging.getLogger("ecg_hough.signals.pulse")
        stage.info("one pulse found")
        stage.debug("a pulse of 7 mm was below the limit of 8 mm")
        return made_up_ecg()

    replace_module(monkeypatch, "ecg_hough.pipeline", digitize=digitize)
    logger = logging.getLogger("ecg_hough")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.mark.usefixtures("talkative")
def test_info_shows_the_evidence_of_every_decision(tmp_path: Path) -> None:
    page = write_page_image(tmp_path / "a.png")
    printed = run("info", page)
    assert "one pulse found" in printed
    assert "below the limit" not in printed
    assert "one pulse found" not in run("info", page, "--json")


@pytest.mark.usefixtures("talkative")
@pytest.mark.parametrize(("flags", "n_lines"), [((), 0), (("-v",), 1), (("-vv",), 2), (("-v", "-v"), 2)])
def test_verbose_shows_what_stages_log(
    flags: tuple[str, ...], n_lines: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = write_page_image(tmp_path / "a.png")
    for arguments in (
        ("info", page, *flags),
        (*flags, "info", page),
        ("predict", page, "-o", tmp_path / "out", "--overwrite", *flags),
    ):
        caplog.clear()
        run(*arguments)
        assert len([line for line in caplog.records if "pulse" in line.message]) == n_lines, arguments


def replace_module(monkeypatch: pytest.MonkeyPatch, name: str, **functions: Any) -> None:
    module = ModuleType(name)
    for key, function in functions.items():
        setattr(module, key, function)
    monkeypatch.setitem(sys.modules, name, module)


def test_render_passes_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def render_samples(out: Path, *, on_progress: Any, **options: Any) -> list[Path]:
        seen.update(options, out=out)
        on_progress(1, 3)
        return [out] * 3

    monkeypatch.setattr("ecg_hough.datasets.rendered.render_samples", render_samples)
    assert "3 pages" in run("render", "-n", 3, "-o", tmp_path, "--profile", "fax", "--seed", 7)
    expected = {"out": tmp_path, "n": 3, "profile": "fax", "seed": 7, "records": None, "dpi": None}
    assert seen == expected | {"held_out": False}


def test_prepare_data_passes_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def prepare(out: Path, settings: Any, **options: Any) -> Path:
        seen.update(asdict(settings), **options)
        return out

    monkeypatch.setattr("ecg_hough.training.prepare_data.prepare", prepare)
    run("prepare-data", "-n", 5, "-o", tmp_path, "--source", "kit", "--folder", tmp_path, "--workers", 1)
    assert (seen["n"], seen["source"], seen["folder"], seen["workers"]) == (5, "kit", tmp_path, 1)


def test_train_passes_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def train(settings: Any, **options: Any) -> Path:
        seen.update(asdict(settings), **options)
        return tmp_path

    monkeypatch.setattr("ecg_hough.training.train.train", train)
    run("train", "--config", "tiny", "--fold", "all", "--device", "cpu", "--epochs", 2)
    assert (seen["config"], seen["fold"], seen["device"], seen["epochs"]) == ("tiny", "all", "cpu", 2)


def test_train_without_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: Any, **__: Any) -> None:
        raise ModuleNotFoundError("No module named 'nnunetv2'", name="nnunetv2")

    monkeypatch.setattr("ecg_hough.training.train.train", train)
    assert 'pip install "ecg-hough[train]"' in run("train", status=1)


def test_another_missing_package_is_no_matter_of_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: Any, **__: Any) -> None:
        raise ModuleNotFoundError("No module named 'ecg_hough.gone'", name="ecg_hough.gone")

    monkeypatch.setattr("ecg_hough.training.train.train", train)
    result = CliRunner().invoke(app, ["train"])
    assert isinstance(result.exception, ModuleNotFoundError)


def test_evaluate_reads_what_predict_wrote(tmp_path: Path, calls: list[str]) -> None:
    page = write_page_image(tmp_path / "pages" / "a.png")
    run("predict", page, "-o", tmp_path / "out")
    signals = wfdb.rdrecord(str(tmp_path / "out" / "a")).p_signal.T
    assert np.isnan(signals[3]).all()
    run("evaluate", tmp_path / "out", tmp_path / "out", "-o", tmp_path / "scores")
    assert {path.name for path in (tmp_path / "scores").iterdir()} == {
        "leads.csv",
        "summary.json",
        "scores.png",
    }
    assert "Error:" in run("evaluate", tmp_path / "out", tmp_path / "nowhere", status=2)
