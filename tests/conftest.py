"""What all tests share: the marker of heavy tests, those of over a second, and the writing of their list."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest

from places import HEAVY, heavy_tests

os.environ.setdefault("ECG_HOUGH_CACHE", str(Path(tempfile.gettempdir()) / "ecg-hough-tests"))
HEAVY_S, HEAVY_IN_ALL_S = 1.0, 3.0
"""A test is heavy if it takes longer, or if its parameters take longer together."""
TESTS = Path(__file__).parent
seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
"""Of this run, by the test's name as in the list and by its parameters."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-heavy", action="store_true", help="write heavy.txt again")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what tests/heavy.txt lists."""
    heavy = heavy_tests()
    for item in items:
        name = f"{item.path.relative_to(TESTS).as_posix()}::{getattr(item, 'originalname', item.name)}"
        if name in heavy:
            item.add_marker(pytest.mark.heavy)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    name, _, parameters = report.nodeid.partition("[")
    seconds[name.removeprefix("tests/")][parameters] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    is_worker = hasattr(session.config, "workerinput")
    if session.config.getoption("--write-heavy") and not is_worker:
        heavy = {
            name
            for name, each in seconds.items()
            if max(each.values()) > HEAVY_S or sum(each.values()) > HEAVY_IN_ALL_S
        }
        HEAVY.write_text("".join(f"{name}\n" for name in sorted(heavy)), encoding="utf-8")
