"""The marks network: where panels of a row begin and end, and where separators and pulses stand.

In: a strip of a row, its pixels and coarse masks. Out: landmarks with their place along the strip, probability
and expected error.
"""

from __future__ import annotations

MARKS_NETWORK = "marks"
KINDS = ("start", "end", "separator", "pulse_left", "pulse_right")
"""First sample of a panel, one sample behind its last, middle of a separator, upright strokes of a pulse."""
STRIP_MM = 40.0
"""Height of a strip round its row's level."""
CELL_PX = 2
"""Strip columns of an output: 1/4 mm."""
