"""Rows of traces whose places are known: the truth that the trace network learns.

In: places of traces in page millimetres, of a rendered page or of one that a person corrected. Out: the
target of a strip, and files of corrected pages, from which crops are cut again and again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame
from ecg_hough.networks.canvas import Canvas
from ecg_hough.page_map import PageMap
from ecg_hough.traces.distribution import READOUTS_PER_COLUMN, readout_columns

IGNORED, NO_TRACE = -2.0, -1.0
"""Values of the target where the loss ignores it, and where the row has no trace."""
_EDGE_MM = 0.04  # within this distance of a trace's end the loss ignores the target


@dataclass(frozen=True)
class RowTruth:
    """One row of traces in page millimetres: x (linear in time) and y of each sample, per panel.

    Attributes:
        x_mm, y_mm: (n,) of each panel.
        seen: the sample lies within the image, and not under black.
        vague: the sample's place is not known well enough to learn it; () where all are.
    """

    x_mm: tuple[NDArray[np.float64], ...]
    y_mm: tuple[NDArray[np.float64], ...]
    seen: tuple[NDArray[np.bool_], ...]
    vague: tuple[NDArray[np.bool_], ...] = ()

    @property
    def centre_mm(self) -> float:
        return float(np.median(np.concatenate(self.y_mm)))


def true_rows(row: RowTruth, frame: StripFrame) -> NDArray[np.float32]:
    """(2, cols) row in strip px of the trace at every read-out; see `IGNORED`, `NO_TRACE`."""
    n_rows, n_cols = frame.shape
    at = readout_columns(n_cols).T.ravel()
    target = np.full(at.size, NO_TRACE, np.float32)
    edge = _EDGE_MM * STRIP_PX_PER_MM
    vague = row.vague or tuple(np.zeros(x.size, bool) for x in row.x_mm)
    for x, y, seen, unsure in zip(row.x_mm, row.y_mm, row.seen, vague, strict=True):
        points = frame.from_mm(np.stack([y, x], -1))
        # The column of a sample is its time's, also where a slight turn leans the trace.
        level = frame.from_mm(np.stack([np.full_like(x, row.centre_mm), x], -1))
        columns = level[:, 1]
        inside = (at >= columns[0]) & (at <= columns[-1])
        target[inside] = np.interp(at[inside], columns, points[:, 0])
        unseen = np.interp(at, columns, (~seen).astype(float)) > 0.01
        target[inside & unseen] = NO_TRACE
        target[inside & (np.interp(at, columns, unsure.astype(float)) > 0.01)] = IGNORED
        for end in (columns[0], columns[-1]):
            target[np.abs(at - end) < edge] = IGNORED
    target[(target > n_rows - 2) | ((target < 1) & (target > NO_TRACE))] = IGNORED
    return target.reshape(READOUTS_PER_COLUMN, n_cols)


@dataclass(frozen=True)
class KnownPage:
    """A page whose rows are known.

    Attributes:
        image: (rows, cols, 3) uint8 RGB, upright; page_map: its millimetres.
        rows: from the top.
        seen: the canvas of the leads network, and (n, 2, side, side) uint8 what it makes of every row's own
            and of other rows' ink; None where that is drawn.
        places: what was corrected: row, and first and last place along the page, mm.
    """

    image: NDArray[np.uint8]
    page_map: PageMap
    rows: tuple[RowTruth, ...]
    seen: tuple[Canvas, NDArray[np.uint8]] | None = None
    places: tuple[tuple[int, float, float], ...] = ()

    def save(self, path: Path) -> None:
        """Write the page, whole or not at all; `load` reads it back."""
        arrays: dict[str, Any] = {"image": self.image, "places": np.array(self.places, float).reshape(-1, 3)}
        arrays |= _map_arrays("page", self.page_map)
        for k, row in enumerate(self.rows):
            lengths = np.array([x.size for x in row.x_mm])
            vague = row.vague or tuple(np.zeros(n, bool) for n in lengths)
            parts = {"x": row.x_mm, "y": row.y_mm, "seen": row.seen, "vague": vague}
            arrays |= {f"row{k}.{name}": np.concatenate(values) for name, values in parts.items()}
            arrays[f"row{k}.n"] = lengths
        if self.seen is not None:
            canvas, masks = self.seen
            arrays |= {"masks": masks, "canvas.matrix": canvas.matrix, "canvas.covered": canvas.covered}
            arrays |= {} if canvas.page_map is None else _map_arrays("canvas", canvas.page_map)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(part, path)

    @classmethod
    def load(cls, path: Path) -> KnownPage:
        """A page that `save` wrote. The canvas comes without its picture, which crops do not need."""
        with np.load(path) as arrays:
            rows: list[RowTruth] = []
            while (name := f"row{len(rows)}") + ".n" in arrays:
                ends = np.cumsum(arrays[f"{name}.n"])[:-1]
                x, y, seen, vague = (
                    tuple(np.split(arrays[f"{name}.{key}"], ends)) for key in ("x", "y", "seen", "vague")
                )
                rows.append(RowTruth(x, y, seen, vague))
            places = tuple((int(k), float(a), float(b)) for k, a, b in arrays["places"])
            seen_by = None
            if "masks" in arrays:
                page_map = _map_of("canvas", arrays) if "canvas.rows" in arrays else None
                nothing = np.zeros((0, 0, 3), np.uint8)
                canvas = Canvas(nothing, arrays["canvas.matrix"], arrays["canvas.covered"], page_map)
                seen_by = canvas, arrays["masks"]
            return cls(arrays["image"], _map_of("page", arrays), tuple(rows), seen_by, places)


def _map_arrays(name: str, page_map: PageMap) -> dict[str, NDArray[np.float64]]:
    return {f"{name}.{key}": getattr(page_map, key) for key in ("y_mm", "x_mm", "rows", "cols")}


def _map_of(name: str, arrays: Any) -> PageMap:
    return PageMap(*(arrays[f"{name}.{key}"] for key in ("y_mm", "x_mm", "rows", "cols")))
