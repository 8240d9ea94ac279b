"""A page as it was read: where it is in its picture, its layout, scale and time, and how it was read.

In: results of the stages. Out: `Found` and `Placed`, which corrections start from, and `PageReading`: what
gives them for a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Box, TimeBase, turned
from ecg_hough.image.reading import Picture
from ecg_hough.layout.sheet import Sheet
from ecg_hough.options import READOUTS, Options
from ecg_hough.output.ecg import Ecg
from ecg_hough.page_map import turn_back
from ecg_hough.paper import FS_HZ, GivenLayout, given_layout
from ecg_hough.review.corrections import LayoutGiven, Reread
from ecg_hough.signals.choose_layout import ChosenLayout
from ecg_hough.signals.scale import PaperScale
from ecg_hough.traces.rows import Rows


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

    def given_layout(self, said: LayoutGiven | None) -> GivenLayout | None:
        """The arrangement that a person says now, or else said before the page was read."""
        return self.given if said is None else given_layout(said.layout, said.leads)

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


class PageReading(Protocol):
    """A page, its record as written, and the stages' results for any part of its picture.

    Attributes:
        picture: its pixels; how: it was read.
        saved: the record that was written for it; None of a page that has none.
        own_warnings: what the stages warn of without corrections, as soon as it is known.
    """

    picture: Picture
    how: How
    saved: Ecg | None
    own_warnings: tuple[str, ...] | None

    def found(self, part: Reread) -> Found:
        """The page in a part of the picture; PageError where it shows no leads."""

    def placed(self, part: Reread, layout: LayoutGiven | None, speed_mm_s: float | None) -> Placed:
        """Layout, scale and time base there; PageError where the page cannot have that layout."""
