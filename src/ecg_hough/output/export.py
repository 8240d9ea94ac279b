"""Writing one digitised page: signals in many formats, JSON, overlay and label map, all files or none.

In: an `Ecg`. Out: files. `FORMATS` lists every format with its suffixes and its writer. Every file is first
written under a temporary name in the same folder, flushed to the disk and then renamed; a page's JSON is
renamed last, so its presence shows that the page is finished.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.output.aecg import aecg_bytes
from ecg_hough.output.arrays import csv_bytes, mat_bytes, npz_bytes, parquet_bytes
from ecg_hough.output.dicom import FS_MAX_HZ, FS_MIN_HZ, dicom_bytes
from ecg_hough.output.edf import edf_bytes
from ecg_hough.output.fhir import fhir_bytes
from ecg_hough.output.files import (
    claim_of,
    files_listed,
    move_all,
    refuse_foreign,
    staging,
    sum_of,
    write_whole,
)
from ecg_hough.output.format16 import write_format16
from ecg_hough.output.overlay import draw_label_map, draw_overlay
from ecg_hough.output.samples import PROGRAM, check_signals, remarks
from ecg_hough.paper import LEADS
from ecg_hough.record import Record

GAIN_ADU_PER_MV = 1000.0
"""One step is 1 µV, as PTB-XL."""
MAX_ADU = 32767
"""Largest value of WFDB format 16; −32768 means "no value"."""
SCHEMA_VERSION = "1.1"
"""Of the JSON of a page, as `docs/scan.schema.json` describes it. The first number grows where a key changes
its meaning or goes; files without a version are older than 1.0."""


@dataclass(frozen=True)
class Page:
    """What the files of a page are made from.

    Attributes:
        ecg: the record.
        image: (rows, cols, 3) uint8 RGB, the image that was digitised; needed by pictures only.
        extra: further entries of the JSON.
    """

    ecg: Record
    image: NDArray[np.uint8] | None = None
    extra: dict[str, Any] | None = None

    @property
    def picture(self) -> NDArray[np.uint8]:
        """The image.

        Raises:
            ValueError: it is not given.
        """
        if self.image is None:
            raise ValueError("pictures of a page need its image; got None")
        return self.image


@dataclass(frozen=True)
class Format:
    """A file format of results.

    Attributes:
        name: of the option that asks for it; description: for people.
        suffixes: of its files, which are the record's name with each of these.
        write: writes these files of a page into a folder, under a name without suffix.
        needs_image: whether the page's image must be given.
        needs: packages that must be installed, of the extras `dicom`, `edf` and `batch`.
        media_type: by which programs ask for it over HTTP; of several files, of a zip archive of them.
    """

    name: str
    description: str
    suffixes: tuple[str, ...]
    write: Callable[[Page, Path, str], None]
    needs_image: bool = False
    needs: tuple[str, ...] = ()
    media_type: str = "application/octet-stream"


def _one_file(
    name: str,
    description: str,
    suffix: str,
    content: Callable[[Page], bytes],
    *,
    needs_image: bool = False,
    needs: tuple[str, ...] = (),
    media_type: str,
) -> Format:
    """A format of one file, from its bytes."""

    def write(page: Page, folder: Path, stem: str) -> None:
        (folder / f"{stem}{suffix}").write_bytes(content(page))

    return Format(name, description, (suffix,), write, needs_image, needs, media_type)


def _write_wfdb(page: Page, folder: Path, stem: str) -> None:
    _stage_wfdb(folder, stem, page.ecg.signals, page.ecg.fs, remarks(page.ecg))


def _json_bytes(page: Page) -> bytes:
    return json_bytes(
        {"program": PROGRAM, "schema_version": SCHEMA_VERSION, **page.ecg.to_dict(), **(page.extra or {})}
    )


def _overlay_bytes(page: Page) -> bytes:
    return png_bytes(draw_overlay(page.picture, page.ecg))


def _label_bytes(page: Page) -> bytes:
    return png_bytes(draw_label_map(page.picture.shape[:2], page.ecg))


OVERLAY_SUFFIX, LABELS_SUFFIX = ".overlay.png", ".labels.png"
FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("wfdb", "WFDB record, signals in mV", (".dat", ".hea"), _write_wfdb,
               media_type="application/zip"),
        _one_file("csv", "time, leads and their expected errors as CSV", ".csv",
                  lambda page: csv_bytes(page.ecg), media_type="text/csv"),
        _one_file("dicom", "DICOM 12-lead ECG, one group of 12 channels", ".dcm",
                  lambda page: dicom_bytes(page.ecg), needs=("pydicom",), media_type="application/dicom"),
        _one_file("dicom-printed", "DICOM 12-lead ECG, a group for each printed column", ".printed.dcm",
                  lambda page: dicom_bytes(page.ecg, printed=True), needs=("pydicom",),
                  media_type="application/dicom; groups=printed"),
        _one_file("edf", "EDF+ with annotations", ".edf", lambda page: edf_bytes(page.ecg), needs=("edfio",),
                  media_type="application/edf"),
        _one_file("fhir", "HL7 FHIR Observation, R4 and R4B", ".fhir.json",
                  lambda page: fhir_bytes(page.ecg), media_type="application/fhir+json"),
        _one_file("fhir-r5", "HL7 FHIR Observation, R5", ".fhir-r5.json",
                  lambda page: fhir_bytes(page.ecg, release="R5"),
                  media_type="application/fhir+json; fhirversion=5.0"),
        _one_file("aecg", "HL7 annotated ECG", ".aecg.xml", lambda page: aecg_bytes(page.ecg),
                  media_type="application/xml"),
        _one_file("npz", "NumPy arrays", ".npz", lambda page: npz_bytes(page.ecg),
                  media_type="application/x-npz"),
        _one_file("mat", "MATLAB variables", ".mat", lambda page: mat_bytes(page.ecg),
                  media_type="application/x-matlab-data"),
        _one_file("parquet", "Parquet table in whole microvolts", ".parquet",
                  lambda page: parquet_bytes(page.ecg), needs=("pyarrow",),
                  media_type="application/vnd.apache.parquet"),
        _one_file("overlay", "picture of the traces on the page", OVERLAY_SUFFIX, _overlay_bytes,
                  needs_image=True, media_type="image/png"),
        _one_file("labels", "label map of the leads", LABELS_SUFFIX, _label_bytes, needs_image=True,
                  media_type="image/png; content=labels"),
        _one_file("json", "everything but the arrays as JSON", ".json", _json_bytes,
                  media_type="application/json"),
    )
}  # fmt: skip
"""All formats by name, in the order in which their files are renamed; the JSON is the last."""
ALWAYS = ("wfdb", "json")
"""Formats that every page is written in."""
REDACTED_SUFFIX = ".redacted.png"
PICTURE_SUFFIXES = tuple(suffix for one in FORMATS.values() if one.needs_image for suffix in one.suffixes)
"""Of pictures of results, which are no pages to digitise."""
SIGNAL_FORMATS = tuple(name for name, one in FORMATS.items() if not one.needs_image and name != "json")
"""Formats that hold the signals."""


def check_formats(names: Iterable[str], *, fs: int | None = None) -> None:
    """Check formats before the first page is read.

    Args:
        names: in `FORMATS`.
        fs: sampling frequency of the records in Hz; None where it is not known yet.

    Raises:
        ValueError: no such format, or one that does not allow this fs.
        ModuleNotFoundError: a package is missing that one needs.
    """
    names = list(names)
    if unknown := sorted(set(names) - FORMATS.keys()):
        raise ValueError(f"formats must be among {', '.join(FORMATS)}; got {', '.join(unknown)}")
    for name in names:
        for package in FORMATS[name].needs:
            if importlib.util.find_spec(package) is None:
                raise ModuleNotFoundError(f"format {name} needs the package {package}", name=package)
        if fs is not None and name.startswith("dicom") and not FS_MIN_HZ <= fs <= FS_MAX_HZ:
            raise ValueError(f"fs of a DICOM ECG must be {FS_MIN_HZ} to {FS_MAX_HZ} Hz; got {fs}")


def record_name(stem: str) -> str:
    """The WFDB record name for a stem: every character but ASCII letters, digits, - and _ becomes _.

    Raises:
        ValueError: an empty stem.
    """
    if not stem:
        raise ValueError("a record name needs at least one character; got ''")
    return re.sub(r"[^A-Za-z0-9_-]", "_", stem)


def write_wfdb(ecg: Record, folder: str | Path, stem: str) -> tuple[Path, Path]:
    """Write a WFDB record in format 16, 1000 adu/mV, NaN as "no value".

    A lead beyond ±32.767 mV gets a lower gain, so that nothing is clipped.

    Args:
        ecg: the record.
        folder: made if missing.
        stem: becomes the record name, see `record_name`.

    Returns:
        Paths of the .hea and the .dat file.

    Raises:
        PageError: stage "export": the folder cannot be written, the disk is full.
        ValueError: infinite signals, or none at all.
    """
    return write_signals(folder, stem, ecg.signals, ecg.fs, comments=remarks(ecg))


def write_signals(
    folder: str | Path, stem: str, signals: NDArray[np.floating], fs: int, *, comments: Sequence[str] = ()
) -> tuple[Path, Path]:
    """Write (12, N) mV as a WFDB record; as `write_wfdb`, for signals without a page."""
    folder = Path(folder)
    name = record_name(stem)
    header, data = folder / f"{name}.hea", folder / f"{name}.dat"
    with staging(folder) as stage:
        _stage_wfdb(stage, name, signals, fs, comments)
        move_all(stage, folder, [data.name, header.name])
    return header, data


def write_csv(ecg: Record, path: str | Path) -> Path:
    """Write a column time_s, one a lead in mV, and one a lead of its expected error; an empty field is NaN.

    Raises:
        PageError: stage "export".
    """
    return write_format(ecg, "csv", path)


def write_format(ecg: Record, name: str, path: str | Path) -> Path:
    """Write a record in a format of one file, under any name.

    Args:
        ecg: the record.
        name: of the format in `FORMATS`; one that needs no image.
        path: of the file; its folder is made if missing.

    Raises:
        PageError: stage "export": the folder cannot be written, the disk is full.
        ValueError: the record does not fit the format.
        ModuleNotFoundError: a package is missing, see `Format.needs`.
    """
    check_formats([name])
    path = Path(path)
    (suffix,) = FORMATS[name].suffixes
    with staging(path.parent) as stage:
        FORMATS[name].write(Page(ecg), stage, "record")
        (stage / f"record{suffix}").rename(stage / path.name)
        move_all(stage, path.parent, [path.name])
    return path


def write_json(ecg: Record, path: str | Path, *, extra: dict[str, Any] | None = None) -> Path:
    """Write all fields but the arrays, and `extra`, as JSON.

    Raises:
        PageError: stage "export".
    """
    return write_whole(Path(path), _json_bytes(Page(ecg, extra=extra)))


def write_document(document: dict[str, Any], path: str | Path) -> Path:
    """Write any JSON document whole, such as the report of a run.

    Raises:
        PageError: stage "export".
    """
    return write_whole(Path(path), json_bytes(document))


def write_page(
    ecg: Record,
    folder: str | Path,
    stem: str,
    *,
    formats: Collection[str] = (),
    image: NDArray[np.uint8] | None = None,
    extra: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write all files of one page: all of them, or none.

    Args:
        ecg: the record.
        folder: made if missing.
        stem: of the page's file; all files are called `record_name(stem)`.
        formats: names in `FORMATS` to write besides `ALWAYS`; see `check_formats`.
        image: (rows, cols, 3) RGB image that was digitised, for formats that need it.
        extra: further entries of the JSON.
        overwrite: write over files of that name that this program did not make.

    Returns:
        Path of the JSON.

    Raises:
        PageError: stage "export"; nothing of this page is then written.
        ValueError: no such format, its image is missing, or the record does not fit it.
        ModuleNotFoundError: a package is missing, see `Format.needs`.
    """
    check_formats(formats)
    folder = Path(folder)
    name = record_name(stem)
    chosen = [one for one in FORMATS.values() if one.name in ALWAYS or one.name in formats]
    *names, page_json = [f"{name}{suffix}" for one in chosen for suffix in one.suffixes]
    listed: dict[str, Any] = {"record_name": name, "files": names}
    if name != stem:
        listed["record_name_note"] = (
            f"WFDB names hold only letters, digits, - and _; {stem!r} was written as {name!r}"
        )
    extra_of_page = {**(extra or {}), **listed}
    page = Page(ecg, image, extra_of_page)
    with staging(folder) as stage:
        if not overwrite:
            refuse_foreign(folder, name, [*names, page_json])
        for one in chosen:
            if page_json in (f"{name}{suffix}" for suffix in one.suffixes):
                extra_of_page["sums"] = {file: sum_of(stage / file) for file in names}
            one.write(page, stage, name)
        # An old JSON must not describe new signals, nor may its extra files remain next to them.
        optional = [f"{name}{suffix}" for one in FORMATS.values() for suffix in one.suffixes]
        stale = set(files_listed(folder / page_json)) & set(optional) - set(names)
        # Until the JSON is there, what is written of the page is known as ours by this list.
        claim = claim_of(folder, name)
        (stage / claim.name).write_text(json.dumps(sorted({*names, *stale, page_json})))
        move_all(stage, folder, [claim.name])
        (folder / page_json).unlink(missing_ok=True)
        for old in stale:
            (folder / old).unlink(missing_ok=True)
        try:
            move_all(stage, folder, [*names, page_json])
        finally:
            claim.unlink(missing_ok=True)
    return folder / page_json


