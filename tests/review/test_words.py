"""Corrections in sentences, and the leads that warnings are about."""

from __future__ import annotations

import pytest

from ecg_hough.paper import IN_I_AND_II
from ecg_hough.review.corrections import KINDS, Entry, Gain, Speed
from ecg_hough.review.words import leads_of, sentence
from made_review import ONE_OF_EACH, sample


def test_every_kind_has_a_sentence() -> None:
    said = {one.kind: sentence(Entry(1, "anna", "", one, {"lead": "V2"})) for one in ONE_OF_EACH}
    assert said.keys() == KINDS.keys()
    assert len(set(said.values())) == len(said)
    assert said["redraw"] == "trace of V2 drawn again"
    assert said["nudge"] == "trace of V2 moved by +0.10 mm down, -0.20 mm right"
    assert said["reread"] == "read again: rows 0 to 100, columns 0 to 200, turned by 90°"


def test_what_was_there_before_is_said() -> None:
    assert sentence(Entry(1, "", "", Speed(50), {"mm_s": 25.0})) == "paper speed: 25 to 50 mm/s"
    said = sentence(Entry(1, "", "", Gain(5, "chest"), {"mm_mv": 10}))
    assert said == "gain of V1 to V6: 10 to 5 mm/mV"


@pytest.mark.parametrize(
    ("warning", "leads"),
    [
        ("signals: the limb leads break Einthoven's equation by 0.3 mV", tuple(IN_I_AND_II)),
        ("aVR and V10 differ from V1", ("aVR", "V1")),
        ("signals: a rhythm strip and the short copy of its lead differ", ("II",)),
        ("grid: only one line spacing is visible", ()),
    ],
)
def test_leads_of_warnings(warning: str, leads: tuple[str, ...]) -> None:
    record = sample().saved
    assert record is not None
    assert set(leads_of(warning, record)) == set(leads)
