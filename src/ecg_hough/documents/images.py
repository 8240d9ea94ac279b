"""Image files that Pillow opens, with HEIC by its plug-in, and how many pages they hold."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from ecg_hough.errors import PageError

PAGED = ("TIFF",)
"""Formats whose pictures are pages; those of others are animations."""
PREVIEWED = ("MPO", "HEIF")
"""Formats whose further pictures are previews or bursts of the first."""
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def open_image(path: Path) -> Image.Image:
    """Open an image file.

    Raises:
        PageError: HEIC without its plug-in; else as `PIL.Image.open`.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        try:
            import pi_heif
        except ImportError as error:
            raise PageError(
                "page",
                f'{path.name} is HEIC, for which a decoder is needed: pip install "ecg-hough[heic]", or'
                " export the photo as JPEG",
            ) from error
        pi_heif.register_heif_opener(thumbnails=False)
    return Image.open(path)


def image_pages(picture: Image.Image) -> int:
    """Number of pages of an open image."""
    return getattr(picture, "n_frames", 1) if picture.format in PAGED else 1


@contextmanager
def own_size_limit() -> Iterator[None]:
    """Without Pillow's pixel limit, which is lower than ours, and without its warnings on stderr."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
