"""DICOM objects that hold pages: secondary captures and other images of one or more frames, and PDFs.

In: a path and a page's number. Out: pixels as stored and meant to be shown, or a `PdfPage`. Decoding runs in
a child process (`child`).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.documents.child import SHARED
from ecg_hough.documents.pdf import PdfPage, count_pdf_pages, read_pdf_page
from ecg_hough.errors import PageError

PDF_MAX_BYTES = 200 << 20
"""Largest encapsulated PDF."""


def count_dicom_pages(path: Path) -> int:
    """Number of frames, or of pages of the PDF within.

    Raises:
        PageError: damaged, or an object without pages.
    """
    found: int | bytes = SHARED.call(_frames_or_pdf, str(path), what=path.name)
    return found if isinstance(found, int) else count_pdf_pages(_as_file(path, found))


def pdf_within(path: Path) -> Path | None:
    """The PDF that an object encapsulates, as a file of its own; None of one with frames.

    Raises:
        PageError: as `count_dicom_pages`.
    """
    found: int | bytes = SHARED.call(_frames_or_pdf, str(path), what=path.name)
    return _as_file(path, found) if isinstance(found, bytes) else None


def read_dicom_page(path: Path, number: int, *, most_px: int, least_side_px: int) -> PdfPage | NDArray[Any]:
    """A frame, (rows, cols) uint16 or (rows, cols, 3) uint8, or a page of the PDF within.

    Args:
        number: 1 the first; most_px, least_side_px: as for `pdf.read_pdf_page`.
    Raises:
        PageError: as `count_dicom_pages`, or no such page.
    """
    found: int | bytes = SHARED.call(_frames_or_pdf, str(path), what=path.name)
    if isinstance(found, bytes):
        within = _as_file(path, found)
        return read_pdf_page(within, number, most_px=most_px, least_side_px=least_side_px)
    if not 1 <= number <= found:
        raise PageError("page", f"{path.name} has {found} frames; there is no page {number}")
    frame: NDArray[Any] = SHARED.call(_frame, str(path), number, most_px, what=f"{path.name}, frame {number}")
    return frame


_files: dict[str, Path] = {}
_folder: tempfile.TemporaryDirectory[str] | None = None


def _as_file(path: Path, pdf: bytes) -> Path:
    """The PDF of an object as a file of its own, for as long as this process lives."""
    global _folder
    if _folder is None:
        _folder = tempfile.TemporaryDirectory(prefix="ecg-hough-")
    key = hashlib.sha256(pdf).hexdigest()
    if key not in _files:
        folder = Path(_folder.name, key)
        folder.mkdir()
        _files[key] = folder / path.name
        _files[key].write_bytes(pdf)
    return _files[key]


def forget_files() -> None:
    """Remove the PDFs that this process took out of objects; a long process would keep them all."""
    for path in _files.values():
        shutil.rmtree(path.parent, ignore_errors=True)
    _files.clear()


# --- what follows runs in the child


def _dataset(path: str, *, pixels: bool) -> Any:
    name = Path(path).name
    try:
        import pydicom
    except ImportError as error:
        raise PageError(
            "page",
            f'{name} is DICOM, for which a reader is needed: pip install "ecg-hough[dicom]"',
        ) from error
    try:
        # Objects without a preamble are read, too; one without a single known element is no DICOM.
        found = pydicom.dcmread(path, force=True, defer_size=None if pixels else 1 << 16)
        if "SOPClassUID" not in found and "PixelData" not in found:
            raise PageError("page", f"{name} is not a DICOM object, or is cut short; export it again")
        return found
    except PageError:
        raise
    except Exception as error:  # its parsers raise anything on damaged files
        raise PageError("page", f"{name} is damaged DICOM ({error}); export it again") from error


def _frames_or_pdf(path: str) -> int | bytes:
    name, data = Path(path).name, _dataset(path, pixels=False)
    if "EncapsulatedDocument" in data:
        pdf = bytes(data.EncapsulatedDocument)
        if len(pdf) > PDF_MAX_BYTES or b"%PDF-" not in pdf[:1024]:
            kind = data.get("MIMETypeOfEncapsulatedDocument", "unknown")
            raise PageError(
                "page", f"{name} encapsulates a document of {len(pdf)} bytes, {kind}; a PDF is read"
            )
        return pdf
    if "PixelData" in data:
        return int(data.get("NumberOfFrames", 1) or 1)
    if "WaveformSequence" in data:
        raise PageError(
            "page",
            f"{name} holds the ECG's own samples, no page: read them with pydicom, nothing is to digitise",
        )
    raise PageError("page", f"{name} is a DICOM object without pixels or a PDF; export the ECG's page")


def _frame(path: str, number: int, most_px: int) -> NDArray[Any]:
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

    name, data = Path(path).name, _dataset(path, pixels=True)
    rows, cols = int(data.get("Rows", 0)), int(data.get("Columns", 0))
    if not 0 < rows * cols <= most_px:
        raise PageError("page", f"a frame of {name} has {cols} x {rows} px; up to {most_px} px are read")
    try:
        pixels = pixel_array(data, index=number - 1)
        kind = data.PhotometricInterpretation
        if kind == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, data)
        if pixels.ndim == 3:
            return _to_eight_bits(pixels[..., :3])
        return _grey(
            apply_voi_lut(apply_modality_lut(pixels, data), data), data, inverted=kind == "MONOCHROME1"
        )
    except PageError:
        raise
    except Exception as error:  # as above
        raise PageError(
            "page", f"frame {number} of {name} cannot be decoded ({error}); export it again"
        ) from error


def _to_eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    top = 65535 if pixels.max(initial=0) > 255 else 255
    return np.ascontiguousarray(
        np.clip(pixels.astype(float) * (255.0 / top), 0, 255).round().astype(np.uint8)
    )


def _grey(pixels: NDArray[Any], data: Any, *, inverted: bool) -> NDArray[np.uint16]:
    """Grey levels over the whole range of 16 bits: by the window, or else by the stored bits."""
    values = pixels.astype(float)
    windowed = "WindowCenter" in data or "VOILUTSequence" in data
    signed, bits = int(data.get("PixelRepresentation", 0)), int(data.get("BitsStored", 8))
    rescaled = "RescaleSlope" in data or "ModalityLUTSequence" in data
    if windowed or rescaled or signed:
        low, high = float(values.min()), float(values.max())
    else:
        low, high = 0.0, float(2**bits - 1)
    share = np.clip((values - low) / max(high - low, 1e-9), 0.0, 1.0)
    return np.rint((1.0 - share if inverted else share) * 65535.0).astype(np.uint16)
