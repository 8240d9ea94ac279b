"""Layouts in the order of the printed names."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.layout.named import named_layout
from ecg_hough.layout.names import CanvasName, PlacedName
from ecg_hough.layout.rows import TraceRows
from ecg_hough.paper import KNOWN_LAYOUTS, LEADS, PLOTTED_LAYOUTS, Layout

PITCH_PX, COLUMN_PX = 50.0, 150.0

Block = tuple[tuple[str, ...], ...]


def names_of(block: Block) -> tuple[PlacedName, ...]:
    """Names at the start of every panel; "" where a name was not read."""
    return tuple(
        PlacedName(CanvasName(LEADS.index(lead), PITCH_PX * i, 20.0 + COLUMN_PX * j, 0.9), i)
        for i, row in enumerate(block)
        for j, lead in enumerate(row)
        if lead
    )


def rows_of(n_rows: int, n_columns: int) -> TraceRows:
    """Level rows that are traced over all columns."""
    n_cols = round(20.0 + COLUMN_PX * n_columns)
    lines = PITCH_PX * np.arange(n_rows)[:, None] + np.zeros(n_cols)
    return TraceRows(
        lines, 0.0, PITCH_PX, np.full((n_rows, len(LEADS), n_cols), 1 / len(LEADS)), np.zeros_like(lines)
    )


def layout_of(block: Block) -> Layout | None:
    return named_layout(names_of(block), rows_of(len(block), max(map(len, block))))


REVERSED = tuple(tuple(row) for row in np.array(LEADS[::-1]).reshape(4, 3).tolist())


def test_names_in_any_order_are_a_layout() -> None:
    found = layout_of(REVERSED)
    assert found is not None
    assert (found.name, found.rows) == ("4x3-named", REVERSED)


def test_a_row_with_one_name_is_a_rhythm_strip() -> None:
    found = layout_of((*REVERSED, ("II",)))
    assert found is not None
    assert (found.name, found.rows, found.rhythm) == ("4x3-named+1", REVERSED, ("II",))


def test_one_unreadable_name_is_the_lead_that_remains() -> None:
    damaged = (REVERSED[0], ("", *REVERSED[1][1:]), *REVERSED[2:])
    found = layout_of(damaged)
    assert found is not None
    assert found.rows == REVERSED


@pytest.mark.parametrize("layout", PLOTTED_LAYOUTS, ids=lambda layout: layout.name)
def test_four_names_in_all_columns_show_an_order_of_plots(layout: Layout) -> None:
    read = {layout.rows[j % len(layout.rows)][j] for j in range(layout.n_columns)}
    read |= {layout.rows[-1][0], layout.rows[0][-1], layout.rows[0][0]}
    block = tuple(tuple(lead if lead in read else "" for lead in row) for row in layout.rows)
    assert len(names_of(block)) >= 4
    assert layout_of(block) == layout


@pytest.mark.parametrize("layout", KNOWN_LAYOUTS, ids=lambda layout: layout.name)
def test_a_known_layout_needs_no_names(layout: Layout) -> None:
    assert layout_of(layout.rows) is None


def test_names_with_two_gaps_are_no_layout() -> None:
    assert layout_of((REVERSED[0], ("", "", REVERSED[1][2]), *REVERSED[2:])) is None


def test_a_lead_that_is_printed_twice_is_no_layout() -> None:
    assert layout_of((REVERSED[0], *REVERSED[:3])) is None
