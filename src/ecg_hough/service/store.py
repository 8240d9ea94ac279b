"""Jobs that outlive the server: an SQLite file and the folders of uploads and records beside it.

In: uploads that are whole. Out: `Job`s. An upload is on the disk before its job is in the database, and the
job is in the database before anybody is told of it; so what was accepted is done, however often the server
is killed. Paths consist of the names that `new_id` makes, never of anything a client sent.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ecg_hough.output.files import STAGING_PREFIX

State = Literal["queued", "running", "done", "refused", "failed"]
"""Done: at least one page has a record. Refused: none is an ECG that can be read. Failed: not the page's
fault, or its process had to be ended."""
OPEN = ("queued", "running")
ID = re.compile(r"[0-9a-f]{32}")
RECORD_ID = re.compile(r"([0-9a-f]{32})-[1-9][0-9]{0,5}")
SCHEMA = 1
"""Of the database; it grows with any change of its tables."""
_TABLE = """
create table if not exists jobs (
    id text primary key, owner text not null, state text not null, created real not null, kind text not null,
    pages integer not null, options text not null, sha256 text not null, same_as text, begun real,
    finished real, starts integer not null default 0, ends integer not null default 0,
    parts text not null default '[]', peer text, identity text, sent real,
    sends integer not null default 0, send_at real not null default 0,
    unique (owner, same_as)
);
create index if not exists jobs_by_state on jobs (state, created);
create index if not exists jobs_by_owner on jobs (owner, begun);
"""


class FullError(Exception):
    """No further job is taken now; `own` if it is the client's own jobs that wait."""

    def __init__(self, own: bool, waiting: int) -> None:
        super().__init__(f"{waiting} jobs wait")
        self.own, self.waiting = own, waiting


class OtherUploadError(Exception):
    """The name of an earlier request came with another upload."""


@dataclass(frozen=True)
class Part:
    """What became of a page, or of several that are one recording.

    Attributes:
        pages: their numbers, 1 the first.
        record: id of the record; None where there is none, which `stage` and `message` explain.
        passed: the page is text or empty: there is nothing to read.
        sent: whether a peer has the record.
    """

    pages: tuple[int, ...]
    record: str | None = None
    stage: str | None = None
    message: str | None = None
    passed: bool = False
    sent: bool = False


