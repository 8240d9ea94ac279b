"""Damage that a file shows by itself: sums that do not match, and what decoders complain of.

In: the bytes of an image file. Out: what is wrong, in words, or None. Decoders go on where they can, so a
file with flipped bits gives a picture with a wrong part, and says nothing.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from PIL import Image

PNG_SIGN, JPEG_SIGN = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
TIFF_SIGNS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
UNPACKED_BYTES = 1 << 20
"""Unpacked at a time: a small file may hold gigabytes of zeros."""
_COMPLAINTS = (
    "jpeg", "sos parameters", "huffman", "marker", "dct", "arithmetic", "progression",
    "decod", "scanline", "strip", "tile", "directory", "tag",
)  # fmt: skip
"""Words of libjpeg's and of libtiff's warnings; other lines are passed on."""


def damage_of(content: bytes) -> str | None:
    """What is wrong with an image file, where its format shows it; None where nothing is seen."""
    if content.startswith(PNG_SIGN):
        return _damage_of_png(content)
    if content.startswith(JPEG_SIGN):
        return _complaint(content, _decode_jpeg)
    if content[:4] in TIFF_SIGNS:
        return _complaint(content, _decode_tiff)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        (stated,) = struct.unpack("<I", content[4:8])
        if stated + 8 > len(content):
            return f"{stated + 8} bytes are stated, {len(content)} are there"
    return None


def damage_of_stored(kind: str, content: bytes) -> str | None:
    """What is wrong with a picture in a PDF.

    Args:
        kind: the PDF's name of how it is packed; content: its bytes.
    """
    if kind == "DCTDecode":
        return damage_of(content)
    return _damage_of_deflated(content) if kind == "FlateDecode" else None


def _damage_of_deflated(content: bytes) -> str | None:
    """A sum of the unpacked bytes is at the end."""
    unpack = zlib.decompressobj()
    try:
        while content and not unpack.eof:
            unpack.decompress(content, UNPACKED_BYTES)
            content = unpack.unconsumed_tail
    except zlib.error as error:
        return str(error)
    return None if unpack.eof else "its end is missing"


def _damage_of_png(content: bytes) -> str | None:
    """Every chunk has a sum, which decoders ignore for the pixels."""
    at = len(PNG_SIGN)
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, end = content[at + 4 : at + 8], at + 8 + length
        if end + 4 > len(content):
            break
        if zlib.crc32(content[at + 4 : end]) != struct.unpack(">I", content[end : end + 4])[0]:
            return f"the sum of its part {kind.decode('ascii', 'backslashreplace')} does not match"
        if kind == b"IEND":
            return None
        at = end + 4
    return "its end is missing"


def _decode_jpeg(content: bytes) -> None:
    """JPEG has no sums; libjpeg finds codes that cannot be. At an eighth of the size this takes 20 ms."""
    cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)


def _decode_tiff(content: bytes) -> None:
    """libtiff checks the sums of packed strips, and gives what it could unpack."""
    with contextlib.suppress(Exception), Image.open(io.BytesIO(content)) as picture:
        picture.load()  # what cannot be read at all is an error elsewhere


def _complaint(content: bytes, decode: Callable[[bytes], None]) -> str | None:
    """The first thing that a decoder says of a file."""
    with _stderr() as lines:
        decode(content)
    said = [line for line in lines if any(word in line.lower() for word in _COMPLAINTS)]
    for line in lines:
        if line not in said:
            print(line, file=sys.stderr)
    return said[0] if said else None


_one_at_a_time = threading.Lock()


@contextmanager
def _stderr() -> Iterator[list[str]]:
    """Lines that a library writes to the process's standard error meanwhile; it tells nobody else."""
    lines: list[str] = []
    with _one_at_a_time, tempfile.TemporaryFile() as kept:
        sys.stderr.flush()
        shown = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(shown, 2)
            os.close(shown)
            kept.seek(0)
            lines += [line.decode("utf-8", "replace") for line in kept.read().splitlines() if line.strip()]
