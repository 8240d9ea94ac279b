"""The command `ecg-hough review`: what it writes, and what it says."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecg_hough.cli.app import app

pytest.importorskip("sqlalchemy", reason='needs pip install "ecg-hough[serve]"')
from ecg_hough.review.corrections import HeaderValues
from ecg_hough.review.library import Library
from ecg_hough.review.store import Store
from made_review import CLEAN, NO_PAGE, PHOTO, of_file, review_folder


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("ecg_hough.review.engine.reading_of", of_file)
    return review_folder(tmp_path)


def test_export(out: Path, tmp_path: Path) -> None:
    store = Store.beside(out)
    clean, photo = (
        store.page_id(one.stem, one.sha256)
        for name in (CLEAN, PHOTO)
        for one in Library(out).entries
        if one.stem == name
    )
    store.append(clean, 0, "anna", HeaderValues({"name": "Doe, Jane"}))
    store.decide(photo, 0, "anna", "rejected", "cut off")
    store.close()
    to = tmp_path / "reviewed"
    result = CliRunner().invoke(app, ["review", str(out), "--export", str(to), "--format", "csv"])
    assert result.exit_code == 0, result.output
    assert "1 records written, 2 not" in result.output
    assert f"{PHOTO}: not written: rejected by anna: cut off" in result.output
    assert f"{NO_PAGE}: not written" in result.output
    entry = json.loads((to / f"{CLEAN}.json").read_bytes())
    assert entry["header"]["patient"]["name"] == "Doe, Jane"
    assert entry["corrected_by"] == ["anna"]
    assert (to / f"{CLEAN}.csv").is_file()


def test_a_folder_without_records(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["review", str(tmp_path)])
    assert result.exit_code == 2
    assert "holds no record" in result.output


def test_a_bad_database(out: Path) -> None:
    result = CliRunner().invoke(app, ["review", str(out), "--database", "mine"])
    assert result.exit_code == 2
    assert "must be a URL" in result.output


def test_a_database_that_does_not_answer(out: Path) -> None:
    pytest.importorskip("psycopg", reason='needs pip install "ecg-hough[serve]"')
    url = "postgresql+psycopg://anna:hidden@127.0.0.1:1/ecg"
    result = CliRunner().invoke(app, ["review", str(out), "--no-browser", "--database", url])
    assert result.exit_code == 1
    assert "Error: database postgresql+psycopg://anna:***@127.0.0.1:1/ecg: " in result.output
    assert "hidden" not in result.output


def test_the_server_answers_with_a_token_alone(out: Path) -> None:
    pytest.importorskip("uvicorn", reason='needs pip install "ecg-hough[serve]"')
    command = [sys.executable, "-c", "from ecg_hough.cli.app import app; app()", "review", str(out)]
    with subprocess.Popen([*command, "--no-browser"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(address.partition("/?")[0] + "/static/page.js") as answer:
                assert answer.status == 200
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(address.partition("?")[0])
        finally:
            server.kill()


def test_nothing_of_the_extra_is_imported_for_other_commands() -> None:
    script = (
        "import sys; from ecg_hough.cli.app import app\n"
        "print([one for one in ('fastapi', 'sqlalchemy', 'uvicorn', 'jinja2') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
