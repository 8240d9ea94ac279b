"""HL7 annotated ECG (ANSI/HL7 V3 aECG R1-2004), the format of drug trials, as XML.

In: a `Record`. Out: bytes of an AnnotatedECG document with one rhythm series. The format knows no missing
sample: gaps are zeros, and an annotation such as "not printed: V1" covers each, with its lead and seconds.
"""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET

from ecg_hough.clinical import QUANTITIES, Measurement, Patient
from ecg_hough.output.edf import parse_moment
from ecg_hough.output.samples import (
    MISSING,
    PROGRAM,
    Gap,
    Sixteen,
    gaps,
    global_measurements,
    in_16_bits,
    remarks,
)
from ecg_hough.paper import LEADS
from ecg_hough.record import Record

HL7, XSI = "urn:hl7-org:v3", "http://www.w3.org/2001/XMLSchema-instance"
MDC_OID, ACT_OID = "2.16.840.1.113883.6.24", "2.16.840.1.113883.5.4"
CPT_OID, GENDER_OID = "2.16.840.1.113883.6.12", "2.16.840.1.113883.5.1"
NOT_ASKED = "UNK"
"""Unknown, by HL7's table of null flavours."""
NAMESPACE = uuid.UUID("6f3a3d1e-6c4b-5d3c-9a53-0f0b3b8a7d11")
"""Of the identifiers of our documents, so that equal records have equal ones."""
UNITS = {"1/min": "bpm", "ms": "ms", "%": "%", "deg": "deg", "mV": "mV"}


def aecg_bytes(ecg: Record) -> bytes:
    """The record as an annotated ECG: 12 sequences in µV, remarks, gaps and measurements as annotations.

    Raises:
        ValueError: infinite signals, or none at all.
    """
    sixteen = in_16_bits(ecg.signals)
    identity = uuid.uuid5(NAMESPACE, ecg.source + sixteen.steps.tobytes().hex())
    spaces = {"xmlns": HL7, "xmlns:xsi": XSI}
    root = ET.Element("AnnotatedECG", {**spaces, "type": "Observation", "classCode": "OBS"})
    ET.SubElement(root, "id", root=str(identity))
    ET.SubElement(root, "code", code="93000", codeSystem=CPT_OID, codeSystemName="CPT-4")
    _add_time(root, ecg)
    patient = ecg.header.patient if ecg.header is not None else None
    _add_patient(root, patient or Patient())
    series = _path(root, "component/series")
    ET.SubElement(series, "id", root=str(uuid.uuid5(identity, "series")))
    ET.SubElement(series, "code", code="RHYTHM", codeSystem=ACT_OID, codeSystemName="ActCode")
    _add_time(series, ecg)
    _add_device(series, ecg)
    sequences = _path(series, "component/sequenceSet")
    _add_clock(sequences, ecg.fs)
    for k, lead in enumerate(LEADS):
        _add_lead(sequences, lead, k, sixteen)
    notes = _path(series, "subjectOf/annotationSet")
    for line in remarks(ecg):
        _add_note(notes, line)
    for gap in gaps(ecg):
        _add_gap(notes, gap, ecg.fs)
    for one in global_measurements(ecg):
        _add_measured(notes, one)
    ET.indent(root, " ")
    text = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text + b"\n"


def _path(parent: ET.Element, names: str) -> ET.Element:
    """New elements within each other; the innermost."""
    for name in names.split("/"):
        parent = ET.SubElement(parent, name)
    return parent


def _add_time(parent: ET.Element, ecg: Record) -> None:
    moment = parse_moment(None if ecg.header is None else ecg.header.recorded)
    time = ET.SubElement(parent, "effectiveTime")
    if moment is None:
        time.set("nullFlavor", NOT_ASKED)
    else:
        ET.SubElement(time, "low", value=f"{moment:%Y%m%d%H%M%S}", inclusive="true")


