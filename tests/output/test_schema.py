"""The published schema describes what is written, and nothing that is not; old files obey it too."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ecg_hough.clinical import Header, Measurement, Patient
from ecg_hough.output.export import SCHEMA_VERSION, write_page
from made_up_ecg import made_up_ecg
from places import ROOT

SCHEMA: dict[str, Any] = json.loads((ROOT / "docs" / "scan.schema.json").read_text(encoding="utf-8"))
BY_PREDICT = {"file"}
"""Keys that the batches add."""


def closed(schema: Any) -> Any:
    """The schema without room for unknown keys."""
    schema = deepcopy(schema)
    if isinstance(schema, dict):
        schema = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema and "type" in schema:
            schema.setdefault("additionalProperties", False)
    elif isinstance(schema, list):
        schema = [closed(value) for value in schema]
    return schema


def page(folder: Path) -> dict[str, Any]:
    measured = Measurement("R", 1.5, "mV", "V5", 0.02, printed=1.4, agrees=True)
    printed = Measurement(
        "HR", 74, "1/min", words="Vent. rate 74 BPM", box_px=(1, 2, 3, 4), score=0.9, source="ocr"
    )
    header = Header(Patient("1", "Doe", "1950-02-03", "F"), "2020-01-02", "MAC", "40 Hz", ("ok",), (printed,))
    ecg = replace(made_up_ecg(), header=header, measurements=(measured,))
    return json.loads(write_page(ecg, folder, "a b", extra={"request": {}}).read_bytes())


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_page_obeys_the_schema_which_names_every_key(tmp_path: Path) -> None:
    written = page(tmp_path)
    jsonschema.validate(written, closed(SCHEMA))
    assert written["schema_version"] == SCHEMA_VERSION
    assert SCHEMA["properties"].keys() - written.keys() == BY_PREDICT
    assert {"name", "sex"} <= written["header"]["patient"].keys()


def test_a_page_without_header_and_measurements(tmp_path: Path) -> None:
    path = write_page(made_up_ecg(), tmp_path, "a")
    jsonschema.validate(json.loads(path.read_bytes()), closed(SCHEMA))


def test_old_pages_obey_it(tmp_path: Path) -> None:
    """Those of 0.1.0, before the version was written."""
    old = page(tmp_path)
    new = (
        "schema_version", "header", "measurements", "source_kind", "pages", "sums", "notes", "page_status",
        "probability", "chest_gain_mm_mv",
    )  # fmt: skip
    for key in new:
        del old[key]
    for status in old["lead_status"]:
        del status["status"], status["probability"]
    jsonschema.validate(old, SCHEMA)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema_version", "2.0"),
        ("fs", 0),
        ("leads", ["I"]),
        ("lead_status", []),
        ("columns", "parallel"),
        ("program", "other"),
        ("warnings", None),
        ("header", {"patient": {"birth_date": "3.2.1950"}}),
        ("measurements", [{"name": "HR", "value": None, "unit": "1/min"}]),
    ],
)
def test_what_is_wrong_is_seen(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(page(tmp_path) | {key: value}, SCHEMA)
