"""Frames that plotting programs draw around panels: found, and removed from the page.

In: the page's pixels. Out: the frames, and the pixels without them. The sides of a frame are as black and
thin as a trace, and the networks, which were trained on ECG paper, follow them. Frames differ from traces by
their corners: two horizontal lines of one extent, and vertical lines that join them at both ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Box
from ecg_hough.image.colours import lightest_of
from ecg_hough.numeric import runs

SEARCH_SIDE_PX = 1600
"""Longer side of the reduced copy in which frames are searched."""
DARK_SHARE = 0.3
"""A frame is darker than its surroundings by at least this share of their brightness, in its lightest colour
channel: grids are coloured, and light in one of the channels."""
SURROUNDINGS_PX = 41
"""Side of the square over which the brightness of the surroundings is averaged."""
LEVEL_SHARE, UPRIGHT_PX = 0.08, 20
"""Shortest horizontal lines, as a share of the page's width, which is also the narrowest panel; shortest
vertical lines."""
SLACK_PX = 2
"""Largest distance of a side from the ends of the sides that it joins, and its largest drift along its
length."""
SIDE_FILLED = 0.9
"""Smallest dark share of a vertical side."""
FLATTEST = 0.02
"""Smallest height of a frame over its width."""
EDGE_PX = 3
"""A frame this near to the image's border encloses the whole page, or is the last line of its grid."""
WIDE_SHARE = 0.5
"""Smallest width of a frame that is the only one of its size, as a share of the page's width."""
BAND_SHARE = 0.2
"""Pixels across a side belong to it where they have at least this share of its greatest darkness."""


class _Line(NamedTuple):
    """A horizontal line in row `at` from column `first` to `last`, or a vertical one; px of the copy."""

    at: int
    first: int
    last: int


class Frame(NamedTuple):
    """Sides of a frame, and vertical lines that divide it, px."""

    top: int
    bottom: int
    left: int
    right: int
    dividers: tuple[int, ...]

    def moved(self, top: int, left: int, times: float = 1.0) -> Frame:
        """The same frame in a picture `times` as large, whose first row and column are `top` and `left`."""
        rows = [round(at * times) - top for at in (self.top, self.bottom)]
        cols = [round(at * times) - left for at in (self.left, self.right, *self.dividers)]
        return Frame(rows[0], rows[1], cols[0], cols[1], tuple(cols[2:]))


