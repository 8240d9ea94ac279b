"""Open pages: a correction is computed before it is written, and what a click takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason='needs pip install "ecg-hough[serve]"')
from ecg_hough.errors import PageError
from ecg_hough.review.corrections import (
    Correction,
    Gain,
    LayoutGiven,
    Names,
    Nudge,
    Redo,
    Redraw,
    Reread,
    Undo,
    Unreadable,
    Zero,
)
from ecg_hough.review.engine import Engine
from ecg_hough.review.store import ConflictError
from made_review import CLEAN, NO_PAGE, find_page_quickly, opened_engine, review_folder, sample

TRACE_MS, REREAD_S = 300, 2
"""What a correction of a trace, and another reading with its layout, may take on a free machine."""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return review_folder(tmp_path_factory.mktemp("review"), (CLEAN,))


@pytest.fixture
def engine(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    yield from opened_engine(out, tmp_path, monkeypatch)


def page(engine: Engine, stem: str = CLEAN) -> int:
    return next(number for number, entry in engine.entries.items() if entry.stem == stem)


def stroke(engine: Engine, first_mm: float = 30, last_mm: float = 60) -> tuple[tuple[float, float], ...]:
    """Two places of the trace of the second row."""
    state = engine.now(page(engine))[0].pages[1]
    row = state.rows[1]
    start = state.base.columns.start_mm
    at = [np.abs(row.x_mm - start - mm).argmin() for mm in (first_mm, last_mm)]
    points = state.found.to_px(np.column_stack([row.y_mm[at], row.x_mm[at]]))
    return tuple((float(r), float(c)) for r, c in points)


def test_a_correction_is_kept_with_what_was_before_and_after(engine: Engine) -> None:
    number = page(engine)
    engine.correct(number, 0, "anna", Gain(5.0, "limb"))
    engine.correct(number, 1, "anna", Names({"0.3": "V5", "1.3": "V4"}))
    engine.correct(number, 2, "ben", Redraw(1, stroke(engine)))
    engine.correct(number, 3, "ben", Zero("0.1", 0.5))
    engine.correct(number, 4, "ben", Zero("0.1", 0.75))
    gain, names, drawn, _, zero = engine.store.log(number)
    assert gain.before == {"mm_mv": 10.0}
    assert names.before == {"0.3": "V4", "1.3": "V5"}
    assert len(drawn.after["points"]) == len(drawn.after["sd_mm"]) == pytest.approx(30 * 16, abs=3)
    assert drawn.before["lead"] == "II"
    assert (zero.before["down_mm"], zero.before["lead"]) == (0.5, "aVR")
    assert engine.now(number)[0].record.corrected_by == ("anna", "ben")


def test_freehand_takes_the_stroke_as_it_is_drawn(engine: Engine) -> None:
    number = page(engine)
    (r0, c0), (r1, c1) = stroke(engine)
    bent = ((r0, c0), (r0 - 30.0, 0.5 * (c0 + c1)), (r1, c1))
    entry = engine.correct(number, 0, "anna", Redraw(1, bent, snap=False))
    rows, cols = np.array(entry.after["points"]).T
    expected = np.interp(cols, *np.array(bent).T[::-1])
    assert np.abs(rows - expected).max() < 0.5
    assert set(entry.after["sd_mm"]) == {0.12}
    assert engine.store.log(number)[0].correction == Redraw(1, bent, snap=False)


def test_undo_and_redo(engine: Engine) -> None:
    number = page(engine)
    with pytest.raises(ValueError, match="nothing to undo"):
        engine.correct(number, 0, "anna", Undo())
    before = engine.now(number)[0].record
    engine.correct(number, 0, "anna", Gain(5.0))
    engine.correct(number, 1, "anna", Undo())
    assert engine.now(number)[0].record.gain_mm_mv == before.gain_mm_mv
    assert engine.now(number)[0].record.corrected_by == ()
    engine.correct(number, 2, "anna", Redo())
    assert engine.now(number)[0].record.gain_mm_mv == 5
    with pytest.raises(ValueError, match="nothing to redo"):
        engine.correct(number, 3, "anna", Redo())
    assert [one.correction.kind for one in engine.store.log(number)] == ["gain", "undo", "redo"]


@pytest.mark.slow
def test_what_does_not_fit_is_not_written(engine: Engine) -> None:
    number = page(engine)
    with pytest.raises(ValueError, match="row must be one of"):
        engine.correct(number, 0, "anna", Unreadable(9, stroke(engine)))
    with pytest.raises(PageError):
        engine.correct(number, 0, "anna", Reread((0, 0, 160, 160)))
    assert engine.store.log(number) == ()


def test_two_people(engine: Engine) -> None:
    number = page(engine)
    engine.correct(number, 0, "anna", Gain(5.0))
    with pytest.raises(ConflictError) as told:
        engine.correct(number, 0, "ben", Gain(20.0))
    assert told.value.who == "anna"


def test_a_page_without_a_record(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_hough.review.reading.find_page", find_page_quickly)
    number = page(engine, NO_PAGE)
    assert engine.entries[number].error is not None
    assert engine.open(number).saved is None
    with pytest.raises(PageError):
        engine.now(number)
    with pytest.raises(PageError):
        engine.correct(number, 0, "anna", Reread((), 1))
    assert engine.store.log(number) == ()


def test_the_reading_is_that_of_the_record(engine: Engine) -> None:
    opened = engine.open(page(engine))
    assert not opened.differs
    assert opened.saved is not None
    other = replace(opened, saved=replace(opened.saved, signals=opened.saved.signals + 0.01))
    assert other.differs


def test_what_a_correction_takes(engine: Engine) -> None:
    """Prints the times; they are measured here, and judged with room for a machine that has other work."""
    number = page(engine)
    ends, (rows, cols) = stroke(engine), sample().picture.image.shape[:2]
    kinds: tuple[tuple[Correction, float], ...] = (
        (Redraw(1, ends), TRACE_MS),
        (Nudge(1, ends, 0.3), TRACE_MS),
        (Unreadable(1, ends), TRACE_MS),
        (Zero("0.1", 0.5), TRACE_MS),
        (Gain(5.0), TRACE_MS),
        (LayoutGiven("3x4+1"), 1000 * REREAD_S),
        (Reread((6, 6, rows - 6, cols - 6)), 1000 * REREAD_S),
    )
    engine.now(number)
    for version, (one, most_ms) in enumerate(kinds):
        begun = time.perf_counter()
        engine.correct(number, version, "anna", one)
        ms = 1000 * (time.perf_counter() - begun)
        print(f"{one.kind}: {ms:.0f} ms")
        assert ms < 10 * most_ms
