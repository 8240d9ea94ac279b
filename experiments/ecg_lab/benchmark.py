"""The whole method on a folder of pages with known signals: a folder enters; scores, times and memory leave.

The folder holds page images and their true signals (`stem.png` and `stem.hea`), flat or in one subfolder per
profile. Every page is digitised, compared with `evaluation.evaluate`, and timed.
"""

from __future__ import annotations

import json
import logging
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ecg_hough.options import READOUTS
from ecg_hough.scores import metrics
from ecg_hough.scores.evaluation import Evaluation, evaluate, without_nan
from ecg_hough.scores.layout_score import layout_table, score_layouts
from ecg_lab.published import RESULTS, results_path

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

logger = logging.getLogger(__name__)

PUBLISHED = RESULTS / "benchmark.json"
TIMED_PAGE_PX = (1700, 2200)
"""Rows and columns of the page that is timed alone: 11x8.5 in at 200 dpi."""
RENDERED_PAGES = 6
"""Pages of each kind that the renderer is timed on."""
BOOTSTRAP_SAMPLES = 1000
BOOTSTRAP_SEED = 0
COVERAGES = (1.0, 0.9, 0.75, 0.5)
"""Shares of the leads, most confident first, whose score is tabled."""
LIBRARIES = ("ecg-hough", "numpy", "scipy", "opencv-python-headless", "openvino", "wfdb")

Predict = Callable[[Path, Path], None]
"""Digitises one page image into an output folder as WFDB (and JSON) with the image's stem."""


@dataclass(frozen=True)
class BenchmarkResult:
    """What a run measured.

    Attributes:
        evaluation: metrics per lead and page.
        figures: all that goes into the JSON report, see `run_benchmark`.
    """

    evaluation: Evaluation
    figures: dict[str, Any]

    def table(self) -> Table:
        """One row per profile and one for all pages, as a rich table."""
        from rich.table import Table

        title = f"{self.figures['data']}, {self.figures['options']['readout']} read-out"
        table = Table(title=title)
        table.add_column("profile")
        headings = ("pages", "SNR dB", "95 %", "unaligned dB", "Kaggle dB", "found %", "r", "s/page")
        for heading in headings:
            table.add_column(heading, justify="right")
        profiles = self.figures["profiles"]
        rows = [*(profiles.items() if len(profiles) > 1 else ()), ("all", self.figures["all"])]
        for name, row in rows:
            low, high = row["interval_95"]["challenge_snr_db"]
            table.add_row(
                name or ".",
                str(row["pages"]),
                _digits(row["challenge_snr_db"], 2),
                f"{_digits(low, 1)} to {_digits(high, 1)}",
                _digits(row["unaligned_snr_db"], 2),
                _digits(row["kaggle_db"], 2),
                _digits(row["found_pct"], 1),
                _digits(row["pearson_r"], 4),
                _digits(row["median_s_per_page"], 2),
            )
        return table

    def layout_table(self) -> Table | None:
        """What was understood of the pages, as a rich table; None without any page's truth."""
        return None if self.figures["understood"] is None else layout_table(self.figures["understood"])

    def coverage_table(self) -> Table | None:
        """SNR of the most confident leads, as a rich table; None if no prediction carries confidences."""
        from rich.table import Table

        if not self.figures["risk_coverage"]:
            return None
        table = Table(title="Score of the most confident leads")
        for heading in ("leads %", "leads", "least confidence", "SNR dB", "unaligned dB"):
            table.add_column(heading, justify="right")
        for row in self.figures["risk_coverage"]:
            table.add_row(
                f"{100 * row['coverage']:.0f}",
                str(row["leads"]),
                _digits(row["least_confidence"], 3),
                _digits(row["challenge_snr_db"], 2),
                _digits(row["unaligned_snr_db"], 2),
            )
        return table


def default_results(folder: Path, readout: str) -> Path:
    """Where the figures go if no place is named: over the published ones only for a published folder.

    A folder is that of a published run if it has its name and as many pages at least.
    """

    def covers(published: Path) -> bool:
        run = _read_json(published).get("runs", {}).get(_run_name(Path(folder).resolve().name, readout))
        return run is not None and len(first_pages(folder)) >= run["pages"]

    return results_path(PUBLISHED, covers)


def _run_name(data: str, readout: str) -> str:
    return f"{data} {readout}"


