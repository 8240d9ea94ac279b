"""ECG-Image-Kit: pages with and without sidecars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecg_hough.datasets import read_pages
from ecg_hough.datasets.split import held_out_records
from ecg_hough.paper import LEADS
from made_up_ecg import as_printed
from made_up_records import FS, made_up_signals, write_image, write_record
from places import SHARED


def write_sidecar(path: Path, **more: Any) -> None:
    spans = [(lead, 250 * (k // 3), 250 * (k // 3 + 1)) for k, lead in enumerate(LEADS)]
    leads = [
        {"lead_name": lead, "start_sample": start, "end_sample": end, "plotted_pixels": [[1.0, 1.0]]}
        for lead, start, end in [*spans, ("II", 0, 1000)]
    ]
    path.write_text(json.dumps({"sampling_frequency": FS, "leads": leads, **more}))


def test_ecg_image_kit_with_and_without_sidecars(tmp_path: Path) -> None:
    place = tmp_path / "clean"
    write_record(place / "00001_hr", made_up_signals(1))
    write_record(place / "00002_hr", made_up_signals(2))
    write_image(place / "00001_hr-0.png")
    write_sidecar(place / "00001_hr-0.json", number_of_columns_in_image=4, full_mode_lead="II")
    write_image(place / "00002_hr-0.png")
    first, second = read_pages("ecg-image-kit", tmp_path)
    assert (first.page_id, first.profile, first.record_id) == ("clean_00001_hr-0", "clean", "00001_hr")
    assert (first.layout, second.layout) == ("3x4+1", None)
    for page, seed in ((first, 1), (second, 2)):
        np.testing.assert_allclose(page.reference().signals, as_printed(made_up_signals(seed)), atol=1e-9)


@pytest.mark.skipif(not (SHARED / "ecg_image_kit").is_dir(), reason="the development pages are not here")
def test_ecg_image_kit_of_the_development_data() -> None:
    pages = list(read_pages("ecg-image-kit", SHARED / "ecg_image_kit"))
    assert len(pages) == 64
    assert {page.record_id for page in pages} <= held_out_records()
    assert "severe" in {page.profile for page in pages}
    assert np.isfinite(pages[0].reference().signals).any(axis=1).all()
