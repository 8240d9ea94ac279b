"""What all tests share."""

import pytest


@pytest.fixture(autouse=True)
def _few_rendered_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark's timing of the renderer takes seconds that no test needs."""
    monkeypatch.setattr("ecg_lab.benchmark.RENDERED_PAGES", 1)
