"""Steps of the method that can be left out or added, so that each one's worth can be measured.

In: nothing. Out: a `Steps` that `digitize` passes down to the stages; `ablations` measures them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Steps:
    """Which steps are taken; as given here, the method as it ships.

    Attributes:
        stroke_fit: analysis by synthesis after the read-out (`stroke_fit`).
        grid_out: the printed grid is taken out of the ink before that fit.
        separators: columns begin where separators stand, else where traces end (`separators`).
        grid_lines: blocks and zero lines that stand near a line of the grid stand on it (`grid_lines`).
        lead_fusion: limb leads and repeated leads are made to agree (`lead_fusion`).
        second_look: where rows contest ink, they are read again with masks of their first reading
            (`crossings`).
        settled: where rows contest ink, all take their likeliest ways together; else every read-out takes
            its own highest peak (`crossings`).
        cubic: strips are cut with cubic interpolation; else linear.
        flip: the trace network also sees every strip mirrored along time, and both answers are averaged.
            It takes twice the time of the read-out.
    """

    stroke_fit: bool = True
    grid_out: bool = True
    separators: bool = True
    grid_lines: bool = True
    lead_fusion: bool = True
    second_look: bool = True
    settled: bool = True
    cubic: bool = True
    flip: bool = False


SHIPPED = Steps()
CENTROID = Steps(stroke_fit=False, grid_lines=False)
"""Of the centroid read-out: a baseline, not to be mended by what the winner had not."""
