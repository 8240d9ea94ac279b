"""Names against physics: six limb leads are two signals, so traces tell whether their names can be right.

In: row traces, panels, the layout that was found. Out: that layout, or another one that the traces obey far
better. Every limb lead is a known sum of I and II (Einthoven; Goldberger), so of m limb leads in one column
m - 2 dimensions must be empty. This needs no printed name: it tells Cabrera from standard order, and one
column of six limb leads from three rows over three rhythm strips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_hough.calibration import Window
from ecg_hough.column_order import STEP_MM, column_edges, upwards
from ecg_hough.paper import IN_I_AND_II, Layout, make_layout
from ecg_hough.traces import RowTrace

SHAPES = ("3x4", "6x2", "12x1", "6x1-limb")
"""Shapes with three limb leads or more in a column: only they can be checked."""

# Tuned on own renders of all layouts (benchmark_pages, other seeds than the published one).
OBEYED_MAX = 0.1
"""Largest share of the empty dimensions' expected variance in a layout that is believed."""
BROKEN_TIMES, REST_FLOOR = 4.0, 0.001
"""How many times more a layout that is given up must leave; what the best reading leaves of a true one."""
OTHER_SHAPE_MAX = 0.06
"""Largest share in a layout of another shape than the one found."""
MORE_OBEYED_MAX, MORE_TIMES = 0.03, 1.5
"""Share from which a layout wins because its sums hold over so many times more of the page: the left half of
six limb leads is also the left column of 6x2."""
CABRERA_OBEYED_MAX, MUCH_MORE_TIMES = 0.015, 3.0
"""The same for a layout in Cabrera order, whose sums chest leads nearly obey; and from how many times more of
the page it wins over another one that convinces as well."""
NAMED_MIN = 0.6
"""Share of panels with a printed name from which the layout is not questioned."""
EXTENT_MIN_MM = 200.0
"""Least that must be checked (length times empty dimensions) where no layout was found."""
KEPT = 0.93
"""Share of the places with the least rest that count: names and separators are misread as trace."""
COLUMNS_MIN = 40
"""Fewest places on the raster at which all limb leads of a column are known: 10 mm."""


@dataclass(frozen=True)
class CheckedLayout:
    """The layout and panels to go on with, and a warning where they are not those given."""

    layout: Layout | None
    windows: tuple[Window, ...]
    warnings: tuple[str, ...] = ()


def check_layout(
    rows: tuple[RowTrace, ...], windows: tuple[Window, ...], layout: Layout | None, *, named: float = 0.0
) -> CheckedLayout:
    """Replace the layout where the limb leads' equations clearly demand another one.

    Args:
        rows: traces in page millimetres; windows, layout: as the networks saw them.
        named: share of the panels whose name is printed beside them; from `NAMED_MIN` on print is believed,
            which may show leads in any order.
    """
    if named >= NAMED_MIN:
        return CheckedLayout(layout, windows)
    by_row = {row.row_index: row for row in rows}
    windows = tuple(w for w in windows if w.row_index in by_row)
    candidates = _candidates(by_row, windows, layout) if windows else []
    rated = [
        (*fit, other, placed) for other, placed in candidates if (fit := limb_rest(by_row, placed, other))
    ]
    found = limb_rest(by_row, windows, layout) if layout is not None else None
    # The other order of the same shape first: it explains as much and changes less.
    rated.sort(key=lambda one: (not _same_shape(one[2], layout), one[0]))
    convincing = [one for one in rated if _convinces(one[0], one[1], one[2], layout, found)]
    if not convincing:
        return CheckedLayout(layout, windows)
    chosen = convincing[0]
    for one in convincing[1:]:
        if one[0] <= CABRERA_OBEYED_MAX and one[1] >= MUCH_MORE_TIMES * chosen[1]:
            chosen = one
    _, _, better, placed = chosen
    seen = "no known layout" if layout is None else layout.name
    words = f"layout: looked like {seen}, but the limb leads' sums hold in {better.name} only; that was taken"
    return CheckedLayout(better, placed, (words,))


def _convinces(
    rest: float, extent: float, better: Layout, layout: Layout | None, found: tuple[float, float] | None
) -> bool:
    """Whether a layout of this rest and extent replaces the one found, of rest and extent `found`."""
    if _same_shape(better, layout):
        return found is not None and rest <= OBEYED_MAX and found[0] >= BROKEN_TIMES * (rest + REST_FLOOR)
    if rest > OTHER_SHAPE_MAX:
        return False
    if found is None:
        # Chest leads turn from one to the next as limb leads in Cabrera order do, and obey their sums nearly:
        # rows that were named as chest leads stay.
        return layout is None and extent >= EXTENT_MIN_MM
    obeyed_max = CABRERA_OBEYED_MAX if better.cabrera else MORE_OBEYED_MAX
    if rest <= obeyed_max and extent >= MORE_TIMES * found[1]:
        return True
    return found[0] >= BROKEN_TIMES * (rest + REST_FLOOR)


