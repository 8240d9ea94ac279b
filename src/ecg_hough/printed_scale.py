"""Paper speed and gain as printed on the page: "25 mm/s", "10mm/mV" and their like.

In: the page's pixels, its map and its ink. Out: `PrintedScale`. No general reading: of the few texts that
state a scale, pictures are drawn in several typefaces and compared with every line of small marks on the
page (normalised correlation): first the unit, then the number before it. A number counts only if its
picture fits well, and clearly better than all other numbers'.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ecg_hough.geometry import PageMap
from ecg_hough.ink import InkModel
from ecg_hough.strips import STRIP_PX_PER_MM, StripFrame, cut_strip, shrink_for_strips, strip_map

# Tuned on own renders of all layouts (benchmark_pages, other seeds than the published one).
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf",
         "DejaVuSerif.ttf", "STIXGeneral.ttf", "cmss10.ttf")  # fmt: skip
"""Typefaces of the pictures: sans, bold, fixed width, serif, narrow serif, narrow sans."""
VALUES: dict[str, tuple[str, ...]] = {
    "mm/s": ("25", "50", "12.5", "100"),
    "mm/mV": ("10", "5", "20", "2.5", "40"),
}
"""Values that are told apart; only those of `USUAL` are believed."""
USUAL = {"mm/s": (25.0, 50.0), "mm/mV": (5.0, 10.0, 20.0)}
INK_SHARE = 0.4
MARK_MM = (0.7, 5.5)
"""Heights of marks (letters, parts of them)."""
MARK_WIDTH_MM = 7.0
GAP_MM = 2.6
"""Marks nearer than this stand in one line of text: more than a space."""
LINE_MM = (1.4, 6.5)
LINE_WIDTH_MM = (5.0, 110.0)
LINES_MAX = 90
"""Most lines looked at, those nearest to the page's top and bottom first."""
HEIGHT_PX = 18
"""Height of a unit's picture."""
SIZES = (0.76, 0.83, 0.89, 0.95, 1.0, 1.05, 1.12, 1.2)
"""Heights of the unit relative to the line's: other words may reach higher, a speck below."""
UNIT_MIN = 0.6
"""Correlation of a unit from which its number is read."""
NUMBER_MIN, MARGIN = 0.55, 0.08
"""Least correlation of a number that is believed, and its least lead over other numbers."""
CONFLICT_MARGIN = 0.15
"""Least lead of the number that is believed where the page names two."""


@dataclass(frozen=True)
class PrintedScale:
    """What the page says in words: paper speed and gain, None where it says nothing that can be read.

    `speed_score` and `gain_score` are the correlations, 0 where nothing was read.
    """

    speed_mm_s: float | None = None
    gain_mm_mv: float | None = None
    speed_score: float = 0.0
    gain_score: float = 0.0


@dataclass(frozen=True)
class UnitPlace:
    """A unit found in a line.

    Attributes:
        line: the line scaled so that the unit is `HEIGHT_PX` high.
        row, col: its first pixel there; share: its start as a share of the line's length.
        font: typeface of the picture that fits; score: its correlation.
    """

    line: NDArray[np.float32]
    row: int
    col: int
    share: float
    font: str
    score: float


def read_printed_scale(image: NDArray[np.uint8], page_map: PageMap, ink: InkModel) -> PrintedScale:
    """Read speed and gain from the text of a page.

    Args:
        image: the page, upright (rows, cols, 3); page_map: its millimetres; ink: its ink.
    """
    found: dict[str, dict[float, float]] = {unit: {} for unit in VALUES}
    for line in text_lines(flat_page(image, page_map, ink)):
        for unit, number, score in read_line(line):
            if number in USUAL[unit]:
                found[unit][number] = max(found[unit].get(number, 0.0), score)
    speed, speed_score = _clear_winner(found["mm/s"])
    gain, gain_score = _clear_winner(found["mm/mV"])
    return PrintedScale(speed, gain, speed_score, gain_score)