def _add_patient(root: ET.Element, patient: Patient) -> None:
    subject = _path(root, "componentOf/timepointEvent/componentOf/subjectAssignment/subject/trialSubject")
    if patient.id:
        ET.SubElement(subject, "id", root=str(uuid.uuid5(NAMESPACE, "patients")), extension=patient.id)
    else:
        ET.SubElement(subject, "id", nullFlavor=NOT_ASKED)
    person = ET.SubElement(subject, "subjectDemographicPerson")
    if patient.name:
        ET.SubElement(person, "name").text = patient.name
    if patient.sex:
        code = {"F": "F", "M": "M", "O": "UN"}[patient.sex]
        ET.SubElement(person, "administrativeGenderCode", code=code, codeSystem=GENDER_OID)
    if patient.birth_date:
        ET.SubElement(person, "birthTime", value=patient.birth_date.replace("-", ""))


def _add_device(series: ET.Element, ecg: Record) -> None:
    device = _path(series, "author/seriesAuthor/manufacturedSeriesDevice")
    if ecg.header is not None and ecg.header.device:
        ET.SubElement(device, "manufacturerModelName").text = ecg.header.device
    ET.SubElement(device, "softwareName").text = f"{PROGRAM} {ecg.versions.get('ecg_hough', '')}".rstrip()


def _add_clock(sequences: ET.Element, fs: int) -> None:
    sequence = _path(sequences, "component/sequence")
    ET.SubElement(sequence, "code", code="TIME_RELATIVE", codeSystem=ACT_OID, codeSystemName="ActCode")
    value = ET.SubElement(sequence, "value", {"xsi:type": "GLIST_PQ"})
    ET.SubElement(value, "head", value="0", unit="s")
    ET.SubElement(value, "increment", value=repr(1.0 / fs), unit="s")


def _add_lead(sequences: ET.Element, lead: str, k: int, sixteen: Sixteen) -> None:
    sequence = _path(sequences, "component/sequence")
    ET.SubElement(sequence, "code", code=_lead_code(lead), codeSystem=MDC_OID, codeSystemName="MDC")
    value = ET.SubElement(sequence, "value", {"xsi:type": "SLIST_PQ"})
    ET.SubElement(value, "origin", value="0", unit="uV")
    ET.SubElement(value, "scale", value=str(sixteen.uv[k]), unit="uV")
    steps = sixteen.steps[k].tolist()
    ET.SubElement(value, "digits").text = " ".join("0" if step == MISSING else str(step) for step in steps)


def _lead_code(lead: str) -> str:
    return f"MDC_ECG_LEAD_{lead.upper()}"


def _add_note(notes: ET.Element, text: str) -> ET.Element:
    note = _path(notes, "component/annotation")
    code = "MDC_ECG_INTERPRETATION_COMMENT"
    ET.SubElement(note, "code", code=code, codeSystem=MDC_OID, codeSystemName="MDC")
    value = ET.SubElement(note, "value", {"xsi:type": "ST"})
    value.text = text
    return note


def _add_gap(notes: ET.Element, gap: Gap, fs: int) -> None:
    region = _path(_add_note(notes, gap.words), "support/supportingROI")
    ET.SubElement(region, "code", code="ROIPS", codeSystem=ACT_OID, codeSystemName="ActCode")
    boundary = _path(region, "component/boundary")
    ET.SubElement(boundary, "code", code="TIME_RELATIVE", codeSystem=ACT_OID, codeSystemName="ActCode")
    value = ET.SubElement(boundary, "value", {"xsi:type": "IVL_PQ"})
    ET.SubElement(value, "low", value=repr(gap.start / fs), unit="s")
    ET.SubElement(value, "high", value=repr(gap.stop / fs), unit="s")
    lead = _path(region, "component/boundary")
    ET.SubElement(lead, "code", code=_lead_code(gap.lead), codeSystem=MDC_OID, codeSystemName="MDC")


def _add_measured(notes: ET.Element, one: Measurement) -> None:
    quantity = QUANTITIES[one.name]
    note = _path(notes, "component/annotation")
    code = quantity.mdc_term or one.name
    ET.SubElement(note, "code", code=code, codeSystem=MDC_OID, codeSystemName="MDC")
    ET.SubElement(note, "value", {"xsi:type": "PQ", "value": f"{one.value:g}", "unit": UNITS[one.unit]})
