"""Rows of known millivolts as a perfect reader gives them: traces and panels of a page of any layout."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import RowTrace, Window
from ecg_hough.paper import LEADS, Layout
from ecg_hough.render.ecg_model import generate_ecg

FS = 500


def rows_of(
    signals: NDArray[np.float64],
    layout: Layout,
    speed: float = 25.0,
    gain: float = 10.0,
    start_mm: float = 20.0,
    seconds: float = 10.0,
) -> tuple[tuple[RowTrace, ...], tuple[Window, ...]]:
    """Perfect row traces of a page, and windows with small errors, as a leads network gives them."""
    step = 1 / 16
    column_s = seconds / layout.n_columns
    x = np.arange(start_mm - 5 + step / 2, start_mm + seconds * speed + 5, step)
    traces, windows = [], []
    panels = [(r, c, lead, False) for r, row in enumerate(layout.rows) for c, lead in enumerate(row)]
    panels += [(len(layout.rows) + k, 0, lead, True) for k, lead in enumerate(layout.rhythm)]
    for r in range(layout.n_rows):
        y = np.full(x.size, np.nan)
        for row, column, lead, rhythm in panels:
            if row != r:
                continue
            a = start_mm + (0 if rhythm else column * column_s * speed)
            b = start_mm + seconds * speed if rhythm else a + column_s * speed
            last_sample = start_mm + (seconds - 1 / FS) * speed
            inside = (x >= a) & (x < min(b, last_sample))
            t = (x[inside] - start_mm) / speed
            mv = np.interp(t * FS, np.arange(signals.shape[1]), signals[LEADS.index(lead)])
            y[inside] = 30 * r + 40 - gain * mv
            windows.append(Window(lead, r, column, rhythm, a - 0.8, b + 0.7))
        seen = np.isfinite(y)
        traces.append(RowTrace(r, x, y, np.where(seen, 0.05, np.nan), seen.astype(float)))
    return tuple(traces), tuple(windows)


def with_spaces(
    rows: tuple[RowTrace, ...],
    layout: Layout,
    space_mm: float,
    start_mm: float = 20.0,
    width_mm: float = 250.0,
) -> tuple[RowTrace, ...]:
    """The same rows with their columns moved apart; rhythm strips stay."""
    column_mm = width_mm / layout.n_columns
    out = []
    for row in rows:
        if row.row_index < len(layout.rows):
            column = np.clip(np.floor((row.x_mm - start_mm) / column_mm), 0, layout.n_columns - 1)
            moved = row.x_mm + space_mm * column
            x = np.arange(moved[0], moved[-1], row.x_mm[1] - row.x_mm[0])
            y = np.full(x.size, np.nan)
            for c in range(layout.n_columns):
                known = (column == c) & np.isfinite(row.y_mm)
                inside = (x >= moved[known].min()) & (x <= moved[known].max())
                y[inside] = np.interp(x[inside], moved[known], row.y_mm[known])
            seen = np.isfinite(y)
            row = RowTrace(row.row_index, x, y, np.where(seen, 0.05, np.nan), seen.astype(float))
        out.append(row)
    return tuple(out)


def page_rows(
    layout: Layout,
    *,
    inverted_avr: bool = False,
    seed: int = 0,
    speed: float = 25.0,
    simultaneous: bool = False,
) -> tuple[RowTrace, ...]:
    """Row traces of a page of `layout` at 10 mm/mV, with a little noise."""
    rng = np.random.default_rng(seed)
    signals = generate_ecg(8, rhythm="sinus rhythm").signals
    x = np.arange(20.0 + 1 / 32, 270.0, 1 / 16)
    column_mm = 250.0 / layout.n_columns
    out = []
    for r in range(layout.n_rows):
        short = r < len(layout.rows)
        mv = np.zeros(x.size)
        for c in range(layout.n_columns):
            lead = layout.rows[r][c] if short else layout.rhythm[r - len(layout.rows)]
            inside = (x >= 20.0 + c * column_mm) & (x < 20.0 + (c + 1) * column_mm)
            first = 20.0 + (c * column_mm if simultaneous else 0.0)
            at = (x[inside] - first) / speed * FS
            value = np.interp(at, np.arange(signals.shape[1]), signals[LEADS.index(lead)])
            mv[inside] = -value if inverted_avr and lead == "aVR" else value
        y = 30.0 * r + 40.0 - 10.0 * mv + rng.normal(0, 0.1, x.size)
        out.append(RowTrace(r, x, y, np.full(x.size, 0.05), np.ones(x.size)))
    return tuple(out)


def panels_of(layout: Layout) -> tuple[Window, ...]:
    """Panels of `layout` on a block of 20 to 270 mm."""
    width = 250.0 / layout.n_columns
    out = [
        Window(lead, r, c, False, 20.0 + c * width, 20.0 + (c + 1) * width)
        for r, row in enumerate(layout.rows)
        for c, lead in enumerate(row)
    ]
    n = len(layout.rows)
    return tuple(out + [Window(lead, n + k, 0, True, 20.0, 270.0) for k, lead in enumerate(layout.rhythm)])
