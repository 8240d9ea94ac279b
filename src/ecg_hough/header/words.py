"""Printed words around the traces, from a document's text layer or by optical character recognition.

In: the picture as given, its text layer, and the record of its traces. Out: `HeaderWord`s in px of that
picture, in upright lines. RapidOCR (Apache-2.0, models in its wheel) reads pixels; without it text layers
alone are read, and the log says so once.
"""

from __future__ import annotations

import importlib.util
import itertools
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import TextWord
from ecg_hough.page_map import turn_back
from ecg_hough.record import Record

log = logging.getLogger(__name__)

TEXT_LAYER, OCR = "text layer", "ocr"
MARGIN_MM = 6.0
"""Between the level of a trace and the words above or below it."""
BAND_MIN_MM = 4.0
"""Lower bands hold no line of text."""
READ_PX_PER_MM, MAX_SIDE_PX = 7.0, 2400
"""Scale at which words are looked for and read, and at most so large: of a smaller picture single figures are
not found."""
GRID_TILE_MM, PAPER_QUANTILE = 30.0, 0.85
"""Tiles in which the grid is straight and the paper of one colour, which most pixels between lines have."""
TURNED_DEG = 0.3
"""Pages that are turned by more are turned back before they are read."""
TEXT_MIN = 3
"""Fewest words of a text layer that is taken instead of pixels."""


@dataclass(frozen=True)
class HeaderWord:
    """Printed words that stand together.

    Attributes:
        text: what they say.
        box_px: first row and column, last row and column, px of the upright picture.
        score: how sure the reading is, 0..1; 1 for a text layer.
        source: "text layer" or "ocr".
    """

    text: str
    box_px: tuple[float, float, float, float]
    score: float
    source: str

    @property
    def height_px(self) -> float:
        """Height of the line."""
        return self.box_px[2] - self.box_px[0]


