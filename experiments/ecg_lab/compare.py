"""Every method on the same pages: folders of pages with known signals enter; one table of scores leaves.

A variant is a method, with our leads network's masks where it reads masks; "NAME+true" is the same with the
true masks, on the pages whose masks are known (ECG-Image-Kit's sidecars). A page that a method cannot read
scores 0 for each lead, as in the metrics, and is counted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ecg_hough.batch.predict import predict_pages
from ecg_hough.errors import PageError
from ecg_hough.image.reading import read_page
from ecg_hough.output.export import LABELS_SUFFIX, record_name
from ecg_hough.scores.evaluation import Evaluation, evaluate, summarise, without_nan
from ecg_lab.benchmark import bootstrap_interval, first_pages
from ecg_lab.methods import LAB_WEIGHTS, METHODS, find_method, reader_of
from ecg_lab.published import RESULTS, results_path

if TYPE_CHECKING:
    from rich.table import Table

logger = logging.getLogger(__name__)

PUBLISHED = RESULTS / "compare.json"
TRUE = "+true"
"""Ending of variants that read the true masks."""
MASK_STROKE_PX = 1
"""Width of the lines of true masks. A perfect mask of the winner's kind is the line itself: with 2 px, column
centroids on ECG-Image-Kit's clean pages lose 9 dB: a flank's stroke reaches into the neighbouring columns."""
SCORES = ("challenge_snr_db", "unaligned_snr_db", "kaggle_db")


@dataclass(frozen=True)
class Comparison:
    """What a comparison measured.

    Attributes:
        figures: all that goes into the JSON: "variants" by name, then "data/profile" or "all"; "grid_pitch".
    """

    figures: dict[str, Any]

    def table(self) -> Table:
        """One row per variant and profile, as a rich table."""
        from rich.table import Table

        table = Table(title="Methods on the same pages (95 % intervals over pages)")
        for heading in ("method", "profile"):
            table.add_column(heading)
        for heading in (
            "pages", "failed", "Challenge dB", "95 %", "unaligned dB", "95 %", "Kaggle dB", "95 %", "found %",
            "pages/s",
        ):  # fmt: skip
            table.add_column(heading, justify="right")
        for name, profiles in self.figures["variants"].items():
            for profile, row in profiles.items():
                cells = []
                for score in SCORES:
                    low, high = row["interval_95"][score]
                    cells += [_digits(row[score], 2), f"{_digits(low, 1)} to {_digits(high, 1)}"]
                table.add_row(
                    name, profile, str(row["pages"]), str(row["failed"]), *cells,
                    _digits(row["found_pct"], 1), _digits(row["pages_per_s"], 2),
                    end_section=profile == "all",
                )  # fmt: skip
        return table

    def pitch_table(self) -> Table | None:
        """Deviation of ECG-Image-Kit's grid estimators from our pitch, as a rich table; None without any."""
        from rich.table import Table

        if not self.figures.get("grid_pitch"):
            return None
        table = Table(title="Grid estimators of ECG-Image-Kit against our pitch")
        for heading in ("estimator", "profile"):
            table.add_column(heading)
        for heading in ("pages", "without", "median |deviation| %", "within 1 %"):
            table.add_column(heading, justify="right")
        for name, profiles in self.figures["grid_pitch"].items():
            for profile, row in profiles.items():
                table.add_row(
                    name, profile, str(row["pages"]), str(row["without"]),
                    _digits(row["median_abs_pct"], 2), f"{row['within_1_pct']} %",
                )  # fmt: skip
        return table


def default_results(
    folders: Sequence[Path], *, methods: Sequence[str] | None = None, pages: int | None = None
) -> Path:
    """Where the figures go if no place is named: over the published ones with all pages and methods only.

    Args:
        folders, methods, pages: as for `compare_methods`.
    """

    def covers(published: Path) -> bool:
        known = _read_figures(published)
        names = {name.removesuffix(TRUE) for name in known["variants"]}
        return (
            names <= set(methods or METHODS)
            and known["pages"].keys() <= _made_from(_chosen(folders, pages)).keys()
        )

    return results_path(PUBLISHED, covers)


