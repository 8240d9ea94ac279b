"""Reading one page: from a file or an array to RGB pixels, turned as the EXIF orientation states.

In: a path (an image, PDF or DICOM object) and the page's number, or an array. Out: `Picture`, an image (rows,
cols, 3) uint8 RGB with its name and warnings, and with the strokes and words of a PDF's page. The colours of
a dark screen are inverted; the image is not turned, scaled or enhanced beyond that.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ecg_hough.documents.dicom import read_dicom_page
from ecg_hough.documents.images import PREVIEWED, image_pages, open_image, own_size_limit
from ecg_hough.documents.kinds import Kind, kind_of
from ecg_hough.documents.pdf import PdfPage, read_pdf_page
from ecg_hough.elements import Drawing
from ecg_hough.errors import PageError
from ecg_hough.image.colours import darkest_of, grey_of, lightest_of
from ecg_hough.image.damage import damage_of, damage_of_stored

MIN_SIDE_PX = 150
"""Smallest shorter side: below it an A5 page has less than 1 px per mm and nothing can be read."""
MAX_PIXELS = 200_000_000
"""An A3 page at 1000 dpi has 193 million."""
MAX_ASPECT = 40.0
"""Greatest ratio of a page's sides: one row of a minute at 25 mm/s has 30."""
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
        drawing: strokes and words of a PDF's page; None of a file of pixels.
        number: of the page in its file, 1 the first.
    """

    image: NDArray[np.uint8]
    name: str
    warnings: tuple[str, ...] = ()
    drawing: Drawing | None = None
    number: int = 1


def read_page(source: str | Path | NDArray[Any], number: int = 1) -> Picture:
    """Read a page from a file or an array.

    Args:
        number: of the page in its file, 1 the first.
        source: a path; or an array (rows, cols) or (rows, cols, 1 | 3 | 4), uint8, uint16 or float
            0..1, grey, RGB or RGBA. Alpha is laid over white.

    Raises:
        PageError: stage "page": no such file, a folder, unreadable, empty, not an image, truncated,
            encrypted, no such page, a shorter side under 150 px, over 200 megapixels, or blank.
        ValueError: an array of another shape, type or range.
    """
    notes: list[str] = []
    drawing = None
    if isinstance(source, np.ndarray):
        if source.ndim >= 2:
            _check_size(source.shape[1], source.shape[0])
        image, name = _array_to_rgb(source), "array"
    elif isinstance(source, str | Path):
        path = Path(source)
        check_file(path)
        name = path.name
        image, drawing = _read_file(path, number, notes)
    else:
        raise ValueError(f"a page is a path or a numpy array; got {type(source).__name__}")
    _check_not_blank(image)
    if _is_light_on_dark(image):
        image = 255 - image
        notes.append("Traces are light on a dark background; the page was read with inverted colours.")
        drawing = None
    if max(image.shape[:2]) > WORKING_SIDE_PX:
        notes.append(f"The page is {image.shape[1]} x {image.shape[0]} px; reading it will be slow.")
    return Picture(image, name, tuple(notes), drawing, number)


def _read_file(path: Path, number: int, notes: list[str]) -> tuple[NDArray[np.uint8], Drawing | None]:
    """Pixels of a page of a file, and what else is known of it; `notes` gets sentences."""
    kind = kind_of(path)
    if kind is Kind.pdf:
        page = read_pdf_page(path, number, most_px=MAX_PIXELS, least_side_px=MIN_SIDE_PX)
        _check_size(page.image.shape[1], page.image.shape[0])
        return _of_pdf(page, path.name, notes)
    if kind is Kind.dicom:
        stored = read_dicom_page(path, number, most_px=MAX_PIXELS, least_side_px=MIN_SIDE_PX)
        if isinstance(stored, PdfPage):
            return _of_pdf(stored, path.name, notes)
        _check_size(stored.shape[1], stored.shape[0])
        return _array_to_rgb(stored), None
    return _read_image(path, number, notes), None


def _of_pdf(page: PdfPage, name: str, notes: list[str]) -> tuple[NDArray[np.uint8], Drawing]:
    """Pixels, strokes and words of a PDF's page, with a note where one of its pictures is damaged."""
    for kind, content in page.stored:
        if (damage := damage_of_stored(kind, content)) is not None:
            notes.append(_damaged(name, damage))
            break
    return page.image, page.drawing


def _damaged(name: str, damage: str) -> str:
    return f"{name} is damaged ({damage}): parts of the picture may be wrong; copy it again."


def check_file(path: Path) -> None:
    """Check that a path is a plain file that can be read and holds something.

    Raises:
        PageError: stage "page": it is not.
    """
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
    if max(cols, rows) > MAX_ASPECT * min(cols, rows):
        raise PageError(
            "page",
            f"the longer side may be {MAX_ASPECT:g} times the shorter one at most; got {cols} x {rows};"
            " cut out the rows of traces",
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


def _read_image(path: Path, number: int, notes: list[str]) -> NDArray[np.uint8]:
    try:
        with own_size_limit(), open_image(path) as picture:
            _check_size(*picture.size)
            n_frames = image_pages(picture)
            if not 1 <= number <= n_frames:
                raise PageError("page", f"{path.name} has {n_frames} pages; there is no page {number}")
            if n_frames > 1:
                picture.seek(number - 1)
                _check_size(*picture.size)
            elif (n_frames := getattr(picture, "n_frames", 1)) > 1 and picture.format not in PREVIEWED:
                notes.append(f"{path.name} is an animation of {n_frames} pictures; the first was read.")
            if (damage := damage_of(path.read_bytes())) is not None:
                notes.append(_damaged(path.name, damage))
            picture.load()
            return _picture_to_rgb(_upright(picture, notes))
    except UnidentifiedImageError as error:
        raise PageError(
            "page",
            f"{path.name} is not an image in a known format; use PNG, JPEG, TIFF, BMP, WebP, HEIC, JPEG 2000,"
            " AVIF, DICOM or PDF",
        ) from error
    # Pillow's decoders raise all of these on damaged files.
    except (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, struct.error) as error:
        raise PageError("page", f"{path.name} is damaged or cut short ({error}); copy it again") from error


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
