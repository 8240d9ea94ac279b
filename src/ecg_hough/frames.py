"""Frames that plotting programs draw round panels, taken off the page.

In: the page's pixels. Out: the same without the frames. A frame's sides are as black and thin as a trace, and
the networks, which know the paper of carts, follow them. They are told from traces by their corners: two
level lines of one extent and, at both of their ends, upright ones from one to the other.
"""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.box import Box
from ecg_hough.runs import runs

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
"""A lone frame is at least so wide, in parts of the page: pieces of dark grids look like small ones."""
BAND_SHARE = 0.2
"""Share of a side's darkness that still belongs to it, across the side."""


class _Line(NamedTuple):
    """A level line at `at` from `first` to `last`, or an upright one; px of the copy."""

    at: int
    first: int
    last: int


class Frame(NamedTuple):
    """Sides of a frame, and uprights that divide it, px of the copy it was found in."""

    top: int
    bottom: int
    left: int
    right: int
    dividers: tuple[int, ...]


def without_frames(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The page without frames round its panels; the same array where it has none.

    Args:
        image: (rows, cols, 3) uint8 RGB.
    """
    frames, shrink = _frames_of(image)
    if not frames:
        return image
    out = image.copy()
    for frame in frames:
        top, bottom, left, right = (round(at / shrink) for at in frame[:4])
        for at in (top, bottom):
            _erase(out, at, left, right, shrink)
        for at in (left, right, *(round(x / shrink) for x in frame.dividers)):
            _erase(out.transpose(1, 0, 2), at, top, bottom, shrink)
    return out


def find_panels(image: NDArray[np.uint8]) -> list[Box]:
    """What the frames of a page enclose, without their lines; none where it has no frames.

    Args:
        image: (rows, cols, 3) uint8 RGB.
    """
    frames, shrink = _frames_of(image)
    inset = 2 * SLACK_PX
    out = []
    for frame in frames:
        for left, right in pairwise((frame.left, *frame.dividers, frame.right)):
            sides = (frame.top + inset, left + inset, frame.bottom - inset, right - inset)
            out.append(Box(*(round(at / shrink) for at in sides)))
    return out


def _frames_of(image: NDArray[np.uint8]) -> tuple[list[Frame], float]:
    """Frames of a page in a copy of it, and the copy's px per px of the page."""
    shrink = min(1.0, SEARCH_SIDE_PX / max(image.shape[:2]))
    # Plane by plane: numpy's maximum over a last axis of 3 takes ten times as long.
    small = functools.reduce(cv2.max, cv2.split(image))
    if shrink < 1.0:
        small = cv2.resize(small, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    return find_frames(small), shrink


def find_frames(lightest: NDArray[np.uint8]) -> list[Frame]:
    """Upright frames of thin dark lines, no grids.

    Args:
        lightest: (rows, cols) uint8, the lightest of every pixel's colours.
    """
    around = cv2.blur(lightest, (SURROUNDINGS_PX, SURROUNDINGS_PX))
    dark = (cv2.subtract(around, lightest) > cv2.multiply(around, DARK_SHARE)).view(np.uint8)
    level = _lines(dark, round(LEVEL_SHARE * lightest.shape[1]))
    if len(level) < 2:
        return []
    upright = _lines(np.ascontiguousarray(dark.T), UPRIGHT_PX)
    out = []
    of_extent: dict[int, list[_Line]] = {}
    for k, line in enumerate(level):
        first = next((i for i, group in of_extent.items() if _same_extent(group[0], line)), k)
        of_extent.setdefault(first, []).append(line)
    for group in of_extent.values():
        found = _in_group(group, upright, lightest.shape[1])
        # Panels stand apart; what shares its lines is a grid or a table.
        if not {frame.bottom for frame in found} & {frame.top for frame in found}:
            out += [f for f in found if f.top > EDGE_PX and f.bottom < lightest.shape[0] - 1 - EDGE_PX]
    if len(out) == 1 and out[0].right - out[0].left < WIDE_SHARE * lightest.shape[1]:
        return []
    return out


def _in_group(level: list[_Line], upright: list[_Line], n_cols: int) -> list[Frame]:
    """Frames among level lines of one extent, from the top, each line with the next that it is joined to."""
    left, right = level[0].first, level[0].last
    if left <= EDGE_PX or right >= n_cols - 1 - EDGE_PX:
        return []
    ends = [_sides(upright, at) for at in (left, right)]
    out = []
    for above, below in pairwise(level):
        if below.at - above.at < FLATTEST * (right - left):
            continue
        if all(_joined(side, above.at, below.at) for side in ends):
            inner = _dividers(upright, above, below)
            panels = np.diff([left, *inner, right])
            if panels.min() >= LEVEL_SHARE * n_cols:
                out.append(Frame(above.at, below.at, left, right, inner))
    return out


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


def _sides(upright: list[_Line], at: int) -> list[_Line]:
    return [line for line in upright if abs(line.at - at) <= 2 * SLACK_PX]


def _joined(sides: list[_Line], top: int, bottom: int) -> bool:
    """Whether upright lines at one place lead from one level line to another."""
    filled = np.zeros(max(1, bottom - top), bool)
    for line in sides:
        filled[max(0, line.first - top) : max(0, line.last + 1 - top)] = True
    return bool(filled.mean() >= SIDE_FILLED)


def _dividers(upright: list[_Line], above: _Line, below: _Line) -> tuple[int, ...]:
    inside = [line for line in upright if above.first + 4 * SLACK_PX < line.at < above.last - 4 * SLACK_PX]
    places = sorted({line.at for line in inside})
    out: list[int] = []
    for at in places:
        if _joined(_sides(inside, at), above.at, below.at) and not (out and at - out[-1] <= 4 * SLACK_PX):
            out.append(at)
    return tuple(out)


def _erase(image: NDArray[np.uint8], at: int, left: int, right: int, shrink: float) -> None:
    """Paint over a level line of `image`, in place, with what is above and below it."""
    reach = int(np.ceil((2 * SLACK_PX + 1) / shrink))
    a, b = max(0, left - reach), min(image.shape[1], right + reach + 1)
    top, bottom = max(0, at - 2 * reach), min(image.shape[0], at + 2 * reach + 1)
    strip = image[top:bottom, a:b]
    shade = np.median(strip.max(axis=2), axis=1).astype(float)
    depth = float(np.median(shade)) - shade
    centre = int(depth.argmax())
    # The band about the deepest row only: a parallel line of the grid stays.
    bands = runs(depth > BAND_SHARE * depth.max())
    first, end = next((band for band in bands if band[0] <= centre < band[1]), (centre, centre + 1))
    low, high = max(first - 1, 0), min(end, len(strip) - 1)
    if high - low >= len(strip) - 1:
        return
    upper, lower = (strip[k].astype(np.float32) for k in (max(low - 1, 0), min(high + 1, len(strip) - 1)))
    share = ((np.arange(low, high + 1) - low + 1) / (high - low + 2)).astype(np.float32)[:, None, None]
    strip[low : high + 1] = np.rint((1 - share) * upper + share * lower).astype(np.uint8)
