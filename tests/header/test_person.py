from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.header.person import (
    find_date,
    read_device,
    read_filter,
    read_interpretation,
    read_patient,
    read_recorded,
)
from ecg_hough.header.words import OCR, HeaderWord
from ecg_hough.render.header import LANGUAGES, sample_header


def words(*texts: str) -> list[HeaderWord]:
    return [HeaderWord(text, (30.0 * k, 0, 30.0 * k + 20, 200), 1.0, OCR) for k, text in enumerate(texts)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_patients_of_the_renderer(language: str) -> None:
    """Right where it is read at all; a name without its label is not."""
    rng = np.random.default_rng(2)
    numbers = 0
    for _ in range(20):
        header = sample_header(rng, language)
        texts = words(*(text.text for text in header.texts))
        patient = read_patient(texts)
        numbers += patient.id == header.patient.id
        assert patient.id in (None, header.patient.id)
        assert patient.birth_date in (None, header.patient.birth_date)
        assert patient.sex in (None, header.patient.sex)
        assert read_recorded(texts) in (None, header.recorded, header.recorded[:-2] + "00")
    assert numbers >= 18


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("03-feb-1950", "1950-02-03"),
        ("1950-02-03", "1950-02-03"),
        ("3.2.1950", "1950-02-03"),
        ("25/12/1950", "1950-12-25"),
        ("12/25/1950", "1950-12-25"),
        ("04/04/1950", "1950-04-04"),
        ("03/02/1950", None),  # the third of February, or the second of March
        ("31.02.1950", None),
        ("no date", None),
    ],
)
def test_dates(text: str, day: str | None) -> None:
    found = find_date(text)
    assert (None if found is None else found[0]) == day


def test_other_fields() -> None:
    seen = words("MAC 5500 HD", "0.05-150 Hz", "Sinus rhythm", "Abnormal ECG", "DOB: 03-Feb-1950 10:11")
    assert read_device(seen) == "MAC 5500"
    assert read_filter(seen) == "0.05-150 Hz"
    assert read_interpretation(seen) == ("Sinus rhythm", "Abnormal ECG")
    assert read_recorded(seen) is None  # a time behind a date of birth is none of a recording
    assert read_device(words("nothing")) is None
