"""Printed measurements: what carts of five languages write, and what must not be taken for a measurement."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.header.grammar import lines_of, plain_text, read_measurements
from ecg_hough.header.words import OCR, HeaderWord
from ecg_hough.render.header import LANGUAGES, HeaderText, sample_header

HEIGHT = 20.0


def words(*rows: str, step: float = 30.0) -> list[HeaderWord]:
    """Words of rows; pieces that "  |  " separates stand apart."""
    out = []
    for k, row in enumerate(rows):
        left = 10.0
        for piece in row.split("|"):
            text = piece.strip()
            width = 10.0 * len(text)
            if text:
                out.append(HeaderWord(text, (k * step, left, k * step + HEIGHT, left + width), 0.95, OCR))
            left += width + 60.0
    return out


def read(*rows: str) -> dict[str, float]:
    return {one.name: one.value for one in read_measurements(words(*rows))}


def drawn(text: HeaderText) -> HeaderWord:
    """A line of a rendered header as a reader without errors sees it."""
    x, y = 10 * text.x_mm, 10 * text.y_mm
    return HeaderWord(text.text.strip(), (y, x, y + 25, x + 14 * len(text.text)), 1.0, OCR)


@pytest.mark.parametrize("language", LANGUAGES)
def test_headers_of_the_renderer(language: str) -> None:
    """Every form and wording: all values right, none wrong."""
    rng = np.random.default_rng(1)
    for _ in range(25):
        header = sample_header(rng, language)
        found = {one.name: one.value for one in read_measurements(map(drawn, header.texts))}
        assert found == header.values, (header.form, [text.text for text in header.texts])


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        (("Vent. rate | 47 | BPM", "PR interval | * | ms", "QRS duration | 94 | ms", "QT/QTc | 464/410 | ms"),
         {"HR": 47, "QRS": 94, "QT": 464, "QTc": 410}),
        (("QT/QTc-Baz 380/415 ms", "Herżfrequenz"), {"QT": 380, "QTc": 415}),
        (("P-R-T axes | 45 -12 160",), {"P axis": 45, "QRS axis": -12, "T axis": 160}),
        (("Achsen P-QRS-T: * 5 163",), {"QRS axis": 5, "T axis": 163}),
        (("HF 74 /min   PQ 152 ms   QRS 92 ms",), {"HR": 74, "PR": 152, "QRS": 92}),
        (("--AXIS--", "P | 45", "QRS | -12", "T | 60"), {"P axis": 45, "QRS axis": -12, "T axis": 60}),
        (("--AXIS--", "50 ", "QRS | 93"), {"QRS axis": 93}),
        (("OT 3l2 ms", "0RS 9O ms", "QTe 415 ms"), {"QT": 312, "QRS": 90, "QTc": 415}),
        (("RR 811 ms", "HR 74 bpm"), {"RR": 811, "HR": 74}),
        # what is misread on worn pages
        (("Frec. cardíaca | 951pm", "QT/QTC | 3697464 | ms"), {"HR": 95, "QT": 369, "QTc": 464}),
        (("Frequenz | 591/min", "PQ-Irtervall | 215 | ms", "GRS-Dauer 96 ms"),
         {"HR": 59, "PR": 215, "QRS": 96}),
        (("Herzfrequenz 91", "FR-Intervall | 164 | ms"), {"HR": 91, "PR": 164}),
        (("AssiP-R-T -5/49/155°",), {"P axis": -5, "QRS axis": 49, "T axis": 155}),
        (("axes 15/30/2°",), {"P axis": 15, "QRS axis": 30, "T axis": 2}),
        (("Ejes P.QRS.T | 63 .32 148",), {"P axis": 63, "QRS axis": -32, "T axis": 148}),
        (("P/QRS/T-Achse | 77--58 7",), {"P axis": 77, "QRS axis": -58, "T axis": 7}),
        (("Assi P-QRS-T | 2-49-22",), {"P axis": 2, "QRS axis": -49, "T axis": -22}),
        (("QT315ms", "P123 ms", "QT-Interval1 c 9"), {"QT": 315, "P": 123}),
        (("C 115 1pmPR 158 ms QT 285 ms QTc 395 ms",), {"HR": 115, "PR": 158, "QT": 285, "QTc": 395}),
        (("--XE--", "P | 0", "QRS | 28", "T | .37"), {"P axis": 0, "QRS axis": 28, "T axis": -37}),
    ],
)  # fmt: skip
def test_what_carts_print(rows: tuple[str, ...], values: dict[str, float]) -> None:
    assert read(*rows) == values


@pytest.mark.parametrize(
    "rows",
    [
        ("HR 74 Hz",),  # a filter
        ("HR 8.2 bpm",),
        ("QRS 3CARDIO",),
        ("QT 40 ms",),  # not plausible
        ("PR interval", "94 ms"),  # the line below is another one
        ("T 60",),  # an axis has a heading or two others beside it
        ("P-R-T axes 467 105",),
        ("Sinus rhythm with QT prolongation, 12 leads",),
        ("Date 12.03.2019", "Age 74 years"),
        ("QT/QTc | 3697464 | ms",),  # nothing confirms where the stroke was
        ("115 bpm",),
        ("XR-Intervall 180 ms",),  # PR or RR
    ],
)
def test_what_is_no_measurement(rows: tuple[str, ...]) -> None:
    assert read(*rows) == {}


def test_of_values_that_contradict_each_other_the_less_sure_one_is_left_out() -> None:
    rate, qt, qtc = words("HR 74 bpm", "QT 380 ms", "QTc 515 ms")
    doubtful = HeaderWord(qtc.text, qtc.box_px, 0.6, OCR)
    assert {one.name for one in read_measurements([rate, qt, doubtful])} == {"HR", "QT"}
    assert read("HR 74 bpm", "RR 500 ms").keys() != {"HR", "RR"}


def test_a_measurement_knows_its_words_and_place() -> None:
    (found,) = read_measurements(words("", "QRS duration | 94 | ms"))
    assert found.words == "QRS duration 94"
    assert found.box_px == (30.0, 10.0, 50.0, 210.0)
    assert (found.source, found.score, found.unit) == ("ocr", 0.95, "ms")


def test_words_that_are_read_unsurely_say_nothing() -> None:
    (word,) = words("HR 74 bpm")
    assert read_measurements([HeaderWord(word.text, word.box_px, 0.3, OCR)]) == ()


def test_a_value_that_is_read_unsurely_must_be_confirmed() -> None:
    rate, qt, qtc, qrs = words("HR 74 bpm", "QT 380 ms", "QTc 422 ms", "QRS 92 ms")
    rate, qrs = (HeaderWord(one.text, one.box_px, 0.7, OCR) for one in (rate, qrs))
    assert {one.name for one in read_measurements([rate, qt, qtc, qrs])} == {"HR", "QT", "QTc"}
    assert {one.name for one in read_measurements([rate, qt])} == {"QT"}


def test_lines_and_plain_text() -> None:
    lines = lines_of(words("a | b", "c"))
    assert [line.text for line in lines] == ["a  b", "c"]
    assert plain_text("Fréquence – DURÉE Überweiser 9O l52") == "frequence - duree uberweiser 90 152"
