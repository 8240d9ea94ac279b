"""Nouns of the clinic: patient, what a page's header says, and measurements, printed or our own.

Pure data, and the one table of quantities that reading, measuring and writing share.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Sex = Literal["F", "M", "O"]


@dataclass(frozen=True)
class Quantity:
    """A quantity that is printed or measured on an ECG.

    Attributes:
        name: as on most pages, such as "QRS".
        unit: "1/min", "ms", "%", "deg" or "mV".
        meaning: for people.
        low, high: range in which a value is plausible; outside, it was misread.
        mdc: code of ISO/IEEE 11073-10102 as DICOM writes it (PS3.16, CID 3227 to 3229 and 3689).
        mdc_term: its reference identifier, as HL7 aECG writes it.
        loinc: LOINC code, where there is one.
    """

    name: str
    unit: str
    meaning: str
    low: float
    high: float
    mdc: str | None = None
    mdc_term: str | None = None
    loinc: str | None = None


QUANTITIES: dict[str, Quantity] = {
    one.name: one
    for one in (
        Quantity("HR", "1/min", "heart rate", 15, 350, "2:16770", "MDC_ECG_HEART_RATE", "8867-4"),
        Quantity("RR", "ms", "RR interval", 170, 4000, "2:16168", "MDC_ECG_TIME_PD_RR", "8637-1"),
        Quantity("RR variation", "%", "standard deviation of RR in per cent of its mean", 0, 200),
        Quantity("P", "ms", "P duration", 20, 250, "2:16184", "MDC_ECG_TIME_PD_P", None),
        Quantity("PR", "ms", "PR interval", 50, 600, "2:15872", "MDC_ECG_TIME_PD_PR", "8625-6"),
        Quantity("QRS", "ms", "QRS duration", 30, 350, "2:16156", "MDC_ECG_TIME_PD_QRS", "8633-0"),
        Quantity("QT", "ms", "QT interval", 150, 800, "2:16160", "MDC_ECG_TIME_PD_QT", "8634-8"),
        Quantity("QTc", "ms", "QT interval corrected for the rate", 200, 800, "2:15876", None, "8636-3"),
        Quantity("QTcB", "ms", "QT interval corrected by Bazett's formula", 200, 800, "2:15880",
                 "MDC_ECG_TIME_PD_QTcB", "8636-3"),
        Quantity("QTcF", "ms", "QT interval corrected by Fridericia's formula", 200, 800, "2:15892",
                 "MDC_ECG_TIME_PD_QTcF", "8636-3"),
        Quantity("P axis", "deg", "frontal axis of P", -180, 360, "2:16128", "MDC_ECG_ANGLE_P_FRONT"),
        Quantity("QRS axis", "deg", "frontal axis of QRS", -180, 360, "2:16132",
                 "MDC_ECG_ANGLE_QRS_FRONT"),
        Quantity("T axis", "deg", "frontal axis of T", -180, 360, "2:16136", "MDC_ECG_ANGLE_T_FRONT"),
        Quantity("R", "mV", "highest point of QRS", -10, 10),
        Quantity("S", "mV", "lowest point of QRS", -10, 10),
        Quantity("ST", "mV", "level 60 ms after the end of QRS", -5, 5),
    )
}  # fmt: skip
"""Every quantity by name; the last three are of one lead, against the level before QRS."""


@dataclass(frozen=True)
class Patient:
    """Who was recorded; every field may be unknown.

    Attributes:
        id: as the hospital writes it.
        name: "Family, Given" or as printed.
        birth_date: ISO date.
        sex: "F", "M" or "O".
    """

    id: str | None = None
    name: str | None = None
    birth_date: str | None = None
    sex: Sex | None = None


@dataclass(frozen=True)
class Measurement:
    """A value of a quantity, with its expected error or with the print that it was read from.

    Attributes:
        name: one of `QUANTITIES`.
        value: in the quantity's unit.
        unit: that unit.
        lead: the lead that it was measured in; None for the whole record.
        sd: expected error, one standard deviation; NaN where unknown.
        words: the printed words; None where it was measured.
        box_px: their first row and column, last row and column in px of the image as given.
        score: how sure the reading of the words is, 0..1; NaN where it was measured.
        source: "measured", "text layer" or "ocr".
        printed: the printed value of the same quantity; None where none was read.
        agrees: whether printed and measured value agree within their errors; None without both.
    """

    name: str
    value: float
    unit: str
    lead: str | None = None
    sd: float = math.nan
    words: str | None = None
    box_px: tuple[float, float, float, float] | None = None
    score: float = math.nan
    source: str = "measured"
    printed: float | None = None
    agrees: bool | None = None


@dataclass(frozen=True)
class Header:
    """What is printed around the traces.

    Attributes:
        patient: None where names were not asked for.
        recorded: ISO date and time of the recording, or date alone.
        device: electrocardiograph.
        filter: as printed, such as "0.05-150 Hz".
        interpretation: lines of the printed interpretation.
        measurements: printed values, `Measurement.words` and so on set.
    """

    patient: Patient | None = None
    recorded: str | None = None
    device: str | None = None
    filter: str | None = None
    interpretation: tuple[str, ...] = ()
    measurements: tuple[Measurement, ...] = ()


def plain(noun: Header | Measurement | Patient) -> dict[str, Any]:
    """A noun ready for JSON: NaN becomes None."""
    return _plain(asdict(noun))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def measurement_of(entry: dict[str, Any]) -> Measurement:
    """A measurement again from what `plain` made of it."""
    box = entry.get("box_px")
    numbers = {
        name: math.nan if entry.get(name) is None else entry[name] for name in ("value", "sd", "score")
    }
    return Measurement(**{**entry, **numbers, "box_px": None if box is None else tuple(box)})


def header_of(entry: dict[str, Any]) -> Header:
    """A header again from what `plain` made of it."""
    patient = entry.get("patient")
    return Header(
        **{
            **entry,
            "patient": None if patient is None else Patient(**patient),
            "interpretation": tuple(entry.get("interpretation", ())),
            "measurements": tuple(map(measurement_of, entry.get("measurements", ()))),
        }
    )
