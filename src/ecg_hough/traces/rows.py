"""All rows of a page as they were read: what the signals are made from."""

from __future__ import annotations

from dataclasses import dataclass

from ecg_hough.elements import RowMark, RowTrace
from ecg_hough.traces.ink import InkModel


@dataclass(frozen=True)
class Rows:
    """All rows of a page.

    Attributes:
        traces: rows in page millimetres, from the top.
        ink: what is ink on the page; None where it cannot be distinguished from the paper.
        marks: landmarks of the rows; none where they are not asked for.
    """

    traces: tuple[RowTrace, ...]
    ink: InkModel | None
    marks: tuple[RowMark, ...] = ()
