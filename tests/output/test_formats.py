"""Every record format read back by a program that others wrote: the same samples, and every gap is marked."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import ecgdatakit
import numpy as np
import pyarrow.parquet
import pydicom
import pyedflib
import pytest
import scipy.io
from fhir.resources.observation import Observation as ObservationR5
from fhir.resources.R4B.observation import Observation as ObservationR4B

from ecg_hough.clinical import Header, Measurement, Patient
from ecg_hough.output import export
from ecg_hough.output.arrays import mat_bytes, npz_bytes
from ecg_hough.output.dicom import dicom_bytes, picture_bytes, printed_groups
from ecg_hough.output.ecg import Ecg
from ecg_hough.output.edf import edf_bytes
from ecg_hough.output.fhir import fhir_bytes
from ecg_hough.output.samples import gaps
from ecg_hough.paper import LEADS
from ecg_hough.record import LeadStatus, Trace
from made_up_ecg import as_printed, made_up_ecg

TOLERANCE_UV = 0.5
"""Beyond the step of the format."""


def printed_page() -> Ecg:
    """A made-up 3x4 page with lead II below, its header read, with a hole in V2 and an unfound aVR."""
    ecg = made_up_ecg(seconds=10.0)
    whole = ecg.signals.copy()
    whole[11] = 1.2 * np.sin(np.arange(5000) / 30)
    whole[3] = np.nan
    signals = as_printed(whole)
    signals[7, 2600:2700] = np.nan
    statuses, traces = [], []
    for k, lead in enumerate(LEADS):
        if lead == "aVR":
            statuses.append(LeadStatus(lead, False, "not printed"))
            continue
        start, end = (0.0, 10.0) if lead == "II" else (2.5 * (k // 3), 2.5 * (k // 3 + 1))
        statuses.append(LeadStatus(lead, True, None, 0.9, start, end))
        columns = 100.0 + 500 * (k // 3) + np.arange(480)
        traces.append(Trace(lead, False, np.stack([np.full(480, 50.0 + k), columns], axis=1)))
    strip = np.stack([np.full(1900, 400.0), 100.0 + np.arange(1900)], axis=1)
    header = Header(
        Patient("12-3", "Müller, Änne", "1950-02-03", "F"), "2020-01-02T10:11:12", "MAC 5500", "0.05-150 Hz",
        ("Sinus rhythm",),
        (Measurement("HR", 74, "1/min"), Measurement("QRS", 92, "ms"), Measurement("QRS axis", -10, "deg")),
    )  # fmt: skip
    return replace(
        ecg, signals=signals, confidence=np.where(np.isnan(signals), 0.0, 0.9), header=header,
        sd_mv=np.where(np.isnan(signals), np.nan, 0.02), lead_status=tuple(statuses),
        traces=(*traces, Trace("II", True, strip)),
    )  # fmt: skip


ECG = printed_page()
TOOL = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dciodvfy is not installed; scripts/install_dciodvfy.sh does it"
)


def written(tmp_path: Path, name: str, ecg: Ecg = ECG) -> Path:
    return export.write_format(ecg, name, tmp_path / f"a{export.FORMATS[name].suffixes[0]}")


def worst_uv(found_mv: np.ndarray, ecg: Ecg = ECG) -> float:
    """Largest difference where the record has a value; elsewhere NaN is demanded."""
    np.testing.assert_array_equal(np.isnan(found_mv), np.isnan(ecg.signals))
    return float(np.nanmax(np.abs(found_mv - ecg.signals))) * 1000.0


def parsed(path: Path) -> tuple[np.ndarray, ecgdatakit.ECGRecord]:
    """Leads in mV as ecgdatakit reads them, in our order."""
    record = ecgdatakit.FileParser().parse(str(path))
    by_name = {lead.label.removeprefix("ECG "): lead for lead in record.leads}
    scale = {"uV": 1e-3, "mV": 1.0}
    rows = []
    for lead in LEADS:
        found = by_name[lead]
        samples = found.samples * found.resolution + found.offset if found.is_raw else found.samples
        rows.append(samples * scale[found.resolution_unit if found.is_raw else found.units])
        assert found.sampling_rate == ECG.fs
    return np.stack(rows), record


def with_gaps(found: np.ndarray, ecg: Ecg = ECG) -> np.ndarray:
    """Gaps of formats without NaN: zeros there, which the annotations name."""
    marked = found.copy()
    for gap in gaps(ecg):
        row = marked[LEADS.index(gap.lead), gap.start : gap.stop]
        assert (row == 0).all()
        row[:] = np.nan
    return marked


def test_dicom_is_read_by_pydicom_and_ecgdatakit(tmp_path: Path) -> None:
    path = written(tmp_path, "dicom")
    dataset = pydicom.dcmread(path)
    (group,) = dataset.WaveformSequence
    assert (group.NumberOfWaveformChannels, group.NumberOfWaveformSamples) == (12, 5000)
    raw = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12).T.astype(float)
    raw[raw == np.frombuffer(group.WaveformPaddingValue, "<i2")[0]] = np.nan
    assert worst_uv(raw / 1000.0) <= TOLERANCE_UV + 1e-6
    scaled = dataset.waveform_array(0).T  # pydicom gives the padding value as a number
    np.testing.assert_allclose(scaled[~np.isnan(raw)], raw[~np.isnan(raw)])
    found, record = parsed(path)
    assert worst_uv(found) <= TOLERANCE_UV + 1e-6
    assert record.measurements.heart_rate == 74
    assert record.measurements.qrs_duration == 92
    assert record.measurements.qrs_axis == -10
    assert record.patient.patient_id == "12-3"
    assert record.patient.last_name == "Müller"
    assert dataset.StudyDate == "20200102"
    notes = dataset.WaveformAnnotationSequence
    texts = {note.UnformattedTextValue for note in notes if "UnformattedTextValue" in note}
    assert {"not readable: V2", "not printed: V1", "Lead aVR: not printed"} <= texts


def test_dicom_of_an_unknown_patient_says_what_it_does_not_know() -> None:
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(made_up_ecg())))
    assert (dataset.PatientName, dataset.PatientID, dataset.StudyDate) == ("", "", "")
    texts = [item.UnformattedTextValue for item in dataset.WaveformAnnotationSequence]
    assert any(text.startswith("Time of recording unknown") for text in texts)


def test_dicom_groups_as_printed(tmp_path: Path) -> None:
    groups = printed_groups(ECG, 5)
    assert [group.leads for group in groups] == [
        ("I", "II", "III"), ("aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"), ("II",),
    ]  # fmt: skip
    assert [(group.start, group.stop) for group in groups[:2]] == [(0, 1250), (1250, 2500)]
    dataset = pydicom.dcmread(written(tmp_path, "dicom-printed"))
    offsets = [float(item.MultiplexGroupTimeOffset) for item in dataset.WaveformSequence]
    assert offsets == [0, 2500, 5000, 7500, 0]
    third = np.frombuffer(dataset.WaveformSequence[2].WaveformData, "<i2").reshape(-1, 3).T / 1000.0
    np.testing.assert_allclose(third[0], ECG.signals[6, 2500:3750], atol=0.00051)
    assert printed_groups(ECG, 4) == []


@TOOL
@pytest.mark.parametrize("name", ["dicom", "dicom-printed"])
@pytest.mark.parametrize("known", [True, False])
def test_dicom_has_no_errors(tmp_path: Path, name: str, known: bool) -> None:
    path = written(tmp_path, name, ECG if known else replace(ECG, header=None))
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, timeout=60).stderr
    assert "TwelveLeadECG" in said
    errors = [line for line in said.splitlines() if line.startswith("Error")]
    if name == "dicom-printed":
        # The edition of the standard that it knows had no offsets without synchronised clocks.
        errors = [line for line in errors if "MultiplexGroupTimeOffset" not in line]
    assert not errors


@TOOL
def test_a_record_too_long_for_12_leads_is_a_general_ecg(tmp_path: Path) -> None:
    ecg = made_up_ecg(seconds=40.0)
    path = written(tmp_path, "dicom", ecg)
    assert pydicom.dcmread(path).SOPClassUID == pydicom.uid.GeneralECGWaveformStorage
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, timeout=60).stderr
    assert not [line for line in said.splitlines() if line.startswith("Error")]


def test_dicom_of_100_hz_is_refused() -> None:
    with pytest.raises(ValueError, match="200 to 1000 Hz; got 100"):
        dicom_bytes(made_up_ecg(fs=100))


def test_edf_is_read_by_pyedflib_and_ecgdatakit(tmp_path: Path) -> None:
    path = written(tmp_path, "edf")
    with pyedflib.EdfReader(str(path)) as reader:
        assert reader.getSignalLabels() == [f"ECG {lead}" for lead in LEADS]
        assert reader.getPhysicalDimension(0) == "uV"
        found = np.stack([reader.readSignal(k) for k in range(12)]) / 1000.0
        onset, duration, words = reader.readAnnotations()
        assert reader.getPatientCode() == "12-3"
        assert reader.getStartdatetime().isoformat() == "2020-01-02T10:11:12"
    assert worst_uv(with_gaps(found)) <= TOLERANCE_UV + 1e-6
    marked = {
        (round(float(a) * 500), round(float(a + b) * 500), text)
        for a, b, text in zip(onset, duration, words, strict=True)
    }
    assert {(gap.start, gap.stop, gap.words) for gap in gaps(ECG)} <= marked
    found, record = parsed(path)
    assert worst_uv(with_gaps(found)) <= TOLERANCE_UV + 1e-6
    assert "ller" in record.patient.last_name + record.patient.first_name


def test_edf_of_broken_seconds_marks_its_end(tmp_path: Path) -> None:
    ecg = made_up_ecg(seconds=2.5)
    (tmp_path / "a.edf").write_bytes(edf_bytes(ecg))
    with pyedflib.EdfReader(str(tmp_path / "a.edf")) as reader:
        assert reader.getNSamples()[0] == 1500
        onset, _, words = reader.readAnnotations()
    assert (2.5, "end of the record") in zip(onset, words, strict=True)


@pytest.mark.parametrize(
    ("release", "model", "rate"),
    [
        ("R4", ObservationR4B, lambda data: 1000 / float(data.period)),
        ("R5", ObservationR5, lambda data: 1000 / float(data.interval)),
    ],
)
def test_fhir_is_read_by_its_resources(release: str, model: type, rate: Callable) -> None:
    observation = model.model_validate_json(fhir_bytes(ECG, release=release))
    leads = {one.code.text: one for one in observation.component[:12]}
    assert tuple(leads) == LEADS
    assert leads["aVR"].dataAbsentReason.text == "not printed"
    rows = []
    for lead in LEADS:
        data = leads[lead].valueSampledData
        if data is None:
            rows.append(np.full(5000, np.nan))
            continue
        assert rate(data) == ECG.fs
        steps = np.array([math.nan if word == "E" else float(word) for word in data.data.split()])
        rows.append(steps * float(data.factor) / 1000.0)
        assert np.nanmax(steps) == float(data.upperLimit)
    assert worst_uv(np.stack(rows)) <= TOLERANCE_UV + 1e-6
    values = {one.code.text: one.valueQuantity for one in observation.component[12:]}
    assert float(values["heart rate"].value) == 74
    assert values["QRS duration"].code == "ms"
    assert observation.contained[0].gender == "female"


def test_fhir_knows_two_releases() -> None:
    with pytest.raises(ValueError, match="R4 or R5; got 'STU3'"):
        fhir_bytes(ECG, release="STU3")  # type: ignore[arg-type]


def test_aecg_is_read_by_ecgdatakit(tmp_path: Path) -> None:
    path = written(tmp_path, "aecg")
    found, record = parsed(path)
    assert worst_uv(with_gaps(found)) <= TOLERANCE_UV + 1e-6
    assert record.measurements.heart_rate == 74
    assert record.patient.sex == "F"
    marked = re.findall(r"not (?:printed|readable): (\w+)<", path.read_text(encoding="utf-8"))
    assert sorted(marked) == sorted(gap.lead for gap in gaps(ECG))


def test_wfdb_is_read_by_ecgdatakit(tmp_path: Path) -> None:
    export.write_wfdb(ECG, tmp_path, "a")
    found, _ = parsed(tmp_path / "a.hea")
    found[found == -32.768] = np.nan  # format 16's "no value", which ecgdatakit gives as a number
    assert worst_uv(found) <= TOLERANCE_UV + 1e-6


def test_arrays_of_numpy_and_matlab(tmp_path: Path) -> None:
    for archive in (
        dict(np.load(io.BytesIO(npz_bytes(ECG)))),
        scipy.io.loadmat(io.BytesIO(mat_bytes(ECG)), simplify_cells=True),
    ):
        assert worst_uv(archive["signals"].astype(float)) < 0.1
        np.testing.assert_allclose(archive["sd_mv"], ECG.sd_mv, rtol=1e-6)
        assert int(archive["fs"]) == 500
        assert tuple(archive["leads"]) == LEADS
        assert json.loads(str(archive["record"])) == ECG.to_dict()


@pytest.mark.parametrize("name", ["npz", "mat", "dicom", "edf", "fhir", "aecg", "parquet"])
def test_equal_records_give_equal_files(tmp_path: Path, name: str) -> None:
    if name == "dicom":
        moment = datetime(2026, 1, 1)
        assert dicom_bytes(ECG, now=moment) == dicom_bytes(ECG, now=moment)
        return
    first = written(tmp_path, name).read_bytes()
    assert written(tmp_path, name).read_bytes() == first


def test_parquet_is_a_table_of_microvolts(tmp_path: Path) -> None:
    path = written(tmp_path, "parquet")
    table = pyarrow.parquet.read_table(path)
    frame = table.to_pandas()
    assert worst_uv(frame[list(LEADS)].to_numpy(float).T / 1000.0) <= TOLERANCE_UV + 1e-6
    np.testing.assert_allclose(frame["I_sd"].to_numpy(float)[:10], 20.0)
    assert table.schema.field("V6").type == "int16"
    assert table.schema.metadata[b"fs"] == b"500"
    assert json.loads(table.schema.metadata[b"ecg_hough"]) == ECG.to_dict()
    assert path.stat().st_size < 40_000


@pytest.mark.parametrize("name", ["dicom", "edf", "fhir", "aecg", "parquet"])
def test_a_lead_beyond_16_bits_is_not_clipped(tmp_path: Path, name: str) -> None:
    signals = ECG.signals.copy()
    signals[11, 4000] = -100.0
    high = replace(ECG, signals=signals)
    path = written(tmp_path, name, high)
    if name == "parquet":
        found = pyarrow.parquet.read_table(path).to_pandas()[list(LEADS)].to_numpy(float).T / 1000.0
    elif name == "fhir":
        data = json.loads(path.read_bytes())["component"][11]["valueSampledData"]
        found = signals.copy()
        words = data["data"].split()
        found[11] = [math.nan if word == "E" else int(word) * data["factor"] / 1000 for word in words]
    else:
        found, _ = parsed(path)
        found = found if name == "dicom" else with_gaps(found, high)
    assert found[11, 4000] == pytest.approx(-100.0, abs=0.003)
    assert worst_uv(found, high) <= TOLERANCE_UV + 4


@pytest.mark.parametrize("name", ["dicom", "edf", "fhir", "aecg", "npz", "mat", "parquet"])
def test_infinite_signals_are_refused(tmp_path: Path, name: str) -> None:
    bad = replace(ECG, signals=np.full_like(ECG.signals, np.inf))
    with pytest.raises(ValueError, match="finite or NaN"):
        written(tmp_path, name, bad)
    assert not list(tmp_path.iterdir())


def test_a_frame_and_an_mne_object() -> None:
    frame = ECG.to_frame()
    assert list(frame.columns[:12]) == list(LEADS)
    assert worst_uv(frame[list(LEADS)].to_numpy().T) == 0.0
    assert frame.index[1] == pytest.approx(0.002)
    mne = pytest.importorskip("mne", reason="MNE is not installed")
    raw = ECG.to_mne()
    assert isinstance(raw, mne.io.BaseRaw)
    assert worst_uv(with_gaps(raw.get_data()) * 1e3) < 1e-9
    assert len(raw.annotations) == len(list(gaps(ECG)))
    assert "BAD not readable: V2" in set(raw.annotations.description)


def test_what_is_missing_is_named_before_the_first_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="format edf needs the package edfio"):
        export.check_formats(["edf"])
    with pytest.raises(ValueError, match="got xml"):
        export.check_formats(["xml"])
    export.check_formats(["fhir", "npz"], fs=100)
    with pytest.raises(ModuleNotFoundError):
        export.check_formats(["dicom"], fs=100)


def test_methods_name_their_formats(tmp_path: Path) -> None:
    ecg = made_up_ecg()
    for name in ("dicom", "edf", "fhir", "aecg", "npz", "mat", "parquet"):
        path = getattr(ecg, f"to_{name}")(tmp_path / f"x.{name}")
        assert path.stat().st_size > 1000
    assert ecg.to_dicom(tmp_path / "p.dcm", printed=True).is_file()
    assert "interval" in ecg.to_fhir(tmp_path / "r5.json", release="R5").read_text()
    with pytest.raises(ValueError, match="R4 or R5"):
        ecg.to_fhir(tmp_path / "no.json", release="R3")  # type: ignore[arg-type]
    assert not (tmp_path / "no.json").exists()


@TOOL
def test_a_picture_without_names_is_a_secondary_capture(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (31, 41, 3), dtype=np.uint8)
    path = tmp_path / "a.dcm"
    path.write_bytes(picture_bytes(image))
    dataset = pydicom.dcmread(path)
    np.testing.assert_array_equal(dataset.pixel_array, image)
    assert (dataset.PatientIdentityRemoved, dataset.PatientName) == ("YES", "")
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, timeout=60).stderr
    assert "SCImage" in said
    assert not [line for line in said.splitlines() if line.startswith("Error")]
