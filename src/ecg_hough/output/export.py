"""Writing one digitised page: WFDB record, CSV, JSON and overlay, whole or not at all.

What enters: an `Ecg`. What leaves: files. This is the only module that knows file formats of results.
Every file is first written under a temporary name in the same folder and then renamed; a page's JSON
is renamed last, so its presence says that the page is finished.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.paper import LEADS
from ecg_hough.record import Record

PROGRAM = "ecg-hough"
"""Stands in every header and JSON, and tells our files from others of the same name."""
GAIN_ADU_PER_MV = 1000.0
"""One step is 1 µV, as PTB-XL."""
MAX_ADU = 32767
"""Largest value of WFDB format 16; −32768 means "no value"."""
CSV_DECIMALS = 4
"""mV; a tenth of the WFDB step."""
OVERLAY_SUFFIX = ".overlay.png"
LABELS_SUFFIX = ".labels.png"


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
    return _write_whole(Path(path), _csv_text(ecg).encode())


def write_json(ecg: Record, path: str | Path, *, extra: dict[str, Any] | None = None) -> Path:
    """Write everything but the arrays, and `extra`, as JSON.

    Raises:
        PageError: stage "export".
    """
    return _write_whole(Path(path), json_bytes({"program": PROGRAM, **ecg.to_dict(), **(extra or {})}))


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
    csv: bool = False,
    overlay: NDArray[np.uint8] | None = None,
    labels: NDArray[np.uint8] | None = None,
    extra: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write all files of one page: all of them, or none.

    Args:
        ecg: the record.
        folder: made if missing.
        stem: of the page's file; all files are called `record_name(stem)`.
        csv: whether to write the CSV.
        overlay: (rows, cols, 3) RGB picture to write, or None.
        labels: (rows, cols) label map of the leads to write, or None.
        extra: further entries of the JSON.
        overwrite: write over files of that name that this program did not make.

    Returns:
        Path of the JSON.

    Raises:
        PageError: stage "export"; nothing of this page is then left behind.
    """
    folder = Path(folder)
    name = record_name(stem)
    names = [f"{name}.dat", f"{name}.hea"]
    if csv:
        names.append(f"{name}.csv")
    if overlay is not None:
        names.append(f"{name}{OVERLAY_SUFFIX}")
    if labels is not None:
        names.append(f"{name}{LABELS_SUFFIX}")
    page_json = folder / f"{name}.json"
    document = {"program": PROGRAM, **ecg.to_dict(), **(extra or {}), "record_name": name, "files": names}
    if name != stem:
        document["record_name_note"] = (
            f"WFDB names hold only letters, digits, - and _; {stem!r} was written as {name!r}"
        )
    with _staging(folder) as stage:
        if not overwrite:
            _refuse_foreign(folder, [*names, page_json.name])
        _stage_wfdb(stage, name, ecg.signals, ecg.fs, _comments(ecg))
        if csv:
            (stage / f"{name}.csv").write_bytes(_csv_text(ecg).encode())
        if overlay is not None:
            (stage / f"{name}{OVERLAY_SUFFIX}").write_bytes(_png_bytes(overlay))
        if labels is not None:
            (stage / f"{name}{LABELS_SUFFIX}").write_bytes(_png_bytes(labels))
        (stage / page_json.name).write_bytes(json_bytes(document))
        # An old JSON must not vouch for new signals, nor old extra files stand beside them.
        stale = _files_listed(page_json)
        page_json.unlink(missing_ok=True)
        for old in (f"{name}.csv", f"{name}{OVERLAY_SUFFIX}", f"{name}{LABELS_SUFFIX}"):
            if old in stale and old not in names:
                (folder / old).unlink(missing_ok=True)
        _move(stage, folder, [*names, page_json.name])
    return page_json


def json_bytes(document: dict[str, Any]) -> bytes:
    """Strict JSON (no NaN), readable by people."""
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _stage_wfdb(
    folder: Path, name: str, signals: NDArray[np.floating], fs: int, comments: Sequence[str]
) -> None:
    import wfdb

    signals = np.asarray(signals, dtype=np.float64)
    if signals.ndim != 2 or signals.shape[0] != len(LEADS) or signals.shape[1] == 0:
        raise ValueError(f"signals must be (12, N) with at least one sample; got {signals.shape}")
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
        stage = Path(tempfile.mkdtemp(prefix=".ecg-hough-", dir=folder))
        yield stage
    except OSError as error:
        # numpy reports a short write without an errno.
        reason = error.strerror or f"{error}; is the disk full?"
        raise PageError("export", f"cannot write into {folder}: {reason}; nothing was left behind") from error
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)


def _move(stage: Path, folder: Path, names: list[str]) -> None:
    """Rename finished files into place in order; if one fails, take back those already there."""
    moved: list[Path] = []
    try:
        for name in names:
            os.replace(stage / name, folder / name)
            moved.append(folder / name)
    except OSError:
        for path in moved:
            path.unlink(missing_ok=True)
        raise


def _write_whole(path: Path, content: bytes) -> Path:
    with _staging(path.parent) as stage:
        (stage / path.name).write_bytes(content)
        _move(stage, path.parent, [path.name])
    return path


def _refuse_foreign(folder: Path, names: list[str]) -> None:
    """Predicting into a folder of truth records must not destroy them."""
    signs = {".hea": f" by {PROGRAM}", ".json": f'"program": "{PROGRAM}"'}
    for name in names:
        path = folder / name
        sign = signs.get(path.suffix)
        if sign and path.exists() and sign not in path.read_text(encoding="utf-8", errors="replace"):
            raise PageError(
                "export",
                f"{path} exists and was not written by {PROGRAM}; choose another output folder "
                "or allow it with --overwrite",
            )


def _files_listed(page_json: Path) -> list[str]:
    try:
        return [str(name) for name in json.loads(page_json.read_bytes())["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
