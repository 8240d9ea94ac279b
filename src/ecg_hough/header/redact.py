"""A page without names: everything is blanked but the rows of traces and words that tell nobody.

In: the picture of a page and the record of its traces. Out: the picture with paper in place of all that
stands outside the rows, except read traces that reach out of them and words that are wholly names of leads,
paper speed, gain, filter or, where they are wanted, measurements. A list of what may stay cannot miss a name
as a list of names can.
"""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import TextWord
from ecg_hough.errors import PageError
from ecg_hough.header.grammar import LABELS, lines_of, plain_text
from ecg_hough.header.words import (
    HeaderWord,
    Upright,
    read_area,
    text_layer_words,
    upright,
)
from ecg_hough.numeric import runs
from ecg_hough.paper import LEADS
from ecg_hough.record import Record

ROW_MM = 15.0
"""Half the height of a row where there is one row alone."""
STROKE_MM = 1.0
"""Kept to either side of a trace that was read."""
WORD_MM = 0.6
"""Kept or blanked around a word."""
PAPER_QUANTILE = 0.8
ROW_GAP_MM = 6.0
"""Traces whose levels differ by less are of one row."""
LEAST_POINTS, PIECES = 20, 6
TELLING_LETTERS = 4
"""Words among the rows with so many letters or figures, that are none of the kept ones, are blanked."""
PATTERN_LETTERS = 3
"""What is read of lines of a grid has no more different letters, however long it is."""
_LEAD = "|".join(sorted((lead.lower() for lead in LEADS), key=len, reverse=True))
_KEPT = re.compile(
    rf"-?\s*(?:lead\s*)?(?:{_LEAD}|d(?:i{{1,3}}|[123])|c[1-6]|v[34789]r?)"
    r"|(?:(?:speed|gain|chest|limb|geschw\.?|vitesse|velocidad|velocita|ampl\.?|f|w|ac|ads)\s*[:~]?\s*)?"
    r"\d+(?:[.,]\d+)?\s*(?:mm|cm)\s*/\s*(?:s(?:ec)?|mv)"
    r"|(?:\d+[.,]?\d*\s*(?:hz)?\s*[-~]\s*)?\d+[.,]?\d*\s*hz|\d+\s*~|50|60",
)
_LIKE_LEAD = re.compile(r"\W*(?:lead.{1,5}|av[rlfi1t|!]{1,4}\W*)")
"""Among the rows: what may be the name of a lead whose last letters were misread."""
_UNIT = re.compile(
    r"(?<![a-z])(?:m[s$5]|bpm|lpm|1pm|(?:1|s|bat|batt|lat)?/min|deg|mv)(?![a-z])|°", re.IGNORECASE
)
_DATE = re.compile(r"\d\s*[:.]\s*\d|\d{1,2}\s*[-/.]\s*\d{1,2}\s*[-/.]\s*\d{2,4}(?!\s*°)$|\d{4}-\d")


def redacted(
    image: NDArray[np.uint8], record: Record, *, words: tuple[TextWord, ...] = (), measurements: bool = True
) -> NDArray[np.uint8]:
    """The picture (rows, cols, 3) without names: what `kept_pixels` leaves, on plain paper."""
    keep = kept_pixels(image, record, words=words, measurements=measurements)
    out = image.copy()
    out[~keep] = np.round(np.quantile(image[keep], PAPER_QUANTILE, axis=0)).astype(np.uint8)
    return out


def kept_pixels(
    image: NDArray[np.uint8], record: Record, *, words: tuple[TextWord, ...] = (), measurements: bool = True
) -> NDArray[np.bool_]:
    """Mask (rows, cols) of what stays: rows of traces, read traces beyond them, and words that tell nobody.

    Args:
        image: (rows, cols, 3) uint8 RGB, the page as given; record: of its traces.
        words: the text layer of the page; without it words are read from pixels, where the extra `ocr` is
            installed, and without that no word outside the rows is kept.
        measurements: whether printed measurements are kept.

    Raises:
        PageError: stage "redact": no rows of traces are known, so that nothing can be told from names.
    """
    keep = rows_of(image.shape[:2], record)
    picture = upright(image, record)
    scale = _scale(record, image.shape[:2])
    layer = text_layer_words(words, record.quarter_turns, image.shape[:2])
    seen = layer or read_area(picture.image, scale)
    harmless = kept_words(seen, measurements)
    for word in seen:
        if word not in harmless and is_telling(word.text):
            _fill(keep, word, picture, WORD_MM * scale, False)
    for word in harmless:
        _fill(keep, word, picture, WORD_MM * scale, True)
    return keep | _strokes(image.shape[:2], record, scale)


