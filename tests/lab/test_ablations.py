"""Ablations: every change is passed on, a run goes on, differences are of the same pages."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ecg_hough.errors import PageError
from ecg_hough.options import SHIPPED, Options
from ecg_hough.output.export import write_signals
from ecg_hough.scores.metrics import challenge_snr, unaligned_snr
from ecg_lab import ablations
from ecg_lab.ablations import (
    ALL,
    CHANGES,
    COLUMNS,
    FULL,
    PAGE_COLUMNS,
    measure_ablations,
    measure_page,
    summarise,
)
from ecg_lab.cli import app
from made_up_ecg import made_up_ecg

FS = 100
NOISE = {"no stroke fit": 0.2, "centroid": 0.3}
"""Share of the signal by which the stand-in errs with a change; 0.1 with all others."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two profiles of two pages each."""
    for profile in ("clean", "worn"):
        folder = tmp_path / "data" / profile
        folder.mkdir(parents=True)
        for name in ("made_up_a", "made_up_b"):
            cv2.imwrite(str(folder / f"{name}.png"), np.full((40, 40, 3), 255, np.uint8))
            write_signals(folder, name, made_up_ecg(FS).signals, FS)
    return tmp_path / "data"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Pages read by a stand-in: (page, change) of every reading."""
    seen: list[tuple[str, str]] = []

    def digitize(page: Path, *, fs: int, options: Options) -> Any:
        change = next(name for name, c in CHANGES.items() if c == options)
        seen.append((f"{page.parent.name}/{page.stem}", change))
        if change == "linear strips" and page.stem == "made_up_b":
            raise PageError("grid", "no grid")
        signals = made_up_ecg(fs).signals
        t = np.arange(signals.shape[1]) / fs
        return SimpleNamespace(signals=signals + NOISE.get(change, 0.1) * np.sin(2 * np.pi * 7 * t))

    monkeypatch.setattr(ablations, "digitize", digitize)
    return seen


@pytest.fixture
def unaligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Challenge's alignment omitted where it does not matter: it takes most of the time."""
    monkeypatch.setattr(ablations.metrics, "challenge_snr", lambda ref, est, fs: unaligned_snr(ref, est))


def test_changes_differ_in_one_thing_each() -> None:
    assert CHANGES[FULL] == SHIPPED
    assert len(set(CHANGES.values())) == len(CHANGES)
    for name, change in CHANGES.items():
        if change.readout == "trace" and name != FULL:
            names = type(SHIPPED).__dataclass_fields__
            differs = [part for part in names if getattr(change, part) != getattr(SHIPPED, part)]
            assert len(differs) == 1, name


@pytest.mark.slow
@pytest.mark.usefixtures("unaligned")
def test_every_change_is_measured_and_a_run_goes_on(
    data: Path, calls: list[tuple[str, str]], tmp_path: Path
) -> None:
    out, seen = tmp_path / "out" / "ablations.csv", []
    measure_ablations([data], out, n=[1], on_progress=lambda *step: seen.append(step))
    assert seen[-1] == (2 * len(CHANGES), 2 * len(CHANGES))
    # Before its changes every page is read once to warm up.
    assert len(calls) == 2 * (len(CHANGES) + 1)
    assert {page for page, _ in calls} == {"clean/made_up_a", "worn/made_up_a"}
    table = measure_ablations([data], out)
    assert list(dict.fromkeys(page for page, _ in calls)) == [
        "clean/made_up_a",
        "worn/made_up_a",
        "clean/made_up_b",
        "worn/made_up_b",
    ]
    assert len(calls) == 4 * (len(CHANGES) + 1)
    pages = pd.read_csv(out.with_suffix(".pages.csv"))
    assert list(pages.columns) == list(PAGE_COLUMNS)
    assert not pages.duplicated(["profile", "page", "change"]).any()
    assert len(pages) == 4 * len(CHANGES)
    assert list(table.columns) == list(COLUMNS)
    pd.testing.assert_frame_equal(pd.read_csv(out), table, check_dtype=False)
    assert list(dict.fromkeys(table["change"])) == list(CHANGES)
    assert set(table["profile"]) == {"clean", "worn", ALL}
    measure_ablations([data], out)
    assert len(calls) == 4 * (len(CHANGES) + 1)


@pytest.mark.usefixtures("unaligned")
def test_differences_are_of_the_error(data: Path, calls: list[tuple[str, str]], tmp_path: Path) -> None:
    table = measure_ablations([data], tmp_path / "a.csv").set_index(["change", "profile"])
    over_all = table.xs(ALL, level="profile")
    assert over_all.loc[FULL, "against_full_db"] == 0
    assert over_all.loc["no stroke fit", "unaligned_snr_db"] == pytest.approx(
        over_all.loc[FULL, "unaligned_snr_db"] - 20 * np.log10(2), abs=0.05
    )
    # A page that fails is in the means with 0 dB and no lead.
    assert over_all.loc["linear strips", "pages"] == 4
    assert over_all.loc["linear strips", "leads_found_pct"] == pytest.approx(50)
    assert over_all.loc["linear strips", "challenge_snr_db"] == pytest.approx(
        over_all.loc[FULL, "challenge_snr_db"] / 2, abs=0.05
    )
    failures = pd.read_csv(tmp_path / "a.pages.csv")["failure"].dropna()
    assert len(failures) == 2
    assert failures.str.contains("no grid").all()


