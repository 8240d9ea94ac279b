"""What kind of file a document is, by its first bytes; and the suffixes that a folder is searched for."""

from __future__ import annotations

from enum import Enum
from pathlib import Path


class Kind(Enum):
    """Kinds of files that hold pages; `image` is whatever is none of the others."""

    pdf = "PDF"
    dicom = "DICOM"
    archive = "zip archive"
    image = "image"


PAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pdf", ".heic", ".heif", ".hif",
    ".avif", ".jp2", ".j2k", ".jpf", ".jpx", ".dcm", ".dicom",
)  # fmt: skip
"""Files that a folder or an archive is searched for; a file that the user names is opened whatever its
suffix."""
ARCHIVE_SUFFIXES = (".zip",)
_HEAD_BYTES, _DICOM_AT = 1024, 128


def kind_of(path: Path) -> Kind:
    """The kind of a file that can be opened. DICOM objects without a preamble are known by their suffix."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[_DICOM_AT : _DICOM_AT + 4] == b"DICM":
        return Kind.dicom
    if b"%PDF-" in head:
        return Kind.pdf
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Kind.archive
    return Kind.dicom if path.suffix.lower() in (".dcm", ".dicom") else Kind.image
