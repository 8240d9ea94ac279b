"""PTB-XL from PhysioNet: a folder enters, 500 Hz records in it leave.

PTB-XL 1.0.3 (Wagner et al. 2020, Sci Data 7:154) is fetched file by file with wfdb's downloader, below
https://physionet.org/files/ptb-xl/1.0.3/. A record appears in the folder whole or not at all, so a
stopped run goes on where it was.
"""

from __future__ import annotations

import csv
import logging
import os
import posixpath
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath

import wfdb
from wfdb.io import download

DATABASE = "ptb-xl/1.0.3"
DATABASE_CSV = "ptbxl_database.csv"
FOLDS = range(1, 11)
"""PTB-XL's own folds; 9 and 10 have the best checked labels."""
CONNECTIONS = 2
"""Files fetched at a time; wfdb itself takes no more, to spare the server."""
RETRY_WAITS_S: tuple[float, ...] = (1.0, 5.0)
"""Pauses before a file is tried again; a whole fetch is 44,000 files, and some always time out."""

_FILE_COLUMNS = ("filename_hr", "filename_lr")
_PARTIAL = ".partial"
_BYTES_PER_SAMPLE = 2  # WFDB format 16, the only one in PTB-XL
_LOGGER = logging.getLogger(__name__)


def fetch_ptbxl(
    out: Path,
    *,
    n: int | None = None,
    folds: Iterable[int] | None = None,
    base_url: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Fetch PTB-XL's 500 Hz records into `out`; records that are there are not fetched again.

    Args:
        out: folder; the database's own folders (records500/00000/...) are made in it.
        n: only the first n records of the database (of the folds); None takes all 21,799 (2.6 GB).
        folds: only records of these folds, 1..10.
        base_url: address of the database; None takes wfdb's PhysioNet address.
        on_progress: called with (records done, records in all).

    Returns:
        The records' paths without suffix, in the order of the database.

    Raises:
        ValueError: n below 1, a fold outside 1..10 or a list of records that names none at 500 Hz.
        ConnectionError: the server cannot be reached, lacks a file or sends a broken record. What was
            fetched before stays.
    """
    if n is not None and n < 1:
        raise ValueError(f"n must be 1 or more; got {n}")
    wanted = None if folds is None else set(folds)
    if wanted is not None and not (wanted and wanted <= set(FOLDS)):
        raise ValueError(f"folds must be among 1..10; got {sorted(wanted)}")
    out = Path(out)
    url = base_url or posixpath.join(download.config.db_index_url, DATABASE)
    partial = out / _PARTIAL
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    try:
        _fetch_table(url, out)
        if not (out / "RECORDS").is_file():
            _fetch_whole(url, ["RECORDS"], out)
        names = _record_names(out, wanted)[:n]
        if not names:
            raise ValueError(f"{url} must list records at 500 Hz; RECORDS names none (folds {folds})")
        _fetch_records(url, names, out, on_progress)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [out / name for name in names]


def patient_groups(folder: Path) -> dict[str, str]:
    """Record name -> patient, for splits that keep a patient on one side.

    From ptbxl_database.csv in `folder`; a record below `folder` that is not listed there, or all where
    there is no such file, is a group of its own.
    """
    groups = {path.stem: path.stem for path in sorted(Path(folder).rglob("*.hea"))}
    for row in read_table(Path(folder), needs=("patient_id", *_FILE_COLUMNS)):
        patient = str(int(float(row["patient_id"])))
        for column in _FILE_COLUMNS:
            groups[PurePosixPath(row[column]).name] = patient
    return groups


def strat_folds(folder: Path) -> dict[str, int]:
    """Record name -> PTB-XL's fold, 1 to 10, from ptbxl_database.csv in `folder`; empty without the file."""
    return {
        PurePosixPath(row[column]).name: int(float(row["strat_fold"]))
        for row in read_table(Path(folder), needs=("strat_fold", *_FILE_COLUMNS))
        for column in _FILE_COLUMNS
    }


def _fetch_table(url: str, out: Path) -> None:
    """The table of patients and folds; a mirror without it still serves records."""
    if (out / DATABASE_CSV).is_file():
        return
    try:
        _fetch_whole(url, [DATABASE_CSV], out)
    except ConnectionError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        _LOGGER.warning("ptbxl: %s has no %s; patients and folds are not known", url, DATABASE_CSV)


def read_table(folder: Path, *, needs: Iterable[str] = ()) -> list[dict[str, str]]:
    """Rows of ptbxl_database.csv in `folder`; none where there is no such file.

    Raises:
        ValueError: the file lacks one of the columns `needs`.
    """
    path = folder / DATABASE_CSV
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        missing = [column for column in needs if column not in (table.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{path} must have PTB-XL's columns; it lacks {', '.join(missing)}. Take the database's "
                "own file (https://physionet.org/content/ptb-xl/), or none: each record is its own patient"
            )
        return list(table)


def _record_names(out: Path, folds: set[int] | None) -> list[str]:
    """Names such as "records500/00000/00001_hr", in the order of RECORDS."""
    listed = (out / "RECORDS").read_text().split()
    names = [name for name in listed if name.startswith("records500/")]
    if folds is None:
        return names
    rows = read_table(out, needs=("filename_hr", "strat_fold"))
    if not rows:
        raise ValueError(f"folds need {DATABASE_CSV}; there is none in {out}")
    chosen = {row["filename_hr"] for row in rows if int(float(row["strat_fold"])) in folds}
    return [name for name in names if name in chosen]


def _fetch_records(
    url: str, names: list[str], out: Path, on_progress: Callable[[int, int], None] | None
) -> None:
    missing = [name for name in names if not _is_complete(out / name)]
    done = len(names) - len(missing)
    if on_progress is not None:
        on_progress(done, len(names))
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        # The header comes last: without it, no program takes the folder's file for a record.
        jobs = [pool.submit(_fetch_whole, url, [name + ".dat", name + ".hea"], out) for name in missing]
        try:
            for job in as_completed(jobs):
                job.result()
                done += 1
                if on_progress is not None:
                    on_progress(done, len(names))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _fetch_whole(url: str, files: list[str], out: Path) -> None:
    """Fetch files to a side folder, check a record among them, and only then put them in place."""
    for name in files:
        aside = out / _PARTIAL / name
        aside.parent.mkdir(parents=True, exist_ok=True)
        _fetch_file(posixpath.join(url, name), aside)
    stem = files[-1].removesuffix(".hea")
    if stem != files[-1] and not _is_complete(out / _PARTIAL / stem):
        raise ConnectionError(f"a record must be whole; {posixpath.join(url, stem)} is not, fetch again")
    for name in files:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(out / _PARTIAL / name, out / name)


def _fetch_file(url: str, path: Path) -> None:
    for wait_s in (*RETRY_WAITS_S, None):
        try:
            download.dl_full_file(url, str(path))
            return
        except OSError as error:  # requests and wfdb both derive theirs from it
            refused = isinstance(error, FileNotFoundError | PermissionError)
            if wait_s is None or refused:
                raise ConnectionError(
                    f"{url} must be reachable; got {error}. Check the network, then run again: what was "
                    "fetched is kept"
                ) from error
            _LOGGER.info("ptbxl: %s failed (%s); again in %g s", url, error, wait_s)
            time.sleep(wait_s)


def _is_complete(stem: Path) -> bool:
    """Header and signal file are there, and the signal file has the length that the header states."""
    data = stem.with_name(stem.name + ".dat")
    if not (data.is_file() and stem.with_name(stem.name + ".hea").is_file()):
        return False
    try:
        header = wfdb.rdheader(str(stem))
        expected = header.sig_len * header.n_sig * _BYTES_PER_SAMPLE
    except (ValueError, TypeError, AttributeError, IndexError, wfdb.io.header.HeaderSyntaxError):
        return False
    return data.stat().st_size == expected
