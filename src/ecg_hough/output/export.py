"""Writing one digitised page: WFDB record, CSV, JSON, overlay and label map, all files or none.

In: an `Ecg`. Out: files. `FORMATS` lists every format with its suffixes and its writer. Every file is first
written under a temporary name in the same folder, flushed to the disk and then renamed; a page's JSON is
renamed last, so its presence shows that the page is finished.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.output.overlay import draw_label_map, draw_overlay
from ecg_hough.paper import LEADS
from ecg_hough.record import Record

PROGRAM = "ecg-hough"
"""Is written into every header and JSON, and distinguishes our files from others of the same name."""
GAIN_ADU_PER_MV = 1000.0
"""One step is 1 µV, as PTB-XL."""
MAX_ADU = 32767
"""Largest value of WFDB format 16; −32768 means "no value"."""
STAGING_PREFIX = ".ecg-hough-"
"""Of temporary folders; a killed run leaves them."""
CSV_DECIMALS = 4
"""Of mV: a tenth of the WFDB step."""


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
    """

    name: str
    description: str
    suffixes: tuple[str, ...]
    write: Callable[[Page, Path, str], None]
    needs_image: bool = False


def _one_file(
    name: str, description: str, suffix: str, content: Callable[[Page], bytes], *, needs_image: bool = False
) -> Format:
    """A format of one file, from its bytes."""

    def write(page: Page, folder: Path, stem: str) -> None:
        (folder / f"{stem}{suffix}").write_bytes(content(page))

    return Format(name, description, (suffix,), write, needs_image)


def _write_wfdb(page: Page, folder: Path, stem: str) -> None:
    _stage_wfdb(folder, stem, page.ecg.signals, page.ecg.fs, _comments(page.ecg))


def _csv_bytes(page: Page) -> bytes:
    return _csv_text(page.ecg).encode()


def _json_bytes(page: Page) -> bytes:
    return json_bytes({"program": PROGRAM, **page.ecg.to_dict(), **(page.extra or {})})


def _overlay_bytes(page: Page) -> bytes:
    return _png_bytes(draw_overlay(page.picture, page.ecg))


def _label_bytes(page: Page) -> bytes:
    return _png_bytes(draw_label_map(page.picture.shape[:2], page.ecg))


OVERLAY_SUFFIX, LABELS_SUFFIX = ".overlay.png", ".labels.png"
FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("wfdb", "WFDB record, signals in mV", (".dat", ".hea"), _write_wfdb),
        _one_file("csv", "time, leads and their expected errors as CSV", ".csv", _csv_bytes),
        _one_file("overlay", "picture of the traces on the page", OVERLAY_SUFFIX, _overlay_bytes,
                  needs_image=True),
        _one_file("labels", "label map of the leads", LABELS_SUFFIX, _label_bytes, needs_image=True),
        _one_file("json", "everything but the arrays as JSON", ".json", _json_bytes),
    )
}  # fmt: skip
"""All formats by name, in the order in which their files are renamed; the JSON is the last."""
ALWAYS = ("wfdb", "json")
"""Formats that every page is written in."""
PICTURE_SUFFIXES = tuple(suffix for one in FORMATS.values() if one.needs_image for suffix in one.suffixes)
"""Of pictures of results, which are no pages to digitise."""


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
    return write_signals(folder, stem, ecg.signals, ecg.fs, comments=_comments(ecg))


def write_signals(
    folder: str | Path, stem: str, signals: NDArray[np.floating], fs: int, *, comments: Sequence[str] = ()
) -> tuple[Path, Path]:
    """Write (12, N) mV as a WFDB record; as `write_wfdb`, for signals without a page."""
    folder = Path(folder)
    name = record_name(stem)
    header, data = folder / f"{name}.hea", folder / f"{name}.dat"
    with _staging(folder) as stage:
        _stage_wfdb(stage, name, signals, fs, comments)
        _move(stage, folder, [data.name, header.name])
    return header, data


def write_csv(ecg: Record, path: str | Path) -> Path:
    """Write a column time_s, one a lead in mV, and one a lead of its expected error; an empty field is NaN.

    Raises:
        PageError: stage "export".
    """
    return _write_whole(Path(path), _csv_bytes(Page(ecg)))


