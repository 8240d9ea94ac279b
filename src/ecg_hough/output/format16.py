"""WFDB's format 16: a header of text and a file of 16 bit numbers, as the package wfdb writes them.

In: signals in mV. Out: the two files. Importing wfdb takes a tenth of the time of a process that reads one
page, most of it for pandas; its files and ours are the same bytes, which the tests check.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NO_VALUE = -32768


def write_format16(
    folder: Path,
    name: str,
    signals: NDArray[np.floating],
    fs: int,
    gains: Sequence[float],
    leads: Sequence[str],
    comments: Sequence[str],
) -> None:
    """Write `folder/name.hea` and `.dat`.

    Args:
        signals: (n, N) mV, NaN where there is no value; gains: adu/mV of each.
        leads: names of the signals; comments: lines of ASCII.
    """
    scaled = np.rint(signals * np.asarray(gains)[:, None])
    steps = np.where(np.isnan(signals), NO_VALUE, scaled).astype("<i2")
    lines = [f"{name} {len(leads)} {fs} {signals.shape[1]}"]
    for lead, gain, values in zip(leads, gains, steps, strict=True):
        total = int(values.sum(dtype=np.int64)) % 65536
        lines.append(f"{name}.dat 16 {gain}(0)/mV 16 0 {int(values[0])} {total} 0 {lead}")
    lines += [f"# {line}" for line in comments]
    (folder / f"{name}.dat").write_bytes(steps.T.tobytes())
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n", encoding="ascii")
