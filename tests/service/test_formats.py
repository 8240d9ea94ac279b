"""Records by media type and by name."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ecg_hough.output.export import FORMATS, write_page
from ecg_hough.service.formats import record_bytes, wanted_format
from ecg_hough.service.intake import RefusedError
from made_up_ecg import made_up_ecg


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record as a worker leaves it."""
    folder = tmp_path_factory.mktemp("records")
    write_page(made_up_ecg(), folder, "abc-1", formats=("npz",))
    return folder / "abc-1"


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/csv", "csv"),
        ("TEXT/CSV", "csv"),
        ("application/*", "json"),
        ("text/*", "csv"),
        ("text/html, application/zip;q=0.5, text/csv;q=0.4", "wfdb"),
        ("text/csv;q=0, */*;q=0.1", "json"),
        ("application/dicom", "dicom"),
        ("application/dicom;groups=printed", "dicom-printed"),
        ("application/fhir+json; fhirVersion=5.0", "fhir-r5"),
        ("application/fhir+json;q=0.9, application/json;q=0.8", "fhir"),
        ("text/csv;q=high, application/json;q=0.1", "json"),
    ],
)
def test_what_a_client_likes_best(accept: str, name: str) -> None:
    assert wanted_format(accept).name == name


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "nonsense", ",;,", "image/jpeg"])
def test_what_there_is_not(accept: str) -> None:
    with pytest.raises(RefusedError) as caught:
        wanted_format(accept)
    assert caught.value.status == 406


def test_every_format_has_a_media_type_of_its_own() -> None:
    types = [one.media_type for one in FORMATS.values()]
    assert len(set(types)) == len(types)
    assert all(wanted_format(one.media_type) is one for one in FORMATS.values())
    assert all(wanted_format("text/html", name) is one for name, one in FORMATS.items())


@pytest.mark.parametrize("name", [name for name, one in FORMATS.items() if not one.needs_image])
def test_every_format_comes(place: Path, name: str) -> None:
    for package in FORMATS[name].needs:
        pytest.importorskip(package, reason="needs the extra formats")
    content, file = record_bytes(place, FORMATS[name])
    assert len(content) > 500
    assert file.startswith("abc-1.")


def test_contents(place: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(record_bytes(place, FORMATS["wfdb"])[0])) as archive:
        assert archive.namelist() == ["abc-1.dat", "abc-1.hea"]
    with np.load(io.BytesIO(record_bytes(place, FORMATS["npz"])[0])) as arrays:
        np.testing.assert_allclose(arrays["signals"], made_up_ecg().signals, atol=1e-6)
    assert json.loads(record_bytes(place, FORMATS["json"])[0])["fs"] == 500


def test_what_cannot_be_had(place: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        record_bytes(place, FORMATS["overlay"])
    assert caught.value.status == 404
    with pytest.raises(RefusedError) as caught:
        wanted_format("", "../../etc/passwd")
    assert caught.value.status == 422
    write_page(made_up_ecg(fs=100), tmp_path, "slow-1", formats=("npz",))
    with pytest.raises(RefusedError, match="200 to 1000") as caught:
        record_bytes(tmp_path / "slow-1", FORMATS["dicom"])
    assert caught.value.status == 406
