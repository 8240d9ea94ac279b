"""The folder of records: what is in it, and where its pages are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ecg_hough.errors import PageError
from ecg_hough.review.library import Library
from made_review import CLEAN, NO_PAGE, PHOTO, SAMPLES, WARNING, review_folder


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return review_folder(tmp_path_factory.mktemp("review"))


def test_records_and_a_page_without_one(out: Path) -> None:
    library = Library(out)
    entries = {entry.stem: entry for entry in library.entries}
    assert entries.keys() == {CLEAN, PHOTO, NO_PAGE}
    clean = entries[CLEAN]
    assert (clean.probability, clean.layout, clean.topics) == (0.5, "3x4+1", ("signals",))
    assert clean.warnings == (WARNING,)
    assert entries[NO_PAGE].error == "layout: no leads are seen"
    assert library.record(entries[NO_PAGE]) is None
    record = library.record(clean)
    assert record is not None
    assert record.warnings == clean.warnings


def test_a_page_is_known_by_its_sum(out: Path, tmp_path: Path) -> None:
    moved = tmp_path / "out"
    shutil.copytree(out, moved)
    (moved / "report.json").write_text(json.dumps({"pages": []}))
    clean = next(one for one in Library(moved).entries if one.stem == CLEAN)
    with pytest.raises(
        PageError, match="is not where it was read; name the folder that holds it with --pages"
    ):
        Library(moved).file_of(clean)
    place = tmp_path / "scans" / "deep"
    place.mkdir(parents=True)
    (place / clean.source).write_bytes(b"another page of that name")
    with pytest.raises(PageError, match="has changed since it was read"):
        Library(moved, [tmp_path / "scans"]).file_of(clean)
    shutil.copy(SAMPLES / clean.source, place / clean.source)
    assert Library(moved, [tmp_path / "scans"]).file_of(clean) == place / clean.source


def test_a_folder_without_records(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no record"):
        Library(tmp_path)
    with pytest.raises(ValueError, match="a folder that `ecg-hough predict` wrote"):
        Library(tmp_path / "nowhere")
