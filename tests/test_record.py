from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ecg_hough
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS
from made_up_ecg import made_up_ecg, stand_in_digitize, write_page_image


def test_dict_holds_everything_but_the_arrays_and_is_strict_json() -> None:
    ecg = replace(made_up_ecg(), angle_deg=math.nan)
    record = json.loads(json.dumps(ecg.to_dict(), allow_nan=False))
    assert record["leads"] == list(LEADS) == list(ecg.leads)
    assert record["angle_deg"] is None
    assert record["px_per_mm"] == [7.87, 7.88]
    assert record["lead_status"][3] == {
        "lead": "aVR",
        "found": False,
        "reason": "not printed",
        "confidence": 0.0,
        "start_s": None,
        "end_s": None,
        "status": "check",
        "probability": None,
    }
    assert record["n_samples"] == 1000
    assert [record[key] for key in ("einthoven_mv", "goldberger_mv", "repeat_mv", "leads_agree")] == [
        None
    ] * 4
    assert not {"signals", "confidence", "sd_mv", "traces"} & set(record)


def test_residuals_of_the_limb_leads_are_written() -> None:
    ecg = replace(
        made_up_ecg(), einthoven_mv=0.012, goldberger_mv=0.02, repeat_mv=math.nan, leads_agree=False
    )
    record = json.loads(json.dumps(ecg.to_dict(), allow_nan=False))
    assert (record["einthoven_mv"], record["goldberger_mv"]) == (0.012, 0.02)
    assert record["repeat_mv"] is None
    assert record["leads_agree"] is False


def test_numpy_numbers_are_taken() -> None:
    ecg = replace(made_up_ecg(), quality=np.float32(0.5), px_per_mm=(np.float64(8), np.float64(8)))
    assert json.loads(json.dumps(ecg.to_dict()))["quality"] == 0.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signals": np.zeros((11, 5))}, "12, N"),
        ({"confidence": np.zeros((12, 5))}, "confidence"),
        ({"sd_mv": np.zeros((12, 5))}, "sd_mv"),
        ({"fs": 0}, "fs"),
        ({"lead_status": ()}, "12 leads"),
    ],
)
def test_inconsistent_records_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(made_up_ecg(), **change)  # type: ignore[arg-type]


def test_package_offers_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ecg_hough.Ecg is Ecg
    assert issubclass(ecg_hough.PageError, Exception)
    stand_in_digitize(monkeypatch)
    ecg = ecg_hough.digitize(write_page_image(tmp_path / "a.png"))
    assert isinstance(ecg, Ecg)
    with pytest.raises(AttributeError):
        ecg_hough.nothing_of_that_name  # type: ignore[attr-defined]  # noqa: B018


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import ecg_hough, ecg_hough.cli.app, sys; "
        "heavy = {'numpy', 'cv2', 'scipy', 'torch', 'openvino', 'pandas', 'matplotlib', 'wfdb'}"
        "& set(sys.modules); print(heavy); sys.exit(bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
