"""Names of a document's text layer: at which rows they are, and whether the rest of the page agrees with
them.

In: names, the page's rows, words read from the picture. Out: `RowName`s, and sentences.
"""

from __future__ import annotations

import numpy as np

from ecg_hough.elements import PrintedWord, Pulse, RowName
from ecg_hough.layout.fit import LayoutFit
from ecg_hough.networks.canvas import Canvas
from ecg_hough.paper import LEADS
from ecg_hough.vectors.strokes import NotDrawnError

SAME_COLUMN_MM, NEAR_NAME_PX = 8.0, 8.0
"""Names of one column are this near to each other; and this near, on the canvas, to their usual distance from
their rows."""
SAME_WORD_MM, SURE_WORD = 3.0, 0.9
"""Distance within which two words are one; score of a word that is surely seen."""
ALIKE_HEIGHTS = 0.05
"""Difference, as a share, of pulses that are equally high."""


def count_names(words: tuple[PrintedWord, ...]) -> int:
    """Number of words that name one of the twelve leads."""
    return sum(word.word.removeprefix("-") in LEADS for word in words)


def names_at_rows(
    names: tuple[PrintedWord, ...], fitted: LayoutFit, canvas: Canvas, px_per_mm: tuple[float, float]
) -> tuple[tuple[RowName, ...], dict[int, float]]:
    """The text layer's names at the page's rows.

    A name belongs to the row from whose line it is as far as the names that the layout knows are from theirs.

    Returns:
        The names; and by row the place down the page, mm, of one of the column that most rows have one in.
    """
    if not names or not fitted.names:
        return (), {}
    lines = fitted.rows.lines + fitted.rows.curl
    at = canvas.from_page(np.array([(name.row, name.col) for name in names]))
    cols = np.clip(np.round(at[:, 1]).astype(int), 0, lines.shape[1] - 1)
    above = at[:, 0] - lines[:, cols]  # (rows, names)
    last = lines.shape[1] - 1
    known = [p.name.row - lines[p.row, min(last, max(0, round(p.name.col)))] for p in fitted.names]
    off = np.abs(above - float(np.median(known)))
    found = [
        (RowName(name.word, int(k), name.col / px_per_mm[1]), name.row / px_per_mm[0])
        for name, k, near in zip(names, off.argmin(axis=0), off.min(axis=0), strict=True)
        if near <= NEAR_NAME_PX
    ]
    columns: dict[float, dict[int, float]] = {}
    for one, y_mm in found:
        column = next((x for x in columns if abs(x - one.x_mm) <= SAME_COLUMN_MM), one.x_mm)
        columns.setdefault(column, {})[one.row_index] = y_mm
    return tuple(one for one, _ in found), max(columns.values(), key=len, default={})


def contradictions(
    words: tuple[PrintedWord, ...], seen: tuple[PrintedWord, ...], px_per_mm: tuple[float, float]
) -> tuple[str, ...]:
    """Sentences where the text layer says two things, or not what the picture shows.

    Args:
        words: of the text layer; seen: read from the picture.

    Raises:
        NotDrawnError: the picture shows more other names than the same ones.
    """
    warnings = []
    speeds = sorted({word.word for word in words if word.word.endswith(" mm/s")})
    if len(speeds) > 1:
        warnings.append(f"paper speed: the text layer states {' and '.join(speeds)}")
    others, n_alike = [], 0
    for one in words:
        for two in seen:
            off_mm = np.hypot((one.row - two.row) / px_per_mm[0], (one.col - two.col) / px_per_mm[1])
            both = {word.word.removeprefix("-") for word in (one, two)}
            if off_mm <= SAME_WORD_MM and two.score >= SURE_WORD and both <= set(LEADS):
                n_alike += len(both) == 1
                others += [f"{two.word} for {one.word}"] * (len(both) > 1)
    if len(others) > max(1, n_alike):
        raise NotDrawnError(f"its picture shows other names than its text layer: {', '.join(others[:3])}")
    if len(others) > 1:  # a trace through a name changes it
        warnings.append(f"vector: the picture shows {', '.join(others)} of the text layer, which was used")
    return tuple(warnings)


def uneven_pulses(pulses: tuple[Pulse, ...]) -> tuple[str, ...]:
    """A sentence where rows have pulses of different heights."""
    heights = [pulse.height_mm for pulse in pulses]
    if not heights or max(heights) <= (1 + ALIKE_HEIGHTS) * min(heights):
        return ()
    return (
        f"gain: calibration pulses are {min(heights):.1f} to {max(heights):.1f} mm high; rows differ in it",
    )
