"""Printed headers of known content, in five languages and the forms of several carts.

In: a seed. Out: a `PrintedHeader`: patient, date, device, values, and where each of its texts is written,
with what every word of it is, so that reading and blanking can be measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from ecg_hough.clinical import Patient

LANGUAGES = ("en", "de", "fr", "es", "it")
FORMS = ("muse", "list", "row", "short")
"""Values in three columns (label, value, unit); a line each; all in two lines; labels and numbers alone."""
PRIVATE = ("name", "id", "date")
"""Kinds of words that tell who was recorded, and when."""
LINE_PITCH = 1.45
"""Distance of lines, in heights of the font."""
UNKNOWN = "*"
"""Printed where the cart could not measure."""


@dataclass(frozen=True)
class HeaderText:
    """One line of a header.

    Attributes:
        x_mm, y_mm: its top left corner, from that of the header.
        parts: the text in pieces, each with what it is: "name", "id", "date", "value" or "other".
    """

    x_mm: float
    y_mm: float
    parts: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The whole line."""
        return "".join(piece for piece, _ in self.parts)


@dataclass(frozen=True)
class PrintedHeader:
    """A header and its truth.

    Attributes:
        language: one of `LANGUAGES`; form: one of `FORMS`.
        values: by name in `clinical.QUANTITIES`, as printed.
        patient, recorded, device: who, when (ISO), with what.
        texts: what is written where; height_mm: of all of it.
        font_mm: size of the letters.
    """

    language: str
    form: str
    values: dict[str, int]
    patient: Patient
    recorded: str
    device: str
    texts: tuple[HeaderText, ...]
    height_mm: float
    font_mm: float


