"""Rendered pages on disk: the same seed gives the same files, and the truth is the page's."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from ecg_hough.datasets.rendered import page_seed, render_samples
from ecg_hough.datasets.split import held_out_records
from ecg_hough.output.export import LABELS_SUFFIX
from ecg_hough.output.read_back import read_leads
from ecg_hough.paper import LEADS
from made_up_records import made_up_signals, write_record

DPI = 60


def test_a_page_is_written_with_its_truth(tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    first, second = render_samples(
        tmp_path, n=2, seed=3, dpi=DPI, on_progress=lambda done, total: progress.append((done, total))
    )
    assert progress == [(1, 2), (2, 2)]
    image = cv2.imread(str(first))
    labels = cv2.imread(str(first.with_suffix("")) + LABELS_SUFFIX, cv2.IMREAD_UNCHANGED)
    assert image.shape[:2] == labels.shape
    truth = json.loads(first.with_name(first.stem + ".truth.json").read_text())
    named = {LEADS[k - 1] for k in np.unique(labels) if k}
    assert named <= {panel["lead"] for panel in truth["panels"]}
    leads, _ = read_leads(first.with_suffix(""))
    assert {lead for lead, values in leads.items() if np.isfinite(values).any()} >= named
    assert second.read_bytes() != first.read_bytes()


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    one, other = (render_samples(tmp_path / name, n=1, seed=5, dpi=DPI) for name in "ab")
    assert one[0].read_bytes() == other[0].read_bytes()
    assert page_seed(5, 0) != page_seed(6, 0) != page_seed(6, 1)


def test_held_out_pages_show_held_out_records_only(tmp_path: Path) -> None:
    held_out = min(held_out_records())
    for name in (held_out, "90001_hr"):
        write_record(tmp_path / "records" / name, made_up_signals())
    pages = render_samples(
        tmp_path / "pages", n=2, profile="clean", records=tmp_path / "records", dpi=DPI, held_out=True
    )
    assert [page.stem for page in pages] == [f"clean_000{k}_{held_out}" for k in range(2)]