@pytest.mark.usefixtures("unaligned")
def test_one_change_alone(data: Path, calls: list[tuple[str, str]], tmp_path: Path) -> None:
    table = measure_ablations([data], tmp_path / "one.csv", changes=["no second look"])
    assert set(table["change"]) == {FULL, "no second look"}
    assert {change for _, change in calls} == {FULL, "no second look"}
    # Rows of other changes that are there stay.
    again = measure_ablations([data], tmp_path / "one.csv", changes=["centroid"])
    assert set(again["change"]) == {FULL, "no second look", "centroid"}
    with pytest.raises(ValueError, match="got no such"):
        measure_ablations([data], tmp_path / "one.csv", changes=["no such"])


@pytest.mark.usefixtures("unaligned")
def test_what_is_made_again_is_what_was_asked_for(
    data: Path, calls: list[tuple[str, str]], tmp_path: Path
) -> None:
    out = tmp_path / "a.csv"
    measure_ablations([data], out, n=[1], changes=["centroid"])
    before = len(calls)
    table = measure_ablations([data / "worn"], out, n=[1], changes=["centroid"], overwrite=True)
    assert calls[before:] == [("worn/made_up_a", name) for name in (FULL, FULL, "centroid")]
    assert set(table["profile"]) == {"clean", "worn", ALL}
    assert not pd.read_csv(out.with_suffix(".pages.csv")).duplicated(["profile", "page", "change"]).any()


@pytest.mark.usefixtures("unaligned")
def test_rows_of_other_weights_are_made_again(
    data: Path, calls: list[tuple[str, str]], tmp_path: Path
) -> None:
    out = tmp_path / "a.csv"
    measure_ablations([data], out, n=[1])
    pages = out.with_suffix(".pages.csv")
    table = pd.read_csv(pages)
    table.loc[table["profile"] == "clean", "weights"] = "older"
    table.to_csv(pages, index=False)
    before = len(calls)
    measure_ablations([data], out, n=[1])
    assert {page for page, _ in calls[before:]} == {"clean/made_up_a"}
    assert "older" not in pages.read_text()
    table["weights"] = "older"
    table.to_csv(pages, index=False)
    assert len(measure_ablations([data], out, n=[1], overwrite=True)) == 3 * len(CHANGES)


def test_scores_of_one_page_are_the_challenges(data: Path, calls: list[tuple[str, str]]) -> None:
    row = measure_page(data / "clean" / "made_up_a.png", CHANGES["centroid"])
    truth = made_up_ecg(FS).signals
    read = truth + 0.3 * np.sin(2 * np.pi * 7 * np.arange(truth.shape[1]) / FS)
    printed = np.isfinite(truth).any(axis=1)
    each = [challenge_snr(*pair, FS) for pair in zip(truth[printed], read[printed], strict=True)]
    assert row["challenge_snr_db"] == pytest.approx(np.mean(each), abs=0.1)  # files hold steps of 1 µV
    assert (row["leads_found"], row["leads_printed"]) == (11, 11)
    assert row["failure"] == ""


def test_a_page_without_the_full_method_has_no_difference() -> None:
    rows = pd.DataFrame(
        [["p", "1", FULL, 10.0], ["p", "1", "centroid", 7.0], ["p", "2", "centroid", 3.0]],
        columns=["profile", "page", "change", "challenge_snr_db"],
    ).assign(
        unaligned_snr_db=1.0, leads_found=12, leads_printed=12, seconds=1.0, cpu_seconds=1.0, weights="w"
    )
    table = summarise(rows).set_index(["change", "profile"])
    assert table.loc[("centroid", "p"), "against_full_db"] == -3
    assert table.loc[("centroid", "p"), "challenge_snr_db"] == 5
    assert np.isnan(table.loc[("centroid", "p"), "against_full_se_db"])


def test_bad_input_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n must be at least 1"):
        measure_ablations([data], tmp_path / "a.csv", n=[0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="got none in"):
        measure_ablations([tmp_path / "empty"], tmp_path / "a.csv")
    (tmp_path / "a.pages.csv").write_text("something,else\n1,2\n")
    with pytest.raises(ValueError, match=r"a\.pages\.csv must be a CSV of this command"):
        measure_ablations([data], tmp_path / "a.csv")


@pytest.mark.usefixtures("unaligned")
def test_command_line(data: Path, calls: list[tuple[str, str]], tmp_path: Path) -> None:
    arguments = ["ablations", str(data), "-n", "1", "-o", str(tmp_path / "a.csv")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert f"{3 * len(CHANGES)} rows in" in result.output
    assert (tmp_path / "a.csv").is_file()
