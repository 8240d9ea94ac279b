"""Steps of the method that can be omitted or added, so that the effect of each can be measured.

In: nothing. Out: `Options`, which `digitize` passes down to the stages; the ablations measure them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

HeaderLevel = Literal["none", "measurements", "all"]
HEADER_LEVELS: tuple[HeaderLevel, ...] = ("none", "measurements", "all")
"""What is read of a page's printed header; "all" includes patient and time."""


@dataclass(frozen=True)
class Options:
    """How a page is read; the defaults are the method as it ships.

    Attributes:
        readout: "trace" (the trace network), or "centroid" (the 2024 winner's column centroids).
        paths: of a document whose traces are paths, these are read; else its picture (`vectors`).
        stroke_fit: analysis by synthesis after the read-out (`traces.stroke_fit`).
        grid_out: the printed grid is removed from the ink before that fit.
        marks: columns come from the rows' landmarks by one solve (`signals.column_solve`), where a grid and a
            known layout are found; else from the ends of the traces (`signals.columns`).
        separators: columns begin at separators, else where traces end (`signals.separators`).
        grid_lines: blocks and zero lines near a line of the grid are placed on it (`geometry.grid.lines`).
        lead_fusion: limb leads and repeated leads are made to agree (`signals.lead_fusion`).
        second_look: rows that share ink are read again with masks of their first reading
            (`traces.crossings`).
        settled: for rows that share ink the likeliest paths of all are found together; else every read-out
            takes its own highest peak (`traces.crossings`).
        usual_beats: a contested beat that is lower than the lead's others is looked for where these run
            (`traces.usual_beats`).
        spikes: pacing spikes are read at their printed height (`traces.spikes`).
        cubic: strips are cut with cubic interpolation; else linear.
        flip: the trace network also sees every strip mirrored along time, and both answers are averaged.
            It takes twice the time of the read-out.
    Raises:
        ValueError: no such read-out.
    """

    readout: str = "trace"
    paths: bool = True
    stroke_fit: bool = True
    grid_out: bool = True
    marks: bool = True
    separators: bool = True
    grid_lines: bool = True
    lead_fusion: bool = True
    second_look: bool = True
    settled: bool = True
    usual_beats: bool = True
    spikes: bool = True
    cubic: bool = True
    flip: bool = False

    def __post_init__(self) -> None:
        if self.readout not in ("trace", "centroid"):
            raise ValueError(f"readout must be trace or centroid; got {self.readout!r}")


SHIPPED = Options()
CENTROID = Options(readout="centroid", paths=False, stroke_fit=False, grid_lines=False)
"""The column-centroid read-out: a baseline, without the steps that the 2024 winner did not have."""
READOUTS: dict[str, Options] = {"trace": SHIPPED, "centroid": CENTROID}
"""Options of each read-out by its name."""


def check_arguments(**numbers: float | None) -> None:
    """Check numbers that a user gives, such as fs or paper speed; None where one is not given.

    Raises:
        ValueError: one is not finite and positive; the message names it.
    """
    for name, value in numbers.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be positive and finite; got {value}")
