"""A part: some hundred pages as one Parquet file that is the same, bit by bit, wherever it was made.

In: rows, one a page. Out: the file's bytes, and back again. Nothing in it depends on the machine, the hour or
the time that a page took: that is in the part's marker.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecg_hough.output.export import GAIN_ADU_PER_MV, MAX_ADU
from ecg_hough.paper import LEADS
from ecg_hough.record import Record

FORMAT = 1
"""Of parts; another one has other names."""
STATUSES = ("ok", "check", "refused", "failed")
"""Read; read with something to check; no ECG that can be read; not read for a reason outside the page."""
NO_VALUE = -MAX_ADU - 1
"""Of signals and of their expected errors: NaN."""
UV_PER_MV = GAIN_ADU_PER_MV

SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("page", pa.int32(), nullable=False),
        pa.field("sha256", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("layout", pa.string()),
        pa.field("leads_found", pa.int16()),
        pa.field("quality", pa.float32()),
        pa.field("probability", pa.float32()),
        pa.field("warnings", pa.list_(pa.string())),
        pa.field("fs", pa.int32()),
        pa.field("n_samples", pa.int32()),
        pa.field("uv_per_step", pa.float32()),
        pa.field("signals", pa.list_(pa.int16())),
        pa.field("sd", pa.list_(pa.int16())),
        pa.field("record", pa.string()),
        pa.field("overlay", pa.string()),
    ]
)
"""Columns of a part. `signals` and `sd` hold 12 x n_samples numbers, lead after lead in the order of
`paper.LEADS`, in steps of `uv_per_step` microvolts; -32768 is "no value". `record` is the page's JSON."""
LIGHT = tuple(name for name in SCHEMA.names if name not in ("signals", "sd", "record"))
"""Columns without the signals."""


def row_of_record(ecg: Record) -> dict[str, Any]:
    """Columns that a page's record fills."""
    peak = float(np.nanmax(np.abs(ecg.signals), initial=0.0, where=np.isfinite(ecg.signals)))
    uv_per_step = max(1.0, float(np.ceil(peak * UV_PER_MV / MAX_ADU)))
    record = ecg.to_dict()
    record.pop("seconds")  # of this machine
    return {
        "status": ecg.page_status,
        "layout": ecg.layout,
        "leads_found": sum(status.found for status in ecg.lead_status),
        "quality": float(ecg.quality),
        "probability": float(ecg.probability) if math.isfinite(ecg.probability) else None,
        "warnings": list(ecg.warnings),
        "fs": ecg.fs,
        "n_samples": ecg.signals.shape[1],
        "uv_per_step": uv_per_step,
        "signals": _steps(ecg.signals, uv_per_step),
        "sd": _steps(ecg.sd_mv, uv_per_step),
        "record": json.dumps(record, ensure_ascii=True, allow_nan=False, separators=(",", ":")),
    }


def _steps(values_mv: NDArray[np.floating], uv_per_step: float) -> NDArray[np.int16]:
    """(12, N) mV as (12 * N,) whole steps. Only expected errors can be beyond the largest step."""
    steps = np.clip(np.rint(values_mv * (UV_PER_MV / uv_per_step)), -MAX_ADU, MAX_ADU)
    return np.where(np.isfinite(values_mv), steps, NO_VALUE).astype(np.int16).ravel()


def signals_of(row: dict[str, Any], column: str = "signals") -> NDArray[np.float64]:
    """(12, N) mV of a row's `signals` or `sd`, NaN where there is no value.

    Raises:
        ValueError: the row has no signals.
    """
    if row.get(column) is None:
        raise ValueError(f"a row must be of a page that was read; page {row.get('uri')} has no {column}")
    steps = np.asarray(row[column], np.int16).reshape(len(LEADS), row["n_samples"])
    return np.where(steps == NO_VALUE, np.nan, steps * (row["uv_per_step"] / UV_PER_MV))


def part_bytes(rows: Sequence[dict[str, Any]], lineage: dict[str, Any]) -> bytes:
    """The Parquet file of these rows; equal rows and lineage give equal bytes."""
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in SCHEMA]
    schema = SCHEMA.with_metadata({"ecg_hough": json.dumps(lineage, sort_keys=True)})
    sink = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), sink, compression="zstd", row_group_size=len(rows) or 1)
    return sink.getvalue()


@dataclass(frozen=True)
class Part:
    """What a part holds: its rows, without signals where only `LIGHT` columns were read, and its lineage."""

    rows: list[dict[str, Any]]
    lineage: dict[str, Any]


def read_part(data: bytes, columns: Sequence[str] | None = None) -> Part:
    """A part's rows.

    Raises:
        ValueError: it is damaged, or no part.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        table = file.read(columns=None if columns is None else list(columns), use_threads=False)
        lineage = json.loads((table.schema.metadata or {})[b"ecg_hough"])
        return Part(table.to_pylist(), lineage)
    except (pa.ArrowException, KeyError, OSError) as error:
        raise ValueError(f"a part must be a Parquet file written by ecg-hough batch; {error}") from error
