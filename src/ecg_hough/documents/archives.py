"""Archives and streams to files: what a zip archive holds, without escapes and bombs; standard input.

In: an archive, or a stream, and a folder. Out: files in it.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from ecg_hough.errors import PageError

MEMBERS_MAX = 50_000
MEMBER_BYTES_MAX, TOTAL_BYTES_MAX = 1 << 30, 8 << 30
"""Largest member, and all of an archive together: 8 GiB hold 4,000 scans."""
RATIO_MAX, RATIO_FROM_BYTES = 200, 1 << 20
"""Greatest ratio of a member's size to its compressed size, from this size on: blank scans reach 100."""
STREAM_BYTES_MAX = 1 << 30
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        name: in the archive; path: of its copy, None where there is none.
        why_not: in that case; passed: it need not be a page, such as an archive in an archive.
    """

    name: str
    path: Path | None
    why_not: str = ""
    passed: bool = False


def unpack(archive: Path, folder: Path) -> list[Member]:
    """Copy an archive's files into a new folder within `folder`.

    Raises:
        PageError: damaged, or too large to be an archive of pages.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            infos = [info for info in opened.infolist() if not info.is_dir()]
            if len(infos) > MEMBERS_MAX:
                raise PageError(
                    "page", f"{archive.name} holds {len(infos)} files, at most {MEMBERS_MAX}; split it"
                )
            total = sum(info.file_size for info in infos)
            if total > TOTAL_BYTES_MAX:
                raise PageError(
                    "page",
                    f"{archive.name} would take {total / 2**30:.0f} GiB unpacked, at most"
                    f" {TOTAL_BYTES_MAX / 2**30:.0f}; split it",
                )
            place = folder / f"{len(list(folder.iterdir()))}"
            place.mkdir()
            return [_copied(opened, info, place / str(k)) for k, info in enumerate(infos)]
    except (zipfile.BadZipFile, OSError, zlib.error, NotImplementedError, ValueError) as error:
        raise PageError("page", f"{archive.name} is a damaged archive ({error}); copy it again") from error


def _copied(opened: zipfile.ZipFile, info: zipfile.ZipInfo, place: Path) -> Member:
    """A member's copy, alone in a folder of its own: its path in the archive plays no part."""
    name = info.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or ":" in name or "\0" in name or not parts:
        return Member(name, None, "its path leads out of the archive; it was not unpacked")
    if (info.external_attr >> 16) & 0o170000 == 0o120000:
        return Member(name, None, "it is a link; it was not unpacked")
    if info.flag_bits & 0x1:
        return Member(name, None, "it is encrypted; unpack the archive with its password first")
    if name.lower().endswith(".zip"):
        return Member(name, None, "it is an archive in an archive; unpack it first", passed=True)
    if info.file_size > MEMBER_BYTES_MAX or (
        info.file_size > RATIO_FROM_BYTES and info.file_size > RATIO_MAX * max(1, info.compress_size)
    ):
        return Member(
            name, None, f"it would take {info.file_size / 2**20:.0f} MiB unpacked, too much for a page"
        )
    place.mkdir()
    path = place / parts[-1]
    try:
        with opened.open(info) as source, path.open("wb") as copy:
            _copy(source, copy, info.file_size)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        shutil.rmtree(place, ignore_errors=True)
        return Member(name, None, f"it is damaged in the archive ({error})")
    return Member(name, path)


def _copy(source: IO[bytes], copy: BinaryIO, most: int) -> None:
    """Copy a stream; its stated size may be a lie."""
    written = 0
    while chunk := source.read(_CHUNK):
        written += len(chunk)
        if written > most:
            raise zipfile.BadZipFile(f"larger than the stated {most} bytes")
        copy.write(chunk)


def keep_stream(stream: BinaryIO, folder: Path) -> Path:
    """A file with what a stream holds.

    Raises:
        PageError: empty, or too long for a page.
    """
    place = folder / f"{len(list(folder.iterdir()))}"
    place.mkdir()
    path = place / "stdin"
    try:
        with path.open("wb") as copy:
            _copy(stream, copy, STREAM_BYTES_MAX)
    except zipfile.BadZipFile as error:
        raise PageError("page", f"standard input is {error}; give the file's path") from error
    if not path.stat().st_size:
        raise PageError("page", "standard input is empty; pipe a page into it, or give a file's path")
    return path
