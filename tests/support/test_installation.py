"""The state of an installation: what is missing is named with its remedy, what is damaged is seen."""

from __future__ import annotations

import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecg_hough.cli.app import app
from ecg_hough.cli.screen import PACKAGES
from ecg_hough.support import installation, weights
from ecg_hough.support.installation import BASE, Sample, examine
from places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOR_DEVELOPERS = {"all", "dev", "docs", "release"}
GOOD = Sample(2.0, 1.0, "3x4+1", 12, 28.0, "int8")


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "read_sample", lambda: GOOD)


def test_the_lists_are_those_of_the_project() -> None:
    assert {line.split(">=")[0] for line in PROJECT["dependencies"]} == set(BASE)
    assert PACKAGES.keys() == PROJECT["optional-dependencies"].keys() - FOR_DEVELOPERS
    (whole,) = PROJECT["optional-dependencies"]["all"]
    assert set(whole[len("ecg-hough[") : -1].split(",")) == PACKAGES.keys() - {"train"}


def test_shipped_weights_are_those_of_their_cards() -> None:
    files = weights.shipped()
    assert [one.name for one in files] == ["leads", "marks", "traces", "words", "is_ecg", "trust"]
    assert [one.problem() for one in files] == [None] * 6


def test_damaged_and_missing_weights_are_seen(tmp_path: Path) -> None:
    for name in ("marks.json", "marks.onnx", "words.json", "trust.json"):
        shutil.copy(weights.FOLDER / name, tmp_path)
    with (tmp_path / "marks.onnx").open("ab") as file:
        file.write(b"\0")
    marks, words, trust = weights.shipped(tmp_path)
    assert "not the file of its card" in (marks.problem() or "")
    assert "words.onnx is missing" in (words.problem() or "")
    assert trust.problem() is None
    assert trust.version.startswith("trust-")


@pytest.mark.usefixtures("no_reading")
def test_extras_that_are_missing_have_their_command() -> None:
    found = examine({"ocr": ("no_such_module",), "heic": ("numpy",)})
    ocr, heic = found.extras
    assert (ocr.missing, ocr.install) == (("no_such_module",), 'pip install "ecg-hough[ocr]"')
    assert (heic.missing, list(heic.versions)) == ((), ["numpy"])
    assert found.problems == ()  # an extra is a choice


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (replace(GOOD, snr_db=3.0), "got 3.0 dB"),
        (replace(GOOD, snr_db=float("nan")), "got nan dB"),
        (None, "cannot"),
    ],
)
def test_a_sample_that_is_read_wrongly_is_a_problem(
    sample: Sample | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> Sample:
        if sample is None:
            raise RuntimeError("no such instruction")
        return sample

    monkeypatch.setattr(installation, "read_sample", read)
    (problem,) = examine({}).problems
    assert words in problem


@pytest.mark.usefixtures("no_reading")
def test_doctor_shows_and_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == 0
    assert "Nothing to mend." in shown.output
    assert "28.0 dB" in shown.output
    as_json = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).output)
    assert as_json["sample"]["leads_found"] == 12
    monkeypatch.setattr(installation, "version_of", lambda name: "" if name == "wfdb" else "1")
    broken = CliRunner().invoke(app, ["doctor"])
    assert broken.exit_code == 1
    assert "wfdb is missing: pip install ecg-hough" in broken.output


def test_version_names_the_weights() -> None:
    shown = CliRunner().invoke(app, ["--version"]).output
    for one in weights.shipped():
        assert one.version in shown


@pytest.mark.slow
def test_the_sample_page_is_read() -> None:
    found = installation.read_sample()
    assert found.leads_found == 12
    assert found.layout == "3x4+1"
    assert found.snr_db > installation.SNR_MIN_DB
