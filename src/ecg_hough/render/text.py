"""Printed text: words in the typefaces of carts, printers and plotters, as ink coverage.

In: a text, a face and a size. Out: ink on a layer, and how wide it is. Two sources of faces, none of which is
a file of ours: TrueType files that matplotlib carries, and the standard PDF faces (Helvetica, Times, Courier)
that PDFium draws.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TRUETYPE = (
    "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSerif.ttf",
    "DejaVuSansMono-Bold.ttf", "DejaVuSerif-Bold.ttf", "cmss10.ttf", "STIXGeneral.ttf",
    "DejaVuSans-Oblique.ttf", "STIXGeneralBol.ttf", "cmr10.ttf", "cmtt10.ttf",
)  # fmt: skip
PDF = (
    "Helvetica", "Helvetica-Bold", "Helvetica-Oblique", "Times-Roman", "Times-Bold", "Courier",
    "Courier-Bold",
)  # fmt: skip
FACES: tuple[str, ...] = (*TRUETYPE, *PDF)


def draw_text(layer: np.ndarray, text: str, row: float, col: float, face: str, size_px: int) -> None:
    """Draw a text into a layer (rows, cols) uint8 in place; (row, col) is its top left corner."""
    picture = text_coverage(text, face, size_px)
    r, c = round(row), round(col)
    top, left = max(r, 0), max(c, 0)
    bottom, right = min(r + picture.shape[0], layer.shape[0]), min(c + picture.shape[1], layer.shape[1])
    if bottom > top and right > left:
        part = layer[top:bottom, left:right]
        np.maximum(part, picture[top - r : bottom - r, left - c : right - c], out=part)


def text_width(text: str, face: str, size_px: int) -> int:
    """Width of a text in px; 0 for an empty one."""
    return text_coverage(text, face, size_px).shape[1] if text else 0


@lru_cache(maxsize=4096)
def text_coverage(text: str, face: str, size_px: int) -> np.ndarray:
    """Ink coverage (rows, cols) uint8 of a text; rows go from the ascenders' top to below descenders.

    Raises:
        ValueError: unknown face.
    """
    if face in PDF:
        return _pdf_text(text, face, size_px)
    if face not in TRUETYPE:
        raise ValueError(f"face must be one of {', '.join(FACES)}; got {face!r}")
    font = _truetype(face, size_px)
    width = int(np.ceil(font.getlength(text))) + 1
    image = Image.new("L", (max(width, 1), int(1.35 * size_px) + 1), 0)
    ImageDraw.Draw(image).text((0, 0), text, fill=255, font=font)
    return np.asarray(image)


@lru_cache(maxsize=64)
def _truetype(name: str, size_px: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # its wheel carries free fonts; the only thing taken from it here

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size_px)


def _pdf_text(text: str, face: str, size_px: int) -> np.ndarray:
    import pypdfium2 as pdfium
    from pypdfium2 import raw

    document = pdfium.PdfDocument.new()
    try:
        font = raw.FPDFText_LoadStandardFont(document.raw, face.encode())
        drawn = raw.FPDFPageObj_CreateTextObj(document.raw, font, ctypes.c_float(size_px))
        content = ctypes.create_string_buffer(text.encode("utf-16-le") + b"\0\0")
        raw.FPDFText_SetText(drawn, ctypes.cast(content, ctypes.POINTER(ctypes.c_ushort)))
        left, bottom, right, top = (ctypes.c_float() for _ in range(4))
        raw.FPDFPageObj_GetBounds(drawn, left, bottom, right, top)
        page = document.new_page(max(right.value, 1) + 1, 1.35 * size_px + 1)
        raw.FPDFPageObj_Transform(drawn, 1, 0, 0, 1, 0, 0.4 * size_px)
        raw.FPDFPage_InsertObject(page.raw, drawn)
        raw.FPDFPage_GenerateContent(page.raw)
        picture = page.render(scale=1, grayscale=True).to_numpy()
        return np.asarray(255 - picture.reshape(picture.shape[:2]), np.uint8)
    finally:
        document.close()
