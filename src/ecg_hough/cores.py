"""Independent pieces of work side by side. In: a function and what to call it with. Out: its results.

NumPy and OpenCV release the interpreter's lock where they compute, so threads do. There are no more of them
than OpenCV has: `batch` gives a process one where pages themselves are read side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import cv2

In = TypeVar("In")
Out = TypeVar("Out")


def pool_for(n_items: int) -> ThreadPoolExecutor:
    """Threads for so many pieces; for work of several steps, as what a thread keeps is there for the next."""
    return ThreadPoolExecutor(max(1, min(n_items, cv2.getNumThreads())))


def side_by_side(work: Callable[[In], Out], items: Sequence[In]) -> list[Out]:
    """What `work` makes of every item, in their order."""
    with pool_for(len(items)) as pool:
        return list(pool.map(work, items))
