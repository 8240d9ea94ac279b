"""Where columns begin and end on a page whose traces are a document's own paths: at the paths' ends.

In: rows with their paths, the chosen layout's panels, and the paper speed. Out: `Columns` whose panels have
the paths' own starts. A path that runs through several columns is divided evenly.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Columns, RowName, RowTrace, Window
from ecg_hough.errors import PageError
from ecg_hough.paper import LEADS
from ecg_hough.signals.columns import NOMINAL_S, PANEL_S, on_read_rows

log = logging.getLogger(__name__)

USUAL_OFF = 0.005
"""A duration that is this near to a usual one, as a share, is that one: paths end a sample early."""
NAME_BEFORE_MM = 12.0
"""Names are printed at most this far before their trace's start."""
REPEATED_MIN = 6
"""Number of leads that are printed twice, besides rhythm strips, on a page of two recordings."""
SAME_START_MM = 0.5
"""Panels of a column begin within this."""


@dataclass(frozen=True)
class _Piece:
    """A panel and the stretch of a path that is its own, mm."""

    window: Window
    start_mm: float
    end_mm: float


def drawn_columns(
    rows: tuple[RowTrace, ...],
    windows: tuple[Window, ...],
    speed_mm_s: float,
    names: tuple[RowName, ...] = (),
) -> tuple[Columns, tuple[str, ...]]:
    """Columns of a page whose rows were read from paths, and warnings.

    Args:
        rows: with their paths; windows: panels, whose ends may be wrong by less than half of a column.
        names: that are printed at the rows: they are right where the layout has others.

    Raises:
        PageError: none of the panels' rows was read, or several recordings are on the page.
    """
    pieces: list[_Piece] = []
    lost, renamed, other = 0, [], []
    known = on_read_rows(rows, windows)
    for row in rows:
        mine = [w for w in known if w.row_index == row.row_index]
        here = [name for name in names if name.row_index == row.row_index]
        panels = _panels_of_paths(row.drawn, mine)
        printed = _names_of_paths(row.drawn, here)
        for points, of_path, of_names in zip(row.drawn, panels, printed, strict=True):
            named = _by_names(row.row_index, of_path, of_names, len(row.drawn))
            renamed += [f"{w.lead} for {was}" for w, was in named if was not in ("", w.lead)]
            other += [w.lead for w, _ in named if w.lead not in LEADS]
            lost += not named
            pieces += [
                p for p in _divided(points, [w for w, _ in named], speed_mm_s) if p.window.lead in LEADS
            ]
    _refuse_two_recordings(pieces)
    warnings = []
    if lost:
        warnings.append(f"vector: {lost} of the page's traces have no place in the layout and were left out")
    if renamed:
        warnings.append(f"layout: printed names differ from it and were used: {', '.join(renamed)}")
    if other:
        warnings.append(f"layout: {', '.join(other)} is none of the twelve leads and was left out")
    columns, more = _placed(pieces, speed_mm_s)
    return columns, (*warnings, *more)


def _refuse_two_recordings(pieces: list[_Piece]) -> None:
    if not pieces:
        raise PageError(
            "layout", "at least one of the page's traces must be one of the twelve leads; none is"
        )
    uses = Counter(p.window.lead for p in pieces if not p.window.rhythm)
    repeated = [lead for lead in LEADS if uses[lead] > 1]
    if len(repeated) >= REPEATED_MIN:
        raise PageError(
            "layout",
            f"a page shows one recording; {', '.join(repeated)} are printed several times: cut it into its"
            " recordings",
        )


def _placed(pieces: list[_Piece], speed_mm_s: float) -> tuple[Columns, list[str]]:
    """The panels at their paths' starts, and warnings."""
    n_columns = 1 + max(p.window.column_index for p in pieces)
    of_columns = [p for p in pieces if not p.window.rhythm]
    short = [[p for p in of_columns if p.window.column_index == j] for j in range(n_columns)]
    off_mm = [np.ptp([p.start_mm for p in mine]) for mine in short if mine]
    warnings = []
    if max(off_mm, default=0.0) > SAME_START_MM:
        warnings.append(
            "vector: traces of a column do not begin below each other; each was given its own start"
        )
    starts_s, pitch_s = _starts(short, speed_mm_s)
    ends = [(0.0 if p.window.rhythm else starts_s[p.window.column_index], p) for p in pieces]
    last_s = max(start + (p.end_mm - p.start_mm) / speed_mm_s for start, p in ends)
    duration_s = _usual(last_s, NOMINAL_S)
    log.info(
        "columns by paths: %d panels, begin at %s s, pitch %.4g s, duration %.4g s",
        len(pieces), [round(s, 4) for s in starts_s.values()], pitch_s, duration_s,
    )  # fmt: skip
    placed = tuple(replace(p.window, start_mm=p.start_mm, end_mm=p.end_mm) for p in pieces)
    return Columns(placed, starts_s, duration_s), warnings


