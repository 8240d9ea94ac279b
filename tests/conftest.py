"""What all tests share: the marker of tests that take over 1.5 s."""

from pathlib import Path

import pytest

from places import heavy_tests

TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what tests/heavy.txt lists."""
    heavy = heavy_tests()
    for item in items:
        name = f"{item.path.relative_to(TESTS).as_posix()}::{getattr(item, 'originalname', item.name)}"
        if name in heavy:
            item.add_marker(pytest.mark.heavy)
