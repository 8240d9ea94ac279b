"""A folder of records to review, made of the sample pages; each page is read once a session."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_hough.document import merged
from ecg_hough.errors import PageError
from ecg_hough.image.reading import read_page
from ecg_hough.layout.find_page import find_page
from ecg_hough.layout.sheet import Sheet
from ecg_hough.output.ecg import Ecg
from ecg_hough.output.export import write_page
from ecg_hough.output.files import sum_of
from ecg_hough.output.saved import read_record
from ecg_hough.review.corrected import Corrected, corrected
from ecg_hough.review.corrections import (
    Correction,
    Edge,
    Entry,
    Gain,
    HeaderValues,
    LayoutGiven,
    Names,
    Nudge,
    Pitch,
    Redo,
    Redraw,
    Reread,
    Restore,
    Speed,
    Undo,
    Unreadable,
    Zero,
)
from ecg_hough.review.places import How
from ecg_hough.review.reading import Reading

if TYPE_CHECKING:
    from ecg_hough.review.engine import Engine
from places import ROOT
from vector_pdf import VectorPage, signals_of, write_pdf

SAMPLES = ROOT / "samples"
CLEAN, PHOTO = "clean_3x4", "photo_3x4"
NO_PAGE = "disc"
"""Name of a page that has no record: it shows no ECG."""
DISC_PX = (400, 600)
WARNING = "signals: the limb leads break Einthoven's equation by 0.30 mV"
TWO, CHEST_WARNING = "two", "readout: V2 is cut"
"""Name of a record of two pages, limb leads and chest leads, and what is said of its second page."""

ENDS = ((10.0, 20.0), (11.0, 90.0))
ONE_OF_EACH = (
    Names({"0.1": "V1", "1.0": ""}),
    LayoutGiven("3x4+1", None),
    Edge(1, (100.0, 200.5)),
    Speed(50.0),
    Gain(5.0, "chest"),
    Pitch(6.0, 5.9),
    Zero("0.1", -0.5),
    Redraw(2, (*ENDS, (12.0, 95.0))),
    Nudge(2, ENDS, 0.1, -0.2),
    Unreadable(0, ENDS),
    Restore(0, ENDS),
    Reread((0, 0, 100, 200), 1),
    HeaderValues({"name": "Doe, J", "HR": 61.0, "device": None}),
    Undo(),
    Redo(),
)
"""A correction of every kind."""


@cache
def sample(name: str = CLEAN) -> Reading:
    """A sample page as read, with its record; the one that is read stands for the other, too."""
    reading = (
        Reading(read_page(SAMPLES / f"{CLEAN}.jpg"))
        if name == CLEAN
        else replace(sample(), own_warnings=None)
    )
    record = corrected(reading).record
    status = tuple(replace(one, probability=0.5 if name == CLEAN else 0.9) for one in record.lead_status)
    record = replace(record, lead_status=status, warnings=(WARNING,) if name == CLEAN else ())
    return replace(reading, saved=record)


def log_of(*corrections: Correction, who: str = "anna", **after: object) -> tuple[Entry, ...]:
    """A log with these corrections."""
    return tuple(
        Entry(k, who, "2026-01-01T10:00:00+00:00", one, {}, dict(after))
        for k, one in enumerate(corrections, start=1)
    )


def with_corrections(*corrections: Correction, name: str = CLEAN) -> Corrected:
    return corrected(sample(name), log_of(*corrections))


def of_file(path: Path, number: int, how: How, saved: Ecg | None) -> Reading:
    """In place of `engine.reading_of`: a sample that was read before, with the record of the folder."""
    if path.stem == TWO:
        return replace(page_of_two(number), how=how, saved=saved, own_warnings=None)
    if path.stem not in (CLEAN, PHOTO):
        return Reading(read_page(path, number), how, saved)
    kept = sample(path.stem)
    kept.found(Reread())
    return replace(kept, saved=saved)


def pdf_of_two(folder: Path) -> Path:
    """A PDF whose first page shows the limb leads, and whose second the chest leads of the same recording."""
    limb = VectorPage(signals_of(4), layout="6x1-limb", rhythm=())
    return write_pdf(folder / f"{TWO}.pdf", [limb, replace(limb, layout="6x1-precordial")])


@cache
def page_of_two(number: int) -> Reading:
    """A page of `pdf_of_two`, read once."""
    with tempfile.TemporaryDirectory() as folder:
        return Reading(read_page(pdf_of_two(Path(folder)), number))


def folder_of_two(folder: Path) -> Path:
    """An output folder with one record, of two pages."""
    out, path = folder / "out", pdf_of_two(folder)
    limb, chest = (
        replace(corrected(page_of_two(number)).record, warnings=(warning,))
        for number, warning in ((1, WARNING), (2, CHEST_WARNING))
    )
    record = merged(limb, chest, page_of_two(1).picture.image.shape[0])
    request = {"sha256": sum_of(path), "options": {"fs": record.fs}}
    write_page(record, out, TWO, extra={"request": request})
    pages = [{"path": str(path), "stem": TWO, "status": "done", "pages": [1, 2]}]
    (out / "report.json").write_text(json.dumps({"program": "ecg-hough", "inputs": [], "pages": pages}))
    return out


def find_page_quickly(picture: NDArray[np.uint8]) -> Sheet:
    """In place of `find_page`, which looks at a page without an ECG in every turn: it is refused at once."""
    if min(picture.shape[:2]) == DISC_PX[0]:
        raise PageError("segmentation", "a page must show leads of an ECG")
    return find_page(picture)


def review_folder(folder: Path, names: tuple[str, ...] = (CLEAN, PHOTO)) -> Path:
    """An output folder with records of samples, and a page without a record."""
    out = folder / "out"
    pages = []
    for name in names:
        path = SAMPLES / f"{name}.jpg"
        record = sample(name).saved
        assert record is not None
        request = {"sha256": sum_of(path), "options": {"fs": record.fs}}
        write_page(record, out, name, formats=["npz"], extra={"request": request})
        pages.append({"path": str(path), "stem": name, "status": "done", "pages": [1]})
    disc = folder / f"{NO_PAGE}.png"
    image = np.full((*DISC_PX, 3), 255, np.uint8)
    cv2.circle(image, (300, 200), 120, (120, 90, 60), -1)
    cv2.imwrite(str(disc), image)
    failed = {"path": str(disc), "stem": NO_PAGE, "status": "failed", "stage": "layout"}
    pages.append(failed | {"message": "no leads are seen", "pages": [1]})
    report = {"program": "ecg-hough", "options": {"fs": 500}, "inputs": [], "pages": pages}
    (out / "report.json").write_text(json.dumps(report))
    assert read_record(out / f"{names[0]}.json").source
    return out


def opened_engine(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The engine of a folder of records, with a log of its own, whose pages are read once a session."""
    from ecg_hough.review.engine import Engine
    from ecg_hough.review.library import Library
    from ecg_hough.review.store import Store

    monkeypatch.setattr("ecg_hough.review.engine.reading_of", of_file)
    store = Store(f"sqlite:///{tmp_path / 'review.db'}")
    yield Engine(Library(out), store)
    store.close()
