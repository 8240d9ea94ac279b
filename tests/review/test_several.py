"""Records of several pages: every page is corrected by itself, and the record is merged again."""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason='needs pip install "ecg-hough[serve]" and httpx')
pytest.importorskip("jinja2", reason='needs pip install "ecg-hough[serve]" and httpx')
pytest.importorskip("sqlalchemy", reason='needs pip install "ecg-hough[serve]" and httpx')
pytest.importorskip("httpx", reason='needs pip install "ecg-hough[serve]" and httpx')
from fastapi.testclient import TestClient

from ecg_hough.errors import PageError
from ecg_hough.output.saved import read_record
from ecg_hough.paper import LEADS
from ecg_hough.review.app import review_app
from ecg_hough.review.corrections import (
    Gain,
    HeaderValues,
    Names,
    Redo,
    Redraw,
    Reread,
    Speed,
    Undo,
    Unreadable,
    Zero,
)
from ecg_hough.review.engine import Engine
from ecg_hough.review.export import export_reviewed, reviewed_record
from ecg_hough.review.reading import Reading
from ecg_hough.review.store import Store
from ecg_hough.review.words import sentence
from made_review import CHEST_WARNING, TWO, WARNING, folder_of_two, opened_engine, page_of_two

TOKEN = "the-token-of-these-tests"
LIMB, CHEST = LEADS[:6], LEADS[6:]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_two(tmp_path_factory.mktemp("review"))


