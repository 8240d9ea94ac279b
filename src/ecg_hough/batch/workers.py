"""Processes that read pages within bounds: a page that hangs, crashes or eats memory costs only itself.

In: tasks and the function that does one. Out: results as they come, or `Ended` for a task whose process died,
or had to be ended, as often as `Limits.tries` allows. A process that ends is replaced. It ends itself, with
what it started, when the process that started it is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import ecg_hough

log = logging.getLogger(__name__)

Task = TypeVar("Task")
Result = TypeVar("Result")

LOOK_S = 0.2
"""From one look at clocks and memory to the next."""
FALSE_STARTS_MAX = 5
"""Processes in a row that die before they are ready; then none will ever be."""
MEMORY_SHARE = 0.9
"""Of the machine's memory, or of the container's, that all processes may hold together."""
RETIRE_MIB = 800
"""A process that holds more between two pages is replaced, for what libraries keep adds up. Code, networks
and kernels take 525 after 19 pages of as many shapes."""
MIB = 1 << 20
M_ARENA_MAX = -8
"""Of glibc's malloc.h."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one page.

    Attributes:
        seconds: wall time that a page may take; None sets no bound.
        memory_mib: memory that its process may hold; None takes the machine's, shared among the processes.
        tries: times that a page is begun; the last failure counts.
    Raises:
        ValueError: one is not positive.
    """

    seconds: float | None = 120.0
    memory_mib: float | None = None
    tries: int = 3

    def __post_init__(self) -> None:
        for name in ("seconds", "memory_mib", "tries"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive; got {value}")


class Ended(NamedTuple):
    """Why a task has no result: its stage, "time", "memory" or "died", and a sentence."""

    stage: str
    message: str


@dataclass
class _Worker:
    """A process and what it is doing; `number` is None while it is idle or not yet ready.

    A task may have a `size`, the number of its pages, each of which may take the limit's time.
    """

    process: Any
    connection: Connection
    is_ready: bool = False
    number: int | None = None
    begun: float = 0.0
    size: int = 1

    def give(self, number: int, task: Any) -> None:
        self.number, self.begun, self.size = number, time.monotonic(), getattr(task, "size", 1)
        self.connection.send(task)

    def kill(self) -> None:
        """End it at once, with all that it started."""
        pid = self.process.pid
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(pid, signal.SIGKILL)  # it leads a group of its own
        with contextlib.suppress(OSError):
            self.process.kill()
        self.process.join(5)
        self.connection.close()


@dataclass
class Workers(Generic[Task, Result]):
    """A number of processes that do tasks; a context manager, which ends them.

    Attributes:
        n: processes.
        work: does one task; it is sent to the processes, so it must be picklable, and raises nothing.
        limits: bounds of one task.
    """

    n: int
    work: Callable[[Task], Result]
    limits: Limits = Limits()
    _workers: list[_Worker] = field(default_factory=list)
    _false_starts: int = 0

    def __enter__(self) -> Workers[Task, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result | Ended]]:
        """Tasks with their results, in the order in which they are done.

        Tasks are taken from the iterable one by one, when a process is free.

        Raises:
            ChildProcessError: no process comes up.
        """
        waiting = enumerate(iter(tasks))
        open_tasks: dict[int, Task] = {}
        failures: dict[int, int] = {}
        again: deque[int] = deque()
        is_over = False
        while True:
            while not is_over and len(open_tasks) < self.n:
                pair = next(waiting, None)
                if pair is None:
                    is_over = True
                    break
                open_tasks[pair[0]] = pair[1]
                again.append(pair[0])
            if not open_tasks:
                return
            self._hire(len(open_tasks))
            for worker in self._workers:
                if worker.is_ready and worker.number is None and again:
                    number = again.popleft()
                    with contextlib.suppress(OSError):  # it is dead, and will be seen so
                        worker.give(number, open_tasks[number])
            for number, result in self._news():
                if isinstance(result, Ended):
                    failures[number] = failures.get(number, 0) + 1
                    if failures[number] < self.limits.tries:
                        log.info("%s; begun again", result.message)
                        again.appendleft(number)
                        continue
                yield open_tasks.pop(number), result

    def interrupt(self) -> None:
        """End the processes from another thread; a task that one of them was at ends as if it had died."""
        for worker in list(self._workers):
            with contextlib.suppress(OSError):
                worker.process.kill()

    def _hire(self, wanted: int) -> None:
        # Spawned, not forked: OpenVINO's and OpenCV's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        while len(self._workers) < min(self.n, wanted):
            here, there = context.Pipe()
            level = logging.getLogger(ecg_hough.__name__).level
            process = context.Process(target=_serve, args=(there, self.work, level), daemon=False)
            process.start()
            there.close()
            self._workers.append(_Worker(process, here))

    def _news(self) -> list[tuple[int, Result | Ended]]:
        """Results and ends since the last look."""
        by_connection = {worker.connection: worker for worker in self._workers}
        news: list[tuple[int, Result | Ended]] = []
        for connection in wait(list(by_connection), timeout=LOOK_S):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                news += self._dismiss(worker, _died(worker))
                continue
            self._false_starts = 0
            if worker.is_ready:
                assert worker.number is not None
                result, retires = message
                news.append((worker.number, result))
                worker.number = None
                if retires:
                    self._dismiss(worker, Ended("memory", "it holds too much between pages"))
            worker.is_ready = True
        for worker in list(self._workers):
            if worker.number is not None and (why := self._beyond(worker)) is not None:
                news += self._dismiss(worker, why)
        return news

    def _dismiss(self, worker: _Worker, why: Ended) -> list[tuple[int, Result | Ended]]:
        """End a process; what it was at has ended for this reason."""
        self._workers.remove(worker)
        worker.kill()
        if not worker.is_ready:
            self._false_starts += 1
            if self._false_starts >= FALSE_STARTS_MAX:
                raise ChildProcessError(
                    f"{FALSE_STARTS_MAX} processes in a row died before their first page ({why.message})"
                )
        return [] if worker.number is None else [(worker.number, why)]

    def _beyond(self, worker: _Worker) -> Ended | None:
        """Which bound a process has gone beyond."""
        limit_s = self.limits.seconds
        if limit_s is not None and time.monotonic() - worker.begun > limit_s * worker.size:
            return Ended("time", f"the page took longer than {limit_s:g} s; allow more with --page-seconds")
        limit_mib = self.limits.memory_mib or MEMORY_SHARE * machine_mib() / self.n
        held = resident_mib(worker.process.pid)
        if held is not None and held > limit_mib:
            return Ended(
                "memory",
                f"the page took more than {limit_mib:.0f} MiB; allow more with --page-mib or use fewer "
                "--workers",
            )
        return None


def _died(worker: _Worker) -> Ended:
    worker.process.join(1)
    code = worker.process.exitcode
    how = f"by signal {-code}" if code is not None and code < 0 else f"with status {code}"
    return Ended("died", f"the process died {how}, perhaps out of memory; use fewer --workers")


def resident_mib(pid: int) -> float | None:
    """Memory that a process holds; None where the system does not show it."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / MIB
    except (OSError, IndexError, ValueError):
        pass
    try:
        import psutil
    except ModuleNotFoundError:
        return None
    try:
        return float(psutil.Process(pid).memory_info().rss) / MIB
    except psutil.Error:
        return None


