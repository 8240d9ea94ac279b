"""A report of one page for the people who mend this package, as a zip file without names.

In: the file of a page. Out: `PageReport`: versions, the record, what each stage saw, and the overlay on the
page without names. The page is read under another name, so that neither its name nor its folder is anywhere
in the report. A page on which no rows are found is not in it: names cannot be told from it.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.header.redact import redacted
from ecg_hough.image.reading import read_page
from ecg_hough.output.export import json_bytes, png_bytes
from ecg_hough.output.files import write_whole
from ecg_hough.output.overlay import draw_overlay
from ecg_hough.pipeline import digitize

VERSIONS, RECORD, EVIDENCE, OVERLAY, ERROR = (
    "versions.json", "page.json", "evidence.txt", "overlay.png", "error.txt",
)  # fmt: skip
"""Files of the report; the record or the error."""


@dataclass(frozen=True)
class PageReport:
    """What a reading of a page gave.

    Attributes:
        record: of the page, None where it was refused; error: then why.
        picture: (rows, cols, 3) uint8 RGB, the traces drawn on the page without names; None where it cannot
            be told what names are.
    """

    record: dict[str, Any] | None
    error: str | None
    picture: NDArray[np.uint8] | None

    def write(self, path: Path, *, versions: dict[str, Any], evidence: Sequence[str]) -> list[str]:
        """Write the zip file.

        Args:
            path: of the zip file, written whole or not at all.
            versions: of the installation; evidence: lines that the stages logged.

        Returns:
            The names of the files in it.

        Raises:
            PageError: stage "export".
        """
        files: dict[str, bytes] = {VERSIONS: json_bytes(versions)}
        if self.record is not None:
            files[RECORD] = json_bytes(self.record)
        if self.error is not None:
            files[ERROR] = f"{self.error}\n".encode()
        files[EVIDENCE] = "".join(f"{line}\n" for line in evidence).encode()
        if self.picture is not None:
            files[OVERLAY] = png_bytes(self.picture)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        write_whole(path, buffer.getvalue())
        return list(files)


def report_page(page: Path, number: int = 1, **known: Any) -> PageReport:
    """Read a page for a report.

    Args:
        page: an image, PDF or DICOM file; number: of the page in it.
        known: what `digitize` is told: speed_mm_s, gain_mm_mv, layout, leads.

    Raises:
        OSError: the file cannot be read.
        ValueError: a bad argument.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"page{page.suffix.lower()}"
        shutil.copyfile(page, copy)
        try:
            ecg = digitize(copy, number, header="none", **known)
        except PageError as error:
            return PageReport(None, str(error), None)
        picture = None
        read = read_page(copy, number)
        try:
            words = () if read.drawing is None else read.drawing.words
            picture = draw_overlay(redacted(read.image, ecg, words=words, measurements=False), ecg)
        except PageError as error:
            return PageReport(ecg.to_dict(), str(error), None)
    return PageReport(ecg.to_dict(), None, picture)
