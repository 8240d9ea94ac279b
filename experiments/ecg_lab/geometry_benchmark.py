"""Errors of the page map on rendered pages: sets of pages enter; px errors, honesty and seconds leave.

The renderer knows the map from sheet millimetres to image pixels after every distortion. Each page's map is
found from its pixels alone and compared over the block of traces. Millimetres have no absolute origin, so
both maps are first moved onto each other by one constant shift in millimetres.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.geometry.page_geometry import find_geometry
from ecg_hough.page_map import PageMap
from ecg_hough.render import RenderedPage, render_page
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.style import sample_style
from ecg_lab.published import RESULTS, results_path

if TYPE_CHECKING:
    from rich.table import Table

PUBLISHED = RESULTS / "geometry.json"
DPI = 200.0
"""Resolution at which errors in px are stated."""
HARD_TILT_DEG = (15.0, 30.0)
"""Tilt of the set "hard": photos from the side, in any direction."""
LOW_DPI = 72.0
"""Resolution of the set "low": screen copies and thumbnails of scans."""
SETS = ("clean", "scan", "bw", "worn", "photo", "hard", "low", "bare")
"""Profiles of the renderer, and sets of our own: "hard" (photos, `HARD_TILT_DEG`), "low" (scans), "bare"
(photos of pages without a grid, whose map has no scale)."""
MAX_MEDIAN_PX, MAX_P95_PX = 0.5, 1.5
"""The bar: errors of a set over all its pages, at 200 dpi."""
HONEST = 2.0
"""A page's residual is honest where the true median error is at most this often as large."""
_LATTICE = (25, 40)  # places compared, down and across the block of traces


@dataclass(frozen=True)
class PageErrors:
    """One page's map against its truth.

    Attributes:
        set, seed: which page.
        has_grid: a grid is printed on it; without one the map comes from the sheet's edges.
        method: as in `geometry.page_geometry.PageGeometry`.
        tilt_deg: angle between the camera's axis and the page's normal.
        median_px, p95_px: distances between both maps over the block of traces; None without a map.
        residual_px: as `find_geometry` states it; None without a map.
        seconds: wall time of `find_geometry`.
    """

    set: str
    seed: int
    has_grid: bool
    method: str
    tilt_deg: float
    median_px: float | None
    p95_px: float | None
    residual_px: float | None
    seconds: float


@dataclass(frozen=True)
class GeometryResult:
    """What a run measured: every page, and the figures per set (see `summary`)."""

    pages: tuple[PageErrors, ...]
    figures: dict[str, Any]

    def table(self) -> Table:
        """One row a set, as a rich table."""
        from rich.table import Table

        table = Table(title=f"page maps at {DPI:g} dpi (low: {LOW_DPI:g}), px")
        table.add_column("set")
        for heading in ("pages", "no map", "median", "95 %", "worst page", "residual", "honest", "s/page"):
            table.add_column(heading, justify="right")
        for name, row in self.figures["sets"].items():
            numbers = [row[key] for key in ("median_px", "p95_px", "worst_page_px", "residual_px", "honest")]
            table.add_row(
                name,
                str(row["pages"]),
                f"{row['without_map']} ({row['without_grid']} no grid)",
                *("-" if value is None else f"{value:.2f}" for value in numbers),
                f"{row['seconds']:.2f}",
            )
        return table


