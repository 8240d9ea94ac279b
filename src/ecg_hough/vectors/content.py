"""What a document's page holds for an ECG: traces, pulses, other strokes and words, the right way up.

In: `Picture` with its drawing. Out: `Content`, or None where no traces are among the paths.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Drawing, PrintedWord
from ecg_hough.image.reading import Picture
from ecg_hough.vectors.pulses import DrawnPulse, find_pulses, without_pulse
from ecg_hough.vectors.strokes import (
    WELD_MM,
    DrawnTrace,
    NotDrawnError,
    Stroke,
    find_traces,
    reading_turns,
    weld,
)
from ecg_hough.vectors.text import panel_names, printed_words
from ecg_hough.vectors.visible import seen_share

log = logging.getLogger(__name__)

SEEN_MIN = 0.97
"""Least share of a trace that its picture shows."""


@dataclass(frozen=True)
class Content:
    """A page's content, upright; all places are px of `image`.

    Attributes:
        turns: clockwise quarter turns of the page as given; image: (rows, cols, 3), turned by them.
        px_per_mm: of it, down and across, if the page is printed at its nominal size.
        strokes: all that is stroked; traces, pulses: what of it is an ECG.
        words: known words of the text layer; names: of leads there, other leads than the twelve, too.
    """

    turns: int
    image: NDArray[np.uint8]
    px_per_mm: tuple[float, float]
    strokes: tuple[Stroke, ...]
    traces: tuple[DrawnTrace, ...]
    pulses: tuple[DrawnPulse, ...]
    words: tuple[PrintedWord, ...]
    names: tuple[PrintedWord, ...]


def find_content(picture: Picture) -> Content | None:
    """The content of a page; None where no traces are among its paths.

    Raises:
        NotDrawnError: there are, but they cannot be used.
    """
    if picture.drawing is None:
        return None
    if picture.drawing.unread is not None:
        raise NotDrawnError(picture.drawing.unread)
    drawing, strokes, turns = _upright(picture.drawing, picture.image.shape)
    joined = find_traces(strokes, drawing.scale)
    if not joined:
        return None
    apart = [without_pulse(trace, drawing.scale) for trace in joined]
    image = np.ascontiguousarray(np.rot90(picture.image, -turns))
    content = Content(
        turns=turns,
        image=image,
        px_per_mm=drawing.px_per_mm,
        strokes=tuple(strokes),
        traces=tuple(trace for trace, _ in apart),
        pulses=(*(pulse for _, pulse in apart if pulse is not None), *find_pulses(strokes, drawing.scale)),
        words=printed_words(drawing.words),
        names=panel_names(drawing.words),
    )
    _refuse_unseen(content)
    return content


def _upright(drawing: Drawing, shape: tuple[int, ...]) -> tuple[Drawing, list[Stroke], int]:
    strokes = weld(drawing.paths, WELD_MM * drawing.scale)
    turns = reading_turns(strokes, drawing)
    if turns:
        drawing = drawing.turned(turns, shape)
        strokes = weld(drawing.paths, WELD_MM * drawing.scale)
    return drawing, strokes, turns


def _refuse_unseen(content: Content) -> None:
    least = min(seen_share(content.image, trace) for trace in content.traces)
    log.info(
        "vector: %d traces and %d pulses; the picture shows %.3f of the trace that is seen least",
        len(content.traces), len(content.pulses), least,
    )  # fmt: skip
    if least < SEEN_MIN:
        raise NotDrawnError(
            f"the page shows only {least:.0%} of a trace that its paths hold, at least {SEEN_MIN:.0%} is"
            " needed: it is covered or cut off"
        )
