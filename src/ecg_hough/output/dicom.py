"""DICOM waveforms (PS3.3, A.34.3 and A.34.4), written by pydicom.

In: a `Record`. Out: bytes of a DICOM file. By default one multiplex group of 12 channels, as most readers
take the first group only; samples that are not printed have the padding value, and annotations name them.
`printed` gives one group a column of the page, with its time offset, as the standard has it for a 3x4 page.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ecg_hough.clinical import QUANTITIES, Measurement, Patient
from ecg_hough.output.edf import parse_moment
from ecg_hough.output.samples import (
    MISSING,
    PROGRAM,
    Sixteen,
    gaps,
    global_measurements,
    in_16_bits,
    remarks,
)
from ecg_hough.paper import LEADS
from ecg_hough.record import Record

if TYPE_CHECKING:
    from pydicom import Dataset

TWELVE_LEAD, GENERAL_ECG = "1.2.840.10008.5.1.4.1.1.9.1.1", "1.2.840.10008.5.1.4.1.1.9.1.2"
FS_MIN_HZ, FS_MAX_HZ = 200, 1000
MAX_SAMPLES = 16384
"""Of a channel of a 12-lead ECG (A.34.3.4.5); longer records are general ECGs, which have no limit."""
MAX_GROUPS = {TWELVE_LEAD: 5, GENERAL_ECG: 4}
MDC_LEADS = {
    lead: f"2:{number}" for lead, number in zip(LEADS, (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), strict=True)
}
"""Codes of CID 3001."""
UCUM = {
    "1/min": ("/min", "per minute"),
    "ms": ("ms", "millisecond"),
    "%": ("%", "per cent"),
    "deg": ("deg", "degree"),
    "mV": ("mV", "millivolt"),
}
SAME_COLUMN_S = 0.3
"""Spans whose starts and ends differ by less are of one column."""
SHORT_TEXT = 1024
"""Of an annotation, characters (VR ST)."""


SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
UNKNOWN = (
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PatientName", "PatientID",
    "PatientBirthDate", "PatientSex", "PatientOrientation", "Laterality",
)  # fmt: skip
"""Elements that a secondary capture must have, and that stay empty where names are taken away."""


@dataclass(frozen=True)
class Group:
    """Channels that are written together.

    Attributes:
        label: of the group.
        leads: names.
        start, stop: samples of the record, half-open.
    """

    label: str
    leads: tuple[str, ...]
    start: int
    stop: int


def dicom_bytes(ecg: Record, *, printed: bool = False, now: datetime | None = None) -> bytes:
    """The record as a 12-lead ECG, or as a general ECG where it has over 16,384 samples.

    Patient, device and time are those of `Record.header`; what is not known is empty. The standard demands a
    time of acquisition: where it is unknown that is the time of writing, and an annotation says so.

    Args:
        ecg: the record.
        printed: one group a column instead of one for all.
        now: time of writing; None takes the clock.

    Raises:
        ModuleNotFoundError: pydicom is not installed.
        ValueError: fs is not 200 to 1000 Hz, infinite signals, or none at all.
    """
    if not FS_MIN_HZ <= ecg.fs <= FS_MAX_HZ:
        raise ValueError(
            f"fs of a DICOM ECG must be {FS_MIN_HZ} to {FS_MAX_HZ} Hz; got {ecg.fs}; digitise with --fs 500"
        )
    from pydicom import Dataset

    sixteen = in_16_bits(ecg.signals)
    n_samples = ecg.signals.shape[1]
    sop_class = TWELVE_LEAD if n_samples <= MAX_SAMPLES else GENERAL_ECG
    groups = [Group("12 leads", LEADS, 0, n_samples)]
    if printed:
        groups = printed_groups(ecg, MAX_GROUPS[sop_class]) or groups
    dataset = Dataset()
    _add_common(dataset, ecg, sop_class, sixteen, now or datetime.now(), printed)
    dataset.WaveformSequence = [_group_item(group, sixteen, ecg.fs, len(groups) > 1) for group in groups]
    dataset.WaveformAnnotationSequence = _annotations(ecg, groups)
    return _file_of(dataset)


def _file_of(dataset: Dataset) -> bytes:
    """A DICOM file of an object."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def printed_groups(ecg: Record, most: int) -> list[Group]:
    """The columns and strips of the page, in the order of time, shorter ones first.

    A lead that is printed as a strip and in a column has a channel in both.

    Returns:
        At most `most` groups; none where the page has more.
    """
    spans: dict[str, tuple[int, int]] = {}
    for lead, signal in zip(LEADS, ecg.signals, strict=True):
        known = np.flatnonzero(np.isfinite(signal))
        if known.size:
            spans[lead] = int(known[0]), int(known[-1]) + 1
    together: list[list[str]] = []
    near = SAME_COLUMN_S * ecg.fs
    for lead, span in spans.items():
        for group in together:
            if max(abs(a - b) for a, b in zip(span, spans[group[0]], strict=True)) < near:
                group.append(lead)
                break
        else:
            together.append([lead])
    for lead, column in _short_copies(ecg).items():
        for group in together:
            if column in group and lead not in group:
                group.append(lead)
    if len(together) > most:
        return []
    groups = []
    for group in together:
        leads = tuple(lead for lead in LEADS if lead in group)
        shortest = min(leads, key=lambda lead: spans[lead][1] - spans[lead][0])
        groups.append(Group(" ".join(leads), leads, *spans[shortest]))
    return sorted(groups, key=lambda group: (group.stop - group.start, group.start))


