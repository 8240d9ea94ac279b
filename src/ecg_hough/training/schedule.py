"""What both training loops share: the learning rate's course, the averaging of weights, and the log."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

FLAT_SHARE = 0.6
"""The learning rate stays flat for this share of a run, then falls linearly: a run can be prolonged from any
point of its flat part."""
LEAST_SHARE = 0.02
"""Of the learning rate, at the end."""


def rate_share(progress: float) -> float:
    """Share of the learning rate at a point of the run, 0 to 1."""
    return 1.0 if progress < FLAT_SHARE else max(LEAST_SHARE, (1 - progress) / (1 - FLAT_SHARE))


def average_decay(limit: float, step: int) -> float:
    """Decay of the averaged weights after `step` steps: their memory grows with the run's length."""
    return min(limit, (1 + step) / (10 + step))


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a CSV log; its first row brings the header."""
    new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
