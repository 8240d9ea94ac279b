"""The guard: pages of records and patients that a network was trained on are refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from ecg_hough.datasets.split import held_out_records, split_records
from ecg_hough.scores.evaluation import evaluate
from ecg_hough.scores.guard import find_trained, find_unknown, networks_of, refuse_trained, trained_on
from made_up_records import made_up_signals, write_record
from places import SHARED


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    data = {"records": 2, "record_names": ["00021_hr", "7"], "patient_ids": ["900"]}
    (folder / "leads.json").write_text(json.dumps({"name": "leads", "data": data}))
    return folder


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("00021_hr", True),
        ("00021_hr-0003", True),
        ("photo_0007_00021_hr", True),
        ("00021_lr", True),
        ("00021", False),
        ("100021_hr", False),
        ("00022_hr", False),
        ("7", True),
        ("007", True),
        ("page_7", False),
    ],
)
def test_a_page_shows_the_record_in_its_name(weights: Path, name: str, trained: bool) -> None:
    assert bool(find_trained([name], weights=weights)) is trained


def test_another_record_of_a_trained_patient_is_refused(weights: Path) -> None:
    patients = {"00500_hr": "900", "00501_hr": "901"}
    names = ["00500_hr-0", "00501_hr-0"]
    assert find_trained(names, patients=patients, weights=weights) == {"00500_hr-0": ("leads",)}
    with pytest.raises(ValueError, match=r"1 of 2 do \(00500_hr-0: trained on by leads\).*--allow-trained"):
        refuse_trained(names, patients=patients, weights=weights)


def test_allowed_training_records_are_warned_of(weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        refuse_trained(["00021_hr"], allow=True, weights=weights)
    assert "the score is of the training data" in caplog.text


@pytest.mark.parametrize("data", [{"records": 5}, {"records": None, "cases": 34134}, {"dataset": "x"}])
def test_a_card_that_does_not_know_its_records_is_refused(
    weights: Path, caplog: pytest.LogCaptureFixture, data: dict[str, Any]
) -> None:
    (weights / "foreign.json").write_text(json.dumps({"name": "foreign", "sha256": "ab" * 32, "data": data}))
    assert find_trained(["00022_hr"], weights=weights) == {}
    assert find_unknown((), weights=weights) == ("foreign-abababab",)
    with pytest.raises(ValueError, match=r"it is not for foreign-abababab.*--allow-trained"):
        refuse_trained(["00022_hr"], weights=weights)
    with caplog.at_level(logging.WARNING):
        refuse_trained(["00022_hr"], weights=weights, allow=True)
    assert "may be of the training data" in caplog.text


def test_a_network_without_a_card_is_refused(tmp_path: Path) -> None:
    """Pages read by a foreign network: their reports name it, no card does."""
    truth, predictions = tmp_path / "truth", tmp_path / "predictions"
    write_record(truth / "00022_hr", made_up_signals())
    write_record(predictions / "00022_hr", made_up_signals())
    shipped = [network.version for network in trained_on()]
    report = {"versions": {"ecg_hough": "1", "method": "krones2024", "leads": shipped[0]}}
    (predictions / "00022_hr.json").write_text(json.dumps(report))
    assert networks_of(predictions) == {shipped[0]}
    evaluate(predictions, truth, workers=1)
    report["versions"]["network"] = "nnUNetTrainer__nnUNetPlans__2d-0123abcd"
    (predictions / "00022_hr.json").write_text(json.dumps(report))
    with pytest.raises(ValueError, match="nnUNetPlans__2d-0123abcd"):
        evaluate(predictions, truth, workers=1)
    evaluate(predictions, truth, workers=1, allow_trained=True)


def test_the_shipped_cards_list_what_was_trained_on() -> None:
    networks = trained_on()
    assert {network.network for network in networks} >= {"leads", "traces"}
    for network in networks:
        assert network.listed
        assert not network.records & held_out_records()


@pytest.mark.skipif(not (SHARED / "ptbxl").is_dir(), reason="the development data are not here")
def test_the_shipped_networks_were_trained_on_the_development_records() -> None:
    training, held_out = split_records(SHARED / "ptbxl")
    assert set(find_trained([stem.name for stem in training])) == {stem.name for stem in training}
    assert find_trained([stem.name for stem in held_out]) == {}


def test_evaluate_refuses_what_was_trained_on(tmp_path: Path) -> None:
    name = min(trained_on()[0].records)
    truth, predictions = tmp_path / "truth", tmp_path / "predictions"
    write_record(truth / name, made_up_signals())
    write_record(predictions / name, made_up_signals() * 1.1)
    with pytest.raises(ValueError, match=f"trained on; 1 of 1 do \\({name}"):
        evaluate(predictions, truth, workers=1)
    assert len(evaluate(predictions, truth, workers=1, allow_trained=True).pages) == 1
