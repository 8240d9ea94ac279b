"""A trained network and the record of its making: the parts of a card that every kind has."""

from __future__ import annotations

import csv
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TrainedRun:
    """A trained network, ready for inference, and its part of the card."""

    network: torch.nn.Module
    channels: int
    stride: int
    """Rows and columns must be multiples of it."""
    card: dict[str, Any]
    rows: int | None = None
    """Rows of every input, where they are fixed."""
    cols: int | None = None
    """Columns of every input, where they are fixed, too: then only the batch is free."""


def hardware() -> dict[str, Any]:
    """Processor and number of cores of this machine, and its GPU where torch sees one."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    found: dict[str, Any] = {"cpu": model, "cores": os.cpu_count()}
    import torch

    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name(0)
    return found


def log_essentials(path: Path, key: str, *, best: Any) -> dict[str, Any] | None:
    """First, last and best row of a log; None where there is no log."""
    if not path.is_file():
        return None
    with path.open(newline="") as file:
        rows = [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(file)]
    scored = [row for row in rows if row.get(key) is not None]
    if not rows:
        return None
    return {
        "first": rows[0],
        "last": rows[-1],
        "best": best(scored, key=lambda row: row[key]) if scored else None,
        "best_by": key,
        "rows": len(rows),
    }


def _number(text: str | None) -> float | None:
    """A finite number or None: JSON knows no NaN."""
    value = float(text) if text else float("nan")
    return float(f"{value:.6g}") if np.isfinite(value) else None


def read_json(path: Path) -> dict[str, Any]:
    """Content of a JSON file; empty where there is none."""
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return content