def write_json(ecg: Record, path: str | Path, *, extra: dict[str, Any] | None = None) -> Path:
    """Write all fields but the arrays, and `extra`, as JSON.

    Raises:
        PageError: stage "export".
    """
    return _write_whole(Path(path), _json_bytes(Page(ecg, extra=extra)))


def write_document(document: dict[str, Any], path: str | Path) -> Path:
    """Write any JSON document whole, such as the report of a run.

    Raises:
        PageError: stage "export".
    """
    return _write_whole(Path(path), json_bytes(document))


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
        formats: names in `FORMATS` to write besides `ALWAYS`.
        image: (rows, cols, 3) RGB image that was digitised, for formats that need it.
        extra: further entries of the JSON.
        overwrite: write over files of that name that this program did not make.

    Returns:
        Path of the JSON.

    Raises:
        PageError: stage "export"; nothing of this page is then written.
        ValueError: no such format, or its image is missing.
    """
    if unknown := set(formats) - FORMATS.keys():
        raise ValueError(f"formats must be among {', '.join(FORMATS)}; got {', '.join(sorted(unknown))}")
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
    with _staging(folder) as stage:
        if not overwrite:
            _refuse_foreign(folder, name, [*names, page_json])
        for one in chosen:
            if page_json in (f"{name}{suffix}" for suffix in one.suffixes):
                extra_of_page["sums"] = {file: sum_of(stage / file) for file in names}
            one.write(page, stage, name)
        # An old JSON must not describe new signals, nor may its extra files remain next to them.
        optional = [f"{name}{suffix}" for one in FORMATS.values() for suffix in one.suffixes]
        stale = set(_files_listed(folder / page_json)) & set(optional) - set(names)
        # Until the JSON is there, what is written of the page is known as ours by this list.
        claim = _claim_of(folder, name)
        (stage / claim.name).write_text(json.dumps(sorted({*names, *stale, page_json})))
        _move(stage, folder, [claim.name])
        (folder / page_json).unlink(missing_ok=True)
        for old in stale:
            (folder / old).unlink(missing_ok=True)
        try:
            _move(stage, folder, [*names, page_json])
        finally:
            claim.unlink(missing_ok=True)
    return folder / page_json


def json_bytes(document: dict[str, Any]) -> bytes:
    """Strict JSON (no NaN), readable by people."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # A name that is not UTF-8 has surrogates, which JSON writes as \\udc80 and the like.
    return text.encode("utf-8", "backslashreplace")


