"""Where figures go: a published result file is replaced only by a run that measures all that it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

RESULTS = Path("experiments/results")
ABLATIONS = Path("experiments/ablations")
FIGURES = Path("experiments/figures")
OUTPUT = Path("output")
"""Folders, from the root of a checkout."""


def results_path(published: Path, covers: Callable[[Path], bool]) -> Path:
    """The published file, if it is there and the run covers it; else the file of that name in `output`.

    Args:
        published: a result file of the repository.
        covers: whether the run measures all that this file holds.
    """
    return published if published.is_file() and covers(published) else OUTPUT / published.name