def _panels_of_paths(paths: Sequence[NDArray[np.float64]], windows: list[Window]) -> list[list[Window]]:
    """For every path of a row the panels that lie on it, from left to right."""
    out: list[list[Window]] = [[] for _ in paths]
    for window in sorted(windows, key=lambda w: w.start_mm):
        overlaps = [min(p[-1, 0], window.end_mm) - max(p[0, 0], window.start_mm) for p in paths]
        best = int(np.argmax(overlaps))
        if overlaps[best] > 0:
            out[best].append(window)
    return out


def _names_of_paths(paths: Sequence[NDArray[np.float64]], names: list[RowName]) -> list[list[RowName]]:
    """For every path of a row the names that are printed at it, from left to right.

    A name is printed before its trace's start, or a little behind it.
    """
    out: list[list[RowName]] = [[] for _ in paths]
    for name in sorted(names, key=lambda one: one.x_mm):
        inside = [
            k
            for k, p in enumerate(paths)
            if p[0, 0] - NAME_BEFORE_MM <= name.x_mm < p[-1, 0] - NAME_BEFORE_MM
        ]
        if inside:
            out[inside[-1]].append(name)
    return out


def _by_names(row: int, panels: list[Window], names: list[RowName], n_paths: int) -> list[tuple[Window, str]]:
    """The panels on a path under their printed names, each with the lead that the layout has there or "".

    Args:
        n_paths: of the row: a rhythm strip is alone in it.
    """
    if n_paths > 1:
        panels = [replace(w, rhythm=False) for w in panels]
    if len(names) == len(panels):
        return [(replace(w, lead=name.name), w.lead) for w, name in zip(panels, names, strict=True)]
    if len(names) > len(panels):
        alone = n_paths == 1 and len(names) == 1
        return [(Window(one.name, row, j, alone, one.x_mm, one.x_mm), "") for j, one in enumerate(names)]
    return [(w, w.lead) for w in panels]


def _divided(points: NDArray[np.float64], panels: list[Window], speed_mm_s: float) -> list[_Piece]:
    """The panels on a path, each with an equal part of it."""
    if not panels:
        return []
    steps = np.diff(points[:, 0])
    sample_mm = float(np.percentile(steps[steps > 0], 5))
    start, end = float(points[0, 0]), float(points[-1, 0]) + sample_mm
    if len(panels) == 1:
        return [_Piece(panels[0], start, end)]
    width_s = _usual((end - start) / speed_mm_s, NOMINAL_S)
    edges = start + np.linspace(0.0, width_s * speed_mm_s, len(panels) + 1)
    return [_Piece(w, float(a), float(b)) for w, a, b in zip(panels, edges[:-1], edges[1:], strict=True)]


def _starts(short: list[list[_Piece]], speed_mm_s: float) -> tuple[dict[int, float], float]:
    """Start of every column, s, and their pitch: by their places; but where panels of a usual duration are at
    other distances, with gaps or overlaps, one duration after the other."""
    places = {j: float(np.median([p.start_mm for p in mine])) for j, mine in enumerate(short) if mine}
    first = min(places.values(), default=0.0)
    if len(places) < 2:
        return dict.fromkeys(places, 0.0), 0.0
    pitch_s = float(np.polyfit(list(places), list(places.values()), 1)[0]) / speed_mm_s
    lasts_s = float(np.median([p.end_mm - p.start_mm for mine in short for p in mine])) / speed_mm_s
    usual_s = _usual(lasts_s, PANEL_S)
    if usual_s != lasts_s and abs(pitch_s / usual_s - 1.0) > USUAL_OFF:
        return {j: j * usual_s for j in places}, usual_s
    return {j: (mm - first) / speed_mm_s for j, mm in places.items()}, pitch_s


def _usual(seconds: float, usual_s: Sequence[float]) -> float:
    """The usual duration that a duration is; the same where it is none."""
    nearest = min(usual_s, key=lambda s: abs(s - seconds))
    return nearest if abs(seconds / nearest - 1.0) <= USUAL_OFF else seconds
