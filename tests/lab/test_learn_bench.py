"""Pages of the bench of learning: what is unseen about them, their truth, and who corrects which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason='needs pip install "ecg-hough[serve]"')
from ecg_hough.review.library import PageEntry
from ecg_lab import learn_pages
from ecg_lab.learn_bench import BenchSettings, choose
from ecg_lab.learn_pages import RULED, USUAL, TruePage, draw_pages


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(learn_pages, "DPI", 80.0)
        draw_pages(made, {RULED: 1}, 3, [])
    return made


def test_the_unseen_vendor_prints_a_line_at_every_zero(folder: Path) -> None:
    import cv2

    true = TruePage.load(folder / f"{RULED}_000.true.npz")
    assert (true.layout, true.speed_mm_s, true.gain_mm_mv) == ("3x4+1", 25.0, 10.0)
    assert sorted({panel.row for panel in true.panels}) == [0, 1, 2, 3]
    image = cv2.imread(str(folder / f"{RULED}_000.png"), cv2.IMREAD_GRAYSCALE)
    panel = true.panels[0]
    first, last = (int(panel.trace[k, 1]) for k in (0, -1))
    part = image[:, first + 5 : last - 5]
    whole = np.flatnonzero((part < 120).all(axis=0 if part.shape[0] == 1 else 1))
    assert np.abs(whole - np.median(panel.trace[:, 0])).min() < 4


def test_pages_that_are_there_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn_pages, "draw_page", lambda *args: pytest.fail("it is there already"))
    (path,) = draw_pages(folder, {RULED: 1}, 3, [])
    assert path.is_file()


def test_a_person_redraws_what_is_seen_to_be_off() -> None:
    x_mm = np.arange(0.0, 100.0, 0.1)
    off = ((x_mm > 10) & (x_mm < 12)) | ((x_mm > 15) & (x_mm < 16)) | ((x_mm > 60) & (x_mm < 60.15))
    ((first, last),) = learn_pages._stretches(off, x_mm)
    assert (first, last) == pytest.approx((10.1, 15.9))


def test_arms_choose_from_the_pool() -> None:
    entries = {
        k: PageEntry(
            f"{RULED if k < 6 else USUAL}_{k}", "a", "", layout="3x4", probability=0.1 if k < 6 else 0.9
        )
        for k in range(12)
    }
    engine = SimpleNamespace(entries=entries)
    settings = BenchSettings(corrected=4)
    suggested = choose("suggested", engine, settings)  # type: ignore[arg-type]
    assert set(suggested) <= set(range(6))
    drawn = choose("random", engine, settings)  # type: ignore[arg-type]
    assert len(set(drawn)) == 4
    assert drawn == choose("random", engine, settings)  # type: ignore[arg-type]
    assert drawn != choose("random", engine, replace(settings, seed=1))  # type: ignore[arg-type]
