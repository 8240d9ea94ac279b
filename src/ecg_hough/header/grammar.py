"""What printed words say of measurements, in English, German, French, Spanish and Italian.

In: `HeaderWord`s in upright lines. Out: `Measurement`s. A value is taken where a label, a number and, if
there is one, a unit stand in one line, and where the number is plausible; of values that contradict each
other one is left out.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ecg_hough.clinical import QUANTITIES, Measurement
from ecg_hough.header.words import HeaderWord

SCORE_MIN = 0.5
"""Words that are read less surely say nothing."""
SCORE_SURE = 0.85
"""Values of words that are read less surely need others that confirm them: on 100 rendered pages 9 of those
were right and 3 wrong, of the surer ones 699 and 1."""
SAME_LINE = 0.5
"""Words are in one line where they overlap by this share of the lower one's height."""
GAP_LINES = 20.0
"""A value is at most this many line heights behind its label."""
HEADING_LINES = 4
"""Lines below the heading of the axes that may belong to it."""
SPELLED_LETTERS, ALIKE, AS_ALIKE = 5, 0.75, 0.05
"""A misread label has so many letters, is as like a known one, and is like all that are as like it but for so
much (1 is the same)."""
RATE_SHARE = 0.04
"""Printed heart rate and RR interval agree within this share."""
QTC_SHARE, QTC_MS = 0.03, 8.0
"""A printed QTc agrees with one of the usual formulas within this share and these ms."""

_NUMBER = r"-?\d{1,4}"
_BETWEEN = re.compile(r"[\s:;,=.…_]*")
_WHOLE = r"(?![\d.,]*\d)(?!(?!m[s$5]|[bl]pm|lat|bat|s/|deg)[a-z])"
"""Behind a figure: no other one, and no letter but of a unit."""
_ONE = re.compile(rf"({_NUMBER}){_WHOLE}")
_TWO = re.compile(rf"({_NUMBER})\s*[/|]\s*({_NUMBER}){_WHOLE}")
_TWO_MISREAD = re.compile(rf"(\d{{3}})[\s71li]?(\d{{3}}){_WHOLE}")
"""Two values of three figures whose stroke was read as a figure, or not at all."""
_RATED = re.compile(rf"({_NUMBER})(?=\s*(?:[bl]pm|(?:bat|batt|lat|s|1)?\s?/\s?min)(?![a-z]))")
_PIECE = re.compile(r"(?:^|(?<=  ))[a-z](?:(?!  )[^*])*?(?:[\s:]+|(?<=[a-z]))(?=[-*]?\d{1,3}(?!\d)|\*)")
"""What may be a label: what stands before a number."""
_NEXT = r"\s*°?(?:\s*[/|,;]\s*|\s+|-?(?=-))"
_THREE_TEXT = rf"({_NUMBER}|\*){_NEXT}({_NUMBER}|\*){_NEXT}({_NUMBER}|\*)(?!\d|[a-z]{{3}})"
_THREE = re.compile(_THREE_TEXT)