def _short_copies(ecg: Record) -> dict[str, str]:
    """Leads that are printed as a strip and in a column too, each with another lead of that column."""
    strips = {trace.lead for trace in ecg.traces if trace.rhythm}
    short = [trace for trace in ecg.traces if not trace.rhythm and len(trace.points)]
    starts = {trace.lead: float(np.nanmin(trace.points[:, 1])) for trace in short}
    found = {}
    for lead in strips & starts.keys():
        others = {name: abs(start - starts[lead]) for name, start in starts.items() if name not in strips}
        if others:
            found[lead] = min(others, key=lambda name: others[name])
    return found


def _add_common(
    dataset: Dataset, ecg: Record, sop_class: str, sixteen: Sixteen, now: datetime, printed: bool
) -> None:
    """Patient, study, series, equipment and identification (PS3.3, C.7.1 to C.7.5, C.10.8, C.12.1)."""
    from pydicom.uid import generate_uid

    header = ecg.header
    patient = header.patient if header is not None and header.patient is not None else Patient()
    moment = parse_moment(None if header is None else header.recorded)
    # Equal records have equal identifiers, so that writing again gives no second study.
    digest = hashlib.sha256(ecg.source.encode() + sixteen.steps.tobytes()).hexdigest()
    acquired = moment or now
    values = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": sop_class,
        "SOPInstanceUID": generate_uid(entropy_srcs=[digest, f"instance {printed}"]),
        "StudyInstanceUID": generate_uid(entropy_srcs=[digest, "study"]),
        "SeriesInstanceUID": generate_uid(entropy_srcs=[digest, "series"]),
        "StudyDate": "" if moment is None else f"{moment:%Y%m%d}",
        "StudyTime": "" if moment is None else f"{moment:%H%M%S}",
        "ContentDate": f"{now:%Y%m%d}",
        "ContentTime": f"{now:%H%M%S}",
        "AcquisitionDateTime": f"{acquired:%Y%m%d%H%M%S}",
        "AccessionNumber": "",
        "StudyID": "1",
        "ReferringPhysicianName": "",
        "PatientName": _person_name(patient.name),
        "PatientID": patient.id or "",
        "PatientBirthDate": (patient.birth_date or "").replace("-", ""),
        "PatientSex": patient.sex or "",
        "Modality": "ECG",
        "SeriesNumber": "1",
        "InstanceNumber": "1",
        "Manufacturer": "",
        "SeriesDescription": "12-lead ECG, digitised from print",
        "AcquisitionContextSequence": [],
    }
    for name, value in values.items():
        setattr(dataset, name, value)
    if header is not None and header.device:
        dataset.ManufacturerModelName = header.device[:64]
    equipment = type(dataset)()
    equipment.Manufacturer = PROGRAM
    equipment.ManufacturerModelName = PROGRAM
    equipment.SoftwareVersions = ecg.versions.get("ecg_hough", "unknown")
    equipment.ContributionDescription = "Signals measured on a picture of the printed ECG"
    equipment.PurposeOfReferenceCodeSequence = [_code("109102", "DCM", "Processing Equipment")]
    dataset.ContributingEquipmentSequence = [equipment]


def _person_name(name: str | None) -> str:
    """Family^Given, from "Family, Given" or "Given Family"."""
    words = (name or "").replace("^", " ").replace("=", " ").replace("\\", " ")
    family, comma, given = words.partition(",")
    return f"{family.strip()}^{given.strip()}" if comma else family.strip()


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    from pydicom import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning[:64]
    return code


