"""Where a page's columns begin and end: by the ends of traces, separators, lines of the grid and landmarks.

In: the page, its rows, the chosen layout and the paper scale. Out: `TimeBase` with panels at common edges;
the names of rhythm strips and the order of columns are yet to be checked (`time_base`).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

import numpy as np

from ecg_hough.elements import Columns, GridLines, RowTrace, TimeBase
from ecg_hough.geometry.grid.lines import find_lines
from ecg_hough.layout.sheet import Sheet
from ecg_hough.options import SHIPPED, Options
from ecg_hough.signals.choose_layout import ChosenLayout
from ecg_hough.signals.column_solve import SolvedColumns, solve_columns
from ecg_hough.signals.columns import on_read_rows, paper_stretch, place_columns
from ecg_hough.signals.drawn_columns import drawn_columns
from ecg_hough.signals.scale import PaperScale, true_millimetre
from ecg_hough.signals.separators import find_separators
from ecg_hough.signals.zero_lines import zero_lines
from ecg_hough.traces.rows import Rows

log = logging.getLogger(__name__)

BoxMm = tuple[float, float, float, float]
"""Top, left, bottom and right, mm."""

AROUND_MM = 12.0
"""The grid is examined this far above and below the outer rows' levels."""
AGAINST_MIN = 3.0
"""Log likelihood ratio by which landmarks must contradict columns by traces' ends and lines of the grid."""
MARGIN_MIN = 2.0
"""Log likelihood ratio to other columns below which a person should look."""
PATHS_MARGIN = 10.0
"""Log odds of columns whose ends are those of a document's own paths."""
FRAME_MM = 1.0
"""Traces that end this near to the side of a frame are hidden by it: they begin on its line."""


def find_columns(
    sheet: Sheet, rows: Rows, chosen: ChosenLayout, scale: PaperScale, options: Options = SHIPPED
) -> TimeBase:
    """Panels at their columns' edges; rhythm strips keep the names of the chosen layout.

    Raises:
        PageError: none of the panels' rows was read.
    """
    if rows.drawn:
        return _by_paths(rows, chosen, scale)
    base = _by_traces(sheet, rows.traces, chosen, scale)
    if options.separators and rows.ink is not None:
        base = _at_separators(base, sheet, rows, chosen)
    n_columns = chosen.layout.n_columns if chosen.layout is not None else 0
    solved = None
    if options.marks and rows.marks and n_columns > (0 if sheet.has_grid else 1):
        base, solved = _by_marks(base, rows, chosen, n_columns, scale, guessed_mm=not sheet.has_grid)
    if options.grid_lines and sheet.has_grid and chosen.layout is not None:
        base = _on_grid_lines(base, sheet, rows.traces)
    if solved is not None:
        base = replace(base, margin=solved.odds(base.columns))
    starts = ", ".join(f"{start:.2f}" for start, _ in base.columns.spans_mm.values())
    log.info(
        "columns: begin at %s mm, the block lasts %.3g s; on lines of the grid: %s, separate panels: %s",
        starts, base.columns.duration_s, base.columns.on_grid, base.columns.apart,
    )  # fmt: skip
    return base


def _by_paths(rows: Rows, chosen: ChosenLayout, scale: PaperScale) -> TimeBase:
    """Columns at the ends of a document's own paths."""
    columns, warnings = drawn_columns(rows.traces, chosen.windows, scale.speed_mm_s, rows.names)
    return TimeBase(
        columns,
        chosen.layout,
        scale.speed_mm_s,
        scale.gain_mm_mv,
        scale.chest_gain_mm_mv / scale.gain_mm_mv,
        pulse=scale.pulse,
        margin=PATHS_MARGIN,
        warnings=(*chosen.warnings, *warnings),
        names_mm=rows.names_mm,
    )


def _by_marks(
    base: TimeBase,
    rows: Rows,
    chosen: ChosenLayout,
    n_columns: int,
    scale: PaperScale,
    *,
    guessed_mm: bool,
) -> tuple[TimeBase, SolvedColumns]:
    """The same, or columns by the landmarks of all rows where these speak clearly against it; with these.

    The ends of traces and the lines of the grid give places to a hundredth of a millimetre where they are
    right, landmarks to a tenth or two, and the right ones more often. Several columns' starts show how far
    paper and print are stretched; the two ends of one are less precise than the grid.
    """
    windows = on_read_rows(rows.traces, chosen.windows)
    solved = solve_columns(
        rows.marks, windows, n_columns, base.mm_per_s if guessed_mm else scale.speed_mm_s, base.columns,
        rows.traces, guessed_mm=guessed_mm,
    )  # fmt: skip
    log.info(
        "columns by landmarks: %d of %.3g s from %.2f mm, margin %.1f nats; against those by ends: %.1f",
        len(solved.starts_mm), solved.duration_s, solved.starts_mm[0], solved.margin, solved.against,
    )  # fmt: skip
    if solved.agrees(base.columns) or solved.against < AGAINST_MIN:
        return base, solved
    warnings: tuple[str, ...] = ()
    if solved.margin < MARGIN_MIN:
        warnings = (
            f"time: columns of {solved.duration_s:.3g} s were used; landmarks support another duration or"
            " place nearly as well",
        )
    base = replace(
        base,
        columns=solved.columns(windows),
        mm_per_s=solved.mm_per_s if n_columns > 1 else scale.speed_mm_s,
        warnings=(*chosen.warnings, *warnings),
        notes=(),
    )
    return base, solved


