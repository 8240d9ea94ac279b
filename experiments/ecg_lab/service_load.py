"""Many uploads by several clients, with kills between: is any lost, or answered twice, and does memory grow?

In: counts and a seed. Out: `Load`. The clients are real ones (httpx) and do what a client should: each
request has a name, and is sent again under that name where the connection breaks or the server asks to wait.
"""

from __future__ import annotations

import json
import os
import queue
import random
import shutil
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from ecg_lab.service_process import ServerProcess, small_pages

BOUNDS = {"page_seconds": 300.0, "starts": 1000, "tries": 1000, "upload_seconds": 300.0}
"""Kills are counted against a page otherwise, and busy machines are slow."""
WORKERS = 2
GIVE_UP_S = 1800.0
"""Longest that a client tries for one upload."""
SHARES = (0.1, 0.5, 1.0)
"""Of the run, at which the server's memory is stated."""


@dataclass(frozen=True)
class Load:
    """What became of the uploads.

    Attributes:
        uploads, clients, workers: counts; page_of: what read them.
        kills_of_server, kills_of_workers: processes killed with signal 9.
        answered: uploads with a record; lost: without; jobs: that the server made of them.
        twice: uploads with more than one job; wrong: with a layout that other uploads of the page lack.
        statuses: answers by status; broken: connections.
        seconds: of the whole; latency_s: from an upload's first byte to its record, p50, p95, p99, largest.
        server_mib: of the server process after a tenth, half and all of the run.
        left: uploads and temporary files that remain.
    """

    uploads: int
    clients: int
    workers: int
    page_of: str
    kills_of_server: int
    kills_of_workers: int
    answered: int
    lost: int
    jobs: int
    twice: int
    wrong: int
    statuses: dict[str, int]
    broken: int
    seconds: float
    latency_s: tuple[float, ...]
    server_mib: tuple[float, ...]
    left: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass
class _Seen:
    """What the clients saw."""

    seconds: dict[int, float] = field(default_factory=dict)
    layouts: dict[int, tuple[str, str]] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, status: str) -> None:
        with self.lock:
            self.statuses[status] += 1

    def note_broken(self) -> None:
        with self.lock:
            self.broken += 1


