"""The review by HTTP: sessions, what is refused, the queue, corrections, decisions, files."""

from __future__ import annotations

import io
import json
import zipfile
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

from ecg_hough.review.app import new_token, review_app
from ecg_hough.review.engine import Engine
from ecg_hough.review.library import Library
from ecg_hough.review.store import Store
from made_review import CLEAN, NO_PAGE, PHOTO, of_file, review_folder, sample

TOKEN = "the-token-of-these-tests"
HERE = "http://127.0.0.1"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return review_folder(tmp_path_factory.mktemp("review"))


@pytest.fixture
def client(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A browser without a session."""
    monkeypatch.setattr("ecg_hough.review.engine.reading_of", of_file)
    store = Store(f"sqlite:///{tmp_path / 'review.db'}")
    app = review_app(Engine(Library(out), store), user="anna", token=TOKEN)
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as made:
        yield made
    store.close()


@pytest.fixture
def session(client: TestClient) -> TestClient:
    """A browser with a session, whose pages carry its CSRF token."""
    page = client.get(f"/?token={TOKEN}")
    assert page.status_code == 200
    assert str(page.url) == f"{HERE}/", "the token leaves the address"
    client.headers["X-CSRF-Token"] = page.text.partition('name="csrf" content="')[2].partition('"')[0]
    return client


def number(client: TestClient, stem: str = CLEAN) -> int:
    return next(one["id"] for one in client.get("/api/queue").json()["pages"] if one["name"] == stem)


def send(client: TestClient, page: int, version: int, kind: str, **what: object) -> dict:
    answer = client.post(
        f"/api/pages/{page}/corrections", json={"version": version, "kind": kind, "what": what}
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_nothing_without_a_session(client: TestClient) -> None:
    for path in ("/", "/pages/1", "/?token=wrong", "/?token="):
        answer = client.get(path)
        assert answer.status_code == 401
        assert "No session" in answer.text
    for path in ("/api/queue", "/api/pages/1", "/api/pages/1/image", "/api/pages/1/export"):
        assert client.get(path).status_code == 401, path
    body = {"version": 0, "kind": "speed", "what": {"mm_s": 50}}
    assert client.post("/api/pages/1/corrections", json=body).status_code == 401
    assert new_token() != new_token()


def test_other_sites_are_refused(session: TestClient) -> None:
    body = {"version": 0, "decision": "accepted"}
    page = f"/api/pages/{number(session)}/decision"
    for headers in (
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-CSRF-Token": "guessed"},
        {"X-CSRF-Token": ""},
    ):
        assert session.post(page, json=body, headers=headers).status_code == 403, headers
    assert session.get("/", headers={"Host": "rebound.example"}).status_code == 421
    assert session.post(page, json=body).status_code == 200


def test_headers_and_pages_hold_no_inline_code(session: TestClient) -> None:
    for path in ("/", f"/pages/{number(session)}"):
        answer = session.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Frame-Options"] == "DENY"
        scripts = [one for one in answer.text.split("<script")[1:] if "src=" not in one.partition(">")[0]]
        assert not scripts
        assert " style=" not in answer.text
        assert " onclick=" not in answer.text
        assert "://" not in answer.text.replace("http://www.w3.org", ""), "nothing comes from elsewhere"


def test_static_files_only(session: TestClient) -> None:
    assert session.get("/static/page.js").status_code == 200
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/../../../../etc/passwd", "/docs"):
        assert session.get(path).status_code == 404, path


def test_the_queue(session: TestClient) -> None:
    found = session.get("/api/queue").json()
    assert [one["name"] for one in found["pages"]] == [NO_PAGE, CLEAN, PHOTO]
    assert found["progress"] == {"accepted": 0, "rejected": 0, "open": 3, "corrected": 0, "all": 3}
    signals = session.get("/api/queue", params={"warning": "signals"}).json()["pages"]
    assert [one["name"] for one in signals] == [CLEAN]
    assert session.get("/api/queue", params={"decision": "accepted"}).json()["pages"] == []


def test_a_page_and_its_picture(session: TestClient) -> None:
    page = number(session)
    state = session.get(f"/api/pages/{page}").json()
    assert state["error"] is None
    assert len(state["panels"]) == 13
    rows, cols = sample().picture.image.shape[:2]
    assert (state["height"], state["width"]) == (rows, cols)
    answer = session.get(f"/api/pages/{page}/image", params={"side": 500})
    image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert max(image.shape) == 500
    assert session.get("/api/pages/999").status_code == 404
    assert session.get("/api/pages/../queue").status_code == 200
    assert session.get(f"/api/pages/{page}/image", params={"side": 10**9}).status_code == 422


def test_corrections_in_order(session: TestClient) -> None:
    page = number(session)
    state = send(session, page, 0, "gain", mm_mv=5, group="limb")
    assert (state["version"], state["gain_mm_mv"], state["can_undo"]) == (1, 5, True)
    assert state["history"][0]["text"] == "gain of the limb leads: 10 to 5 mm/mV"
    late = {"version": 0, "kind": "speed", "what": {"mm_s": 50}}
    answer = session.post(f"/api/pages/{page}/corrections", json=late)
    assert answer.status_code == 409
    assert answer.json()["who"] == "anna"
    assert "corrected this page first" in answer.json()["detail"]
    assert send(session, page, 1, "undo")["gain_mm_mv"] == 10
    assert send(session, page, 2, "redo")["gain_mm_mv"] == 5
    session.post("/api/me", json={"name": "ben"})


@pytest.mark.parametrize(
    "body",
    [
        {"version": 0, "kind": "speed", "what": {"mm_s": "fast"}},
        {"version": 0, "kind": "sing", "what": {}},
        {"version": -1, "kind": "speed", "what": {"mm_s": 25}},
        {"version": 0, "kind": "unreadable", "what": {"row": 77, "ends": [[1, 2], [3, 40]]}},
        {"version": 0, "kind": "redraw", "what": {"row": 0, "stroke": [[1, 2]]}},
        {"version": 0},
        [],
    ],
)
def test_what_does_not_fit_is_said(session: TestClient, body: object) -> None:
    page = number(session)
    answer = session.post(f"/api/pages/{page}/corrections", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert session.get(f"/api/pages/{page}").json()["version"] == 0


def test_decisions(session: TestClient) -> None:
    page = number(session, PHOTO)
    path = f"/api/pages/{page}/decision"
    assert session.post(path, json={"version": 0, "decision": "rejected"}).status_code == 422
    body = {"version": 0, "decision": "rejected", "reason": "cut off"}
    assert session.post(path, json=body).json()["who"] == "anna"
    assert session.post(path, json={"version": 5, "decision": "accepted"}).status_code == 409
    found = session.get("/api/queue").json()
    assert found["progress"]["rejected"] == 1
    assert session.get(f"/api/pages/{page}/export").status_code == 422, "a rejected page is not written"


def test_who_is_here(session: TestClient) -> None:
    path = f"/api/pages/{number(session)}/presence"
    one, two = {"session": "a" * 16}, {"session": "b" * 16}
    assert session.post(path, json=one).json()["others"] == []
    assert session.post(path, json=two).json()["others"] == ["anna"]
    session.post(path, json=two | {"leaving": True})
    assert session.post(path, json=one).json()["others"] == []


def test_a_name_of_one_s_own(session: TestClient) -> None:
    assert session.post("/api/me", json={"name": ""}).status_code == 422
    assert session.post("/api/me", json={"name": "Dr. Müller: <b>"}).status_code == 204
    page = session.get("/").text
    assert "Dr. Müller: &lt;b&gt;" in page
    session.headers["X-CSRF-Token"] = page.partition('name="csrf" content="')[2].partition('"')[0]
    send(session, number(session), 0, "speed", mm_s=50)
    state = session.get(f"/api/pages/{number(session)}").json()
    assert state["history"][0]["who"] == "Dr. Müller: <b>"


def test_export_of_a_page(session: TestClient) -> None:
    page = number(session)
    send(session, page, 0, "zero", panel="0.3", down_mm=1.0)
    answer = session.get(f"/api/pages/{page}/export", params={"formats": "csv,npz"})
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{CLEAN}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = {Path(name).suffix for name in archive.namelist()}
        entry = json.loads(archive.read(f"{CLEAN}.json"))
    assert names == {".csv", ".npz", ".dat", ".hea", ".json"}
    assert entry["corrected_by"] == ["anna"]
    assert session.get(f"/api/pages/{page}/export", params={"formats": "../x"}).status_code == 422
    without = number(session, NO_PAGE)
    assert session.get(f"/api/pages/{without}/export").status_code == 422
