"""Facts of printed 12-lead ECGs: lead names, paper speed, gain, grid and page layouts.

Nothing here is tuned; every other module takes these names and numbers from here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

LEADS: tuple[str, ...] = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""Standard order of the 12 leads: the row order of every signal array, and label k + 1 of a label map."""

CHEST_LEADS = LEADS[6:]
"""V1 to V6."""

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
    """Which lead is printed where on the page.

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
    """Fill a block of short leads row by row."""
    return tuple(tuple(leads[i : i + n_columns]) for i in range(0, len(leads), n_columns))


class Shape(NamedTuple):
    """A block of short leads as carts print it.

    Attributes:
        n_rows, n_columns: of the block.
        along_rows: leads follow each other along its rows, not down its columns.
        first, stop: the leads of the standard order that it shows.
        strips_max, strips_usual: most rhythm strips under it that are read, and that carts usually print.
    """

    n_rows: int
    n_columns: int
    along_rows: bool = False
    first: int = 0
    stop: int = len(LEADS)
    strips_max: int = 0
    strips_usual: int = 0

    def rows(self, leads: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """The block filled with its part of all twelve leads, which are given in order."""
        part = leads[self.first : self.stop]
        return by_row(part, self.n_columns) if self.along_rows else by_column(part, self.n_rows)


SHAPES: dict[str, Shape] = {
    "3x4": Shape(3, 4, strips_max=3, strips_usual=3),
    "6x2": Shape(6, 2, strips_max=3, strips_usual=1),
    "12x1": Shape(12, 1),
    "4x3": Shape(4, 3, along_rows=True, strips_max=3),
    "2x6": Shape(2, 6, along_rows=True, strips_max=3),
    "6x1-limb": Shape(6, 1, stop=6),
    "6x1-precordial": Shape(6, 1, first=6),
}
"""Blocks that carts print, by name, the commonest first. Reading, rendering, fitting and the docs take them
from here."""


def make_layout(shape: str, *, rhythm: tuple[str, ...] = (), cabrera: bool = False) -> Layout:
    """Build a layout from the name of its shape, one of `SHAPES`: rows x columns.

    "3x4" has limb leads in the first two columns; "4x3" has I II III in the first row. Raises ValueError for
    an unknown shape.
    """
    if shape not in SHAPES:
        raise ValueError(f"shape must be one of {', '.join(SHAPES)}; got {shape!r}")
    leads = (CABRERA if cabrera else LEADS[:6]) + CHEST_LEADS
    return Layout(shape, SHAPES[shape].rows(leads), cabrera=cabrera).with_strips(rhythm)


KNOWN_LAYOUTS: tuple[Layout, ...] = (
    *(make_layout(shape) for shape in SHAPES),
    *(make_layout(name, cabrera=True) for name, shape in SHAPES.items() if shape.first == 0),
)
"""Layouts that carts print, without rhythm strips: every shape, and in Cabrera order where it shows limb
leads."""


@dataclass(frozen=True)
class GivenLayout:
    """What a person knows of a page's arrangement; see `given_layout`.

    Attributes:
        rows: leads of every short row, left to right.
        n_strips: number of rhythm strips under them; rhythm: their leads, () where these are to be found.
    """

    rows: tuple[tuple[str, ...], ...]
    n_strips: int = 0
    rhythm: tuple[str, ...] = ()

    @property
    def layout(self) -> Layout:
        """Its short rows; a known layout's name where it is one."""
        known = next((layout for layout in KNOWN_LAYOUTS if layout.rows == self.rows), None)
        return known or Layout(f"{len(self.rows)}x{len(self.rows[0])}-given", self.rows)

    @property
    def name(self) -> str:
        """As people write it, e.g. "3x4+1"."""
        return self.layout.with_strips(("",) * self.n_strips).name