class Framed(NamedTuple):
    """A page with the frames that were found on it.

    Attributes:
        image: (rows, cols, 3) uint8 RGB.
        frames: rectangles of thin dark lines, parallel to the image's sides.
        slack_px: largest error of their lines' places.
        stacked: frames each of which stands on the next, as axes without space between them are drawn. One
            grid may continue through all of them.
    """

    image: NDArray[np.uint8]
    frames: tuple[Frame, ...]
    slack_px: int
    stacked: tuple[Frame, ...] = ()

    @property
    def panels(self) -> list[Box]:
        """The areas that separate frames enclose, a box from divider to divider, lines included."""
        return _panels(self.frames)

    def cut(self, part: Box) -> Framed:
        """A part of the page, with the frames that lie in it."""
        rows, cols = part.shape

        def inside(frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
            moved = [frame.moved(part.top, part.left) for frame in frames]
            return tuple(f for f in moved if min(f.top, f.left) >= 0 and f.bottom < rows and f.right < cols)

        return Framed(part.cut(self.image), inside(self.frames), self.slack_px, inside(self.stacked))


def find_frames(image: NDArray[np.uint8]) -> Framed:
    """Frames of thin dark lines on a page, parallel to the image's sides; grids are no frames.

    Args:
        image: (rows, cols, 3) or (rows, cols) uint8.
    """
    shrink = min(1.0, SEARCH_SIDE_PX / max(image.shape[:2]))
    small = lightest_of(image)
    if shrink < 1.0:
        small = cv2.resize(small, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    frames, stacked = (tuple(frame.moved(0, 0, 1 / shrink) for frame in found) for found in _frames_in(small))
    return Framed(image, frames, int(np.ceil((2 * SLACK_PX + 1) / shrink)), stacked)


def without_frames(framed: Framed) -> NDArray[np.uint8]:
    """The page without its frames, (rows, cols, 3); the same array where it has none."""
    frames = (*framed.frames, *framed.stacked)
    if not frames:
        return framed.image
    out = framed.image.copy()
    for frame in frames:
        for at in (frame.top, frame.bottom):
            _erase(out, at, frame.left, frame.right, framed.slack_px)
        for at in (frame.left, frame.right, *frame.dividers):
            _erase(out.transpose(1, 0, 2), at, frame.top, frame.bottom, framed.slack_px)
    return out


def _panels(frames: Iterable[Frame]) -> list[Box]:
    """The areas that frames enclose, a box from divider to divider, lines included."""
    return [
        Box(frame.top, left, frame.bottom + 1, right + 1)
        for frame in frames
        for left, right in pairwise((frame.left, *frame.dividers, frame.right))
    ]


def _frames_in(lightest: NDArray[np.uint8]) -> tuple[list[Frame], list[Frame]]:
    """Separate and stacked frames in (rows, cols), the lightest colour channel of every pixel."""
    around = cv2.blur(lightest, (SURROUNDINGS_PX, SURROUNDINGS_PX))
    dark = (cv2.subtract(around, lightest) > cv2.multiply(around, DARK_SHARE)).view(np.uint8)
    narrowest = LEVEL_SHARE * dark.shape[1]
    level = _lines(dark, round(narrowest))
    if len(level) < 2:
        return [], []
    upright = _lines(np.ascontiguousarray(dark.T), UPRIGHT_PX)
    found: list[Frame] = []
    stacked: list[Frame] = []
    for group in _by_extent(level):
        frames = _in_group(group, dark, upright)
        # Panels have space between them; a grid or a table has none, but lines that cross it.
        if {frame.bottom for frame in frames} & {frame.top for frame in frames}:
            stacked += _clear_stack(frames, narrowest)
        else:
            found += [f for f in frames if f.top > EDGE_PX and f.bottom < dark.shape[0] - 1 - EDGE_PX]
    found = _as_divided_as_others(found, narrowest)
    # Pieces of dark grids look like small frames, each of another size; clipped QRS complexes make some of
    # one size within a panel.
    wide = WIDE_SHARE * dark.shape[1]
    found = [f for f in found if f.right - f.left >= wide or sum(_is_alike(f, other) for other in found) > 1]
    return [f for f in found if not any(_is_within(f, other) for other in found)], stacked


def _clear_stack(frames: list[Frame], narrowest: float) -> list[Frame]:
    """Frames of one extent, each of which stands on the next; none where they are of several heights, or
    where vertical lines cross them as closely as those of a grid."""
    alike = [sum(_is_alike(one, other) for other in frames) for one in frames]
    if 2 * max(alike) <= len(frames):
        return []
    usual = [f for f, n in zip(frames, alike, strict=True) if n == max(alike)]
    if any(min(np.diff([f.left, *f.dividers, f.right])) < narrowest for f in usual):
        return []
    return usual


def _by_extent(level: list[_Line]) -> list[list[_Line]]:
    """Horizontal lines, grouped by the columns in which they begin and end."""
    groups: list[list[_Line]] = []
    for line in level:
        group = next((group for group in groups if _same_extent(group[0], line)), None)
        if group is None:
            groups.append([line])
        else:
            group.append(line)
    return groups


def _as_divided_as_others(frames: list[Frame], narrowest: float) -> list[Frame]:
    """Frames that have the size of one with wide enough panels, with no more dividers than that one.

    Dark grids have vertical lines everywhere, and so has a panel whose QRS complexes reach from its upper to
    its lower side.
    """
    clear = [f for f in frames if min(np.diff([f.left, *f.dividers, f.right])) >= narrowest]
    out = []
    for frame in frames:
        fewest = min((len(other.dividers) for other in clear if _is_alike(frame, other)), default=None)
        if fewest is not None:
            out.append(frame if len(frame.dividers) <= fewest else frame._replace(dividers=()))
    return out


def _in_group(level: list[_Line], dark: NDArray[np.uint8], upright: list[_Line]) -> list[Frame]:
    """Frames among horizontal lines of one extent, from the top: each line and the next, where joined."""
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
    """Thin horizontal lines of a mask, of at least `least` px, from the top."""
    # A line that drifts by a pixel or two is still one line.
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
    """Whether a vertical line near column `at` of a mask joins rows `top` and `bottom`."""
    near = dark[top:bottom, max(0, at - 2 * SLACK_PX) : at + 2 * SLACK_PX + 1]
    # A line that drifts by a pixel is still one line; a trace may touch it.
    filled = cv2.dilate(near, np.ones((1, SLACK_PX + 1), np.uint8)).mean(axis=0)
    return bool(filled.max(initial=0.0) >= SIDE_FILLED)


def _dividers(dark: NDArray[np.uint8], upright: list[_Line], above: _Line, below: _Line) -> tuple[int, ...]:
    """Columns of the vertical lines that join two horizontal ones between their ends."""
    out: list[int] = []
    for at in sorted({line.at for line in upright}):
        inside = above.first + 4 * SLACK_PX < at < above.last - 4 * SLACK_PX
        apart = not out or at - out[-1] > 4 * SLACK_PX
        if inside and apart and _is_side(dark, at, above.at, below.at):
            out.append(at)
    return tuple(out)


def left_sides(framed: Framed) -> list[tuple[float, float]]:
    """(row, col) px of the middle of every panel's left side, to a fraction of a pixel."""
    out = []
    for panel in _panels((*framed.frames, *framed.stacked)):
        begin = max(0, panel.left - framed.slack_px)
        strip = framed.image[panel.top : panel.bottom, begin : panel.left + framed.slack_px + 1]
        depth = _depth(strip.transpose(1, 0, 2))
        first, end = _band(depth)
        at = begin + float(np.average(np.arange(first, end), weights=np.maximum(depth[first:end], 1e-6)))
        out.append(((panel.top + panel.bottom - 1) / 2, at))
    return out


def _erase(image: NDArray[np.uint8], at: int, left: int, right: int, reach: int) -> None:
    """Replace a horizontal line of `image`, in place, by the mean of the rows above and below it."""
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
    """(rows,) how much darker each row of a strip is than the median row."""
    shade = np.median(lightest_of(strip), axis=1).astype(float)
    return np.asarray(float(np.median(shade)) - shade, float)


def _band(depth: NDArray[np.float64]) -> tuple[int, int]:
    """First row of the darkest line and the row after its last; a parallel grid line is not included."""
    centre = int(depth.argmax())
    bands = runs(depth > BAND_SHARE * depth.max())
    return next((band for band in bands if band[0] <= centre < band[1]), (centre, centre + 1))
