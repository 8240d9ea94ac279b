"""Frames that plotting programs draw round panels, taken off the page.

In: the page's pixels. Out: the same without the frames. A frame's sides are as black and thin as a trace, and
the networks, which know the paper of carts, follow them. They are told from traces by their corners: two
level lines of one extent and, at both of their ends, upright ones from one to the other.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Box
from ecg_hough.image.colours import lightest_of
from ecg_hough.numeric import runs

SEARCH_SIDE_PX = 1600
"""Longer side of the copy in which frames are looked for."""
DARK_SHARE = 0.3
"""A frame is darker than its surroundings by this share of them, in its lightest colour: grids have one."""
SURROUNDINGS_PX = 41
LEVEL_SHARE, UPRIGHT_PX = 0.08, 20
"""Least length of level lines, which is the least width of a panel, in parts of the page's width, and of
upright ones."""
SLACK_PX = 2
"""How far a side may stand off where its neighbours end, and wander over its length."""
SIDE_FILLED = 0.9
"""Least share of an upright side that must be dark."""
FLATTEST = 0.02
"""Least height of a frame, in parts of its width."""
EDGE_PX = 3
"""What lies this near to the image's border frames the page, or is the last line of its grid."""
WIDE_SHARE = 0.5
"""A frame that no other one is like is at least so wide, in parts of the page."""
BAND_SHARE = 0.2
"""Share of a side's darkness that still belongs to it, across the side."""


class _Line(NamedTuple):
    """A level line at `at` from `first` to `last`, or an upright one; px of the copy."""

    at: int
    first: int
    last: int


class Frame(NamedTuple):
    """Sides of a frame, and uprights that divide it, px."""

    top: int
    bottom: int
    left: int
    right: int
    dividers: tuple[int, ...]

    def moved(self, top: int, left: int, times: float = 1.0) -> Frame:
        """The same frame in a picture so many times as large, from a row and column of that on."""
        rows = [round(at * times) - top for at in (self.top, self.bottom)]
        cols = [round(at * times) - left for at in (self.left, self.right, *self.dividers)]
        return Frame(rows[0], rows[1], cols[0], cols[1], tuple(cols[2:]))


class Framed(NamedTuple):
    """A page with the frames that were found on it.

    Attributes:
        image: (rows, cols, 3) uint8 RGB.
        frames: upright ones of thin dark lines.
        slack_px: how far their lines may be from where they are said.
    """

    image: NDArray[np.uint8]
    frames: tuple[Frame, ...]
    slack_px: int

    @property
    def panels(self) -> list[Box]:
        """What the frames enclose, one box from divider to divider, their lines included."""
        return [
            Box(frame.top, left, frame.bottom + 1, right + 1)
            for frame in self.frames
            for left, right in pairwise((frame.left, *frame.dividers, frame.right))
        ]

    def cut(self, part: Box) -> Framed:
        """A part of the page, with the frames that lie in it."""
        rows, cols = part.shape
        moved = [frame.moved(part.top, part.left) for frame in self.frames]
        inside = [f for f in moved if min(f.top, f.left) >= 0 and f.bottom < rows and f.right < cols]
        return Framed(part.cut(self.image), tuple(inside), self.slack_px)


