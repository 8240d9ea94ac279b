"""Jobs that outlive the server."""

from __future__ import annotations

import sqlite3
import time

import pytest

from ecg_hough.service.store import FullError, OtherUploadError, Part, Store
from service_jobs import accepted, new_job


def files_of(store: Store) -> set[str]:
    return {p.relative_to(store.folder).as_posix() for p in store.folder.rglob("*") if "jobs" not in p.name}


def test_a_job_from_upload_to_record(store: Store) -> None:
    job_id = accepted(store, options={"fs": 250})
    assert (store.uploads / job_id).read_bytes() == b"page"
    job = store.claim()
    assert job is not None
    assert (job.id, job.state, job.starts, job.options) == (job_id, "running", 1, {"fs": 250})
    assert store.claim() is None
    place = store.record_place(f"{job_id}-1")
    place.parent.mkdir(parents=True)
    place.touch()
    assert store.finish(job_id, "done", [Part((1,), f"{job_id}-1"), Part((2,), stage="grid", message="no")])
    done = store.get(job_id, "ada")
    assert done is not None
    assert done.finished is not None
    assert [part.record for part in done.parts] == [f"{job_id}-1", None]
    assert store.record(f"{job_id}-1", "ada") == place
    assert not (store.uploads / job_id).exists()


def test_oldest_first(store: Store) -> None:
    ids = [accepted(store, bytes([k])) for k in range(3)]
    assert [store.claim().id for _ in ids] == ids  # type: ignore[union-attr]


def test_owners_take_turns(store: Store) -> None:
    many = [accepted(store, bytes([k])) for k in range(3)]
    few = [accepted(store, bytes([k]), owner="bob") for k in range(2)]
    turns = [store.claim().id for _ in range(5)]  # type: ignore[union-attr]
    assert turns == [many[0], few[0], many[1], few[1], many[2]]


def test_what_was_accepted_is_there_after_a_kill(store: Store) -> None:
    running, waiting = accepted(store), accepted(store)
    store.claim()
    store.new_upload().write_bytes(b"half an upl")
    (store.uploads / "no-job").write_bytes(b"accepted, but not noted")
    (store.records / running / f"{running}-1").mkdir(parents=True)
    (store.temporary / "0").mkdir()
    again = Store(store.folder)  # the first is not closed: its process is gone
    assert again.recover() == 2
    kept = {f"uploads/{running}", f"uploads/{waiting}"}
    assert files_of(again) == {"arriving", "uploads", "records", "pages", "tmp"} | kept
    assert [again.claim().id, again.claim().id] == [running, waiting]  # type: ignore[union-attr]
    assert again.get(running).starts == 2  # type: ignore[union-attr]


def test_put_back(store: Store) -> None:
    accepted(store)
    for ended in (True, False, True):
        job = store.claim()
        assert job is not None
        store.put_back(job, ended=ended)
    job = store.claim()
    assert job is not None
    assert (job.starts, job.ends) == (3, 2)


def test_sent_twice_is_one_job(store: Store) -> None:
    room = {"queue": 1, "queue_of_key": 1}
    first, is_new = store.accept(new_job(store, same_as="a"), **room)
    again, is_new_again = store.accept(new_job(store, same_as="a"), **room)
    assert (is_new, is_new_again) == (True, False)
    assert first.id == again.id
    with pytest.raises(OtherUploadError):
        store.accept(new_job(store, b"other", same_as="a"), **room)
    with pytest.raises(FullError):
        store.accept(new_job(store, same_as="b"), **room)
    assert store.accept(new_job(store, owner="bob", same_as="a"), queue=2, queue_of_key=1)[1]
    assert len(list(store.uploads.iterdir())) == 2


@pytest.mark.parametrize(("owner", "own"), [("ada", True), ("bob", False)])
def test_a_full_queue(store: Store, owner: str, own: bool) -> None:
    accepted(store), accepted(store)
    with pytest.raises(FullError) as caught:
        store.check_room(owner, queue=2, queue_of_key=2)
    assert caught.value.own is own
    store.check_room(owner, queue=3, queue_of_key=3)
    store.claim()
    store.finish(store.jobs_of("ada")[1].id, "refused", [Part((1,), stage="grid", message="no")])
    store.check_room(owner, queue=2, queue_of_key=2)


def test_others_see_nothing(store: Store) -> None:
    job_id = accepted(store)
    store.claim()
    store.finish(job_id, "done", [Part((1,), f"{job_id}-1")])
    assert store.get(job_id, "bob") is None
    assert store.record(f"{job_id}-1", "bob") is None
    assert store.jobs_of("bob") == []
    assert not store.delete(job_id, "bob")
    assert not store.delete_record(f"{job_id}-1", "bob")
    assert store.record(f"{job_id}-1", "ada") is not None


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "a" * 31, "A" * 32, "a" * 32 + "-0", "%00", "é"]
)
def test_names_that_are_none(store: Store, name: str) -> None:
    assert store.get(name) is None
    assert store.record(name, "ada") is None


def test_delete(store: Store) -> None:
    job_id = accepted(store)
    store.claim()
    assert store.delete(job_id, "ada")
    (store.records / job_id).mkdir()
    assert not store.finish(job_id, "done", [Part((1,), f"{job_id}-1")])
    assert files_of(store) == {"arriving", "uploads", "records", "pages", "tmp"}


def test_delete_one_record(store: Store) -> None:
    job_id = accepted(store)
    store.claim()
    store.finish(job_id, "done", [Part((k,), f"{job_id}-{k}") for k in (1, 2)])
    assert store.delete_record(f"{job_id}-1", "ada")
    assert not store.delete_record(f"{job_id}-1", "ada")
    assert [part.record for part in store.get(job_id).parts] == [f"{job_id}-2"]  # type: ignore[union-attr]


def test_old_jobs_go(store: Store) -> None:
    old, to_send, waiting = accepted(store), accepted(store, peer="PACS"), accepted(store)
    for job_id in (old, to_send):
        store.claim()
        store.finish(job_id, "done", [Part((1,), f"{job_id}-1")])
        (store.records / job_id).mkdir()
    assert store.expire(1.0) == 0
    assert store.expire(-1e-9) == 1
    assert [store.get(job_id) is None for job_id in (old, to_send, waiting)] == [True, False, False]
    assert [path.name for path in store.records.iterdir()] == [to_send]


def test_sending(store: Store) -> None:
    accepted(store)
    job_id = accepted(store, peer="PACS")
    store.claim(), store.claim()
    assert store.next_to_send() is None
    store.finish(job_id, "done", [Part((k,), f"{job_id}-{k}") for k in (1, 2)])
    job = store.next_to_send()
    assert job is not None
    job = store.note_sent(job, f"{job_id}-2")
    assert [part.sent for part in job.parts] == [False, True]
    store.send_later(job, 0.2)
    assert store.next_to_send() is None
    time.sleep(0.25)
    assert store.next_to_send() is not None
    store.close_sending(job)
    assert store.next_to_send() is None


def test_folders_and_files_are_the_owners_alone(store: Store) -> None:
    accepted(store)
    places = (store.arriving, store.uploads, store.records, *store.folder.glob("jobs.sqlite*"))
    assert len(places) >= 4
    assert [path for path in places if path.stat().st_mode & 0o077] == []


def test_a_store_of_another_version(store: Store) -> None:
    store.close()
    with sqlite3.connect(store.folder / "jobs.sqlite") as database:
        database.execute("pragma user_version = 99")
    with pytest.raises(ValueError, match="another version made it"):
        Store(store.folder)
