"""The order of the queue, its filters, and how far the review is."""

from __future__ import annotations

import math

from ecg_hough.review.library import PageEntry
from ecg_hough.review.queue import Filters, choices, progress, queue
from ecg_hough.review.store import Decision, Standing

ENTRIES = {
    1: PageEntry("sure", "a", "", layout="3x4", probability=0.99, page_status="ok"),
    2: PageEntry(
        "doubtful", "b", "", layout="6x2", probability=0.2, warnings=("grid: x", "grid: y", "time: z")
    ),
    3: PageEntry("refused", "c", "", error="layout: no ECG"),
    4: PageEntry("unknown", "d", "", layout="3x4", probability=math.nan),
}
STANDINGS = {
    1: Standing(Decision("accepted")),
    2: Standing(version=3),
    3: Standing(Decision("rejected", "no ECG")),
    4: Standing(),
}


def stems(**filters: str) -> list[str]:
    return [row.entry.stem for row in queue(ENTRIES, STANDINGS, Filters(**filters))]


def test_the_riskiest_comes_first() -> None:
    assert stems() == ["refused", "unknown", "doubtful", "sure"]


def test_filters() -> None:
    assert stems(decision="open") == ["unknown", "doubtful"]
    assert stems(status="failed") == ["refused"]
    assert stems(status="check") == ["unknown", "doubtful"]
    assert stems(warning="time") == ["doubtful"]
    assert stems(warning="none", layout="3x4") == ["unknown", "sure"]
    assert stems(layout="6x2", decision="accepted") == []


def test_progress() -> None:
    assert progress(STANDINGS) == {"accepted": 1, "rejected": 1, "open": 2, "corrected": 1}


def test_choices() -> None:
    found = choices(ENTRIES)
    assert found["warning"] == ["grid", "time", "none"]
    assert found["layout"] == ["3x4", "6x2", "unknown"]
