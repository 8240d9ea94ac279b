"""HL7 FHIR Observation with one `SampledData` a lead, plain JSON.

In: a `Record`. Out: bytes of an Observation by R4, R4B (both alike here) or R5. Samples that are not printed
or not readable are "E", the format's word for an error; a lead without any has `dataAbsentReason`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

import numpy as np

from ecg_hough.clinical import QUANTITIES, Measurement, Patient
from ecg_hough.output.samples import MISSING, Sixteen, global_measurements, in_16_bits, made_by, remarks
from ecg_hough.paper import LEADS
from ecg_hough.record import LeadStatus, Record

Release = Literal["R4", "R5"]
MDC, LOINC, UCUM = "urn:iso:std:iso:11073:10101", "http://loinc.org", "http://unitsofmeasure.org"
ECG_CODE = "131328"
"""MDC_ECG_ELEC_POTL."""
LEAD_CODES = dict(
    zip(LEADS, (131329, 131330, 131389, 131390, 131391, 131392, *range(131331, 131337)), strict=True)
)
"""MDC_ECG_ELEC_POTL_I and so on."""
GENDERS = {"F": "female", "M": "male", "O": "other"}
UNIT_CODES = {"1/min": "/min", "ms": "ms", "%": "%", "deg": "deg", "mV": "mV"}
MDC_BASE = 2 << 16
"""Of partition 2: DICOM writes 2:16156 for the code 147228."""


def fhir_bytes(ecg: Record, *, release: Release = "R4") -> bytes:
    """The record as an Observation, status "preliminary" until a person accepted it.

    Args:
        ecg: the record.
        release: "R4" (also R4B), or "R5", where `SampledData` has an interval instead of a period.

    Raises:
        ValueError: no such release, infinite signals, or none at all.
    """
    if release not in ("R4", "R5"):
        raise ValueError(f"release must be R4 or R5; got {release!r}")
    sixteen = in_16_bits(ecg.signals)
    header = ecg.header
    category = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "procedure"}
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final" if ecg.review == "accepted" else "preliminary",
        "category": [{"coding": [category]}],
        "code": {"coding": [{"system": MDC, "code": ECG_CODE, "display": "MDC_ECG_ELEC_POTL"}]},
        "device": {"display": made_by(ecg)},
        "derivedFrom": [{"display": ecg.source}],
        "note": [{"text": line} for line in remarks(ecg)],
        "component": [
            *(_lead(k, ecg.lead_status[k], sixteen, ecg.fs, release) for k in range(len(LEADS))),
            *map(_measured, global_measurements(ecg)),
        ],
    }
    if header is not None and header.patient is not None:
        observation["contained"] = [_patient(header.patient)]
        observation["subject"] = {"reference": "#patient"}
    if header is not None and header.recorded is not None:
        # A time needs a zone in FHIR, which a page does not print.
        observation["effectiveDateTime"] = f"{datetime.fromisoformat(header.recorded):%Y-%m-%d}"
    return (json.dumps(observation, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _lead(k: int, status: LeadStatus, sixteen: Sixteen, fs: int, release: Release) -> dict[str, Any]:
    lead = LEADS[k]
    coding = {"system": MDC, "code": str(LEAD_CODES[lead]), "display": f"MDC_ECG_ELEC_POTL_{lead.upper()}"}
    component: dict[str, Any] = {"code": {"coding": [coding], "text": lead}}
    steps = sixteen.steps[k]
    known = steps[steps != MISSING]
    if not known.size:
        absent = {"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "unknown"}
        reason = status.reason or "not printed"
        return component | {"dataAbsentReason": {"coding": [absent], "text": reason}}
    milliseconds = 1000.0 / fs
    timing = {"period": milliseconds} if release == "R4" else {"interval": milliseconds, "intervalUnit": "ms"}
    component["valueSampledData"] = {
        "origin": {"value": 0, "unit": "uV", "system": UCUM, "code": "uV"},
        **timing,
        "factor": int(sixteen.uv[k]),
        "lowerLimit": int(np.min(known)),
        "upperLimit": int(np.max(known)),
        "dimensions": 1,
        "data": " ".join("E" if step == MISSING else str(step) for step in steps.tolist()),
    }
    return component


def _measured(one: Measurement) -> dict[str, Any]:
    quantity = QUANTITIES[one.name]
    coding = []
    if quantity.loinc is not None:
        coding.append({"system": LOINC, "code": quantity.loinc})
    if quantity.mdc is not None:
        code = str(MDC_BASE + int(quantity.mdc.partition(":")[2]))
        coding.append({"system": MDC, "code": code, "display": quantity.mdc_term or quantity.meaning})
    value = {"value": round(one.value, 3), "unit": one.unit, "system": UCUM, "code": UNIT_CODES[one.unit]}
    return {"code": {"coding": coding, "text": quantity.meaning}, "valueQuantity": value}


def _patient(patient: Patient) -> dict[str, Any]:
    resource: dict[str, Any] = {"resourceType": "Patient", "id": "patient"}
    if patient.id:
        resource["identifier"] = [{"value": patient.id}]
    if patient.name:
        resource["name"] = [{"text": patient.name}]
    if patient.birth_date:
        resource["birthDate"] = patient.birth_date
    if patient.sex:
        resource["gender"] = GENDERS[patient.sex]
    return resource