@cache
def machine_mib() -> float:
    """Memory of the machine, or of the container where that has less; infinite where unknown."""
    sizes = []
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / MIB)
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            sizes.append(int(Path(place).read_text(encoding="ascii")) / MIB)
    return min(sizes, default=float("inf"))


def _serve(connection: Connection, work: Callable[[Any], Any], level: int) -> None:
    """A process: one task after the other until the other end of the connection is closed."""
    if hasattr(os, "setsid"):
        # A group of its own: it is ended with what it starts, and Ctrl-C reaches the parent alone.
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _take_one_heap()
    _end_with_the_parent()
    import cv2

    cv2.setNumThreads(1)  # the pages are the parallel dimension
    logging.basicConfig(format="%(levelname)s %(name)s [%(processName)s]: %(message)s")
    logging.getLogger(ecg_hough.__name__).setLevel(level)
    with contextlib.suppress(EOFError, OSError):
        connection.send("ready")
        while True:
            result = work(connection.recv())
            _give_memory_back()
            held = resident_mib(os.getpid())
            connection.send((result, held is not None and held > RETIRE_MIB))


def _take_one_heap() -> None:
    """One heap for all threads: each of several keeps the most that it ever held, and there are as many as
    ever ran at once."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def _give_memory_back() -> None:
    """Return what the page's arrays held to the system, which the C library would keep: 0.4 GB in the end."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc's


def _end_with_the_parent() -> None:
    """Watch the parent from a thread: however it ends, this process ends with all that it started."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent").start()


def end_by_sigterm() -> None:
    """Have SIGTERM end this process as an exception does: its workers end, its report is written."""

    def stop(number: int, frame: object) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)