def run_benchmark(
    folder: Path,
    out: Path,
    *,
    predict: Predict | None = None,
    workers: int = 2,
    readout: Literal["trace", "centroid"] = "trace",
    results: Path | None = None,
    allow_trained: bool = False,
) -> BenchmarkResult:
    """Digitise every page of `folder` and compare with the true signals in it.

    The figures: data (the folder's name), pages, created, versions, machine, options; "all" and "profiles"
    (`evaluation.summarise`, the median seconds a page, and 95 % bootstrap intervals over pages), "leads",
    "missing" pages with the reason; "understood" (`layout_score.score_layouts`); `risk_coverage`;
    `peak_memory_mib`; `timed_page`; `renderer_pages_per_s`.

    Args:
        folder: pages and WFDB records of the same stems, flat or with a subfolder per profile.
        out: predictions are written to `out/<readout>/<profile>`.
        predict: digitises one page; None for `predict.predict_pages`, which skips pages it has already
            done with the same weights and options.
        workers: processes of the batch, and threads of the evaluation. An own `predict` runs page by page.
        readout: read-out of the batch.
        results: JSON file. Runs on other data or with another read-out stay in it. None writes none.
        allow_trained: score records that the shipped networks were trained on too, with a warning.

    Raises:
        ValueError: the folder holds no page with a record or one that was trained on (see
            `scores.guard`), `out` lies inside it, or workers is below 1.
    """
    from ecg_hough.datasets.ptbxl_table import patient_groups
    from ecg_hough.scores.guard import refuse_trained

    folder, out = Path(folder).resolve(), Path(out) / readout
    if workers < 1:
        raise ValueError(f"workers must be at least 1; got {workers}")
    if out.resolve().is_relative_to(folder):
        raise ValueError(f"out must lie outside the folder of true signals; got {out}")
    pages = first_pages(folder)
    if not pages:
        raise ValueError(f"folder must hold page images with their WFDB records; got none in {folder}")
    refuse_trained([page.stem for page in pages], patients=patient_groups(folder), allow=allow_trained)
    started = time.perf_counter()
    if predict is None:
        failed, seconds = _predict_batch(pages, folder, out, workers, readout)
    else:
        failed, seconds = _predict_each(pages, folder, out, predict)
    wall_s = time.perf_counter() - started
    # Before the evaluation, whose own memory is no matter of the method.
    peak_memory_mib = _peak_memory_mib()
    evaluation = evaluate(out, folder, workers=workers, failed=failed, allow_trained=allow_trained)
    pages_json = {page: _read_json(out / f"{page}.json") for page in seconds if page not in failed}
    seconds |= {page: float(d["seconds"]["total"]) for page, d in pages_json.items() if "seconds" in d}
    summary = evaluation.summary
    figures: dict[str, Any] = {
        "data": folder.name,
        "pages": len(evaluation.pages),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(pages_json),
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "python": sys.version.split()[0],
        },
        "options": {"readout": readout, "workers": workers, "predict": "batch" if predict is None else "own"},
        "wall_s": wall_s,
        "all": _with_spread(summary["all"], evaluation, None, seconds),
        "profiles": {
            name: _with_spread(row, evaluation, name, seconds) for name, row in summary["profiles"].items()
        },
        "leads": summary["leads"],
        "missing": summary["missing"],
        "understood": score_layouts(folder, pages_json),
        "risk_coverage": risk_coverage(evaluation.leads, _confidences(pages_json)),
        "peak_memory_mib": peak_memory_mib,
        "timed_page": _time_one_page(pages[0], predict, readout),
        "renderer_pages_per_s": timed_renderer(),
    }
    if results is not None:
        _store(without_nan(figures), Path(results))
    return BenchmarkResult(evaluation, figures)


def timed_renderer(pages: int = RENDERED_PAGES, dpi: float = 200.0) -> dict[str, float]:
    """Pages a second that the own renderer draws on one core: clean ones, worn ones, phone photos.

    Args:
        pages: of each kind, seeds 0 to pages - 1; dpi: their resolution.
    """
    import cv2

    from ecg_hough.render import render_page
    from ecg_hough.render.ecg_model import generate_ecg

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    speed = {}
    try:
        for profile in ("clean", "worn", "photo"):
            start = time.perf_counter()
            for seed in range(pages):
                ecg = generate_ecg(seed)
                render_page(ecg.signals, ecg.fs, seed=seed, profile=profile, dpi=dpi)
            speed[profile] = round(pages / (time.perf_counter() - start), 2)
    finally:
        cv2.setNumThreads(threads)
    return speed


