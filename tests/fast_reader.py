"""A reader of milliseconds in place of the digitiser, so that faults of a run can be tested on many pages."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecg_hough.errors import PageError
from ecg_hough.output.ecg import Ecg
from made_up_ecg import made_up_ecg


@dataclass(frozen=True)
class FastReader:
    """Makes a record from a page's bytes; pages whose bytes begin with a fault's name have that fault.

    Attributes:
        pause_s: time that a page takes.
        checks_pictures: pages that are PNG files are to be checked.
        drift_mv: is added to all signals.
        dies_once: a folder where it is noted that a page of `dies-once` has died.
    """

    pause_s: float = 0.0
    dies_once: Path | None = None
    checks_pictures: bool = False
    drift_mv: float = 0.0

    def __call__(self, path: Path) -> Ecg:
        content = path.read_bytes()
        fault = content.split(b"\n")[0].decode("ascii", "replace").lstrip("%")
        time.sleep(self.pause_s)
        if fault == "hangs":
            time.sleep(1000)
        if fault == "dies":
            os._exit(1)
        if fault == "crashes":
            ctypes.string_at(0)
        if fault == "eats":
            held = np.ones(1 << 26)
            time.sleep(1000 + held.size)
        if fault == "dies-once" and self.dies_once is not None:
            note = self.dies_once / path.name
            if not note.exists():
                note.touch()
                os._exit(1)
        if fault == "bug":
            raise RuntimeError("a bug")
        if fault == "refused":
            raise PageError("layout", "no leads were found")
        if fault == "changes":
            path.write_bytes(content + b"more")
        ecg = made_up_ecg(500, 0.5, source=path.name)
        warnings = ("Check the gain.",) if fault == "check" else ()
        if self.checks_pictures and content[1:4] == b"PNG":
            warnings = ("Gain 10.5 mm/mV was assumed.",)
        shift = sum(content) % 100 / 100 + self.drift_mv
        status = tuple(replace(one, status="ok") for one in ecg.lead_status)
        return replace(ecg, signals=ecg.signals + shift, warnings=warnings, lead_status=status)

    def options(self) -> dict[str, Any]:
        return {"method": "fast"}

    def sources(self, path: Path) -> Sequence[Path]:
        return ()


def write_pages(folder: Path, n: int, faults: dict[int, str] | None = None) -> list[Path]:
    """Pages for `FastReader`, p0 to p(n-1); `faults` by number."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k in range(n):
        path = folder / f"p{k}.png"
        path.write_bytes(f"{(faults or {}).get(k, 'fine')}\npage {k}\n".encode())
        paths.append(path)
    return paths