def compare_methods(
    folders: Sequence[Path],
    out: Path,
    *,
    methods: Sequence[str] | None = None,
    pages: int | None = None,
    workers: int = 1,
    results: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run methods on the pages of folders and score them.

    Predictions are kept under `out`, and a page done before with the same options, weights and masks is not
    done again. The figures are written after every variant; variants of earlier runs stay in the file where
    they were made on the same pages.

    Args:
        folders: pages with WFDB records of the same stems, flat or with a subfolder per profile.
        out: folder of predictions and true masks.
        methods: names; None takes all.
        pages: the first ones of each profile; None takes all.
        workers: processes of the batch, and threads of the evaluation.
        results: JSON file; None writes none.
        on_progress: called with pages done and their number.

    Raises:
        ValueError: no page with a record, an unknown method, or `out` inside a folder.
    """
    names, out, chosen = list(methods or METHODS), Path(out), _chosen(folders, pages)
    _check_arguments(names, out, chosen)
    reads_masks = any(find_method(name).reads == "masks" for name in names)
    masks = {
        folder: _true_masks(folder, found, out / "masks") if reads_masks else {}
        for folder, found in chosen.items()
    }
    variants = {name: _pages_of(name, chosen, masks) for name in _variants(names, any(masks.values()))}
    total = sum(len(found) for by_folder in variants.values() for found in by_folder.values())
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, total)

    figures = _earlier(results, _made_from(chosen))
    for name, by_folder in variants.items():
        parts = [_score(name, folder, found, out, workers, step) for folder, found in by_folder.items()]
        figures["variants"][name] = _rows(parts)
        figures["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        _write(figures, results)
    if "grid_pitch" not in figures:
        figures["grid_pitch"] = _grid_pitches(chosen)
        _write(figures, results)
    return Comparison(figures)


def _check_arguments(names: Sequence[str], out: Path, chosen: dict[Path, list[Path]]) -> None:
    for name in names:
        find_method(name)
    for folder, found in chosen.items():
        if out.resolve().is_relative_to(folder):
            raise ValueError(f"out must lie outside the folder of true signals {folder}; got {out}")
        if not found:
            raise ValueError(f"folder must hold page images with their WFDB records; got none in {folder}")


def _chosen(folders: Sequence[Path], pages: int | None) -> dict[Path, list[Path]]:
    """The pages of every folder, by the folder's whole path."""
    whole = [Path(folder).resolve() for folder in folders]
    return {folder: first_pages(folder, pages) for folder in whole}


def _made_from(chosen: dict[Path, list[Path]]) -> dict[str, int]:
    """Size in bytes of every page, by "data/profile/stem"."""
    return {
        f"{folder.name}/{_key(page, folder)}": page.stat().st_size
        for folder, found in chosen.items()
        for page in found
    }


def _pages_of(
    name: str, chosen: dict[Path, list[Path]], masks: dict[Path, dict[str, Path]]
) -> dict[Path, list[Path]]:
    """The pages that a variant reads, by folder: all, or those whose true masks are known."""
    if not name.endswith(TRUE):
        return chosen
    known = {
        folder: [page for page in found if _key(page, folder) in masks[folder]]
        for folder, found in chosen.items()
    }
    return {folder: found for folder, found in known.items() if found}


@dataclass(frozen=True)
class _Part:
    """One variant on one folder: evaluation of the used pages, seconds a page (failed ones too), failures."""

    data: str
    evaluation: Evaluation
    seconds: dict[str, float]
    failed: dict[str, str]


def _variants(names: Sequence[str], with_true: bool) -> list[str]:
    out = []
    for name in names:
        out.append(name)
        if with_true and find_method(name).reads == "masks":
            out.append(name + TRUE)
    return out


def _key(page: Path, folder: Path) -> str:
    return page.relative_to(folder).with_suffix("").as_posix()


def _true_masks(folder: Path, pages: Sequence[Path], out: Path) -> dict[str, Path]:
    """Label maps of the pages whose sidecar fits their picture, by key; drawn once, of both kinds."""
    from ecg_hough.datasets.kit_pages import read_kit_page
    from ecg_hough.training.winner_labels import winner_labels

    masks = {}
    for page in pages:
        sidecar = page.with_suffix(".json")
        if not sidecar.is_file():
            continue
        key = _key(page, folder)
        place = (
            Path(folder.name) / page.parent.relative_to(folder) / f"{record_name(page.stem)}{LABELS_SUFFIX}"
        )
        paths = {kind: out / kind / place for kind in ("strokes", "points")}
        if not all(path.is_file() for path in paths.values()):
            try:
                kit = read_kit_page(sidecar, stroke_px=MASK_STROKE_PX)
            except ValueError as error:
                # Pages turned or warped after drawing: their sidecar describes another picture.
                logger.info("%s: no true mask: %s", key, error)
                continue
            drawn = {"strokes": kit.labels, "points": winner_labels(kit.labels.shape, kit.traces)}
            for kind, path in paths.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), drawn[kind])
        masks[key] = paths["strokes"]
    return masks


