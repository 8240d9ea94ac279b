"""The command lines of the service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecg_hough.cli.app import app
from ecg_hough.service.keys import Doorkeeper

RUN = CliRunner()


def test_keys(tmp_path: Path) -> None:
    keys = ["--keys", str(tmp_path / "keys.json")]
    made = RUN.invoke(app, ["keys", "add", "ward-3", *keys])
    assert made.exit_code == 0
    assert Doorkeeper(tmp_path / "keys.json").owner_of({"x-api-key": made.stdout.strip()}) == "key:ward-3"
    assert RUN.invoke(app, ["keys", "add", "proxy", "--for-users", *keys]).exit_code == 0
    listed = RUN.invoke(app, ["keys", "list", *keys]).stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["ward-3", "proxy"]
    assert listed[1].endswith("for users")
    assert RUN.invoke(app, ["keys", "remove", "ward-3", *keys]).exit_code == 0
    again = RUN.invoke(app, ["keys", "remove", "ward-3", *keys])
    assert again.exit_code == 2
    assert "must be that of a key" in again.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serve", "--host", "0.0.0.0"], "without keys"),
        (["serve", "--keys", "no-such.json"], "must have a key"),
        (["dicom-listen", "--allow", "A" * 17], "AE title"),
        (["dicom-listen", "--allow", "CART", "--peer", "PACS"], "TITLE@HOST:PORT"),
    ],
)
def test_what_is_refused(tmp_path: Path, words: list[str], said: str) -> None:
    answer = RUN.invoke(app, [*words, "--data", str(tmp_path / "data"), "--port", "0"])
    assert answer.exit_code == 2
    assert said in answer.stderr


def test_one_server_a_folder(tmp_path: Path) -> None:
    from ecg_hough.batch.lock import only_run

    with only_run(tmp_path):
        answer = RUN.invoke(app, ["serve", "--data", str(tmp_path), "--port", "0"])
    assert answer.exit_code == 1
    assert "another run" in answer.stderr


@pytest.mark.parametrize("command", ["serve", "dicom-listen"])
def test_help_has_examples_and_imports_little(command: str) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from ecg_hough.cli.app import app; "
        f"out = CliRunner().invoke(app, ['{command}', '--help']).stdout; assert 'Examples' in out; "
        "print([n for n in ('fastapi', 'uvicorn', 'pynetdicom', 'starlette', 'cv2') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_a_missing_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [one for one in sys.modules if one.startswith("ecg_hough.service")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    answer = RUN.invoke(app, ["serve", "--data", str(tmp_path)])
    assert answer.exit_code == 1
    assert 'pip install "ecg-hough[serve]"' in answer.stderr
