"""The result of digitising one page: 12 calibrated leads and everything measured on the way.

What enters: the numbers of every stage. What leaves: `Record`, pure data. NaN in a signal means "not printed
or not readable", never zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.clinical import Header, Measurement, plain
from ecg_hough.paper import LEADS


@dataclass(frozen=True)
class LeadStatus:
    """Whether a lead was found, and where.

    Attributes:
        lead: name, one of `paper.LEADS`.
        found: whether the lead has a signal.
        reason: why not, in a few words ("not printed"); None if found.
        confidence: mean over the printed span, 0..1.
        start_s: start of the printed span in seconds; NaN if not found.
        end_s: its end (half-open); NaN if not found.
        status: "ok"; "check", where a person must look; "unreadable"; or "corrected", by a person.
        probability: that the lead is right: its name, its start within 20 ms, its gain within 5 %, and at
            least 15 dB; NaN where it was not estimated.
    """

    lead: str
    found: bool
    reason: str | None = None
    confidence: float = 0.0
    start_s: float = math.nan
    end_s: float = math.nan
    status: str = "check"
    probability: float = math.nan


@dataclass(frozen=True)
class Trace:
    """One printed stretch of one lead, on the page.

    Attributes:
        lead: name, one of `paper.LEADS`.
        rhythm: whether it is a full-width rhythm strip.
        points: (n, 2) row and column in pixels of the original image, NaN in gaps; of a record of several
            pages in px of their images one below the other, see `document.stacked`.
    """

    lead: str
    rhythm: bool
    points: NDArray[np.floating]


@dataclass(frozen=True)
class Record:
    """A digitised 12-lead ECG as pure data; `output.ecg.Ecg` is one that writes itself.

    Attributes:
        signals: (12, N) mV in the order of `leads`; NaN = not printed or not readable.
        fs: sampling frequency in Hz; sample n is at n / fs.
        confidence: (12, N), 0..1, 0 where the signal is NaN.
        sd_mv: (12, N) expected error in mV, NaN where the signal is NaN.
        lead_status: one entry a lead, in the order of `leads`.
        angle_deg: turn of the page after the quarter turns, positive = counter-clockwise.
        quarter_turns: quarter turns of the page, counter-clockwise, 0..3.
        px_per_mm: grid pitch along rows and along columns of pixels; None without a grid.
        layout: name as in `paper.Layout.name`.
        speed_mm_s: paper speed used.
        gain_mm_mv: gain used, of V1 to V6 too but where `chest_gain_mm_mv` differs.
        warnings: what a person must check, in sentences; each moves the page to `check`.
        traces: the traces on the original image.
        quality: 0..1 for the whole page: mean confidence of its leads, reduced by large residuals between
            leads of one instant (`signals.calibrate.residual_agreement`).
        versions: of the package and its networks.
        seconds: wall time a stage, and "total".
        source: file name or "array".
        columns: "sequential" (they follow each other in time), "simultaneous" (all show the same seconds), or
            "one".
        speed_from, gain_from: source of the two: "given", "text", "pulse" (gain only), "beats" (speed only)
            or "assumed".
        einthoven_mv, goldberger_mv: residuals of Einthoven's and Goldberger's equations in limb leads of the
            same instant, root mean square, as read; NaN where they cannot be measured.
        repeat_mv: residual of a rhythm strip and the short copy of its lead; NaN likewise. All three as in
            `signals.lead_fusion.LeadResiduals`.
        leads_agree: whether these leads agree within their expected errors; None where none can be compared.
        source_kind: "picture" (pixels were read) or "vector" (the document's own paths were).
        pages: pages of the file that were read, 1 the first.
        chest_gain_mm_mv: gain used for V1 to V6; NaN: that of all leads.
        notes: what was assumed or corrected as usual, in sentences.
        header: what is printed around the traces; None where it was not read.
        measurements: heart rate, intervals, axis, amplitudes, where they were asked for.
        corrected_by: persons who corrected the record, in the order of their first correction.
        review: "accepted" by a person, or "open": a person may yet look; None of a machine's reading.
    """

    signals: NDArray[np.floating]
    fs: int
    confidence: NDArray[np.floating]
    sd_mv: NDArray[np.floating]
    lead_status: tuple[LeadStatus, ...]
    angle_deg: float
    quarter_turns: int
    px_per_mm: tuple[float, float] | None
    layout: str
    speed_mm_s: float
    gain_mm_mv: float
    warnings: tuple[str, ...]
    traces: tuple[Trace, ...]
    quality: float
    versions: dict[str, str]
    seconds: dict[str, float]
    source: str
    columns: str = "sequential"
    speed_from: str = "assumed"
    gain_from: str = "assumed"
    einthoven_mv: float = math.nan
    goldberger_mv: float = math.nan
    repeat_mv: float = math.nan
    leads_agree: bool | None = None
    source_kind: str = "picture"
    pages: tuple[int, ...] = (1,)
    chest_gain_mm_mv: float = math.nan
    notes: tuple[str, ...] = ()
    header: Header | None = None
    measurements: tuple[Measurement, ...] = ()
    corrected_by: tuple[str, ...] = ()
    review: str | None = None

    def __post_init__(self) -> None:
        if self.signals.ndim != 2 or self.signals.shape[0] != len(LEADS):
            raise ValueError(f"signals must be ({len(LEADS)}, N); got {self.signals.shape}")
        for name in ("confidence", "sd_mv"):
            shape = getattr(self, name).shape
            if shape != self.signals.shape:
                raise ValueError(f"{name} must have the signals' shape {self.signals.shape}; got {shape}")
        if self.fs <= 0:
            raise ValueError(f"fs must be positive; got {self.fs}")
        leads = tuple(status.lead for status in self.lead_status)
        if leads != LEADS:
            raise ValueError(f"lead_status must have the {len(LEADS)} leads in standard order; got {leads}")

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the rows of `signals`."""
        return LEADS

    @property
    def page_status(self) -> str:
        """ "ok": every lead that was found is, and nothing must be looked at, or a person accepted the page;
        else "check". A page that is refused has no record."""
        if self.review == "accepted":
            return "ok"
        trusted = all(status.status != "check" for status in self.lead_status)
        return "ok" if trusted and not self.warnings else "check"

    @property
    def probability(self) -> float:
        """That all leads of the page that were found are right; NaN where it was not estimated."""
        known = [status.probability for status in self.lead_status if status.found]
        return min(known, default=math.nan)

    def to_dict(self) -> dict[str, Any]:
        """All fields but the arrays, ready for JSON: NaN becomes None."""
        return {
            "source": self.source,
            "source_kind": self.source_kind,
            "pages": list(self.pages),
            "fs": int(self.fs),
            "n_samples": int(self.signals.shape[1]),
            "leads": list(LEADS),
            "angle_deg": _number(self.angle_deg),
            "quarter_turns": int(self.quarter_turns),
            "px_per_mm": None if self.px_per_mm is None else [_number(value) for value in self.px_per_mm],
            "layout": self.layout,
            "columns": self.columns,
            "panels": [
                {"lead": trace.lead, "rhythm": bool(trace.rhythm), "box_px": trace_box(trace.points)}
                for trace in self.traces
            ],
            "speed_mm_s": _number(self.speed_mm_s),
            "speed_from": self.speed_from,
            "gain_mm_mv": _number(self.gain_mm_mv),
            "gain_from": self.gain_from,
            "chest_gain_mm_mv": _number(self.chest_gain_mm_mv),
            "einthoven_mv": _number(self.einthoven_mv),
            "goldberger_mv": _number(self.goldberger_mv),
            "repeat_mv": _number(self.repeat_mv),
            "leads_agree": self.leads_agree,
            "quality": _number(self.quality),
            "page_status": self.page_status,
            "probability": _number(self.probability),
            "lead_status": [
                {
                    "lead": status.lead,
                    "found": bool(status.found),
                    "reason": status.reason,
                    "confidence": _number(status.confidence),
                    "start_s": _number(status.start_s),
                    "end_s": _number(status.end_s),
                    "status": status.status,
                    "probability": _number(status.probability),
                }
                for status in self.lead_status
            ],
            "header": None if self.header is None else plain(self.header),
            "measurements": [plain(one) for one in self.measurements],
            "corrected_by": list(self.corrected_by),
            "review": self.review,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "versions": dict(self.versions),
            "seconds": {stage: _number(value) for stage, value in self.seconds.items()},
        }


def trace_box(points: NDArray[np.floating]) -> list[float] | None:
    """Middle row, first and last column of a trace (n, 2) in px; None where nothing of it is known."""
    known = points[np.isfinite(points).all(axis=1)]
    if not len(known):
        return None
    box = (np.median(known[:, 0]), known[:, 1].min(), known[:, 1].max())
    return [round(float(value), 1) for value in box]


def _number(value: float) -> float | None:
    """A float JSON can hold."""
    return float(value) if math.isfinite(value) else None
