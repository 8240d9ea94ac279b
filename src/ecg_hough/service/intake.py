"""What an upload is, before anybody reads it: its kind, by its first bytes, its pages and its pixels.

In: the file of an upload. Out: `Upload`, or `RefusedError` with an HTTP status. Foreign decoders run in a
child process that is ended when it takes too long; the client's own word for the type does not count.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

from ecg_hough.documents.child import Child
from ecg_hough.documents.dicom import count_dicom_pages, forget_files
from ecg_hough.documents.images import image_pages, open_image, own_size_limit
from ecg_hough.documents.kinds import Kind, kind_of
from ecg_hough.documents.pdf import count_pdf_pages
from ecg_hough.errors import PageError
from ecg_hough.service.bounds import Bounds

PICTURES = ("PNG", "JPEG", "MPO", "TIFF", "BMP", "WEBP", "GIF", "HEIF", "AVIF", "JPEG2000")
"""Formats of Pillow that are taken; it knows others, some of which call further programs."""
LOOK_S = 8.0
"""Longest that the head of a picture may take."""


class RefusedError(Exception):
    """An upload that is not taken: HTTP status, a sentence, and the stage of a `PageError`."""

    def __init__(self, status: int, detail: str, stage: str = "page") -> None:
        super().__init__(status, detail)
        self.status, self.detail, self.stage = status, detail, stage


@dataclass(frozen=True)
class Upload:
    """A file that can be read: its kind, such as "pdf" or "png", its number of pages and its sha256."""

    kind: str
    pages: int
    sha256: str


class Intake:
    """Looks at uploads; it keeps a child process.

    Args:
        bounds: of what is taken.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds, self._child = bounds, Child()
        self._one_dicom = threading.Lock()

    def close(self) -> None:
        """End the child process."""
        self._child.end()

    def look(self, path: Path) -> Upload:
        """What an upload is.

        Raises:
            RefusedError: 413 too many pages or pixels; 415 of another type; 422 damaged, encrypted, empty.
        """
        if not path.stat().st_size:
            raise RefusedError(422, "the upload is empty (0 bytes)")
        kind = kind_of(path)
        if kind is Kind.archive:
            raise RefusedError(415, "zip archives are not taken: send their pages one by one")
        try:
            if kind is Kind.image:
                name, pages = self._picture(path)
            else:
                name = "pdf" if kind is Kind.pdf else "dicom"
                pages = count_pdf_pages(path) if kind is Kind.pdf else self._dicom(path)
        except PageError as error:
            raise RefusedError(422, error.message.replace(path.name, "the upload"), error.stage) from error
        if not 1 <= pages <= self._bounds.pages:
            raise RefusedError(413, f"a file may have up to {self._bounds.pages} pages; this one has {pages}")
        with path.open("rb") as file:
            return Upload(name, pages, hashlib.file_digest(file, "sha256").hexdigest())

    def _dicom(self, path: Path) -> int:
        """Pages of a DICOM object, of which nothing is kept."""
        with self._one_dicom:
            try:
                return count_dicom_pages(path)
            finally:
                forget_files()

    def _picture(self, path: Path) -> tuple[str, int]:
        """Format and pages of a picture."""
        found: tuple[str, int, int, int] | None
        found = self._child.call(picture_facts, str(path), limit_s=LOOK_S, what=path.name)
        if found is None:
            raise RefusedError(415, "the upload is no picture, PDF or DICOM object that is read")
        name, cols, rows, pages = found
        if rows * cols > self._bounds.megapixels * 1e6:
            raise RefusedError(
                413, f"a page may have up to {self._bounds.megapixels:g} megapixels; got {cols} x {rows} px"
            )
        return name, pages


def picture_facts(path: str) -> tuple[str, int, int, int] | None:
    """Format, columns, rows and pages of a picture; None of any other file. Runs in the child.

    Raises:
        PageError: HEIC without its plug-in.
    """
    try:
        with own_size_limit(), open_image(Path(path)) as picture:
            if picture.format not in PICTURES:
                return None
            return picture.format.lower(), *picture.size, max(1, image_pages(picture))
    except PageError:
        raise
    except Exception:  # its parsers raise anything on damaged files
        return None
