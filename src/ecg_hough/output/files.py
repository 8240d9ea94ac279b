"""Files written whole: under a temporary name in the same folder, flushed to the disk, then renamed.

In: bytes, or files in a temporary folder. Out: files that are complete, or none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ecg_hough.errors import PageError
from ecg_hough.output.samples import PROGRAM

STAGING_PREFIX = ".ecg-hough-"
"""Of temporary folders; a killed run leaves them."""


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A temporary folder on the target's own disk; an OSError inside becomes a PageError.

    Raises:
        PageError: stage "export": the folder cannot be written, or the disk is full.
    """
    stage: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=folder))
        yield stage
    except OSError as error:
        # numpy reports a short write without an errno.
        reason = error.strerror or f"{error}; is the disk full?"
        raise PageError("export", f"cannot write into {folder}: {reason}; no file was written") from error
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)


def move_all(stage: Path, folder: Path, names: Sequence[str]) -> None:
    """Rename finished files into place in order; if one fails, remove those already there.

    They are on the disk before they have their names, and so are the names when this returns.
    """
    moved: list[Path] = []
    try:
        for name in names:
            _flush(stage / name)
        for name in names:
            os.replace(stage / name, folder / name)
            moved.append(folder / name)
        _flush(folder)
    except OSError:
        for path in moved:
            path.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return  # Windows cannot open folders
    handle = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        # Some network file systems cannot flush folders.
        with contextlib.suppress(OSError) if is_folder else contextlib.nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes) -> Path:
    """Write one file.

    Raises:
        PageError: stage "export".
    """
    with staging(path.parent) as stage:
        (stage / path.name).write_bytes(content)
        move_all(stage, path.parent, [path.name])
    return path


def sum_of(path: Path) -> str:
    """The sha256 of a file, by which a finished page's files are known to be whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def claim_of(folder: Path, name: str) -> Path:
    """The list of a page's files while they are renamed: they are ours though no JSON lists them yet."""
    return folder / f".{name}.unfinished"


def refuse_foreign(folder: Path, name: str, names: Sequence[str]) -> None:
    """Writing into a folder of truth records, or of a person's own files, must not destroy them.

    A file is ours if the page's JSON lists it, if a header that we signed stands for it, or if it remains of
    a run that was killed.

    Args:
        folder: that is written into; name: of the record; names: of its files.

    Raises:
        PageError: stage "export": one of the files is there and is not known to be ours.
    """
    known: set[str] = set()
    page_json, header = folder / f"{name}.json", folder / f"{name}.hea"
    if _is_signed(page_json, f'"program": "{PROGRAM}"'):
        known |= {page_json.name, *files_listed(page_json)}
    if _is_signed(header, f" by {PROGRAM}"):
        known |= {header.name, f"{name}.dat"}
    with contextlib.suppress(OSError, ValueError):
        known |= set(json.loads(claim_of(folder, name).read_bytes()))
    for file in names:
        if file not in known and (folder / file).exists():
            raise PageError(
                "export",
                f"{folder / file} exists and was not written by {PROGRAM}; choose another output folder "
                "or allow it with --overwrite",
            )


def _is_signed(path: Path, sign: str) -> bool:
    return path.is_file() and sign in path.read_text(encoding="utf-8", errors="replace")


def files_listed(page_json: Path) -> list[str]:
    """Names of the files that a page's JSON lists; none where it cannot be read."""
    try:
        return [str(name) for name in json.loads(page_json.read_bytes())["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
