#!/usr/bin/env python3
"""Builds wheel and sdist into dist/, and uses the wheel as a stranger would, in fresh virtual environments.

In: this checkout, with `build` installed. Out: dist/, and exit status 0 where

- two builds give the same bytes, and each file is at most 30 MB;
- pip installs the wheel from wheels alone, so that no compiler is needed, and brings no torch;
- the installed command reads a photo, which is corrected through the review's pages, writes DICOM, runs a
  batch of 50 pages, and scores the samples; the laboratory makes the paper's comparison;
- `uvx --from WHEEL ecg-hough predict` reads a page, where uv is installed.

    python scripts/check_release.py --python python3.11 --python python3.12
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, Request, build_opener

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
MAX_MB = 30.0
SNR_MIN_DB = 15.0
"""Each of the six samples is read to 19 dB or more."""
BATCH_PAGES = 50


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed; ends this script where it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stdout}")
    return done.stdout


def require(holds: bool, rule: str) -> None:
    """End this script where a rule does not hold."""
    if not holds:
        sys.exit(f"FAILED: {rule}")
    print(f"ok: {rule}", flush=True)


def source_date() -> str:
    """Seconds of the last commit, which both archives state as the time of their files."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return os.environ["SOURCE_DATE_EPOCH"]
    return run("git", "log", "-1", "--format=%ct").strip()


def build(folder: Path, date: str) -> dict[str, str]:
    """Build into a folder, as of a date in seconds; sha256 of each file by its name."""
    run(sys.executable, "-m", "build", "-o", folder, ROOT, env={"SOURCE_DATE_EPOCH": date})
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def built() -> Path:
    """Build twice, compare, keep one in dist/; the wheel."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        date = source_date()
        files = build(Path(first), date)
        require(len(files) == 2, f"a wheel and an sdist: {', '.join(files)}")
        require(build(Path(second), date) == files, "the same bytes twice")
        DIST.mkdir(exist_ok=True)
        for old in (*DIST.glob("ecg_hough-*.whl"), *DIST.glob("ecg_hough-*.tar.gz")):
            old.unlink()
        for name, digest in files.items():
            shutil.copy(Path(first) / name, DIST)
            size_mb = (DIST / name).stat().st_size / 1e6
            require(size_mb <= MAX_MB, f"{name}: {size_mb:.1f} MB of {MAX_MB:g}, sha256 {digest[:12]}")
    return next(DIST.glob("*.whl"))


def as_stranger(wheel: Path, python: str) -> None:
    """Install the wheel in a fresh environment, far from this checkout, and use it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run(python, "-m", "venv", home / "venv")
        programs = home / "venv" / ("Scripts" if os.name == "nt" else "bin")
        pip = (programs / "python", "-m", "pip", "install", "-q", "--only-binary", ":all:")
        shutil.copytree(ROOT / "samples", home / "samples")
        env = {"ECG_HOUGH_CACHE": str(home / "cache"), "PYTHONPATH": ""}
        run(*pip, wheel, env=env)
        names = [
            one["name"] for one in json.loads(run(programs / "python", "-m", "pip", "list", "--format=json"))
        ]
        version = run(programs / "python", "--version").strip()
        require(
            not {"torch", "nnunetv2"} & set(names), f"{version}: {len(names)} packages, all wheels, no torch"
        )
        reads_a_photo(programs / "ecg-hough", home, env)
        run(*pip, f"{wheel}[batch,dicom,serve]", env=env)
        corrects_it(programs / "ecg-hough", home, env)
        reads_many(programs / "ecg-hough", home, env)
        shutil.copytree(ROOT / "experiments", home / "experiments")  # pip builds in the folder itself
        run(programs / "python", "-m", "pip", "install", "-q", home / "experiments", env=env)
        compares(programs, home, env)


def reads_a_photo(hough: Path, home: Path, env: dict[str, str]) -> None:
    """The first page, with nothing but the package."""
    at_home = partial(run, hough, cwd=home, env=env)
    require("weights: leads-" in at_home("--version"), "--version names the weights")
    require("Nothing to mend." in at_home("doctor"), "doctor has nothing to mend")
    at_home("predict", "samples/photo_3x4.jpg", "-o", "photo", "--overlay")
    record = json.loads((home / "photo" / "photo_3x4.json").read_bytes())
    found = sum(lead["found"] for lead in record["lead_status"])
    require(found == 12, f"a photo is read: {record['layout']}, {found} leads")
    missing = subprocess.run(
        [str(hough), "predict", "samples/photo_3x4.jpg", "-o", "d", "--format", "dicom"],
        cwd=home, env={**os.environ, **env}, capture_output=True, text=True,
    )  # fmt: skip
    require('pip install "ecg-hough[dicom]"' in missing.stderr, "a missing extra is named with its command")


