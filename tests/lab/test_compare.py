"""The comparison on two drawn pages, one of which the methods cannot read."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import wfdb

from ecg_hough.paper import LEADS
from ecg_hough.scores.evaluation import evaluate
from ecg_lab.compare import compare_methods
from kit_like_page import PX_PER_MM, kit_like_page


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Profiles "a" (a page the methods know) and "b" (a blank one), with their truth."""
    page = kit_like_page()
    for profile, image in (("a", page.image), ("b", np.full((300, 400, 3), 240, np.uint8))):
        folder = tmp_path / "pages" / profile
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "x.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        wfdb.wrsamp(
            "x",
            fs=500,
            units=["mV"] * 12,
            sig_name=list(LEADS),
            p_signal=page.signals.T,
            fmt=["16"] * 12,
            adc_gain=[1000.0] * 12,
            baseline=[0] * 12,
            write_dir=str(folder),
        )
    return tmp_path / "pages"


def write_sidecar(folder: Path) -> None:
    """ECG-Image-Kit's JSON of the drawn page: a point per sample, from the label map's own columns."""
    page = kit_like_page()
    leads = []
    for k, lead in enumerate(LEADS):
        at = np.argwhere(page.labels == k + 1)
        at = at[at[:, 0] > 1400] if lead == "II" else at
        at = at[np.argsort(at[:, 1], kind="stable")]
        printed = np.flatnonzero(np.isfinite(page.signals[k]))
        leads.append(
            {
                "lead_name": lead,
                "start_sample": int(printed[0]),
                "end_sample": int(printed[-1]) + 1,
                "plotted_pixels": (at + 0.5).tolist(),
            }
        )
    sidecar = {
        "sampling_frequency": 500, "resolution": 200, "pad_inches": 0, "height": 1700, "width": 2200,
        "x_grid": 5 * PX_PER_MM, "y_grid": 5 * PX_PER_MM, "leads": leads,
    }  # fmt: skip
    (folder / "x.json").write_text(json.dumps(sidecar))


@pytest.mark.slow
def test_table_counts_failures_and_is_resumed(data: Path, tmp_path: Path) -> None:
    results = tmp_path / "compare.json"
    steps: list[tuple[int, int]] = []
    result = compare_methods(
        [data],
        tmp_path / "out",
        methods=["ecgminer"],
        results=results,
        on_progress=lambda done, total: steps.append((done, total)),
    )
    rows = result.figures["variants"]["ecgminer"]
    assert list(rows) == ["pages/a", "pages/b", "all"]
    assert rows["pages/a"]["failed"] == 0
    assert rows["pages/a"]["challenge_snr_db"] > 8
    assert rows["pages/b"]["failed"] == 1
    assert rows["pages/b"]["challenge_snr_db"] == 0.0
    assert rows["pages/b"]["found_pct"] == 0.0
    assert rows["all"]["pages"] == 2
    assert rows["all"]["challenge_snr_db"] == pytest.approx(rows["pages/a"]["challenge_snr_db"] / 2)
    low, high = rows["all"]["interval_95"]["challenge_snr_db"]
    assert low <= rows["all"]["challenge_snr_db"] <= high
    assert steps == [(1, 2), (2, 2)]
    # The scores are those of `evaluate` on the same records.
    again = evaluate(tmp_path / "out" / "predictions" / "ecgminer" / "pages", data, workers=1)
    assert again.summary["all"]["challenge_snr_db"] == pytest.approx(rows["all"]["challenge_snr_db"])
    written = tmp_path / "out" / "predictions" / "ecgminer" / "pages" / "a" / "x.dat"
    before = written.stat().st_mtime_ns
    more = compare_methods([data], tmp_path / "out", methods=["ambrosm"], pages=1, results=results)
    assert list(more.figures["variants"]) == ["ecgminer", "ambrosm"]
    compare_methods([data], tmp_path / "out", methods=["ecgminer"], results=results)
    assert written.stat().st_mtime_ns == before
    assert more.table().row_count == 6
    assert more.pitch_table() is not None


@pytest.mark.slow
def test_true_masks_make_a_second_variant(data: Path, tmp_path: Path) -> None:
    write_sidecar(data / "a")
    result = compare_methods([data / "a"], tmp_path / "out", methods=["krones2024"], results=None)
    rows = result.figures["variants"]
    assert list(rows) == ["krones2024", "krones2024+true"]
    assert rows["krones2024+true"]["a"]["challenge_snr_db"] > 12
    assert (tmp_path / "out" / "masks" / "strokes" / "a" / "x.labels.png").is_file()


def test_bad_arguments(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="method must be one of"):
        compare_methods([data], tmp_path / "out", methods=["x"])
    with pytest.raises(ValueError, match="outside the folder"):
        compare_methods([data], data / "out", methods=["ecgminer"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="their WFDB records"):
        compare_methods([tmp_path / "empty"], tmp_path / "out", methods=["ecgminer"])
