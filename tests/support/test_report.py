"""Reports for a bug: what is in them, and that no name is."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ecg_hough.cli.app import app
from ecg_hough.errors import PageError
from ecg_hough.support import report
from ecg_hough.support.report import PageReport, report_page
from vector_pdf import VectorPage, signals_of, write_pdf

PRIVATE = (b"Doe", b"Jane", b"4711", b"2024")


@pytest.mark.slow
def test_no_name_is_in_the_report_of_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = write_pdf(tmp_path / "Doe_Jane_4711.pdf", [VectorPage(signals_of())])
    shown = CliRunner().invoke(app, ["info", str(page), "--report", str(tmp_path / "report.zip")])
    assert shown.exit_code == 0, shown.output
    assert "Look at it before you send it." in shown.output
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert list(files) == [report.VERSIONS, report.RECORD, report.EVIDENCE, report.OVERLAY]
    for name, content in files.items():
        assert not [word for word in PRIVATE if word in content], name
        assert str(tmp_path).encode() not in content, name
    record, versions = json.loads(files[report.RECORD]), json.loads(files[report.VERSIONS])
    assert (record["source"], record["header"], record["layout"]) == ("page.pdf", None, "3x4+1")
    assert "cache" not in versions
    assert b"layout:" in files[report.EVIDENCE]

    monkeypatch.setattr(report, "redacted", lambda image, *_, **__: image)
    plain = report_page(page).picture
    shared = np.asarray(Image.open(io.BytesIO(files[report.OVERLAY])))
    assert plain is not None
    head = slice(0, plain.shape[0] // 6), slice(0, plain.shape[1] // 2)  # where the name is printed
    assert (plain[head].min(axis=2) < 150).sum() > 200
    assert (shared[head].min(axis=2) < 150).sum() == 0


def test_a_refused_page_gives_its_reason_and_no_picture(tmp_path: Path) -> None:
    Image.new("RGB", (800, 600), "white").save(tmp_path / "Doe.png")
    shown = CliRunner().invoke(app, ["info", str(tmp_path / "Doe.png"), "--report", str(tmp_path / "r.zip")])
    assert shown.exit_code == 0
    with zipfile.ZipFile(tmp_path / "r.zip") as archive:
        assert archive.namelist() == [report.VERSIONS, report.ERROR, report.EVIDENCE]
        assert archive.read(report.ERROR).decode().strip() in shown.output
        assert not any(b"Doe" in archive.read(name) for name in archive.namelist())


def test_a_report_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PageError, match="export"):
        PageReport(None, "why", None).write(tmp_path / "file" / "r.zip", versions={}, evidence=[])
