"""Many pages: find them, digitise each, write its files, and go on whatever happens to one of them.

What enters: files and folders, an output folder, what reads one page. What leaves: the files of every page
that could be read, `report.json` in the output folder, and a `BatchReport`.
"""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ecg_hough.batch.lineage import PageReader, digest_of, versions
from ecg_hough.batch.lock import only_run
from ecg_hough.batch.pages import REPORT_NAME, PageFile, find_files, printable
from ecg_hough.batch.reader import SHIPPED_READER, picture_of, read_file
from ecg_hough.batch.workers import Ended, Limits, Workers
from ecg_hough.document import PagesRead
from ecg_hough.documents.pages import count_pages
from ecg_hough.errors import PageError
from ecg_hough.image.reading import check_file
from ecg_hough.options import check_arguments
from ecg_hough.output.export import ALWAYS, FORMATS, PROGRAM, write_document, write_page
from ecg_hough.output.files import STAGING_PREFIX, sum_of

log = logging.getLogger(__name__)

EXTRAS = tuple(name for name in FORMATS if name not in ALWAYS)
"""Formats that are written where they are asked for."""
REPORT_EVERY_S, REPORT_SHARE = 5.0, 0.02
"""Least time from one writing of the report to the next, and the share of the run that may be spent on it."""


class PageFailure(NamedTuple):
    """Why one page has no files: `stage` is a `PageError`'s, or "internal"."""

    path: Path
    stage: str
    message: str


@dataclass(frozen=True)
class PageResult:
    """What became of one page, or of several that are one recording.

    `stage` and `message` only if it failed, or was passed over: a file of another kind, or a page without
    anything to read. `pages` are their numbers in the file.
    """

    path: Path
    stem: str
    status: Literal["done", "skipped", "failed", "passed"]
    stage: str | None = None
    message: str | None = None
    leads_found: int | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    pages: tuple[int, ...] = (1,)


@dataclass(frozen=True)
class BatchReport:
    """A finished run: paths of the pages done and skipped, the failures, what was passed over, and every
    page's result."""

    done: tuple[Path, ...]
    skipped: tuple[Path, ...]
    failed: tuple[PageFailure, ...]
    pages: tuple[PageResult, ...]
    seconds: float
    passed: tuple[PageFailure, ...] = ()


@dataclass(frozen=True)
class _Job:
    page: PageFile
    out: Path
    read: PageReader
    extras: frozenset[str]
    versions: dict[str, str]
    overwrite: bool
    size: int = 1

    @property
    def json_path(self) -> Path:
        return self.json_of(self.page.stem)

    def json_of(self, stem: str) -> Path:
        """The JSON of a record of the file."""
        return self.out / f"{stem}.json"

    def stem_of(self, pages: tuple[int, ...]) -> str:
        """Name of the record of some pages: the file's where they begin with the first."""
        return self.page.stem if pages[0] == 1 else f"{self.page.stem}_p{pages[0]}"

    @property
    def options(self) -> dict[str, Any]:
        return self.read.options() | {name: name in self.extras for name in EXTRAS}


