"""Reading one page: from a file or an array to RGB pixels, turned as the EXIF orientation states.

In: a path (PNG, JPEG, TIFF, BMP, WebP, GIF, or a PDF, of which the first page is read) or an array. Out:
`Picture`, an image (rows, cols, 3) uint8 RGB with its name and warnings. The colours of a dark screen are
inverted; the image is not turned, scaled or enhanced beyond that.
"""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ecg_hough.errors import PageError
from ecg_hough.image.colours import darkest_of, grey_of, lightest_of
from ecg_hough.paper import MM_PER_INCH

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pdf")
"""Files that a folder is searched for; a file named by the user is opened whatever its suffix."""
MIN_SIDE_PX = 150
"""Smallest shorter side: below it an A5 page has less than 1 px per mm and nothing can be read."""
MAX_PIXELS = 200_000_000
"""An A3 page at 1000 dpi has 193 million."""
PDF_DPI = 300.0
MIN_RANGE = 8
"""Smallest difference in grey levels between the darkest and the lightest pixel; JPEG noise of a blank sheet
is less."""
DARK_MAX = 80
"""Largest median luminance of a picture with light traces on a dark background: blue screens have 70."""
LIGHT_STROKES_MIN = 0.7
"""Smallest share of such a picture's clearest strokes that are lighter than their surroundings: a sheet on a
dark table has dark strokes. The largest of 190 pages of all kinds is 0.64, the smallest of 74 inverted ones
0.77."""
_STROKES_SIDE_PX, _STROKE_PX = 1200, 15
"""In a picture of this longer side, strokes are narrower than half of this window."""
_CLEAR_PERCENTILE, _CLEAR_SHARE = 99.8, 0.5
"""Strokes with at least half the contrast of the clearest ones are counted; gaps of a fine grid have less."""
WORKING_SIDE_PX = 12_000
"""Longer side above which a warning states that the page is unusually large."""


@dataclass(frozen=True)
class Picture:
    """A page as read.

    Attributes:
        image: (rows, cols, 3) uint8 RGB.
        name: file name, or "array".
        warnings: what a user should know about the reading, in sentences.
    """

    image: NDArray[np.uint8]
    name: str
    warnings: tuple[str, ...] = ()


def read_page(source: str | Path | NDArray[Any]) -> Picture:
    """Read a page from a file or an array.

    Args:
        source: a path; or an array (rows, cols) or (rows, cols, 1 | 3 | 4), uint8, uint16 or float
            0..1, grey, RGB or RGBA. Alpha is laid over white.

    Raises:
        PageError: stage "page": no such file, a folder, unreadable, empty, not an image, truncated,
            a shorter side under 150 px, over 200 megapixels, or blank.
        ValueError: an array of another shape, type or range.
    """
    notes: list[str] = []
    if isinstance(source, np.ndarray):
        if source.ndim >= 2:
            _check_size(source.shape[1], source.shape[0])
        image, name = _array_to_rgb(source), "array"
    elif isinstance(source, str | Path):
        path = Path(source)
        _check_file(path)
        name = path.name
        image, notes = _read_pdf(path) if _is_pdf(path) else _read_image(path)
    else:
        raise ValueError(f"a page is a path or a numpy array; got {type(source).__name__}")
    _check_not_blank(image)
    if _is_light_on_dark(image):
        image = 255 - image
        notes.append("Traces are light on a dark background; the page was read with inverted colours.")
    if max(image.shape[:2]) > WORKING_SIDE_PX:
        notes.append(f"The page is {image.shape[1]} x {image.shape[0]} px; reading it will be slow.")
    return Picture(image, name, tuple(notes))


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise PageError("page", f"a page is a file; {path} is a folder")
        if not path.exists():
            raise PageError("page", f"no such file: {path}")
        if not path.is_file():
            raise PageError("page", f"a page is a plain file; {path} is a pipe or device")
        with path.open("rb") as file:
            if not file.read(1):
                raise PageError("page", f"{path.name} is empty (0 bytes); copy it again")
    except OSError as error:
        raise PageError("page", f"cannot read {path}: {error.strerror or error}") from error


def _check_size(cols: int, rows: int) -> None:
    if min(cols, rows) < MIN_SIDE_PX:
        raise PageError(
            "page",
            f"the shorter side must have at least {MIN_SIDE_PX} px; got {cols} x {rows}; "
            "scan at 150 dpi or more",
        )
    if cols * rows > MAX_PIXELS:
        raise PageError(
            "page",
            f"a page has at most {MAX_PIXELS // 1_000_000} megapixels; got {cols} x {rows} "
            f"({cols * rows / 1e6:.0f} megapixels); scale it down to 300 dpi",
        )


def _check_not_blank(image: NDArray[np.uint8]) -> None:
    per_channel = [int(image[..., k].max()) - int(image[..., k].min()) for k in range(3)]
    if max(per_channel) < MIN_RANGE:
        raise PageError(
            "page",
            f"the page is blank: its grey levels span {max(per_channel)} of 255, at least {MIN_RANGE} "
            "are needed; was the sheet scanned face down?",
        )