@pytest.fixture
def engine(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    yield from opened_engine(out, tmp_path, monkeypatch)


def the_record(engine: Engine) -> int:
    (number,) = engine.entries
    return number


def ends(engine: Engine, page: int, row: int = 1) -> tuple[tuple[float, float], tuple[float, float]]:
    """Two places of a row's trace, 40 and 60 mm from the start, on that page's picture."""
    state = engine.now(the_record(engine))[0].pages[page]
    trace = next(one for one in state.rows if one.row_index == row)
    at = [np.abs(trace.x_mm - state.base.columns.start_mm - mm).argmin() for mm in (40, 60)]
    (a, b), (c, d) = state.found.to_px(np.column_stack([trace.y_mm[at], trace.x_mm[at]])).tolist()
    return (a, b), (c, d)


def statuses(engine: Engine) -> dict[str, str]:
    return {one.lead: one.status for one in engine.now(the_record(engine))[0].record.lead_status}


def test_without_corrections_it_is_the_record_as_written(engine: Engine, out: Path) -> None:
    record, saved = engine.now(the_record(engine))[0].record, read_record(out / f"{TWO}.json")
    assert record.signals == pytest.approx(saved.signals, abs=0.001, nan_ok=True)
    assert record.warnings == saved.warnings == (WARNING, f"page 2: {CHEST_WARNING}")
    assert (record.pages, record.layout, record.corrected_by) == ((1, 2), saved.layout, ())
    assert not engine.open(the_record(engine)).differs


def test_a_correction_concerns_one_page(engine: Engine, out: Path) -> None:
    number, saved = the_record(engine), read_record(out / f"{TWO}.json")
    engine.correct(number, 0, "anna", Zero("1.0", 1.0), 2)
    entry = engine.correct(number, 1, "ben", Unreadable(1, ends(engine, 1)), 1)
    assert sentence(entry) == "page 1: trace of II marked unreadable"
    record = engine.now(number)[0].record
    moved = {
        lead for k, lead in enumerate(LEADS) if np.nanmax(np.abs(record.signals - saved.signals)[k]) > 0.05
    }
    assert moved == {"V2"}, "a zero line of the second page"
    gone = np.isnan(record.signals).sum(axis=1) - np.isnan(saved.signals).sum(axis=1)
    assert gone[LEADS.index("II")] == pytest.approx(20 / 25 * 500, abs=8)
    assert gone.sum() == gone[LEADS.index("II")]
    assert {lead for lead, status in statuses(engine).items() if status == "corrected"} == {"II", "V2"}
    assert record.corrected_by == ("anna", "ben")
    below = page_of_two(1).picture.image.shape[0]
    tops = {trace.lead: np.nanmin(trace.points[:, 0]) for trace in record.traces}
    assert all((tops[lead] > below) == (lead in CHEST) for lead in LEADS)


def test_a_stretch_drawn_again(engine: Engine) -> None:
    number = the_record(engine)
    entry = engine.correct(number, 0, "anna", Redraw(1, ends(engine, 2), snap=False), 2)
    assert entry.before["lead"] == "V2"
    assert sentence(entry) == "page 2: trace of V2 drawn freehand"
    assert statuses(engine)["V2"] == "corrected"


def test_names_and_scale_of_a_page(engine: Engine, out: Path) -> None:
    number, saved = the_record(engine), read_record(out / f"{TWO}.json")
    engine.correct(number, 0, "anna", Names({"0.0": "V2", "1.0": "V1"}), 2)
    engine.correct(number, 1, "anna", Gain(5.0), 2)
    record = engine.now(number)[0].record
    one, two = LEADS.index("V1"), LEADS.index("V2")
    assert np.nanstd(record.signals[one]) == pytest.approx(2 * np.nanstd(saved.signals[two]), rel=0.02)
    assert np.nanstd(record.signals[0]) == pytest.approx(np.nanstd(saved.signals[0]), rel=0.001)
    assert (record.gain_mm_mv, record.chest_gain_mm_mv) == (10, 5)


def test_what_pages_of_one_recording_never_show_is_said(engine: Engine) -> None:
    number = the_record(engine)
    engine.correct(number, 0, "anna", Names({"0.0": "V1"}), 1)
    engine.correct(number, 1, "anna", Speed(50.0), 1)
    lead, speed = engine.now(number)[0].record.warnings[:2]
    assert lead == "layout: more than one page shows V1; that of the last one is taken"
    assert speed.endswith("here 50 mm/s on page 1, 25 mm/s on page 2")
    engine.correct(number, 2, "anna", Speed(50.0), 2)
    engine.correct(number, 3, "anna", Names({"0.0": "I"}), 1)
    after = engine.now(number)[0].record.warnings
    assert not {lead, speed} & set(after)
    assert not any(one.startswith(("layout: more than one page", "scale: the pages")) for one in after)


def test_one_log_with_undo_and_redo(engine: Engine) -> None:
    number = the_record(engine)
    engine.correct(number, 0, "anna", Gain(5.0), 1)
    engine.correct(number, 1, "anna", Gain(20.0), 2)
    undone = engine.correct(number, 2, "anna", Undo(), 1)
    assert (undone.number, sentence(undone)) == (2, "page 2: undone"), "the last one, wherever it was made"
    pages = engine.now(number)[0].pages
    assert [pages[k].record.gain_mm_mv for k in (1, 2)] == [5, 10]
    engine.correct(number, 3, "anna", Undo(), 2)
    again = engine.correct(number, 4, "anna", Redo(), 2)
    assert again.number == 1
    assert [one.correction.kind for one in engine.store.log(number)] == [
        "gain",
        "gain",
        "undo",
        "undo",
        "redo",
    ]


def test_the_header_is_the_record_s(engine: Engine) -> None:
    number = the_record(engine)
    entry = engine.correct(number, 0, "anna", HeaderValues({"name": "Doe, Jane"}), 2)
    header = engine.now(number)[0].record.header
    assert (entry.number, sentence(entry)) == (None, "header: name")
    assert header is not None
    assert header.patient is not None
    assert header.patient.name == "Doe, Jane"


def test_what_does_not_fit_is_not_written(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    number = the_record(engine)
    for page in (None, 3):
        with pytest.raises(ValueError, match=f"number must be one of 1, 2; got {page}"):
            engine.correct(number, 0, "anna", Gain(5.0), page)
    found = Reading.found

    def refused(self: Reading, part: Reread) -> object:
        if part != Reread():
            raise PageError("layout", "no leads are seen")
        return found(self, part)

    monkeypatch.setattr(Reading, "found", refused)
    with pytest.raises(PageError, match="layout: page 2: no leads are seen"):
        engine.correct(number, 0, "anna", Reread((0, 0, 300, 300)), 2)
    assert engine.store.log(number) == ()


def test_read_again_keeps_the_other_page(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    number, asked = the_record(engine), []
    found = Reading.found

    def counted(self: Reading, part: Reread) -> object:
        asked.append((self.picture.number, part))
        return found(self, Reread())

    engine.correct(number, 0, "anna", Zero("1.0", 1.0), 1)
    engine.correct(number, 1, "anna", Zero("1.0", 1.0), 2)
    monkeypatch.setattr(Reading, "found", counted)
    engine.correct(number, 2, "anna", Reread((0, 0, 2000, 3000)), 2)
    assert {page for page, _ in asked} == {2}
    pages = engine.now(number)[0].pages
    assert [pages[k].wishes.zeros_mm for k in (1, 2)] == [{(1, 0): 1.0}, {}]


def test_a_log_of_one_page_is_written_as_before(tmp_path: Path) -> None:
    """What an older version wrote is read, and it reads what is written for a record of one page."""
    store = Store.beside(tmp_path)
    page = store.page_id("p", "0")
    store.append(page, 0, "anna", Gain(5.0))
    store.append(page, 1, "anna", Gain(20.0), number=2)
    one, two = store.log(page)
    store.close()
    assert (one.number, two.number, two.correction) == (None, 2, Gain(20.0))
    with sqlite3.connect(tmp_path / "review.db") as connection:
        what = [
            json.loads(row[0]) for row in connection.execute("SELECT what FROM corrections ORDER BY version")
        ]
    assert what == [{"mm_mv": 5.0, "group": "all"}, {"mm_mv": 20.0, "group": "all", "number": 2}]


def test_export_merges_the_corrected_pages(engine: Engine, out: Path, tmp_path: Path) -> None:
    number = the_record(engine)
    saved = read_record(out / f"{TWO}.json")
    assert reviewed_record(engine, number).warnings == saved.warnings
    engine.correct(number, 0, "anna", Zero("0.0", 1.0), 2)
    engine.store.decide(number, 1, "anna", "accepted")
    (done,) = export_reviewed(engine, tmp_path / "to", ["overlay"])
    assert done.path is not None
    entry = json.loads(done.path.read_bytes())
    assert (entry["pages"], entry["corrected_by"], entry["page_status"]) == ([1, 2], ["anna"], "ok")
    assert "corrected by anna: page 2: zero line of V1 moved by +1.00 mm down" in entry["notes"]
    again = read_record(done.path)
    off = np.nanmedian(again.signals - saved.signals, axis=1)
    assert off == pytest.approx([0.1 if lead == "V1" else 0.0 for lead in LEADS], abs=0.002)
    assert (tmp_path / "to" / f"{TWO}.overlay.png").is_file()


@pytest.fixture
def session(engine: Engine) -> Iterator[TestClient]:
    """A browser with a session, whose pages carry its CSRF token."""
    app = review_app(engine, user="anna", token=TOKEN)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as made:
        page = made.get(f"/?token={TOKEN}")
        made.headers["X-CSRF-Token"] = page.text.partition('name="csrf" content="')[2].partition('"')[0]
        yield made


def test_pages_by_http(session: TestClient, engine: Engine) -> None:
    path = f"/api/pages/{the_record(engine)}"
    text = session.get(f"/pages/{the_record(engine)}").text
    assert 'data-numbers="1,2"' in text
    assert "Page 2" in text
    first, second = session.get(path).json(), session.get(path, params={"number": 2}).json()
    assert (first["number"], second["number"]) == (1, 2)
    assert [one["lead"] for one in first["panels"]] == list(LIMB)
    assert [one["lead"] for one in second["panels"]] == list(CHEST)
    assert [one["lead"] for one in first["leads"] if one["found"]] == list(LIMB)
    said = [(one["text"], one["number"], one["leads"]) for one in first["warnings"]]
    assert said[1] == (f"page 2: {CHEST_WARNING}", 2, ["V2"])
    assert said[0][1] == 1
    assert second["warnings"] == first["warnings"], "of the whole record"
    pictures = [
        session.get(f"{path}/image", params={"side": 300, "number": number}).content for number in (1, 2)
    ]
    assert pictures[0] != pictures[1]
    assert session.get(path, params={"number": 3}).status_code == 404

    def send(version: int, kind: str, page: int | None, **what: object) -> dict:
        body = {"version": version, "kind": kind, "what": what} | ({} if page is None else {"number": page})
        return dict(session.post(f"{path}/corrections", json=body).json())

    state = send(0, "gain", 2, mm_mv=5, group="all")
    assert (state["number"], state["gain_mm_mv"], state["version"]) == (2, 5, 1)
    assert state["history"][0]["text"] == "page 2: gain of all leads: 10 to 5 mm/mV"
    assert session.get(path).json()["gain_mm_mv"] == 10
    state = send(1, "undo", 1)
    assert (state["number"], state["gain_mm_mv"]) == (2, 10), "the page that changed is shown"
    assert send(2, "header", 2, values={"HR": 61.0})["number"] == 2
    assert session.get(path).json()["header"]["HR"] == 61
    assert "number must be one of 1, 2" in send(3, "gain", None, mm_mv=5, group="all")["detail"]
    assert send(3, "gain", 7, mm_mv=5, group="all")["detail"] == "no such page"
    answer = session.get(f"{path}/export", params={"formats": "csv"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert json.loads(archive.read(f"{TWO}.json"))["pages"] == [1, 2]


def test_a_page_that_is_no_longer_read(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version may refuse one page: the record says which, and can still be decided."""
    opened = engine.open(the_record(engine))
    broken = replace(opened.readings[2], picture=opened.readings[2].picture, _kept={})
    monkeypatch.setattr(broken, "found", lambda part: (_ for _ in ()).throw(PageError("layout", "no leads")))
    opened.readings[2] = broken
    with pytest.raises(PageError, match="layout: page 2: no leads"):
        engine.now(the_record(engine))