_LABELS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "HR": ("Vent. rate", "Heart rate", "HR", "Ventricular rate"), "RR": ("RR interval", "RR"),
        "P": ("P duration", "P"), "PR": ("PR interval", "PR", "PR int."),
        "QRS": ("QRS duration", "QRS", "QRSD"), "QT": ("QT interval", "QT"), "QTc": ("QTc interval", "QTc"),
        "axes": ("P-R-T axes", "P/QRS/T axis", "P-QRS-T axes"),
    },
    "de": {
        "HR": ("Herzfrequenz", "HF", "Frequenz", "Ventr. Frequenz"), "RR": ("RR-Intervall", "RR"),
        "P": ("P-Dauer", "P"), "PR": ("PQ-Intervall", "PQ", "PR-Intervall", "PQ-Zeit"),
        "QRS": ("QRS-Dauer", "QRS", "QRS-Breite"), "QT": ("QT-Intervall", "QT", "QT-Zeit"),
        "QTc": ("QTc-Intervall", "QTc", "QTc-Zeit"),
        "axes": ("P-R-T-Achsen", "P/QRS/T-Achse", "Achsen P-QRS-T"),
    },
    "fr": {
        "HR": ("Fréq. ventr.", "FC", "Fréquence cardiaque", "Fréq. card."), "RR": ("Intervalle RR", "RR"),
        "P": ("Durée P", "P"), "PR": ("Intervalle PR", "PR", "Int PR"), "QRS": ("Durée QRS", "QRS"),
        "QT": ("Intervalle QT", "QT"), "QTc": ("Intervalle QTc", "QTc"),
        "axes": ("Axes P-R-T", "Axes P/QRS/T", "Axe P-QRS-T"),
    },
    "es": {
        "HR": ("Frec. ventr.", "FC", "Frecuencia cardíaca", "Frec. cardíaca"), "RR": ("Intervalo RR", "RR"),
        "P": ("Duración P", "P"), "PR": ("Intervalo PR", "PR", "Int. PR"), "QRS": ("Duración QRS", "QRS"),
        "QT": ("Intervalo QT", "QT"), "QTc": ("Intervalo QTc", "QTc"),
        "axes": ("Ejes P-R-T", "Eje P/QRS/T", "Ejes P-QRS-T"),
    },
    "it": {
        "HR": ("Freq. ventr.", "FC", "Frequenza cardiaca", "Freq. card."), "RR": ("Intervallo RR", "RR"),
        "P": ("Durata P", "P"), "PR": ("Intervallo PR", "PR", "Int. PR"), "QRS": ("Durata QRS", "QRS"),
        "QT": ("Intervallo QT", "QT"), "QTc": ("Intervallo QTc", "QTc"),
        "axes": ("Assi P-R-T", "Asse P/QRS/T", "Assi P-QRS-T"),
    },
}  # fmt: skip
_RATE_UNITS = {
    "en": ("BPM", "bpm", "/min"), "de": ("/min", "S/min", "1/min"), "fr": ("bpm", "/min", "bat/min"),
    "es": ("lpm", "/min", "lat/min"), "it": ("bpm", "/min", "batt/min"),
}  # fmt: skip
_PERSON = {
    "en": ("Name", "ID", "DOB", "Age", "Sex", "Referred by", "Date", "Technician"),
    "de": ("Name", "Pat.-Nr.", "Geb.", "Alter", "Geschl.", "Überweiser", "Datum", "Untersucher"),
    "fr": ("Nom", "N° patient", "Né(e) le", "Âge", "Sexe", "Prescripteur", "Date", "Technicien"),
    "es": ("Nombre", "ID paciente", "F. nac.", "Edad", "Sexo", "Solicitante", "Fecha", "Técnico"),
    "it": ("Nome", "ID paziente", "Nato il", "Età", "Sesso", "Richiedente", "Data", "Tecnico"),
}
_SURNAMES = {
    "en": ("Miller", "Okafor", "Thompson", "Walker", "Harris", "Nguyen"),
    "de": ("Schmidt", "Müller", "Köhler", "Weiß", "Özdemir", "Bauer"),
    "fr": ("Dubois", "Lefèvre", "Moreau", "Garnier", "Béranger", "Petit"),
    "es": ("García", "Núñez", "Rodríguez", "Peña", "Ibáñez", "Torres"),
    "it": ("Rossi", "Bianchi", "Ferrari", "Esposito", "Niccolò", "Marini"),
}
_GIVEN = {
    "en": ("Anna", "John", "Grace", "Peter"), "de": ("Jürgen", "Anke", "Heike", "Karl"),
    "fr": ("Élodie", "Jean", "Marie", "Luc"), "es": ("José", "Lucía", "Carlos", "Inés"),
    "it": ("Giulia", "Marco", "Sofia", "Luca"),
}  # fmt: skip
_SEXES = {
    "en": ("Female", "Male"), "de": ("weiblich", "männlich"), "fr": ("Féminin", "Masculin"),
    "es": ("Mujer", "Hombre"), "it": ("Femmina", "Maschio"),
}  # fmt: skip
_YEARS = {"en": "years", "de": "Jahre", "fr": "ans", "es": "años", "it": "anni"}
_STATEMENTS = {
    "en": ("Normal sinus rhythm", "Left axis deviation", "Abnormal ECG", "Sinus bradycardia"),
    "de": ("Sinusrhythmus", "Linkstyp", "Abnormales EKG", "Unbestätigter Bericht"),
    "fr": ("Rythme sinusal", "Déviation axiale gauche", "ECG anormal", "Non confirmé"),
    "es": ("Ritmo sinusal", "Desviación izquierda del eje", "ECG anormal", "No confirmado"),
    "it": ("Ritmo sinusale", "Deviazione assiale sinistra", "ECG anormale", "Non confermato"),
}
_DEVICES = ("MAC 5500", "MAC 2000", "CARDIOVIT AT-102", "PageWriter TC50", "ELI 280", "Cardiette ar1200")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def sample_header(rng: np.random.Generator, language: str | None = None) -> PrintedHeader:
    """Draw a header.

    Args:
        rng: the same state gives the same header.
        language: one of `LANGUAGES`; drawn when None.

    Raises:
        ValueError: no such language.
    """
    language = str(rng.choice(LANGUAGES)) if language is None else language
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}; got {language!r}")
    form = str(rng.choice(FORMS))
    font_mm = float(rng.uniform(2.4, 3.6))
    values = _draw_values(rng)
    women = bool(rng.random() < 0.5)
    surname, given = str(rng.choice(_SURNAMES[language])), str(rng.choice(_GIVEN[language]))
    born = date(1925, 1, 1) + timedelta(days=int(rng.integers(0, 28_000)))
    day = date(2004, 1, 1) + timedelta(days=int(rng.integers(0, 8_000)))
    hour, minute, second = (int(rng.integers(0, top)) for top in (24, 60, 60))
    patient = Patient(
        str(rng.integers(100_000, 99_999_999)), f"{surname}, {given}", born.isoformat(), "F" if women else "M"
    )
    recorded = f"{day.isoformat()}T{hour:02d}:{minute:02d}:{second:02d}"
    header = PrintedHeader(
        language, form, values, patient, recorded, str(rng.choice(_DEVICES)), (), 0.0, font_mm
    )
    person, person_mm = _person_lines(header, rng)
    left = 2.0
    measured, height_mm = _value_lines(header, rng, left + person_mm)
    texts = (*(replace(text, x_mm=text.x_mm + left) for text in person), *measured)
    height_mm = max(height_mm, max(text.y_mm for text in person) + LINE_PITCH * font_mm)
    return replace(header, texts=texts, height_mm=height_mm)


