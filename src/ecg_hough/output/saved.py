"""Records made before: read back from their files, and written again in other formats.

In: a page's JSON with its WFDB record or NPZ archive, or a WFDB record of another program. Out: an `Ecg`, or
files. A record that cannot be read is a ValueError that names the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.clinical import Header, Patient, header_of, measurement_of
from ecg_hough.errors import PageError
from ecg_hough.output.ecg import Ecg
from ecg_hough.output.export import (
    FORMATS,
    SCHEMA_VERSION,
    SIGNAL_FORMATS,
    Page,
    check_formats,
    json_bytes,
    record_name,
)
from ecg_hough.output.files import files_listed, move_all, staging, sum_of, write_whole
from ecg_hough.output.read_back import read_leads
from ecg_hough.output.samples import PROGRAM
from ecg_hough.paper import LEADS
from ecg_hough.record import LeadStatus, Trace

HEADER_SUFFIX = ".hea"
FOREIGN = "not in the record"
"""Why a lead is missing in a record of another program."""


@dataclass(frozen=True)
class Conversion:
    """What became of one record: the files written, or why there are none."""

    record: Path
    files: tuple[Path, ...] = ()
    message: str | None = None


def find_records(inputs: Iterable[str | Path]) -> list[Path]:
    """Records among files and folders: JSON files of this program, and WFDB headers without one beside them.

    A folder is searched recursively; of a record's files any one is enough.

    Raises:
        ValueError: no record at all.
    """
    entries = [Path(entry) for entry in inputs]
    found: dict[Path, Path] = {}
    for entry in entries:
        for path in _in_folder(entry) if entry.is_dir() else [_main_file(entry)]:
            found.setdefault(path.absolute(), path)
    if not found:
        names = ", ".join(map(str, entries)) or "nothing"
        raise ValueError(
            f"at least one record is needed (STEM.json of {PROGRAM}, or STEM.hea); found none in {names}"
        )
    return list(found.values())


def _in_folder(folder: Path) -> list[Path]:
    pages = [path for path in sorted(folder.rglob("*.json")) if _is_ours(path)]
    known = {path.with_suffix("") for path in pages}
    headers = sorted(folder.rglob(f"*{HEADER_SUFFIX}"))
    return pages + [path for path in headers if path.with_suffix("") not in known]


def _main_file(path: Path) -> Path:
    """The JSON of a record if there is one, else its header."""
    stem = path.with_suffix("") if path.suffix in (".json", HEADER_SUFFIX, ".dat", ".npz") else path
    for suffix in (".json", HEADER_SUFFIX):
        main = stem.with_name(stem.name + suffix)
        if main.is_file():
            return main
    return path


def _is_ours(path: Path) -> bool:
    """Whether a JSON file is that of a page: the report of a run has no leads."""
    try:
        entry = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(entry, dict) and entry.get("program") == PROGRAM and "lead_status" in entry


def read_record(path: str | Path) -> Ecg:
    """A record made before, from any of its files.

    Signals come from the NPZ archive, or else from the WFDB record. Without the archive, `sd_mv` is that of
    the CSV file, or NaN, and `confidence` is every lead's mean. Files of versions before 1.0 are read too.

    Raises:
        ValueError: it cannot be read; the message names the file and what is wrong.
    """
    path = _main_file(Path(path))
    if path.suffix == HEADER_SUFFIX:
        return _of_wfdb(path)
    entry = _load(path)
    stem = path.with_name(str(entry.get("record_name", path.stem)))
    archive = stem.with_name(f"{stem.name}.npz")
    try:
        fs = int(entry["fs"])
        statuses = tuple(_status(one) for one in entry["lead_status"])
        if archive.is_file():
            with np.load(archive, allow_pickle=False) as arrays:
                signals, sd_mv, confidence = (
                    arrays[name].astype(np.float64) for name in ("signals", "sd_mv", "confidence")
                )
        else:
            signals = _wfdb_signals(stem, fs)
            sd_mv = _sd_of_csv(stem.with_name(f"{stem.name}.csv"), signals.shape)
            sure = np.array([status.confidence for status in statuses])[:, None]
            confidence = np.where(np.isnan(signals), 0.0, sure)
        return _record(entry, statuses, fs, (signals, sd_mv, confidence))
    except (KeyError, TypeError, OSError) as error:
        raise ValueError(f"{path} must be the JSON of a page by {PROGRAM}: {_said(error)}") from error


def _said(error: Exception) -> str:
    return f"it has no key {error}" if isinstance(error, KeyError) else str(error)


def _load(path: Path) -> dict[str, Any]:
    try:
        entry = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"{path} must be JSON: {error}") from error
    if not isinstance(entry, dict) or entry.get("program") != PROGRAM:
        raise ValueError(f"{path} must be the JSON of a page by {PROGRAM}; it is of another program")
    version = str(entry.get("schema_version", "0"))
    if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) > int(SCHEMA_VERSION[0]):
        raise ValueError(
            f"{path} has schema_version {version}, newer than {SCHEMA_VERSION}; update {PROGRAM} to read it"
        )
    return entry


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _status(entry: dict[str, Any]) -> LeadStatus:
    numbers = {name: _number(entry.get(name)) for name in ("start_s", "end_s", "probability")}
    known = LeadStatus.__dataclass_fields__.keys()
    return LeadStatus(**{key: value for key, value in entry.items() if key in known} | numbers)


def _wfdb_signals(stem: Path, fs: int) -> NDArray[np.float64]:
    if not stem.with_name(f"{stem.name}.hea").is_file():
        raise ValueError(f"{stem}.json needs its signals beside it: {stem.name}.npz, or .hea and .dat")
    leads, own_fs = read_leads(stem)
    if own_fs != fs or leads.keys() != set(LEADS):
        got = f"{', '.join(leads)} at {own_fs:g} Hz"
        raise ValueError(f"{stem}.hea must have the 12 leads at {fs} Hz; got {got}")
    return np.stack([leads[lead] for lead in LEADS])


def _sd_of_csv(path: Path, shape: tuple[int, ...]) -> NDArray[np.float64]:
    if not path.is_file():
        return np.full(shape, np.nan)
    table = np.genfromtxt(path, delimiter=",", names=True)
    columns = [f"{lead}_sd" for lead in LEADS]
    if not set(columns) <= set(table.dtype.names or ()) or table.size != shape[1]:
        return np.full(shape, np.nan)
    return np.stack([table[column] for column in columns])


def _record(
    entry: dict[str, Any], statuses: tuple[LeadStatus, ...], fs: int, arrays: tuple[NDArray[np.float64], ...]
) -> Ecg:
    signals, sd_mv, confidence = arrays
    pitch, header = entry.get("px_per_mm"), entry.get("header")
    residuals = {name: _number(entry.get(name)) for name in ("einthoven_mv", "goldberger_mv", "repeat_mv")}
    return Ecg(
        signals=signals,
        fs=fs,
        confidence=confidence,
        sd_mv=sd_mv,
        lead_status=statuses,
        angle_deg=_number(entry.get("angle_deg")),
        quarter_turns=int(entry.get("quarter_turns", 0)),
        px_per_mm=None if pitch is None else (float(pitch[0]), float(pitch[1])),
        layout=entry.get("layout", "unknown"),
        speed_mm_s=_number(entry.get("speed_mm_s")),
        gain_mm_mv=_number(entry.get("gain_mm_mv")),
        chest_gain_mm_mv=_number(entry.get("chest_gain_mm_mv")),
        warnings=tuple(entry.get("warnings", ())),
        traces=tuple(_trace(one) for one in entry.get("panels", ())),
        quality=_number(entry.get("quality")),
        versions=dict(entry.get("versions", {})),
        seconds={key: _number(value) for key, value in entry.get("seconds", {}).items()},
        source=entry["source"],
        columns=entry.get("columns", "sequential"),
        speed_from=entry.get("speed_from", "assumed"),
        gain_from=entry.get("gain_from", "assumed"),
        leads_agree=entry.get("leads_agree"),
        notes=tuple(entry.get("notes", ())),
        source_kind=entry.get("source_kind", "picture"),
        pages=tuple(entry.get("pages", (1,))),
        header=None if header is None else header_of(header),
        measurements=tuple(map(measurement_of, entry.get("measurements", ()))),
        corrected_by=tuple(entry.get("corrected_by", ())),
        review=entry.get("review"),
        **residuals,
    )


def _trace(panel: dict[str, Any]) -> Trace:
    """The two ends of a printed stretch: the JSON has its box only."""
    box = panel.get("box_px")
    points = np.full((1, 2), np.nan) if box is None else np.array([[box[0], box[1]], [box[0], box[2]]])
    return Trace(panel["lead"], bool(panel["rhythm"]), points)


def _of_wfdb(path: Path) -> Ecg:
    """A WFDB record without a JSON; speed and gain are NaN, as it was not printed."""
    try:
        leads, own_fs = read_leads(path.with_suffix(""))
    except (OSError, IndexError, KeyError) as error:
        raise ValueError(f"{path} must be a WFDB record with its data beside it: {error}") from error
    known = [lead for lead in LEADS if lead in leads]
    if not known or own_fs != round(own_fs):
        got = f"{', '.join(leads)} at {own_fs:g} Hz"
        raise ValueError(f"{path} must have leads of {', '.join(LEADS)} at whole Hz; got {got}")
    n_samples, fs = leads[known[0]].size, round(own_fs)
    signals = np.stack([leads.get(lead, np.full(n_samples, np.nan)) for lead in LEADS])
    statuses = tuple(_status_of(lead, signal, fs) for lead, signal in zip(LEADS, signals, strict=True))
    return Ecg(
        signals=signals,
        fs=fs,
        confidence=np.where(np.isnan(signals), 0.0, 1.0),
        sd_mv=np.full(signals.shape, np.nan),
        lead_status=statuses,
        angle_deg=0.0,
        quarter_turns=0,
        px_per_mm=None,
        layout="unknown",
        speed_mm_s=math.nan,
        gain_mm_mv=math.nan,
        warnings=(),
        traces=(),
        quality=math.nan,
        versions={},
        seconds={},
        source=path.name,
    )


def _status_of(lead: str, signal: NDArray[np.float64], fs: int) -> LeadStatus:
    known = np.flatnonzero(np.isfinite(signal))
    if not known.size:
        return LeadStatus(lead, False, FOREIGN)
    return LeadStatus(lead, True, None, 1.0, known[0] / fs, (known[-1] + 1) / fs)


def convert_record(
    record: str | Path,
    formats: Collection[str],
    *,
    out: str | Path | None = None,
    patient: Patient | None = None,
    recorded: str | None = None,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write a record made before in other formats: all of the files, or none.

    Where they are written beside the record's JSON, its list of files names them too.

    Args:
        record: any of its files.
        formats: names in `FORMATS` that need no image.
        out: folder; None writes beside the record.
        patient, recorded: replace those of the record's header where they are given.
        overwrite: replace files that are already there.

    Returns:
        The files.

    Raises:
        ValueError: no such format, or the record cannot be read or does not fit it.
        PageError: stage "export".
    """
    check_formats(formats)
    if others := sorted(set(formats) - set(SIGNAL_FORMATS)):
        raise ValueError(f"records can be converted to {', '.join(SIGNAL_FORMATS)}; got {', '.join(others)}")
    main = _main_file(Path(record))
    ecg = _with_header(read_record(main), patient, recorded)
    folder, name = Path(out) if out is not None else main.parent, record_name(main.stem)
    chosen = [one for one in FORMATS.values() if one.name in formats]
    names = [f"{name}{suffix}" for one in chosen for suffix in one.suffixes]
    if not overwrite and (there := [each for each in names if (folder / each).exists()]):
        raise PageError("export", f"{folder / there[0]} exists; allow it with --overwrite")
    with staging(folder) as stage:
        for one in chosen:
            one.write(Page(ecg), stage, name)
        move_all(stage, folder, names)
    if main.suffix == ".json" and folder.resolve() == main.parent.resolve():
        entry = json.loads(main.read_bytes())
        entry["files"] = list(dict.fromkeys([*files_listed(main), *names]))
        if "sums" in entry:
            entry["sums"] |= {each: sum_of(folder / each) for each in names}
        write_whole(main, json_bytes(entry))
    return tuple(folder / each for each in names)