def _same_shape(one: Layout, other: Layout | None) -> bool:
    return other is not None and one.shape == other.shape


def _candidates(
    by_row: dict[int, RowTrace], windows: tuple[Window, ...], layout: Layout | None
) -> list[tuple[Layout, tuple[Window, ...]]]:
    """Other layouts that have as many rows, with their panels."""
    out = []
    for shape in SHAPES:
        for cabrera in (False, True):
            block = make_layout(shape, cabrera=cabrera)
            if layout is not None and block.rows == layout.rows:
                continue
            if layout is not None and layout.shape == shape:
                placed = _renamed(windows, block)
            else:
                n_rhythm = len(layout.rhythm) if layout is not None and block.n_columns > 1 else 0
                placed = _placed(by_row, windows, block, n_rhythm)
            if placed is not None:
                rhythm = tuple(w.lead for w in placed if w.rhythm)
                out.append((make_layout(shape, rhythm=rhythm, cabrera=cabrera), placed))
    return out


def limb_rest(
    by_row: dict[int, RowTrace], windows: tuple[Window, ...], layout: Layout
) -> tuple[float, float] | None:
    """How far limb leads in one column break their sums: 0 not at all, about 1 for unrelated traces.

    Returns:
        Rest as a share of what unrelated traces of this size would leave, and how much was checked: length
        of the columns times the dimensions that must be empty, mm. None without three limb leads in a column.
    """
    starts, ends = column_edges(windows, layout.n_columns)
    rest = expected = extent = 0.0
    for j, (start, end) in enumerate(zip(starts, ends, strict=True)):
        members = [w for w in windows if w.column_index == j and not w.rhythm and w.lead in IN_I_AND_II]
        if len(members) < 3:
            continue
        at = np.arange(start + 1.0, end - 1.0, STEP_MM)
        traces = np.stack([upwards(by_row[w.row_index], at) for w in members])
        known = np.isfinite(traces).all(axis=0)
        if known.sum() < COLUMNS_MIN:
            continue
        traces = traces[:, known] - np.median(traces[:, known], axis=1, keepdims=True)
        basis = np.array([IN_I_AND_II[w.lead] for w in members])
        flips = [basis]
        if any(w.lead == "aVR" for w in members):  # -aVR of Cabrera pages
            sign = np.array([-1.0 if w.lead == "aVR" else 1.0 for w in members])
            flips.append(basis * sign[:, None])
        left = []
        for matrix in flips:
            projection = matrix @ np.linalg.pinv(matrix)
            off = ((traces - projection @ traces) ** 2).sum(axis=0)
            left.append(float(off[off <= np.quantile(off, KEPT)].mean()))
        free = len(members) - 2
        rest += min(left)
        expected += float((traces**2).sum(axis=0).mean()) * free / len(members)
        extent += free * float(known.sum()) * STEP_MM
    return (rest / expected, extent) if expected > 0 else None


def _renamed(windows: tuple[Window, ...], layout: Layout) -> tuple[Window, ...] | None:
    """The same panels with another order's names; None where they are not rows of that layout."""
    indices = sorted({w.row_index for w in windows if not w.rhythm})
    if len(indices) != len(layout.rows):
        return None
    out = []
    for w in windows:
        lead = w.lead if w.rhythm else layout.rows[indices.index(w.row_index)][w.column_index]
        out.append(Window(lead, w.row_index, w.column_index, w.rhythm, w.start_mm, w.end_mm))
    return tuple(out)


def _placed(
    by_row: dict[int, RowTrace], windows: tuple[Window, ...], layout: Layout, n_rhythm: int
) -> tuple[Window, ...] | None:
    """Panels of another shape on the same rows, columns equally wide; None if the rows do not match.

    Rhythm strips keep the names they had.
    """
    indices = sorted(by_row)
    if len(indices) != len(layout.rows) + n_rhythm:
        return None
    start, end = (float(np.median(ends)) for ends in _row_ends(windows))
    edges = np.linspace(start, end, layout.n_columns + 1)
    out = [
        Window(lead, indices[r], c, False, float(edges[c]), float(edges[c + 1]))
        for r, leads in enumerate(layout.rows)
        for c, lead in enumerate(leads)
    ]
    named = {w.row_index: w.lead for w in windows if w.rhythm}
    out += [Window(named.get(i, "II"), i, 0, True, start, end) for i in indices[len(layout.rows) :]]
    return tuple(out)


def _row_ends(windows: tuple[Window, ...]) -> tuple[list[float], list[float]]:
    """First and last mm of every row's panels."""
    rows = {w.row_index for w in windows}
    starts = [min(w.start_mm for w in windows if w.row_index == i) for i in rows]
    return starts, [max(w.end_mm for w in windows if w.row_index == i) for i in rows]