def rows_of(shape: tuple[int, int], record: Record) -> NDArray[np.bool_]:
    """Mask (rows, cols) of the rows of traces: half a row above the first to half a row below the last.

    The rows may be tilted: each is a straight line through its traces' middles.

    Raises:
        PageError: stage "redact": no row is known.
    """
    if record.quarter_turns % 2:  # the page lies on its side: seen along its diagonal it does not
        sideways = tuple(replace(trace, points=trace.points[:, ::-1]) for trace in record.traces)
        return rows_of(shape[::-1], replace(record, traces=sideways, quarter_turns=0)).T
    scale = _scale(record, shape)
    levels, slope = _row_levels(record, ROW_GAP_MM * scale)
    if not levels:
        raise PageError(
            "redact", "no rows of traces were read; at least one is needed to tell them from names"
        )
    half = 0.5 * float(np.median(np.diff(levels))) if len(levels) > 1 else ROW_MM * scale
    above = np.arange(shape[0])[:, None] - slope * np.arange(shape[1])
    return (above >= levels[0] - half) & (above <= levels[-1] + half)


def _row_levels(record: Record, gap_px: float) -> tuple[list[float], float]:
    """Levels of the rows of traces at column 0, px, downwards, and their common slope."""
    found: list[tuple[float, float, float]] = []
    for trace in record.traces:
        known = trace.points[np.isfinite(trace.points).all(axis=1)]
        if len(known) < LEAST_POINTS:
            continue
        # Most of a trace is at its level: a line through the medians of its pieces is not drawn off by QRS.
        parts = np.array_split(known[np.argsort(known[:, 1])], PIECES)
        middles = np.array([np.median(part, axis=0) for part in parts])
        slope, _ = np.polyfit(middles[:, 1], middles[:, 0], 1)
        row, col = np.median(middles, axis=0).tolist()
        found.append((float(slope), row, col))
    if not found:
        return [], 0.0
    # Strips are longest, but every panel of a page has the page's slope.
    slope = float(np.median([one[0] for one in found]))
    rows: list[list[float]] = []
    for level in sorted(row - slope * col for _, row, col in found):
        if rows and level - rows[-1][-1] < gap_px:
            rows[-1].append(level)
        else:
            rows.append([level])
    return [float(np.median(row)) for row in rows], slope


def _scale(record: Record, shape: tuple[int, int]) -> float:
    """Px per mm; of a page without a grid as if it were as wide as a sheet of A4."""
    return float(np.mean(record.px_per_mm)) if record.px_per_mm is not None else max(shape) / 297.0


def _strokes(shape: tuple[int, int], record: Record, scale: float) -> NDArray[np.bool_]:
    """Mask of the traces that were read."""
    mask = np.zeros(shape, np.uint8)
    width = max(3, round(2 * STROKE_MM * scale))
    for trace in record.traces:
        for a, b in runs(np.isfinite(trace.points).all(axis=1)):
            points = np.round(trace.points[a:b, ::-1] * 16).astype(np.int32)
            cv2.polylines(mask, [points[:, None]], False, 1, width, cv2.LINE_8, 4)
    return mask.astype(bool)


def kept_words(words: list[HeaderWord], measurements: bool) -> list[HeaderWord]:
    """Words that tell nobody: all that they say are names of leads, scales, filters, or measurements."""
    kept = set()
    for line in lines_of(words):
        labelled = False  # figures without a label may be pieces of a date or of a patient's number
        for word in line.words:
            plain = plain_text(word.text)
            parts = [part.strip() for part in re.split(r"\s{2,}|[,;|]", plain) if part.strip()]
            measured = measurements and _is_measured(plain)
            if measured and re.search(r"[^\W\d_]", _UNIT.sub("", plain)):
                labelled = True
            elif not measured:
                labelled = False
            if all(_KEPT.fullmatch(part) for part in parts) or (measured and labelled):
                kept.add(word)
    return [word for word in words if word in kept]


def _is_measured(plain: str) -> bool:
    """Whether a text is nothing but labels of measurements, figures of their length, and units."""
    figures = re.findall(r"\d+", plain)
    longest = 4 if LABELS["RR"].search(plain) else 3
    if any(len(one) > longest for one in figures) or _DATE.search(plain):
        return False
    rest = plain
    for pattern in (_UNIT, *LABELS.values()):
        rest = pattern.sub(" ", rest)
    return not re.search(r"[^\W\d_]", rest)


def is_telling(text: str) -> bool:
    """Whether a text among the rows may tell who was recorded: a word or a number of some length."""
    letters = [letter for letter in text.casefold() if letter.isalnum()]
    if len(set(letters)) <= PATTERN_LETTERS or _LIKE_LEAD.fullmatch(plain_text(text)):
        return False
    return len(letters) > TELLING_LETTERS and bool(re.search(r"[^\W\d_]{4}|\d{4}|\d[./-]\d+[./-]\d", text))


def _fill(mask: NDArray[np.bool_], word: HeaderWord, picture: Upright, margin: float, value: bool) -> None:
    """Set the place of a word in the picture as given."""
    r0, c0, r1, c1 = word.box_px
    box = np.array([[r0, c0], [r0, c1], [r1, c1], [r1, c0]]) + margin * np.array(
        [[-1, -1], [-1, 1], [1, 1], [1, -1]]
    )
    corners = np.round(picture.to_given(box)[:, ::-1]).astype(np.int32)
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(drawn, [corners], 1)
    mask[drawn.astype(bool)] = value
