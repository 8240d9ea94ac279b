"""A page as the browser draws it.

In: `CorrectedRecord`, which of its pages, its log and where it stands. Out: an object ready for JSON. Arrays
are base64: places in px of the picture as float32, signals and expected errors in whole microvolts as int16.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.clinical import Header
from ecg_hough.document import page_of
from ecg_hough.elements import Window
from ecg_hough.output.samples import in_16_bits
from ecg_hough.record import LeadStatus
from ecg_hough.review.corrected import Corrected, CorrectedRecord
from ecg_hough.review.corrections import HEADER_NUMBERS, HEADER_TEXTS, Entry, in_force, undone
from ecg_hough.review.store import Standing
from ecg_hough.review.words import leads_of, sentence

EVERY = 2
"""Read-outs of which one is drawn: eight a millimetre."""
EDGE_BEYOND_MM = 12.0
"""Edges of columns are drawn so far above the first row and below the last."""


def page_state(
    whole: CorrectedRecord, number: int, log: Sequence[Entry], standing: Standing
) -> dict[str, Any]:
    """All that the view of a page shows: its leads, layout and scale, and what the whole record says."""
    state = whole.pages[number]
    record = state.record
    holding = {entry.version for entry in in_force(log)}
    sixteen = in_16_bits(record.signals)
    return {
        "version": len(log),
        "fs": record.fs,
        "layout": record.layout,
        "columns": record.columns,
        "speed_mm_s": _number(record.speed_mm_s),
        "gain_mm_mv": _number(record.gain_mm_mv),
        "chest_gain_mm_mv": _number(record.chest_gain_mm_mv),
        "px_per_mm": None if record.px_per_mm is None else list(record.px_per_mm),
        "page_status": whole.record.page_status,
        "quality": _number(whole.record.quality),
        "warnings": _warnings(whole),
        "notes": list(whole.record.notes),
        "header": header_values(whole.record.header),
        "leads": [
            _lead(status, sixteen.steps[k], int(sixteen.uv[k]), record.sd_mv[k])
            for k, status in enumerate(record.lead_status)
        ],
        "history": [
            {
                "version": entry.version, "who": entry.who, "at": entry.at, "kind": entry.correction.kind,
                "text": sentence(entry), "holds": entry.version in holding,
            }
            for entry in log
        ],
        "can_undo": bool(in_force(log)),
        "can_redo": bool(undone(log)),
        "decision": {
            "decision": standing.decision.decision, "reason": standing.decision.reason,
            "who": standing.decision.who, "at": standing.decision.at,
        },
        "rows": [_row(state, k) for k in range(len(state.rows))],
        "panels": [_panel(state, window) for window in state.base.columns.windows],
        "edges": _edges(state),
        "mm_px": _mm_px(state),
        "part": state.wishes.part.what,
    }  # fmt: skip


def _warnings(whole: CorrectedRecord) -> list[dict[str, Any]]:
    """Warnings of a record, with the leads that each is about and the number of the page that shows these."""
    numbered = [(page_of(whole.record, text), text) for text in whole.record.warnings]
    return [
        {"text": text, "number": number, "leads": leads_of(text, whole.pages[number].record)}
        for number, text in numbered
    ]


def header_values(header: Header | None) -> dict[str, str | float | None]:
    """Words and numbers of a header by the names that a correction gives them."""
    out: dict[str, str | float | None] = dict.fromkeys((*HEADER_TEXTS, *HEADER_NUMBERS))
    if header is None:
        return out
    for name in HEADER_TEXTS:
        source = header if name in ("recorded", "device", "filter") else header.patient
        out[name] = getattr(source, name, None)
    return out | {one.name: one.value for one in header.measurements if one.name in HEADER_NUMBERS}


def _lead(
    status: LeadStatus, steps: NDArray[np.int16], uv: int, sd_mv: NDArray[np.floating]
) -> dict[str, Any]:
    error = np.minimum(np.nan_to_num(sd_mv) * 1e3, 32767).astype("<i2")
    return {
        "lead": status.lead,
        "found": status.found,
        "reason": status.reason,
        "status": status.status,
        "probability": _number(status.probability),
        "confidence": _number(status.confidence),
        "start_s": _number(status.start_s),
        "end_s": _number(status.end_s),
        "uv": uv,
        "signal": _coded(steps.astype("<i2")),
        "sd": _coded(error),
    }


def _row(state: Corrected, k: int) -> dict[str, Any]:
    """A row's trace on the picture."""
    row = state.rows[k]
    points = state.found.to_px(np.column_stack([row.y_mm, row.x_mm])[::EVERY])
    return {"row": int(row.row_index), "points": _coded(points.astype("<f4"))}


def _panel(state: Corrected, window: Window) -> dict[str, Any]:
    """A panel: its lead, its part of the row's points, its zero line on the picture, and its time."""
    row = next(one for one in state.rows if one.row_index == window.row_index)
    x_mm = row.x_mm[::EVERY]
    key = (window.row_index, window.column_index)
    seen = row.y_mm[(row.x_mm >= window.start_mm) & (row.x_mm < window.end_mm)]
    level = float(np.nanmedian(seen)) if np.isfinite(seen).any() else float(np.nanmedian(row.y_mm))
    zero = state.zeros_mm.get(key, level)
    ends = state.found.to_px(np.array([[zero, window.start_mm], [zero, window.end_mm]]))
    base = state.base
    start_s = 0.0 if window.rhythm or base.simultaneous else base.columns.starts_s[window.column_index]
    return {
        "key": f"{window.row_index}.{window.column_index}",
        "row": int(window.row_index),
        "column": int(window.column_index),
        "rhythm": window.rhythm,
        "lead": window.lead,
        "first": int(np.searchsorted(x_mm, window.start_mm)),
        "stop": int(np.searchsorted(x_mm, window.end_mm)),
        "zero": np.round(ends, 2).tolist(),
        "zero_mm": round(state.wishes.zeros_mm.get(key, 0.0), 3),
        "start_s": start_s,
        "end_s": start_s + (window.end_mm - window.start_mm) / base.mm_per_s,
    }


def _edges(state: Corrected) -> list[dict[str, Any]]:
    """Where columns begin, and where the last one ends, as lines down the picture."""
    columns = state.base.columns
    spans = columns.spans_mm or {0: (columns.start_mm, max(w.end_mm for w in columns.windows))}
    levels = [float(np.nanmedian(row.y_mm)) for row in state.rows if np.isfinite(row.y_mm).any()]
    if not levels:
        return []
    top, foot = min(levels) - EDGE_BEYOND_MM, max(levels) + EDGE_BEYOND_MM
    places = {j: start for j, (start, _) in spans.items()} | {max(spans) + 1: spans[max(spans)][1]}
    return [
        {
            "column": int(j),
            "line": np.round(state.found.to_px(np.array([[top, at], [foot, at]])), 1).tolist(),
        }
        for j, at in sorted(places.items())
    ]


def _mm_px(state: Corrected) -> list[list[float]]:
    """How far a millimetre down the page, and one along it, is on the picture, rows and columns."""
    page_map = state.found.sheet.page_map
    middle = np.array([page_map.y_mm.mean(), page_map.x_mm.mean()])
    at = state.found.to_px(middle + np.array([[0, 0], [1, 0], [0, 1]]))
    return np.round(at[1:] - at[0], 4).tolist()


def _coded(values: NDArray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