_INTERVAL = r"(?:interv[a-z]*\.?|int\.?|ze[il]t|time)"
_LENGTH = r"(?:duration|dauer|duree|duracion|durata|breite|zeit|dur\.?)"
_RATE = (
    r"vent[a-z]*\.?\s*(?:rate|freq[a-z]*\.?)|heart\s*rate|herzfrequenz|fre?[qc][a-z]*[.,]?\s*(?:ve|car)[a-z]*\.?"
    r"|\brate\b|\bfrequenz\b|\bh\.?r\.?(?![a-z])|\bhf\b|\bfc\b"
)
_SEP = r"[\s/,.-]{0,3}"
_P, _R_T = r"[p2]", rf"(?:qrs|r|k){_SEP}t(?![a-z])"
_AXES = r"(?:axes|axis|axe|achsen|achse|ejes|eje|assi|asse)"
_QT, _QTC, _PR, _RR, _QRS = (
    rf"(?<![a-z]){wave}(?![a-z])" for wave in ("qt", "qtc", "p[rq]", "r-?r", "qrsd?")
)
LABELS: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in (
        (
            "axes",
            rf"(?<![a-z])(?:{_P}{_SEP})?{_R_T}[\s-]*{_AXES}|{_AXES}[\s:]*(?:{_P}{_SEP})?{_R_T}"
            rf"|(?<![a-z]){_P}{_SEP}{_R_T}|\b{_AXES}(?=[\s:]+{_THREE_TEXT})",
        ),
        ("axis heading", rf"^[\s\-=_.]*{_AXES}[\s\-=_.:]*$|^-+[a-z]{{2,6}}-+$"),
        ("QT/QTc", rf"{_QT}\s*/\s*qt\s*c?\s*(?:[a-z](?![a-z]))?(?:-?\s*baz[a-z]*|-?\s*fri[a-z]*)?"),
        ("QTcF", rf"(?<![a-z])qtc?\s*[-(]?\s*f(?:rid[a-z]*|\)|(?![a-z]))|\b{_INTERVAL}\s*qtcf"),
        ("QTcB", rf"(?<![a-z])qtc?\s*[-(]?\s*b(?:az[a-z]*|\)|(?![a-z]))|\b{_INTERVAL}\s*qtcb"),
        ("QTc", rf"\b{_INTERVAL}\s*{_QTC}|{_QTC}(?:[\s-]*{_INTERVAL})?"),
        ("QT", rf"\b{_INTERVAL}\s*{_QT}|{_QT}(?:[\s-]*{_INTERVAL})?"),
        ("QRS", rf"\b{_LENGTH}\s*{_QRS}|{_QRS}(?:[\s-]*{_LENGTH})?"),
        ("PR", rf"\b{_INTERVAL}\s*{_PR}|{_PR}(?:[\s-]*{_INTERVAL})?"),
        ("RR", rf"\b{_INTERVAL}\s*{_RR}|{_RR}(?:[\s-]*{_INTERVAL})?"),
        ("P", rf"\b{_LENGTH}\s*p(?![a-z])|\bp[\s-]*{_LENGTH}|^p(?![a-z])"),
        ("T", r"^t(?![a-z])"),
        ("HR", _RATE),
    )
}
"""Labels in plain lower case without accents; an earlier one wins where two begin at one place."""
_WAVES = {"pr": "PR", "pq": "PR", "qt": "QT", "qtc": "QTc", "rr": "RR"}
_SPELLED: dict[str, str] = {
    **{
        phrase.format(wave): name
        for wave, name in _WAVES.items()
        for phrase in (
            "{} interval", "{}-intervall", "intervalle {}", "intervalo {}", "intervallo {}", "{}-zeit",
            "int. {}",
        )
    },
    **{
        phrase.format(wave): wave.upper()
        for wave in ("p", "qrs")
        for phrase in ("{} duration", "{}-dauer", "{}-breite", "duree {}", "duracion {}", "durata {}")
    },
    **{
        phrase.format(waves): "axes"
        for waves in ("p-r-t", "p-qrs-t", "p/qrs/t")
        for phrase in ("{} axes", "{}-achsen", "achsen {}", "axes {}", "ejes {}", "eje {}", "assi {}")
    },
    **dict.fromkeys(
        (
            "vent. rate", "ventricular rate", "heart rate", "herzfrequenz", "ventr. frequenz", "frequenz",
            "freq. ventr.", "frequence cardiaque", "freq. card.", "frec. ventr.", "frecuencia cardiaca",
            "frec. cardiaca", "frequenza cardiaca",
        ),
        "HR",
    ),
}  # fmt: skip
"""Labels written out: what is misread by a letter or two is compared with these."""


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
    plain = re.sub(r"\b[0o](?=t[ceo]?(?![a-z])|rsd?(?![a-z]))", "q", plain)
    plain = re.sub(r"(?<![a-z])q[rn][s5](?![a-ce-z])", "qrs", plain)
    # "95 lpm" may look like "951pm", and a long word has no figure in it.
    plain = re.sub(r"(?<=\d)(\s?)[1li]pm", r"\1bpm ", plain)
    plain = re.sub(r"(?<=[a-z]{4})1(?!\d)", "l", plain)
    plain = re.sub(r"(?<!\d)([4-9]\d|\d{3})(?=1\s?/\s?min)", r"\1 ", plain)
    # A minus may look like a full stop, which has no figure behind it.
    plain = re.sub(r"(?<![^\s:])[._](?=\d{1,3}(?![\d.,]))", "-", plain)
    return re.sub(r"(?<![a-z])qt(?:[eo](?![a-z])|[<(])", "qtc", plain)