def _score(
    name: str,
    folder: Path,
    pages: Sequence[Path],
    out: Path,
    workers: int,
    step: Callable[[], None],
) -> _Part:
    """Predict the pages with one variant and evaluate them."""
    method = find_method(name.removesuffix(TRUE))
    place, masks = out / "predictions" / name / folder.name, out / "masks" / method.labels / folder.name
    failed: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for parent in sorted({page.parent for page in pages}):
        profile = parent.relative_to(folder)
        report = predict_pages(
            [page for page in pages if page.parent == parent],
            place / profile,
            read=reader_of(method.name, masks=masks / profile if name.endswith(TRUE) else None),
            workers=workers,
            on_page=lambda *_: step(),
        )
        for result in report.pages:
            key = _key(result.path, folder)
            if result.status == "failed":
                failed[key], seconds[key] = f"{result.stage}: {result.message}", result.seconds
            else:
                document = json.loads((place / profile / f"{result.stem}.json").read_bytes())
                seconds[key] = float(document["seconds"]["total"])
    whole = evaluate(place, folder, workers=workers, failed=failed, weights=LAB_WEIGHTS)
    used = {_key(page, folder) for page in pages}
    return _Part(folder.name, _only(whole, used), seconds, failed)


def _only(evaluation: Evaluation, keys: set[str]) -> Evaluation:
    """The evaluation of some of its pages, "profile/stem"."""
    leads, pages = (
        table[
            [
                f"{a}/{b}" in keys if a else b in keys
                for a, b in zip(table["profile"], table["page"], strict=True)
            ]
        ]
        for table in (evaluation.leads, evaluation.pages)
    )
    missing = {key: reason for key, reason in evaluation.missing.items() if key in keys}
    return Evaluation(leads, pages, missing)


def _rows(parts: Sequence[_Part]) -> dict[str, Any]:
    """Figures per "data/profile", and of all pages."""
    rows: dict[str, Any] = {}
    for part in parts:
        for profile in sorted(part.evaluation.pages["profile"].unique()):
            rows[f"{part.data}/{profile}" if profile else part.data] = _row(_profile(part, profile))
    if len(rows) != 1:
        rows["all"] = _row(_joined(parts))
    return rows


def _profile(part: _Part, profile: str) -> _Part:
    """One profile of a part."""
    leads, pages = (
        table[table["profile"] == profile] for table in (part.evaluation.leads, part.evaluation.pages)
    )
    prefix = f"{profile}/" if profile else ""
    seconds = {key: value for key, value in part.seconds.items() if key.startswith(prefix)}
    failed = {key: value for key, value in part.failed.items() if key.startswith(prefix)}
    return _Part(part.data, Evaluation(leads, pages, {}), seconds, failed)


