"""What was sent to the service, for people to look at: its records and pages by whose they are.

In: the service's store and its keys. Out: `service.app.People`, the review behind the same keys. A person
comes in with an API key, through a proxy that vouches for them, or without either on a server that needs no
key; they see what was sent under that key or name, and nothing else. A session ends where its key is taken
away.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock

from fastapi import HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from ecg_hough.errors import PageError
from ecg_hough.output.ecg import Ecg
from ecg_hough.output.saved import read_record
from ecg_hough.review.app import HERE, Door, review_pages
from ecg_hough.review.engine import Engine
from ecg_hough.review.library import PageEntry, entry_of, load_json
from ecg_hough.review.store import DATABASE_NAME, NAME_MAX, Store
from ecg_hough.service.app import People
from ecg_hough.service.keys import LOCAL, USER_HEADER, Doorkeeper
from ecg_hough.service.store import Store as Jobs
from ecg_hough.web.security import KEY_HEADERS, Sessions, new_secret

SHOWN_MAX = 1000
"""Of an owner's jobs, the newest: those that are in the queue."""
ENGINES_MAX = 8
"""Owners whose open pages stay in memory."""
KEY_MAX, FORM_MAX = 200, 2000
"""Characters of a key, and bytes of the form that it comes in."""
_BETWEEN = "\n"


class Uploads:
    """The records of one owner.

    Args:
        jobs: of the service; owner: see `service.keys.Doorkeeper`.
    """

    def __init__(self, jobs: Jobs, owner: str) -> None:
        self.out = jobs.records
        self._jobs, self._owner = jobs, owner
        self._seen: dict[str, PageEntry] = {}

    @property
    def entries(self) -> tuple[PageEntry, ...]:
        """Records that are there now; a record never changes, so each is read once."""
        ids = [
            part.record
            for job in self._jobs.jobs_of(self._owner, SHOWN_MAX)
            for part in job.parts
            if part.record is not None
        ]
        found = {}
        for record in ids:
            entry = self._seen.get(record)
            if entry is None:
                content = load_json(self._json(record))
                if content is None:
                    continue
                entry = entry_of(record, content)
            found[record] = entry
        self._seen = found
        return tuple(found.values())

    def record(self, entry: PageEntry) -> Ecg | None:
        """The record as it was written."""
        return read_record(self._json(entry.stem))

    def file_of(self, entry: PageEntry) -> Path:
        """The file that was sent.

        Raises:
            PageError: stage "page": it is not kept.
        """
        path = self._jobs.pages / entry.stem.partition("-")[0]
        if self._jobs.record(entry.stem, self._owner) is None or not path.is_file():
            raise PageError("page", "the page is no longer kept; send it again")
        return path

    def _json(self, record: str) -> Path:
        place = self._jobs.record_place(record)
        return place.with_name(f"{place.name}.json")


def people_of(jobs: Jobs, doorkeeper: Doorkeeper, database: str | None = None) -> People:
    """The review of what was sent to a service.

    Args:
        database: URL of the log of corrections; None takes a SQLite file in the service's folder.
    Raises:
        ValueError: no such URL.
    """
    path = jobs.folder / DATABASE_NAME
    if database is None:
        path.touch(mode=0o600)  # its journals get the same mode
    store = Store(database or f"sqlite:///{path}")
    engines: OrderedDict[str, Engine] = OrderedDict()
    lock = Lock()

    def engine_of(user: str) -> Engine:
        owner = user.partition(_BETWEEN)[0]
        with lock:
            if owner not in engines:
                engines[owner] = Engine(Uploads(jobs, owner), store)
            engines.move_to_end(owner)
            while len(engines) > ENGINES_MAX:
                engines.popitem(last=False)
            engine = engines[owner]
        engine.refresh()
        return engine

    def begin(request: Request) -> str | None:
        user = sessions.user_of(request.headers)
        if user is not None and name_of(user, request) is not None:
            return None
        return user_of(doorkeeper.owner_of(request.headers), request.headers.get(USER_HEADER, ""))

    def name_of(user: str, request: Request) -> str | None:
        owner, _, name = user.partition(_BETWEEN)
        sent_key = any(header in request.headers for header in KEY_HEADERS)
        if sent_key and doorkeeper.owner_of(request.headers) != owner:
            return None  # another person came through the proxy since
        return name if doorkeeper.knows(owner) else None

    def renamed(user: str, name: str) -> str:
        owner, _, before = user.partition(_BETWEEN)
        return f"{owner}{_BETWEEN}{name.replace(_BETWEEN, ' ') or before}"

    sessions = Sessions(new_secret())
    door = Door(sessions, begin, name_of, renamed, engine_of, closed="key.html")
    app = review_pages(door)

    @app.post("/login")
    async def log_in(request: Request) -> Response:
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > FORM_MAX:
            raise HTTPException(413, f"a key has up to {KEY_MAX} characters")
        async with request.form(max_files=0, max_fields=1, max_part_size=KEY_MAX) as form:
            key = str(form.get("key", ""))
        user = user_of(doorkeeper.owner_of({"x-api-key": key}), "")
        if user is None:
            page = (HERE / "templates" / "key.html").read_text(encoding="utf-8")
            return HTMLResponse(page, 401)
        return RedirectResponse("/", 303, {"Set-Cookie": door.cookie(user, request)})

    return People(app, sessions)


def user_of(owner: str | None, name: str) -> str | None:
    """A session's user: whose records they see, and how they are called in the log."""
    if owner is None:
        return None
    called = name or (owner if owner == LOCAL else owner.partition(":")[2])
    return f"{owner}{_BETWEEN}{called.replace(_BETWEEN, ' ')[:NAME_MAX]}"
