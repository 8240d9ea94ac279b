"""Corrections as typed data, their log, undo and redo."""

from __future__ import annotations

import json

import pytest

from ecg_hough.review.corrections import (
    KINDS,
    Edge,
    Entry,
    Gain,
    HeaderValues,
    Names,
    Redo,
    Reread,
    Speed,
    Undo,
    Unreadable,
    Zero,
    correction_of,
    in_force,
    undone,
    wishes_of,
)
from made_review import ENDS, ONE_OF_EACH, log_of


def test_every_kind_survives_the_log() -> None:
    assert {one.kind for one in ONE_OF_EACH} == KINDS.keys()
    for one in ONE_OF_EACH:
        assert correction_of(one.kind, json.loads(json.dumps(one.what))) == one


@pytest.mark.parametrize(
    ("kind", "what", "words"),
    [
        ("rename", {}, "must be of names, layout"),
        ("speed", {"mm_s": 1000}, "must be 5 to 200; got 1000"),
        ("speed", {"mm_s": "25"}, "must be a number"),
        ("speed", {"mm_s": float("nan")}, "must be a number"),
        ("speed", {}, "speed must have mm_s"),
        ("speed", {"mm_s": 25, "path": "x"}, "got path"),
        ("gain", {"mm_mv": 10, "group": "V1"}, "of limb, chest, all"),
        ("names", {"names": {"0.0": "V9"}}, "a lead must be of I, II"),
        ("names", {"names": {"../x": "V1"}}, "ROW.COLUMN"),
        ("names", {"names": {}}, "at least one panel"),
        ("layout", {}, "must be given"),
        ("layout", {"layout": "7x7"}, "layout must be one of"),
        ("edge", {"column": 1.5, "at": [1, 2]}, "column must be whole"),
        ("edge", {"column": 1, "at": [1]}, "must be a number"),
        ("redraw", {"row": 0, "stroke": [[1, 2]]}, "2 to 2000 points"),
        ("nudge", {"row": 0, "ends": [[1, 2], [1, 9]]}, "over 0"),
        ("reread", {"box": [5, 5, 1, 1], "turns": 0}, "top, left, bottom"),
        ("reread", {"box": [], "turns": 4}, "turns must be 0 to 3"),
        ("header", {"values": {"HR": 900}}, "15 to 350"),
        ("header", {"values": {"sex": "X"}}, "F, M or O"),
        ("header", {"values": {"path": "x"}}, "got 'path'"),
        ("header", {"values": {"name": "x" * 501}}, "at most 500"),
        ("zero", {"panel": "0.0", "down_mm": 100}, "by 30 mm"),
    ],
)
def test_what_is_refused(kind: str, what: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        correction_of(kind, what)


def test_undo_and_redo() -> None:
    log = log_of(Speed(50), Gain(5), Undo(), Undo(), Redo())
    assert [one.version for one in in_force(log)] == [1]
    assert [one.version for one in undone(log)] == [2]
    assert wishes_of(log).speed_mm_s == 50
    assert wishes_of(log).limb_mm_mv is None
    after = (*log, Entry(6, "ben", "", Gain(20)))
    assert [one.version for one in in_force(after)] == [1, 6]
    assert undone(after) == ()
    assert wishes_of(after).people == ("anna", "ben")


def test_nothing_to_undo_is_nothing() -> None:
    assert in_force(log_of(Undo(), Redo())) == ()


def test_the_last_wish_holds() -> None:
    wishes = wishes_of(log_of(Gain(5), Gain(20, "chest"), Zero("0.0", 1), Zero("0.0", 0.5), Speed(50)))
    assert (wishes.limb_mm_mv, wishes.chest_mm_mv, wishes.zeros_mm) == (5, 20, {(0, 0): 0.5})


def test_another_reading_ends_what_was_placed_on_the_page() -> None:
    before = (Speed(50), Names({"0.0": "V1"}), Edge(1, (0, 0)), Unreadable(0, ENDS), HeaderValues({"HR": 60}))
    wishes = wishes_of(log_of(*before, Reread((0, 0, 50, 50), 1)))
    assert (wishes.names, wishes.edges, wishes.traces) == ({}, {}, ())
    assert (wishes.speed_mm_s, wishes.header) == (50, {"HR": 60})
    assert wishes_of(log_of(*before, Reread(), Undo())).names == {(0, 0): "V1"}
