#!/usr/bin/env python3
"""Runs the fast tests with the lowest or the newest versions of the dependencies that pyproject.toml allows.

In: this checkout, with uv installed. Out: the tests' exit status; a virtual environment in output/, with the
package's dependencies and the extras of `all`. Packages that single tests compare with are installed where
there is one for these versions; those tests are skipped elsewhere.

    python scripts/test_versions.py --resolution lowest-direct
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("pytest", "pytest-timeout", "pytest-xdist", "httpx", "hypothesis", "jsonschema", "pyyaml")
PEERS = ("duckdb", "ecgdatakit", "fhir.resources", "mne", "moto[server]", "pyedflib")
"""Packages that tests compare with; none of them is a dependency."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Resolve, install, test."""
    parser = argparse.ArgumentParser(description="Fast tests with other versions of the dependencies.")
    parser.add_argument("--resolution", choices=("highest", "lowest-direct"), default="lowest-direct")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("tests", nargs="*", help="arguments of pytest")
    options = parser.parse_args(arguments)
    beside = str(Path(sys.executable).parent)
    uv = shutil.which("uv", path=os.pathsep.join((beside, os.environ["PATH"])))
    if uv is None:
        sys.exit("uv is needed: pip install uv")
    folder = ROOT / "output" / f"versions-{options.resolution}"
    folder.mkdir(parents=True, exist_ok=True)
    pins, python = folder / "pins.txt", folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    only = ("--only-binary", ":all:")
    subprocess.run(
        [uv, "pip", "compile", "-q", "--resolution", options.resolution, *only, "--extra", "all",
         "--no-annotate", "-p", options.python, "-o", pins, "pyproject.toml"],
        cwd=ROOT, check=True,
    )  # fmt: skip
    subprocess.run([uv, "venv", "-q", "--clear", "-p", options.python, folder / "venv"], check=True)
    install = [uv, "pip", "install", "-q", "-p", python, *only]
    subprocess.run([*install, "-r", pins, *TOOLS], check=True)
    for peer in PEERS:
        if subprocess.run([*install, "-c", pins, peer], stderr=subprocess.DEVNULL).returncode:
            print(f"{peer}: none for these versions")
    chosen = options.tests or [
        "-m", "not slow and not heavy", "--ignore", "tests/lab", "--ignore", "tests/training", "tests",
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(("src", "experiments"))}
    sys.exit(
        subprocess.run(
            [python, "-m", "pytest", "-p", "no:cacheprovider", *chosen], cwd=ROOT, env=env
        ).returncode
    )


if __name__ == "__main__":
    main()
