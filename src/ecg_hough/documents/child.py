"""A child process that reads with a foreign library, and is ended when that hangs, crashes or takes too much.

In: a function of a module of this package that is named by the caller, and its arguments. Out: what it
    returns.
A decoder written in C cannot be interrupted in its own process; a process can. The child is kept for the next
call, because it takes a third of a second to start.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn

from ecg_hough.errors import PageError

LIMIT_S = 15.0
"""Longest that a call may take: a page of 30,000 strokes takes 0.5 s, drawn at 300 dpi."""
MEMORY_BYTES = 6 << 30
"""Most memory that the child may address, where the system can limit it: a page of 200 megapixels takes 1.5
GB."""
_SIZE_BYTES = 8


class ChildEndedError(PageError):
    """The child took too long, too much memory, or crashed."""


class Child:
    """A process that calls functions of this package; started on the first call, and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def call(self, function: Callable[..., Any], *args: Any, limit_s: float = LIMIT_S, what: str = "") -> Any:
        """What a module's function returns in the child.

        Args:
            function: at the top of a module of this package; args: picklable.
            limit_s: after this time the child is ended; what: names the file in errors.
        Raises:
            PageError: the function raised it, took too long, or ended the child.
            RuntimeError: the function raised something else.
        """
        with self._lock:
            process = self._running()
            begun = time.monotonic()
            late = threading.Timer(limit_s, process.kill)
            late.start()
            try:
                request = (function.__module__, function.__name__, args, limit_s)
                _send(process.stdin, request)
                kind, value = _receive(process.stdout)
            except (OSError, EOFError, pickle.UnpicklingError):
                self._raise_why(process, time.monotonic() - begun >= limit_s, limit_s, what)
            finally:
                late.cancel()
        if kind == "error":
            raise PageError("page", value)
        if kind == "bug":
            raise RuntimeError(f"reading {what} failed in the child process:\n{value}")
        return value

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.end()
            # Not by multiprocessing: it would import the user's own script again.
            code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
            self._process = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        return self._process

    def _raise_why(self, process: subprocess.Popen[bytes], late: bool, limit_s: float, what: str) -> NoReturn:
        process.kill()
        code = process.wait()
        self.end()
        if late:
            raise ChildEndedError(
                "page",
                f"reading {what} took more than {limit_s:g} s and was ended; the file is damaged, or made to"
                " exhaust its reader: print it to a new PDF, or export its page as an image",
            )
        raise ChildEndedError(
            "page",
            f"reading {what} ended its reader (exit status {code}), perhaps for want of memory; the file is"
            " damaged: print it to a new PDF, or export its page as an image",
        )


SHARED = Child()
"""The one that this process uses."""
atexit.register(SHARED.end)


def serve() -> None:
    """Answer calls until the parent closes the pipe; runs in the child."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What a library prints must not get among the answers.
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which closes the pipe
    _limit_memory()
    # The alarm ends the process even inside a foreign library, and when the parent is no more.
    alarm = getattr(signal, "setitimer", None)
    while True:
        try:
            module, name, args, limit_s = _receive(requests)
        except EOFError:
            return
        if alarm is not None:
            alarm(signal.ITIMER_REAL, limit_s)
        try:
            answer = ("value", getattr(importlib.import_module(module), name)(*args))
        except PageError as error:
            answer = ("error", error.message)
        except MemoryError:
            answer = ("error", "reading the page takes too much memory; the file is damaged or hostile")
        except Exception:
            answer = ("bug", traceback.format_exc())
        if alarm is not None:
            alarm(signal.ITIMER_REAL, 0.0)
        _send(answers, answer)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _send(pipe: BinaryIO | Any, value: Any) -> None:
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(len(data).to_bytes(_SIZE_BYTES, "big"))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: BinaryIO | Any) -> Any:
    size = pipe.read(_SIZE_BYTES)
    if len(size) < _SIZE_BYTES:
        raise EOFError
    data = pipe.read(int.from_bytes(size, "big"))
    return pickle.loads(data)
