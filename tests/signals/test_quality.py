"""Refusal of pages that are no ECG: one reason each, with its measurement and its limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ecg_hough.elements import PrintedWord
from ecg_hough.errors import PageError
from ecg_hough.paper import LEADS, make_layout
from ecg_hough.record import LeadStatus
from ecg_hough.signals.calibrate import Calibrated
from ecg_hough.signals.quality import refuse_if_no_ecg
from ecg_hough.signals.scale import PaperScale

LAYOUT = make_layout("3x4")
ASSUMED = PaperScale(25.0, 10.0, "assumed", "assumed")


@dataclass
class FakeLayout:
    named: float


@dataclass
class FakeSheet:
    layout: FakeLayout
    words: tuple[PrintedWord, ...] = ()
    has_grid: bool = True


@dataclass
class FakeResult:
    statuses: tuple[LeadStatus, ...]
    signals: np.ndarray
    agreement: float = 1.0
    leads_agree: bool | None = True

    @property
    def quality(self) -> float:
        return Calibrated.quality.fget(self)  # type: ignore[attr-defined, no-any-return]


def result(confidence: float, height_mv: float = 1.0, **given: Any) -> FakeResult:
    statuses = tuple(LeadStatus(lead, lead != "V6", None, confidence, 0.0, 10.0) for lead in LEADS)
    t = np.linspace(0.0, 20.0, 1000)
    return FakeResult(statuses, np.tile(0.5 * height_mv * np.sin(t), (12, 1)), **given)


def refused(named: float, scale: PaperScale, layout: Any, read: FakeResult, **sheet: Any) -> str | None:
    """The message with which the page is refused; None where it is not."""
    try:
        refuse_if_no_ecg(FakeSheet(FakeLayout(named), **sheet), scale, layout, read)  # type: ignore[arg-type]
    except PageError as error:
        return error.message if error.stage == "layout" else None
    return None


def test_quality_is_the_mean_confidence_of_found_leads_times_their_agreement() -> None:
    read = result(0.8, agreement=0.5)
    assert read.quality == pytest.approx(0.4)
    lost = FakeResult(tuple(LeadStatus(lead, False, "no") for lead in LEADS), np.full((12, 5), np.nan))
    assert lost.quality == 0.0


REFUSALS = [
    # (what the page shows, its reason, all other reasons)
    ({"layout": LAYOUT, "read": result(0.9, 0.01)}, "0.01 mV, less than 0.05"),
    ({"layout": None, "read": result(0.2)}, "no known layout fits and quality 0.20 is below 0.25"),
    ({"layout": None, "read": result(0.9)}, "no known layout fits and neither a calibration pulse"),
    ({"layout": LAYOUT, "read": result(0.5)}, "quality 0.50 is below 0.6"),
    ({"layout": LAYOUT, "read": result(0.9, leads_agree=None), "has_grid": False}, "no grid"),
]


@pytest.mark.parametrize(("page", "reason"), REFUSALS)
def test_a_page_is_refused_for_one_reason(page: dict[str, Any], reason: str) -> None:
    given = dict(page)
    message = refused(0.0, ASSUMED, given.pop("layout"), given.pop("read"), **given)
    assert message is not None
    assert reason in message
    assert not any(other in message for _, other in REFUSALS if other != reason)
    assert message.endswith("Is it a 12-lead ECG?")
    # Lead names at a quarter of the panels are enough for an ECG.
    given = dict(page)
    assert refused(0.25, ASSUMED, given.pop("layout"), given.pop("read"), **given) is None


def test_an_ecg_is_not_refused() -> None:
    assert refused(0.0, ASSUMED, LAYOUT, result(0.9)) is None
    assert refused(0.0, ASSUMED, LAYOUT, result(0.9, leads_agree=None)) is None


@pytest.mark.parametrize(
    ("scale", "words", "stated"),
    [
        (PaperScale(25.0, 10.0, "assumed", "pulse"), [], True),
        (PaperScale(25.0, 10.0, "given", "assumed"), [], True),
        (PaperScale(25.0, 10.0, "text", "text"), [("25 mm/s", 0.87), ("10 mm/mV", 0.87)], True),
        # In lines of letters many words are misread, and contradict each other.
        (
            PaperScale(25.0, 10.0, "text", "text"),
            [("25 mm/s", 0.87), ("50 mm/s", 0.6), ("10 mm/mV", 0.87)],
            False,
        ),
        (PaperScale(25.0, 10.0, "text", "assumed"), [("25 mm/s", 0.99)], False),
    ],
)
def test_a_page_that_states_its_scale_may_be_of_low_quality(
    scale: PaperScale, words: list[tuple[str, float]], stated: bool
) -> None:
    printed = tuple(PrintedWord(word, 0.0, 0.0, score) for word, score in words)
    assert (refused(0.0, scale, LAYOUT, result(0.5), words=printed) is None) == stated
