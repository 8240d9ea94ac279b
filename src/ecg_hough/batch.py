"""Many pages: find them, digitise each, write its files, and go on whatever happens to one of them.

What enters: files and folders, an output folder, what reads one page. What leaves: the files of every page
that could be read, `report.json` in the output folder, and a `BatchReport`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import ecg_hough
from ecg_hough.errors import PageError
from ecg_hough.image.reading import IMAGE_SUFFIXES, read_page
from ecg_hough.options import READOUTS, check_arguments
from ecg_hough.output.ecg import Ecg
from ecg_hough.output.export import (
    ALWAYS,
    FORMATS,
    PICTURE_SUFFIXES,
    PROGRAM,
    record_name,
    write_document,
    write_page,
)
from ecg_hough.paper import FS_HZ

log = logging.getLogger(__name__)

REPORT_NAME = "report.json"
CODE_FOLDER = Path(__file__).parent
WEIGHTS_FOLDER = CODE_FOLDER / "networks" / "weights"
PAGE_ROOMS = ("image", "geometry", "networks", "layout", "traces", "signals", "output")
"""Rooms of the package whose code decides what is read from a page and written for it."""
EXTRAS = tuple(name for name in FORMATS if name not in ALWAYS)
"""Formats that are written where they are asked for."""

Readout = Literal["trace", "centroid"]


@dataclass(frozen=True)
class PageFile:
    """A page to read: its path, its place under the output folder, and what is already wrong with it."""

    path: Path
    stem: str
    problem: str | None = None
    stage: str = "page"


class PageFailure(NamedTuple):
    """Why one page has no files: `stage` is a `PageError`'s, or "internal"."""

    path: Path
    stage: str
    message: str


@dataclass(frozen=True)
class PageResult:
    """What became of one page; `stage` and `message` only if it failed."""

    path: Path
    stem: str
    status: Literal["done", "skipped", "failed"]
    stage: str | None = None
    message: str | None = None
    leads_found: int | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class BatchReport:
    """A finished run: paths of the pages done and skipped, the failures, and every page's result."""

    done: tuple[Path, ...]
    skipped: tuple[Path, ...]
    failed: tuple[PageFailure, ...]
    pages: tuple[PageResult, ...]
    seconds: float


class PageReader(Protocol):
    """What reads one page: the package's own `Digitizer`, or another system's method.

    With several processes it is sent to each of them, so it must be picklable: a frozen dataclass at the top
    of a module is.
    """

    def __call__(self, path: Path) -> Ecg:
        """Read the page; PageError where it cannot be read."""

    def options(self) -> dict[str, Any]:
        """What it takes as known of the pages, and how it reads them; ready for JSON."""

    def sources(self, path: Path) -> Sequence[Path]:
        """Files that decide the record besides the page and this package: own code, masks of the page."""


@dataclass(frozen=True)
class Digitizer:
    """Reads a page with `pipeline.digitize`; the attributes are its arguments.

    Attributes:
        fs: sampling frequency of the record, Hz.
        speed_mm_s, gain_mm_mv: paper speed and gain; None takes them from the page or the standard.
        readout: "trace", or "centroid" for the column-centroid baseline.
    Raises:
        ValueError: a bad argument.
    """

    fs: int = FS_HZ
    speed_mm_s: float | None = None
    gain_mm_mv: float | None = None
    readout: Readout = "trace"

    def __post_init__(self) -> None:
        if self.readout not in READOUTS:
            raise ValueError(f"readout must be {' or '.join(READOUTS)}; got {self.readout!r}")
        check_arguments(fs=self.fs, speed_mm_s=self.speed_mm_s, gain_mm_mv=self.gain_mm_mv)

    def __call__(self, path: Path) -> Ecg:
        # The networks that it loads stay loaded in this process.
        from ecg_hough.pipeline import digitize

        return digitize(
            path,
            fs=self.fs,
            speed_mm_s=self.speed_mm_s,
            gain_mm_mv=self.gain_mm_mv,
            options=READOUTS[self.readout],
        )

    def options(self) -> dict[str, Any]:
        return asdict(self)

    def sources(self, path: Path) -> Sequence[Path]:
        return ()


SHIPPED_READER = Digitizer()


@dataclass(frozen=True)
class _Job:
    page: PageFile
    out: Path
    read: PageReader
    extras: frozenset[str]
    versions: dict[str, str]
    overwrite: bool

    @property
    def json_path(self) -> Path:
        return self.out / f"{self.page.stem}.json"

    @property
    def options(self) -> dict[str, Any]:
        return self.read.options() | {name: name in self.extras for name in EXTRAS}


