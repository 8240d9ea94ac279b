"""The data that one stage of the method makes and later ones use.

In: nothing. Out: frozen data. `Box` is a part of an image; `RowTrace` a read row; `PanelBox`, `LeadPanel`,
`Candidate` and `PageLayout` give the places of leads on the canvas; `PrintedWord` is a word on the page;
`Window`, `PulsePlace`, `Columns`, `GridLines` and `TimeBase` are in page millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecg_hough.paper import CHEST_LEADS, GAIN_MM_MV, GRID_MINOR_MM, PAPER_SPEED_MM_S, Layout


class Box(NamedTuple):
    """A rectangle of pixels: first row and column, and those behind the last."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Box:
        """All of an image of this shape."""
        return cls(0, 0, shape[0], shape[1])

    @classmethod
    def around(cls, points: ArrayLike, shape: tuple[int, ...]) -> Box:
        """The smallest one that holds points (n, 2), row and column, within an image of this shape."""
        points = np.asarray(points, float)
        low = np.clip(np.floor(points.min(axis=0)), 0, shape[:2]).astype(int)
        high = np.clip(np.ceil(points.max(axis=0)) + 1, 0, shape[:2]).astype(int)
        return cls(int(low[0]), int(low[1]), int(high[0]), int(high[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def corners(self) -> NDArray[np.float64]:
        """(2, 2) row and column of its first and its last pixel."""
        return np.array([[self.top, self.left], [self.bottom - 1, self.right - 1]], float)

    def cut(self, image: NDArray) -> NDArray:
        """The image's part in it."""
        return image[self.top : self.bottom, self.left : self.right]

    def within(self, outer: Box) -> Box:
        """A box of the part of an image that `outer` cuts, as one of that image."""
        top, left = outer[:2]
        return Box(self.top + top, self.left + left, self.bottom + top, self.right + left)


@dataclass(frozen=True)
class RowTrace:
    """One row of traces as it was read.

    Attributes:
        row_index: row of the page, from the top.
        x_mm: (m,) place of every read-out along the page, evenly spaced, mm.
        y_mm: (m,) place down the page, mm, NaN where there is no trace.
        sd_mm: (m,) expected error (standard deviation) of y_mm, NaN likewise.
        presence: (m,) probability of a trace, 0 to 1.
        pen_mm: width of the stroke, NaN where unknown; bars: a raster printer drew it as vertical bars, whose
            ends are square.
        drawn: of a row that was read from a document's own paths, every path's vertices, (n, 2) x_mm and y_mm
            from left to right; the read-outs are interpolated between them.
        wrong: (m,) probability that a read-out lies on another row's ink (`traces.contested`); None where no
            row shares ink with another.
        spikes: number of pacing spikes that were drawn into the trace (`traces.spikes`).
    """

    row_index: int
    x_mm: NDArray[np.float64]
    y_mm: NDArray[np.float64]
    sd_mm: NDArray[np.float64]
    presence: NDArray[np.float64]
    pen_mm: float = np.nan
    bars: bool = False
    drawn: tuple[NDArray[np.float64], ...] = ()
    wrong: NDArray[np.float64] | None = None
    spikes: int = 0


@dataclass(frozen=True)
class RowName:
    """A name that is printed at a row: of a lead, the row's index, and its place along the page, mm."""

    name: str
    row_index: int
    x_mm: float


MARK_KINDS = ("start", "end", "separator", "pulse_left", "pulse_right")
"""Landmarks of a row: first sample of a panel, one sample behind its last, middle of a separator, upright
strokes of a calibration pulse."""


@dataclass(frozen=True)
class RowMark:
    """A landmark of a row, as the marks network sees it.

    Attributes:
        kind: one of `MARK_KINDS`; row_index: row of the page, from the top.
        x_mm: place along the page; probability: that it is one.
    """

    kind: str
    row_index: int
    x_mm: float
    probability: float


@dataclass(frozen=True)
class Window:
    """A panel on the page: lead, row, column, and its start and end along the page in mm."""

    lead: str
    row_index: int
    column_index: int
    rhythm: bool
    start_mm: float
    end_mm: float


@dataclass(frozen=True)
class PulsePlace:
    """Place of a page's calibration pulses, mm: their outer strokes, and their feet row by row.

    Attributes:
        left_mm, right_mm: middles of the pulses' left and right strokes, along the page.
        feet_mm: zero line of the rows that have a clear pulse, mm down the page.
        foot_sd_mm: expected error of these.
    """

    left_mm: float
    right_mm: float
    feet_mm: dict[int, float]
    foot_sd_mm: float = 0.05


@dataclass(frozen=True)
class Pulse:
    """One pulse in mm: its row, left stroke, width and height (middles of strokes), and quality 0 to 1.

    `foot_mm` is the middle of its foot's stroke down the page: the row's zero line; `step_mm` the height of
    its lower half where it steps down from one gain to another.
    """

    row_index: int
    x_mm: float
    width_mm: float
    height_mm: float
    quality: float
    foot_mm: float = float("nan")
    step_mm: float = float("nan")

    @property
    def top_mm(self) -> float:
        """Middle of its top's stroke, mm down the page."""
        return self.foot_mm - self.height_mm


@dataclass(frozen=True)
class Columns:
    """Panels whose rows were read, at their columns' common edges.

    Attributes:
        windows: the panels; starts_s: start of every column, s, where columns follow each other.
        duration_s: of the whole block.
        on_grid: the block begins on a line of the grid.
        apart: there are gaps between panels, each of which may have a grid of its own.
    """

    windows: tuple[Window, ...]
    starts_s: dict[int, float]
    duration_s: float
    on_grid: bool = False
    apart: bool = False

    @property
    def start_mm(self) -> float:
        """Where the first panels begin."""
        return min(window.start_mm for window in self.windows)

    @property
    def spans_mm(self) -> dict[int, tuple[float, float]]:
        """Where each column's short panels begin and end, mm along the page."""
        return {w.column_index: (w.start_mm, w.end_mm) for w in self.windows if not w.rhythm}

    def moved_to_lines(self, by_mm: dict[int, float]) -> Columns:
        """The same, all panels moved along the page, evenly, to begin on lines of the grid.

        Args:
            by_mm: distance from a column's start to its line, for every column with a line; for the first
                column only where one grid holds for the page.
        """
        even = np.polyfit(list(by_mm), list(by_mm.values()), min(1, len(by_mm) - 1))
        moved = []
        for w in self.windows:
            by = float(np.polyval(even, w.column_index))
            moved.append(replace(w, start_mm=w.start_mm + by, end_mm=w.end_mm + by))
        return replace(self, windows=tuple(moved), on_grid=True)

    def with_pitch(self, by_mm: float) -> Columns:
        """The same with wider columns, by `by_mm` each; the first one's start is unchanged."""
        moved = [
            replace(w, end_mm=w.end_mm + by_mm * len(self.starts_s))
            if w.rhythm
            else replace(
                w,
                start_mm=w.start_mm + by_mm * w.column_index,
                end_mm=w.end_mm + by_mm * (w.column_index + 1),
            )
            for w in self.windows
        ]
        width = max(w.end_mm for w in self.windows) - self.start_mm
        stretch = 1.0 + by_mm * len(self.starts_s) / width
        starts_s = {j: start * stretch for j, start in self.starts_s.items()}
        return replace(self, windows=tuple(moved), starts_s=starts_s, duration_s=self.duration_s * stretch)


@dataclass(frozen=True)
class PanelBox:
    """Place of one printed piece of one lead, in canvas pixels (pixel k's centre is at k).

    Attributes:
        lead: name as in `paper.LEADS`.
        row_index: row of traces on the page, from the top.
        column_index: column of the layout, from the left; 0 for rhythm strips and one-column layouts.
        rhythm: a full-width strip printed in addition to the short rows.
        start_col, end_col: half-open window in columns at the height of the row, sub-pixel; may lie
            outside the canvas when the page is cropped.
    """

    lead: str
    row_index: int
    column_index: int
    rhythm: bool
    start_col: float
    end_col: float


@dataclass(frozen=True)
class LeadPanel(PanelBox):
    """A panel and the trace in it.

    Attributes:
        path_rows: (cols,) coarse row of the trace for every canvas column, NaN where there is none.
        confidence: share of the panel's columns that hold trace of the expected class, 0 to 1.
    """

    path_rows: NDArray[np.float64]
    confidence: float


Panel = TypeVar("Panel", PanelBox, Window)


@dataclass(frozen=True)
class Candidate(Generic[Panel]):
    """A known layout that may be the page's.

    Attributes:
        layout: with its rhythm strips.
        panels: where they would be on this page: `PanelBox` on the canvas, or `Window` in page millimetres.
        evidence: log-likelihood gain of the leads network's classes over unnamed traces, nats per traced
            canvas column.
    """

    layout: Layout
    panels: tuple[Panel, ...]
    evidence: float


@dataclass(frozen=True)
class PageLayout:
    """Which lead is printed where on a page, by the leads network and the printed names.

    Attributes:
        panels: all that are on the page, from top to bottom, left to right.
        layout: the known layout that fits, or None.
        candidates: all known layouts, each placed on this page, likeliest first.
        loose: where no known layout fits, panels by each row's own evidence.
        score: log-likelihood gain of the best layout over unnamed leads, in nats; compares orientations
            of one page.
        agreement: share of the traced columns that carry the class expected there, 0 to 1.
        row_pitch: median distance of neighbouring rows in canvas pixels, NaN with one row.
        printed: names that are printed next to a row, as (lead, row_index); named: share of the panels that
            have theirs.
        warnings: what a person should check, in sentences.
        unplaced: (cols,) canvas row per canvas column of rows that have no panel, as a short strip below
            the others or a line of letters.
    """

    panels: tuple[LeadPanel, ...]
    layout: Layout | None
    score: float
    agreement: float
    row_pitch: float
    named: float = 0.0
    printed: frozenset[tuple[str, int]] = frozenset()
    warnings: tuple[str, ...] = ()
    candidates: tuple[Candidate[PanelBox], ...] = ()
    loose: tuple[PanelBox, ...] = ()
    unplaced: tuple[NDArray[np.float64], ...] = ()


@dataclass(frozen=True)
class PrintedWord:
    """A word found on the page.

    Attributes:
        word: one of `paper.WORDS`.
        row, col: its middle in px of the page, pixel centres.
        score: mean probability of its pixels, 0 to 1.
    """

    word: str
    row: float
    col: float
    score: float


LINE_MM = GRID_MINOR_MM
"""Lines of a grid of this spacing are looked for: those 5 mm apart are among them."""
ON_LINE_MM = 0.12
"""A place this near to a line is on it."""


@dataclass(frozen=True)
class GridLines:
    """One family of lines, `LINE_MM` apart.

    Attributes:
        phase_mm: place of one of them, 0 to `LINE_MM`.
        printed_off_mm: offset of the printed lines from their nominal places; several where the page does not
            show which, none where nothing shows that a program drew them.
        near_mm: a place this near to a line's nominal place is on it.
    """

    phase_mm: float
    printed_off_mm: tuple[float, ...]
    near_mm: float = ON_LINE_MM

    def shift_to(self, at_mm: float) -> float | None:
        """Distance from a place to the nominal place of the next line, mm; None where it is on no line."""
        shift = min(self.offsets(np.array([at_mm]))[:, 0].tolist(), key=abs, default=np.inf)
        return shift if abs(shift) <= self.near_mm else None

    def offsets(self, at_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m, n) mm from places (n,) to the nominal place of the next line, for all m of `printed_off_mm`."""
        off = self.phase_mm - np.array(self.printed_off_mm)[:, None] - at_mm
        out: NDArray[np.float64] = off - LINE_MM * np.round(off / LINE_MM)
        return out


@dataclass(frozen=True)
class TimeBase:
    """Panels at their columns' edges, and what a millimetre of the page map is in time and in voltage.

    Attributes:
        columns: panels at common edges; layout: the known layout, if any.
        mm_per_s, mm_per_mv: millimetres of the page map per second and millivolt. On a guessed map, or where
            traces are drawn longer than by the grid, they differ from paper speed and gain.
        chest_share: gain of V1 to V6 over that of the limb leads.
        order: "sequential", "simultaneous" or "one", see `signals.column_order`, and its probability.
        pulse: place of the calibration pulses; None without any.
        lines: the grid's lines down the page, if they are seen.
        names_mm: by row, place down the page of a name that is printed at one distance from all zero lines.
        margin: log odds of the columns, by the rows' landmarks, to any that begin 20 ms or more off; NaN
            without landmarks.
        warnings: what a person should check; notes: what was assumed; in sentences.
    """

    columns: Columns
    layout: Layout | None
    mm_per_s: float = PAPER_SPEED_MM_S
    mm_per_mv: float = GAIN_MM_MV
    chest_share: float = 1.0
    order: str = "sequential"
    order_probability: float = 1.0
    pulse: PulsePlace | None = None
    lines: GridLines | None = None
    margin: float = np.nan
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    names_mm: dict[int, float] = field(default_factory=dict)

    def mm_per_mv_of(self, lead: str) -> float:
        """Millimetres of the page map per millivolt of a lead."""
        return self.mm_per_mv * (self.chest_share if lead in CHEST_LEADS else 1.0)

    @property
    def simultaneous(self) -> bool:
        """Whether all columns show the same seconds."""
        return self.order == "simultaneous"


Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""


@dataclass(frozen=True)
class DrawnPath:
    """One stroke of a document's page, as its program drew it.

    Attributes:
        points: (n, 2) row and column of its vertices, px of the page's picture, in the order of drawing.
        colour: of the stroke; width_px: its width.
        closed: whether it returns to its start.
    """

    points: NDArray[np.float64]
    colour: Colour
    width_px: float
    closed: bool = False


@dataclass(frozen=True)
class TextWord:
    """A word of a document's text layer.

    Attributes:
        text: as stored; it may differ from what is seen.
        row, col: its middle, px of the page's picture; height_px, width_px: its size, along its own line.
        turns: clockwise quarter turns of its line: 0 reads from left to right, 1 downwards.
    """

    text: str
    row: float
    col: float
    height_px: float
    width_px: float
    turns: int = 0


@dataclass(frozen=True)
class Drawing:
    """What a document's page consists of besides pictures: strokes and words.

    Attributes:
        paths, words: in the order of drawing.
        px_per_mm: of the page's picture, down and across, if the page is printed at its nominal size.
        unread: why the strokes are not all here; None where they are.
    """

    paths: tuple[DrawnPath, ...]
    words: tuple[TextWord, ...]
    px_per_mm: tuple[float, float]
    unread: str | None = None

    @property
    def scale(self) -> float:
        """Mean px per mm."""
        return 0.5 * (self.px_per_mm[0] + self.px_per_mm[1])

    def turned(self, turns: int, shape: tuple[int, ...]) -> Drawing:
        """The same on the picture of `shape` after `turns` clockwise quarter turns."""
        paths = tuple(replace(path, points=turned(path.points, turns, shape)) for path in self.paths)
        words = []
        for word in self.words:
            row, col = turned(np.array([[word.row, word.col]]), turns, shape)[0].tolist()
            words.append(replace(word, row=row, col=col, turns=(word.turns + turns) % 4))
        px_per_mm = self.px_per_mm[::-1] if turns % 2 else self.px_per_mm
        return replace(self, paths=paths, words=tuple(words), px_per_mm=px_per_mm)


def turned(points: NDArray[np.float64], turns: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(n, 2) px of a picture of `shape` -> px of it after `turns` clockwise quarter turns."""
    height, width = shape[:2]
    r, c = points.T
    for _ in range(turns % 4):
        r, c = c, height - 1 - r
        height, width = width, height
    return np.column_stack([r, c])
