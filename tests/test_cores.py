"""Threads of linear algebra and wall times: the host program gets its threads back, and stages add up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from ecg_hough.cores import Clock, one_blas_thread, side_by_side


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def in_a_thread(work: Callable[[], object]) -> None:
    """A thread that ends no longer controls the number of threads."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.fixture(autouse=True)
def host() -> Iterator[None]:
    """A host program that uses two threads for linear algebra."""
    libraries = ThreadpoolController().select(user_api="blas")
    before = [library.num_threads for library in libraries.lib_controllers]
    in_a_thread(lambda: threadpool_limits(2, user_api="blas"))
    assert blas_threads() == {2}
    yield
    for library, threads in zip(libraries.lib_controllers, before, strict=True):
        in_a_thread(partial(library.set_num_threads, threads))


def test_one_caller_gets_one_thread_and_gives_the_others_back() -> None:
    with one_blas_thread():
        assert blas_threads() == {1}
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {2}


@pytest.mark.parametrize("first_out", ["first in", "last in"])
def test_overlapping_threads_give_the_host_its_threads_back(first_out: str) -> None:
    entered = [threading.Event(), threading.Event()]
    leave = [threading.Event(), threading.Event()]
    seen: list[set[int]] = []

    def work(k: int) -> None:
        with one_blas_thread():
            entered[k].set()
            assert leave[k].wait(10)
            seen.append(blas_threads())

    threads = [threading.Thread(target=work, args=(k,)) for k in (0, 1)]
    for k, thread in enumerate(threads):
        thread.start()
        assert entered[k].wait(10)
    for k in (0, 1) if first_out == "first in" else (1, 0):
        assert blas_threads() == {1}
        leave[k].set()
        threads[k].join(10)
    assert seen == [{1}, {1}]
    assert blas_threads() == {2}


def test_a_thread_of_the_host_that_controls_the_libraries_keeps_its_number() -> None:
    with threadpool_limits(2, user_api="blas"):

        def work() -> None:
            with one_blas_thread():
                pass

        in_a_thread(work)
        assert blas_threads() == {2}
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {2}


def test_an_error_gives_the_threads_back() -> None:
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError("a")
    assert blas_threads() == {2}
    # And the next caller is limited again.
    with one_blas_thread():
        assert blas_threads() == {1}


def test_results_keep_the_order_of_their_items() -> None:
    def work(k: int) -> int:
        time.sleep(0.002 * (5 - k))
        return k * k

    assert side_by_side(work, range(5)) == [0, 1, 4, 9, 16]
    assert side_by_side(work, []) == []


def test_an_inner_stage_is_not_counted_for_the_outer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 2.0, 5.0, 6.0, 7.0, 7.5, 8.0])
    monkeypatch.setattr("ecg_hough.cores.time.perf_counter", lambda: next(now))
    clock = Clock()  # at 0
    with clock("page"), clock("grid"):  # from 1 to 6, and in it from 2 to 5
        pass
    with clock("page"):  # from 7 to 7.5
        pass
    assert clock.seconds() == {"grid": 3.0, "page": 2.5, "total": 8.0}


def test_a_stage_that_fails_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 3.0, 4.0])
    monkeypatch.setattr("ecg_hough.cores.time.perf_counter", lambda: next(now))
    clock = Clock()
    with pytest.raises(KeyError), clock("page"):
        raise KeyError("a")
    assert clock.seconds() == {"page": 2.0, "total": 4.0}
