"""What a card keeps of a log."""

from pathlib import Path

from ecg_hough.training.run_card import log_essentials, read_json


def test_the_best_row_ignores_epochs_without_a_figure(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("epoch,val_dice\n0,0.3\n1,0.7\n2,nan\n")
    kept = log_essentials(log, "val_dice", best=max)
    assert kept is not None
    assert kept["best"] == {"epoch": 1, "val_dice": 0.7}
    assert kept["last"] == {"epoch": 2, "val_dice": None}
    assert (kept["first"]["epoch"], kept["rows"]) == (0, 3)


def test_missing_files_are_no_error(tmp_path: Path) -> None:
    assert log_essentials(tmp_path / "log.csv", "val_dice", best=max) is None
    assert read_json(tmp_path / "run.json") == {}
