"""Facts of printed 12-lead ECGs: lead names, paper speed, gain, grid and page layouts.

Nothing here is tuned; every other module takes these names and numbers from here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

LEADS: tuple[str, ...] = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""Standard order of the 12 leads: the row order of every signal array, and label k + 1 of a label map."""

CABRERA: tuple[str, ...] = ("aVL", "I", "aVR", "II", "aVF", "III")
"""Limb leads in Cabrera order. aVR is printed inverted there (−aVR), see `Layout.inverted_avr`."""

IN_I_AND_II: dict[str, tuple[float, float]] = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}
"""Limb leads as sums of I and II (Einthoven 1912, Goldberger 1942)."""

MM_PER_INCH = 25.4
PAPER_SPEED_MM_S = 25.0
"""Standard paper speed (50 mm/s is the other one in use)."""
GAIN_MM_MV = 10.0
"""Standard gain (5 and 20 mm/mV are the others in use)."""
GRID_MINOR_MM = 1.0
GRID_MAJOR_MM = 5.0
PULSE_MV = 1.0
"""Height of the calibration pulse."""
FS_HZ = 500
"""Default sampling frequency of digitised records, as PTB-XL and the Challenge 2024."""
RECORD_S = 10.0
"""Usual length of a printed 12-lead ECG."""
BLOCK_MM = RECORD_S * PAPER_SPEED_MM_S
"""Usual width of a block of traces: 10 s at 25 mm/s, 5 s at 50 mm/s."""


@dataclass(frozen=True)
class Layout:
    """Where the leads stand on the page.

    Attributes:
        name: as people write it, e.g. "3x4+1".
        rows: leads of every short row, left to right; all rows have the same length.
        rhythm: leads of the full-width rhythm strips under the short rows, top to bottom.
        cabrera: limb leads in Cabrera order.
    """

    name: str
    rows: tuple[tuple[str, ...], ...]
    rhythm: tuple[str, ...] = ()
    cabrera: bool = False

    @property
    def shape(self) -> str:
        """The name without rhythm strips and order, e.g. "3x4"."""
        return self.name.removesuffix("-cabrera").split("+")[0]

    def with_strips(self, rhythm: tuple[str, ...]) -> Layout:
        """The same short rows over other rhythm strips."""
        strips = f"+{len(rhythm)}" if rhythm else ""
        return replace(self, name=self.shape + strips + ("-cabrera" if self.cabrera else ""), rhythm=rhythm)

    @property
    def n_columns(self) -> int:
        return len(self.rows[0])

    @property
    def n_rows(self) -> int:
        """Rows of traces on the page, rhythm strips included."""
        return len(self.rows) + len(self.rhythm)


def by_column(leads: tuple[str, ...], n_rows: int) -> tuple[tuple[str, ...], ...]:
    """Fill a block of short leads column by column, as ECG carts do."""
    return tuple(tuple(leads[row::n_rows]) for row in range(n_rows))


def by_row(leads: tuple[str, ...], n_columns: int) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(leads[i : i + n_columns]) for i in range(0, len(leads), n_columns))


def make_layout(shape: str, *, rhythm: tuple[str, ...] = (), cabrera: bool = False) -> Layout:
    """Build a layout from its shape: "3x4", "6x2", "12x1", "4x3", "2x6", "6x1-limb", "6x1-precordial".

    Rows x columns; "3x4" has limb leads in the first two columns; "4x3" has I II III in the
    first row. Raises ValueError for an unknown shape.
    """
    leads = (CABRERA if cabrera else LEADS[:6]) + LEADS[6:]
    blocks = {
        "3x4": by_column(leads, 3),
        "6x2": by_column(leads, 6),
        "12x1": by_column(leads, 12),
        "4x3": by_row(leads, 3),
        "2x6": by_row(leads, 6),
        "6x1-limb": by_column(leads[:6], 6),
        "6x1-precordial": by_column(leads[6:], 6),
    }
    if shape not in blocks:
        raise ValueError(f"shape must be one of {', '.join(blocks)}; got {shape!r}")
    return Layout(shape, blocks[shape], cabrera=cabrera).with_strips(rhythm)


INVERTED_AVR = "-aVR"
SPEED_WORDS: dict[str, float] = {"25 mm/s": 25.0, "50 mm/s": 50.0}
GAIN_WORDS: dict[str, float] = {"5 mm/mV": 5.0, "10 mm/mV": 10.0, "20 mm/mV": 20.0}
WORDS: tuple[str, ...] = (*LEADS, INVERTED_AVR, *SPEED_WORDS, *GAIN_WORDS)
"""The words told apart: label k + 1 of a label map is WORDS[k]."""
_SHAPES = ("3x4", "6x2", "12x1", "4x3", "2x6", "6x1-limb", "6x1-precordial")
KNOWN_LAYOUTS: tuple[Layout, ...] = (
    *(make_layout(shape) for shape in _SHAPES),
    *(make_layout(shape, cabrera=True) for shape in _SHAPES if shape != "6x1-precordial"),
)
"""Layouts that carts print, without rhythm strips; the commonest first. Reading, rendering, fitting and the
docs take them from here."""
