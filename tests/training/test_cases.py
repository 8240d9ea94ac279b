"""Which pages a data set holds: the same for the same seed, and more are added behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecg_hough.datasets.split import held_out_records
from ecg_hough.training.cases import GENERATED, record_cases
from made_up_records import made_up_signals, write_record


def test_without_records_all_cases_are_generated() -> None:
    cases = record_cases(None, 5, 0.35, seed=1)
    assert {case.source for case in cases} == {GENERATED}
    assert len({case.seed for case in cases}) == 5
    assert cases == record_cases(None, 7, 0.35, seed=1)[:5]
    assert cases != record_cases(None, 5, 0.35, seed=2)


def test_held_out_records_make_no_case(tmp_path: Path) -> None:
    held_out = min(held_out_records())
    write_record(tmp_path / held_out, made_up_signals())
    with pytest.raises(ValueError, match="some that are not held out"):
        record_cases(tmp_path, 4, 0.0, seed=0)
    write_record(tmp_path / "90001_hr", made_up_signals())
    cases = record_cases(tmp_path, 4, 0.0, seed=0)
    assert {Path(case.source).name for case in cases} == {"90001_hr"}
    assert {case.group for case in cases} == {"90001_hr"}
    mixed = record_cases(tmp_path, 40, 0.5, seed=0)
    assert 10 < sum(case.source == GENERATED for case in mixed) < 30