def _draw_values(rng: np.random.Generator) -> dict[str, int]:
    rate = int(rng.integers(42, 140))
    rr = 60.0 / rate
    qt = int(np.clip(rng.normal(405, 20) * rr ** (1 / 3), 240, 560))
    p = int(rng.integers(80, 130))
    values = {
        "HR": rate, "RR": round(1000 * rr),
        "P": p, "PR": int(rng.integers(max(112, p + 10), 240)),  # from the beginning of P on
        "QRS": int(rng.integers(72, 168)), "QT": qt, "QTc": round(qt / rr**0.5),
        "P axis": int(rng.integers(-20, 90)), "QRS axis": int(rng.integers(-60, 120)),
        "T axis": int(rng.integers(-30, 180)),
    }  # fmt: skip
    return values


def _date(day: date, language: str, rng: np.random.Generator) -> str:
    form = rng.random()
    if language == "en":
        return f"{day.day:02d}-{_MONTHS[day.month - 1]}-{day.year}" if form < 0.7 else day.isoformat()
    mark = "." if language == "de" else "/"
    return f"{day.day:02d}{mark}{day.month:02d}{mark}{day.year}"


def _person_lines(header: PrintedHeader, rng: np.random.Generator) -> tuple[list[HeaderText], float]:
    """Lines on the patient, the recording and the device, and their width, mm."""
    language, patient = header.language, header.patient
    name, number, born, age, sex, by, day, technician = _PERSON[language]
    when, clock = (
        date.fromisoformat(header.recorded[:10]),
        header.recorded[11 : 19 if rng.random() < 0.6 else 16],
    )
    birth = date.fromisoformat(patient.birth_date or "")
    years = when.year - birth.year
    full = patient.name or ""
    if rng.random() < 0.4:
        full = full.upper()
    elif rng.random() < 0.3:
        family, given = full.split(", ")
        full = f"{given} {family}"
    colon = ": " if rng.random() < 0.7 else " "
    word = _SEXES[language][0 if patient.sex == "F" else 1]
    other = str(rng.choice(_SURNAMES[language]))
    lines: list[tuple[tuple[str, str], ...]] = [
        ((f"{name}{colon}", "other"), (full, "name")) if rng.random() < 0.7 else ((full, "name"),),
        ((f"{number}{colon}", "other"), (patient.id or "", "id")),
        ((f"{born}{colon}", "other"), (_date(birth, language, rng), "date")),
        ((f"{age}{colon}{years} {_YEARS[language]}  {sex}{colon}{word}", "other"),),
        ((f"{day}{colon}", "other"), (f"{_date(when, language, rng)} {clock}", "date")),
    ]
    if rng.random() < 0.5:
        lines.append(((f"{by}{colon}Dr. ", "other"), (other, "name")))
    if rng.random() < 0.4:
        lines.append(((f"{technician}{colon}", "other"), (str(rng.choice(_GIVEN[language])), "name")))
    if rng.random() < 0.6:
        lines.append(((header.device, "other"),))
    pitch = LINE_PITCH * header.font_mm
    width = 0.62 * header.font_mm * max(len("".join(piece for piece, _ in line)) for line in lines)
    return [HeaderText(0.0, 1.0 + k * pitch, parts) for k, parts in enumerate(lines)], width + 8.0


def _value_lines(
    header: PrintedHeader, rng: np.random.Generator, left_mm: float
) -> tuple[list[HeaderText], float]:
    """Lines of the measurements and of the interpretation, and their height, mm."""
    values, font = header.values, header.font_mm
    # A cart that could not measure prints an asterisk.
    shown = {name: str(value) for name, value in values.items()}
    if rng.random() < 0.08:
        for name in ("P", "PR", "P axis"):
            shown[name] = UNKNOWN
            del values[name]
    make = {"muse": _muse, "list": _list, "row": _row, "short": _short}[header.form]
    rows, width = make(header.language, shown, rng)
    pitch = LINE_PITCH * font
    char = 0.6 * font
    texts = [
        HeaderText(left_mm + x * char, 1.0 + k * pitch, parts)
        for k, row in enumerate(rows)
        for x, parts in row
    ]
    statements = rng.choice(_STATEMENTS[header.language], int(rng.integers(1, 4)), replace=False)
    below = len(rows) if header.form == "row" else 0
    aside = left_mm if header.form == "row" else left_mm + width * char + 6.0
    texts += [
        HeaderText(aside, 1.0 + (below + k) * pitch, ((str(text), "other"),))
        for k, text in enumerate(statements)
    ]
    for name in set(values) - _named(texts, shown):
        del values[name]
    return texts, 1.0 + max(len(rows), below + len(statements)) * pitch