def sum_of(path: Path) -> str:
    """The sha256 of a file, by which a finished page's files are known to be whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stage_wfdb(
    folder: Path, name: str, signals: NDArray[np.floating], fs: int, comments: Sequence[str]
) -> None:
    import wfdb

    signals = np.asarray(signals, dtype=np.float64)
    if signals.ndim != 2 or signals.shape[0] != len(LEADS) or signals.shape[1] == 0:
        raise ValueError(f"signals must be ({len(LEADS)}, N) with at least one sample; got {signals.shape}")
    if np.isinf(signals).any():
        raise ValueError("signals must be finite or NaN; got infinite values")
    gains = [_gain(lead) for lead in signals]
    wfdb.wrsamp(
        name,
        fs=fs,
        units=["mV"] * len(LEADS),
        sig_name=list(LEADS),
        p_signal=signals.T,
        fmt=["16"] * len(LEADS),
        adc_gain=gains,
        baseline=[0] * len(LEADS),
        # WFDB headers are ASCII lines.
        comments=[" ".join(line.split()).encode("ascii", "replace").decode() for line in comments],
        write_dir=str(folder),
    )


def _gain(lead: NDArray[np.float64]) -> float:
    """adu/mV: 1000, or the largest whole number that keeps the lead in 16 bits."""
    peak = float(np.max(np.abs(lead), initial=0.0, where=~np.isnan(lead)))
    if peak * GAIN_ADU_PER_MV <= MAX_ADU:
        return GAIN_ADU_PER_MV
    gain = MAX_ADU / peak
    return float(np.floor(gain)) if gain >= 1 else gain


def _comments(ecg: Record) -> list[str]:
    missing = [status for status in ecg.lead_status if not status.found]
    return [
        f"Digitised from {ecg.source} by {PROGRAM} {ecg.versions.get('ecg_hough', '')}".rstrip(),
        f"Layout: {ecg.layout}; paper speed {ecg.speed_mm_s:g} mm/s; gain {ecg.gain_mm_mv:g} mm/mV",
        *(f"Lead {status.lead}: {status.reason or 'not found'}" for status in missing),
        *(f"Warning: {warning}" for warning in ecg.warnings),
    ]


def _csv_text(ecg: Record) -> str:
    times = np.arange(ecg.signals.shape[1]) / ecg.fs
    lines = [",".join(("time_s", *LEADS, *(f"{lead}_sd" for lead in LEADS)))]
    values = np.concatenate([ecg.signals, ecg.sd_mv]).T.tolist()
    for time_s, row in zip(times.tolist(), values, strict=True):
        # A number is NaN if it is not equal to itself.
        fields = (f"{value:.{CSV_DECIMALS}f}" if value == value else "" for value in row)
        lines.append(f"{time_s:.6f}," + ",".join(fields))
    return "\n".join(lines) + "\n"


def _png_bytes(image: NDArray[np.uint8]) -> bytes:
    done, encoded = cv2.imencode(
        ".png",
        image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_PNG_COMPRESSION, 3],
    )
    if not done:
        raise PageError("export", f"cannot encode a picture of shape {image.shape} as PNG")
    return encoded.tobytes()


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A temporary folder on the target's own disk; an OSError inside becomes a PageError."""
    stage: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=folder))
        yield stage
    except OSError as error:
        # numpy reports a short write without an errno.
        reason = error.strerror or f"{error}; is the disk full?"
        raise PageError("export", f"cannot write into {folder}: {reason}; no file was written") from error
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)


def _move(stage: Path, folder: Path, names: list[str]) -> None:
    """Rename finished files into place in order; if one fails, remove those already there.

    They are on the disk before they have their names, and so are the names when this returns.
    """
    moved: list[Path] = []
    try:
        for name in names:
            _flush(stage / name)
        for name in names:
            os.replace(stage / name, folder / name)
            moved.append(folder / name)
        _flush(folder)
    except OSError:
        for path in moved:
            path.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return  # Windows cannot open folders
    handle = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        # Some network file systems cannot flush folders.
        with contextlib.suppress(OSError) if is_folder else contextlib.nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)


def _write_whole(path: Path, content: bytes) -> Path:
    with _staging(path.parent) as stage:
        (stage / path.name).write_bytes(content)
        _move(stage, path.parent, [path.name])
    return path


def _claim_of(folder: Path, name: str) -> Path:
    return folder / f".{name}.unfinished"


def _refuse_foreign(folder: Path, name: str, names: list[str]) -> None:
    """Writing into a folder of truth records, or of a person's own files, must not destroy them.

    A file is ours if the page's JSON lists it, if a header that we signed stands for it, or if it remains of
    a run that was killed.
    """
    known: set[str] = set()
    page_json, header = folder / f"{name}.json", folder / f"{name}.hea"
    if _is_signed(page_json, f'"program": "{PROGRAM}"'):
        known |= {page_json.name, *_files_listed(page_json)}
    if _is_signed(header, f" by {PROGRAM}"):
        known |= {header.name, f"{name}.dat"}
    with contextlib.suppress(OSError, ValueError):
        known |= set(json.loads(_claim_of(folder, name).read_bytes()))
    for file in names:
        if file not in known and (folder / file).exists():
            raise PageError(
                "export",
                f"{folder / file} exists and was not written by {PROGRAM}; choose another output folder "
                "or allow it with --overwrite",
            )


def _is_signed(path: Path, sign: str) -> bool:
    return path.is_file() and sign in path.read_text(encoding="utf-8", errors="replace")


def _files_listed(page_json: Path) -> list[str]:
    try:
        return [str(name) for name in json.loads(page_json.read_bytes())["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
