"""The routes, with the package's own reader and one small page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from ecg_hough.batch.reader import SHIPPED_READER
from ecg_hough.output.export import FORMATS
from ecg_hough.service.app import make_app
from ecg_hough.service.bounds import Bounds
from ecg_hough.service.engine import Engine
from ecg_hough.service.keys import Doorkeeper, add_key
from ecg_hough.service.metrics import Metrics
from ecg_hough.service.reading import ReadWork
from ecg_hough.service.store import Store
from service_jobs import pdf_of

BOUNDS = Bounds(upload_mb=1.0, megapixels=2.0, pages=3, queue=3, queue_of_key=2, wait_seconds=60.0)


class House:
    """A service with two keys."""

    def __init__(self, folder: Path, *, workers: int = 1) -> None:
        keys = folder / "keys.json"
        self.ada, self.bob = ({"X-API-Key": add_key(keys, name)} for name in ("ada", "bob"))
        self.store = Store(folder / "store")
        metrics = Metrics(lambda: dict(self.store.counts()))
        self.engine = Engine(self.store, ReadWork(SHIPPED_READER), workers=workers, bounds=BOUNDS)
        app = make_app(self.store, self.engine, metrics=metrics, bounds=BOUNDS, doorkeeper=Doorkeeper(keys))
        self.client = TestClient(app, base_url="http://localhost", headers=self.ada)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"))
    with made.client:
        yield made


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[House]:
    """A service that takes jobs and does none."""
    made = House(tmp_path, workers=0)
    with made.client:
        yield made


@pytest.fixture(scope="module")
def record(house: House, small_page: bytes) -> str:
    """The path of the record of the small page, sent with a name that would be another folder."""
    answer = house.client.post(
        "/v1/pages",
        files={"page": ("../../../evil.jpg", small_page, "image/svg+xml")},
        data={"overlay": "true", "fs": "250"},
        headers={"Accept": "text/csv", "Idempotency-Key": "the one"},
    )
    assert answer.status_code == 200, answer.text
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert 1900 < len(rows) < 1950  # it shows 7.7 s
    assert np.ptp([float(row["II"]) for row in rows if row["II"]]) > 0.5
    return answer.headers["Location"]


def test_a_page_is_read(house: House, record: str) -> None:
    found = house.client.get(record).json()
    assert (found["layout"], found["fs"]) == ("3x4+1", 250)
    assert sum(one["found"] for one in found["lead_status"]) == 12
    assert list(house.store.uploads.iterdir()) == list(house.store.arriving.iterdir()) == []
    assert not list(house.store.folder.rglob("*evil*"))


@pytest.mark.parametrize("name", ["wfdb", "dicom", "npz", "fhir", "overlay"])
def test_the_record_in_other_formats(house: House, record: str, name: str) -> None:
    one = FORMATS[name]
    for answer in (
        house.client.get(record, headers={"Accept": one.media_type}),
        house.client.get(record, params={"format": name}),
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == one.media_type
        assert answer.headers["content-disposition"].startswith("attachment; filename=")


def test_sent_again_it_is_not_read_again(house: House, record: str, small_page: bytes) -> None:
    again = {"Idempotency-Key": "the one"}
    answer = house.client.post("/v1/pages", content=small_page, headers=again)
    assert answer.status_code == 200
    assert answer.headers["Location"] == record
    other = house.client.post("/v1/pages", content=pdf_of("fine"), headers=again)
    assert other.status_code == 409
    assert len(house.client.get("/v1/jobs").json()["jobs"]) == 1


def test_another_key_sees_nothing(house: House, record: str) -> None:
    job = f"/v1/jobs/{record.rpartition('/')[2].partition('-')[0]}"
    assert house.client.get(job).json()["state"] == "done"
    for path in (job, record):
        for method in ("GET", "DELETE"):
            assert house.client.request(method, path, headers=house.bob).status_code == 404
    assert house.client.get("/v1/jobs", headers=house.bob).json() == {"jobs": []}
    assert house.client.get(job).status_code == house.client.get(record).status_code == 200


def test_a_page_without_an_ecg_and_a_file_of_several(house: House, record: str) -> None:
    answer = house.client.post("/v1/pages", content=pdf_of("x"))
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["stage"], problem["status"]) == ("page", 422)
    assert house.client.get(f"/v1/jobs/{problem['job']}").json()["state"] == "refused"
    answer = house.client.post("/v1/pages", content=pdf_of("x", 2))
    assert answer.status_code == 202
    assert answer.json()["pages"] == 2
    assert house.client.delete(answer.headers["Location"]).status_code == 204
    assert house.client.get(answer.headers["Location"]).status_code == 404


def test_health_and_metrics(house: House, record: str) -> None:
    assert house.client.get("/healthz").json() == {"status": "ok"}
    assert house.client.get("/readyz").status_code == 200
    house.client.get("/v1/jobs/../../etc/passwd"), house.client.get("/secret/" + "x" * 100)
    text = house.client.get("/metrics").text
    assert 'ecg_hough_requests_total{method="POST",route="/v1/pages",status="200"}' in text
    assert "secret" not in text
    assert 'ecg_hough_jobs{state="done"} 1.0' in text


def test_the_openapi_document(house: House) -> None:
    document = house.client.get("/openapi.json").json()
    post = document["paths"]["/v1/pages"]["post"]
    assert {"200", "202", "401", "413", "415", "422", "429", "503"} <= post["responses"].keys()
    assert {"multipart/form-data", "application/pdf"} <= post["requestBody"]["content"].keys()
    assert post["requestBody"]["content"]["multipart/form-data"]["example"]["page"]
    assert post["responses"]["202"]["content"]["application/json"]["example"]["state"] == "done"
    taken = document["paths"]["/v1/records/{record_id}"]["get"]["responses"]["200"]["content"]
    assert taken.keys() == {one.media_type for one in FORMATS.values()}
    assert house.client.get("/docs").status_code == 404
    pytest.importorskip("openapi_spec_validator", reason="checks the document").validate(document)


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "ecgh_ada_x"}, {"Authorization": "Basic YTpi"}])
def test_no_key(closed: House, small_page: bytes, headers: dict[str, str]) -> None:
    client = TestClient(closed.client.app, base_url="http://localhost", headers=headers)
    for answer in (client.post("/v1/pages", content=small_page), client.get("/v1/jobs")):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"
    assert list(closed.store.arriving.iterdir()) == []


@pytest.mark.parametrize(
    ("request_of", "status"),
    [
        ({"content": b""}, 422),
        ({"content": b"hello"}, 415),
        ({"content": bytes(1_100_000)}, 413),
        ({"files": {"page": ("a", bytes(1_100_000))}}, 413),
        ({"content": pdf_of("x", 4)}, 413),
        ({"files": {"other": ("a", b"x")}}, 422),
        ({"data": {"page": "not a file"}, "files": {"x": ("a", b"x")}}, 422),
        ({"files": [("page", ("a", b"x")), ("page", ("b", b"x"))]}, 400),
        ({"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        (
            {"content": b"--x\r\nnonsense", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            422,
        ),
        ({"content": pdf_of("x"), "params": {"fs": "3"}}, 422),
        ({"content": pdf_of("x"), "params": {"layout": "9x9"}}, 422),
        ({"content": pdf_of("x"), "params": {"pages": "9"}}, 422),
        ({"content": pdf_of("x"), "params": {"weights": "/etc"}}, 422),
        ({"content": pdf_of("x"), "params": {"format": "exe"}}, 422),
        ({"content": pdf_of("x"), "headers": {"Accept": "text/html"}}, 406),
        ({"content": pdf_of("x"), "headers": {"Idempotency-Key": "k" * 201}}, 422),
    ],
)
def test_refusals(closed: House, request_of: dict[str, object], status: int) -> None:
    answer = closed.client.post("/v1/pages", **request_of)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == status
    assert "Content-Security-Policy" in answer.headers
    assert list(closed.store.arriving.iterdir()) == list(closed.store.uploads.iterdir()) == []


def test_a_full_queue(closed: House, small_page: bytes) -> None:
    def send(who: dict[str, str]) -> int:
        headers = who | {"Prefer": "respond-async"}
        answer = closed.client.post("/v1/pages", content=small_page, headers=headers)
        assert (int(answer.headers["Retry-After"]) >= 1) is True
        return answer.status_code

    assert [send(who) for who in (closed.ada, closed.ada, closed.ada)] == [202, 202, 429]
    assert [send(who) for who in (closed.bob, closed.bob)] == [202, 503]
    waiting = closed.client.get("/v1/jobs").json()["jobs"]
    assert [job["state"] for job in waiting] == ["queued", "queued"]
    assert closed.client.delete(f"/v1/jobs/{waiting[0]['id']}").status_code == 204
    assert [send(who) for who in (closed.bob, closed.bob)] == [202, 429]


def test_a_full_disk(closed: House, small_page: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "arriving", closed.store.folder / "not" / "there")
    answer = closed.client.post("/v1/pages", content=small_page)
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert "there" not in answer.text


def test_not_ready(closed: House) -> None:
    assert closed.client.get("/readyz").status_code == 503
    assert closed.client.get("/healthz").status_code == 200
