"""Words of a document's text layer that say how its ECG is printed: names of leads, paper speed, gain.

In: `TextWord`s. Out: the same `PrintedWord`s that the words network reads from pixels, with the score 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ecg_hough.elements import PrintedWord, TextWord
from ecg_hough.paper import GAIN_WORDS, INVERTED_AVR, LEADS, SPEED_WORDS

OTHER_NAMES = {
    **{f"C{k}": f"V{k}" for k in range(1, 7)},
    "DI": "I", "DII": "II", "DIII": "III", "D1": "I", "D2": "II", "D3": "III",
}  # fmt: skip
"""Names of leads in other countries: C1 is V1 in German, DI is I in Spanish, French, Portuguese and
Turkish."""
OTHER_LEADS = ("V3R", "V4R", "V5R", "V6R", "V7", "V8", "V9", "X", "Y", "Z", "A1", "A2", "A3", "A4")
"""Leads that are none of the twelve: a panel with such a name is no standard lead's."""
VALUES = {"mm/s": (5.0, 200.0), "mm/mV": (1.0, 80.0)}
"""Paper speeds and gains that exist."""
SPEED = re.compile(r"(?<![\d.,/])(\d+(?:[.,]\d+)?)\s*mm\s*/\s*s(?:ec)?\b", re.IGNORECASE)
GAIN = re.compile(r"(?<![\d.,/])(\d+(?:[.,]\d+)?)\s*(mm|cm)\s*/\s*mV\b", re.IGNORECASE)
LINE_SHARE, GAP_TIMES = 0.5, 3.0
"""Words are in one line within this share of their height, and next to each other within so many heights."""
_BY_NAME = {name.upper(): name for name in (*LEADS, INVERTED_AVR)}


def printed_words(words: Iterable[TextWord]) -> tuple[PrintedWord, ...]:
    """Names of leads, paper speeds and gains among the words that read from left to right."""
    level = [word for word in words if word.turns == 0]
    out = [
        PrintedWord(name, word.row, word.col, 1.0)
        for word in level
        if (name := lead_name(word.text)) is not None
    ]
    for line in _lines(level):
        text, places = "", []
        for word in line:
            text += word.text + " "
            places += [word] * (len(word.text) + 1)
        for pattern, known in ((SPEED, SPEED_WORDS), (GAIN, GAIN_WORDS)):
            for found in pattern.finditer(text):
                value = float(found[1].replace(",", "."))
                value *= 10.0 if found.lastindex == 2 and found[2].lower() == "cm" else 1.0
                unit = next(iter(known)).split()[-1]
                word = places[found.start()]
                if not VALUES[unit][0] <= value <= VALUES[unit][1]:
                    continue
                out.append(PrintedWord(f"{value:g} {unit}", word.row, word.col, 1.0))
    return tuple(out)


def lead_name(text: str) -> str | None:
    """The lead that a word names, as in `paper.LEADS`, or "-aVR"; None of another word."""
    name = text.strip(" :.,()").upper().replace("−", "-").replace("–", "-").removeprefix("MDC_ECG_LEAD_")
    return _BY_NAME.get(OTHER_NAMES.get(name, name))


def panel_names(words: Iterable[TextWord]) -> tuple[PrintedWord, ...]:
    """Names of leads, those of other leads than the twelve as they are printed."""
    out = []
    for word in words:
        other = word.text.strip(" :.,()").upper()
        name = lead_name(word.text) or (other if other in OTHER_LEADS else None)
        if name is not None and word.turns == 0:
            out.append(PrintedWord(name.removeprefix("-"), word.row, word.col, 1.0))
    return tuple(out)


def _lines(words: list[TextWord]) -> list[list[TextWord]]:
    """Words next to each other in one line, from left to right."""
    lines: list[list[TextWord]] = []
    for word in sorted(words, key=lambda one: one.col):
        for line in lines:
            last = line[-1]
            size = max(last.height_px, word.height_px)
            gap = word.col - word.width_px / 2 - last.col - last.width_px / 2
            if abs(word.row - last.row) <= LINE_SHARE * size and gap <= GAP_TIMES * size:
                line.append(word)
                break
        else:
            lines.append([word])
    return lines
