"""All rows of a page as they were read: what the signals are made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Pulse, RowMark, RowName, RowTrace
from ecg_hough.traces.ink import InkModel
from ecg_hough.traces.reject import without_bars


@dataclass(frozen=True)
class Rows:
    """All rows of a page.

    Attributes:
        traces: rows in page millimetres, from the top.
        ink: what is ink on the page; dark: (rows, cols) which of its pixels are. None where it cannot be
            distinguished from the paper.
        marks: landmarks of the rows; none where they are not asked for.
        pulses: calibration pulses of rows that were read from a document's paths; None where they are yet to
            be looked for in the ink.
        names: of a document's text layer, at these rows.
        names_mm: by row, place down the page of a name that is printed at the same distance from each row.
    """

    traces: tuple[RowTrace, ...]
    ink: InkModel | None
    marks: tuple[RowMark, ...] = ()
    pulses: tuple[Pulse, ...] | None = None
    names: tuple[RowName, ...] = ()
    names_mm: dict[int, float] = field(default_factory=dict)
    dark: NDArray[np.bool_] | None = None

    @cached_property
    def beside_bars(self) -> tuple[RowTrace, ...]:
        """The traces without read-outs on separators: what signals are made from. Landmarks are looked for on
        all read-outs, as a trace that runs into a separator shows where its column begins."""
        return without_bars(self.traces, self.marks)

    @property
    def drawn(self) -> bool:
        """Whether the rows were read from a document's paths."""
        return any(row.drawn for row in self.traces)