def map_errors_px(found: PageMap, page: RenderedPage) -> NDArray[np.float64]:
    """(n,) distances in px of both maps at places in the block of traces that the image shows.

    One constant shift in millimetres, the median one, is taken out first; without a printed grid one factor
    along each axis, too.
    """
    truth = page.page_map
    points = np.concatenate([panel.trace for panel in page.panels]).astype(float)
    points = points[np.isfinite(points).all(axis=1)]
    block_y, block_x = truth.to_mm(*points[:: max(1, len(points) // 2000)].T)
    y, x = np.meshgrid(
        np.linspace(block_y.min(), block_y.max(), _LATTICE[0]),
        np.linspace(block_x.min(), block_x.max(), _LATTICE[1]),
        indexing="ij",
    )
    rows, cols = truth.to_pixels(y, x)
    inside = (rows >= 0) & (rows < page.image.shape[0]) & (cols >= 0) & (cols < page.image.shape[1])
    y, x, rows, cols = y[inside], x[inside], rows[inside], cols[inside]
    found_y, found_x = found.to_mm(rows, cols)
    if page.style["sheet"]["grid"] == "none":
        y, x = (np.polyval(np.polyfit(true, seen, 1), true) for true, seen in ((y, found_y), (x, found_x)))
    back = found.to_pixels(y + np.median(found_y - y), x + np.median(found_x - x))
    return np.hypot(back[0] - rows, back[1] - cols)


def benchmark_page(name: str, seed: int) -> RenderedPage:
    """Page `seed` of a set.

    Raises:
        ValueError: no such set.
    """
    if name not in SETS:
        raise ValueError(f"set must be one of {', '.join(SETS)}; got {name!r}")
    ecg = generate_ecg(seed)
    profile = {"hard": "photo", "low": "scan", "bare": "photo"}.get(name, name)
    dpi = LOW_DPI if name == "low" else DPI
    if name not in ("hard", "bare"):
        return render_page(ecg.signals, ecg.fs, seed=seed, profile=profile, dpi=dpi)
    rng = np.random.default_rng(seed)
    style = sample_style(rng, profile, dpi=dpi)
    if name == "bare":
        bare = replace(style, sheet=replace(style.sheet, grid="none"))
        return render_page(ecg.signals, ecg.fs, seed=seed, style=bare)
    tilt, towards = rng.uniform(*HARD_TILT_DEG), rng.uniform(0, 2 * np.pi)
    camera = replace(style.camera, tilt_deg=(tilt * np.cos(towards), tilt * np.sin(towards)))
    return render_page(ecg.signals, ecg.fs, seed=seed, style=replace(style, camera=camera))


def measure_page(name: str, seed: int) -> PageErrors:
    """Render a page of a set, find its map and compare."""
    page = benchmark_page(name, seed)
    start = time.perf_counter()
    found = find_geometry(page.image)
    seconds = time.perf_counter() - start
    errors = None if found.page_map is None else map_errors_px(found.page_map, page)
    a, b = np.deg2rad(page.style["camera"]["tilt_deg"])
    return PageErrors(
        set=name,
        seed=seed,
        has_grid=page.style["sheet"]["grid"] != "none",
        method=found.method,
        tilt_deg=round(float(np.rad2deg(np.arccos(np.cos(a) * np.cos(b)))), 1),
        median_px=None if errors is None else round(float(np.median(errors)), 3),
        p95_px=None if errors is None else round(float(np.percentile(errors, 95)), 3),
        residual_px=None if errors is None else round(found.residual_px, 3),
        seconds=round(seconds, 3),
    )


def summary(pages: list[PageErrors]) -> dict[str, Any]:
    """Figures of one set.

    `median_px` is the median over pages of their medians, `p95_px` the median of their 95th percentiles,
    `pages_in_bar` the share of all pages with a printed grid that meet both bars (of all pages where none has
    one), `honest` the share of maps whose residual is not below 1 / `HONEST` of the true median error (errors
    under 0.1 px count).
    """
    maps = [p for p in pages if p.median_px is not None]
    middle, p95, residual = (
        np.array([getattr(p, name) for p in maps], float) for name in ("median_px", "p95_px", "residual_px")
    )
    asked = [p for p in pages if p.has_grid] or pages
    in_bar = [
        p in asked
        for p, *errors in zip(maps, middle, p95, strict=True)
        if errors[0] < MAX_MEDIAN_PX and errors[1] < MAX_P95_PX
    ]
    honest = middle <= np.maximum(HONEST * residual, 0.1)
    return {
        "pages": len(pages),
        "without_grid": sum(not p.has_grid for p in pages),
        "without_map": len(pages) - len(maps),
        "seconds": round(float(np.median([p.seconds for p in pages])), 3),
        "median_px": _rounded(middle, np.median),
        "p95_px": _rounded(p95, np.median),
        "worst_page_px": _rounded(middle, np.max),
        "residual_px": _rounded(residual, np.median),
        "honest": _rounded(honest, np.mean),
        "pages_in_bar": round(sum(in_bar) / len(asked), 3),
    }


def _rounded(values: NDArray[Any], figure: Callable[[NDArray[Any]], Any]) -> float | None:
    """A figure of values; None without any."""
    return round(float(figure(values)), 3) if values.size else None


def default_results(n: int, seed: int, sets: Sequence[str]) -> Path:
    """Where the figures go if no place is named: over the published ones only with all of their pages."""

    def covers(published: Path) -> bool:
        pages = json.loads(published.read_text(encoding="utf-8"))["pages"]
        return all(page["set"] in sets and seed <= page["seed"] < seed + n for page in pages)

    return results_path(PUBLISHED, covers)


def run_geometry_benchmark(
    *,
    n: int = 20,
    seed: int = 0,
    sets: Sequence[str] = SETS,
    results: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> GeometryResult:
    """Measure `n` pages of every set, seeds `seed` upward; write the figures to `results`, if it is given.

    Raises:
        ValueError: no such set.
    """
    pages: list[PageErrors] = []
    for page in _measured(n, seed, sets):
        pages.append(page)
        if on_progress is not None:
            on_progress(len(pages), n * len(sets))
    figures = {
        "command": f"ecg-lab geometry-benchmark -n {n} --seed {seed}"
        + ("" if tuple(sets) == SETS else "".join(f" --set {name}" for name in sets)),
        "bar_px": {"median": MAX_MEDIAN_PX, "p95": MAX_P95_PX},
        "threads": cv2.getNumThreads(),
        "sets": {name: summary([p for p in pages if p.set == name]) for name in sets},
        "pages": [asdict(page) for page in pages],
    }
    if results is not None:
        results.parent.mkdir(parents=True, exist_ok=True)
        results.write_text(json.dumps(figures, indent=1) + "\n")
    return GeometryResult(tuple(pages), figures)


def _measured(n: int, seed: int, sets: Sequence[str]) -> Iterator[PageErrors]:
    for name in sets:
        for k in range(n):
            yield measure_page(name, seed + k)
