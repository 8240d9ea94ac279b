"""Threads that take jobs from the store, one after the other, each with a process that reads them.

In: a `Store` and what reads a job. Out: finished jobs. A page that hangs, crashes or eats memory costs its
own process alone, which is replaced; after so many tries its job is given up.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_hough.batch.workers import Ended, Workers
from ecg_hough.service.bounds import Bounds
from ecg_hough.service.store import Job, Part, State, Store

log = logging.getLogger(__name__)

PAUSE_S = 5.0
"""Before processes are begun again that did not come up, and before a full disk is tried again."""
RECENT = 50
"""Jobs whose mean time tells how long others will wait."""

OWN_FAULT = ("internal", "time", "memory", "died", "export")
"""Stages of failures that say nothing of the page's content."""


@dataclass(frozen=True)
class ReadTask:
    """An upload to read; `job` is None of a task that only makes the process ready.

    Attributes:
        job: its id; path: of the upload; records: folder of the job's records.
        temporary: folder of the process, for what lasts while it reads.
        options: attributes of `Digitizer`, and `overlay`: whether a picture with the traces is kept.
        size: pages, each of which may take the limit's time.
    """

    job: str | None
    path: Path = Path()
    records: Path = Path()
    temporary: Path = Path()
    options: tuple[tuple[str, Any], ...] = ()
    size: int = 1


ReadJob = Callable[[ReadTask], tuple[Part, ...]]
"""What a process does; see `reading.ReadWork`."""


class Engine:
    """Does the jobs of a store.

    Args:
        store: of the jobs; work: what a process does with a task; picklable.
        workers: processes.
        bounds: of a page.
        on_done: called in a thread of the engine with every job and its seconds.
    """

    def __init__(
        self,
        store: Store,
        work: ReadJob,
        *,
        workers: int = 1,
        bounds: Bounds | None = None,
        on_done: Callable[[Job, float], None] = lambda job, seconds: None,
    ) -> None:
        self.store, self.workers = store, workers
        self._work, self._bounds, self._on_done = work, bounds or Bounds(), on_done
        self._news = threading.Condition()
        self._is_stopping = False
        self._ready: set[int] = set()
        self._pools: dict[int, Workers[ReadTask, tuple[Part, ...]]] = {}
        self._waiting: dict[str, list[Future[None]]] = {}
        self._seconds: deque[float] = deque(maxlen=RECENT)
        self._begun: dict[str, float] = {}
        self._threads: list[threading.Thread] = []

    @property
    def is_ready(self) -> bool:
        """Whether a process is up and no stop was asked for."""
        return bool(self._ready) and not self._is_stopping

    @property
    def is_taking(self) -> bool:
        """Whether jobs will be done: no stop was asked for."""
        return not self._is_stopping

    def start(self) -> None:
        """Begin, with what was left by an earlier process."""
        self._threads = [
            threading.Thread(target=self._run, args=(k,), name=f"engine-{k}", daemon=True)
            for k in range(self.workers)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, grace_s: float = 10.0) -> None:
        """Let pages end that are being read, for a while; those that do not are begun again another time."""
        with self._news:
            self._is_stopping = True
            self._news.notify_all()
        end = time.monotonic() + grace_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        for pool in list(self._pools.values()):
            pool.interrupt()
        for thread in self._threads:
            thread.join(PAUSE_S)

    def notify(self) -> None:
        """Say that there is a new job."""
        with self._news:
            self._news.notify()

    def wait_for(self, job: Job) -> Future[None]:
        """Done when the job is; it may be done already, so look again after the call."""
        future: Future[None] = Future()
        with self._news:
            self._waiting.setdefault(job.id, []).append(future)
        return future

    def seconds_until_free(self) -> int:
        """About how long a client should wait before it asks again, 1 to 600 s."""
        counts = self.store.counts()
        seconds = list(self._seconds)
        each = sum(seconds) / len(seconds) if seconds else 2.0
        return round(
            min(600.0, max(1.0, each * (counts["queued"] + counts["running"]) / max(1, self.workers)))
        )

    def _run(self, k: int) -> None:
        """A thread's life."""
        while not self._is_stopping:
            try:
                with Workers(1, self._work, self._bounds.page_limits) as pool:
                    self._pools[k] = pool
                    for task, result in pool.run(self._tasks(k)):
                        self._take(k, task, result)
            except Exception:
                # No process comes up, or the disk is full: another will, and it will not be full for ever.
                log.exception("the engine begins again in %g s", PAUSE_S)
                self._ready.discard(k)
                self._pause()

    def _tasks(self, k: int) -> Iterator[ReadTask]:
        yield ReadTask(None)
        temporary = self.store.temporary / str(k)
        while True:
            with self._news:
                while (job := None if self._is_stopping else self.store.claim()) is None:
                    if self._is_stopping:
                        return
                    self._news.wait()
            if job.starts > self._bounds.starts:
                self._note(
                    job.id, Ended("died", f"the server ended {self._bounds.starts} times while reading")
                )
                continue
            self._begun[job.id] = time.monotonic()
            yield ReadTask(
                job.id,
                self.store.uploads / job.id,
                self.store.records / job.id,
                temporary,
                tuple(sorted(job.options.items())),
                job.pages,
            )

    def _take(self, k: int, task: ReadTask, result: tuple[Part, ...] | Ended) -> None:
        """Note what became of a task; tried again until the store takes it."""
        if task.job is None:
            if not isinstance(result, Ended):
                self._ready.add(k)
            return
        if isinstance(result, Ended):
            shutil.rmtree(task.temporary, ignore_errors=True)
        while True:
            try:
                self._note(task.job, result)
                return
            except Exception:
                if self._is_stopping:
                    return  # it is begun again after the next start
                log.exception("job %s cannot be noted; tried again in %g s", task.job, PAUSE_S)
                self._pause()

    def _note(self, job_id: str, result: tuple[Part, ...] | Ended) -> None:
        job = self.store.get(job_id)
        has_ended = isinstance(result, Ended)
        if (has_ended or _is_unwritten(result)) and job is not None and self._again(job):
            self.store.put_back(job, ended=not self._is_stopping)
            self.notify()
            if not has_ended:
                self._pause()  # the disk is full, and others write, too
            return
        if isinstance(result, Ended):
            # What follows in the message is advice for command lines.
            result = (Part((1,), stage=result.stage, message=result.message.partition(";")[0]),)
        self.store.finish(job_id, state_of(result), result)
        seconds = time.monotonic() - self._begun.pop(job_id, time.monotonic())
        self._seconds.append(seconds)
        if (done := self.store.get(job_id)) is not None:
            self._on_done(done, seconds)
        with self._news:
            futures = self._waiting.pop(job_id, [])
        for future in futures:
            if not future.done():
                future.set_result(None)

    def _again(self, job: Job) -> bool:
        bounds = self._bounds
        return self._is_stopping or (job.ends + 1 < bounds.tries and job.starts < bounds.starts)

    def _pause(self) -> None:
        end = time.monotonic() + PAUSE_S
        with self._news:
            while not self._is_stopping and (left := end - time.monotonic()) > 0:
                self._news.wait(left)


def _is_unwritten(result: tuple[Part, ...] | Ended) -> bool:
    """Whether a record could not be written."""
    return not isinstance(result, Ended) and any(part.stage == "export" for part in result)


def state_of(parts: tuple[Part, ...]) -> State:
    """The state of a job whose pages have been read."""
    if any(part.record is not None for part in parts):
        return "done"
    return "failed" if any(part.stage in OWN_FAULT for part in parts) else "refused"
