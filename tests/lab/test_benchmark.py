"""Benchmark with a stand-in for the digitiser that copies the truth with a known error."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import wfdb
from numpy.typing import NDArray

from ecg_hough.paper import LEADS
from ecg_lab.benchmark import COVERAGES, bootstrap_interval, risk_coverage, run_benchmark, timed_renderer

FS = 250
PAGES = (("clean", "a"), ("clean", "b"), ("worn", "c"))


def write(folder: Path, stem: str, signals: NDArray[np.float64]) -> None:
    wfdb.wrsamp(
        stem,
        fs=FS,
        units=["mV"] * 12,
        sig_name=list(LEADS),
        p_signal=signals.T,
        fmt=["16"] * 12,
        adc_gain=[5000.0] * 12,
        baseline=[0] * 12,
        write_dir=str(folder),
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "pages"
    t = np.arange(2 * FS) / FS
    beats = sum(np.exp(-(((t - at) / 0.02) ** 2)) for at in (0.35, 1.3))
    page = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    for profile, stem in PAGES:
        (folder / profile).mkdir(parents=True, exist_ok=True)
        write(folder / profile, stem, np.stack([(1.0 + 0.1 * k) * beats for k in range(12)]))
        cv2.imwrite(str(folder / profile / f"{stem}.png"), page)
    cv2.imwrite(str(folder / "clean" / "a.labels.png"), page)  # an image that is no page
    return folder


def stand_in(image: Path, out: Path) -> None:
    """First six leads 10 % too high with much confidence; the others 2 times too high with little."""
    truth = image.with_suffix("")
    if not truth.with_suffix(".hea").is_file():  # the page that is timed alone
        return
    if truth.name == "c":
        raise RuntimeError("grid: none found")
    signals = wfdb.rdrecord(str(truth)).p_signal.T
    gains = np.repeat([1.1, 2.0], 6)
    write(out, truth.name, gains[:, None] * signals)
    status = [{"lead": lead, "confidence": 0.9 if k < 6 else 0.1} for k, lead in enumerate(LEADS)]
    document = {"seconds": {"total": 3.0}, "lead_status": status, "versions": {"weights": "abc"}}
    (out / f"{truth.name}.json").write_text(json.dumps(document))


def test_figures_of_a_known_error(data: Path, tmp_path: Path) -> None:
    results = tmp_path / "results" / "benchmark.json"
    result = run_benchmark(data, tmp_path / "out", predict=stand_in, results=results)
    run = json.loads(results.read_text())["runs"]["pages trace"]
    assert run["pages"] == 3
    assert run["missing"] == {"worn/c": "grid: none found"}
    assert run["profiles"]["clean"]["unaligned_snr_db"] == pytest.approx(10.0, abs=0.1)
    assert run["profiles"]["clean"]["median_s_per_page"] == 3.0
    assert run["profiles"]["worn"]["challenge_snr_db"] == 0.0
    assert run["profiles"]["worn"]["kaggle_db"] is None
    assert run["all"]["found_pct"] == pytest.approx(100.0 * 2.0 / 3.0)
    low, high = run["all"]["interval_95"]["unaligned_snr_db"]
    assert low == 0.0
    assert high == pytest.approx(10.0, abs=0.1)
    assert run["versions"]["page:weights"] == "abc"
    assert run["timed_page"]["again_s"] is not None
    assert str(tmp_path) not in results.read_text()
    assert result.evaluation.missing == run["missing"]


def test_most_confident_leads_score_best(data: Path, tmp_path: Path) -> None:
    rows = run_benchmark(data, tmp_path / "out", predict=stand_in, results=None).figures["risk_coverage"]
    assert [row["coverage"] for row in rows] == list(COVERAGES)
    assert [row["leads"] for row in rows] == [36, 32, 27, 18]
    scores = [row["unaligned_snr_db"] for row in rows]
    assert scores == sorted(scores)
    assert scores[0] == pytest.approx(20.0 / 3.0, abs=0.1)


def test_tables(data: Path, tmp_path: Path) -> None:
    from rich.console import Console

    result = run_benchmark(data, tmp_path / "out", predict=stand_in, results=None)
    console = Console(width=140, record=True, file=(tmp_path / "table.txt").open("w"))
    console.print(result.table())
    console.print(result.coverage_table())
    text = console.export_text()
    assert "worn" in text
    assert "most confident" in text


@pytest.mark.slow
def test_runs_on_other_data_stay_in_the_file(data: Path, tmp_path: Path) -> None:
    results = tmp_path / "benchmark.json"
    run_benchmark(data, tmp_path / "out", predict=stand_in, results=results)
    run_benchmark(data / "clean", tmp_path / "out2", predict=stand_in, results=results)
    run_benchmark(data / "clean", tmp_path / "out2", predict=stand_in, results=results)
    runs = json.loads(results.read_text())["runs"]
    assert set(runs) == {"pages trace", "clean trace"}
    assert set(runs["clean trace"]["profiles"]) == {""}


def test_an_older_file_does_not_score_for_a_failed_page(data: Path, tmp_path: Path) -> None:
    place = tmp_path / "out" / "trace" / "worn"
    place.mkdir(parents=True)
    write(place, "c", wfdb.rdrecord(str(data / "worn" / "c")).p_signal.T)
    result = run_benchmark(data, tmp_path / "out", predict=stand_in, results=None)
    assert result.figures["missing"] == {"worn/c": "grid: none found"}
    assert result.figures["profiles"]["worn"]["found_pct"] == 0.0


@pytest.mark.slow
def test_the_batch_is_used_without_an_own_predict(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = pytest.importorskip("ecg_hough.batch.predict")
    reader = pytest.importorskip("ecg_hough.batch.reader")
    calls = []

    def predict_pages(inputs: list[Path], out: Path, **options: object) -> object:
        calls.append((len(inputs), Path(out).name, options))
        results = []
        for page in inputs:
            Path(out).mkdir(parents=True, exist_ok=True)
            stage = message = None
            try:
                stand_in(page, Path(out))
            except RuntimeError as error:
                stage, message = "grid", str(error)
            status = "failed" if stage else "done"
            results.append(batch.PageResult(page, page.stem, status, stage, message, seconds=4.0))
        failures = tuple(batch.PageFailure(r.path, r.stage, r.message) for r in results if r.stage)
        return batch.BatchReport((), (), failures, tuple(results), 1.0)

    monkeypatch.setattr(batch, "predict_pages", predict_pages)
    monkeypatch.setattr("ecg_lab.benchmark._time_one_page", lambda *_: {})
    result = run_benchmark(data, tmp_path / "out", readout="centroid", workers=1, results=None)
    assert calls == [
        (2, "clean", {"read": reader.Digitizer(readout="centroid"), "workers": 1}),
        (1, "worn", {"read": reader.Digitizer(readout="centroid"), "workers": 1}),
    ]
    assert result.figures["missing"] == {"worn/c": "grid: grid: none found"}
    assert result.figures["profiles"]["clean"]["median_s_per_page"] == 3.0


def test_bootstrap_of_equal_pages_is_a_point_and_seeded() -> None:
    pages = pd.DataFrame({"page": ["a", "b"], "profile": ["", ""], "kaggle_ratio": [100.0, 100.0]})
    leads = pd.DataFrame(
        {
            "page": ["a", "b", "b"],
            "profile": [""] * 3,
            "challenge_snr_db": 20.0,
            "unaligned_snr_db": [10, 10, 20],
        }
    )
    interval = bootstrap_interval(leads, pages)
    assert interval["challenge_snr_db"] == (20.0, 20.0)
    assert interval["kaggle_db"] == pytest.approx((20.0, 20.0))
    assert interval["unaligned_snr_db"] == (10.0, 15.0)
    assert bootstrap_interval(leads, pages) == interval


def test_the_renderer_is_timed() -> None:
    speed = timed_renderer(1, dpi=40.0)
    assert set(speed) == {"clean", "worn", "photo"}
    assert all(pages_per_s > 0 for pages_per_s in speed.values())


def test_no_confidence_no_rows() -> None:
    assert risk_coverage(pd.DataFrame({"profile": [], "page": [], "lead": []}), {}) == []


def test_bad_arguments(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="their WFDB records"):
        run_benchmark(tmp_path / "none", tmp_path / "out")
    with pytest.raises(ValueError, match="outside the folder"):
        run_benchmark(data, data / "out")
    with pytest.raises(ValueError, match="workers must be at least 1"):
        run_benchmark(data, tmp_path / "out", workers=0)
