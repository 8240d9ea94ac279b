"""The kinds of correction as typed data, and what a log of them asks for.

In: what a browser sends, and a page's log. Out: frozen corrections, and `Wishes`: all of a log that holds,
with undo and redo applied. Places are row and column in px of the picture as given, so that they survive
another reading of the page. Nothing is computed from pixels here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar

from ecg_hough.clinical import QUANTITIES
from ecg_hough.elements import Box
from ecg_hough.paper import LEADS, given_layout

Point = tuple[float, float]
"""Row and column, px of the picture as given."""
NO_LEAD = ""
"""In place of a name: the panel shows none of the leads."""
SCALES = {"mm_s": (5.0, 200.0), "mm_mv": (1.0, 100.0), "px_per_mm": (0.5, 200.0)}
"""Paper speeds, gains and grid pitches that a person may give."""
NUDGE_MAX_MM = 30.0
GROUPS = ("limb", "chest", "all")
"""Leads that carts draw at a gain of their own."""
HEADER_TEXTS = ("id", "name", "birth_date", "sex", "recorded", "device", "filter")
"""Words of a header; its numbers are `QUANTITIES` of the whole record."""
HEADER_NUMBERS = tuple(name for name, one in QUANTITIES.items() if one.unit != "mV")
TEXT_MAX = 500


@dataclass(frozen=True)
class Correction:
    """What a person changes; every kind is a subclass with a name."""

    kind: ClassVar[str] = ""

    @property
    def what(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Names(Correction):
    """Leads of panels, by "row.column"; `NO_LEAD` where a panel shows none."""

    kind: ClassVar[str] = "names"
    names: dict[str, str]

    def __post_init__(self) -> None:
        _check(bool(self.names), "names must have at least one panel")
        for key, lead in self.names.items():
            panel_of(key)
            _check(lead in (*LEADS, NO_LEAD), f"a lead must be of {', '.join(LEADS)}; got {lead!r}")


@dataclass(frozen=True)
class LayoutGiven(Correction):
    """The arrangement, as `paper.given_layout` takes it."""

    kind: ClassVar[str] = "layout"
    layout: str | None = None
    leads: str | None = None

    def __post_init__(self) -> None:
        _check(given_layout(self.layout, self.leads) is not None, "a layout, or its leads, must be given")


@dataclass(frozen=True)
class Edge(Correction):
    """Where a column begins; the number behind the last column's is where that ends."""

    kind: ClassVar[str] = "edge"
    column: int
    at: Point

    def __post_init__(self) -> None:
        _check(0 <= self.column <= len(LEADS), f"a column must be 0 to {len(LEADS)}; got {self.column}")


@dataclass(frozen=True)
class Speed(Correction):
    """Paper speed, mm/s."""

    kind: ClassVar[str] = "speed"
    mm_s: float

    def __post_init__(self) -> None:
        _within("mm_s", self.mm_s)


@dataclass(frozen=True)
class Gain(Correction):
    """Gain of a group of leads, mm/mV."""

    kind: ClassVar[str] = "gain"
    mm_mv: float
    group: str = "all"

    def __post_init__(self) -> None:
        _within("mm_mv", self.mm_mv)
        _check(self.group in GROUPS, f"a group must be of {', '.join(GROUPS)}; got {self.group!r}")


@dataclass(frozen=True)
class Pitch(Correction):
    """Pixels of the picture per printed millimetre, down and across the page."""

    kind: ClassVar[str] = "pitch"
    down: float
    across: float

    def __post_init__(self) -> None:
        _within("px_per_mm", self.down)
        _within("px_per_mm", self.across)


@dataclass(frozen=True)
class Zero(Correction):
    """How far down the page, mm, the zero line of a panel is from where the machine found it."""

    kind: ClassVar[str] = "zero"
    panel: str
    down_mm: float

    def __post_init__(self) -> None:
        panel_of(self.panel)
        _check(abs(self.down_mm) <= NUDGE_MAX_MM, f"a zero line may move by {NUDGE_MAX_MM:g} mm")


@dataclass(frozen=True)
class TraceCorrection(Correction):
    """A correction of a row's trace."""

    row: int


@dataclass(frozen=True)
class Redraw(TraceCorrection):
    """A row's trace between the ends of a stroke: found in the ink, or as it is drawn without `snap`."""

    kind: ClassVar[str] = "redraw"
    stroke: tuple[Point, ...]
    snap: bool = True

    def __post_init__(self) -> None:
        _check(2 <= len(self.stroke) <= 2000, f"a stroke must have 2 to 2000 points; got {len(self.stroke)}")


@dataclass(frozen=True)
class _Stretch(TraceCorrection):
    """A row's trace between two places."""

    ends: tuple[Point, Point]


@dataclass(frozen=True)
class Nudge(_Stretch):
    """The trace moved, mm down and to the right."""

    kind: ClassVar[str] = "nudge"
    down_mm: float = 0.0
    right_mm: float = 0.0

    def __post_init__(self) -> None:
        far = max(abs(self.down_mm), abs(self.right_mm))
        _check(0 < far <= NUDGE_MAX_MM, f"a nudge must be over 0 and up to {NUDGE_MAX_MM:g} mm; got {far:g}")