def given_layout(name: str | None = None, leads: str | None = None) -> GivenLayout | None:
    """What a person says of a page: the name of its layout, its leads as they are printed, or both.

    Args:
        name: a shape of `SHAPES`, with "+" and the number of rhythm strips, and "-cabrera" behind it where
            limb leads are in Cabrera order, e.g. "3x4+1", "6x2-cabrera".
        leads: from left to right, "/" between rows, top to bottom, e.g. "I aVR V1 V4 / II aVL V2 V5 / III
            aVF V3 V6 / II"; single leads in the last rows are rhythm strips, where rows above have more.

    Returns:
        None where neither is given.

    Raises:
        ValueError: no such layout or lead, rows of different lengths, or a name that its leads contradict.
    """
    by_name = None if name is None else _layout_by_name(name)
    if leads is None:
        return by_name
    by_leads = _layout_by_leads(leads)
    if by_name is not None:
        shape = [len(row) for row in by_leads.rows], by_leads.n_strips
        if shape != ([len(row) for row in by_name.rows], by_name.n_strips):
            raise ValueError(f"leads must be those of {name}; got {by_leads.name}: {leads}")
    return by_leads


def _layout_by_name(name: str) -> GivenLayout:
    found = re.fullmatch(r"(.+?)(?:\+([0-9]))?(-cabrera)?", name.strip())
    shape, strips, cabrera = found.groups() if found else (name, None, None)
    if shape not in SHAPES:
        raise ValueError(f"layout must be one of {', '.join(SHAPES)}, with +1 to +3 strips; got {name!r}")
    n_strips = int(strips or 0)
    if n_strips > SHAPES[shape].strips_max:
        raise ValueError(f"layout {shape} has at most {SHAPES[shape].strips_max} rhythm strips; got {name!r}")
    return GivenLayout(make_layout(shape, cabrera=cabrera is not None).rows, n_strips)


def _layout_by_leads(leads: str) -> GivenLayout:
    names = {lead.upper(): lead for lead in LEADS} | {INVERTED_AVR.upper(): "aVR"}
    rows = []
    for text in leads.split("/"):
        words = text.replace(",", " ").split()
        unknown = [word for word in words if word.upper() not in names]
        if unknown or not words:
            raise ValueError(
                "leads must be names of the 12 leads, with / between rows; got "
                f"{' '.join(unknown) or 'an empty row'} in {leads!r}"
            )
        rows.append(tuple(names[word.upper()] for word in words))
    n_short = len(rows)
    while len(rows[0]) > 1 and n_short > 1 and len(rows[n_short - 1]) == 1:
        n_short -= 1
    short, strips = rows[:n_short], rows[n_short:]
    printed = [lead for row in short for lead in row]
    if len({len(row) for row in short}) > 1 or len(set(printed)) < len(printed):
        raise ValueError(f"rows must have as many leads each, and each lead once; got {leads!r}")
    return GivenLayout(tuple(short), len(strips), tuple(row[0] for row in strips))


def _plotted_layouts() -> tuple[Layout, ...]:
    shapes = (3, 4), (6, 2), (4, 3), (2, 6)
    along = [by_row(LEADS, n_columns) for _, n_columns in shapes]
    down = [by_column(LEADS, n_rows) for n_rows, _ in shapes]
    known = {layout.rows for layout in KNOWN_LAYOUTS}
    blocks = [block for block in (*along, *down) if block not in known]
    return tuple(Layout(f"{len(block)}x{len(block[0])}-named", block) for block in blocks)


PLOTTED_LAYOUTS: tuple[Layout, ...] = _plotted_layouts()
"""Layouts in orders that no cart prints but plotting programs do, such as 6x2 along its rows."""

INVERTED_AVR = "-aVR"
SPEED_WORDS: dict[str, float] = {"25 mm/s": 25.0, "50 mm/s": 50.0}
GAIN_WORDS: dict[str, float] = {"5 mm/mV": 5.0, "10 mm/mV": 10.0, "20 mm/mV": 20.0}


def stated_value(word: str, values: dict[str, float]) -> float | None:
    """The value that a word states in the unit of `SPEED_WORDS` or `GAIN_WORDS`; None of other words.

    The words network knows the usual values alone; a document's text layer states any.
    """
    number, _, unit = word.partition(" ")
    return float(number) if unit and unit == next(iter(values)).split()[-1] else None


WORDS: tuple[str, ...] = (*LEADS, INVERTED_AVR, *SPEED_WORDS, *GAIN_WORDS)
"""The words that are recognised on a page: label k + 1 of a label map is WORDS[k]."""
