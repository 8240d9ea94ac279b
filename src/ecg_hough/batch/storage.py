"""Files anywhere: a path, `s3://bucket/key`, `https://host/page.png`, or what else fsspec knows.

In: URIs. Out: bytes with a limit and a checksum, names in a folder; whole files put in one step. What fails
for a moment is tried again, after waits that grow. Credentials and endpoints come from the environment
(`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL` and the like).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ecg_hough.errors import PageError
from ecg_hough.output.export import write_whole

log = logging.getLogger(__name__)

Value = TypeVar("Value")

MOST_BYTES = 200_000_000
"""Largest file that is read for a page."""
TRIES, FIRST_WAIT_S = 4, 0.5
"""Times that a storage is asked, and the wait before the second; each further one is twice as long."""
LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""Errors that another try does not mend."""
CLIENTS = ("aiohttp", "botocore", "s3fs", "gcsfs", "adlfs", "requests", "urllib3")
"""Packages whose errors are those of a network."""
_CHUNK_BYTES = 1 << 20
_ESCAPED = re.compile(r"\\udc([89a-f][0-9a-f])")


def is_uri(place: str) -> bool:
    """Whether a place is a URI with a scheme, not a path."""
    return re.match(r"[a-z][a-z0-9+.-]+://", place, re.IGNORECASE) is not None


def join(folder: str, *names: str) -> str:
    """A URI or path below a folder."""
    return "/".join((folder.rstrip("/") or "/", *names))


def read_bytes(
    uri: str, *, most_bytes: int = MOST_BYTES, sha256: str | None = None, size: int | None = None
) -> bytes:
    """All of a file.

    Args:
        most_bytes: a larger file is not read.
        sha256, size: what it must be; None where that is not known.
    Raises:
        PageError: stage "fetch": it is not there, may not be read, is larger, is not what it must be, or the
            storage failed several times.
    """
    data = _tried(lambda: _read(uri, most_bytes), uri)
    for name, expected, got in (("size", size, len(data)), ("sha256", sha256, None)):
        found = hashlib.sha256(data).hexdigest() if got is None and expected is not None else got
        if expected is not None and found != expected:
            raise PageError("fetch", f"{uri} must have the {name} {expected} of the manifest; got {found}")
    return data


def put_bytes(uri: str, data: bytes) -> None:
    """Write a whole file in one step: a put, or on a disk a rename of what is on the disk already.

    Raises:
        PageError: stage "export" or "fetch": it cannot be written.
    """
    path = local_path(uri)
    if path is not None:
        write_whole(path, data)
        return
    system, place = _system(uri)
    _tried(lambda: system.pipe_file(place, data), uri)


def remove(uri: str) -> None:
    """Remove a file, if it is there."""
    system, place = _system(uri)
    with contextlib.suppress(FileNotFoundError):
        system.rm_file(place)


def exists(uri: str) -> bool:
    """Whether there is such a file."""
    system, place = _system(uri)
    return bool(_tried(lambda: system.isfile(place), uri))


def names_in(uri: str) -> dict[str, int]:
    """Sizes of the files in a folder by their names; none where there is no such folder."""
    system, place = _system(uri)

    def listed() -> list[dict[str, Any]]:
        try:
            return list(system.ls(place, detail=True))
        except FileNotFoundError:
            return []

    entries = _tried(listed, uri)
    return {
        entry["name"].rstrip("/").rpartition("/")[2]: int(entry["size"] or 0)
        for entry in entries
        if entry["type"] == "file"
    }


def files_below(uri: str) -> dict[str, int]:
    """Sizes of all files below a folder, or of the one file, by their URIs, in the order of their names."""
    system, place = _system(uri)
    found = _tried(lambda: system.find(place, detail=True), uri)
    return {
        system.unstrip_protocol(name) if is_uri(uri) else name: int(found[name]["size"] or 0)
        for name in sorted(found)
    }


def local_path(uri: str) -> Path | None:
    """The path of a file on this machine; None of any other URI."""
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    if is_uri(uri):
        return None
    path = Path(uri)
    if "\\udc" in uri and not path.exists():  # a name that is not UTF-8, as `pages.printable` writes it
        path = Path(_ESCAPED.sub(lambda found: chr(0xDC00 + int(found[1], 16)), uri))
    return path


def _system(uri: str) -> tuple[Any, str]:
    """The file system of a URI, and the file's name there.

    Raises:
        ValueError: no such scheme, or what reads it is not installed.
    """
    import fsspec

    path = local_path(uri)
    try:
        system, place = fsspec.core.url_to_fs(
            uri if path is None else os.path.abspath(path), use_listings_cache=False
        )
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"{uri} must be a path or a URI that can be read here; {error} "
            '(s3 and http need pip install "ecg-hough[batch]")'
        ) from error
    return system, str(place)


def _read(uri: str, most_bytes: int) -> bytes:
    path = local_path(uri)
    if path is not None:
        if path.exists() and not path.is_file():
            raise PageError("fetch", f"{uri} is no plain file")
        size: int | None = path.stat().st_size
        system, place = None, ""
    else:
        system, place = _system(uri)
        # A web server need not state a size; what it sends is counted.
        size = None if uri.startswith("http") else system.info(place)["size"]
    _check_size(uri, size or 0, most_bytes)
    if path is not None:
        return path.read_bytes()
    assert system is not None
    if size is not None:
        return bytes(system.cat_file(place))
    chunks, total = [], 0
    # Streamed; a size is given so that fsspec does not ask for it first, which some servers answer in full.
    with system.open(place, "rb", block_size=0, size=1) as file:
        while chunk := file.read(_CHUNK_BYTES):
            chunks.append(chunk)
            total += len(chunk)
            _check_size(uri, total, most_bytes)
    return b"".join(chunks)


def _check_size(uri: str, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise PageError(
            "fetch", f"{uri} has {size} bytes or more; at most {most_bytes} are read: allow more by --most-mb"
        )


def _tried(ask: Callable[[], Value], uri: str) -> Value:
    """The storage's answer, asked again where it fails for a moment."""
    for k in range(TRIES):
        try:
            return ask()
        except Exception as error:
            if (reason := _lasting(error)) is not None:
                raise PageError("fetch", f"cannot reach {uri}: {reason}") from error
            if not isinstance(error, OSError) and not _is_of_a_client(error):
                raise
            if k + 1 == TRIES:
                said = str(error) or type(error).__name__
                raise PageError("fetch", f"cannot reach {uri} in {TRIES} tries: {said}") from error
            wait_s = FIRST_WAIT_S * 2**k * random.uniform(0.5, 1.5)
            log.info("%s: %s; again in %.1f s", uri, error, wait_s)
            time.sleep(wait_s)
    raise AssertionError("unreachable")


def _is_of_a_client(error: BaseException | None) -> bool:
    return type(error).__module__.partition(".")[0] in CLIENTS


def _lasting(error: Exception) -> str | None:
    """Why another try would not help; None where it may."""
    # fsspec has every failure of a web server as a file that is not there.
    answer = error.__cause__ if _is_of_a_client(error.__cause__) else error
    status = getattr(answer, "status", None)
    if isinstance(status, int) and 400 <= status < 500 and status not in (408, 429):
        return "no such file" if status in (404, 410) else f"refused with status {status}"
    if isinstance(answer, FileNotFoundError):
        return "no such file"
    if isinstance(answer, LASTING):
        return str(answer.strerror or answer)
    return None
