"""A made-up digitised page, and a stand-in for `digitize` that returns it."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_hough.batch import predict
from ecg_hough.image.reading import read_page
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS
from ecg_hough.record import LeadStatus, Trace

MISSING = "aVR"


def made_up_ecg(fs: int = 500, seconds: float = 2.0, source: str = "page.png") -> Ecg:
    """Sines of 0.1 to 1.2 mV; aVR not printed, the second half of V6 not printed."""
    times = np.arange(round(fs * seconds)) / fs
    signals = np.stack([(k + 1) / 10 * np.sin(2 * np.pi * (1 + k / 7) * times) for k in range(12)])
    signals[LEADS.index(MISSING)] = np.nan
    signals[11, times.size // 2 :] = np.nan
    columns = 100.0 + np.arange(300)
    traces = []
    status = []
    for k, lead in enumerate(LEADS):
        if lead == MISSING:
            status.append(LeadStatus(lead, False, "not printed"))
            continue
        status.append(LeadStatus(lead, True, None, 0.9, 0.0, seconds if k < 11 else seconds / 2))
        rows = 50.0 + 20 * k + 8 * np.sin(columns / 9)
        rows[100:110] = np.nan
        traces.append(Trace(lead, k == 1, np.stack([rows, columns], axis=1)))
    return Ecg(
        signals=signals,
        fs=fs,
        confidence=np.where(np.isnan(signals), 0.0, 0.9),
        sd_mv=np.where(np.isnan(signals), np.nan, 0.02),
        lead_status=tuple(status),
        angle_deg=1.25,
        quarter_turns=0,
        px_per_mm=(7.87, 7.88),
        layout="3x4+1",
        speed_mm_s=25.0,
        gain_mm_mv=10.0,
        warnings=("aVR is not printed.",),
        traces=tuple(traces),
        quality=0.9,
        versions={"ecg_hough": "0.1.0"},
        seconds={"page": 0.1, "total": 0.5},
        source=source,
    )


def write_page_image(path: Path, seed: int = 0) -> Path:
    """A noisy picture that `read_page` takes."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(seed).integers(0, 256, (320, 420, 3), dtype=np.uint8)
    path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())
    return path


def header_only_png(path: Path, side: int) -> Path:
    """A 1 bit grey PNG without its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    )
    return path


def stand_in_digitize(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the digitiser; returns the list of page names it will be called with."""
    calls: list[str] = []

    def digitize(page: Any, number: int = 1, *, fs: int = 500, **options: Any) -> Ecg:
        read = read_page(page, number)
        calls.append(read.name)
        if "bug" in read.name:
            raise RuntimeError("a bug")
        return made_up_ecg(fs, source=read.name)

    def read_here(jobs: Any, workers: int, limits: Any) -> Any:
        return results(jobs, workers, None)  # a process would not know the stand-in

    results = predict._results
    monkeypatch.setattr(predict, "_results", read_here)
    module = ModuleType("ecg_hough.pipeline")
    module.digitize = digitize  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ecg_hough.pipeline", module)
    return calls


@dataclass(frozen=True)
class OtherReader:
    """A reader of another program with a file of its own; its process dies on the page deadly.png."""

    own: Path

    def __call__(self, path: Path) -> Ecg:
        if path.name == "deadly.png":
            os._exit(1)
        return made_up_ecg(250, source=path.name)

    def options(self) -> dict[str, Any]:
        return {"method": "other"}

    def sources(self, path: Path) -> list[Path]:
        return [self.own]


def as_printed(signals: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a 3x4 page with lead II below shows of 10 s: columns one after the other, all of II."""
    shown = np.full(signals.shape, np.nan)
    quarter = signals.shape[1] / 4
    for k in range(12):
        part = slice(int(k // 3 * quarter), int((k // 3 + 1) * quarter))
        shown[k, part] = signals[k, part]
    shown[1] = signals[1]
    return shown