def predict_pages(
    inputs: Iterable[str | Path],
    out: str | Path,
    *,
    read: PageReader = SHIPPED_READER,
    extras: Collection[str] = (),
    workers: int = 1,
    limits: Limits | None = None,
    overwrite: bool = False,
    on_page: Callable[[PageResult, int], None] | None = None,
) -> BatchReport:
    """Digitise pages and write their files under `out`.

    A page that fails is recorded and the others go on. A page is skipped if its JSON is there and was made
    from the same bytes with the same reader, options and versions. Every page of a file is read; those of one
    recording become one record, others one record each. What is passed over is in the report.

    Args:
        inputs: files, folders, zip archives and "-" for standard input, see `find_files`.
        out: output folder, made if missing.
        read: reads one page; see `Digitizer` for sampling frequency, paper speed, gain and read-out.
        extras: files to write for each page besides WFDB and JSON, see `EXTRAS`.
        workers: processes; with more than one, call from under `if __name__ == "__main__"`.
        limits: time and memory of a page. With limits a single worker is a process, too; without, and for a
            single page, the pages are read in this process.
        overwrite: do finished pages again, and write over files of other programs.
        on_page: called in this process after each page with its result and the number of pages.

    Raises:
        ValueError: a bad argument, or no page at all.
        PageError: stage "export": the output folder or the report cannot be written, or another run writes
            into it.
    """
    out, entries = Path(out), [Path(entry) for entry in inputs]
    check_arguments(workers=workers)
    if unknown := sorted(set(extras) - set(EXTRAS)):
        raise ValueError(f"extras must be of {', '.join(EXTRAS)}; got {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(prefix="ecg-hough-") as unpacked:
        pages = find_files(entries, Path(unpacked))
        return _predict_files(pages, entries, out, (read, extras, overwrite), (workers, limits), on_page)


def _predict_files(
    pages: list[PageFile],
    inputs: list[Path],
    out: Path,
    how: tuple[PageReader, Collection[str], bool],
    processes: tuple[int, Limits | None],
    on_page: Callable[[PageResult, int], None] | None,
) -> BatchReport:
    """`predict_pages` of files that are found.

    Args:
        how: what reads them, files to write, whether finished ones are done again; processes: their number
            and limits.
    """
    (read, extras, overwrite), (workers, limits) = how, processes
    made_with = versions()
    jobs = [_Job(page, out, read, frozenset(extras), made_with, overwrite) for page in pages]
    report = _Report(
        out / REPORT_NAME,
        {
            "program": PROGRAM,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": 0.0,
            "finished": False,
            "versions": made_with,
            "options": jobs[0].options | {"workers": workers, "overwrite": overwrite},
            "inputs": [printable(entry) for entry in inputs],
        },
    )
    with only_run(out):
        _remove_remains(out)
        try:
            n_more = 0
            for results in _results(jobs, workers, limits):
                n_more += len(results) - 1
                for result in results:
                    report.add(result)
                    if result.status == "failed":
                        log.info("%s: %s: %s", printable(result.path), result.stage, result.message)
                    if on_page is not None:
                        on_page(result, len(pages) + n_more)
            report.run["finished"] = True
        finally:
            report.write()
    order = {page.name: k for k, page in enumerate(pages)}
    in_order = sorted(report.results, key=lambda result: (order[result.path], result.pages))
    return _batch_report(in_order, report.run["seconds"])


class _Report:
    """The report of a run, written now and then and at the end: a killed run leaves the last one whole."""

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        self.path, self.run = path, run
        self.results: list[PageResult] = []
        self._start = self._next = time.perf_counter()
        self._next += REPORT_EVERY_S

    def add(self, result: PageResult) -> None:
        self.results.append(result)
        if time.perf_counter() > self._next:
            self.write()

    def write(self) -> None:
        """Write it.

        Raises:
            PageError: stage "export".
        """
        begun = time.perf_counter()
        self.run["seconds"] = round(begun - self._start, 3)
        counts = dict(Counter(result.status for result in self.results))
        rows = [asdict(result) | {"path": printable(result.path)} for result in self.results]
        write_document(self.run | {"counts": counts, "pages": rows}, self.path)
        now = time.perf_counter()
        self._next = now + max(REPORT_EVERY_S, (now - begun) / REPORT_SHARE)


def _remove_remains(out: Path) -> None:
    """Temporary folders of runs that were killed; this run holds the folder's lock."""
    for root, folders, _ in os.walk(out):
        for name in [name for name in folders if name.startswith(STAGING_PREFIX)]:
            folders.remove(name)
            shutil.rmtree(Path(root, name), ignore_errors=True)


def _batch_report(results: Sequence[PageResult], seconds: float) -> BatchReport:
    return BatchReport(
        done=tuple(r.path for r in results if r.status == "done"),
        skipped=tuple(r.path for r in results if r.status == "skipped"),
        failed=tuple(
            PageFailure(r.path, r.stage or "", r.message or "") for r in results if r.status == "failed"
        ),
        pages=tuple(results),
        seconds=seconds,
        passed=tuple(
            PageFailure(r.path, r.stage or "", r.message or "") for r in results if r.status == "passed"
        ),
    )


def _results(jobs: Sequence[_Job], workers: int, limits: Limits | None) -> Iterator[list[PageResult]]:
    """Results of each file as they come: known failures and finished pages first."""
    pending: list[_Job] = []
    for job in jobs:
        page = job.page
        if page.problem is not None:
            status: Literal["passed", "failed"] = "passed" if page.passed else "failed"
            yield [PageResult(page.name, page.stem, status, page.stage, page.problem)]
        elif not job.overwrite and (known := _finished(job)) is not None:
            yield known
        else:
            pending.append(job)
    # A single page is read here: a process takes longer to start than the page takes.
    if len(pending) <= 1 or (workers == 1 and limits is None):
        yield from map(_predict_file, pending)
        return
    with Workers(min(workers, len(pending)), _predict_file, limits or Limits()) as pool:
        for job, result in pool.run(map(_sized, pending)):
            if isinstance(result, Ended):
                yield [PageResult(job.page.name, job.page.stem, "failed", *result)]
            else:
                yield result


def _sized(job: _Job) -> _Job:
    """The job with its number of pages, by which its time is limited."""
    try:
        check_file(job.page.path)
        return replace(job, size=count_pages(job.page.path))
    except PageError:
        return job


def _predict_file(job: _Job) -> list[PageResult]:
    """Digitise the pages of a file and write their files; every exception becomes a result."""
    start = time.perf_counter()
    page = job.page
    try:
        _refuse_other_page(job, job.json_path)
        request = _request(job)
        parts = read_file(job.read, page.path)
        if _request(job) != request:
            raise PageError("page", f"{page.path.name} changed while it was read; run again when it is whole")
    except Exception as error:
        stage, message = _why(page, error)
        seconds = round(time.perf_counter() - start, 3)
        return [PageResult(page.name, page.stem, "failed", stage, message, seconds=seconds)]
    results = []
    listed = [_listed(job, part) for part in parts]
    for part in parts:
        result = _write(job, part, {"request": request, "file": listed})
        seconds = round(time.perf_counter() - start, 3)
        start = time.perf_counter()
        results.append(replace(result, seconds=seconds))
    return results


def _listed(job: _Job, part: PagesRead) -> dict[str, Any]:
    """What every record of a file says of all of them, so that a later run knows whether all are there."""
    if part.ecg is not None:
        return {"pages": list(part.pages), "stem": job.stem_of(part.pages)}
    return {"pages": list(part.pages), "passed" if part.passed else "failed": printable(str(part.error))}


def _write(job: _Job, part: PagesRead, extra: dict[str, Any]) -> PageResult:
    """Write the record of some pages of a file."""
    page, stem = job.page, job.stem_of(part.pages)
    if part.ecg is None:
        error = part.error or PageError("page", "it was not read")
        where = f"page {part.pages[0]}: " if len(extra["file"]) > 1 else ""
        status: Literal["passed", "failed"] = "passed" if part.passed else "failed"
        message = printable(where + error.message)
        return PageResult(page.name, stem, status, error.stage, message, pages=part.pages)
    try:
        place = job.json_of(stem)
        _refuse_other_page(job, place)
        drawn = any(FORMATS[name].needs_image for name in job.extras)
        write_page(
            part.ecg,
            place.parent,
            place.stem,
            formats=job.extras,
            image=picture_of(job.read, page.path, part.pages, part.ecg) if drawn else None,
            extra=extra,
            overwrite=job.overwrite,
        )
    except Exception as error:
        return PageResult(page.name, stem, "failed", *_why(page, error), pages=part.pages)
    found = sum(status.found for status in part.ecg.lead_status)
    warnings = tuple(part.ecg.warnings)
    return PageResult(page.name, stem, "done", leads_found=found, warnings=warnings, pages=part.pages)


def _why(page: PageFile, error: Exception) -> tuple[str, str]:
    """Stage and message of what went wrong with a file."""
    if isinstance(error, PageError):
        return error.stage, printable(error.message)
    log.debug("%s", printable(page.path), exc_info=error)
    return "internal", printable(f"{type(error).__name__}: {error}")


def _request(job: _Job) -> dict[str, Any]:
    """What a page's files were made from; equal requests give equal files.

    Raises:
        PageError: stage "page": the page cannot be read.
    """
    check_file(job.page.path)
    try:
        digest = sum_of(job.page.path)
    except OSError as error:
        raise PageError("page", f"cannot read {job.page.path}: {error.strerror or error}") from error
    request = {
        "sha256": digest,
        "place": _place(job.page.path),
        "options": job.options,
        "versions": job.versions,
    }
    sources = job.read.sources(job.page.path)
    if sources:
        request["sources"] = {path.name: digest_of([path], path.parent) for path in sources}
    return request


def _place(path: Path) -> str:
    """Digits by which a page's place is known again; the place itself may hold a patient's name."""
    return hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:16]