def bootstrap_interval(
    leads: pd.DataFrame, pages: pd.DataFrame, *, samples: int = BOOTSTRAP_SAMPLES, seed: int = BOOTSTRAP_SEED
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the scores when the pages, with all their leads, are drawn again with replacement.

    Args:
        leads: rows of `Evaluation.leads`.
        pages: the rows of `Evaluation.pages` they belong to.
        samples: number of draws.
        seed: of the draws.

    Returns:
        (2.5 %, 97.5 %) of challenge_snr_db, unaligned_snr_db and kaggle_db (Efron's percentile method).
    """
    drawn = np.random.default_rng(seed).integers(0, len(pages), (samples, len(pages)))
    keys = ["profile", "page"]
    order = list(pages[keys].itertuples(index=False, name=None))
    scores: dict[str, NDArray[np.float64]] = {}
    for name in ("challenge_snr_db", "unaligned_snr_db"):
        by_page = leads.groupby(keys)[name].agg(["sum", "count"]).reindex(order, fill_value=0)
        total, count = (by_page[part].to_numpy(dtype=float)[drawn].sum(axis=1) for part in ("sum", "count"))
        scores[name] = np.divide(total, count, out=np.full(samples, np.nan), where=count > 0)
    ratios = pages["kaggle_ratio"].to_numpy(dtype=float)[drawn]
    scores["kaggle_db"] = np.array([metrics.kaggle_score(row) for row in ratios])
    intervals = {}
    for name, values in scores.items():
        kept = np.sort(values[~np.isnan(values)])
        # Positions, not interpolation: a draw without any read page scores minus infinity.
        ends = np.floor(np.array([0.025, 0.975]) * (kept.size - 1)).astype(int) if kept.size else None
        intervals[name] = (float("nan"), float("nan")) if ends is None else tuple(kept[ends].tolist())
    return intervals


def risk_coverage(
    leads: pd.DataFrame, confidences: dict[tuple[str, str, str], float]
) -> list[dict[str, float | int]]:
    """Score of the most confident leads, for each share in `COVERAGES`.

    A confidence that means something makes the score rise as fewer leads are kept.

    Args:
        leads: rows of `Evaluation.leads`.
        confidences: by (profile, page, lead); a lead that is not in it counts as 0.

    Returns:
        One row per share, or none at all without any confidence.
    """
    if not confidences:
        return []
    keys = zip(leads["profile"], leads["page"], leads["lead"], strict=True)
    confidence = np.array([confidences.get(key, 0.0) for key in keys])
    order = np.argsort(-confidence, kind="stable")
    rows: list[dict[str, float | int]] = []
    for coverage in COVERAGES:
        kept = order[: max(1, round(coverage * order.size))]
        rows.append(
            {
                "coverage": coverage,
                "leads": len(kept),
                "least_confidence": float(confidence[kept[-1]]),
                "challenge_snr_db": float(leads["challenge_snr_db"].iloc[kept].mean()),
                "unaligned_snr_db": float(leads["unaligned_snr_db"].iloc[kept].mean()),
            }
        )
    return rows


def first_pages(folder: Path, n: int | None = None) -> list[Path]:
    """Images with a record of the same stem in their folder, one a record; the first n of each profile."""
    from ecg_hough.documents.kinds import PAGE_SUFFIXES

    by_profile: dict[Path, list[Path]] = {}
    for header in sorted(folder.rglob("*.hea")):
        images = [header.with_suffix(suffix) for suffix in PAGE_SUFFIXES]
        images = [image for image in images if image.is_file()]
        if len(images) > 1:
            logger.warning("%s has %d images; only %s is read", header.stem, len(images), images[0].name)
        if images:
            by_profile.setdefault(header.parent, []).append(images[0])
    return [page for found in by_profile.values() for page in found[:n]]


def _key(page: Path, folder: Path) -> str:
    """The page's name in reports and under the output folder: "profile/stem"."""
    return page.relative_to(folder).with_suffix("").as_posix()


def _predict_batch(
    pages: list[Path], folder: Path, out: Path, workers: int, readout: Literal["trace", "centroid"]
) -> tuple[dict[str, str], dict[str, float]]:
    """Why pages failed, and seconds a page, from one batch per profile."""
    from ecg_hough.batch.predict import predict_pages
    from ecg_hough.batch.reader import Digitizer

    failed: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for parent in sorted({page.parent for page in pages}):
        # Files, not the folder: other images may lie there, such as label maps.
        chosen = [page for page in pages if page.parent == parent]
        place = out / parent.relative_to(folder)
        report = predict_pages(chosen, place, read=Digitizer(readout=readout), workers=workers)
        for result in report.pages:
            key = _key(result.path, folder)
            seconds[key] = result.seconds if result.status == "done" else float("nan")
            if result.status == "failed":
                failed[key] = f"{result.stage}: {result.message}"
        logger.info("%s: %d pages, %d failed", parent.name, len(chosen), len(report.failed))
    return failed, seconds


def _predict_each(
    pages: list[Path], folder: Path, out: Path, predict: Predict
) -> tuple[dict[str, str], dict[str, float]]:
    """The same from an own function."""
    failed: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for page in pages:
        key = _key(page, folder)
        place = out / page.parent.relative_to(folder)
        place.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        try:
            predict(page, place)
            seconds[key] = time.perf_counter() - start
        except Exception as error:
            logger.error("%s: %s", key, error)
            failed[key] = str(error) or type(error).__name__
            seconds[key] = float("nan")
    return failed, seconds


def _with_spread(
    summary: dict[str, Any], evaluation: Evaluation, profile: str | None, seconds: dict[str, float]
) -> dict[str, Any]:
    """A summary with the median seconds a page and the bootstrap intervals of its pages."""
    leads, pages = evaluation.leads, evaluation.pages
    if profile is not None:
        leads, pages = leads[leads["profile"] == profile], pages[pages["profile"] == profile]
    keys = [f"{p}/{name}" if p else name for p, name in zip(pages["profile"], pages["page"], strict=True)]
    times = np.array([seconds.get(key, float("nan")) for key in keys])
    median = float(np.nanmedian(times)) if np.isfinite(times).any() else float("nan")
    return summary | {"median_s_per_page": median, "interval_95": bootstrap_interval(leads, pages)}


def _confidences(pages_json: dict[str, dict[str, Any]]) -> dict[tuple[str, str, str], float]:
    """Confidence of every lead by (profile, page, lead), from the JSON files of the predictions."""
    found = {}
    for key, document in pages_json.items():
        profile, _, page = key.rpartition("/")
        for status in document.get("lead_status", ()):
            if status.get("confidence") is not None:
                found[profile, page, status["lead"]] = float(status["confidence"])
    return found


def _read_json(path: Path) -> dict[str, Any]:
    """The page's report; empty if the prediction wrote none."""
    if not path.is_file():
        return {}
    document = json.loads(path.read_text(encoding="utf-8"))
    return document if isinstance(document, dict) else {}


def _versions(pages_json: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Of the libraries here, and of the weights as in the first page's report."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    stated: dict[str, str] = next((d["versions"] for d in pages_json.values() if "versions" in d), {})
    return versions | {f"page:{name}": str(value) for name, value in stated.items()}


def _peak_memory_mib() -> dict[str, float] | None:
    """Largest resident size of this process and of its largest child (0 without) so far; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    # Linux counts in KiB, macOS in bytes.
    unit = 2.0**20 if sys.platform == "darwin" else 2.0**10
    who = {"process": resource.RUSAGE_SELF, "largest_worker": resource.RUSAGE_CHILDREN}
    return {name: round(resource.getrusage(number).ru_maxrss / unit, 1) for name, number in who.items()}


def _time_one_page(
    page: Path, predict: Predict | None, readout: Literal["trace", "centroid"]
) -> dict[str, Any]:
    """Seconds of the first page at 2200 x 1700 px, alone in this process: first (networks load) and again."""
    import cv2

    from ecg_hough.image.reading import read_page

    rows, cols = TIMED_PAGE_PX
    timed: dict[str, Any] = {"rows": rows, "cols": cols, "first_s": None, "again_s": None}
    try:
        image = read_page(page).image
        # The grid's squares stay square; white fills the remaining sheet.
        scale = min(rows / image.shape[0], cols / image.shape[1])
        size = (min(cols, round(scale * image.shape[1])), min(rows, round(scale * image.shape[0])))
        scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        margins = (0, rows - size[1], 0, cols - size[0])
        sheet = cv2.copyMakeBorder(scaled, *margins, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "page.png"
            cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
            for name in ("first_s", "again_s"):
                start = time.perf_counter()
                if predict is not None:
                    predict(path, Path(place))
                else:
                    from ecg_hough.pipeline import digitize

                    digitize(path, options=READOUTS[readout])
                timed[name] = time.perf_counter() - start
    except Exception as error:
        logger.error("the timed page failed: %s", error)
        timed["error"] = str(error)
    return timed


def _store(figures: dict[str, Any], path: Path) -> None:
    """Put a run into the JSON file, in place of the run with the same data and read-out."""
    runs = _read_json(path).get("runs", {})
    runs[_run_name(figures["data"], figures["options"]["readout"])] = figures
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"runs": runs}, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _digits(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"
