"""How the work runs: independent pieces side by side, linear algebra on one core, wall time of every stage.

NumPy and OpenCV release the interpreter's lock where they compute, so threads do. There are no more of them
than OpenCV has: `batch` gives a process one where pages themselves are read side by side.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import cv2
from threadpoolctl import ThreadpoolController

In = TypeVar("In")
Out = TypeVar("Out")


def pool_for(n_items: int) -> ThreadPoolExecutor:
    """Threads for so many pieces; for work of several steps, as what a thread keeps is there for the next."""
    return ThreadPoolExecutor(max(1, min(n_items, cv2.getNumThreads())))


def side_by_side(work: Callable[[In], Out], items: Sequence[In]) -> list[Out]:
    """What `work` makes of every item, in their order."""
    with pool_for(len(items)) as pool:
        return list(pool.map(work, items))


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


_blas_lock = threading.Lock()
_blas_users: list[Any] = []
"""One entry a running caller: the limit that the first of them set, None for the others."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Linear algebra on one thread while any caller is within: small and banded, it makes a second one wait.

    The last caller to leave gives the host program its threads back, whatever order they leave in.
    """
    with _blas_lock:
        _blas_users.append(_blas().limit(limits=1) if not _blas_users else None)
    try:
        yield
    finally:
        with _blas_lock:
            # The limit that restores the host's threads is kept until nobody is within.
            _blas_users.remove(None) if None in _blas_users else _blas_users.pop().restore_original_limits()


class Clock:
    """Adds up the wall time of named stages; a stage within a stage counts for itself alone."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._stages: dict[str, float] = {}
        self._within = [0.0]

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the body of a `with` statement as `stage`; the same name may come again."""
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