@dataclass(frozen=True)
class Unreadable(_Stretch):
    """Nothing can be read there."""

    kind: ClassVar[str] = "unreadable"


@dataclass(frozen=True)
class Restore(_Stretch):
    """The trace as the machine read it."""

    kind: ClassVar[str] = "restore"


@dataclass(frozen=True)
class Reread(Correction):
    """The page read again in a part of the picture, turned clockwise; () is all of it.

    Corrections of names, columns, zero lines and traces before it no longer hold.
    """

    kind: ClassVar[str] = "reread"
    box: tuple[int, ...] = ()
    turns: int = 0

    def __post_init__(self) -> None:
        _check(0 <= self.turns <= 3, f"turns must be 0 to 3; got {self.turns}")
        whole = not self.box
        _check(
            whole or (len(self.box) == 4 and self.box[0] < self.box[2] and self.box[1] < self.box[3]),
            f"a box must be top, left, bottom and right; got {list(self.box)}",
        )


@dataclass(frozen=True)
class HeaderValues(Correction):
    """Words and numbers of the header by name; None empties one."""

    kind: ClassVar[str] = "header"
    values: dict[str, str | float | None]

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            if name in HEADER_TEXTS:
                fits = value is None or (isinstance(value, str) and len(value) <= TEXT_MAX)
                _check(fits, f"{name} must be a text of at most {TEXT_MAX} characters")
                _check(name != "sex" or value in (None, "F", "M", "O"), f"sex must be F, M or O; got {value}")
            else:
                known = ", ".join((*HEADER_TEXTS, *HEADER_NUMBERS))
                _check(name in HEADER_NUMBERS, f"a header has {known}; got {name!r}")
                _check_quantity(name, value)


@dataclass(frozen=True)
class Undo(Correction):
    """The last correction that holds no longer does."""

    kind: ClassVar[str] = "undo"


@dataclass(frozen=True)
class Redo(Correction):
    """The last correction that was undone holds again."""

    kind: ClassVar[str] = "redo"


KINDS: dict[str, type[Correction]] = {
    one.kind: one
    for one in (
        Names, LayoutGiven, Edge, Speed, Gain, Pitch, Zero, Redraw, Nudge, Unreadable, Restore, Reread,
        HeaderValues, Undo, Redo,
    )
}  # fmt: skip
"""Every kind of correction by its name."""


def correction_of(kind: str, what: Mapping[str, Any]) -> Correction:
    """A correction from what a browser sent or the log kept.

    Raises:
        ValueError: no such kind, or values that do not fit it.
    """
    made_by = KINDS.get(kind)
    if made_by is None:
        raise ValueError(f"a correction must be of {', '.join(KINDS)}; got {kind!r}")
    known = {one.name for one in fields(made_by)}
    if unknown := sorted(map(str, set(what) - known)):
        raise ValueError(f"{kind} has {', '.join(sorted(known)) or 'no values'}; got {', '.join(unknown)}")
    try:
        return made_by(**{name: _typed(name, value) for name, value in what.items()})
    except TypeError as error:
        raise ValueError(f"{kind} must have {', '.join(sorted(known))}: {error}") from error


def _typed(name: str, value: Any) -> Any:
    """A value of JSON as the corrections' fields hold it."""
    if name == "snap":
        _check(isinstance(value, bool), f"{name} must be true or false; got {value!r}")
        return value
    if name in ("stroke", "ends"):
        return tuple(_point(one) for one in _list(name, value))
    if name == "at":
        return _point(value)
    if name == "box":
        return tuple(int(_number(name, one)) for one in _list(name, value))
    if name in ("row", "column", "turns"):
        number = _number(name, value)
        _check(number == int(number), f"{name} must be whole; got {value}")
        return int(number)
    if name in ("mm_s", "mm_mv", "down", "across", "down_mm", "right_mm"):
        return _number(name, value)
    if name in ("names", "values"):
        _check(isinstance(value, dict), f"{name} must be an object; got {value!r}")
        return {str(key): one for key, one in value.items()}
    _check(value is None or isinstance(value, str), f"{name} must be a text; got {value!r}")
    return value


def _list(name: str, value: Any) -> Iterable[Any]:
    _check(isinstance(value, list | tuple), f"{name} must be a list; got {value!r}")
    return value


def _point(value: Any) -> Point:
    row, col = (
        _list("a place", value) if isinstance(value, list | tuple) and len(value) == 2 else (None, None)
    )
    return _number("a row", row), _number("a column", col)