def _is_light_on_dark(image: NDArray[np.uint8]) -> bool:
    """Whether the page is a picture of a dark screen, with traces lighter than their background."""
    if np.median(grey_of(np.ascontiguousarray(image[::8, ::8]))) > DARK_MAX:
        return False
    shrink = min(1.0, _STROKES_SIDE_PX / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    high, low = lightest_of(small), darkest_of(small)
    lighter = cv2.subtract(high, cv2.medianBlur(high, _STROKE_PX))
    darker = cv2.subtract(cv2.medianBlur(low, _STROKE_PX), low)
    clear = _CLEAR_SHARE * max(np.percentile(off, _CLEAR_PERCENTILE) for off in (lighter, darker))
    n_lighter, n_darker = (np.count_nonzero(off > clear) for off in (lighter, darker))
    return bool(n_lighter > LIGHT_STROKES_MIN * (n_lighter + n_darker))


def _is_pdf(path: Path) -> bool:
    with path.open("rb") as file:
        return b"%PDF-" in file.read(1024)


def _read_image(path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    notes: list[str] = []
    try:
        with _own_size_limit(), Image.open(path) as picture:
            _check_size(*picture.size)
            n_frames = getattr(picture, "n_frames", 1)
            # Phones store a preview as the second frame of an MPO.
            if n_frames > 1 and picture.format != "MPO":
                notes.append(f"{path.name} has {n_frames} pages; only the first was read.")
                picture.seek(0)
            picture.load()
            return _picture_to_rgb(_upright(picture, notes)), notes
    except UnidentifiedImageError as error:
        raise PageError(
            "page", f"{path.name} is not an image in a known format; use PNG, JPEG, TIFF, BMP, WebP or PDF"
        ) from error
    # Pillow's decoders raise all of these on damaged files.
    except (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, struct.error) as error:
        raise PageError("page", f"{path.name} is damaged or cut short ({error}); copy it again") from error


@contextmanager
def _own_size_limit() -> Iterator[None]:
    """Without Pillow's pixel limit, which is lower than MAX_PIXELS, and without its warnings on stderr."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _upright(picture: Image.Image, notes: list[str]) -> Image.Image:
    """The picture turned as its EXIF orientation states; damaged EXIF data give a note, not an error."""
    try:
        return ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, struct.error) as error:
        notes.append(f"The EXIF data are damaged ({error}); the page was read as stored.")
        return picture


def _picture_to_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """Any Pillow mode to uint8 RGB."""
    if picture.mode.startswith("I;16"):
        return _array_to_rgb(np.asarray(picture).astype(np.uint16))
    if picture.mode in ("I", "F"):
        return _array_to_rgb(_stretch_deep(np.asarray(picture, dtype=np.float64)))
    if picture.mode in ("PA", "LA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if picture.mode == "RGBA":
        return _array_to_rgb(np.asarray(picture))
    return np.ascontiguousarray(np.asarray(picture.convert("RGB")))


def _stretch_deep(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """32 bit and float pictures to 0..1: by their nominal range (1, 255, 65535), or by their own if wider."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("pixels that are not numbers")
    if low >= 0:
        for top in (1.0, 255.0, 65535.0):
            if high <= top:
                return values / top
    return (values - low) / max(high - low, np.finfo(np.float64).tiny)


def _array_to_rgb(array: NDArray[Any]) -> NDArray[np.uint8]:
    """(rows, cols[, 1 | 3 | 4]) uint8, uint16 or float 0..1 to (rows, cols, 3) uint8."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ValueError(f"a page is (rows, cols) or (rows, cols, 1 | 3 | 4); got {array.shape}")
    if array.dtype == np.uint16:
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= 0.0 and high <= 1.0):
            raise ValueError(f"a page of floats has values from 0 to 1; got {low:g} to {high:g}")
        array = np.rint(array * 255.0).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ValueError(f"a page is uint8, uint16 or float 0..1; got {array.dtype}")
    if array.shape[2] == 4:
        alpha = array[..., 3:].astype(np.uint16)
        over_white = array[..., :3].astype(np.uint16) * alpha + 255 * (255 - alpha)
        array = ((over_white + 127) // 255).astype(np.uint8)
    elif array.shape[2] == 1:
        array = cv2.cvtColor(np.ascontiguousarray(array), cv2.COLOR_GRAY2RGB)
    return np.ascontiguousarray(array)


def _read_pdf(path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """The first page, drawn at 300 dpi."""
    import pypdfium2  # not at the top: it takes 0.1 s, and few pages are PDFs

    try:
        document = pypdfium2.PdfDocument(path)
        try:
            n_pages = len(document)
            sheet = document[0]
            points_per_inch = 72.0
            scale = PDF_DPI / points_per_inch
            _check_size(*(round(side * scale) for side in sheet.get_size()))
            picture = sheet.render(scale=scale).to_pil().convert("RGB")
        finally:
            document.close()
    except (pypdfium2.PdfiumError, IndexError) as error:
        raise PageError("page", f"{path.name} is a damaged or locked PDF ({error})") from error
    notes = [f"{path.name} has {n_pages} pages; only the first was read."] if n_pages > 1 else []
    log.info("%s drawn at %g px/mm", path.name, PDF_DPI / MM_PER_INCH)
    return np.ascontiguousarray(np.asarray(picture)), notes
