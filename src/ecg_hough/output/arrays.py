"""Records as arrays and tables: CSV, NPZ, MAT, Parquet, a pandas frame, an MNE object.

In: a `Record`. Out: bytes of a file, or the object. NaN stays NaN; only MNE's gaps are zeros, under
annotations.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.output.samples import MISSING, UV_PER_MV, check_signals, gaps, in_16_bits
from ecg_hough.paper import LEADS
from ecg_hough.record import Record

if TYPE_CHECKING:
    import mne
    import pandas as pd

CSV_DECIMALS = 4
"""Of mV: a tenth of the WFDB step."""
PARQUET_KEY = b"ecg_hough"
"""Of the record's JSON in the metadata of a Parquet file."""
FIXED_TIME = (1980, 1, 1, 0, 0, 0)
"""In archives, so that equal records give equal files."""
MAT_HEAD = b"MATLAB 5.0 MAT-file, written by ecg-hough"


def csv_bytes(ecg: Record) -> bytes:
    """A column time_s, one a lead in mV, and one a lead of its expected error; an empty field is NaN."""
    times = np.arange(ecg.signals.shape[1]) / ecg.fs
    lines = [",".join(("time_s", *LEADS, *(f"{lead}_sd" for lead in LEADS)))]
    values = np.concatenate([ecg.signals, ecg.sd_mv]).T.tolist()
    for time_s, row in zip(times.tolist(), values, strict=True):
        # A number is NaN if it is not equal to itself.
        fields = (f"{value:.{CSV_DECIMALS}f}" if value == value else "" for value in row)
        lines.append(f"{time_s:.6f}," + ",".join(fields))
    return ("\n".join(lines) + "\n").encode()


def npz_bytes(ecg: Record) -> bytes:
    """NumPy archive: `signals`, `sd_mv`, `confidence` (12, N) float32, `fs`, `leads`, `record` (JSON)."""
    import zipfile

    check_signals(ecg.signals)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in _arrays(ecg).items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", FIXED_TIME)
            archive.writestr(info, member.getvalue(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def mat_bytes(ecg: Record) -> bytes:
    """MATLAB 5 file with the variables of `npz_bytes`; `leads` is a cell array."""
    from scipy.io import savemat

    check_signals(ecg.signals)
    arrays = _arrays(ecg)
    variables: dict[str, Any] = arrays | {
        "leads": np.array(LEADS, dtype=object),
        "record": str(arrays["record"]),
    }
    buffer = io.BytesIO()
    savemat(buffer, variables, do_compression=True, oned_as="row")  # type: ignore[arg-type]
    content = buffer.getvalue()
    # SciPy writes the time of writing into the first 116 bytes, which are for people.
    return MAT_HEAD.ljust(116) + content[116:]


def _arrays(ecg: Record) -> dict[str, NDArray]:
    return {
        "signals": ecg.signals.astype(np.float32),
        "sd_mv": ecg.sd_mv.astype(np.float32),
        "confidence": ecg.confidence.astype(np.float32),
        "fs": np.array(ecg.fs),
        "leads": np.array(LEADS),
        "record": np.array(json.dumps(ecg.to_dict(), ensure_ascii=False, allow_nan=False)),
    }


def parquet_bytes(ecg: Record) -> bytes:
    """Parquet table: one column a lead and one of its expected error, whole microvolts, null where NaN.

    Leads beyond ±32.767 mV have 32 bits, others 16. The file's metadata hold fs, units and the record's JSON.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sixteen = in_16_bits(ecg.signals)
    columns: dict[str, pa.Array] = {}
    for k, lead in enumerate(LEADS):
        absent = sixteen.steps[k] == MISSING
        if sixteen.uv[k] == 1:
            columns[lead] = pa.array(sixteen.steps[k], pa.int16(), mask=absent)
        else:
            whole = np.rint(np.nan_to_num(ecg.signals[k]) * UV_PER_MV).astype(np.int32)
            columns[lead] = pa.array(whole, pa.int32(), mask=absent)
    for k, lead in enumerate(LEADS):
        error = np.rint(np.nan_to_num(ecg.sd_mv[k]) * UV_PER_MV)
        whole_error = np.minimum(error, np.iinfo(np.uint16).max).astype(np.uint16)
        columns[f"{lead}_sd"] = pa.array(whole_error, pa.uint16(), mask=np.isnan(ecg.sd_mv[k]))
    record = json.dumps(ecg.to_dict(), ensure_ascii=False, allow_nan=False).encode()
    metadata = {b"fs": str(ecg.fs).encode(), b"units": b"uV", PARQUET_KEY: record}
    table = pa.table(columns).replace_schema_metadata(metadata)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=False)
    return buffer.getvalue()


def frame_of(ecg: Record) -> pd.DataFrame:
    """A pandas frame: index `time_s`, one column a lead in mV, one a lead of its expected error, `I_sd`."""
    import pandas as pd

    columns = [*LEADS, *(f"{lead}_sd" for lead in LEADS)]
    index = pd.Index(np.arange(ecg.signals.shape[1]) / ecg.fs, name="time_s")
    return pd.DataFrame(np.concatenate([ecg.signals, ecg.sd_mv]).T, index=index, columns=columns)


def mne_of(ecg: Record) -> mne.io.RawArray:
    """An MNE raw object in volts; gaps are zeros, each under an annotation "BAD not printed: V1" of its lead.

    Raises:
        ModuleNotFoundError: MNE is not installed.
    """
    import mne

    check_signals(ecg.signals)
    info = mne.create_info(list(LEADS), float(ecg.fs), "ecg", verbose="error")
    raw = mne.io.RawArray(np.nan_to_num(ecg.signals) / 1e3, info, verbose="error")
    found = list(gaps(ecg))
    raw.set_annotations(
        mne.Annotations(
            onset=[gap.start / ecg.fs for gap in found],
            duration=[(gap.stop - gap.start) / ecg.fs for gap in found],
            description=[f"BAD {gap.words}" for gap in found],
            ch_names=[[gap.lead] for gap in found],
        ),
        verbose="error",
    )
    return raw
