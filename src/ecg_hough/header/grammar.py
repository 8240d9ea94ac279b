"""What printed words say of measurements, in English, German, French, Spanish and Italian.

In: `HeaderWord`s in upright lines. Out: `Measurement`s. A value is taken where a label, a number and, if
there is one, a unit stand in one line, and where the number is plausible; of values that contradict each
other one is left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ecg_hough.clinical import QUANTITIES, Measurement
from ecg_hough.header.words import HeaderWord

SCORE_MIN = 0.5
"""Words that are read less surely say nothing."""
SAME_LINE = 0.5
"""Words are in one line where they overlap by this share of the lower one's height."""
GAP_LINES = 20.0
"""A value is at most this many line heights behind its label."""
HEADING_LINES = 4
"""Lines below the heading of the axes that may belong to it."""
RATE_SHARE = 0.04
"""Printed heart rate and RR interval agree within this share."""
QTC_SHARE, QTC_MS = 0.03, 8.0
"""A printed QTc agrees with one of the usual formulas within this share and these ms."""

_INTERVAL = r"(?:interv[a-z]*\.?|int\.?|ze[il]t|time)"
_LENGTH = r"(?:duration|dauer|duree|duracion|durata|breite|zeit|dur\.?)"
_RATE = (
    r"vent[a-z]*\.?\s*(?:rate|freq[a-z]*\.?)|heart\s*rate|herzfrequenz|fre?[qc][a-z]*[.,]?\s*(?:ve|car)[a-z]*\.?"
    r"|\brate\b|\bfrequenz\b|\bh\.?r\.?(?![a-z])|\bhf\b|\bfc\b"
)
_WAVES = r"\b(?:[p2][\s/,.-]{0,3})?(?:qrs|r|k)[\s/,.-]{0,3}t\b"
_AXES = r"(?:axes|axis|axe|achsen|achse|ejes|eje|assi|asse)"
LABELS: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in (
        ("axes", rf"{_WAVES}[\s-]*{_AXES}|{_AXES}[\s:]*{_WAVES}"),
        ("axis heading", rf"^[\s\-–—=_.]*{_AXES}[\s\-–—=_.:]*$"),
        ("QT/QTc", r"\bqt\s*/\s*qt\s*c?\s*[a-z]?(?:-?\s*baz[a-z]*|-?\s*fri[a-z]*)?"),
        ("QTcF", rf"\bqtc?\s*[-(]?\s*f(?:rid[a-z]*|\)|\b)|\b{_INTERVAL}\s*qtcf"),
        ("QTcB", rf"\bqtc?\s*[-(]?\s*b(?:az[a-z]*|\)|\b)|\b{_INTERVAL}\s*qtcb"),
        ("QTc", rf"\b{_INTERVAL}\s*qtc\b|\bqtc\b(?:[\s-]*{_INTERVAL})?"),
        ("QT", rf"\b{_INTERVAL}\s*qt\b|\bqt\b(?:[\s-]*{_INTERVAL})?"),
        ("QRS", rf"\b{_LENGTH}\s*qrs\b|\bqrsd?\b(?:[\s-]*{_LENGTH})?"),
        ("PR", rf"\b{_INTERVAL}\s*p[rq]\b|\bp[rq]\b(?:[\s-]*{_INTERVAL})?"),
        ("RR", rf"\b{_INTERVAL}\s*r-?r\b|\br-?r\b(?:[\s-]*{_INTERVAL})?"),
        ("P", rf"\b{_LENGTH}\s*p\b|\bp[\s-]*{_LENGTH}|^p\b"),
        ("T", r"^t\b"),
        ("HR", _RATE),
    )
}
"""Labels in plain lower case without accents; an earlier one wins where two begin at one place."""
_NUMBER = r"-?\d{1,4}"
_BETWEEN = re.compile(r"[\s:;,=.…_]*")
_WHOLE = r"(?![\d.,]*\d)(?!(?!m[s$5]|[bl1]pm|lat|bat|s/|deg)[a-z])"
"""Behind a figure: no other one, and no letter but of a unit."""
_ONE = re.compile(rf"({_NUMBER}){_WHOLE}")
_TWO = re.compile(rf"({_NUMBER})\s*[/|]\s*({_NUMBER}){_WHOLE}")
_NEXT = r"\s*°?(?:\s*[/|,;]\s*|\s+)"
_THREE = re.compile(rf"({_NUMBER}|\*){_NEXT}({_NUMBER}|\*){_NEXT}({_NUMBER}|\*)(?!\d|[a-z]{{2}})")


@dataclass(frozen=True)
class Line:
    """Words of one line.

    Attributes:
        words: from left to right.
        text: plain lower case, words that stand apart separated by two spaces.
        of: word of every letter of `text`; None between words.
    """

    words: tuple[HeaderWord, ...]
    text: str
    of: tuple[HeaderWord | None, ...]

    def piece(self, start: int, stop: int) -> tuple[HeaderWord, ...]:
        """Words of letters start to stop."""
        found = dict.fromkeys(word for word in self.of[start:stop] if word is not None)
        return tuple(found)


