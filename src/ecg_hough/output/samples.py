"""What all record formats share: signals in 16 bits, gaps, and what a reader must know in words.

In: a `Record`. Out: numbers and sentences; no file is written here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_hough.clinical import Measurement
from ecg_hough.numeric import runs
from ecg_hough.paper import LEADS
from ecg_hough.record import Record

PROGRAM = "ecg-hough"
"""Is written into every header and JSON, and distinguishes our files from others of the same name."""
MISSING = -32768
"""A sample that is not printed or not readable, in 16 bits; DICOM's padding value and WFDB's "no value"."""
MAX_STEPS = 32767
UV_PER_MV = 1000.0


@dataclass(frozen=True)
class Sixteen:
    """Signals in 16 bits.

    Attributes:
        steps: (12, N) int16, `MISSING` where the signal is NaN.
        uv: (12,) microvolts a step: 1, or the least whole number with which the lead fits.
    """

    steps: NDArray[np.int16]
    uv: NDArray[np.int64]


def in_16_bits(signals: NDArray[np.floating]) -> Sixteen:
    """Signals (12, N) in mV as whole microvolts; a lead beyond ±32.767 mV gets larger steps.

    Raises:
        ValueError: infinite signals, or none at all.
    """
    check_signals(signals)
    known = np.nan_to_num(np.asarray(signals, dtype=np.float64)) * UV_PER_MV
    uv = np.maximum(1, np.ceil(np.rint(np.abs(known).max(axis=1)) / MAX_STEPS)).astype(np.int64)
    steps = np.rint(known / uv[:, None]).astype(np.int16)
    return Sixteen(np.where(np.isnan(signals), np.int16(MISSING), steps), uv)


def check_signals(signals: NDArray[np.floating]) -> None:
    """Check what is about to be written.

    Raises:
        ValueError: not 12 leads, no sample, or infinite values.
    """
    if signals.ndim != 2 or signals.shape[0] != len(LEADS) or signals.shape[1] == 0:
        raise ValueError(f"signals must be ({len(LEADS)}, N) with at least one sample; got {signals.shape}")
    if np.isinf(signals).any():
        raise ValueError("signals must be finite or NaN; got infinite values")


@dataclass(frozen=True)
class Gap:
    """Samples of a lead that have no value, and the reason in words.

    Attributes:
        lead: its name.
        start, stop: samples, half-open.
        reason: "not printed", "not readable", or why the lead was not found.
    """

    lead: str
    start: int
    stop: int
    reason: str

    @property
    def words(self) -> str:
        """Such as "not printed: V1"."""
        return f"{self.reason}: {self.lead}"


def gaps(ecg: Record) -> Iterator[Gap]:
    """Every gap of every lead, in the leads' order.

    Outside the printed span a lead is not printed, inside it is not readable.
    """
    for signal, status in zip(ecg.signals, ecg.lead_status, strict=True):
        for start, stop in runs(np.isnan(signal)):
            reason = status.reason or "not printed"
            if status.found and math.isfinite(status.start_s) and math.isfinite(status.end_s):
                inside = start >= status.start_s * ecg.fs - 1 and stop <= status.end_s * ecg.fs + 1
                reason = "not readable" if inside else "not printed"
            yield Gap(status.lead, start, stop, reason)


def made_by(ecg: Record) -> str:
    """Program and version."""
    return f"{PROGRAM} {ecg.versions.get('ecg_hough', '')}".rstrip()


def remarks(ecg: Record) -> list[str]:
    """What a person who sees only the signals must know: source, scale, state of page and leads, warnings."""
    lines = [
        f"Digitised from {ecg.source} by {made_by(ecg)}",
        f"Layout: {ecg.layout}; paper speed {ecg.speed_mm_s:g} mm/s; gain {ecg.gain_mm_mv:g} mm/mV",
    ]
    lines.append(f"Page: {ecg.page_status}" + (f", review {ecg.review}" if ecg.review is not None else ""))
    if ecg.corrected_by:
        lines.append(f"Corrected by: {', '.join(ecg.corrected_by)}")
    return [*lines, *lead_remarks(ecg).values(), *(f"Warning: {warning}" for warning in ecg.warnings)]


def lead_remarks(ecg: Record) -> dict[str, str]:
    """By lead, what is to be said of it: not found and why, or its state where that is not "ok"."""
    said = {}
    for status in ecg.lead_status:
        if not status.found:
            said[status.lead] = f"Lead {status.lead}: {status.reason or 'not found'}"
        elif status.status != "ok":
            known = math.isfinite(status.probability)
            sure = f", right with probability {status.probability:.2f}" if known else ""
            said[status.lead] = f"Lead {status.lead}: {status.status}{sure}"
    return said


def global_measurements(ecg: Record) -> list[Measurement]:
    """Measurements of the whole record: our own where they were asked for, else the printed ones."""
    own = [one for one in ecg.measurements if one.lead is None]
    printed = [] if ecg.header is None else list(ecg.header.measurements)
    measured = {one.name for one in own}
    return own + [one for one in printed if one.name not in measured]
