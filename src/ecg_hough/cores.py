"""Use of the processor: independent pieces in threads, linear algebra on one core, wall time of every stage.

NumPy and OpenCV release the interpreter's lock while they compute, so threads suffice. There are at most as
many as OpenCV uses: where `batch` reads several pages at once, each process has one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import cv2
from threadpoolctl import LibController, ThreadpoolController

In = TypeVar("In")
Out = TypeVar("Out")


def pool_for(n_items: int) -> ThreadPoolExecutor:
    """Threads for a number of pieces; for work of several steps, as each thread keeps its state for the
    next."""
    return ThreadPoolExecutor(max(1, min(n_items, cv2.getNumThreads())))


def side_by_side(work: Callable[[In], Out], items: Sequence[In]) -> list[Out]:
    """Results of `work` for every item, in their order."""
    with pool_for(len(items)) as pool:
        return list(pool.map(work, items))


@cache
def _libraries() -> tuple[LibController, ...]:
    """The linear algebra libraries that are loaded."""
    return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)


_blas_lock = threading.Lock()
_blas_callers = 0
_host_threads: list[int | None] = []
"""Threads of each library before the first caller; None where another thread of the host controls them."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Linear algebra on one thread while any caller is within: matrices are small, and more threads would
    wait.

    Most libraries have one setting for the whole process: the last caller to leave restores it, in whatever
    order and in whatever thread they leave. Others have one for every thread: each caller restores its own.
    """
    global _blas_callers, _host_threads
    with _blas_lock:
        own = [library.num_threads for library in _libraries()]
        for library in _libraries():
            _set_threads(library, 1)
        if _blas_callers == 0:
            changed = [library.num_threads == 1 for library in _libraries()]
            _host_threads = [n if now else None for n, now in zip(own, changed, strict=True)]
        _blas_callers += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_callers -= 1
            for library, mine, host in zip(_libraries(), own, _host_threads, strict=True):
                threads = mine if _is_per_thread(library) else host if _blas_callers == 0 else None
                if threads is not None:
                    _set_threads(library, threads)


def _set_threads(library: LibController, threads: int) -> None:
    """Set the number of threads, and leave it to any thread of the process to set it again.

    Since threadpoolctl 3.8 OpenBLAS obeys the thread that first set it, and ignores all others until it is
    released.
    """
    library.set_num_threads(threads)
    if hasattr(library, "clear_controlling_thread"):
        library.clear_controlling_thread()


def _is_per_thread(library: LibController) -> bool:
    """Whether every thread of the process has a number of threads of its own."""
    return library.internal_api == "mkl" or getattr(library, "threading_layer", "") == "openmp"


class Clock:
    """Adds up the wall time of named stages; the time of an inner stage is not counted for the outer one."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._stages: dict[str, float] = {}
        self._within = [0.0]

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the body of a `with` statement as `stage`; times of the same name are added."""
        start = time.perf_counter()
        self._within.append(0.0)
        try:
            yield
        finally:
            whole = time.perf_counter() - start
            own = whole - self._within.pop()
            self._within[-1] += whole
            self._stages[stage] = self._stages.get(stage, 0.0) + own

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, and "total" since the clock was made."""
        stages = {stage: round(seconds, 4) for stage, seconds in self._stages.items()}
        return {**stages, "total": round(time.perf_counter() - self._start, 4)}
