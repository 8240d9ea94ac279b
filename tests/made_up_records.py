"""Records, images and tables in the formats of data sets, small."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import wfdb
from numpy.typing import NDArray

from ecg_hough.paper import LEADS
from ecg_hough.render.ecg_model import generate_ecg

FS = 100


def made_up_signals(seed: int = 1) -> NDArray[np.float64]:
    """(12, 1000) mV, in whole µV as a record holds them."""
    return generate_ecg(seed, fs=FS).signals[:, : 10 * FS].round(3)


def write_record(
    stem: Path, signals: NDArray[np.float64], names: tuple[str, ...] = LEADS, **options: Any
) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    n = len(names)
    wfdb.wrsamp(
        stem.name, options.pop("fs", FS), ["mV"] * n, list(names), signals.T, fmt=["16"] * n,
        adc_gain=[1000.0] * n, baseline=[0] * n, write_dir=str(stem.parent), **options,
    )  # fmt: skip


def write_image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 12, 3), 255, np.uint8))
    return path


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
