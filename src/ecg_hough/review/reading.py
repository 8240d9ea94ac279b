"""A page as the machine reads it, with all that corrections need of the way there.

In: a page's picture, and how it was read. Out: `Reading`, which gives the stages' results for any part of the
picture, layout and paper speed. Each is computed once and kept, so that a correction computes only what it
touches.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ecg_hough.cores import one_blas_thread
from ecg_hough.elements import Box, TimeBase, turned
from ecg_hough.errors import PageError
from ecg_hough.image.reading import Picture, read_page
from ecg_hough.layout.find_page import find_page
from ecg_hough.layout.sheet import Sheet
from ecg_hough.networks.runtime import use_weights
from ecg_hough.options import READOUTS, Options
from ecg_hough.output.ecg import Ecg
from ecg_hough.page_map import turn_back
from ecg_hough.paper import FS_HZ, GivenLayout, given_layout
from ecg_hough.review.corrections import LayoutGiven, Reread
from ecg_hough.signals.choose_layout import ChosenLayout, choose_layout
from ecg_hough.signals.scale import PaperScale, find_scale
from ecg_hough.signals.time_base import find_time_base
from ecg_hough.traces.read import read_rows
from ecg_hough.traces.rows import Rows
from ecg_hough.vectors.page import find_drawn_page

KEPT = 4
"""Results of one stage that are kept: of the last corrections and of what undo goes back to."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Found:
    """The page in a part of its picture, and its rows as they were read.

    Attributes:
        part: of the picture; turns: clockwise quarter turns of it before it was read.
        sheet, rows: what was read.
    """

    part: Box
    turns: int
    sheet: Sheet
    rows: Rows

    def to_mm(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) row and column in px of the whole picture -> y and x in page mm."""
        points = turned(points - self.part[:2], self.turns, self.part.shape)
        points = turned(points - self.sheet.part[:2], self.sheet.turns, self.sheet.part.shape)
        return np.column_stack(self.sheet.page_map.to_mm(points[:, 0], points[:, 1]))

    def to_px(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) y and x in page mm -> row and column in px of the whole picture; NaN stays NaN."""
        known = np.isfinite(points_mm).all(axis=1)
        rows, cols = self.sheet.page_map.to_pixels(*np.nan_to_num(points_mm).T)
        points = self.on_picture(
            turn_back(np.column_stack([rows, cols]), self.sheet.turns, self.sheet.part.shape)
            + self.sheet.part[:2]
        )
        points[~known] = np.nan
        return points

    def on_picture(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) px of the part, turned, that was read -> px of the whole picture."""
        return turn_back(points, self.turns, self.part.shape) + np.array(self.part[:2], float)


@dataclass(frozen=True)
class Placed:
    """Layout, scale and time base of a page."""

    chosen: ChosenLayout
    scale: PaperScale
    base: TimeBase


@dataclass(frozen=True)
class How:
    """How a page was read, by its record's request.

    Attributes:
        fs: Hz; speed_mm_s, gain_mm_mv: as given; given: layout and leads, as given.
        options: steps of the method.
        weights: folder of networks in place of the shipped ones.
    """

    fs: int = FS_HZ
    speed_mm_s: float | None = None
    gain_mm_mv: float | None = None
    given: GivenLayout | None = None
    options: Options = READOUTS["trace"]
    weights: Path | None = None

    @classmethod
    def of(cls, request: dict[str, Any], saved: Ecg | None = None) -> How:
        """Of the options in a record's request, and of the record: a printed heart rate may have decided its
        paper speed."""
        speed, weights = request.get("speed_mm_s"), request.get("weights")
        if saved is not None and saved.speed_from == "heart rate":
            speed = saved.speed_mm_s
        return cls(
            fs=int(request.get("fs", FS_HZ)),
            speed_mm_s=speed,
            gain_mm_mv=request.get("gain_mm_mv"),
            given=given_layout(request.get("layout"), request.get("leads")),
            options=READOUTS[request.get("readout", "trace")],
            weights=None if weights is None else Path(weights),
        )


@dataclass
class Reading:
    """One page, read as far as it was asked for.

    Attributes:
        picture: its pixels; how: it was read.
        saved: the record that was written for it; None of a page that has none.
        own_warnings: what the stages warn of without corrections, as soon as it is known.
    """

    picture: Picture
    how: How = field(default_factory=How)
    saved: Ecg | None = None
    own_warnings: tuple[str, ...] | None = None
    _kept: dict[str, dict[Hashable, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, path: Path, number: int = 1, how: How | None = None, saved: Ecg | None = None) -> Reading:
        """Of a page of a file.

        Raises:
            PageError: the page cannot be read.
        """
        return cls(read_page(path, number), how or How(), saved)

    def found(self, part: Reread) -> Found:
        """The page in a part of the picture.

        Raises:
            PageError: it shows no leads.
        """
        return self._once("found", part, lambda: self._find(part))

    def placed(self, part: Reread, layout: LayoutGiven | None, speed_mm_s: float | None) -> Placed:
        """Layout, scale and time base there.

        Raises:
            PageError: the page cannot have that layout.
        """
        key = (part, layout, speed_mm_s)
        return self._once("placed", key, lambda: self._place(part, layout, speed_mm_s))

    def _find(self, part: Reread) -> Found:
        use_weights(self.how.weights)
        whole = Box.of(self.picture.image.shape)
        low, high = (part.box[:2], part.box[2:]) if part.box else (whole[:2], whole[2:])
        box = Box(*np.clip([*low, *high], 0, [*whole[2:], *whole[2:]]).tolist())
        with one_blas_thread():
            if part == Reread() and self.how.options.paths:
                drawn, _ = find_drawn_page(self.picture)
                if drawn is not None:
                    return Found(whole, 0, drawn.sheet, drawn.rows)
            image = np.ascontiguousarray(np.rot90(box.cut(self.picture.image), -part.turns))
            sheet = find_page(image)
            return Found(box, part.turns, sheet, read_rows(sheet, self.how.options))

    def _place(self, part: Reread, layout: LayoutGiven | None, speed_mm_s: float | None) -> Placed:
        found, how = self.found(part), self.how
        given = how.given if layout is None else given_layout(layout.layout, layout.leads)
        speed = how.speed_mm_s if speed_mm_s is None else speed_mm_s
        with one_blas_thread():
            chosen = choose_layout(found.sheet, found.rows, given)
            scale = find_scale(found.sheet, found.rows, chosen.windows, given=(speed, how.gain_mm_mv))
            base = find_time_base(found.sheet, found.rows, chosen, scale, how.options)
        return Placed(chosen, scale, base)

    def _once(self, stage: str, key: Hashable, compute: Callable[[], Result]) -> Result:
        """A stage's result, computed where it is not kept. That a page cannot be read is a result, too."""
        kept = self._kept.setdefault(stage, {})
        if key not in kept:
            try:
                result: Result | PageError = compute()
            except PageError as error:
                result = error
            while len(kept) >= KEPT:
                del kept[next(iter(kept))]
            kept[key] = result
        if isinstance(kept[key], PageError):
            raise kept[key]
        return kept[key]
