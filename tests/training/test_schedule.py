"""The learning rate's course, the memory of averaged weights, and the log."""

import csv
from pathlib import Path

import pytest

from ecg_hough.training.schedule import FLAT_SHARE, LEAST_SHARE, append_row, average_decay, rate_share


def test_the_rate_is_flat_then_falls_to_its_least() -> None:
    assert rate_share(0.0) == rate_share(FLAT_SHARE - 1e-6) == 1.0
    assert rate_share((1 + FLAT_SHARE) / 2) == pytest.approx(0.5)
    assert rate_share(1.0) == LEAST_SHARE


def test_averaged_weights_remember_longer_as_the_run_goes_on() -> None:
    decays = [average_decay(0.998, step) for step in (1, 10, 100, 10_000)]
    assert decays == sorted(decays)
    assert decays[0] < 0.2
    assert decays[-1] == 0.998


def test_a_log_has_one_header(tmp_path: Path) -> None:
    for step in range(3):
        append_row(tmp_path / "log.csv", {"step": step, "loss": 0.5})
    with (tmp_path / "log.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "1", "2"]