def _written(path: Path) -> dict[str, Any]:
    """The JSON that is there under a record's name; {} where there is none that we can read."""
    try:
        written = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return written if isinstance(written, dict) and isinstance(written.get("request"), dict) else {}


def _refuse_other_page(job: _Job, path: Path) -> None:
    """The record of a page of the same name from another folder is not this page's old one.

    Raises:
        PageError: stage "export": such a record is there.
    """
    before = _written(path).get("request")
    if before is None or job.overwrite or before.get("place") == _place(job.page.path):
        return
    if before.get("sha256") != _request(job)["sha256"]:
        raise PageError(
            "export",
            f"{path} is the record of another page of this name, from another folder; choose "
            "another output folder or replace it with --overwrite",
        )


def _finished(job: _Job) -> list[PageResult] | None:
    """What became of a file's pages in an earlier run; None where it is to be read."""
    first = _written(job.json_path)
    if not first:  # its first pages may have no record
        stem = glob.escape(Path(job.page.stem).name)
        others = sorted(job.json_path.parent.glob(f"{stem}_p*.json"))
        first = next((found for path in others if (found := _written(path)).get("file")), {})
    try:
        request = _request(job)
        return [_known(job, request, part) for part in first["file"]]
    except (PageError, OSError, KeyError, TypeError, AttributeError, _UnfinishedError):
        return None


class _UnfinishedError(Exception):
    """A part of a file has to be read."""


def _known(job: _Job, request: dict[str, Any], part: dict[str, Any]) -> PageResult:
    """What became of some pages of a file.

    Raises:
        _UnfinishedError: they failed, or their files are not those that were written for this request.
        OSError, KeyError, TypeError, AttributeError: their JSON is of other programs.
    """
    pages = tuple(map(int, part["pages"]))
    if "passed" in part:
        stage, _, message = str(part["passed"]).partition(": ")
        stem = job.stem_of(pages)
        return PageResult(job.page.name, stem, "passed", stage, f"page {pages[0]}: {message}", pages=pages)
    path = job.json_of(part["stem"])
    written = _written(path)
    sums = {path.parent / name: digest for name, digest in written["sums"].items()}
    same = written["request"] == request | {"place": written["request"].get("place")}
    if not same or any(sum_of(one) != digest for one, digest in sums.items()):
        raise _UnfinishedError
    found = sum(bool(status["found"]) for status in written["lead_status"])
    warnings = tuple(map(str, written["warnings"]))
    return PageResult(
        job.page.name, part["stem"], "skipped", leads_found=found, warnings=warnings, pages=pages
    )