def corrects_it(hough: Path, home: Path, env: dict[str, str]) -> None:
    """What a browser sends when a person corrects the gain of the photo; the record, as DICOM too."""
    words = [str(hough), "review", "photo", "--no-browser", "--user", "anna"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=home, env={**os.environ, **env}, stdout=pipe, text=True) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().strip()
            at = address.partition("/?")[0]
            browser = build_opener(HTTPCookieProcessor(CookieJar()))
            queue = browser.open(address).read().decode()
            csrf = re.search(r'name="csrf" content="([^"]+)"', queue)
            require(csrf is not None, "the review begins a session")
            assert csrf is not None
            headers = {"X-CSRF-Token": csrf[1], "Content-Type": "application/json"}

            def send(path: str, sent: dict[str, Any]) -> dict[str, Any]:
                request = Request(f"{at}{path}", json.dumps(sent).encode(), headers)
                answer: dict[str, Any] = json.load(browser.open(request))
                return answer

            (page,) = json.load(browser.open(f"{at}/api/queue"))["pages"]
            gain = {"kind": "gain", "what": {"mm_mv": 5, "group": "limb"}}
            state = send(f"/api/pages/{page['id']}/corrections", {"version": 0, **gain})
            send(f"/api/pages/{page['id']}/decision", {"version": state["version"], "decision": "accepted"})
        finally:
            server.terminate()
    run(hough, "review", "photo", "--export", "reviewed", "--format", "dicom", cwd=home, env=env)
    record = json.loads((home / "reviewed" / "photo_3x4.json").read_bytes())
    require(
        (record["corrected_by"], record["gain_mm_mv"], record["review"]) == (["anna"], 5, "accepted"),
        "a correction through the review's pages is in the record",
    )
    run(hough, "convert", "photo/photo_3x4.json", "--to", "dicom", cwd=home, env=env)
    sizes = [(home / name / "photo_3x4.dcm").stat().st_size for name in ("reviewed", "photo")]
    require(min(sizes) > 100_000, "DICOM is written")


def reads_many(hough: Path, home: Path, env: dict[str, str]) -> None:
    """Scores of the samples, and a batch of them and of drawn pages."""
    at_home = partial(run, hough, cwd=home, env=env)
    at_home("predict", "samples", "-o", "out")
    at_home("evaluate", "out", "samples/truth", "-o", "scores")
    summary = json.loads((home / "scores" / "summary.json").read_bytes())
    snr = float(summary["all"]["challenge_snr_db"])
    require(snr > SNR_MIN_DB, f"the samples are read to {snr:.1f} dB")
    n_samples = summary["all"]["pages"]
    at_home("render", "-o", "pages", "-n", str(BATCH_PAGES - n_samples))
    at_home("batch", "plan", "samples", "pages", "-o", "batch")
    at_home("batch", "run", "batch")
    done = json.loads(at_home("batch", "status", "batch", "--json"))["pages_done"]
    require(done == BATCH_PAGES, f"a batch of {done} pages is read")
    at_home("batch", "verify", "batch", "-n", "2")


def compares(programs: Path, home: Path, env: dict[str, str]) -> None:
    """The comparison of docs/guides/paper.md, on pages of the batch."""
    words = ("compare", "pages", "--methods", "ours,krones2024", "--pages", "3", "-o", "compare.json")
    print(run(programs / "ecg-lab", *words, cwd=home, env=env))
    methods = set(json.loads((home / "compare.json").read_bytes())["variants"])
    require({"ours", "krones2024"} <= methods, "the winner's method and ours are compared on the same pages")


def by_uvx(wheel: Path) -> None:
    """Read a page by `uvx`, which installs nothing that stays."""
    uvx = shutil.which("uvx", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if uvx is None:
        print("not run: uvx is not installed (pip install uv)")
        return
    with tempfile.TemporaryDirectory() as folder:
        page = ROOT / "samples" / "clean_3x4.jpg"
        run(
            uvx,
            "--from",
            wheel,
            "ecg-hough",
            "predict",
            page,
            "-o",
            folder,
            cwd=Path(folder),
            env={"PYTHONPATH": ""},
        )
        require(
            (Path(folder) / "clean_3x4.json").is_file(), "uvx --from WHEEL ecg-hough predict reads a page"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, compare, use."""
    parser = argparse.ArgumentParser(description="Build the release and use it as a stranger would.")
    parser.add_argument("--python", action="append", help="interpreter to try; as often as wanted")
    options = parser.parse_args(arguments)
    wheel = built()
    for python in options.python or [sys.executable]:
        as_stranger(wheel, python)
    by_uvx(wheel)


if __name__ == "__main__":
    main()
