"""One run a folder: a lock that the system releases however its process ends.

In: a folder. Out: a context manager; another process in the same folder is refused meanwhile.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecg_hough.errors import PageError

LOCK_NAME = ".ecg-hough.lock"


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the folder is made if missing.

    Where the file system has no locks, none is held.

    Raises:
        PageError: stage "export": another run holds it, or the folder cannot be written.
    """
    path = folder / LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _locked(path)
    except BlockingIOError as error:
        with contextlib.suppress(OSError):
            holder = path.read_text(encoding="utf-8", errors="replace").strip()
            raise PageError(
                "export",
                f"another run writes into {folder} ({holder}); wait for it or choose another output folder",
            ) from error
        raise PageError("export", f"another run writes into {folder}; wait for it") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise PageError("export", f"cannot write into {folder}: {reason}; no file was written") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held: who waits for it sees that it is another file
        os.close(handle)


def _locked(path: Path) -> int:
    """An open, locked file at that path.

    Raises:
        BlockingIOError: another process has it.
        OSError: it cannot be opened.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(handle)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    os.ftruncate(handle, 0)
                    os.write(handle, f"process {os.getpid()} on {os.uname().nodename}\n".encode())
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int) -> None:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return  # this file system has no locks
