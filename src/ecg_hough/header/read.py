"""The header of a page: what is printed around its traces.

In: the picture as given with its text layer, and the record of its traces. Out: a `Header`, and warnings
where print and signals disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.clinical import Header, Measurement
from ecg_hough.elements import TextWord
from ecg_hough.header.grammar import lines_of, read_measurements
from ecg_hough.header.person import (
    read_device,
    read_filter,
    read_interpretation,
    read_patient,
    read_recorded,
)
from ecg_hough.header.words import (
    TEXT_MIN,
    HeaderWord,
    Upright,
    ocr_words,
    on_picture,
    text_layer_words,
    upright,
)
from ecg_hough.options import HEADER_LEVELS, HeaderLevel
from ecg_hough.record import Record

COMPARED = ("HR", "QRS", "QRS axis")
"""Printed values that the signals must confirm."""
TWICE = 0.08
"""A measured heart rate that differs from the printed one by a factor of two, within this share of it, was
measured at the wrong paper speed."""
WORD_GAP = 1.2
"""Words of a text layer are of one piece where less than so many line heights lie between them."""


def read_header(
    image: NDArray[np.uint8], record: Record, level: HeaderLevel, words: Iterable[TextWord] = ()
) -> Header:
    """Read the header.

    Args:
        image: (rows, cols, 3) uint8 RGB, the page as given.
        record: of its traces: where they run, how the page is turned, its scale.
        level: "measurements" leaves out patient and time; "all" reads them too.
        words: the text layer of the page.

    Raises:
        ValueError: no such level, or "none".
    """
    if level not in HEADER_LEVELS[1:]:
        raise ValueError(f"level must be measurements or all; got {level!r}")
    picture = upright(image, record)
    layer = text_layer_words(words, record.quarter_turns, image.shape[:2])
    seen = pieces(layer) if len(layer) >= TEXT_MIN else ocr_words(picture, record)
    measured = read_measurements(seen)
    if seen and seen[0].source == "ocr":
        measured = tuple(_on_picture(one, picture) for one in measured)
    return Header(
        patient=read_patient(seen) if level == "all" else None,
        recorded=read_recorded(seen) if level == "all" else None,
        device=read_device(seen),
        filter=read_filter(seen),
        interpretation=read_interpretation(seen),
        measurements=measured,
    )


def pieces(words: list[HeaderWord]) -> list[HeaderWord]:
    """Single words of a text layer joined where they stand next to each other, as OCR gives them."""
    out: list[HeaderWord] = []
    for line in lines_of(words):
        for word in line.words:
            last = out[-1] if out else None
            if last is not None and _follows(last, word):
                box = (
                    min(last.box_px[0], word.box_px[0]), last.box_px[1],
                    max(last.box_px[2], word.box_px[2]), word.box_px[3],
                )  # fmt: skip
                out[-1] = replace(last, text=f"{last.text} {word.text}", box_px=box)
            else:
                out.append(word)
    return out


def _follows(last: HeaderWord, word: HeaderWord) -> bool:
    height = max(last.height_px, word.height_px)
    same = abs(last.box_px[0] + last.box_px[2] - word.box_px[0] - word.box_px[2]) < height
    return same and -0.5 * height < word.box_px[1] - last.box_px[3] < WORD_GAP * height


def _on_picture(one: Measurement, picture: Upright) -> Measurement:
    if one.box_px is None:
        return one
    word = HeaderWord("", one.box_px, 1.0, "ocr")
    return replace(one, box_px=on_picture(word, picture).box_px)


def speed_by_rate(header: Header, record: Record, measured: Iterable[Measurement]) -> float | None:
    """The paper speed at which the beats have the printed rate, if the speed used is off by a factor of two.

    A page whose beats seem to say 37 a minute and whose header says 74 was printed at 50 mm/s. A speed that
    is printed or given is not doubted.
    """
    printed = next((one.value for one in header.measurements if one.name == "HR"), None)
    own = next((one.value for one in measured if one.name == "HR"), None)
    if printed is None or own is None or record.speed_from in ("given", "text"):
        return None
    for factor in (0.5, 2.0):
        if abs(own * factor / printed - 1.0) <= TWICE:
            return record.speed_mm_s * factor
    return None


def disagreements(measured: Iterable[Measurement]) -> list[str]:
    """Warnings where a measured value contradicts the printed one."""
    return [
        f"header: the printed {one.name} is {one.printed:g} {one.unit}, the measured one {one.value:.0f} +-"
        f" {one.sd:.0f}; check paper speed, gain and leads"
        for one in measured
        if one.name in COMPARED and one.agrees is False and math.isfinite(one.value)
    ]