def _by_traces(sheet: Sheet, rows: tuple[RowTrace, ...], chosen: ChosenLayout, scale: PaperScale) -> TimeBase:
    """Columns where traces begin and end, and the millimetres of a second and a millivolt there."""
    place = partial(place_columns, rows, chosen.windows, chosen.layout, pulse=scale.pulse)
    mm_per_s, mm_per_mv = scale.speed_mm_s, scale.gain_mm_mv
    warnings: list[str] = []
    notes: list[str] = []
    columns = place(mm_per_s, has_grid=sheet.has_grid, on_guessed_scale=not sheet.has_grid)
    if not sheet.has_grid:
        # The map's millimetres were guessed; pulses and the ends of the traces give a better scale.
        known_paper = sheet.geometry.paper is not None
        true_mm = true_millimetre(scale, columns.duration_s * mm_per_s, on_known_paper=known_paper)
        warnings.append(true_mm.warning)
        mm_per_s, mm_per_mv = mm_per_s * true_mm.in_guessed, true_mm.mm_per_mv
        columns = place(mm_per_s, has_grid=False)
    elif (stretch := paper_stretch(rows, columns, mm_per_s)) != 1.0:
        notes.append(
            f"time: traces are {abs(stretch - 1):.1%} {'longer' if stretch > 1 else 'shorter'} than"
            f" {columns.duration_s / stretch:.3g} s on the grid; that usual duration was used"
        )
        mm_per_s *= stretch
        columns = place(mm_per_s)
    return TimeBase(
        columns,
        chosen.layout,
        mm_per_s,
        mm_per_mv,
        scale.chest_gain_mm_mv / scale.gain_mm_mv,
        pulse=scale.pulse,
        warnings=(*chosen.warnings, *warnings),
        notes=tuple(notes),
    )


def _at_separators(base: TimeBase, sheet: Sheet, rows: Rows, chosen: ChosenLayout) -> TimeBase:
    """The same with columns that begin where separators are printed; unchanged where none is seen."""
    assert rows.ink is not None
    windows, traces = base.columns.windows, rows.traces
    levels = zero_lines(
        traces, windows, speed_mm_s=base.mm_per_s, gain_mm_mv=base.mm_per_mv, pulse=base.pulse
    )
    separators = find_separators(sheet.image, sheet.page_map, rows.ink, levels.mm, windows)
    if not separators:
        return base
    columns = place_columns(
        traces, chosen.windows, chosen.layout, base.mm_per_s, base.pulse, separators, has_grid=sheet.has_grid
    )
    return replace(base, columns=columns)


def _on_grid_lines(base: TimeBase, sheet: Sheet, rows: tuple[RowTrace, ...]) -> TimeBase:
    """The same with columns that begin on a line of the grid, or on a frame's side, where these are near."""
    box_mm = _box_mm(rows, base.columns)
    if box_mm is None:
        return base
    down, across = find_lines(sheet.image, sheet.page_map, box_mm)
    columns = _on_lines(base.columns, across, sheet, box_mm)
    if sheet.sides_mm and not columns.on_grid:
        # A frame's side hides where the traces begin; it is a line itself.
        columns = _on_lines(_on_frames(columns, sheet.sides_mm), across, sheet, box_mm)
    return replace(base, columns=columns, lines=down)


def _box_mm(rows: tuple[RowTrace, ...], columns: Columns) -> BoxMm | None:
    """The traces on the page and the grid around them; None without traces."""
    levels = [float(np.nanmedian(row.y_mm)) for row in rows if np.isfinite(row.y_mm).any()]
    if not levels:
        return None
    right = max(window.end_mm for window in columns.windows)
    return min(levels) - AROUND_MM, columns.start_mm, max(levels) + AROUND_MM, right


def _on_frames(columns: Columns, sides_mm: tuple[float, ...]) -> Columns:
    """Columns that begin where their frames do; unchanged without frames, or where frames are wider than
    traces.

    Args:
        sides_mm: left sides of the frames, mm along the page.
    """
    shifts = {}
    for j, (start, _) in columns.spans_mm.items():
        near = [side - start for side in sides_mm if abs(side - start) <= FRAME_MM]
        if near and (columns.apart or j == 0):
            shifts[j] = float(np.median(near))
    enough = 2 * len(shifts) > len(columns.starts_s) if columns.apart else bool(shifts)
    return replace(columns.moved_to_lines(shifts), on_grid=False) if enough else columns


def _on_lines(columns: Columns, across: GridLines | None, sheet: Sheet, box_mm: BoxMm) -> Columns:
    """Columns that begin on the nearest lines of the grid; unchanged where none is near enough.

    Args:
        across: lines over the page's width. Separate panels may each have a grid of their own: lines are
            found for each, and half of the panels must be near one.
    """
    if not columns.apart:
        shift_mm = across.shift_to(columns.start_mm) if across is not None else None
        return columns.moved_to_lines({0: shift_mm}) if shift_mm is not None else columns
    shifts = {}
    for j, (start, end) in columns.spans_mm.items():
        _, own = find_lines(sheet.image, sheet.page_map, (box_mm[0], start, box_mm[2], end))
        shifts[j] = own.shift_to(start) if own is not None else None
    seen = {j: shift for j, shift in shifts.items() if shift is not None}
    return columns.moved_to_lines(seen) if seen and 2 * len(seen) >= len(shifts) else columns
