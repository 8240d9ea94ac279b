"""Which pages are suggested: risky ones of kinds with many pages, and not all of one kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason='needs pip install "ecg-hough[serve]"')
from typer.testing import CliRunner

from ecg_hough.cli.app import app
from ecg_hough.review.library import PageEntry
from ecg_hough.review.queue import QueueRow
from ecg_hough.review.store import Decision, Standing
from ecg_hough.review.suggest import suggest


def rows(kind: str, n: int, probability: float, **other: object) -> list[QueueRow]:
    """Pages of a kind, which is their layout, by numbers that nobody else has."""
    entries = [
        PageEntry(f"{kind}_{k}", "a", "", layout=kind, probability=probability - 0.001 * k, **other)  # type: ignore[arg-type]
        for k in range(n)
    ]
    return [QueueRow(hash((kind, k)), entry, Standing()) for k, entry in enumerate(entries)]


def test_a_kind_of_many_risky_pages_is_worth_most() -> None:
    alone, many, sure = rows("12x1", 1, 0.1), rows("3x4", 10, 0.3), rows("6x2", 30, 0.99)
    (first,) = suggest([*sure, *alone, *many], 1)
    assert first.stem == "3x4_9", "the riskiest of its kind"
    assert first.alike == 10
    assert first.risk == pytest.approx(0.709)


def test_not_all_are_of_one_kind() -> None:
    found = [one.stem.partition("_")[0] for one in suggest([*rows("3x4", 12, 0.3), *rows("6x2", 8, 0.4)], 8)]
    assert found[0] == "3x4"
    assert 2 <= found.count("6x2") <= 4
    gains = [one.gain for one in suggest(rows("3x4", 12, 0.3), 8)]
    assert gains == sorted(gains, reverse=True)


def test_warnings_and_carts_make_kinds() -> None:
    ruled = rows("3x4", 6, 0.3, warnings=("layout: doubtful",))
    other = rows("3x4", 3, 0.3, device="cart B", warnings=("grid: none",))
    (first,) = suggest([*other, *ruled], 1)
    assert first.alike == 6


def test_what_was_corrected_counts_as_learnt() -> None:
    many, few = rows("3x4", 6, 0.3), rows("12x1", 4, 0.3)
    corrected = [QueueRow(one.page_id, one.entry, Standing(version=2)) for one in many[:4]]
    rejected = [QueueRow(one.page_id, one.entry, Standing(Decision("rejected"), 1)) for one in many[:4]]
    assert suggest([*corrected, *many[4:], *few], 1)[0].stem == "12x1_3"
    assert suggest([*rejected, *many[4:], *few], 1)[0].stem == "12x1_3", (
        "four are left of one, two of the other"
    )
    assert suggest([*many, *few], 1)[0].stem == "3x4_5"
    assert suggest(corrected, 5) == []
    with pytest.raises(ValueError, match="n must be at least 1; got 0"):
        suggest(many, 0)


def test_pages_that_were_refused_may_be_corrected_and_unreadable_ones_not() -> None:
    refused = rows("unknown", 5, 0.3, error="layout: no lead is likely to be right")
    unreadable = rows("unknown", 20, 0.3, error="page: the page is blank")
    found = suggest([*refused, *unreadable, *rows("3x4", 1, 0.6)], 30)
    assert len(found) == 6
    assert found[0].stem == "unknown_4"
    assert found[0].risk == 0.5


def test_the_command(tmp_path: Path) -> None:
    for k, p in enumerate((0.9, 0.2)):
        record = {"program": "ecg-hough", "source": "a.png", "lead_status": [], "probability": p}
        (tmp_path / f"page_{k}.json").write_text(json.dumps(record | {"layout": "3x4"}))
    run = CliRunner().invoke(app, ["suggest", str(tmp_path), "--json", "-n", "1"])
    (found,) = json.loads(run.stdout)
    assert (found["stem"], found["risk"], found["alike"]) == ("page_1", 0.8, 2)
    assert not list(tmp_path.glob("*.db")), "nothing is written where nobody has reviewed"
    shown = CliRunner().invoke(app, ["suggest", str(tmp_path)]).stdout.splitlines()
    assert [line.partition(":")[0] for line in shown] == ["page_1", "page_0"]