def run_load(
    folder: Path,
    samples: Path,
    *,
    n: int = 500,
    clients: int = 8,
    n_kills: int = 0,
    pause_s: float | None = None,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Load:
    """Send uploads, kill processes meanwhile, and count.

    Args:
        folder: for the server's files; emptied.
        samples: folder of pages, which are made smaller.
        n: uploads; n_kills: processes to kill, at random, evenly over the uploads.
        pause_s: see `ServerProcess`.
    Raises:
        TimeoutError: the server does not get ready.
    """
    shutil.rmtree(folder, ignore_errors=True)
    pages = small_pages(samples)
    seen, todo = _Seen(), queue.SimpleQueue[int]()
    for k in range(n):
        todo.put(k)
    bounds = BOUNDS | {"queue_of_key": max(50, 2 * clients)}
    with ServerProcess(folder, workers=WORKERS, pause_s=pause_s, bounds=bounds) as server:
        server.wait_until_ready()
        begun = time.monotonic()
        threads = [
            threading.Thread(target=_client, args=(server.url, todo, pages, seen, n), daemon=True)
            for _ in range(clients)
        ]
        for thread in threads:
            thread.start()
        killed = _kill_and_wait(server, threads, seen, (n, n_kills, seed), on_progress)
        seconds = time.monotonic() - begun
        memory = _memory_at(server, begun, seconds)
    jobs, twice = _jobs_of(server.folder)
    rights: dict[str, Counter[str]] = {}
    for page, layout in seen.layouts.values():
        rights.setdefault(page, Counter())[layout] += 1
    usual = {page: counts.most_common(1)[0][0] for page, counts in rights.items()}
    latency = np.quantile(list(seen.seconds.values()) or [np.nan], [0.5, 0.95, 0.99, 1.0])
    return Load(
        uploads=n, clients=clients, workers=WORKERS,
        page_of="package" if pause_s is None else f"stand-in of {pause_s:g} s",
        kills_of_server=killed["server"], kills_of_workers=killed["worker"],
        answered=len(seen.seconds), lost=n - len(seen.seconds), jobs=jobs, twice=twice,
        wrong=sum(layout != usual[page] for page, layout in seen.layouts.values()),
        statuses=dict(sorted(seen.statuses.items())), broken=seen.broken, seconds=round(seconds, 1),
        latency_s=tuple(round(float(value), 2) for value in latency), server_mib=memory,
        left=len(list((server.folder / "uploads").iterdir())) + len(list((folder / "tmp").iterdir())),
    )  # fmt: skip


def _client(url: str, todo: queue.SimpleQueue[int], pages: dict[str, bytes], seen: _Seen, n: int) -> None:
    """Send one upload after the other until none is left."""
    names = sorted(pages)
    with httpx.Client(base_url=url, timeout=120) as client:
        while True:
            try:
                k = todo.get_nowait()
            except queue.Empty:
                return
            page = names[k % len(names)]
            # What follows a JPEG file's end makes each upload another one.
            content, begun = pages[page] + f"upload {k} of {n}".encode(), time.monotonic()
            while time.monotonic() < begun + GIVE_UP_S:
                try:
                    layout = _send(client, k, content, seen)
                except httpx.TransportError:
                    seen.note_broken()
                    time.sleep(0.3)
                    continue
                if layout is not None:
                    with seen.lock:
                        seen.seconds[k] = time.monotonic() - begun
                        seen.layouts[k] = (page, layout)
                    break


def _send(client: httpx.Client, k: int, content: bytes, seen: _Seen) -> str | None:
    """The layout of an upload's record; None where it is to be sent again."""
    answer = client.post("/v1/pages", content=content, headers={"Idempotency-Key": f"upload-{k}"})
    seen.note(str(answer.status_code))
    if answer.status_code == 202:
        place = answer.headers["Location"]
        while (job := client.get(place).json()).get("state") in ("queued", "running"):
            time.sleep(0.5)
        answer = client.get(job["records"][0]["href"]) if job.get("records") else answer
    if answer.status_code != 200:
        time.sleep(min(2.0, float(answer.headers.get("Retry-After", 1))))
        return None
    return str(answer.json()["layout"])


def _kill_and_wait(
    server: ServerProcess,
    threads: list[threading.Thread],
    seen: _Seen,
    counts: tuple[int, int, int],
    on_progress: Callable[[int, int], None],
) -> Counter[str]:
    """Kill processes as the uploads go on, until all clients are done; which were killed."""
    n, n_kills, seed = counts
    rng, killed = random.Random(seed), Counter[str]()
    while any(thread.is_alive() for thread in threads):
        done = len(seen.seconds)
        on_progress(done, n)
        if killed.total() < n_kills and done >= (killed.total() + 0.5) * n / (n_kills + 1):
            readers = server.readers()
            if readers and rng.random() < 0.5:
                os.kill(rng.choice(readers), signal.SIGKILL)
                killed["worker"] += 1
            else:
                server.kill()
                killed["server"] += 1
        time.sleep(0.05)
    return killed


def _memory_at(server: ServerProcess, begun: float, seconds: float) -> tuple[float, ...]:
    """The server's memory at `SHARES` of the run, MiB."""
    found = []
    for share in SHARES:
        values = [mib for at, mib in server.mib if begun <= at <= begun + share * seconds]
        found.append(round(float(np.median(values[-5:])), 1) if values else float("nan"))
    return tuple(found)


def _jobs_of(folder: Path) -> tuple[int, int]:
    """Jobs in a server's folder, and uploads that have more than one."""
    with sqlite3.connect(folder / "jobs.sqlite") as database:
        rows = database.execute("select sha256, parts from jobs").fetchall()
    records = [part["record"] for _, parts in rows for part in json.loads(parts) if part["record"]]
    assert len(set(records)) == len(records)
    return len(rows), sum(count > 1 for count in Counter(digest for digest, _ in rows).values())