def find_pages(inputs: Iterable[str | Path]) -> list[PageFile]:
    """Pages among files and folders, in natural order.

    A file is taken whatever its suffix. A folder is searched recursively for image suffixes, hidden
    files and our own overlays omitted; its pages keep their path relative to it. Folders that
    cannot be listed, and pages that would write the same files, come back with a `problem`.

    Raises:
        ValueError: no page at all.
    """
    entries = [Path(entry) for entry in inputs]
    pages: list[PageFile] = []
    for entry in entries:
        pages += _search(entry) if entry.is_dir() else [PageFile(entry, record_name(entry.stem))]
    pages = list({os.path.abspath(page.path): page for page in pages}.values())
    if not pages:
        names = ", ".join(map(str, entries)) or "nothing"
        raise ValueError(f"at least one page is needed ({', '.join(IMAGE_SUFFIXES)}); found none in {names}")
    # Compared without case: on macOS and Windows A.json and a.json are one file.
    uses = Counter(page.stem.lower() for page in pages if page.problem is None)
    return [_check_stem(page, uses[page.stem.lower()], pages) for page in pages]


def _search(folder: Path) -> Iterator[PageFile]:
    unlisted: list[OSError] = []
    found: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=unlisted.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(root, name)
            for name in names
            if name.lower().endswith(IMAGE_SUFFIXES)
            and not name.startswith(".")
            and not name.endswith(PICTURE_SUFFIXES)
        ]
    for error in unlisted:
        problem = f"cannot list the folder: {error.strerror or error}"
        yield PageFile(Path(error.filename or folder), "", problem)
    for path in sorted(found, key=lambda path: _natural(str(path.relative_to(folder)))):
        place = path.relative_to(folder)
        yield PageFile(path, (place.parent / record_name(place.stem)).as_posix())