def find_frames(image: NDArray[np.uint8]) -> Framed:
    """Upright frames of thin dark lines on a page, no grids.

    Args:
        image: (rows, cols, 3) or (rows, cols) uint8.
    """
    shrink = min(1.0, SEARCH_SIDE_PX / max(image.shape[:2]))
    small = lightest_of(image)
    if shrink < 1.0:
        small = cv2.resize(small, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    frames = [frame.moved(0, 0, 1 / shrink) for frame in _frames_in(small)]
    return Framed(image, tuple(frames), int(np.ceil((2 * SLACK_PX + 1) / shrink)))


def without_frames(framed: Framed) -> NDArray[np.uint8]:
    """The page without its frames, (rows, cols, 3); the same array where it has none."""
    if not framed.frames:
        return framed.image
    out = framed.image.copy()
    for frame in framed.frames:
        for at in (frame.top, frame.bottom):
            _erase(out, at, frame.left, frame.right, framed.slack_px)
        for at in (frame.left, frame.right, *frame.dividers):
            _erase(out.transpose(1, 0, 2), at, frame.top, frame.bottom, framed.slack_px)
    return out


def _frames_in(lightest: NDArray[np.uint8]) -> list[Frame]:
    """Frames in (rows, cols), the lightest of every pixel's colours."""
    around = cv2.blur(lightest, (SURROUNDINGS_PX, SURROUNDINGS_PX))
    dark = (cv2.subtract(around, lightest) > cv2.multiply(around, DARK_SHARE)).view(np.uint8)
    level = _lines(dark, round(LEVEL_SHARE * lightest.shape[1]))
    if len(level) < 2:
        return []
    upright = _lines(np.ascontiguousarray(dark.T), UPRIGHT_PX)
    found: list[Frame] = []
    of_extent: dict[int, list[_Line]] = {}
    for k, line in enumerate(level):
        first = next((i for i, group in of_extent.items() if _same_extent(group[0], line)), k)
        of_extent.setdefault(first, []).append(line)
    for group in of_extent.values():
        in_group = _in_group(group, dark, upright)
        # Panels stand apart; what shares its lines is a grid or a table.
        if not {frame.bottom for frame in in_group} & {frame.top for frame in in_group}:
            found += [f for f in in_group if f.top > EDGE_PX and f.bottom < dark.shape[0] - 1 - EDGE_PX]
    # Dark grids have uprights all over; so has a panel whose QRS complexes reach from line to line.
    least = LEVEL_SHARE * dark.shape[1]
    clear = [f for f in found if min(np.diff([f.left, *f.dividers, f.right])) >= least]
    alike = [[other for other in clear if _is_alike(f, other)] for f in found]
    found = [
        f if len(f.dividers) <= min(len(other.dividers) for other in of) else f._replace(dividers=())
        for f, of in zip(found, alike, strict=True)
        if of
    ]
    # Pieces of dark grids look like small frames, each of another size; clipped QRS complexes make some of
    # one size within a panel.
    wide = WIDE_SHARE * dark.shape[1]
    found = [f for f in found if f.right - f.left >= wide or sum(_is_alike(f, other) for other in found) > 1]
    return [f for f in found if not any(_is_within(f, other) for other in found)]


def _in_group(level: list[_Line], dark: NDArray[np.uint8], upright: list[_Line]) -> list[Frame]:
    """Frames among level lines of one extent, from the top, each line with the next that it is joined to."""
    left, right, n_cols = level[0].first, level[0].last, dark.shape[1]
    if left <= EDGE_PX or right >= n_cols - 1 - EDGE_PX:
        return []
    out = []
    for above, below in pairwise(level):
        if below.at - above.at < FLATTEST * (right - left):
            continue
        if all(_is_side(dark, at, above.at, below.at) for at in (left, right)):
            out.append(Frame(above.at, below.at, left, right, _dividers(dark, upright, above, below)))
    return out


def _is_alike(a: Frame, b: Frame) -> bool:
    """Whether two frames are of one size."""
    sizes = [(f.bottom - f.top, f.right - f.left) for f in (a, b)]
    return max(abs(x - y) for x, y in zip(*sizes, strict=True)) <= 2 * SLACK_PX


def _is_within(a: Frame, b: Frame) -> bool:
    return b.top < a.top and a.bottom < b.bottom and b.left < a.left and a.right < b.right


def _lines(dark: NDArray[np.uint8], least: int) -> list[_Line]:
    """Level lines of a mask, from the top, at least so long; thick ones are none."""
    # What wanders by a pixel or two is still one line.
    slack = cv2.dilate(dark, np.ones((SLACK_PX + 1, 1), np.uint8))
    long = cv2.morphologyEx(slack, cv2.MORPH_OPEN, np.ones((1, least), np.uint8))
    n, _, stats, centre = cv2.connectedComponentsWithStats(long, connectivity=8)
    out = []
    for k in range(1, n):
        left, width, height = (
            int(v) for v in stats[k, [cv2.CC_STAT_LEFT, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
        )
        if height <= 3 * SLACK_PX + 2:
            out.append(_Line(round(float(centre[k, 1]) - 0.5 * SLACK_PX), left, left + width - 1))
    return sorted(out)


def _same_extent(a: _Line, b: _Line) -> bool:
    return max(abs(a.first - b.first), abs(a.last - b.last)) <= 2 * SLACK_PX


def _is_side(dark: NDArray[np.uint8], at: int, top: int, bottom: int) -> bool:
    """Whether an upright line leads from one level line to another, near a column of a mask."""
    near = dark[top:bottom, max(0, at - 2 * SLACK_PX) : at + 2 * SLACK_PX + 1]
    # What wanders by a pixel is still one line; a trace may touch it.
    filled = cv2.dilate(near, np.ones((1, SLACK_PX + 1), np.uint8)).mean(axis=0)
    return bool(filled.max(initial=0.0) >= SIDE_FILLED)


def _dividers(dark: NDArray[np.uint8], upright: list[_Line], above: _Line, below: _Line) -> tuple[int, ...]:
    out: list[int] = []
    for at in sorted({line.at for line in upright}):
        inside = above.first + 4 * SLACK_PX < at < above.last - 4 * SLACK_PX
        apart = not out or at - out[-1] > 4 * SLACK_PX
        if inside and apart and _is_side(dark, at, above.at, below.at):
            out.append(at)
    return tuple(out)


def left_sides(framed: Framed) -> list[tuple[float, float]]:
    """(row, col) px of the middle of every panel's left side, to a part of a pixel."""
    out = []
    for panel in framed.panels:
        begin = max(0, panel.left - framed.slack_px)
        strip = framed.image[panel.top : panel.bottom, begin : panel.left + framed.slack_px + 1]
        depth = _depth(strip.transpose(1, 0, 2))
        first, end = _band(depth)
        at = begin + float(np.average(np.arange(first, end), weights=np.maximum(depth[first:end], 1e-6)))
        out.append(((panel.top + panel.bottom - 1) / 2, at))
    return out


def _erase(image: NDArray[np.uint8], at: int, left: int, right: int, reach: int) -> None:
    """Paint over a level line of `image`, in place, with what is above and below it."""
    a, b = max(0, left - reach), min(image.shape[1], right + reach + 1)
    top, bottom = max(0, at - 2 * reach), min(image.shape[0], at + 2 * reach + 1)
    strip = image[top:bottom, a:b]
    first, end = _band(_depth(strip))
    low, high = max(first - 1, 0), min(end, len(strip) - 1)
    if high - low >= len(strip) - 1:
        return
    upper, lower = (strip[k].astype(np.float32) for k in (max(low - 1, 0), min(high + 1, len(strip) - 1)))
    share = ((np.arange(low, high + 1) - low + 1) / (high - low + 2)).astype(np.float32)[:, None, None]
    strip[low : high + 1] = np.rint((1 - share) * upper + share * lower).astype(np.uint8)


def _depth(strip: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(rows,) how much darker each row of a strip is than most."""
    shade = np.median(lightest_of(strip), axis=1).astype(float)
    return np.asarray(float(np.median(shade)) - shade, float)


def _band(depth: NDArray[np.float64]) -> tuple[int, int]:
    """First row, and that behind the last, of the darkest line: a parallel line of the grid stays."""
    centre = int(depth.argmax())
    bands = runs(depth > BAND_SHARE * depth.max())
    return next((band for band in bands if band[0] <= centre < band[1]), (centre, centre + 1))