@dataclass(frozen=True)
class Job:
    """An upload and what became of it; times in seconds since 1970.

    Attributes:
        owner: whose it is; kind: of file; options: how it is to be read.
        starts, ends: times that it was begun, and that it ended its process.
        peer: where its records are sent; identity: what they say of patient and study, as JSON of DICOM;
            sent: when all were; sends: tries so far.
    """

    id: str
    owner: str
    state: State
    created: float
    kind: str
    pages: int
    options: dict[str, Any]
    sha256: str
    finished: float | None = None
    starts: int = 0
    ends: int = 0
    parts: tuple[Part, ...] = ()
    peer: str | None = None
    identity: str | None = None
    sent: float | None = None
    sends: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it waits or is being read."""
        return self.state in OPEN


@dataclass(frozen=True)
class NewJob:
    """An upload that is whole, and what its client asks for.

    Attributes:
        upload: its file, below the store's folder `arriving`.
        same_as: the client's name for this request: sent again, the job of the first is meant.
        peer, identity: see `Job`.
    """

    owner: str
    upload: Path
    kind: str
    pages: int
    sha256: str
    options: dict[str, Any] = field(default_factory=dict)
    same_as: str | None = None
    peer: str | None = None
    identity: str | None = None


def new_id() -> str:
    """128 random bits, as 32 digits."""
    return secrets.token_hex(16)


class Store:
    """The jobs in a folder. One process at a time may have it open; its threads share it.

    Args:
        folder: made if missing.
        keep_pages: uploads whose records are kept stay as long as these, for people to look at.
    Raises:
        OSError, sqlite3.Error: it cannot be written.
        ValueError: another version of this program made it.
    """

    def __init__(self, folder: Path, *, keep_pages: bool = False) -> None:
        self.folder, self._keep_pages = folder, keep_pages
        for place in (self.arriving, self.uploads, self.records, self.pages, self.temporary):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        path = folder / "jobs.sqlite"
        path.touch(mode=0o600)  # its journals get the same mode
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self._database.execute("pragma journal_mode = wal")
        self._database.execute("pragma synchronous = full")
        (version,) = self._database.execute("pragma user_version").fetchone()
        if version not in (0, SCHEMA):
            raise ValueError(
                f"{folder} must be a store of version {SCHEMA}; got {version}: another version made it"
            )
        self._database.executescript(f"{_TABLE} pragma user_version = {SCHEMA};")

    @property
    def arriving(self) -> Path:
        """Of uploads that are not whole yet."""
        return self.folder / "arriving"

    @property
    def uploads(self) -> Path:
        """Of uploads that wait."""
        return self.folder / "uploads"

    @property
    def records(self) -> Path:
        """Of results."""
        return self.folder / "records"

    @property
    def pages(self) -> Path:
        """Of uploads that people look at."""
        return self.folder / "pages"

    @property
    def temporary(self) -> Path:
        """Of files that only last while a page is read; what a kill leaves is removed, see `recover`."""
        return self.folder / "tmp"

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def recover(self) -> int:
        """After a start: let jobs wait again that were being read, remove files of no job; jobs that wait."""
        with self._transaction() as database:
            database.execute("update jobs set state = 'queued' where state = 'running'")
            waiting = {row["id"] for row in database.execute("select id from jobs where state = 'queued'")}
            known = {row["id"] for row in database.execute("select id from jobs")}
        keeps = {self.uploads: waiting, self.records: known - waiting}
        keeps |= {self.pages: known - waiting} if self._keep_pages else {}
        for place in (self.arriving, self.uploads, self.records, self.pages, self.temporary):
            keep = keeps.get(place, set())
            for path in place.iterdir():
                if path.name not in keep:
                    _remove(path)
        for stage in self.records.glob(f"*/*/{STAGING_PREFIX}*"):
            _remove(stage)
        return len(waiting)

    def new_upload(self) -> Path:
        """Where an upload arrives."""
        return self.arriving / new_id()

    def accept(self, new: NewJob, *, queue: int, queue_of_key: int) -> tuple[Job, bool]:
        """Take an upload as a job, once; and whether it is new.

        Args:
            queue, queue_of_key: jobs that may be open, of everybody and of its owner.
        Raises:
            FullError: there are as many already.
            OtherUploadError: an earlier request of this name had another upload.
            OSError, sqlite3.Error: the disk is full, and the like.
        """
        job_id = new_id()
        place = self.uploads / job_id
        _flush(new.upload)
        os.replace(new.upload, place)
        _flush(self.uploads)
        try:
            with self._transaction() as database:
                before = self._same(database, new)
                if before is not None:
                    _remove(place)
                    return before, False
                _check_room(database, new.owner, queue, queue_of_key)
                database.execute(
                    "insert into jobs (state, id, owner, created, kind, pages, options, sha256, same_as, "
                    "peer, identity) values ('queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (job_id, new.owner, time.time(), new.kind, new.pages, json.dumps(new.options), new.sha256,
                     new.same_as, new.peer, new.identity),
                )  # fmt: skip
        except BaseException:
            _remove(place)
            raise
        job = self.get(job_id)
        assert job is not None
        return job, True

    def check_room(self, owner: str, *, queue: int, queue_of_key: int) -> None:
        """As `accept`, before an upload has arrived. Raises `FullError`."""
        with self._transaction() as database:
            _check_room(database, owner, queue, queue_of_key)

    def _same(self, database: sqlite3.Connection, new: NewJob) -> Job | None:
        if new.same_as is None:
            return None
        row = database.execute(
            "select * from jobs where owner = ? and same_as = ?", (new.owner, new.same_as)
        ).fetchone()
        if row is not None and row["sha256"] != new.sha256:
            raise OtherUploadError
        return None if row is None else _job_of(row)

    def claim(self) -> Job | None:
        """A job that waits, now being read; None where none does.

        Owners take turns, so that one who sends much does not hold up the others; each one's oldest is first.
        """
        with self._transaction() as database:
            row = database.execute(
                "update jobs set state = 'running', starts = starts + 1, begun = ? where id = "
                "(select id from jobs where state = 'queued' order by coalesce("
                "(select max(begun) from jobs as own where own.owner = jobs.owner), 0), created limit 1) "
                "returning *",
                (time.time(),),
            ).fetchone()
        return None if row is None else _job_of(row)

    def put_back(self, job: Job, *, ended: bool) -> None:
        """Let a job that was being read wait again; `ended` if it ended its process, otherwise it is as if it
        had not begun."""
        change = "ends = ends + 1" if ended else "starts = starts - 1"
        with self._transaction() as database:
            database.execute(f"update jobs set state = 'queued', {change} where id = ?", (job.id,))

    def finish(self, job_id: str, state: State, parts: Sequence[Part]) -> bool:
        """Note what became of a job, then remove its upload; whether the job is still wanted.

        The records must be on the disk. Those of a job that was deleted meanwhile are removed.
        """
        rows = json.dumps([asdict(part) for part in parts])
        with self._transaction() as database:
            n = database.execute(
                "update jobs set state = ?, parts = ?, finished = ? where id = ? and state = 'running'",
                (state, rows, time.time(), job_id),
            ).rowcount
        if n and self._keep_pages and state == "done":
            os.replace(self.uploads / job_id, self.pages / job_id)
        _remove(self.uploads / job_id)
        if not n:
            _remove(self.records / job_id)
        return n > 0

    def get(self, job_id: str, owner: str | None = None) -> Job | None:
        """A job by its id; None where there is none, or it is not this owner's."""
        if ID.fullmatch(job_id) is None:
            return None
        with self._transaction() as database:
            row = database.execute("select * from jobs where id = ?", (job_id,)).fetchone()
        return None if row is None or owner not in (None, row["owner"]) else _job_of(row)

    def jobs_of(self, owner: str, most: int = 100) -> list[Job]:
        """An owner's jobs, newest first."""
        with self._transaction() as database:
            rows = database.execute(
                "select * from jobs where owner = ? order by created desc limit ?", (owner, most)
            ).fetchall()
        return [_job_of(row) for row in rows]

    def record(self, record_id: str, owner: str) -> Path | None:
        """A record's files: their path without suffix; None where it is not there or not this owner's."""
        found = RECORD_ID.fullmatch(record_id)
        job = None if found is None else self.get(found[1], owner)
        if job is None or all(part.record != record_id for part in job.parts):
            return None
        return self.record_place(record_id)

    def record_place(self, record_id: str) -> Path:
        """Where a record's files are: their path without suffix."""
        return self.records / record_id.partition("-")[0] / record_id / record_id

    def delete(self, job_id: str, owner: str) -> bool:
        """Remove a job with its upload and records; whether it was there and this owner's."""
        if self.get(job_id, owner) is None:
            return False
        with self._transaction() as database:
            database.execute("delete from jobs where id = ? and owner = ?", (job_id, owner))
        # One that is being read is removed when it is done, see `finish`.
        for place in (self.uploads, self.records, self.pages):
            _remove(place / job_id)
        return True

    def delete_record(self, record_id: str, owner: str) -> bool:
        """Remove one record of a job; whether it was there and this owner's."""
        place = self.record(record_id, owner)
        if place is None:
            return False
        job = self.get(place.parent.parent.name, owner)
        assert job is not None
        left = [part for part in job.parts if part.record != record_id]
        self._set_parts(job.id, left)
        _remove(place.parent)
        if all(part.record is None for part in left):
            _remove(self.pages / job.id)
        return True

    def expire(self, hours: float) -> int:
        """Remove jobs that finished longer ago, unless their records wait to be sent; their number."""
        with self._transaction() as database:
            rows = database.execute(
                "delete from jobs where finished < ? and (peer is null or sent is not null) returning id",
                (time.time() - hours * 3600,),
            ).fetchall()
        for row in rows:
            _remove(self.records / row["id"])
            _remove(self.pages / row["id"])
        return len(rows)

    def counts(self) -> Counter[str]:
        """Jobs by state."""
        with self._transaction() as database:
            rows = database.execute("select state, count(*) as n from jobs group by state").fetchall()
        return Counter({row["state"]: row["n"] for row in rows})

    # --- records that are sent on

    def next_to_send(self) -> Job | None:
        """The job whose records are due to be sent; None where none is."""
        with self._transaction() as database:
            row = database.execute(
                "select * from jobs where peer is not null and sent is null and state not in (?, ?) "
                "and send_at <= ? order by send_at limit 1",
                (*OPEN, time.time()),
            ).fetchone()
        return None if row is None else _job_of(row)

    def note_sent(self, job: Job, record_id: str) -> Job:
        """A peer has a record; the job as it is now."""
        now = self.get(job.id) or job
        parts = [Part(**asdict(p) | {"sent": p.sent or p.record == record_id}) for p in now.parts]
        self._set_parts(job.id, parts)
        return self.get(job.id) or job

    def close_sending(self, job: Job) -> None:
        """All that is to be sent of a job is sent."""
        with self._transaction() as database:
            database.execute("update jobs set sent = ? where id = ?", (time.time(), job.id))

    def send_later(self, job: Job, seconds: float) -> None:
        """Try again after a time."""
        with self._transaction() as database:
            database.execute(
                "update jobs set sends = sends + 1, send_at = ? where id = ?", (time.time() + seconds, job.id)
            )

    def _set_parts(self, job_id: str, parts: Sequence[Part]) -> None:
        with self._transaction() as database:
            rows = json.dumps([asdict(part) for part in parts])
            database.execute("update jobs set parts = ? where id = ?", (rows, job_id))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("begin immediate")
            try:
                yield self._database
            except BaseException:
                self._database.execute("rollback")
                raise
            self._database.execute("commit")


def _check_room(database: sqlite3.Connection, owner: str, queue: int, queue_of_key: int) -> None:
    open_jobs = "select count(*) from jobs where state in ('queued', 'running')"
    own = database.execute(f"{open_jobs} and owner = ?", (owner,)).fetchone()[0]
    if own >= queue_of_key:
        raise FullError(True, own)
    every = database.execute(open_jobs).fetchone()[0]
    if every >= queue:
        raise FullError(False, every)


def _job_of(row: sqlite3.Row) -> Job:
    known = {name: row[name] for name in row.keys() if name in Job.__dataclass_fields__}  # noqa: SIM118
    parts = tuple(Part(**part | {"pages": tuple(part["pages"])}) for part in json.loads(row["parts"]))
    return Job(**known | {"options": json.loads(row["options"]), "parts": parts})


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    """A file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
