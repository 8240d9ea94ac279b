"""What a worker process does with a job: read its pages, write a record for each, say what became of them.

In: `ReadTask`. Out: `Part`s, and the records' files below the store's folder. It raises nothing.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, replace

from ecg_hough.batch.lineage import PageReader
from ecg_hough.batch.reader import FIRST_SHAPES, Digitizer, picture_of, read_file
from ecg_hough.document import PagesRead
from ecg_hough.documents.dicom import forget_files
from ecg_hough.errors import PageError
from ecg_hough.networks.runtime import load_ahead
from ecg_hough.output.export import write_page
from ecg_hough.output.files import sum_of
from ecg_hough.service.engine import ReadTask
from ecg_hough.service.store import Part

log = logging.getLogger(__name__)

KEPT = ("npz",)
"""Formats that every record is kept in, besides WFDB and JSON; all others are made from these."""
INTERNAL = "the page could not be processed; the server's log says why"


@dataclass(frozen=True)
class ReadWork:
    """Does a `ReadTask`.

    Attributes:
        read: the reader, whose attributes the task's options replace.
        for_review: records say which file they are of, and how it was read.
    """

    read: PageReader
    for_review: bool = False

    def __call__(self, task: ReadTask) -> tuple[Part, ...]:
        """What became of the pages, in their order."""
        if task.job is None:
            if isinstance(self.read, Digitizer):
                import ecg_hough.pipeline  # noqa: F401  (everything that the first page needs)

                load_ahead(FIRST_SHAPES)
            return ()
        task.temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.tempdir = str(task.temporary)  # this process does nothing else
        try:
            return self._read(task)
        finally:
            forget_files()

    def _read(self, task: ReadTask) -> tuple[Part, ...]:
        options = dict(task.options)
        with_overlay = bool(options.pop("overlay", False))
        try:
            read = replace(self.read, **options) if isinstance(self.read, Digitizer) else self.read
            pages = read_file(read, task.path)
        except Exception as error:
            return (_failure((1,), error, task),)
        return tuple(self._part(read, one, task, with_overlay) for one in pages)

    def _part(self, read: PageReader, pages: PagesRead, task: ReadTask, with_overlay: bool) -> Part:
        if pages.ecg is None:
            error = pages.error or PageError("page", "it was not read")
            return replace(_failure(pages.pages, error, task), passed=pages.passed)
        record = f"{task.job}-{pages.pages[0]}"
        try:
            image = picture_of(read, task.path, pages.pages, pages.ecg) if with_overlay else None
            request = {"sha256": sum_of(task.path), "options": dict(task.options)}
            write_page(
                pages.ecg,
                task.records / record,
                record,
                formats=(*KEPT, "overlay") if with_overlay else KEPT,
                image=image,
                extra={"request": request} if self.for_review else None,
                overwrite=True,
            )
        except Exception as error:
            return _failure(pages.pages, error, task)
        return Part(pages.pages, record)


def _failure(pages: tuple[int, ...], error: Exception, task: ReadTask) -> Part:
    if isinstance(error, PageError):
        message = error.message.replace(str(task.path), "the upload").replace(task.path.name, "the upload")
        return Part(pages, stage=error.stage, message=message)
    log.error("job %s: %s", task.job, type(error).__name__, exc_info=error)
    return Part(pages, stage="internal", message=INTERNAL)
