"""Jobs that are done whatever their pages do to the process that reads them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ecg_hough.service import engine as engine_module
from ecg_hough.service.bounds import Bounds
from ecg_hough.service.engine import Engine
from ecg_hough.service.reading import ReadWork
from ecg_hough.service.store import Job, Store
from fast_reader import FastReader
from service_jobs import accepted

BOUNDS = Bounds(page_seconds=1.0, tries=2, starts=3)
Begin = Callable[..., Engine]


@pytest.fixture
def begin(store: Store) -> Iterator[Begin]:
    engines = []

    def started(read: FastReader = FastReader(), **options: object) -> Engine:  # noqa: B008
        engines.append(Engine(store, ReadWork(read), bounds=BOUNDS, **options))  # type: ignore[arg-type]
        engines[-1].start()
        return engines[-1]

    yield started
    for engine in engines:
        engine.stop(grace_s=0.1)


def done(store: Store, *ids: str, limit_s: float = 60.0) -> list[Job]:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        jobs = [store.get(job_id) for job_id in ids]
        if all(job is not None and not job.is_open for job in jobs):
            return jobs  # type: ignore[return-value]
        time.sleep(0.02)
    raise TimeoutError


@pytest.mark.slow
def test_what_becomes_of_jobs(store: Store, begin: Begin, tmp_path: Path) -> None:
    pages = [b"fine", b"refused", b"bug", b"hangs", b"dies-once", b"fine\nagain"]
    ids = [accepted(store, page) for page in pages]
    seen: list[tuple[str, str]] = []
    engine = begin(FastReader(dies_once=tmp_path), on_done=lambda job, _: seen.append((job.id, job.state)))
    jobs = done(store, *ids)
    states = ["done", "refused", "failed", "failed", "done", "done"]
    assert [job.state for job in jobs] == states
    assert [job.parts[0].stage for job in jobs] == [None, "layout", "internal", "time", None, None]
    assert [job.ends for job in jobs] == [0, 0, 0, 1, 1, 0]
    while len(seen) < len(ids):
        time.sleep(0.01)
    assert sorted(seen) == sorted(zip(ids, states, strict=True))
    assert engine.is_ready
    assert list(store.uploads.iterdir()) == []
    kept = {path.name for path in store.record_place(f"{ids[0]}-1").parent.iterdir()}
    assert kept == {f"{ids[0]}-1{suffix}" for suffix in (".dat", ".hea", ".json", ".npz")}
    assert "RuntimeError" not in (jobs[2].parts[0].message or "")


def test_a_new_job_is_waited_for_and_a_stop_leaves_one_as_it_was(store: Store, begin: Begin) -> None:
    engine = begin()
    job = store.get(accepted(store))
    assert job is not None
    future = engine.wait_for(job)
    engine.notify()
    future.result(timeout=60)
    assert store.get(job.id).state == "done"  # type: ignore[union-attr]
    assert engine.seconds_until_free() == 1
    job_id = accepted(store, b"hangs")
    engine.notify()
    while (job := store.get(job_id)) is not None and job.state != "running":
        time.sleep(0.01)
    engine.stop(grace_s=0.1)
    job = store.get(job_id)
    assert job is not None
    assert (job.state, job.starts, job.ends) == ("queued", 0, 0)
    assert not engine.is_taking


@pytest.mark.slow
def test_jobs_that_are_given_up(store: Store, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "PAUSE_S", 0.1)
    ends_the_server = accepted(store)
    for _ in range(BOUNDS.starts):
        store.claim()
        store.recover()
    cannot_be_written = accepted(store)
    (store.records / cannot_be_written).touch()
    begin()
    first, second = done(store, ends_the_server, cannot_be_written)
    assert (first.state, first.parts[0].stage) == ("failed", "died")
    assert (second.state, second.parts[0].stage, second.ends) == ("failed", "export", 1)