def read_measurements(words: Iterable[HeaderWord]) -> tuple[Measurement, ...]:
    """Printed measurements, each once, without those that contradict each other."""
    found: dict[str, Measurement] = {}
    heading: Line | None = None
    below: list[Line] = []
    lines = lines_of(word for word in words if word.score >= SCORE_MIN)
    for line in lines:
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
    possible = [candidates for line in lines for candidates in _misread(line)]
    doubtful: list[list[tuple[Measurement, ...]]] = [
        [(one,)] for one in found.values() if one.score < SCORE_SURE
    ]
    found = _consistent({name: one for name, one in found.items() if one.score >= SCORE_SURE})
    for candidates in (*possible, *doubtful):
        fitting = [values for values in candidates if _agree(values, found)]
        if len(fitting) == 1:
            found |= {one.name: one for one in fitting[0]}
    return tuple(found.values())


def _misread(line: Line) -> Iterator[list[tuple[Measurement, ...]]]:
    """Of each piece whose label or stroke may have been misread, all that it can say."""
    labels = _labels(line)
    for name, start, stop in labels:
        begin = _BETWEEN.match(line.text, stop)
        if name == "QT/QTc" and begin and (match := _TWO_MISREAD.match(line.text, begin.end())):
            yield [tuple(_numbers(line, ("QT", "QTc"), match, start))]
    rate = _RATED.search(line.text)
    if rate is not None:
        yield [tuple(_numbers(line, ("HR",), rate, rate.start()))]
    for piece in _PIECE.finditer(line.text):
        text = piece[0].rstrip(" :;,.=_-")
        if len(text) >= SPELLED_LETTERS and _is_near(line, piece.start() + len(text), piece.end()):
            limit = min((start for _, start, _ in labels if start >= piece.end()), default=len(line.text))
            yield [
                tuple(_values(line, kind, piece.start(), piece.end(), limit, None)) for kind in _spelled(text)
            ]


def _spelled(text: str) -> set[str]:
    """Names of the labels that a misread text is like, all about as much."""
    alike = {
        one: difflib.SequenceMatcher(None, text, one, autojunk=False).ratio()
        for one in difflib.get_close_matches(text, _SPELLED, n=8, cutoff=ALIKE)
    }
    return {_SPELLED[one] for one, ratio in alike.items() if ratio > max(alike.values()) - AS_ALIKE}


def _agree(values: tuple[Measurement, ...], found: dict[str, Measurement]) -> bool:
    """Whether doubtful values are new, and do not contradict what is sure.

    What has no label, or no stroke between two values, must be confirmed by those that it follows from.
    """
    new = {one.name: one for one in values}
    if not new or new.keys() & found.keys():
        return False
    unsure = min(one.score for one in values) < SCORE_SURE
    if unsure or new.keys() <= {"HR", "QT", "QTc"}:
        known = found.keys() | new.keys()
        if not any(new.keys() <= all_ <= known for all_ in _FOLLOWING):
            return False
    return _consistent(found | new).keys() == found.keys() | new.keys()


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
    elif name == "QTc" and _TWO.match(line.text, first, limit):
        kinds, pattern = ("QT", "QTc"), _TWO  # the first half of "QT/QTc" was not read
    else:
        kinds, pattern = (name,), _ONE
        under = heading is not None and _is_below(line.piece(start, start + 1), heading)
        if under and name in ("P", "QRS", "T"):
            kinds = (f"{name} axis",)
        elif name == "T":
            return
    match = pattern.match(line.text, first, limit)
    if match is not None:
        yield from _numbers(line, kinds, match, start)


def _numbers(line: Line, kinds: Sequence[str], match: re.Match[str], start: int) -> Iterator[Measurement]:
    """Plausible ones of the numbers that were matched; the label begins at `start`."""
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


_FOLLOWING = ({"HR", "QT", "QTc"}, {"HR", "QT", "QTcB"}, {"HR", "QT", "QTcF"}, {"HR", "RR"})
"""Of which each follows from the others."""


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
