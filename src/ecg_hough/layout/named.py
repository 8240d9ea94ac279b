"""Layouts that printed names alone show.

In: names with their rows. Out: the layout in their order, or None.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_hough.layout.names import PlacedName
from ecg_hough.layout.rows import TraceRows
from ecg_hough.paper import KNOWN_LAYOUTS, LEADS, PLOTTED_LAYOUTS, Layout

NAMED_LEADS_MIN = 6
"""Fewest names that show a layout by themselves."""
ORDERED_LEADS_MIN = 4
"""Fewest names that show one of `PLOTTED_LAYOUTS`."""
NAMED_APART_PX = 40.0
"""Names of two columns are at least this far apart: 15 mm."""
NAMED_SETS = tuple(map(set, (LEADS, LEADS[:6], LEADS[6:])))
"""Leads that such a layout usually holds, no more and no fewer; others where every row of the page has names:
such as eight leads from which the others follow."""
TRACED_MASS, NAMED_END_OFF = 0.3, 0.4
"""Least probability of any lead on a traced column of a row; farthest that traces may end off where the names
of any leads have them end, in columns' widths."""


def named_layout(names: tuple[PlacedName, ...], rows: TraceRows) -> Layout | None:
    """The layout that printed names alone show: leads in any order, as they are printed.

    Its name is its rows and columns with "-named", e.g. "4x3-named". Where names are missing, those that are
    read must be placed as in one of `PLOTTED_LAYOUTS`.

    Returns:
        None where the names have a gap, one is printed twice, or they are those of a known layout.
    """
    if len(names) < ORDERED_LEADS_MIN:
        return None
    # Columns lean by what the rows slope.
    col = np.array([name.name.col + rows.slope * name.name.row for name in names])
    order = np.argsort(col)
    column = np.empty(len(names), int)
    column[order] = np.concatenate([[0], np.cumsum(np.diff(col[order]) > NAMED_APART_PX)])
    n_columns = int(column.max()) + 1
    grid: dict[int, dict[int, str]] = {}
    for name, j in zip(names, column, strict=True):
        grid.setdefault(name.row, {})[int(j)] = LEADS[name.name.lead]
    # Under several columns a row with one name is a rhythm strip.
    short = [grid[i] for i in sorted(grid) if len(grid[i]) > 1 or n_columns == 1]
    leads = [lead for row in short for lead in row.values()]
    missing = [(k, j) for k, row in enumerate(short) for j in range(n_columns) if j not in row]
    absent = [lead for lead in LEADS if lead not in leads]
    if len(missing) == 1 and len(absent) == 1:
        k, j = missing.pop()
        short[k][j] = absent.pop()
        leads = list(LEADS)
    strips = _strips(grid, len(short), leads)
    every_row = strips is not None and len(grid) == len(rows.lines)
    complete = set(leads) in NAMED_SETS or (every_row and _fill_rows(col, column, rows))
    whole = not missing and len(set(leads)) == len(leads) and complete
    if not whole or len(names) < NAMED_LEADS_MIN:
        places = [(LEADS[name.name.lead], name.row, int(j)) for name, j in zip(names, column, strict=True)]
        return next((order for order in PLOTTED_LAYOUTS if _placed_as(places, order)), None)
    block = tuple(tuple(row[j] for j in range(n_columns)) for row in short)
    if any(known.rows == block for known in KNOWN_LAYOUTS):
        return None
    return Layout(f"{len(block)}x{n_columns}-named", block).with_strips(strips or ())


def _fill_rows(col: NDArray[np.float64], column: NDArray[np.intp], rows: TraceRows) -> bool:
    """Whether traces end one column behind the last names: beyond there are leads whose names were missed."""
    starts = np.array([col[column == j].mean() for j in range(int(column.max()) + 1)])
    traced = np.flatnonzero((rows.mass.sum(axis=1) > TRACED_MASS).mean(axis=0) > 0.5)
    if len(starts) == 1 or not traced.size:
        return False
    pitch = float(np.diff(starts).mean())
    return abs(traced[-1] - starts[-1] - pitch) < NAMED_END_OFF * pitch


def _strips(grid: dict[int, dict[int, str]], n_short: int, leads: list[str]) -> tuple[str, ...] | None:
    """Leads of the rows below the first `n_short`, each one of `leads` at the row's start; None otherwise."""
    below = [grid[i] for i in sorted(grid)][n_short:]
    one = all(list(row) == [0] and row[0] in leads for row in below)
    return tuple(row[0] for row in below) if one else None


def _placed_as(places: list[tuple[str, int, int]], layout: Layout) -> bool:
    """Whether names, each (lead, row of the page, column), are all placed as a layout has them."""
    if layout.n_columns != max(column for *_, column in places) + 1:
        return False
    at = {lead: (i, j) for i, row in enumerate(layout.rows) for j, lead in enumerate(row)}
    rows: dict[int, int] = {}
    for lead, row, column in places:
        i, j = at[lead]
        if j != column or rows.setdefault(row, i) != i:
            return False
    order = [rows[row] for row in sorted(rows)]
    return order == sorted(set(order))
