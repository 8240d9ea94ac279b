"""What printed words say of the patient, the time, the device and the interpretation, in five languages.

In: `HeaderWord`s. Out: the fields of a `Header`. A field is taken behind its label alone; a date only where
its day and month cannot be exchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date

from ecg_hough.clinical import Patient, Sex
from ecg_hough.header.grammar import plain_text
from ecg_hough.header.words import HeaderWord

_NAME = (
    r"(?:patient\s*name|patientenname|nombre|nome|name|nom)\s*[:.]?\s+(?=\S)|(?:nombre|nome|name|nom)\s*:\s*"
)
_ID = (
    r"(?:patient\s*id|patienten-?\s*(?:id|nr)\.?|pat\.?\s*-?\s*(?:nr|id)\.?|id\s*(?:paciente|paziente|patient)?"
    r"|n[°o]?\s*patient)\s*[:.#]?\s*"
)
_BORN = (
    r"(?:dob|date\s*of\s*birth|birth\s*date|born|geb\.?(?:urtsdatum)?|ne\s*(?:\(e\))?\s*le|f\.?\s*nac\.?"
    r"|nat[oa]\s*il)"
)
_SEX = r"(?:sex|gender|geschl\.?(?:echt)?|sexe|sexo|sesso)\s*[:.]?\s*"
_SEXES: dict[str, Sex] = {
    "female": "F", "weiblich": "F", "feminin": "F", "femenino": "F", "femmina": "F", "mujer": "F", "f": "F",
    "w": "F", "male": "M", "mannlich": "M", "masculin": "M", "masculino": "M", "maschio": "M", "hombre": "M",
    "m": "M", "h": "M",
}  # fmt: skip
_MONTHS = {
    name: k + 1
    for k, names in enumerate((
        ("jan", "janv", "ene", "gen"), ("feb", "fev"), ("mar", "mrz", "marz"), ("apr", "avr", "abr"),
        ("may", "mai", "mag"), ("jun", "juin", "giu"), ("jul", "juil", "lug"), ("aug", "aout", "ago"),
        ("sep", "sept", "set"), ("oct", "okt", "ott"), ("nov",), ("dec", "dez", "dic"),
    ))
    for name in names
}  # fmt: skip
_DATE = re.compile(
    r"(?<!\d)(?:(\d{4})-(\d{2})-(\d{2})|(\d{1,2})[.\s-]?([a-z]{3,4})\.?[.\s-]?(\d{4})|(\d{1,2})([./-])(\d{1,2})\8(\d{4}))"
)
_TIME = re.compile(r"\s*,?\s*(\d{1,2}):(\d{2})(?::(\d{2}))?")
_FILTER = re.compile(
    r"(?:\d+[.,]?\d*\s*(?:hz)?\s*[-~–]\s*)?\d+[.,]?\d*\s*hz(?:\s*[-~–]\s*\d+\s*hz)?", re.IGNORECASE
)
_STATEMENT = re.compile(
    r"sinus|rhythm|rythme|ritmo|\be[ck]g\b|axis dev|linkstyp|rechtstyp|deviation|desviac|deviaz"
    r"|block|bloc\b|bloqueo|blocco|infar|ischa?em|ischem|isquem|hypertroph|hipertro|ipertro|fibrill|fibril"
    r"|tachy|taqui|tachi|brady|bradi|abnorm|anormal|normal|extrasyst|extras|pacemaker|schrittmacher"
)
_DEVICE = re.compile(
    r"\b(?:mac\s?\d{3,4}\w*|cardiovit\s*\S+|pagewriter\s*\S+|eli\s?\d{3}\w*|cardiette\s*\S+|at-\d+\w*|"
    r"marquette[^,;]*|cardiosoft\s*\S*|cardiofax\s*\S*|ecg-\d{4}\w*)",
    re.IGNORECASE,
)


def read_patient(words: Iterable[HeaderWord]) -> Patient:
    """Fields of the patient that stand behind their labels; None where one is not read."""
    found: dict[str, str] = {}
    for text in (word.text for word in words):
        plain = plain_text(text)
        for field, pattern in (("name", _NAME), ("id", _ID)):
            match = re.match(pattern, plain)
            # Letters keep their number in the plain text unless one is composed of two.
            rest = text[match.end() :].strip() if match and len(plain) == len(text) else ""
            if rest and field not in found and (field == "name") != any(c.isdigit() for c in rest):
                found[field] = rest
        if match := re.search(_BORN, plain):
            born = find_date(plain[match.end() :])
            if born is not None:
                found.setdefault("birth_date", born[0])
        if match := re.search(_SEX, plain):
            word = re.match(r"[a-z]+", plain[match.end() :])
            if word and word[0] in _SEXES:
                found.setdefault("sex", _SEXES[word[0]])
    return Patient(**found)  # type: ignore[arg-type]


def read_recorded(words: Iterable[HeaderWord]) -> str | None:
    """ISO date and time of the recording: a date with a time behind it, that is no date of birth."""
    for word in words:
        plain = plain_text(word.text)
        if re.search(_BORN, plain):
            continue
        found = find_date(plain)
        if found is None:
            continue
        day, behind = found
        clock = _TIME.match(plain, behind)
        if clock is None:
            continue
        hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
        if hour < 24 and minute < 60 and second < 60:
            return f"{day}T{hour:02d}:{minute:02d}:{second:02d}"
    return None


def find_date(text: str) -> tuple[str, int] | None:
    """The first date of a plain text in ISO, and the letter behind it; None where it could be two days.

    With slashes, day and month can be exchanged where both are at most 12 and differ.
    """
    match = _DATE.search(text)
    if match is None:
        return None
    year, month, day = match[1] or match[6] or match[10], match[2], match[3] or match[4] or match[7]
    if match[5]:
        month = str(_MONTHS.get(match[5], 0))
    elif match[9]:
        month = match[9]
        if match[8] == "/" and int(day) <= 12 and int(month) <= 12 and int(day) != int(month):
            return None
        if int(month) > 12:
            day, month = month, day
    try:
        return date(int(year), int(month), int(day)).isoformat(), match.end()
    except ValueError:
        return None


def read_device(words: Iterable[HeaderWord]) -> str | None:
    """Model of the electrocardiograph, where it is one of the usual ones."""
    return _first(_DEVICE, words)


def read_filter(words: Iterable[HeaderWord]) -> str | None:
    """The printed filter, such as "0.05-150 Hz"."""
    return _first(_FILTER, words)


def _first(pattern: re.Pattern[str], words: Iterable[HeaderWord]) -> str | None:
    for word in words:
        if match := pattern.search(word.text):
            return match[0].strip()
    return None


def read_interpretation(words: Sequence[HeaderWord]) -> tuple[str, ...]:
    """Lines of the printed interpretation: those with words of electrocardiography and no figures."""
    return tuple(
        word.text
        for word in words
        if _STATEMENT.search(plain_text(word.text)) and not re.search(r"\d{2}|:", word.text)
    )
