"""Every command and all Python of the READMEs and docs is run on small inputs, or has a reason why not.

The commands of a page run in their order, by a shell, in a folder with two sample pages, a scan, a DICOM
image, a manifest and two records in place of the reader's. Numbers of pages become 2, buckets a folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import wfdb
from PIL import Image

from ecg_hough.networks.runtime import WEIGHTS
from ecg_hough.output.export import png_bytes, write_signals
from ecg_hough.paper import make_layout
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.page import render_page
from ecg_hough.render.style import sample_style
from places import ROOT, SAMPLES
from test_docs import ALL, named

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PROGRAMS = ("ecg-hough", "ecg-lab", "make")
NOT_RUN = {
    r"pip install|python3? -m venv|^ecg/bin|^uvx ": "installs; scripts/check_release.py does the same",
    r"^docker ": "needs a container engine; scripts/check_container.py does the same",
    r"^(wget|git|kaggle|cp|cd) |wfdb\.dl_database|--source ptbxl": "fetches what others keep",
    r"^python gen_ecg|^python (train|run)_model": "a command of somebody else's program",
    r"(data/(chapman|ludb)|--source kit|contest/|pages/ludb|\bPAGES\b)": "needs a data set that is not here",
    r"^ecg-hough learn |^ecg-lab learn-bench": "learns for minutes from what people corrected; "
        "tests/training/test_learn.py",
    r"^ecg-hough (train|train-traces|train-marks|nnunet) |^ecg-lab (train-peer|cross-validate)":
        "trains for hours; tests/training makes a few steps",
    r"^ecg-hough (export|quantize) |^ecg-lab export-peer": "needs what a training left",
    r"^curl ": "asks a server; test_commands_of_clients_of_the_service",
    r"^ecg-hough (serve|dicom-listen|review (?!.*--export))": "a server; tests/service, tests/review run it",
    r"--network models/M3": "needs the winner's network",
}  # fmt: skip
"""Commands that are not run, and why."""
SMALLER = {
    r"(?<= -n )\d+": "2",
    r"--workers \d+": "--workers 1",
    r"s3://bucket/batch": "batch",
    r"DATA\.\.\.": "pages",
}
NO_CODE = ("pages/clean/", "FOLDER/", "ground floor:")
"""What blocks begin with that show files, or a rule."""
NOT_PYTHON = {
    "samples/README.md": "draws the samples of the repository again",
    "datasets/ptbxl/README.md": "fetches what others keep",
}


@dataclass(frozen=True)
class Step:
    """A command, or a block of Python."""

    text: str
    is_python: bool = False

    @property
    def why_not(self) -> str | None:
        """Why it is not run; None where it is."""
        return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, self.text)), None)


def steps_of(page: Path) -> list[Step]:
    """Commands and Python of a page, in their order."""
    steps = []
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            steps.append(Step(block, is_python=True))
        elif language == "" and not block.lstrip().startswith(NO_CODE):
            lines = re.sub(r"\\\n", " ", block).splitlines()
            commands = (re.sub(r"\s+#.*|^#.*", "", line).strip() for line in lines)
            steps += [Step(" ".join(command.split())) for command in commands if command]
    return steps


def is_run(step: Step, page: Path) -> bool:
    """Whether a step is run here, not only by `make -n`."""
    if step.is_python:
        return named(page) not in NOT_PYTHON
    return step.why_not is None and not step.text.startswith("make ")


def smaller(text: str) -> str:
    for pattern, small in SMALLER.items():
        text = re.sub(pattern, small, text)
    return text


def test_every_command_is_run_or_has_a_reason() -> None:
    steps = [(named(page), step) for page in ALL for step in steps_of(page) if not step.is_python]
    for page, step in steps:
        assert step.why_not or step.text.split()[0] in PROGRAMS, f"{page}: {step.text}"
    for pattern in NOT_RUN:
        assert any(re.search(pattern, step.text) for _, step in steps), f"no command needs {pattern}"
    assert sum(step.why_not is None for _, step in steps) > 50


def test_targets_of_make_can_be_made() -> None:
    commands = {step.text for page in ALL for step in steps_of(page) if step.text.startswith("make ")}
    assert len(commands) > 15
    for command in sorted(commands):
        dry = subprocess.run(f"{command} -n", shell=True, cwd=ROOT, capture_output=True, text=True)
        assert dry.returncode == 0, f"{command}: {dry.stderr}"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the commands of this checkout."""
    folder = tmp_path_factory.mktemp("bin")
    for name, module in (("ecg-hough", "ecg_hough.cli.app"), ("ecg-lab", "ecg_lab.cli")):
        script = folder / name
        guarded = 'if __name__ == "__main__":\n    app()\n'  # workers import it again
        script.write_text(f"#!{sys.executable}\nfrom {module} import app\n\n{guarded}")
        script.chmod(0o755)
    return folder


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """The folder of a reader who has pages, records and weights."""
    for name in ("clean_3x4", "photo_3x4"):
        (tmp_path / "samples" / "truth").mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLES / f"{name}.jpg", tmp_path / "samples")
        for suffix in (".hea", ".dat"):
            shutil.copy(SAMPLES / "truth" / f"{name}{suffix}", tmp_path / "samples" / "truth")
    (tmp_path / "pages.csv").write_text("uri\nsamples/clean_3x4.jpg\n")
    image = cv2.imread(str(SAMPLES / "clean_3x4.jpg"))[..., ::-1].copy()
    for place in ("page.png", "scans/page.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(png_bytes(image))
    truth = wfdb.rdrecord(str(SAMPLES / "truth" / "clean_3x4"))
    write_signals(tmp_path / "truth", "page", truth.p_signal.T, truth.fs)
    for k, name in enumerate(("00009_hr", "90001_hr", "90002_hr")):  # the first is held out
        write_signals(tmp_path / "data" / "ptbxl", name, generate_ecg(k).signals, 500)
    (tmp_path / "output" / "weights").mkdir(parents=True)
    for suffix in (".onnx", ".json"):
        shutil.copy(WEIGHTS / f"leads{suffix}", tmp_path / "output" / "weights")
    style = sample_style(np.random.default_rng(1), "clean", layout=make_layout("3x4"), dpi=120)
    page = render_page(generate_ecg(1).signals, 500, seed=1, style=style)
    write_signals(tmp_path / "pages", "a", page.signals, page.fs)
    (tmp_path / "pages" / "a.png").write_bytes(png_bytes(page.image))
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.labels.png").write_bytes(png_bytes(page.label_map()))
    return tmp_path


def dicom_image(folder: Path) -> None:
    from ecg_hough.output.dicom import picture_bytes

    (folder / "study").mkdir()
    image = cv2.imread(str(SAMPLES / "clean_3x4.jpg"))[..., ::-1].copy()
    (folder / "study" / "image.dcm").write_bytes(picture_bytes(image))


def env_of(programs: Path) -> dict[str, str]:
    """Variables with which a shell finds the commands of this checkout."""
    return {
        **os.environ,
        "PATH": os.pathsep.join((str(programs), os.environ["PATH"])),
        "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT / "experiments"))),
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "page", [page for page in ALL if any(is_run(step, page) for step in steps_of(page))], ids=named
)
def test_commands_of_a_page(page: Path, desk: Path, programs: Path) -> None:
    steps = [step for step in steps_of(page) if is_run(step, page)]
    text = " ".join(step.text for step in steps)
    if "dicom" in text:
        pytest.importorskip("pydicom")
        dicom_image(desk)
    if "edfio" in text:
        pytest.importorskip("edfio")
    if "batch" in text:
        pytest.importorskip("pyarrow")
    if "review" in text:
        pytest.importorskip("sqlalchemy")
    for step in steps:
        words: list[str]
        if step.is_python:
            parts = sorted(desk.glob("batch/parts/*.parquet"))
            code = step.text.replace("NAME", parts[0].stem if parts else "NAME")
            words = [sys.executable, "-c", code]
        else:
            words = ["bash", "-ec", smaller(step.text)]
        done = subprocess.run(words, cwd=desk, env=env_of(programs), capture_output=True, text=True)
        assert done.returncode == 0, f"{step.text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_commands_of_clients_of_the_service(desk: Path, programs: Path) -> None:
    for package in ("fastapi", "pydicom"):
        pytest.importorskip(package)
    shutil.copy(SAMPLES / "clean_3x4.jpg", desk / "scan.jpg")
    pages = [Image.open(SAMPLES / f"{name}.jpg") for name in ("clean_3x4", "bw_3x4")]
    pages[0].save(desk / "study.pdf", save_all=True, append_images=pages[1:])
    commands = [step.text for step in steps_of(ROOT / "docs" / "service.md") if step.text.startswith("curl ")]
    assert len(commands) == 6
    env = env_of(programs)

    def answer(command: str) -> str:
        done = subprocess.run(f"{command} -sS --fail", shell=True, cwd=desk, env=env, capture_output=True)
        assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
        return done.stdout.decode()

    # A loaded machine may need longer for a page than a server waits and allows.
    words = ["ecg-hough", "serve", "--port", "0", "--data", "jobs", "--wait-seconds", "500"]
    words += ["--page-seconds", "500"]
    with subprocess.Popen(words, cwd=desk, env=env, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            place = next(found for line in server.stderr if (found := re.search(r"127\.0\.0\.1:\d+", line)))
            as_json, as_csv, with_options, several, job, record = (
                command.replace("localhost:8000", place[0]) for command in commands
            )
            assert json.loads(answer(as_json))["layout"] == "3x4+1"
            assert answer(as_csv).startswith("time_s,I,II,")
            assert json.loads(answer(with_options))["layout"] == "3x4+1"
            number = json.loads(answer(several).partition("\r\n\r\n")[2])["id"]
            while (state := json.loads(answer(job.replace("ID", number))))["state"] in ("queued", "running"):
                time.sleep(0.5)
            answer(record.replace("ID", state["records"][0]["id"]))
        finally:
            server.terminate()
    assert (desk / "ecg.dcm").read_bytes()[128:132] == b"DICM"