def _named(texts: list[HeaderText], shown: dict[str, str]) -> set[str]:
    """Names of the values that are written."""
    kinds = {kind for text in texts for _, kind in text.parts}
    return {name for name in shown if f"value {name}" in kinds}


Row = list[tuple[float, tuple[tuple[str, str], ...]]]


def _value(name: str, shown: dict[str, str]) -> tuple[str, str]:
    return shown[name], f"value {name}"


def _axes(shown: dict[str, str], mark: str) -> tuple[tuple[str, str], ...]:
    p, qrs, t = (_value(f"{wave} axis", shown) for wave in ("P", "QRS", "T"))
    return (p, (mark, "other"), qrs, (mark, "other"), t)


def _muse(language: str, shown: dict[str, str], rng: np.random.Generator) -> tuple[list[Row], float]:
    """Three columns: label, value, unit."""
    labels = {name: str(rng.choice([one for one in forms if len(one) > 3] or list(forms)))
              for name, forms in _LABELS[language].items()}  # fmt: skip
    at, unit_at = 22.0, 33.0
    rate = str(rng.choice(_RATE_UNITS[language]))
    rows: list[Row] = []

    def add(label: str, value: tuple[tuple[str, str], ...], unit: str) -> None:
        length = len("".join(piece for piece, _ in value))
        row: Row = [(0.0, ((label, "other"),)), (at + 8 - length, value)]
        rows.append([*row, (unit_at, ((unit, "other"),))] if unit else row)

    add(labels["HR"], (_value("HR", shown),), rate)
    add(labels["PR"], (_value("PR", shown),), "ms")
    add(labels["QRS"], (_value("QRS", shown),), "ms")
    add("QT/QTc", (_value("QT", shown), ("/", "other"), _value("QTc", shown)), "ms")
    add(labels["axes"], _axes(shown, " " if rng.random() < 0.6 else "  "), "")
    return rows, 38.0


def _list(language: str, shown: dict[str, str], rng: np.random.Generator) -> tuple[list[Row], float]:
    """A line each, label and number with a colon or without."""
    colon = ": " if rng.random() < 0.6 else " "
    rate = str(rng.choice(_RATE_UNITS[language]))
    names = ["HR", "PR", "QRS", "QT", "QTc"]
    if rng.random() < 0.4:
        names.insert(1, "RR")
    if rng.random() < 0.4:
        names.insert(-3, "P")
    rows: list[Row] = []
    for name in names:
        label = str(rng.choice(_LABELS[language][name]))
        unit = rate if name == "HR" else "ms"
        rows.append([(0.0, ((f"{label}{colon}", "other"), _value(name, shown), (f" {unit}", "other")))])
    label = str(rng.choice(_LABELS[language]["axes"]))
    mark = str(rng.choice(["/", " ", "  "]))
    rows.append([(0.0, ((f"{label}{colon}", "other"), *_axes(shown, mark), ("°", "other")))])
    return rows, 30.0


def _row(language: str, shown: dict[str, str], rng: np.random.Generator) -> tuple[list[Row], float]:
    """All in two lines."""
    rate = str(rng.choice(_RATE_UNITS[language]))
    short = {name: min(forms, key=len) for name, forms in _LABELS[language].items()}
    gap = "   " if rng.random() < 0.6 else ", "
    first: list[tuple[str, str]] = []
    for name in ("HR", "PR", "QRS", "QT", "QTc"):
        unit = rate if name == "HR" else "ms"
        first += [(f"{short[name]} ", "other"), _value(name, shown), (f" {unit}{gap}", "other")]
    second = ((f"{short['axes']} ", "other"), *_axes(shown, "/"), ("°", "other"))
    return [[(0.0, tuple(first))], [(0.0, second)]], 60.0


def _short(language: str, shown: dict[str, str], rng: np.random.Generator) -> tuple[list[Row], float]:
    """Labels and numbers alone, the axes below a heading of their own."""
    rate = {"en": "Rate", "de": "HF", "fr": "FC", "es": "FC", "it": "FC"}[language]
    pr = "PQ" if language == "de" else "PR"
    rows: list[Row] = []
    for label, name in ((rate, "HR"), (pr, "PR"), ("QRSD", "QRS"), ("QT", "QT"), ("QTc", "QTc")):
        rows.append([(0.0, ((label, "other"),)), (8.0, (_value(name, shown),))])
    heading = {"en": "--AXIS--", "de": "--ACHSE--", "fr": "--AXE--", "es": "--EJE--", "it": "--ASSE--"}
    rows.append([(0.0, ((heading[language], "other"),))])
    for label in ("P", "QRS", "T"):
        rows.append([(0.0, ((label, "other"),)), (8.0, (_value(f"{label} axis", shown),))])
    return rows, 14.0
