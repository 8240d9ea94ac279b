"""The laboratory's faults and costs, on stand-ins."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecg_hough.errors import PageError
from ecg_lab import cost, kills, mutations
from ecg_lab.mutations import FORMATS, WAYS, Mutation, Outcome, damaged, judge, mutations_of, stored, summary
from made_up_ecg import made_up_ecg
from places import ROOT

PAGE = ROOT / "samples" / "clean_3x4.jpg"


def test_mutations_are_seeded_and_of_all_kinds() -> None:
    some = mutations_of([PAGE], 200, 3)
    assert some == mutations_of([PAGE], 200, 3) != mutations_of([PAGE], 200, 4)
    assert {one.format for one in some} == set(FORMATS)
    assert {one.way for one in some} == set(WAYS)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_damages(way: str) -> None:
    whole = bytes(range(256)) * 40
    one, other = (damaged(whole, way, np.random.default_rng(seed)) for seed in (1, 1))
    assert one == other != whole


def test_outcomes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read is a stand-in; what is decoded is real."""
    ecg = made_up_ecg()
    answers: list[Any] = []

    def digitize(page: Path) -> Any:
        answer = answers.pop(0) if answers else ecg
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(mutations, "digitize", digitize)
    mutations._undamaged.cache_clear()
    flipped = Mutation(PAGE, "bmp", "flip 20 bytes", 5)
    assert judge(flipped).result == "same leads"
    mutations._undamaged.cache_clear()
    answers += [ecg, made_up_ecg(seconds=0.5)]
    other = judge(flipped)
    assert (other.result, other.noted, other.reported) == ("changed", False, None)
    answers.append(RuntimeError("a bug"))
    assert judge(flipped).result == "traceback"
    answers.append(PageError("grid", "none"))
    assert judge(flipped).result == "refused"
    png = judge(Mutation(PAGE, "png", "cut the end", 1))
    assert png.result == "refused"
    figures = summary([other, png, Outcome("p", "jpg", "x", 0, "changed", "Corrupt", False, 1.0, 2.0)])
    assert (figures["n"], figures["silent"], figures["silent_though_reported"]) == (3, 2, 1)
    assert stored(PAGE, "png")[:4] == b"\x89PNG"


def test_kills_need_a_known_way_and_a_run_that_lasts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="way must be one of parts, folder"):
        kills.kill_at_random(tmp_path, way="x")


def test_cost_of_copies_and_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = shutil.copy(PAGE, tmp_path / "page.jpg")
    monkeypatch.setattr(cost, "digitize", lambda image: made_up_ecg())
    row = cost.by_pixels(Path(page), 0.5)
    assert row["megapixels"] == 0.5
    assert row["refused"] is None
    found = cost.stages([Path(page)])
    assert found["stages_s"] == {"page": 0.1, "total": 0.5}
    figures = {
        "by_pixels": [row | {"cpu_s": 1.0}],
        "by_count": [{"pages": 1, "workers": 1, "cpu_s": 2.0}, {"pages": 1, "workers": 2, "cpu_s": 2.0}],
    }
    cost.draw(figures).savefig(tmp_path / "cost.png")
