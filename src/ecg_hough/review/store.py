"""What is kept of a review: pages, every correction, every decision, and who looks at what.

In: SQLite beside the records, or a department's PostgreSQL. Out: rows as frozen data. Corrections and
decisions are only ever added, each committed by itself: a server that is killed loses what was not yet sent.
A page, or a record of several, has a version, the number of its corrections; whoever adds one must have seen
the last.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Engine,
    ForeignKey,
    String,
    UniqueConstraint,
    create_engine,
    delete,
    event,
    func,
    make_url,
    select,
)
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from ecg_hough.review.corrections import Correction, Entry, correction_of

DATABASE_NAME = "review.db"
"""SQLite file in the folder of the records."""
PRESENT_S = 20.0
"""A person is at a page until so long after the browser last said so."""
DECISIONS = ("accepted", "rejected", "open")
NAME_MAX = 80
NUMBER = "number"
"""Key of `Entry.number` among the values of a correction: databases made before records of several pages were
corrected have no column for it."""
BUSY_S = 10.0
"""Waited for another process that writes into the SQLite file."""


class ConflictError(Exception):
    """Another person corrected the page first.

    Attributes:
        version: of the page; who: made its last correction.
    """

    def __init__(self, version: int, who: str) -> None:
        super().__init__(f"the page is at version {version}, by {who}")
        self.version, self.who = version, who


class _Base(DeclarativeBase):
    """All tables."""


class _Page(_Base):
    __tablename__ = "pages"
    __table_args__ = (UniqueConstraint("stem", "sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    stem: Mapped[str] = mapped_column(String(1000))
    sha256: Mapped[str] = mapped_column(String(64))


class _Correction(_Base):
    __tablename__ = "corrections"
    __table_args__ = (UniqueConstraint("page_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    page_id: Mapped[int] = mapped_column(ForeignKey("pages.id"), index=True)
    version: Mapped[int]
    who: Mapped[str] = mapped_column(String(NAME_MAX))
    at: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(20))
    what: Mapped[dict[str, Any]] = mapped_column(JSON)
    before: Mapped[dict[str, Any]] = mapped_column(JSON)
    after: Mapped[dict[str, Any]] = mapped_column(JSON)


class _Decision(_Base):
    __tablename__ = "decisions"

    id: Mapped[int] = mapped_column(primary_key=True)
    page_id: Mapped[int] = mapped_column(ForeignKey("pages.id"), index=True)
    version: Mapped[int]
    who: Mapped[str] = mapped_column(String(NAME_MAX))
    at: Mapped[str] = mapped_column(String(40))
    decision: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(String(500))


class _Presence(_Base):
    __tablename__ = "presences"

    session: Mapped[str] = mapped_column(String(64), primary_key=True)
    page_id: Mapped[int] = mapped_column(ForeignKey("pages.id"), index=True)
    who: Mapped[str] = mapped_column(String(NAME_MAX))
    seen: Mapped[str] = mapped_column(String(40))


@dataclass(frozen=True)
class Decision:
    """What a person decided on a page.

    Attributes:
        decision: one of `DECISIONS`; reason: in words, of a rejection.
        version: of the page that was seen; who, at: person and ISO time, UTC.
    """

    decision: str = "open"
    reason: str = ""
    version: int = 0
    who: str = ""
    at: str = ""


@dataclass(frozen=True)
class Standing:
    """Where a page stands: its decision, and the number of its corrections that were ever made."""

    decision: Decision = Decision()
    version: int = 0


def now() -> str:
    """ISO time, UTC, to a millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Store:
    """The database of a review.

    Args:
        url: of SQLAlchemy, such as `sqlite:///review.db` or `postgresql+psycopg://host/name`.
    Raises:
        ValueError: it is no such URL.
        OSError: the database does not answer, or lets nobody in.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine_of(url)
        try:
            _Base.metadata.create_all(self._engine)
        except OperationalError as error:
            shown = self._engine.url.render_as_string(hide_password=True)
            raise OSError(f"database {shown}: {error.orig}") from error

    @classmethod
    def beside(cls, folder: Path) -> Store:
        """The SQLite file of a folder of records."""
        return cls(f"sqlite:///{folder / DATABASE_NAME}")

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def page_id(self, stem: str, sha256: str) -> int:
        """The number of a page, which is entered where it is new.

        Args:
            stem: name of its record; sha256: of its file, as another page may get that name.
        """
        asked = select(_Page.id).where(_Page.stem == stem, _Page.sha256 == sha256)
        with self._session() as session:
            known = session.scalar(asked)
        if known is not None:
            return known
        with contextlib.suppress(IntegrityError), self._session() as session:  # another server may be faster
            session.add(_Page(stem=stem, sha256=sha256))
        with self._session() as session:
            return session.scalars(asked).one()

    def log(self, page_id: int) -> tuple[Entry, ...]:
        """All corrections of a page, the first one first."""
        with self._session() as session:
            asked = select(_Correction).where(_Correction.page_id == page_id).order_by(_Correction.version)
            return tuple(_entry(row) for row in session.scalars(asked))

    def append(
        self,
        page_id: int,
        seen: int,
        who: str,
        correction: Correction,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
        number: int | None = None,
    ) -> Entry:
        """Add a correction; it is on the disk when this returns.

        Args:
            seen: version of the page that the person saw.
            number: see `Entry`.

        Raises:
            ConflictError: the page has another version by now.
        """
        entry = Entry(seen + 1, who[:NAME_MAX], now(), correction, before or {}, after or {}, number)
        what = correction.what if number is None else correction.what | {NUMBER: number}
        try:
            with self._session() as session:
                self._check_version(session, page_id, seen)
                session.add(
                    _Correction(
                        page_id=page_id, version=entry.version, who=entry.who, at=entry.at,
                        kind=correction.kind, what=what, before=entry.before, after=entry.after,
                    )
                )  # fmt: skip
        except IntegrityError as error:  # both had seen the last version; one was faster
            with self._session() as session:
                self._check_version(session, page_id, seen)
            raise ConflictError(seen, "") from error
        return entry

    def decide(self, page_id: int, seen: int, who: str, decision: str, reason: str = "") -> Decision:
        """Add a decision on a page as a person saw it.

        Raises:
            ConflictError: the page has another version by now.
            ValueError: no such decision, or a rejection without a reason.
        """
        if decision not in DECISIONS:
            raise ValueError(f"a decision must be of {', '.join(DECISIONS)}; got {decision!r}")
        if decision == "rejected" and not reason.strip():
            raise ValueError("a rejection must have a reason")
        made = Decision(decision, reason.strip()[:500], seen, who[:NAME_MAX], now())
        with self._session() as session:
            self._check_version(session, page_id, seen)
            session.add(
                _Decision(
                    page_id=page_id, version=seen, who=made.who, at=made.at, decision=decision,
                    reason=made.reason,
                )
            )  # fmt: skip
        return made

    def standing(self, page_id: int) -> Standing:
        """Where one page stands."""
        return self.standings([page_id])[page_id]

    def standings(self, page_ids: list[int]) -> dict[int, Standing]:
        """Where pages stand, by their number."""
        out = dict.fromkeys(page_ids, Standing())
        with self._session() as session:
            versions = select(_Correction.page_id, func.max(_Correction.version)).group_by(
                _Correction.page_id
            )
            for page_id, version in session.execute(versions):
                if page_id in out:
                    out[page_id] = Standing(version=version)
            last = select(func.max(_Decision.id)).group_by(_Decision.page_id)
            for row in session.scalars(select(_Decision).where(_Decision.id.in_(last))):
                if row.page_id in out:
                    made = Decision(row.decision, row.reason, row.version, row.who, row.at)
                    out[row.page_id] = replace(out[row.page_id], decision=made)
        return out

    def is_at(self, page_id: int, session_name: str, who: str) -> tuple[str, ...]:
        """Enter that a person's browser shows a page; who else is at it."""
        with self._session() as session:
            oldest = (datetime.now(UTC) - timedelta(seconds=PRESENT_S)).isoformat(timespec="milliseconds")
            session.execute(delete(_Presence).where(_Presence.seen < oldest))
            row = _Presence(session=session_name[:64], page_id=page_id, who=who[:NAME_MAX], seen=now())
            session.merge(row)
            session.flush()
            others = select(_Presence.who).where(
                _Presence.page_id == page_id, _Presence.session != session_name[:64]
            )
            return tuple(sorted(set(session.scalars(others))))

    def leaves(self, session_name: str) -> None:
        """Enter that a person's browser shows no page any more."""
        with self._session() as session:
            session.execute(delete(_Presence).where(_Presence.session == session_name[:64]))

    def _check_version(self, session: Session, page_id: int, seen: int) -> None:
        asked = (
            select(_Correction.version, _Correction.who)
            .where(_Correction.page_id == page_id)
            .order_by(_Correction.version.desc())
            .limit(1)
        )
        version, who = next(iter(session.execute(asked)), (0, ""))
        if version != seen:
            raise ConflictError(version, who)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """A transaction: committed at its end, undone where an error leaves it."""
        with Session(self._engine) as session, session.begin():
            yield session


def _entry(row: _Correction) -> Entry:
    what = dict(row.what)
    number = what.pop(NUMBER, None)
    return Entry(
        row.version, row.who, row.at, correction_of(row.kind, what), row.before, row.after, number
    )  # fmt: skip


def _engine_of(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except Exception as error:
        raise ValueError(f"a database must be a URL such as sqlite:///review.db; got {url!r}") from error
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # With WAL readers never wait; FULL has a commit on the disk when it returns.
        for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {setting}")

    return engine
