import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from ecg_hough.networks.runtime import RANGES, WEIGHTS, Network
from ecg_hough.render import render_page
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.training.quantize_weights import measure_ranges


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A copy of the words network as `export` leaves it: without ranges."""
    path = tmp_path / "words.onnx"
    shutil.copy(WEIGHTS / path.name, path)
    card = json.loads((WEIGHTS / "words.json").read_text())
    del card[RANGES], card["ranges_from"]
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def write_page(path: Path, seed: int) -> Path:
    ecg = generate_ecg(seed)
    image = render_page(ecg.signals, ecg.fs, seed=seed, profile="scan", dpi=100).image
    cv2.imwrite(str(path), image[..., ::-1])
    return path


@pytest.mark.slow
def test_ranges_are_put_into_the_card_and_nothing_else(weights: Path, tmp_path: Path) -> None:
    before = json.loads(weights.with_suffix(".json").read_text())
    (tmp_path / "blank.png").write_bytes(
        cv2.imencode(".png", np.full((80, 80, 3), 255, np.uint8))[1].tobytes()
    )
    pages = [tmp_path / "blank.png", *(write_page(tmp_path / f"{k}.png", k) for k in (3, 4))]
    seen: list[tuple[int, int]] = []
    ranges = measure_ranges(weights, pages, on_progress=lambda done, total: seen.append((done, total)))
    after = json.loads(weights.with_suffix(".json").read_text())
    assert {name: tuple(span) for name, span in after.pop(RANGES).items()} == ranges
    assert after.pop("ranges_from") == {"pages": 2, "seed": 0}
    assert after == before
    assert seen == [(1, 3), (2, 3), (3, 3)]
    darkest, lightest = ranges.pop("image")
    assert 0 <= darkest < 0.5
    assert lightest == 1.0
    # Leaky units let a little through below zero.
    assert all(low < 0 < high for low, high in ranges.values())
    assert Network(weights, precision="int8").precision == "int8"


@pytest.mark.slow
def test_the_shipped_ranges_are_like_those_of_other_pages(weights: Path, tmp_path: Path) -> None:
    shipped = json.loads((WEIGHTS / "words.json").read_text())[RANGES]
    ranges = measure_ranges(weights, [write_page(tmp_path / "page.png", 5)])
    assert set(ranges) == set(shipped)
    ratios = [ranges[name][1] / high for name, (_, high) in shipped.items()]
    assert 0.7 < np.median(ratios) < 1.4


def test_pages_that_cannot_be_read_leave_the_card_alone(weights: Path, tmp_path: Path) -> None:
    before = weights.with_suffix(".json").read_bytes()
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((300, 400, 3), 255, np.uint8))
    with pytest.raises(ValueError, match="none of 1 is"):
        measure_ranges(weights, [tmp_path / "blank.png"])
    assert weights.with_suffix(".json").read_bytes() == before