def _group_item(group: Group, sixteen: Sixteen, fs: int, timed: bool) -> Dataset:
    """A multiplex group (PS3.3, C.10.9), with its time offset where `timed`."""
    from pydicom import Dataset

    rows = [LEADS.index(lead) for lead in group.leads]
    item = Dataset()
    if timed:
        item.MultiplexGroupTimeOffset = f"{1000.0 * group.start / fs:.3f}"
    item.WaveformOriginality = "DERIVED"
    item.NumberOfWaveformChannels = len(rows)
    item.NumberOfWaveformSamples = group.stop - group.start
    item.SamplingFrequency = str(fs)
    item.MultiplexGroupLabel = group.label[:16]
    item.ChannelDefinitionSequence = [_channel(LEADS[k], int(sixteen.uv[k])) for k in rows]
    item.WaveformBitsAllocated = 16
    item.WaveformSampleInterpretation = "SS"
    item.add_new("WaveformPaddingValue", "OW", np.array(MISSING, "<i2").tobytes())
    values = sixteen.steps[rows, group.start : group.stop]
    item.add_new("WaveformData", "OW", np.ascontiguousarray(values.T, "<i2").tobytes())
    return item


def _channel(lead: str, uv: int) -> Dataset:
    from pydicom import Dataset

    channel = Dataset()
    channel.ChannelLabel = lead
    channel.ChannelSourceSequence = [_code(MDC_LEADS[lead], "MDC", f"Lead {lead}")]
    channel.ChannelSensitivity = str(uv)
    channel.ChannelSensitivityUnitsSequence = [_code("uV", "UCUM", "microvolt")]
    channel.ChannelSensitivityCorrectionFactor = "1"
    channel.ChannelBaseline = "0"
    channel.ChannelSampleSkew = "0"
    channel.WaveformBitsStored = 16
    return channel


def _annotations(ecg: Record, groups: Sequence[Group]) -> list[Dataset]:
    """Printed spans, remarks and measurements (PS3.3, C.10.10)."""
    lines = remarks(ecg)
    if ecg.header is None or ecg.header.recorded is None:
        lines.append("Time of recording unknown: the acquisition time is that of digitisation")
    everything = [number for index in range(len(groups)) for number in (index + 1, 0)]
    items = [_text(line, everything) for line in lines]
    for gap in gaps(ecg):
        for index, group in enumerate(groups):
            start, stop = max(gap.start, group.start), min(gap.stop, group.stop)
            if gap.lead in group.leads and start < stop:
                item = _text(gap.words, [index + 1, group.leads.index(gap.lead) + 1])
                item.TemporalRangeType = "SEGMENT"
                # Positions count from 1, and both are inside.
                item.ReferencedSamplePositions = [start - group.start + 1, stop - group.start]
                items.append(item)
    return items + [_measured(one, everything) for one in global_measurements(ecg)]


def _text(text: str, channels: list[int]) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedWaveformChannels = channels
    item.UnformattedTextValue = text[:SHORT_TEXT]
    return item


def _measured(one: Measurement, channels: list[int]) -> Dataset:
    from pydicom import Dataset

    quantity = QUANTITIES[one.name]
    item = Dataset()
    item.ReferencedWaveformChannels = channels
    item.ConceptNameCodeSequence = [_code(quantity.mdc or one.name, "MDC", quantity.meaning)]
    unit, meaning = UCUM[one.unit]
    item.MeasurementUnitsCodeSequence = [_code(unit, "UCUM", meaning)]
    item.NumericValue = f"{one.value:.6g}"
    return item


def picture_bytes(image: NDArray[np.uint8], *, now: datetime | None = None) -> bytes:
    """A picture without names as a DICOM secondary capture (PS3.3, A.8.1), marked as de-identified.

    Args:
        image: (rows, cols, 3) uint8 RGB.
        now: time of writing; None takes the clock.

    Raises:
        ModuleNotFoundError: pydicom is not installed.
    """
    from pydicom import Dataset
    from pydicom.uid import generate_uid

    now, dataset = now or datetime.now(), Dataset()
    digest = hashlib.sha256(image.tobytes()).hexdigest()
    rows, cols = image.shape[:2]
    values = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": SECONDARY_CAPTURE,
        "SOPInstanceUID": generate_uid(entropy_srcs=[digest, "picture"]),
        "StudyInstanceUID": generate_uid(entropy_srcs=[digest, "study"]),
        "SeriesInstanceUID": generate_uid(entropy_srcs=[digest, "series"]),
        **dict.fromkeys(UNKNOWN, ""),
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "All but the ECG's traces and harmless words was blanked",
        "DeidentificationMethodCodeSequence": [
            _code("113100", "DCM", "Basic Application Confidentiality Profile")
        ],
        "BurnedInAnnotation": "NO",
        "StudyID": "1",
        "SeriesNumber": "1",
        "InstanceNumber": "1",
        "Modality": "OT",
        "ConversionType": "SI",
        "ContentDate": f"{now:%Y%m%d}",
        "ContentTime": f"{now:%H%M%S}",
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "Rows": rows,
        "Columns": cols,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    }  # fmt: skip
    for name, value in values.items():
        setattr(dataset, name, value)
    pixels = image.tobytes()
    dataset.add_new("PixelData", "OB", pixels + b"\0" * (len(pixels) % 2))
    return _file_of(dataset)
