"""What the tests of the service share: small pages, a store, and a server process."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import pytest

from ecg_hough.service.store import Store
from places import SAMPLES

if importlib.util.find_spec("fastapi") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def small_page() -> bytes:
    """A page that is read fast: the clean sample at two fifths of its size."""
    image = cv2.imread(str(SAMPLES / "clean_3x4.jpg"))
    small = cv2.resize(image, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small)[1].tobytes()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