def lines_of(words: Iterable[HeaderWord]) -> list[Line]:
    """Words in lines, from top to bottom."""
    rows: list[list[HeaderWord]] = []
    for word in sorted(words, key=lambda one: one.box_px[0] + one.box_px[2]):
        for row in reversed(rows[-6:]):
            if _in_line(word, row[-1]) and all(_in_line(word, other) for other in row[-3:]):
                row.append(word)
                break
        else:
            rows.append([word])
    return [_line(sorted(row, key=lambda one: one.box_px[1])) for row in rows]


def _in_line(one: HeaderWord, other: HeaderWord) -> bool:
    overlap = min(one.box_px[2], other.box_px[2]) - max(one.box_px[0], other.box_px[0])
    return overlap >= SAME_LINE * min(one.height_px, other.height_px)


def _line(words: Sequence[HeaderWord]) -> Line:
    text = ""
    of: list[HeaderWord | None] = []
    for word in words:
        if text:
            text += "  "
            of += [None, None]
        plain = plain_text(word.text)
        text += plain
        of += [word] * len(plain)
    return Line(tuple(words), text, tuple(of))


def plain_text(text: str) -> str:
    """Lower case without accents, as `LABELS` are written, with what is often misread set right."""
    apart = unicodedata.normalize("NFKD", text.casefold().replace("≠", "*"))
    plain = "".join(letter for letter in apart if not unicodedata.combining(letter))
    plain = plain.replace("−", "-").replace("–", "-").replace("—", "-").replace("º", "°")
    # A circle among figures is a zero, a stroke before them a one; "OT", "0RS" and "QTe" are names of waves.
    plain = re.sub(r"(?<=\d)o(?=\d|\b)|(?<![a-z])o(?=\d)", "0", plain)
    plain = re.sub(r"(?<![a-z])[l|i](?=\d)", "1", plain)
    plain = re.sub(r"\b[0o](?=tc?\b|rsd?\b)", "q", plain)
    return re.sub(r"\bqte\b", "qtc", plain)


def read_measurements(words: Iterable[HeaderWord]) -> tuple[Measurement, ...]:
    """Printed measurements, each once, without those that contradict each other."""
    found: dict[str, Measurement] = {}
    heading: Line | None = None
    below: list[Line] = []
    for line in lines_of(word for word in words if word.score >= SCORE_MIN):
        if heading is not None and len(below) < HEADING_LINES:
            below.append(line)
        inside = heading if below and below[-1] is line else None
        for one in _of_line(line, inside):
            if one.name not in found:
                found[one.name] = one
        if heading is None and any(name == "axis heading" for name, _, _ in _labels(line)):
            heading = line
    for one in _unlabelled_axes(below, found.get("QRS axis")):
        found.setdefault(one.name, one)
    return tuple(_consistent(found).values())


def _unlabelled_axes(lines: Sequence[Line], middle: Measurement | None) -> Iterator[Measurement]:
    """Axes of P and T above and below that of QRS, whose labels, single letters, were not read."""
    if middle is None or middle.box_px is None:
        return
    row, right = 0.5 * (middle.box_px[0] + middle.box_px[2]), middle.box_px[3]
    height = middle.box_px[2] - middle.box_px[0]
    for line in lines:
        for word in line.words:
            number = re.fullmatch(_NUMBER, plain_text(word.text))
            apart = (0.5 * (word.box_px[0] + word.box_px[2]) - row) / height
            if number and abs(word.box_px[3] - right) < 1.5 * height and 0.6 < abs(apart) < 2.2:
                name = "P axis" if apart < 0 else "T axis"
                if _fits(name, float(number[0]), ""):
                    yield _measurement(name, float(number[0]), (word,))


def _labels(line: Line) -> list[tuple[str, int, int]]:
    """Labels of a line with their first letter and the one behind them, from left to right."""
    hits: list[tuple[int, int, int, str]] = []
    pieces = [(0, line.text)]
    # What begins a word of its own may also be matched from its start on.
    pieces += [(m.end(), line.text[m.end() :]) for m in re.finditer(r"\s{2,}", line.text)]
    for order, (name, pattern) in enumerate(LABELS.items()):
        for offset, text in pieces:
            part = text.split("  ")[0] if name == "axis heading" else text
            for match in pattern.finditer(part):
                stop = match.start() + len(match[0].rstrip())
                hits.append((offset + match.start(), order, offset + stop, name))
    out: list[tuple[str, int, int]] = []
    behind = 0
    for start, _, stop, name in sorted(set(hits)):
        if start >= behind and stop > start:
            out.append((name, start, stop))
            behind = stop
    return out