def _number(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    _check(is_number, f"{name} must be a number; got {value!r}")
    return float(value)


def _within(name: str, value: float) -> None:
    low, high = SCALES[name]
    _check(low <= value <= high, f"{name} must be {low:g} to {high:g}; got {value:g}")


def _check_quantity(name: str, value: Any) -> None:
    if value is None:
        return
    low, high = QUANTITIES[name].low, QUANTITIES[name].high
    number = _number(name, value)
    _check(
        low <= number <= high, f"{name} must be {low:g} to {high:g} {QUANTITIES[name].unit}; got {number:g}"
    )


def _check(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(rule)


def panel_of(key: str) -> tuple[int, int]:
    """Row and column of a panel, from "row.column".

    Raises:
        ValueError: it is none.
    """
    row, dot, column = str(key).partition(".")
    _check(bool(dot) and row.isdigit() and column.isdigit(), f"a panel must be ROW.COLUMN; got {key!r}")
    return int(row), int(column)


@dataclass(frozen=True)
class Entry:
    """One line of a page's log.

    Attributes:
        version: its number, 1 the first; who: made it; at: ISO time, UTC.
        correction: what was asked for.
        before: what was there; after: what came of it, such as the places of a trace in the ink.
        number: of the page of the file that it concerns; None of all pages of the record.
    """

    version: int
    who: str
    at: str
    correction: Correction
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    number: int | None = None


def in_force(log: Iterable[Entry]) -> tuple[Entry, ...]:
    """Entries of a log that hold: without those that were undone, and without undo and redo."""
    return _stacks(log)[0]


def undone(log: Iterable[Entry]) -> tuple[Entry, ...]:
    """Entries that a redo would bring back, the next one last."""
    return _stacks(log)[1]


def of_page(log: Iterable[Entry], number: int) -> tuple[Entry, ...]:
    """Entries of a log that hold and concern a page."""
    return tuple(entry for entry in in_force(log) if entry.number in (None, number))


def _stacks(log: Iterable[Entry]) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    done: list[Entry] = []
    back: list[Entry] = []
    for entry in log:
        if isinstance(entry.correction, Undo):
            if done:
                back.append(done.pop())
        elif isinstance(entry.correction, Redo):
            if back:
                done.append(back.pop())
        else:
            done.append(entry)
            back.clear()
    return tuple(done), tuple(back)


@dataclass(frozen=True)
class Wishes:
    """What a log asks for in all.

    Attributes:
        part: the part of the picture that is read, and its clockwise quarter turns.
        layout: the arrangement; names: leads by row and column of a panel.
        edges: places by column; zeros_mm: by row and column.
        speed_mm_s, limb_mm_mv, chest_mm_mv: paper speed and gains; None as read.
        pitch: px per mm, down and across; None as read.
        traces: entries of `TraceCorrection`s, in their order.
        header: words and numbers by name.
        people: who corrected, in the order of their first correction.
        everywhere: a correction touches all leads.
    """

    part: Reread = Reread()
    layout: LayoutGiven | None = None
    names: dict[tuple[int, int], str] = field(default_factory=dict)
    edges: dict[int, Point] = field(default_factory=dict)
    zeros_mm: dict[tuple[int, int], float] = field(default_factory=dict)
    speed_mm_s: float | None = None
    limb_mm_mv: float | None = None
    chest_mm_mv: float | None = None
    pitch: Pitch | None = None
    traces: tuple[Entry, ...] = ()
    header: dict[str, str | float | None] = field(default_factory=dict)
    people: tuple[str, ...] = ()
    everywhere: bool = False

    @property
    def box(self) -> Box | None:
        """The part of the picture; None: all of it."""
        return Box(*self.part.box) if self.part.box else None


def wishes_of(log: Iterable[Entry]) -> Wishes:
    """What a log asks for."""
    wishes = Wishes()
    for entry in in_force(log):
        wishes = _with(wishes, entry)
        wishes = replace(wishes, people=tuple(dict.fromkeys((*wishes.people, entry.who))))
    return wishes


def _with(wishes: Wishes, entry: Entry) -> Wishes:
    """The wishes after one more entry."""
    one = entry.correction
    match one:
        case Reread():
            new = Wishes(
                part=one, speed_mm_s=wishes.speed_mm_s, limb_mm_mv=wishes.limb_mm_mv,
                chest_mm_mv=wishes.chest_mm_mv, header=wishes.header, people=wishes.people,
            )  # fmt: skip
            return replace(new, everywhere=True)
        case LayoutGiven():
            return replace(wishes, layout=one, names={}, edges={}, everywhere=True)
        case Names():
            return replace(wishes, names=wishes.names | {panel_of(k): v for k, v in one.names.items()})
        case Edge():
            return replace(wishes, edges=wishes.edges | {one.column: one.at}, everywhere=True)
        case Speed():
            return replace(wishes, speed_mm_s=one.mm_s, everywhere=True)
        case Gain():
            limb = one.mm_mv if one.group != "chest" else wishes.limb_mm_mv
            chest = one.mm_mv if one.group != "limb" else wishes.chest_mm_mv
            return replace(wishes, limb_mm_mv=limb, chest_mm_mv=chest)
        case Pitch():
            return replace(wishes, pitch=one, everywhere=True)
        case Zero():
            return replace(wishes, zeros_mm=wishes.zeros_mm | {panel_of(one.panel): one.down_mm})
        case HeaderValues():
            return replace(wishes, header=wishes.header | one.values)
        case TraceCorrection():
            return replace(wishes, traces=(*wishes.traces, entry))
    raise ValueError(f"no such correction: {one.kind}")
