"""A corrected page as truth: its rows where they are read, what a person changed, and what is out of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason='needs pip install "ecg-hough[serve]"')
from ecg_hough.errors import PageError
from ecg_hough.review.corrections import Unreadable, Zero
from ecg_hough.review.engine import Engine
from ecg_hough.review.library import Library
from ecg_hough.review.store import Store
from ecg_hough.training.corrected_pages import file_of, known_page, pages_of
from ecg_hough.training.row_truth import KnownPage
from ecg_hough.training.trace_data import crops_of_known
from made_review import (
    CLEAN,
    NO_PAGE,
    PHOTO,
    find_page_quickly,
    folder_of_two,
    of_file,
    review_folder,
    sample,
    with_corrections,
)


@pytest.fixture(scope="module")
def ends() -> tuple[tuple[float, float], tuple[float, float]]:
    """Two places of the second row, px."""
    state = with_corrections()
    row = state.rows[1]
    at = [np.abs(row.x_mm - state.base.columns.start_mm - mm).argmin() for mm in (60, 80)]
    (a, b), (c, d) = state.found.to_px(np.column_stack([row.y_mm[at], row.x_mm[at]])).tolist()
    return (a, b), (c, d)


def test_rows_and_places_of_a_corrected_page(ends: tuple) -> None:
    state = with_corrections(Unreadable(1, ends))
    known = known_page(state)
    assert known is not None
    assert len(known.rows) == len(state.rows) == 4
    ((row, first, last),) = known.places
    assert row == 1
    assert last - first == pytest.approx(20.0, abs=0.1)
    x_mm = np.concatenate(known.rows[1].x_mm)
    assert not ((x_mm > first) & (x_mm < last)).any(), "nothing is to be seen there"
    assert known.seen is not None
    assert known.seen[1].shape[:2] == (4, 2)
    # Where the page is dark, a trace is: crops of it have their target on the ink.
    for channels, target in crops_of_known(known, 6, np.random.default_rng(1)):
        columns = np.flatnonzero(target[0] > 1)
        rows = np.clip(np.rint(target[0, columns]).astype(int), 1, channels.shape[1] - 2)
        ink = 255 - channels[:3].min(axis=0)
        near = np.max([ink[rows + k, columns] for k in (-1, 0, 1)], axis=0)
        assert columns.size == 0 or np.mean(near > 90) > 0.8


def test_pages_of_a_review(tmp_path: Path, ends: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_hough.review.engine.reading_of", of_file)
    monkeypatch.setattr("ecg_hough.review.reading.find_page", find_page_quickly)
    monkeypatch.setattr("ecg_hough.training.corrected_pages.is_held_out", lambda entry: entry.stem == PHOTO)
    store = Store(f"sqlite:///{tmp_path / 'review.db'}")
    engine = Engine(Library(review_folder(tmp_path)), store)
    numbers = {entry.stem: number for number, entry in engine.entries.items()}
    engine.correct(numbers[CLEAN], 0, "anna", Unreadable(1, ends))
    store.decide(numbers[PHOTO], 0, "anna", "accepted")
    store.decide(numbers[NO_PAGE], 0, "anna", "accepted")
    done = []
    pages, without = pages_of(engine, tmp_path / "pages", lambda k, n: done.append((k, n)))
    assert [(one.stem, one.held_out, one.is_corrected) for one in pages] == [
        (CLEAN, False, True), (PHOTO, True, False),
    ]  # fmt: skip
    assert "ECG" in without[NO_PAGE]
    assert done[-1] == (3, 3)
    assert [path.name for path in (tmp_path / "pages").iterdir()] == [file_of(pages[0], Path()).name]
    assert len(KnownPage.load(file_of(pages[0], tmp_path / "pages")).rows) == 4
    assert np.isnan(pages[0].signals).sum() > np.isnan(sample().saved.signals).sum()  # type: ignore[union-attr]
    (again, _), _ = pages_of(engine, tmp_path / "pages")
    assert again.key == pages[0].key
    store.close()
    with pytest.raises(PageError):
        engine.now(numbers[NO_PAGE])


def test_pages_of_one_recording_are_learnt_or_held_out_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecg_hough.review.engine.reading_of", of_file)
    store = Store(f"sqlite:///{tmp_path / 'review.db'}")
    engine = Engine(Library(folder_of_two(tmp_path)), store)
    (number,) = engine.entries
    engine.correct(number, 0, "anna", Zero("1.0", 0.5), 2)
    (chest,), _ = pages_of(engine, tmp_path / "pages")
    assert chest.number == 2, "nobody looked at the first"
    engine.store.decide(number, 1, "anna", "accepted")
    (limb, chest), _ = pages_of(engine, tmp_path / "pages")
    assert (limb.number, limb.is_corrected, chest.number, chest.is_corrected) == (1, False, 2, True)
    assert limb.held_out == chest.held_out
    assert limb.key != chest.key
    assert [np.isfinite(one.signals).any(axis=1).sum() for one in (limb, chest)] == [6, 6]
    store.close()
