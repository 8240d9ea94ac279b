"""How many pages a file holds, and which of them a user asks for."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from PIL import UnidentifiedImageError

from ecg_hough.documents.dicom import count_dicom_pages, pdf_within
from ecg_hough.documents.images import image_pages, open_image, own_size_limit
from ecg_hough.documents.kinds import Kind, kind_of
from ecg_hough.documents.pdf import PdfContents, count_pdf_pages, pdf_contents

_RANGE = re.compile(r"(\d+)(?:-(\d*))?")


def count_pages(path: Path) -> int:
    """Number of pages of a file that can be opened; 1 of one that is no page at all.

    Raises:
        PageError: damaged, encrypted or hostile.
    """
    kind = kind_of(path)
    if kind is Kind.pdf:
        return count_pdf_pages(path)
    if kind is Kind.dicom:
        return count_dicom_pages(path)
    try:
        with own_size_limit(), open_image(path) as picture:
            return max(1, image_pages(picture))
    # What is wrong with it is said when the page is read.
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        LookupError,
        TypeError,
        struct.error,
    ):
        return 1


def contents(path: Path, number: int) -> PdfContents | None:
    """What a page of a PDF, or of one in a DICOM object, consists of; None of pages of pixels.

    Raises:
        PageError: as `count_pages`.
    """
    kind = kind_of(path)
    pdf = pdf_within(path) if kind is Kind.dicom else path if kind is Kind.pdf else None
    return pdf_contents(pdf, number) if pdf is not None else None


def parse_pages(text: str) -> tuple[tuple[int, int | None], ...]:
    """Ranges of pages, first and last, of a text such as "1,3-5" or "2-"; none of "".

    The last page of an open range is None.

    Raises:
        ValueError: another text.
    """
    out: list[tuple[int, int | None]] = []
    for part in text.replace(" ", "").split(",") if text else ():
        found = _RANGE.fullmatch(part)
        if found is None:
            raise ValueError(f"pages are numbers from 1 and ranges, such as 1,3-5 or 2-; got {text!r}")
        first = int(found[1])
        last = first if found[2] is None else int(found[2]) if found[2] else None
        if first < 1 or (last is not None and last < first):
            raise ValueError(f"pages are numbers from 1 and ranges, such as 1,3-5 or 2-; got {text!r}")
        out.append((first, last))
    return tuple(out)


def chosen_pages(ranges: tuple[tuple[int, int | None], ...], n_pages: int) -> tuple[int, ...]:
    """The pages of a file of `n_pages` that are in some range, in order; all of them without ranges."""
    numbers = range(1, n_pages + 1)
    if not ranges:
        return tuple(numbers)
    return tuple(n for n in numbers if any(a <= n <= (n_pages if b is None else b) for a, b in ranges))
