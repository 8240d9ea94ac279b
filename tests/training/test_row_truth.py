"""Rows as truth: pages go to a file and back, and places that are not known are not learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame
from ecg_hough.networks.canvas import to_canvas
from ecg_hough.page_map import PageMap
from ecg_hough.training.row_truth import IGNORED, NO_TRACE, KnownPage, RowTruth, true_rows
from ecg_hough.training.trace_data import CROP_SHAPE, crops_of_known

PX_PER_MM = 4.0
X_MM = np.arange(10.0, 90.0, 0.0625)


def row(y_mm: float, vague: tuple[float, float] = (0.0, 0.0)) -> RowTruth:
    """A level row in two stretches, of which some is vague."""
    halves = X_MM[X_MM < 50], X_MM[X_MM >= 55]
    unsure = tuple((x > vague[0]) & (x < vague[1]) for x in halves)
    y = tuple(np.full(x.size, y_mm) for x in halves)
    return RowTruth(halves, y, tuple(np.ones(x.size, bool) for x in halves), unsure)


def page() -> KnownPage:
    """A page of 60 x 100 mm with two rows."""
    image = np.full((240, 400, 3), 255, np.uint8)
    for y_mm in (20, 40):
        image[round(y_mm * PX_PER_MM), 40:360] = 0
    page_map = PageMap.from_affine([[PX_PER_MM, 0, 0], [0, PX_PER_MM, 0]], (60.0, 100.0))
    masks = np.zeros((2, 2, 64, 64), np.uint8)
    masks[0, 0, 20:24] = 200
    seen = to_canvas(image, side=64), masks
    return KnownPage(image, page_map, (row(20.0), row(40.0, (60.0, 62.0))), seen, ((1, 58.0, 64.0),))


def test_a_page_comes_back_from_its_file(tmp_path: Path) -> None:
    made = page()
    made.save(tmp_path / "page.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["page.npz"]
    back = KnownPage.load(tmp_path / "page.npz")
    assert np.array_equal(back.image, made.image)
    assert back.places == made.places
    for one, other in zip(back.rows, made.rows, strict=True):
        for name in ("x_mm", "y_mm", "seen", "vague"):
            pairs = zip(getattr(one, name), getattr(other, name), strict=True)
            assert all(np.array_equal(a, b) for a, b in pairs)
    (canvas, masks), (before, their) = back.seen, made.seen  # type: ignore[misc]
    assert np.array_equal(masks, their)
    points = np.array([[10.0, 20.0], [200.0, 300.0]])
    assert np.allclose(canvas.from_page(points), before.from_page(points))


def test_what_is_vague_is_ignored_and_a_gap_is_no_trace() -> None:
    frame = StripFrame(30.0, 40.0, (160, 320))
    target = true_rows(row(40.0, (60.0, 62.0)), frame).T.ravel()
    mm = 40.0 + np.arange(target.size) / (2 * STRIP_PX_PER_MM)
    assert (target[(mm > 60.2) & (mm < 61.8)] == IGNORED).all()
    assert (target[(mm > 50.5) & (mm < 54.5)] == NO_TRACE).all()
    assert np.allclose(target[(mm > 63) & (mm < 75)], 10.0 * STRIP_PX_PER_MM, atol=0.6)


def test_most_crops_hold_what_was_corrected() -> None:
    rng = np.random.default_rng(0)
    crops = list(crops_of_known(page(), 40, rng))
    assert all(channels.shape == (5, *CROP_SHAPE) for channels, _ in crops)
    assert np.mean([(target == IGNORED).sum() > 10 for _, target in crops]) > 0.5