def _clear_winner(numbers: dict[float, float]) -> tuple[float | None, float]:
    """The number that was read best; none where the page names two values about equally well."""
    ranked = sorted(numbers, key=lambda n: -numbers[n])
    if not ranked or (len(ranked) > 1 and numbers[ranked[0]] - numbers[ranked[1]] < CONFLICT_MARGIN):
        return None, 0.0
    return ranked[0], numbers[ranked[0]]


def flat_page(image: NDArray[np.uint8], page_map: PageMap, ink: InkModel) -> NDArray[np.float32]:
    """Darkness of the whole page at `STRIP_PX_PER_MM`, free of rotation and perspective."""
    pixels, factor = shrink_for_strips(image, float(np.mean(page_map.px_per_mm)))
    y, x = page_map.y_mm, page_map.x_mm
    shape = (round((y[-1] - y[0]) * STRIP_PX_PER_MM), round((x[-1] - x[0]) * STRIP_PX_PER_MM))
    where = strip_map(StripFrame(float(y[0]), float(x[0]), shape), page_map)
    flat = ink.darkness(cut_strip(pixels, where, factor))
    r, c = where
    flat[(r < 0) | (r > image.shape[0] - 1) | (c < 0) | (c > image.shape[1] - 1)] = 0.0
    return flat