def _with_header(ecg: Ecg, patient: Patient | None, recorded: str | None) -> Ecg:
    if patient is None and recorded is None:
        return ecg
    header = ecg.header or Header()
    return replace(
        ecg,
        header=replace(header, patient=patient or header.patient, recorded=recorded or header.recorded),
    )


def convert_records(
    inputs: Iterable[str | Path],
    formats: Collection[str],
    *,
    out: str | Path | None = None,
    patient: Patient | None = None,
    recorded: str | None = None,
    overwrite: bool = False,
    on_record: Callable[[Conversion, int], None] | None = None,
) -> list[Conversion]:
    """Write many records in other formats; one that fails is named, and the others go on.

    Args:
        inputs: files and folders, see `find_records`; records of a folder keep their place below `out`.
        on_record: called after each record with what became of it and the number of records.
        formats, out, patient, recorded, overwrite: as for `convert_record`.

    Raises:
        ValueError: no such format, no record at all, or a patient for several records.
    """
    check_formats(formats)
    entries = [Path(entry) for entry in inputs]
    records = find_records(entries)
    if (patient is not None or recorded is not None) and len(records) > 1:
        raise ValueError(f"a patient or a time can be given for one record; got {len(records)} records")
    done = []
    for record in records:
        target = None if out is None else Path(out) / _place(record, entries)
        try:
            files = convert_record(
                record, formats, out=target, patient=patient, recorded=recorded, overwrite=overwrite
            )
            result = Conversion(record, files)
        except (PageError, ValueError) as error:
            result = Conversion(record, message=str(error))
        done.append(result)
        if on_record is not None:
            on_record(result, len(records))
    return done


def _place(record: Path, inputs: Iterable[Path]) -> Path:
    """Folder of a record relative to the folder that was given."""
    folders = [entry for entry in inputs if entry.is_dir() and record.is_relative_to(entry)]
    return record.parent.relative_to(folders[0]) if folders else Path()
