"""The review of what was sent to the service: who comes in, what they see, and when pages go."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason='needs pip install "ecg-hough[serve]" and httpx')
pytest.importorskip("jinja2", reason='needs pip install "ecg-hough[serve]" and httpx')
pytest.importorskip("sqlalchemy", reason='needs pip install "ecg-hough[serve]" and httpx')
pytest.importorskip("httpx", reason='needs pip install "ecg-hough[serve]" and httpx')
from fastapi.testclient import TestClient

from ecg_hough.service.app import make_app
from ecg_hough.service.engine import Engine, ReadTask
from ecg_hough.service.keys import Doorkeeper, add_key, remove_key
from ecg_hough.service.metrics import Metrics
from ecg_hough.service.people import people_of
from ecg_hough.service.reading import ReadWork
from ecg_hough.service.store import Store
from fast_reader import FastReader
from service_jobs import accepted

PAGE = cv2.imencode(".png", np.tile(np.arange(0, 250, dtype=np.uint8)[:, None, None], (1, 300, 3)))[
    1
].tobytes()


class Ward:
    """A service that reads nothing by itself, with the keys of two wards and of a proxy."""

    def __init__(self, folder: Path) -> None:
        self.keys = folder / "keys.json"
        self.ada, self.bob = add_key(self.keys, "ada"), add_key(self.keys, "bob")
        self.proxy = add_key(self.keys, "proxy", for_users=True)
        self.store = Store(folder / "store", keep_pages=True)
        self.app = self.of(self.keys)

    def of(self, keys: Path | None) -> object:
        doorkeeper = Doorkeeper(keys)
        engine = Engine(self.store, ReadWork(FastReader()), workers=0)
        metrics = Metrics(lambda: dict(self.store.counts()))
        people = people_of(self.store, doorkeeper)
        return make_app(self.store, engine, metrics=metrics, doorkeeper=doorkeeper, people=people)

    def browser(self, app: object = None, **headers: str) -> TestClient:
        return TestClient(app or self.app, base_url="http://localhost", headers=headers)  # type: ignore[arg-type]

    def read(self, owner: str) -> str:
        """A page that an owner sent, as it is once it was read; its record's id."""
        job_id = accepted(self.store, PAGE, owner)
        assert self.store.claim() is not None
        task = ReadTask(job_id, self.store.uploads / job_id, self.store.records / job_id,
                        self.store.temporary / "0", (("fs", 250),))  # fmt: skip
        parts = ReadWork(FastReader(), for_review=True)(task)
        assert self.store.finish(job_id, "done", parts)
        assert parts[0].record is not None
        return parts[0].record


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    monkeypatch.setattr(
        tempfile, "tempdir", None
    )  # `ReadWork` sets it in its process, which here is this one
    made = Ward(tmp_path)
    yield made
    made.store.close()


def csrf(browser: TestClient) -> str:
    return browser.get("/").text.partition('name="csrf" content="')[2].partition('"')[0]


def stems(browser: TestClient) -> list[str]:
    return [one["name"] for one in browser.get("/api/queue").json()["pages"]]


def test_nobody_comes_in_without_a_key(ward: Ward) -> None:
    record = ward.read("key:ada")
    browser = ward.browser()
    for path in ("/", "/pages/1"):
        answer = browser.get(path)
        assert (answer.status_code, "API key" in answer.text) == (401, True)
    for path in ("/api/queue", "/api/pages/1", "/api/pages/1/image", f"/v1/records/{record}"):
        assert browser.get(path).status_code == 401, path
    for key in ("", "wrong", "ecgh_ada_wrong", ward.proxy):
        assert browser.post("/login", data={"key": key}).status_code == 401
    assert browser.post("/login", data={"key": 5000 * "k"}).status_code == 413
    other_site = {"Origin": "http://elsewhere.example"}
    assert browser.post("/login", data={"key": ward.ada}, headers=other_site).status_code == 403


def test_a_key_sees_its_own_pages_and_decides_on_them(ward: Ward) -> None:
    mine, its = ward.read("key:ada"), ward.read("key:bob")
    browser = ward.browser()
    assert browser.post("/login", data={"key": ward.ada}).status_code == 200
    assert stems(browser) == [mine]
    (page,) = browser.get("/api/queue").json()["pages"]
    answer = browser.get(f"/api/pages/{page['id']}/image")
    assert answer.headers["content-type"] == "image/jpeg", answer.text
    body = {"version": 0, "decision": "accepted"}
    assert browser.post(f"/api/pages/{page['id']}/decision", json=body).status_code == 403, "no CSRF token"
    token = {"X-CSRF-Token": csrf(browser)}
    made = browser.post(f"/api/pages/{page['id']}/decision", json=body, headers=token).json()
    assert (made["decision"], made["who"]) == ("accepted", "ada")
    other = ward.browser()
    other.post("/login", data={"key": ward.bob})
    assert stems(other) == [its]
    for path in ("", "/image", "/export"):
        assert other.get(f"/api/pages/{page['id']}{path}").status_code == 404
    later = ward.read("key:ada")
    assert set(stems(browser)) == {mine, later}


def test_a_session_ends_with_its_key(ward: Ward) -> None:
    browser = ward.browser()
    browser.post("/login", data={"key": ward.ada})
    assert browser.get("/api/queue").status_code == 200
    remove_key(ward.keys, "ada")
    assert browser.get("/api/queue").status_code == 401
    assert browser.get("/").status_code == 401


def test_a_proxy_lets_its_users_in_each_to_their_own(ward: Ward) -> None:
    anna = {"X-API-Key": ward.proxy, "X-Forwarded-User": "anna", "X-Forwarded-Proto": "https"}
    browser = ward.browser(**anna)
    answer = browser.get("/", follow_redirects=False)
    assert answer.headers["set-cookie"].endswith("; Secure")
    browser = ward.browser(**{name: value for name, value in anna.items() if name != "X-Forwarded-Proto"})
    assert 'value="anna"' in browser.get("/").text
    browser.headers["X-Forwarded-User"] = "ben"
    assert browser.get("/api/queue").status_code == 401, "the session is anna's"
    assert 'value="ben"' in browser.get("/").text


def test_a_server_without_keys_is_for_this_machine(ward: Ward) -> None:
    record = ward.read("local")
    browser = ward.browser(ward.of(None))
    assert browser.get("/").status_code == 200
    assert stems(browser) == [record]
    assert browser.get("/", headers={"Host": "elsewhere.example"}).status_code == 421


def test_pages_go_with_their_records(ward: Ward) -> None:
    first, second, third = (ward.read("key:ada") for _ in range(3))
    assert len(list(ward.store.pages.iterdir())) == 3
    assert ward.store.delete_record(first, "key:ada")
    assert ward.store.delete(second.partition("-")[0], "key:ada")
    assert [path.name for path in ward.store.pages.iterdir()] == [third.partition("-")[0]]
    folder = ward.store.folder
    ward.store.close()
    kept = Store(folder, keep_pages=True)
    kept.recover()
    assert len(list(kept.pages.iterdir())) == 1
    assert kept.expire(-1.0) == 2
    assert not list(kept.pages.iterdir())
    kept.close()


def test_nothing_is_kept_where_nobody_reviews(ward: Ward) -> None:
    ward.read("key:ada")
    folder = ward.store.folder
    ward.store.close()
    plain = Store(folder)
    plain.recover()
    assert not list(plain.pages.iterdir())
    plain.close()
