"""A page as the machine reads it, with all that corrections need of the way there.

In: a page's picture, and how it was read. Out: `Reading`, which gives the stages' results for any part of the
picture, layout and paper speed. Each is computed once and kept, so that a correction computes only what it
touches.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ecg_hough.cores import one_blas_thread
from ecg_hough.elements import Box
from ecg_hough.errors import PageError
from ecg_hough.image.reading import Picture
from ecg_hough.layout.find_page import find_page
from ecg_hough.output.ecg import Ecg
from ecg_hough.review.corrections import LayoutGiven, Reread
from ecg_hough.review.places import Found, How, Placed
from ecg_hough.signals.choose_layout import choose_layout
from ecg_hough.signals.scale import find_scale
from ecg_hough.signals.time_base import find_time_base
from ecg_hough.traces.read import read_rows
from ecg_hough.vectors.page import find_drawn_page

KEPT = 4
"""Results of one stage that are kept: of the last corrections and of what undo goes back to."""
Result = TypeVar("Result")


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
        given = how.given_layout(layout)
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
