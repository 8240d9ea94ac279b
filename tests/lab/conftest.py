"""What the laboratory's tests share."""

import pytest


@pytest.fixture(autouse=True)
def _no_timing_of_the_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark times the renderer on whole pages, for seconds; one test does it on small ones."""
    monkeypatch.setattr("ecg_lab.benchmark.timed_renderer", lambda: {"clean": 1.0})