def text_lines(darkness: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Pictures of the lines of small marks on a page, with a margin of 1/8 of their height."""
    scale = STRIP_PX_PER_MM
    mask = (darkness > INK_SHARE).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    high, wide, area = (stats[:, k] for k in (cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH, cv2.CC_STAT_AREA))
    keep = (high >= MARK_MM[0] * scale) & (high <= MARK_MM[1] * scale) & (wide <= MARK_WIDTH_MM * scale)
    keep &= area >= 6
    keep[0] = False
    marks = keep[labels].astype(np.uint8)
    joined = cv2.morphologyEx(marks, cv2.MORPH_CLOSE, np.ones((1, round(GAP_MM * scale)), np.uint8))
    _, _, boxes, centres = cv2.connectedComponentsWithStats(joined, connectivity=8)
    middle = darkness.shape[0] / 2
    chosen = []
    for (left, top, width, height, _), (_, row) in zip(boxes[1:], centres[1:], strict=True):
        low, most = LINE_MM
        narrow, longest = LINE_WIDTH_MM
        if low * scale <= height <= most * scale and narrow * scale <= width <= longest * scale:
            chosen.append((-abs(row - middle), top, left, height, width))
    lines = []
    for _, top, left, height, width in sorted(chosen)[:LINES_MAX]:
        pad = max(2, height // 8)  # `line_margin` of the whole
        line = np.zeros((height + 2 * pad, width + 2 * pad), np.float32)
        part = darkness[top : top + height, left : left + width]
        line[pad : pad + height, pad : pad + width] = np.clip(part, 0.0, 1.0)
        lines.append(line)
    return lines


def read_line(line: NDArray[np.float32]) -> list[tuple[str, float, float]]:
    """Units in a line of text, their numbers and the numbers' correlations.

    Args:
        line: (rows, cols) picture of the line, 1 ink.
    """
    places = {unit: place for unit in VALUES if (place := find_unit(line, unit)) is not None}
    out = []
    for unit, place in places.items():
        # The start of "mm/mV" looks like "mm/s": of two units at one place the better one stands there.
        rivals = [
            p for u, p in places.items() if u != unit and abs(p.share - place.share) * line.shape[1] < 9
        ]
        if all(place.score > rival.score for rival in rivals):
            value = read_number(place, unit)
            if value is not None:
                out.append((unit, *value))
    return out


def read_number(place: UnitPlace, unit: str) -> tuple[float, float] | None:
    """The number before a unit, and its correlation; None without a clear one."""
    scores: dict[str, float] = {}
    slack = 2
    for value in VALUES[unit]:
        scores[value] = 0.0
        for space in ("", " "):
            picture = number_picture(value, space, unit, place.font, HEIGHT_PX)
            rows, cols = picture.shape
            left = place.col - cols - slack
            pad = max(0, -left)
            padded = cv2.copyMakeBorder(place.line, slack, slack, pad, 0, cv2.BORDER_CONSTANT, value=0.0)
            part = padded[place.row : place.row + rows + 2 * slack, left + pad : place.col + slack + pad]
            if part.shape[0] < rows or part.shape[1] < cols or part.std() < 0.02:
                continue
            match = float(cv2.matchTemplate(part, picture, cv2.TM_CCOEFF_NORMED).max())
            scores[value] = max(scores[value], match)
    value, second = sorted(scores, key=lambda v: -scores[v])[:2]
    if scores[value] < NUMBER_MIN or scores[value] - scores[second] < MARGIN:
        return None
    return float(value), scores[value]


def find_unit(line: NDArray[np.float32], unit: str) -> UnitPlace | None:
    """Where a unit stands in a line; None where no picture of it fits."""
    best: UnitPlace | None = None
    inner = line.shape[0] - 2 * line_margin(line.shape[0])
    pictures = [(font, text_picture(unit, font, HEIGHT_PX)) for font in FONTS]
    for size in SIZES:
        zoom = HEIGHT_PX / (size * inner)
        shape = (max(1, round(line.shape[1] * zoom)), max(1, round(line.shape[0] * zoom)))
        scaled = cv2.resize(line, shape, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
        below = max(0, HEIGHT_PX + 4 - shape[1]) // 2 + 2
        scaled = cv2.copyMakeBorder(scaled, below, below, 0, 3, cv2.BORDER_CONSTANT, value=0.0)
        for font, picture in pictures:
            if picture.shape[1] > scaled.shape[1] or picture.shape[0] > scaled.shape[0]:
                continue
            match = cv2.matchTemplate(scaled, picture, cv2.TM_CCOEFF_NORMED)
            _, score, _, (col, row) = cv2.minMaxLoc(match)
            if score > (best.score if best is not None else UNIT_MIN):
                best = UnitPlace(np.asarray(scaled, np.float32), row, col, col / shape[0], font, score)
    return best


def line_margin(height: int) -> int:
    """Margin round the marks of a line, px, of its picture's whole height."""
    return max(2, height // 10)


@lru_cache(maxsize=512)
def text_picture(text: str, font: str, height_px: int) -> NDArray[np.float32]:
    """A text drawn so that its marks are `height_px` high (rows, cols), 0 paper and 1 ink."""
    return _drawn(text, text, font, height_px)


@lru_cache(maxsize=512)
def number_picture(value: str, space: str, unit: str, font: str, height_px: int) -> NDArray[np.float32]:
    """The number of "value unit", from a margin before it to where the unit begins, at the unit's height."""
    whole = _drawn(f"{value}{space}{unit}", unit, font, height_px)
    n_unit = _drawn(unit, unit, font, height_px).shape[1]
    # Before the number is nothing: the margin keeps "5" from fitting into "25".
    return cv2.copyMakeBorder(
        whole[:, : whole.shape[1] - n_unit], 0, 0, round(0.3 * height_px), 0, cv2.BORDER_CONSTANT, value=0.0
    )


def _drawn(text: str, measure: str, font: str, height_px: int) -> NDArray[np.float32]:
    """A text at the size, and cut to the rows, at which `measure` is `height_px` high."""
    import matplotlib  # its wheel carries free fonts

    face = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / font), 4 * height_px)
    left, _, right, _ = face.getbbox(text)
    _, top, _, bottom = face.getbbox(measure)
    image = Image.new("L", (int(right - left), int(bottom - top)), 0)
    ImageDraw.Draw(image).text((-left, -top), text, fill=255, font=face)
    shape = (max(1, round((right - left) * height_px / (bottom - top))), height_px)
    return np.asarray(
        cv2.resize(np.asarray(image, np.float32) / 255.0, shape, interpolation=cv2.INTER_AREA), np.float32
    )
