"""EDF+ (Kemp and Olivan 2003, Clin Neurophysiol 114:1755), written by edfio.

In: a `Record`. Out: bytes of the file. EDF knows no missing sample: gaps are zeros, and an annotation such as
"not printed: V1" covers each. Records are of whole seconds, so the last second is filled up likewise.
"""

from __future__ import annotations

import unicodedata
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_hough.clinical import Patient
from ecg_hough.output.samples import MISSING, Sixteen, gaps, in_16_bits, made_by, remarks
from ecg_hough.paper import LEADS
from ecg_hough.record import Record

if TYPE_CHECKING:
    import edfio

UNKNOWN = "X"
"""An unknown field of the header, by the standard."""


def edf_bytes(ecg: Record) -> bytes:
    """The record as EDF+C: 12 signals in µV, steps of 1 µV, and annotations.

    A lead beyond ±32.767 mV gets larger steps.

    Raises:
        ModuleNotFoundError: edfio is not installed.
        ValueError: infinite signals, or none at all.
    """
    import edfio

    sixteen = in_16_bits(ecg.signals)
    header = ecg.header
    patient = header.patient if header is not None and header.patient is not None else Patient()
    moment = None if header is None else parse_moment(header.recorded)
    edf = edfio.Edf(
        [_signal(sixteen, k, ecg.fs) for k in range(len(LEADS))],
        patient=_patient(patient),
        recording=edfio.Recording(
            startdate=None if moment is None else moment.date(), equipment_code=_field(made_by(ecg))
        ),
        starttime=None if moment is None else moment.time(),
        data_record_duration=1.0,
        annotations=_annotations(ecg),
    )
    return edf.to_bytes()


def _signal(sixteen: Sixteen, k: int, fs: int) -> edfio.EdfSignal:
    import edfio

    steps = sixteen.steps[k].astype(np.float64)
    steps[sixteen.steps[k] == MISSING] = 0.0
    whole = np.zeros(-(-steps.size // fs) * fs)
    whole[: steps.size] = steps * sixteen.uv[k]
    low, high = float(MISSING * sixteen.uv[k]), float((-MISSING - 1) * sixteen.uv[k])
    return edfio.EdfSignal(
        whole, fs, label=f"ECG {LEADS[k]}", physical_dimension="uV", physical_range=(low, high)
    )


def _annotations(ecg: Record) -> list[edfio.EdfAnnotation]:
    import edfio

    marked = [
        edfio.EdfAnnotation(gap.start / ecg.fs, (gap.stop - gap.start) / ecg.fs, gap.words)
        for gap in gaps(ecg)
    ]
    n_samples = ecg.signals.shape[1]
    if n_samples % ecg.fs:
        rest = (ecg.fs - n_samples % ecg.fs) / ecg.fs
        marked.append(edfio.EdfAnnotation(n_samples / ecg.fs, rest, "end of the record"))
    return [*marked, *(edfio.EdfAnnotation(0.0, None, line) for line in remarks(ecg))]


def _patient(patient: Patient) -> edfio.Patient:
    import edfio

    known: dict[str, Any] = {}
    if patient.sex in ("F", "M"):
        known["sex"] = patient.sex
    if patient.birth_date:
        known["birthdate"] = date.fromisoformat(patient.birth_date)
    return edfio.Patient(code=_field(patient.id), name=_field(patient.name), **known)


def _field(text: str | None) -> str:
    """A field of the header: printable ASCII without spaces."""
    plain = unicodedata.normalize("NFKD", text or "").encode("ascii", "ignore").decode()
    return "_".join(plain.split()) or UNKNOWN


def parse_moment(text: str | None) -> datetime | None:
    """Date and time of a recording from ISO text; a date alone is midnight."""
    return None if text is None else datetime.fromisoformat(text)
