"""Pages, corrections, decisions and presence in SQLite and in a real PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason='needs pip install "ecg-hough[serve]"')
from ecg_hough.review.corrections import Gain, Names, Redraw, Speed
from ecg_hough.review.store import DATABASE_NAME, ConflictError, Store


def _postgres_programs() -> Path | None:
    """Folder of initdb and pg_ctl: of the path, or Debian's."""
    found = [Path(place).parent for name in ("initdb",) if (place := shutil.which(name))]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next(
        (place for place in found if (place / "initdb").exists() and (place / "pg_ctl").exists()), None
    )


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """URL of an empty database of a server on loopback that lives as long as these tests."""
    pytest.importorskip("psycopg", reason='needs pip install "ecg-hough[serve]"')
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("needs a PostgreSQL server; scripts/install_review_tests.sh installs one")
    account: dict[str, str] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no account postgres")
        account = {"user": "postgres", "group": "postgres"}
    with tempfile.TemporaryDirectory(prefix="ecg-hough-pg-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        if account:
            shutil.chown(folder, **account)
        data = f"{folder}/data"

        def call(*command: str) -> None:
            subprocess.run(
                [str(programs / command[0]), *command[1:]], check=True, cwd=folder, timeout=60,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **account,
            )  # type: ignore[call-overload]  # fmt: skip

        call("initdb", "-D", data, "-U", "review", "-A", "trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -F"
        call("pg_ctl", "-D", data, "-o", options, "-w", "-l", f"{folder}/log", "start")
        try:
            yield f"postgresql+psycopg://review@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "-D", data, "-m", "immediate", "stop")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / DATABASE_NAME}"
    return str(request.getfixturevalue("postgres"))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    made = Store(url)
    yield made
    made.close()


def fresh(store: Store, name: str) -> int:
    """A page that no other test used: PostgreSQL lives longer than one test."""
    return store.page_id(f"{name}-{os.urandom(4).hex()}", "0" * 64)


def test_a_page_keeps_its_number(store: Store) -> None:
    number = store.page_id("a/page", "1" * 64)
    assert store.page_id("a/page", "1" * 64) == number
    assert store.page_id("a/page", "2" * 64) != number, "another page of that name"


def test_corrections_come_back_as_they_were(url: str, store: Store) -> None:
    page = fresh(store, "p")
    stroke = Redraw(2, ((1.5, 2.0), (3.0, 9.25)))
    store.append(page, 0, "anna", Names({"0.0": "V1"}), {"0.0": "V2"})
    made = store.append(page, 1, "ben", stroke, {"points": [[1.0, 2.0]]}, {"points": [[1.25, 2.0]]})
    again = Store(url)
    log = again.log(page)
    again.close()
    assert [one.version for one in log] == [1, 2]
    assert log[1] == made
    assert log[1].correction == stroke
    assert log[0].before == {"0.0": "V2"}
    assert log[0].at.endswith("+00:00")


def test_who_did_not_see_the_last_version_is_told(store: Store) -> None:
    page = fresh(store, "p")
    store.append(page, 0, "anna", Speed(50))
    with pytest.raises(ConflictError) as told:
        store.append(page, 0, "ben", Gain(5))
    assert (told.value.version, told.value.who) == (1, "anna")
    with pytest.raises(ConflictError):
        store.decide(page, 0, "ben", "accepted")
    assert len(store.log(page)) == 1


def test_of_many_at_once_one_is_taken(store: Store) -> None:
    page, told = fresh(store, "p"), []

    def send(who: str) -> None:
        try:
            store.append(page, 0, who, Speed(50))
        except ConflictError:
            told.append(who)

    threads = [threading.Thread(target=send, args=(f"person {k}",)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.log(page)) == 1
    assert len(told) == 7


def test_decisions(store: Store) -> None:
    page, other = fresh(store, "p"), fresh(store, "q")
    assert store.standing(page).decision.decision == "open"
    store.decide(page, 0, "anna", "rejected", " cut off ")
    store.decide(page, 0, "ben", "accepted")
    store.append(other, 0, "ben", Speed(50))
    standings = store.standings([page, other])
    assert (standings[page].decision.decision, standings[page].decision.who) == ("accepted", "ben")
    assert (standings[other].decision.decision, standings[other].version) == ("open", 1)
    with pytest.raises(ValueError, match="must have a reason"):
        store.decide(page, 0, "anna", "rejected", " ")
    with pytest.raises(ValueError, match="of accepted, rejected, open"):
        store.decide(page, 0, "anna", "perhaps")


def test_presence(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    page = fresh(store, "p")
    one, two = os.urandom(8).hex(), os.urandom(8).hex()
    assert store.is_at(page, one, "anna") == ()
    assert store.is_at(page, two, "ben") == ("anna",)
    assert store.is_at(page, one, "anna") == ("ben",)
    store.leaves(two)
    assert store.is_at(page, one, "anna") == ()
    store.is_at(page, two, "ben")
    monkeypatch.setattr("ecg_hough.review.store.PRESENT_S", -1.0)
    assert store.is_at(page, one, "anna") == (), "who was not heard of for long is gone"


def test_a_killed_server_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / DATABASE_NAME}"
    script = (
        "import os, signal, sys\n"
        "from ecg_hough.review.store import Store\n"
        "from ecg_hough.review.corrections import Speed\n"
        "store = Store(sys.argv[1])\n"
        "page = store.page_id('p', '0')\n"
        "for k in range(5):\n"
        "    store.append(page, k, 'anna', Speed(25 + k))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, url], timeout=60, check=False)
    assert ended.returncode == -9
    store = Store(url)
    assert len(store.log(store.page_id("p", "0"))) == 5
    store.close()


def test_sqlite_writes_ahead(tmp_path: Path) -> None:
    Store.beside(tmp_path).close()
    with sqlite3.connect(tmp_path / DATABASE_NAME) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_bad_url() -> None:
    with pytest.raises(ValueError, match="must be a URL"):
        Store("my database")
