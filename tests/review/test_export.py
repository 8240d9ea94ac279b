"""Reviewed records in every format say who corrected them, and are read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason='needs pip install "ecg-hough[serve]"')
from ecg_hough.output.saved import convert_record, read_record
from ecg_hough.paper import LEADS
from ecg_hough.review.corrections import Gain, Unreadable, Zero
from ecg_hough.review.engine import Engine
from ecg_hough.review.export import export_formats, export_reviewed, reviewed_record
from made_review import CLEAN, NO_PAGE, PHOTO, opened_engine, review_folder
from places import ROOT


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return review_folder(tmp_path_factory.mktemp("review"))


@pytest.fixture
def engine(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    yield from opened_engine(out, tmp_path, monkeypatch)


def page(engine: Engine, stem: str = CLEAN) -> int:
    return next(number for number, entry in engine.entries.items() if entry.stem == stem)


def test_every_format_says_so(engine: Engine, tmp_path: Path) -> None:
    engine.correct(page(engine), 0, "anna", Zero("0.3", 1.0))
    engine.store.decide(page(engine), 1, "anna", "accepted")
    formats = export_formats()
    done = export_reviewed(engine, tmp_path / "to", formats)
    assert {one.stem: one.path is not None for one in done} == {CLEAN: True, PHOTO: True, NO_PAGE: False}
    assert not any(one.failed for one in done)
    entry = json.loads((tmp_path / "to" / f"{CLEAN}.json").read_bytes())
    assert (entry["corrected_by"], entry["review"], entry["page_status"]) == (["anna"], "accepted", "ok")
    assert {one["lead"]: one["status"] for one in entry["lead_status"]}["V4"] == "corrected"
    assert "corrected by anna: zero line of V4 moved by +1.00 mm down" in entry["notes"]
    jsonschema.validate(entry, json.loads((ROOT / "docs" / "scan.schema.json").read_bytes()))
    for name in set(formats) - {"csv", "wfdb", "mat", "npz", "dicom", "dicom-printed"}:
        content = b"".join(p.read_bytes() for p in (tmp_path / "to").iterdir() if p.name.startswith(CLEAN))
        assert b"anna" in content, name
    for file, words in {
        f"{CLEAN}.hea": "Corrected by: anna",
        f"{CLEAN}.edf": "Corrected by: anna",
        f"{CLEAN}.fhir.json": '"status": "final"',
        f"{CLEAN}.aecg.xml": "Lead V4: corrected",
        f"{CLEAN}.dcm": "Corrected by: anna",
    }.items():
        if (tmp_path / "to" / file).exists():
            assert words.encode() in (tmp_path / "to" / file).read_bytes(), file
    with np.load(tmp_path / "to" / f"{CLEAN}.npz") as arrays:
        assert json.loads(str(arrays["record"]))["corrected_by"] == ["anna"]


def test_it_is_read_back_and_converted(engine: Engine, tmp_path: Path) -> None:
    engine.correct(page(engine), 0, "anna", Gain(5.0))
    export_reviewed(engine, tmp_path / "to")
    again = read_record(tmp_path / "to" / f"{CLEAN}.json")
    assert (again.corrected_by, again.review) == (("anna",), "open")
    assert {one.status for one in again.lead_status} == {"corrected"}
    convert_record(tmp_path / "to" / f"{CLEAN}.json", ["fhir"])
    said = (tmp_path / "to" / f"{CLEAN}.fhir.json").read_text()
    assert "Corrected by: anna" in said
    assert '"status": "preliminary"' in said


def test_without_corrections_it_is_the_machine_s_record(engine: Engine, out: Path) -> None:
    record, saved = reviewed_record(engine, page(engine, PHOTO)), read_record(out / f"{PHOTO}.json")
    assert np.array_equal(record.signals, saved.signals, equal_nan=True)
    assert (record.corrected_by, record.review) == ((), "open")


def test_the_machine_s_files_stay(engine: Engine, out: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    state = engine.now(page(engine))[0].pages[1]
    row = state.rows[0]
    at = np.flatnonzero(np.isfinite(row.y_mm))[[200, 600]]
    one, two = state.found.to_px(np.column_stack([row.y_mm[at], row.x_mm[at]])).tolist()
    engine.correct(page(engine), 0, "anna", Unreadable(0, (tuple(one), tuple(two))))
    export_reviewed(engine, tmp_path / "to")
    with pytest.raises(ValueError, match="must not replace the machine's"):
        export_reviewed(engine, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    signals = read_record(tmp_path / "to" / f"{CLEAN}.json").signals[LEADS.index("I")]
    assert np.isnan(signals).sum() > np.isnan(read_record(out / f"{CLEAN}.json").signals[0]).sum() + 300


def test_a_rejected_page_is_named(engine: Engine, tmp_path: Path) -> None:
    engine.store.decide(page(engine, PHOTO), 0, "anna", "rejected", "cut off")
    done = {one.stem: one for one in export_reviewed(engine, tmp_path / "to")}
    assert done[PHOTO].path is None
    assert done[PHOTO].reason == "rejected by anna: cut off"
    assert not done[PHOTO].failed
    assert not list((tmp_path / "to").glob(f"{PHOTO}*"))
