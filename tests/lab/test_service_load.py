"""The laboratory's measurements of the service: what they count, and small runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from ecg_hough.service.store import NewJob, Part, Store
from ecg_lab.hostile_uploads import KINDS, NAMES, run_hostile
from ecg_lab.hostile_uploads import _outside as outside
from ecg_lab.service_load import _jobs_of as jobs_of
from ecg_lab.service_load import run_load
from ecg_lab.service_process import small_pages
from places import SAMPLES


def test_files_outside_are_seen(tmp_path: Path) -> None:
    store = Store(tmp_path / "service")
    upload = store.new_upload()
    upload.write_bytes(b"page")
    job, _ = store.accept(NewJob("ada", upload, "png", 1, "sum"), queue=1, queue_of_key=1)
    store.claim()
    place = store.record_place(f"{job.id}-1")
    place.parent.mkdir(parents=True)
    place.with_suffix(".json").touch()
    (tmp_path / "server.log").touch()
    assert outside(tmp_path) == []
    wrong = [
        tmp_path / "evil",
        store.records / "evil.dat",
        place.parent / "evil.jpg",
        store.uploads / "x.png",
    ]
    for path in wrong:
        path.touch()
    assert {Path(name).name for name in outside(tmp_path)} == {path.name for path in wrong}


def test_jobs_that_are_there_twice_are_seen(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for digest in ("one", "two", "two"):
        upload = store.new_upload()
        upload.write_bytes(b"page")
        job, _ = store.accept(NewJob("ada", upload, "png", 1, digest), queue=9, queue_of_key=9)
        store.claim()
        store.finish(job.id, "done", [Part((1,), f"{job.id}-1")])
    assert jobs_of(tmp_path) == (3, 1)


def test_small_pages(tmp_path: Path) -> None:
    pages = small_pages(SAMPLES)
    assert len(pages) == 6
    assert max(map(len, pages.values())) < 150_000
    with pytest.raises(ValueError, match="folder with"):
        small_pages(tmp_path)


def test_every_kind_of_request_is_described() -> None:
    assert len({kind.__name__ for kind in KINDS}) == len(KINDS) == 10
    assert all(kind.__doc__ for kind in KINDS)
    assert sum("evil" in name for name in NAMES) >= 5


@pytest.mark.slow
def test_a_load_with_kills(tmp_path: Path) -> None:
    found = run_load(tmp_path, SAMPLES, n=12, clients=3, n_kills=2, pause_s=0.1)
    assert (found.answered, found.lost, found.jobs, found.twice, found.left) == (12, 0, 12, 0, 0)
    assert found.kills_of_server + found.kills_of_workers == 2
    assert json.dumps(found.to_dict())


@pytest.mark.slow
def test_a_few_hostile_requests(tmp_path: Path) -> None:
    found = run_hostile(tmp_path, SAMPLES, n=30, seed=1)
    assert found.requests == 30
    assert (found.errors, found.outside, found.of_others, found.restarts) == (0, (), 0, 0)
    assert found.is_up
