"""What the card of an nnU-Net run states about its data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ecg_hough.training.nnunet_run import describe_data
from made_up_records import write_csv


@pytest.mark.parametrize(
    ("fold", "source", "record"),
    [
        ("all", "00021_hr", "00021_hr"),
        ("0", "00021_hr-0.json", "00021_hr"),
        ("0", "00021_hr-3_0000.json", "00021_hr"),
    ],
)
def test_an_exported_card_lists_the_records_of_its_cases(
    tmp_path: Path, fold: str, source: str, record: str
) -> None:
    cases = [
        {"name": "page_000000", "group": "15709", "source": source, "seed": 0},
        {"name": "page_000001", "group": "generated_1", "source": "generated", "seed": 1},
    ]
    write_csv(tmp_path / "cases.csv", cases)
    (tmp_path / "splits_final.json").write_text(
        json.dumps([{"train": ["page_000001"], "val": ["page_000000"]}])
    )
    about = describe_data("Dataset500_Signals", {"numTraining": 2}, fold, tmp_path)
    # Also those that only validated: they chose the network.
    assert about["record_names"] == [record]
    assert about["patient_ids"] == ["15709"]