def _of_line(line: Line, heading: Line | None) -> Iterator[Measurement]:
    labels = _labels(line)
    for k, (name, start, stop) in enumerate(labels):
        limit = labels[k + 1][1] if k + 1 < len(labels) else len(line.text)
        begin = _BETWEEN.match(line.text, stop, limit)
        first = begin.end() if begin else stop
        if name == "axis heading" or not _is_near(line, stop, first):
            continue
        yield from _values(line, name, start, first, limit, heading)


def _is_near(line: Line, stop: int, first: int) -> bool:
    """Whether the value stands close enough behind its label."""
    before, after = line.piece(stop - 1, stop), line.piece(first, first + 1)
    if not before or not after:
        return False
    gap = after[0].box_px[1] - before[0].box_px[3]
    return gap <= GAP_LINES * max(before[0].height_px, after[0].height_px)


def _values(
    line: Line, name: str, start: int, first: int, limit: int, heading: Line | None
) -> Iterator[Measurement]:
    """Measurements that a label and what stands behind it give."""
    kinds: tuple[str, ...]
    if name == "axes":
        kinds, pattern = ("P axis", "QRS axis", "T axis"), _THREE
    elif name == "QT/QTc":
        kinds, pattern = ("QT", "QTc"), _TWO
    else:
        kinds, pattern = (name,), _ONE
        under = heading is not None and _is_below(line.piece(start, start + 1), heading)
        if under and name in ("P", "QRS", "T"):
            kinds = (f"{name} axis",)
        elif name == "T":
            return
    match = pattern.match(line.text, first, limit)
    if match is None:
        return
    unit = line.text[match.end() : match.end() + 12]
    for kind, number in zip(kinds, match.groups(), strict=True):
        value = float("nan") if number == "*" else float(number)
        if _fits(kind, value, unit):
            words = line.piece(start, match.end())
            yield _measurement(kind, value, words)


def _is_below(words: Sequence[HeaderWord], heading: Line) -> bool:
    """Whether words stand below the heading of the axes."""
    if not words:
        return False
    left, right = words[0].box_px[1], words[0].box_px[3]
    height = words[0].height_px
    return any(
        left < word.box_px[3] + 2 * height and right > word.box_px[1] - 2 * height for word in heading.words
    )


def _fits(name: str, value: float, unit: str) -> bool:
    """Whether a value is plausible, and its unit none of another quantity."""
    quantity = QUANTITIES[name]
    unit = unit.strip()
    if quantity.unit == "ms" and re.match(r"s\b|sec|mm|cm|%|jahre|years|ans\b|kg|hz|°", unit):
        return False
    if quantity.unit == "1/min" and re.match(r"m?s\b(?!/)|mm|cm|%|jahre|years|kg|hz|°", unit):
        return False
    if quantity.unit == "deg" and re.match(r"ms\b|mm|hz|bpm|/min", unit):
        return False
    return quantity.low <= value <= quantity.high


def _measurement(name: str, value: float, words: Sequence[HeaderWord]) -> Measurement:
    boxes = [word.box_px for word in words]
    box = (
        min(one[0] for one in boxes), min(one[1] for one in boxes),
        max(one[2] for one in boxes), max(one[3] for one in boxes),
    )  # fmt: skip
    return Measurement(
        name,
        value,
        QUANTITIES[name].unit,
        words=" ".join(word.text for word in words),
        box_px=box,
        score=min(word.score for word in words),
        source=words[0].source,
    )


def _consistent(found: dict[str, Measurement]) -> dict[str, Measurement]:
    """Values without those that contradict each other: of such a set, the least surely read is left out."""
    kept = dict(found)
    rate, rr = kept.get("HR"), kept.get("RR")
    if rate is not None and rr is not None and abs(60_000 / rate.value - rr.value) > RATE_SHARE * rr.value:
        del kept[min((rate, rr), key=lambda one: one.score).name]
    for name in ("QTc", "QTcB", "QTcF"):
        three = [kept.get(one) for one in ("HR", "QT", name)]
        known = [one for one in three if one is not None]
        if len(known) == 3 and not _is_corrected(*(one.value for one in known)):
            del kept[min(known, key=lambda one: one.score).name]
    pairs = (("QRS", "QT"), ("P", "PR"))
    for small, large in pairs:
        one, other = kept.get(small), kept.get(large)
        if one is not None and other is not None and one.value >= other.value:
            del kept[min((one, other), key=lambda each: each.score).name]
    return kept


def _is_corrected(rate: float, qt: float, qtc: float) -> bool:
    """Whether a QTc follows from QT and the heart rate by Bazett, Fridericia, Framingham or Hodges."""
    rr = 60.0 / rate
    formulas = (qt / rr**0.5, qt / rr ** (1 / 3), qt + 154 * (1 - rr), qt + 1.75 * (rate - 60))
    room = QTC_SHARE * qtc + QTC_MS
    return min(formulas) - room <= qtc <= max(formulas) + room
