"""Refusal of pages that are no 12-lead ECG, that are mirrored, or that show two recordings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ecg_hough.elements import PrintedWord
from ecg_hough.errors import PageError
from ecg_hough.paper import LEADS
from ecg_hough.record import LeadStatus
from ecg_hough.signals import quality
from ecg_hough.signals.calibrate import Calibrated
from ecg_hough.signals.trust import LogisticModel, TrustModel

PART = LogisticModel(("named", "spiky"), np.zeros(2), np.ones(2), np.array([4.0, 1.0]), -1.0)
MODEL = TrustModel({"page": PART}, limit=0.5)


def sheet(named: float, words: tuple[PrintedWord, ...] = ()) -> Any:
    return SimpleNamespace(
        layout=SimpleNamespace(named=named),
        words=words,
        image=np.zeros((10, 20, 3), np.uint8),
        geometry=SimpleNamespace(angle_deg=0.0),
        page_map=SimpleNamespace(px_per_mm=(4.0, 4.0)),
    )


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Refuse a page by made-up evidence and words of the page turned over: the message, or None."""

    def run(page: Any, evidence: dict[str, float], turned: tuple[PrintedWord, ...] = ()) -> str | None:
        monkeypatch.setattr(quality, "shipped_model", lambda _: MODEL)
        monkeypatch.setattr(quality, "read_words", lambda *_: turned)
        try:
            quality.refuse_if_no_ecg(page, evidence)
        except PageError as error:
            return error.message if error.stage == "layout" else None
        return None

    return run


def test_quality_is_the_mean_confidence_of_found_leads_times_their_agreement() -> None:
    statuses = tuple(LeadStatus(lead, lead != "V6", None, 0.8, 0.0, 10.0) for lead in LEADS)
    read = SimpleNamespace(statuses=statuses, agreement=0.5)
    assert Calibrated.quality.fget(read) == pytest.approx(0.4)  # type: ignore[attr-defined]
    read = SimpleNamespace(statuses=tuple(LeadStatus(lead, False, "no") for lead in LEADS), agreement=1.0)
    assert Calibrated.quality.fget(read) == 0.0  # type: ignore[attr-defined]


def test_a_page_is_refused_by_its_probability_and_what_speaks_most_against_it(refuse: Any) -> None:
    assert refuse(sheet(1.0), {"named": 1.0, "spiky": 0.0, "leads alike": 1.0}) is None
    message = refuse(sheet(0.0), {"named": 0.0, "spiky": -3.0, "leads alike": 1.0})
    assert "probability of a 12-lead ECG is 0.02, at least 0.50 is needed" in message
    assert "spiky -3" in message
    assert "named" not in message
    assert message.endswith("Is it a 12-lead ECG?")


def test_two_recordings_on_one_page_are_told_by_their_names(refuse: Any) -> None:
    good = {"named": 1.0, "spiky": 3.0, "leads alike": 1.0}
    once = tuple(PrintedWord(lead, 10.0 * k, 0.0, 0.95) for k, lead in enumerate(LEADS))
    strips = tuple(PrintedWord(lead, 200.0, 0.0, 0.95) for lead in ("II", "V1", "V5"))
    assert refuse(sheet(1.0, (*once, *strips)), good) is None
    assert "two recordings" in refuse(sheet(1.0, (*once, *once[:6])), good)
    unsure = tuple(PrintedWord(word.word, word.row, word.col, 0.7) for word in once)
    assert refuse(sheet(1.0, (*once, *unsure)), good) is None


def test_a_mirrored_page_is_told_by_names_that_are_read_when_it_is_turned_over(refuse: Any) -> None:
    good = {"named": 1.0, "spiky": 3.0, "leads alike": 1.0}
    names = tuple(PrintedWord(lead, 0.0, 0.0, 0.95) for lead in LEADS[:8])
    assert "mirrored" in refuse(sheet(0.2, names[:3]), good, names)
    assert refuse(sheet(0.2, names), good, names) is None
    assert refuse(sheet(0.9, names[:3]), good, names) is None


def test_channels_that_all_repeat_one_signal_are_refused(refuse: Any) -> None:
    good = {"named": 1.0, "spiky": 3.0, "leads alike": 3.4}
    assert refuse(sheet(1.0), good) is None
    assert "repeat one signal" in refuse(sheet(1.0), good | {"leads alike": 6.4})


@pytest.mark.parametrize(("best", "refused"), [(0.19, True), (0.21, False)])
def test_a_page_without_a_lead_that_is_likely_right_is_refused(
    monkeypatch: pytest.MonkeyPatch, best: float, refused: bool
) -> None:
    statuses = tuple(
        LeadStatus(lead, True, None, 0.9, 0.0, 2.5, "check", best if lead == "V2" else 0.1) for lead in LEADS
    )
    monkeypatch.setattr(quality, "page_evidence", lambda *_: {"named": 1.0, "spiky": 3.0, "leads alike": 1.0})
    monkeypatch.setattr(quality, "evidence_of", lambda *_: {})
    monkeypatch.setattr(quality, "shipped_model", lambda _: MODEL)
    monkeypatch.setattr(quality, "with_trust", lambda *_: statuses)
    nothing: Any = None
    shape = (12, 10)
    result = Calibrated(
        np.zeros(shape), 500, np.zeros(shape), np.zeros(shape), statuses, (), 2.5, nothing, None, (), 1.0
    )
    if refused:
        with pytest.raises(PageError, match=r"the best has a probability of 0\.19, at least 0\.2"):
            quality.judge(sheet(1.0), nothing, nothing, nothing, nothing, result)
    else:
        judged = quality.judge(sheet(1.0), nothing, nothing, nothing, nothing, result)
        assert judged.statuses == statuses