def _natural(text: str) -> list[tuple[int, int | str]]:
    """Sort key that puts page2 before page10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(0, int(part)) if part.isascii() and part.isdigit() else (1, part.lower()) for part in parts]


def _check_stem(page: PageFile, uses: int, pages: Sequence[PageFile]) -> PageFile:
    if page.problem is not None:
        return page
    if f"{page.stem}.json" == REPORT_NAME:
        problem = f"{REPORT_NAME} in the output folder is the report of the run; rename the page"
        return PageFile(page.path, page.stem, problem, "export")
    if uses > 1:
        others = [
            str(other.path)
            for other in pages
            if other.stem.lower() == page.stem.lower() and other is not page
        ]
        problem = f"would write the same files {page.stem}.* as {', '.join(others[:3])}; rename one of them"
        return PageFile(page.path, page.stem, problem, "export")
    return page


def predict_pages(
    inputs: Iterable[str | Path],
    out: str | Path,
    *,
    read: PageReader = SHIPPED_READER,
    extras: Collection[str] = (),
    workers: int = 1,
    overwrite: bool = False,
    on_page: Callable[[PageResult, int], None] | None = None,
) -> BatchReport:
    """Digitise pages and write their files under `out`.

    A page that fails is recorded and the others go on. A page is skipped if its JSON is there and was made
    from the same bytes with the same reader, options and versions.

    Args:
        inputs: files and folders, see `find_pages`.
        out: output folder, made if missing.
        read: reads one page; see `Digitizer` for sampling frequency, paper speed, gain and read-out.
        extras: files to write for each page besides WFDB and JSON, see `EXTRAS`.
        workers: processes; with more than one, call from under `if __name__ == "__main__"`.
        overwrite: do finished pages again, and write over files of other programs.
        on_page: called in this process after each page with its result and the number of pages.

    Raises:
        ValueError: a bad argument, or no page at all.
        PageError: stage "export": the output folder or the report cannot be written.
    """
    start = time.perf_counter()
    out, inputs = Path(out), [Path(entry) for entry in inputs]
    check_arguments(workers=workers)
    if unknown := sorted(set(extras) - set(EXTRAS)):
        raise ValueError(f"extras must be of {', '.join(EXTRAS)}; got {', '.join(unknown)}")
    pages = find_pages(inputs)
    versions = _versions()
    jobs = [_Job(page, out, read, frozenset(extras), versions, overwrite) for page in pages]
    run = {
        "program": PROGRAM,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": 0.0,
        "versions": versions,
        "options": jobs[0].options | {"workers": workers, "overwrite": overwrite},
        "inputs": [str(entry) for entry in inputs],
    }
    results: dict[Path, PageResult] = {}

    def report() -> None:
        run["seconds"] = round(time.perf_counter() - start, 3)
        counts = dict(Counter(result.status for result in results.values()))
        rows = [asdict(result) | {"path": str(result.path)} for result in results.values()]
        write_document(run | {"counts": counts, "pages": rows}, out / REPORT_NAME)

    # Also finds out before the first page that the folder cannot be written.
    report()
    try:
        for result in _results(jobs, workers):
            results[result.path] = result
            if result.status == "failed":
                log.info("%s: %s: %s", result.path, result.stage, result.message)
            if on_page is not None:
                on_page(result, len(pages))
    finally:
        report()
    return _batch_report([results[page.path] for page in pages], time.perf_counter() - start)


def _batch_report(results: Sequence[PageResult], seconds: float) -> BatchReport:
    return BatchReport(
        done=tuple(r.path for r in results if r.status == "done"),
        skipped=tuple(r.path for r in results if r.status == "skipped"),
        failed=tuple(
            PageFailure(r.path, r.stage or "", r.message or "") for r in results if r.status == "failed"
        ),
        pages=tuple(results),
        seconds=seconds,
    )


def _results(jobs: Sequence[_Job], workers: int) -> Iterator[PageResult]:
    """Results as they come: known failures and finished pages first."""
    pending: list[_Job] = []
    for job in jobs:
        page = job.page
        if page.problem is not None:
            yield PageResult(page.path, page.stem, "failed", page.stage, page.problem)
        elif not job.overwrite and _is_finished(job):
            yield PageResult(page.path, page.stem, "skipped")
        else:
            pending.append(job)
    if workers == 1 or len(pending) <= 1:
        yield from map(_predict_page, pending)
        return
    lost: list[_Job] = []
    with _pool(min(workers, len(pending))) as pool:
        futures = {pool.submit(_predict_page, job): job for job in pending}
        try:
            for future in as_completed(futures):
                try:
                    yield future.result()
                except BrokenProcessPool:
                    lost.append(futures[future])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    # A process that was killed, perhaps for lack of memory, takes the pool's other pages with it: each of
    # them gets a process of its own, so that only the page at fault fails.
    for job in lost:
        with _pool(1) as pool:
            try:
                yield pool.submit(_predict_page, job).result()
            except BrokenProcessPool:
                message = "the process died, perhaps out of memory; use fewer --workers or a smaller image"
                yield PageResult(job.page.path, job.page.stem, "failed", "internal", message)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: OpenVINO's and OpenCV's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    level = logging.getLogger(ecg_hough.__name__).level
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker, initargs=(level,))


def _begin_worker(level: int) -> None:
    """One OpenCV thread a process, as the pages are the parallel dimension; the log as in the parent."""
    import cv2

    cv2.setNumThreads(1)
    logging.basicConfig(format="%(levelname)s %(name)s [%(processName)s]: %(message)s")
    logging.getLogger(ecg_hough.__name__).setLevel(level)


def _predict_page(job: _Job) -> PageResult:
    """Digitise one page and write its files; every exception becomes a result."""
    start = time.perf_counter()
    page = job.page
    try:
        ecg = job.read(page.path)
        drawn = any(FORMATS[name].needs_image for name in job.extras)
        write_page(
            ecg,
            job.json_path.parent,
            page.path.stem,
            formats=job.extras,
            image=read_page(page.path).image if drawn else None,
            extra={"request": _request(job)},
            overwrite=job.overwrite,
        )
    except PageError as error:
        stage, message = error.stage, error.message
    except Exception as error:
        log.debug("%s", page.path, exc_info=True)
        stage, message = "internal", f"{type(error).__name__}: {error}"
    else:
        found = sum(status.found for status in ecg.lead_status)
        seconds = round(time.perf_counter() - start, 3)
        return PageResult(
            page.path, page.stem, "done", leads_found=found, warnings=tuple(ecg.warnings), seconds=seconds
        )
    seconds = round(time.perf_counter() - start, 3)
    return PageResult(page.path, page.stem, "failed", stage, message, seconds=seconds)


def _request(job: _Job) -> dict[str, Any]:
    """What a page's files were made from; equal requests give equal files."""
    with job.page.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    request = {"sha256": digest, "options": job.options, "versions": job.versions}
    sources = job.read.sources(job.page.path)
    if sources:
        request["sources"] = {path.name: digest_of([path], path.parent) for path in sources}
    return request


def _is_finished(job: _Job) -> bool:
    try:
        written = json.loads(job.json_path.read_bytes())
        files = [job.json_path.parent / name for name in written["files"]]
        return written["request"] == _request(job) and all(path.is_file() for path in files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _versions() -> dict[str, str]:
    """The package, and hashes of the code that reads and writes a page and of the weights.

    The version alone stays the same while the code is worked on, and a benchmark must not score the files of
    older code. Code that only renders, trains, scores or prints changes no page.
    """
    weights = sorted(path for path in WEIGHTS_FOLDER.glob("*") if path.is_file())
    return {
        "ecg_hough": ecg_hough.__version__,
        "code": digest_of(page_code(CODE_FOLDER), CODE_FOLDER),
        "weights": digest_of(weights, WEIGHTS_FOLDER),
    }


def page_code(folder: Path) -> list[Path]:
    """Modules of the package in `folder` that read and write a page: ground floor, pipeline, `PAGE_ROOMS`."""
    top = [path for path in folder.glob("*.py") if path.name not in ("batch.py", "__init__.py")]
    return sorted(top + [path for room in PAGE_ROOMS for path in (folder / room).rglob("*.py")])


def digest_of(paths: Iterable[Path], folder: Path) -> str:
    """First digits of the sha256 of files' names, relative to `folder`, and contents."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
