"""Finding pages: files, folders and archives in, pages with the names of their records out."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ecg_hough.documents.archives import keep_stream, unpack
from ecg_hough.documents.kinds import ARCHIVE_SUFFIXES, PAGE_SUFFIXES, Kind, kind_of
from ecg_hough.errors import PageError
from ecg_hough.output.export import FORMATS, PICTURE_SUFFIXES, record_name

REPORT_NAME = "report.json"
STANDARD_INPUT = "-"
OWN_SUFFIXES = (*PICTURE_SUFFIXES, *(s for one in FORMATS.values() for s in one.suffixes))
"""Files that we write ourselves: a folder of pages may hold their records, too."""


@dataclass(frozen=True)
class PageFile:
    """A file of pages to read: its path, its place under the output folder, and what is already wrong with
    it.

    Attributes:
        shown: how the user knows it, where its path is that of a temporary copy: a member of an archive.
        passed: it is of another kind and passed over, which `problem` says.
    """

    path: Path
    stem: str
    problem: str | None = None
    stage: str = "page"
    shown: Path | None = None
    passed: bool = False

    @property
    def name(self) -> Path:
        """The path by which the user knows it."""
        return self.shown or self.path


def printable(path: str | Path) -> str:
    """A path as text that every encoding takes: bytes that are not UTF-8 become `\\udcff` and the like."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def find_pages(inputs: Iterable[str | Path]) -> list[PageFile]:
    """Pages among files and folders, in natural order.

    A file is taken whatever its suffix. A folder is searched recursively for the suffixes of pages, hidden
    files and our own overlays omitted; its pages keep their path relative to it. Folders that
    cannot be listed, and pages that would write the same files, come back with a `problem`.

    Raises:
        ValueError: no page at all.
    """
    return [page for page in find_files(inputs) if not page.passed]


def find_files(inputs: Iterable[str | Path], unpack_to: Path | None = None) -> list[PageFile]:
    """Pages as `find_pages` finds them, then the folders' other files, which are passed over.

    Args:
        unpack_to: where archives are unpacked, and what is read from "-", standard input, is kept; without it
            archives are passed over.

    Raises:
        ValueError: no page at all.
    """
    entries = [Path(entry) for entry in inputs]
    pages: list[PageFile] = []
    for entry in entries:
        pages += _search(entry) if entry.is_dir() else [_named(entry, unpack_to)]
    pages = list({os.path.abspath(page.path): page for page in pages}.values())
    if unpack_to is not None:
        pages = [one for page in pages for one in _unpacked(page, unpack_to)]
    others = [page for page in pages if page.passed]
    pages = [page for page in pages if not page.passed]
    if not pages:
        names = ", ".join(map(str, entries)) or "nothing"
        raise ValueError(f"at least one page is needed ({', '.join(PAGE_SUFFIXES)}); found none in {names}")
    # Compared without case: on macOS and Windows A.json and a.json are one file.
    uses = Counter(page.stem.lower() for page in pages if page.problem is None)
    return [*(_check_stem(page, uses[page.stem.lower()], pages) for page in pages), *others]


def _named(entry: Path, unpack_to: Path | None) -> PageFile:
    if str(entry) != STANDARD_INPUT or unpack_to is None:
        return PageFile(entry, record_name(entry.stem))
    try:
        path = keep_stream(sys.stdin.buffer, unpack_to)
    except PageError as error:
        return PageFile(entry, "stdin", error.message, error.stage)
    return PageFile(path, "stdin", shown=Path("stdin"))


def _unpacked(page: PageFile, folder: Path) -> list[PageFile]:
    """The pages in an archive; of another file itself."""
    if page.problem is not None and not page.passed:
        return [page]
    try:
        if not page.path.is_file() or kind_of(page.path) is not Kind.archive:
            return [page]
        members = unpack(page.path, folder)
    except OSError:
        return [page]
    except PageError as error:
        return [replace(page, problem=error.message, passed=False)]
    out = []
    for member in members:
        shown = page.name / member.name
        if member.path is None:
            out.append(PageFile(shown, "", member.why_not, shown=shown, passed=member.passed))
        elif is_page(member.path.name):
            place = PurePosixPath(member.name)
            stem = f"{page.stem}/{(place.parent / record_name(place.stem)).as_posix()}"
            out.append(PageFile(member.path, stem, shown=shown))
        elif not place_is_hidden(member.name):
            out.append(_passed(shown))
    return out or [replace(page, problem=f"{page.path.name} is an empty archive", passed=False)]


def place_is_hidden(name: str) -> bool:
    """Whether a file, or a folder that it is in, is hidden, as those that macOS adds to archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _passed(path: Path) -> PageFile:
    kind = path.suffix or "a file without a suffix"
    return PageFile(path, "", f"{kind} is no kind of page that is read", shown=path, passed=True)


def is_page(name: str) -> bool:
    """Whether a file of that name in a folder is a page."""
    return (
        name.lower().endswith(PAGE_SUFFIXES)
        and not name.startswith(".")
        and not name.endswith(PICTURE_SUFFIXES)
    )


def _search(folder: Path) -> Iterator[PageFile]:
    unlisted: list[OSError] = []
    found: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=unlisted.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in names if not name.startswith(".")]
    for error in unlisted:
        problem = f"cannot list the folder: {error.strerror or error}"
        yield PageFile(Path(error.filename or folder), "", problem)
    for path in sorted(found, key=lambda path: _natural(str(path.relative_to(folder)))):
        place = path.relative_to(folder)
        if is_page(path.name):
            yield PageFile(path, (place.parent / record_name(place.stem)).as_posix())
        elif path.name.lower().endswith(ARCHIVE_SUFFIXES):
            stem = (place.parent / record_name(place.stem)).as_posix()
            yield PageFile(path, stem, f"{path.name} is an archive", passed=True)
        elif not path.name.endswith(OWN_SUFFIXES):
            yield _passed(path)


def _natural(text: str) -> list[tuple[int, int | str]]:
    """Sort key that puts page2 before page10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(0, int(part)) if part.isascii() and part.isdigit() else (1, part.lower()) for part in parts]


def _check_stem(page: PageFile, uses: int, pages: Sequence[PageFile]) -> PageFile:
    if page.problem is not None:
        return page
    if f"{page.stem}.json" == REPORT_NAME:
        problem = f"{REPORT_NAME} in the output folder is the report of the run; rename the page"
        return replace(page, problem=problem, stage="export")
    if uses > 1:
        others = [
            str(other.name)
            for other in pages
            if other.stem.lower() == page.stem.lower() and other is not page
        ]
        problem = f"would write the same files {page.stem}.* as {', '.join(others[:3])}; rename one of them"
        return replace(page, problem=problem, stage="export")
    return page
