"""Where the page is in a picture, which way up, how many pixels a millimetre has, and what it shows.

In: the picture's pixels. Out: `Sheet`. Lines of the grid and words are found at the scale of a page that
fills its picture, and the grain of wood looks like traces. So a small page is looked at once more in the part
of the picture that shows its traces; where no clear traces are seen, on the sheet of paper in the picture.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.cores import Clock
from ecg_hough.elements import Box
from ecg_hough.errors import PageError
from ecg_hough.geometry.page_geometry import PageGeometry, find_geometry
from ecg_hough.geometry.sheet_edges import find_sheet
from ecg_hough.image.frames import Framed, find_frames, left_sides, without_frames
from ecg_hough.image.reading import MIN_SIDE_PX
from ecg_hough.layout.guessed_map import map_without_grid
from ecg_hough.layout.sheet import Sheet
from ecg_hough.layout.view import (
    SHOWN_MIN,
    FoundLeads,
    find_leads,
    is_small,
    scale_of_words,
    with_words_at,
)
from ecg_hough.layout.windows import block_mm

logger = logging.getLogger(__name__)

SEEN_SHARE = 0.6
"""Evidence that a part of the picture must show of that of the whole, or leads were cut off."""
CLEARER, SHEET_SHARE = 1.5, 0.04
"""Where the picture shows less evidence than `SHOWN_MIN`, a sheet of paper is looked for in it: it must show
so many times as much, and take at least this share of the picture."""
WORDS_OFF = 1.5
"""Times that words are drawn too large or small from which they are read again; the network knows 20 %."""


@dataclass(frozen=True)
class _Look:
    """A part of a picture taken for the page: its geometry, and its leads or why there are none."""

    part: Box
    image: NDArray[np.uint8]
    geometry: PageGeometry
    found: FoundLeads | PageError

    @property
    def leads(self) -> FoundLeads:
        if isinstance(self.found, PageError):
            raise self.found
        return self.found

    @property
    def coherence(self) -> float:
        return self.found.coherence if isinstance(self.found, FoundLeads) else 0.0


def find_page(picture: NDArray[np.uint8], clock: Clock | None = None) -> Sheet:
    """Find the page in a picture, with its geometry, leads and words.

    Args:
        picture: (rows, cols, 3) uint8.
        clock: takes the time of "geometry" and "leads".
    Raises:
        PageError: no part of the picture shows leads.
    """
    clock = clock or Clock()
    framed = find_frames(picture)
    look = _closest_look(without_frames(framed), framed, clock)
    found = look.leads
    image = np.ascontiguousarray(np.rot90(look.image, -found.turns))
    geometry = look.geometry.turned(found.turns, look.image.shape)
    if geometry.ambiguous and geometry.page_map is not None:
        known = geometry.with_block(block_mm(found.layout, found.canvas, geometry.page_map))
        if known is not geometry:
            geometry = known
            with clock("leads"):
                found = find_leads(image, geometry.angle_deg, geometry.scale, geometry.page_map)
    page_map = geometry.page_map
    if page_map is None or not geometry.grid_found:
        page_map = map_without_grid(geometry, found.canvas, found.layout, image.shape[:2])
        scale, read_at = float(np.mean(page_map.px_per_mm)), scale_of_words(image.shape, geometry.scale)
        if max(scale / read_at, read_at / scale) > WORDS_OFF:
            # A column of plots is far longer than a usual page: its words were read too small.
            logger.debug("words were read at %.1f px per mm; again at %.1f", read_at, scale)
            with clock("leads"):
                found = with_words_at(found, image, geometry.angle_deg, scale)
    sides = left_sides(framed.cut(look.part)) if not look.leads.turns else []
    return Sheet(
        turns=look.leads.turns,
        part=look.part,
        image=image,
        geometry=geometry,
        page_map=page_map,
        canvas=found.canvas,
        probabilities=found.probabilities,
        layout=found.layout,
        words=found.words,
        sides_mm=tuple(float(page_map.to_mm(*side)[1]) for side in sides),
        warnings=(*geometry.warnings, *found.layout.warnings),
    )


def _closest_look(picture: NDArray[np.uint8], framed: Framed, clock: Clock) -> _Look:
    """The part of the picture that the page takes. A part without a grid is no page where the whole has one.

    Args:
        picture: (rows, cols, 3); framed: the same with the frames round its panels.
    """
    page = _look_at(picture, framed, Box.of(picture.shape), clock)
    while (smaller := _smaller(page)) is not None:
        again = _look_at(picture, framed, smaller, clock)
        clear = page.coherence >= SHOWN_MIN
        least = SEEN_SHARE * page.coherence if clear else max(SHOWN_MIN, CLEARER * page.coherence)
        lost_grid = page.geometry.grid_found and not again.geometry.grid_found
        logger.debug(
            "a part of the picture, %s: layout evidence %.2f, at least %.2f needed; grid %s",
            tuple(smaller), again.coherence, least, "lost" if lost_grid else "kept",
        )  # fmt: skip
        if lost_grid or again.coherence < least:
            break
        page = again
    return page


def _look_at(picture: NDArray[np.uint8], framed: Framed, part: Box, clock: Clock) -> _Look:
    image = part.cut(picture)
    with clock("geometry"):
        geometry = find_geometry(image, framed.cut(part))
    with clock("leads"):
        look = _Look(part, image, geometry, _leads_or_error(image, geometry))
        if look.coherence < SHOWN_MIN and geometry.method == "hough-only" and geometry.angle_deg:
            # Creases are straight lines as well; most pages are scanned upright.
            upright = replace(geometry, angle_deg=0.0)
            turned_back = _Look(part, image, upright, _leads_or_error(image, upright))
            look = max(look, turned_back, key=lambda seen: seen.coherence)
    return look


def _leads_or_error(image: NDArray[np.uint8], geometry: PageGeometry) -> FoundLeads | PageError:
    try:
        return find_leads(image, geometry.angle_deg, geometry.scale, geometry.page_map)
    except PageError as error:
        return error


def _smaller(look: _Look) -> Box | None:
    """A part of a page's picture that seems to be all there is of the page."""
    box = look.found.part if isinstance(look.found, FoundLeads) else None
    if box is None and look.coherence < SHOWN_MIN:
        outline = find_sheet(look.image, SHEET_SHARE)
        box = outline.box if outline is not None and is_small(outline.box, look.image) else None
    return box.within(look.part) if box is not None and min(box.shape) >= MIN_SIDE_PX else None