def _joined(parts: Sequence[_Part]) -> _Part:
    """All parts as one; profiles of one name in two folders stay apart."""
    import pandas as pd

    leads, pages = (
        pd.concat([table.assign(profile=part.data + "/" + table["profile"]) for part, table in tables])
        for tables in (
            [(part, part.evaluation.leads) for part in parts],
            [(part, part.evaluation.pages) for part in parts],
        )
    )
    seconds = {f"{part.data}/{key}": value for part in parts for key, value in part.seconds.items()}
    failed = {f"{part.data}/{key}": value for part in parts for key, value in part.failed.items()}
    return _Part("all", Evaluation(leads, pages, {}), seconds, failed)


def _row(part: _Part) -> dict[str, Any]:
    leads, pages, failed = part.evaluation.leads, part.evaluation.pages, part.failed
    summary = summarise(leads, pages)
    times = [value for value in part.seconds.values() if value > 0]
    return {
        "pages": len(pages),
        "failed": len(failed),
        **{score: summary[score] for score in SCORES},
        "found_pct": summary["found_pct"],
        "rmse_mv": summary["rmse_mv"],
        "pages_per_s": 1.0 / float(np.median(times)) if times else float("nan"),
        "interval_95": bootstrap_interval(leads, pages),
        "reasons": failed,
    }


def _grid_pitches(chosen: dict[Path, list[Path]]) -> dict[str, Any]:
    """Deviation of ECG-Image-Kit's grid estimators from our pitch, by estimator and profile."""
    from ecg_lab.methods.grid_estimators import GRID_ESTIMATORS, compare_pitches

    found: dict[str, dict[str, list[float | None]]] = {name: {} for name in GRID_ESTIMATORS}
    for folder, pages in chosen.items():
        for page in pages:
            profile = Path(folder.name, page.parent.relative_to(folder)).as_posix()
            try:
                deviations = compare_pitches(read_page(page).image)
            except PageError as error:
                logger.info("%s: %s", page, error)
                continue
            for name, pair in deviations.items():
                worst = None if pair is None else max(abs(value) for value in pair)
                found[name].setdefault(profile, []).append(worst)
    out: dict[str, Any] = {}
    for name, profiles in found.items():
        out[name] = {}
        for profile, values in profiles.items():
            known = [value for value in values if value is not None]
            out[name][profile] = {
                "pages": len(values),
                "without": len(values) - len(known),
                "median_abs_pct": 100 * float(np.median(known)) if known else float("nan"),
                "within_1_pct": round(100 * sum(value <= 0.01 for value in known) / len(values)),
            }
    return out


def _earlier(results: Path | None, made_from: dict[str, int]) -> dict[str, Any]:
    """Figures of an earlier run on the same pages, or empty ones."""
    fresh: dict[str, Any] = {"command": "ecg-lab compare", "pages": made_from, "variants": {}}
    known = fresh if results is None else _read_figures(Path(results))
    return known if known["pages"] == made_from else fresh


def _read_figures(results: Path) -> dict[str, Any]:
    """Figures in a file of an earlier run; none where it is not there or no such file."""
    try:
        figures = json.loads(results.read_text(encoding="utf-8"))
        if isinstance(figures["pages"], dict) and isinstance(figures["variants"], dict):
            return dict(figures)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {"pages": {}, "variants": {}}


def _write(figures: dict[str, Any], results: Path | None) -> None:
    if results is None:
        return
    results = Path(results)
    results.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(without_nan(figures), indent=1, ensure_ascii=False, allow_nan=False)
    results.write_text(text + "\n", encoding="utf-8")


def _digits(value: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" if value is not None and np.isfinite(value) else "-"
