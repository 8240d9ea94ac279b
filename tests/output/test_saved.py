"""Records made before: read back, and written again in other formats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from ecg_hough.clinical import Header, Measurement, Patient
from ecg_hough.errors import PageError
from ecg_hough.output.export import write_page, write_signals
from ecg_hough.output.saved import Conversion, convert_record, convert_records, find_records, read_record
from made_up_ecg import made_up_ecg

HEADER = Header(
    Patient("7", "Doe, Jane"), "2020-01-02T10:11:12", measurements=(Measurement("HR", 74, "1/min"),)
)


@pytest.mark.parametrize("formats", [(), ("csv",), ("npz",)])
@pytest.mark.parametrize("suffix", [".json", ".hea", ""])
def test_a_record_comes_back(tmp_path: Path, formats: tuple[str, ...], suffix: str) -> None:
    ecg = replace(made_up_ecg(), header=HEADER, measurements=(Measurement("R", 1.5, "mV", "V5", 0.02),))
    page = write_page(ecg, tmp_path, "a b", formats=formats)
    found = read_record(page.with_name(f"a_b{suffix}"))
    np.testing.assert_array_equal(np.isnan(found.signals), np.isnan(ecg.signals))
    np.testing.assert_allclose(found.signals, ecg.signals, atol=0.00051)
    np.testing.assert_allclose(found.confidence, ecg.confidence, atol=1e-6)
    if formats:
        np.testing.assert_allclose(found.sd_mv, ecg.sd_mv, atol=1e-4)
    else:
        assert np.isnan(found.sd_mv).all()
    assert found.to_dict() == ecg.to_dict()


def test_files_of_versions_before_the_schema_are_read(tmp_path: Path) -> None:
    page = write_page(made_up_ecg(), tmp_path, "a")
    entry = json.loads(page.read_bytes())
    for key in (
        "schema_version",
        "header",
        "measurements",
        "panels",
        "columns",
        "leads_agree",
        "repeat_mv",
        "sums",
        "source_kind",
        "pages",
    ):
        del entry[key]
    page.write_text(json.dumps(entry))
    found = read_record(page)
    assert found.header is None
    assert found.measurements == found.traces == ()
    assert found.layout == "3x4+1"


def test_keys_and_versions_to_come(tmp_path: Path) -> None:
    page = write_page(made_up_ecg(), tmp_path, "a")
    entry = json.loads(page.read_bytes())
    entry["lead_status"][0]["something_new"] = 1
    page.write_text(json.dumps(entry | {"schema_version": "1.9", "another": {}}))
    assert read_record(page).fs == 500
    page.write_text(json.dumps(entry | {"schema_version": "2.0"}))
    with pytest.raises(ValueError, match=r"schema_version 2\.0, newer than 1\.\d"):
        read_record(page)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "must be JSON"),
        ('{"program": "other"}', "another program"),
        ('{"program": "ecg-hough"}', "no key 'fs'"),
        ('{"program": "ecg-hough", "fs": null}', "must be the JSON of a page"),
    ],
)
def test_what_is_no_record_is_named(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=says) as caught:
        read_record(path)
    assert "bad.json" in str(caught.value)


def test_signals_must_be_there(tmp_path: Path) -> None:
    page = write_page(made_up_ecg(), tmp_path, "a")
    (tmp_path / "a.hea").unlink()
    with pytest.raises(ValueError, match="needs its signals beside it"):
        read_record(page)


def test_a_record_of_another_program(tmp_path: Path) -> None:
    signals = made_up_ecg().signals
    write_signals(tmp_path, "truth", signals, 500)
    found = read_record(tmp_path / "truth.hea")
    np.testing.assert_allclose(found.signals, signals, atol=0.00051)
    assert found.lead_status[3].reason == "not in the record"
    (path,) = convert_record(tmp_path / "truth.hea", ["edf"])
    assert path.stat().st_size > 10_000
    with pytest.raises(ValueError, match="must be a WFDB record"):
        read_record(tmp_path / "gone.hea")


def test_conversion_beside_the_record_is_listed(tmp_path: Path) -> None:
    page = write_page(made_up_ecg(), tmp_path, "a")
    made = convert_record(
        page, ["dicom", "fhir"], patient=Patient("9", "Doe, Jane"), recorded="2021-05-06T07:08:09"
    )
    assert [path.name for path in made] == ["a.dcm", "a.fhir.json"]
    dataset = pydicom.dcmread(made[0])
    assert (dataset.PatientName, dataset.PatientID, dataset.StudyDate) == ("Doe^Jane", "9", "20210506")
    assert json.loads(page.read_bytes())["files"] == ["a.dat", "a.hea", "a.dcm", "a.fhir.json"]
    with pytest.raises(PageError, match="exists; allow it with --overwrite"):
        convert_record(page, ["fhir"])
    convert_record(page, ["fhir"], overwrite=True)
    # A new reading of the page removes what was made from the old one.
    write_page(made_up_ecg(), tmp_path, "a")
    assert not (tmp_path / "a.dcm").exists()


def test_many_records(tmp_path: Path) -> None:
    records, out = tmp_path / "records", tmp_path / "out"
    for name in ("a", "b/c"):
        write_page(made_up_ecg(), records / Path(name).parent, Path(name).name)
    write_signals(records, "foreign", made_up_ecg().signals, 500)
    (records / "report.json").write_text('{"program": "ecg-hough", "pages": []}')
    (records / "b" / "c.dat").unlink()
    assert [path.name for path in find_records([records, records / "a.hea"])] == [
        "a.json",
        "c.json",
        "foreign.hea",
    ]
    seen: list[tuple[Conversion, int]] = []
    done = convert_records([records], ["edf"], out=out, on_record=lambda *args: seen.append(args))
    assert [one.message is None for one in done] == [True, False, True]
    assert "c.dat" in str(done[1].message)
    assert [total for _, total in seen] == [3, 3, 3]
    assert sorted(path.name for path in out.rglob("*.edf")) == ["a.edf", "foreign.edf"]
    with pytest.raises(ValueError, match="one record; got 3"):
        convert_records([records], ["edf"], out=out, patient=Patient("1"))


def test_bad_arguments(tmp_path: Path) -> None:
    page = write_page(made_up_ecg(), tmp_path, "a")
    with pytest.raises(ValueError, match=r"can be converted to wfdb, csv, .*; got overlay"):
        convert_record(page, ["overlay"])
    with pytest.raises(ValueError, match="at least one record is needed"):
        find_records([tmp_path / "empty"] if (tmp_path / "empty").mkdir() is None else [])
