"""What an upload is, and what is refused."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ecg_hough.service.bounds import Bounds
from ecg_hough.service.intake import Intake, RefusedError
from service_jobs import pdf_of


@pytest.fixture(scope="module")
def intake() -> Iterator[Intake]:
    found = Intake(Bounds(pages=3, megapixels=1.0))
    yield found
    found.close()


def bytes_of(kind: str, size: tuple[int, int] = (20, 10), pages: int = 1) -> bytes:
    buffer = io.BytesIO()
    images = [Image.new("RGB", size, "white") for _ in range(pages)]
    more = {"save_all": True, "append_images": images[1:]} if pages > 1 else {}
    images[0].save(buffer, kind, **more)
    return buffer.getvalue()


def png_that_claims(cols: int, rows: int) -> bytes:
    """The head of a PNG of any size, with a few bytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", cols, rows, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../page.png", b"page")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "kind", "pages"),
    [
        (bytes_of("PNG"), "png", 1),
        (bytes_of("JPEG"), "jpeg", 1),
        (bytes_of("TIFF", pages=3), "tiff", 3),
        (bytes_of("GIF", pages=1), "gif", 1),
        (pdf_of("fine", 2), "pdf", 2),
    ],
)
def test_kinds(intake: Intake, tmp_path: Path, content: bytes, kind: str, pages: int) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    found = intake.look(path)
    assert (found.kind, found.pages) == (kind, pages)


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 422, "empty"),
        (b"hello, world", 415, "no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", 415, "no picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "no picture"),
        (bytes_of("PPM"), 415, "no picture"),
        (zipped(), 415, "zip"),
        (bytes_of("PNG", (1001, 1000)), 413, "megapixels"),
        (png_that_claims(2**31 - 1, 2**31 - 1), 413, "megapixels"),
        (bytes_of("TIFF", pages=4), 413, "4"),
        (pdf_of("fine", 4), 413, "4"),
        (b"%PDF-1.7\nnothing follows", 422, "PDF"),
        (bytes(128) + b"DICM" + bytes(100), 422, "DICOM"),
        (b"\xff\xd8\xff\xe0" + bytes(40), 415, "no picture"),
    ],
)
def test_refusals(intake: Intake, tmp_path: Path, content: bytes, status: int, words: str) -> None:
    path = tmp_path / "secret-name"
    path.write_bytes(content)
    with pytest.raises(RefusedError) as caught:
        intake.look(path)
    assert caught.value.status == status
    assert words in caught.value.detail
    assert "secret-name" not in caught.value.detail
