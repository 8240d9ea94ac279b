"""Folders and lists that tests read from."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "samples"
SHARED = ROOT.parent / "shared" / "data"
"""Pages for validation; tests that need them skip where they are absent."""
HEAVY = ROOT / "tests" / "heavy.txt"
"""Tests of over a second, "folder/file.py::name", one a line; `make heavy-tests` writes them again."""


def heavy_tests() -> set[str]:
    """The entries of `HEAVY`."""
    return {line for line in HEAVY.read_text(encoding="utf-8").splitlines() if line}