def json_bytes(document: dict[str, Any]) -> bytes:
    """Strict JSON (no NaN), readable by people."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # A name that is not UTF-8 has surrogates, which JSON writes as \\udc80 and the like.
    return text.encode("utf-8", "backslashreplace")


def _stage_wfdb(
    folder: Path, name: str, signals: NDArray[np.floating], fs: int, comments: Sequence[str]
) -> None:
    signals = np.asarray(signals, dtype=np.float64)
    check_signals(signals)
    # WFDB headers are ASCII lines.
    lines = [" ".join(line.split()).encode("ascii", "replace").decode() for line in comments]
    write_format16(folder, name, signals, fs, [_gain(lead) for lead in signals], LEADS, lines)


def _gain(lead: NDArray[np.float64]) -> float:
    """adu/mV: 1000, or the largest whole number that keeps the lead in 16 bits."""
    peak = float(np.max(np.abs(lead), initial=0.0, where=~np.isnan(lead)))
    if peak * GAIN_ADU_PER_MV <= MAX_ADU:
        return GAIN_ADU_PER_MV
    gain = MAX_ADU / peak
    return float(np.floor(gain)) if gain >= 1 else gain


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """A picture (rows, cols[, 3]) uint8, grey or RGB, as PNG without any metadata."""
    done, encoded = cv2.imencode(
        ".png",
        image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_PNG_COMPRESSION, 3],
    )
    if not done:
        raise PageError("export", f"cannot encode a picture of shape {image.shape} as PNG")
    return encoded.tobytes()