@dataclass(frozen=True)
class Upright:
    """The picture as it is read: turned by quarters, and by the page's angle.

    Attributes:
        image: (rows, cols, 3) uint8 RGB.
        turns: quarter turns, counter-clockwise, of the page in the picture as given.
        angle_deg: turn that was taken out besides.
        shape: of the picture as given.
    """

    image: NDArray[np.uint8]
    turns: int
    angle_deg: float
    shape: tuple[int, int]

    def to_given(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (n, 2) row and column from this picture to that as given."""
        back = _turned(points, -self.angle_deg, self.image.shape, self._quarters)
        return turn_back(back, self.turns, self.shape)

    def from_given(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (n, 2) from the picture as given to this one."""
        quarters = _quarter_points(np.asarray(points, np.float64), self.turns, self.shape)
        return _turned(quarters, self.angle_deg, self._quarters, self.image.shape)

    @property
    def _quarters(self) -> tuple[int, int]:
        """Shape of the picture turned by quarters alone."""
        return self.shape[:2] if self.turns % 2 == 0 else self.shape[1::-1]


def upright(image: NDArray[np.uint8], record: Record) -> Upright:
    """The picture as given (rows, cols, 3), turned so that its lines of text run from left to right."""
    turned = np.ascontiguousarray(np.rot90(image, -record.quarter_turns))
    angle = record.angle_deg if math.isfinite(record.angle_deg) else 0.0
    if abs(angle) < TURNED_DEG:
        return Upright(turned, record.quarter_turns, 0.0, image.shape[:2])
    # As large as the turned page: the first words of lines stand near its corners.
    rows, cols = turned.shape[:2]
    cosine, sine = math.cos(math.radians(angle)), abs(math.sin(math.radians(angle)))
    high, wide = math.ceil(rows * cosine + cols * sine), math.ceil(cols * cosine + rows * sine)
    matrix = cv2.getRotationMatrix2D(((cols - 1) / 2, (rows - 1) / 2), -angle, 1.0)
    matrix[:, 2] += (wide - cols) / 2, (high - rows) / 2
    level = cv2.warpAffine(
        turned, matrix, (wide, high), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return Upright(level.astype(np.uint8), record.quarter_turns, angle, image.shape[:2])


def _quarter_points(points: NDArray[np.float64], turns: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Points of a picture in the same picture turned clockwise by `turns` quarters."""
    rows, cols = shape
    row, col = points[:, 0], points[:, 1]
    return np.column_stack(
        {
            0: (row, col),
            1: (col, rows - 1 - row),
            2: (rows - 1 - row, cols - 1 - col),
            3: (cols - 1 - col, row),
        }[turns % 4]
    )


def _turned(
    points: NDArray[np.floating], angle_deg: float, shape: Sequence[int], onto: Sequence[int]
) -> NDArray[np.float64]:
    """Points (n, 2) of a page turned counter-clockwise, after it is turned back about its middle, which
    becomes that of another picture."""
    if angle_deg == 0.0:
        return np.asarray(points, np.float64)
    middle, new = ((np.array(one[:2]) - 1) / 2 for one in (shape, onto))
    turn = math.radians(angle_deg)
    row, col = (np.asarray(points, np.float64) - middle).T
    # Rows run downwards: clockwise on the screen.
    return (
        np.column_stack(
            [row * math.cos(turn) + col * math.sin(turn), col * math.cos(turn) - row * math.sin(turn)]
        )
        + new
    )


def text_layer_words(words: Iterable[TextWord], turns: int, shape: tuple[int, int]) -> list[HeaderWord]:
    """Words of a text layer, in px of the picture turned by quarters; those that run along its lines."""
    out = []
    for word in words:
        if (word.turns + turns) % 4:
            continue
        middle = _quarter_points(np.array([[word.row, word.col]]), turns, shape)[0]
        along = word.width_px / 2, word.height_px / 2
        box = (middle[0] - along[1], middle[1] - along[0], middle[0] + along[1], middle[1] + along[0])
        if word.text.strip():
            out.append(HeaderWord(word.text.strip(), box, 1.0, TEXT_LAYER))
    return out


def ocr_words(picture: Upright, record: Record) -> list[HeaderWord]:
    """Words above and below the traces, read from pixels; none where RapidOCR is not installed."""
    engine = _engine()
    if engine is None:
        return []
    scale = record.px_per_mm[1] if record.px_per_mm is not None else _assumed_scale(picture)
    out: list[HeaderWord] = []
    for first, last in bands(picture, record, scale):
        out += read_area(picture.image[first:last], scale, first)
    return out


def bands(picture: Upright, record: Record, scale: float) -> list[tuple[int, int]]:
    """Rows of the upright picture above the first and below the last row of traces, half-open.

    They reach to near the rows' levels: a tall wave of one lead stands beside words, not in place of them.
    """
    rows = picture.image.shape[0]
    seen = [trace.points[np.isfinite(trace.points).all(axis=1)] for trace in record.traces]
    levels = [float(np.median(picture.from_given(points)[:, 0])) for points in seen if len(points)]
    if not levels:
        return [(0, rows)]
    top, bottom = int(min(levels) - MARGIN_MM * scale), int(max(levels) + MARGIN_MM * scale)
    spans = [(0, min(top, rows)), (max(bottom, 0), rows)]
    return [(a, b) for a, b in spans if b - a >= BAND_MIN_MM * scale]


def read_area(image: NDArray[np.uint8], scale: float, first_row: int = 0) -> list[HeaderWord]:
    """Words of an area (rows, cols, 3) of so many px per mm; `first_row` is added to their rows."""
    engine = _engine()
    if engine is None or min(image.shape[:2]) < 8:
        return []
    image = without_grid(image, GRID_TILE_MM * scale)
    zoom = min(READ_PX_PER_MM / scale, MAX_SIDE_PX / max(image.shape[:2]))
    way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    seen = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=way)
    found = engine(cv2.cvtColor(seen, cv2.COLOR_RGB2BGR))
    if found.boxes is None:
        return []
    out = []
    for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
        at = (np.asarray(corners, np.float64) + 0.5) / zoom - 0.5
        (left, top), (right, bottom) = at.min(axis=0).tolist(), at.max(axis=0).tolist()
        box = (top + first_row, left, bottom + first_row, right)
        if text.strip():
            out.append(HeaderWord(text.strip(), box, float(score), OCR))
    return out


def without_grid(image: NDArray[np.uint8], tile_px: float) -> NDArray[np.uint8]:
    """The picture (rows, cols, 3) without lines that run along its rows and columns, tile by tile.

    Letters stand on few pixels of any row or column of a tile, a line of the grid on most of them: what is
    darker than the paper in the median is taken away.
    """
    out = image.astype(np.float32)
    for rows in _tiles(image.shape[0], tile_px):
        for cols in _tiles(image.shape[1], tile_px):
            tile = out[rows, cols]
            paper = np.quantile(tile, PAPER_QUANTILE, axis=(0, 1))
            along = np.minimum(np.median(tile, axis=1) - paper, 0.0)
            across = np.minimum(np.median(tile, axis=0) - paper, 0.0)
            out[rows, cols] = tile - np.minimum(along[:, None], across[None])
    return np.clip(out, 0, 255).astype(np.uint8)


def _tiles(n: int, size: float) -> list[slice]:
    ends = np.linspace(0, n, max(1, round(n / max(size, 1.0))) + 1).astype(int).tolist()
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def _assumed_scale(picture: Upright) -> float:
    """Px per mm of a page without a grid, if it is as wide as a sheet of A4."""
    return max(picture.image.shape[1] / 297.0, 1.0)


@cache
def _engine() -> Any:
    """RapidOCR on OpenVINO, offline; None where it is not installed, which the log says once."""
    if importlib.util.find_spec("rapidocr") is None:
        log.warning(
            'printed headers are read from text layers alone: pip install "ecg-hough[ocr]" reads pictures too'
        )
        return None
    from rapidocr import EngineType, RapidOCR

    return RapidOCR(
        params={
            "Det.engine_type": EngineType.OPENVINO,
            "Rec.engine_type": EngineType.OPENVINO,
            "Det.limit_type": "max",
            "Det.limit_side_len": MAX_SIDE_PX,
            "Global.use_cls": False,
            "Global.log_level": "error",
        }
    )


def on_picture(word: HeaderWord, picture: Upright) -> HeaderWord:
    """The word with its box in px of the picture as given."""
    r0, c0, r1, c1 = word.box_px
    corners = picture.to_given(np.array([[r0, c0], [r0, c1], [r1, c1], [r1, c0]]))
    low, high = corners.min(axis=0), corners.max(axis=0)
    return replace(word, box_px=(float(low[0]), float(low[1]), float(high[0]), float(high[1])))
