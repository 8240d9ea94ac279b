"""What a page costs: seconds a stage, start of a process, pages a second, growth with pixels and pages.

In: pages. Out: figures and a picture. CPU seconds are those of all threads of a process; on a machine that
does other work they are the figures to compare, wall times are not.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ecg_hough.batch.predict import predict_pages
from ecg_hough.batch.workers import Ended, Limits, Workers, resident_mib
from ecg_hough.errors import PageError
from ecg_hough.image.reading import read_page
from ecg_hough.networks.canvas import CANVAS_PX
from ecg_hough.networks.compiled import VARIABLE
from ecg_hough.networks.runtime import load_network
from ecg_hough.pipeline import digitize
from ecg_hough.traces.tiles import STRIP_ROWS, TILE_COLS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEGAPIXELS = (1, 2, 4, 8, 16, 32, 64, 100)
COUNTS = (1, 2, 5, 10, 20, 50)
PASSES: dict[str, tuple[int, ...]] = {
    "leads": (1, 3, CANVAS_PX, CANVAS_PX),
    "words": (1, 3, 768, 992),
    "traces": (1, 5, STRIP_ROWS, TILE_COLS),
}
"""One pass of each network that a page needs at least: its canvas, a letter page at 4 px/mm, and tiles."""
TILES = 16
"""Of four rows of 10 s."""

OnProgress = Callable[[str], None]


def measure(
    pages: Sequence[Path],
    *,
    megapixels: Sequence[float] = MEGAPIXELS,
    counts: Sequence[int] = COUNTS,
    on_progress: OnProgress = lambda text: None,
) -> dict[str, Any]:
    """All figures.

    Args:
        pages: the first is scaled and copied, all of them are timed.
        megapixels: sizes that the first page is scaled to; counts: of copies that are read at once.
    """
    figures: dict[str, Any] = {"cores": os.cpu_count(), "pages": [page.name for page in pages]}
    on_progress("start")
    figures["start"] = {kind: _process(pages[0], kind) for kind in ("cold", "warm")}
    on_progress("stages")
    figures["one_core"] = _with_threads(1, lambda: stages(pages))
    figures["all_cores"] = _with_threads(cv2.getNumberOfCPUs(), lambda: stages(pages))
    on_progress("floor")
    figures["floor"] = _with_threads(1, lambda: floor(pages))
    figures["by_pixels"] = []
    for size in megapixels:
        on_progress(f"{size:g} Mpx")
        figures["by_pixels"].append(by_pixels(pages[0], size))
    figures["by_count"] = []
    for n in counts:
        for workers in (1, 2):
            on_progress(f"{n} pages, {workers} workers")
            figures["by_count"].append(by_count(pages[0], n, workers))
    return figures


def _with_threads(n: int, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Figures with so many threads of OpenCV, and so of everything; networks are loaded as they are."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(n)
    try:
        return work()
    finally:
        cv2.setNumThreads(before)


def stages(pages: Sequence[Path]) -> dict[str, Any]:
    """Mean seconds of a page by stage, and CPU seconds, with networks loaded."""
    for page in pages:
        digitize(page)
    wall, cpu = time.perf_counter(), time.process_time()
    seconds = [digitize(page).seconds for page in pages]
    n = len(pages)
    return {
        "wall_s": (time.perf_counter() - wall) / n,
        "cpu_s": (time.process_time() - cpu) / n,
        "stages_s": {name: sum(one[name] for one in seconds) / n for name in seconds[0]},
    }


def floor(pages: Sequence[Path]) -> dict[str, Any]:
    """CPU seconds that no page can do without: decoding and one pass of each network; and their share."""
    cpu = time.process_time()
    for page in pages:
        read_page(page)
    parts = {"decode": (time.process_time() - cpu) / len(pages)}
    for name, shape in PASSES.items():
        network, batch = load_network(name), np.zeros(shape, np.float32)
        network.run(batch, few_shapes=name != "words")
        n = TILES if name == "traces" else 3
        cpu = time.process_time()
        for _ in range(n):
            network.run(batch, few_shapes=name != "words")
        parts[name] = (time.process_time() - cpu) / (1 if name == "traces" else n)
    cpu = time.process_time()
    for page in pages:
        digitize(page)
    whole = (time.process_time() - cpu) / len(pages)
    return {"parts_cpu_s": parts, "page_cpu_s": whole, "share": sum(parts.values()) / whole}


def _process(page: Path, kind: str) -> dict[str, float]:
    """A process that predicts one page: with compiled networks on the disk (warm) or without (cold)."""
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, "-c", "from ecg_hough.cli.app import app; app()", "predict", str(page), "-o"]
        path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), VARIABLE: str(Path(folder, "cache"))}
        out: dict[str, float] = {}
        for at in range(2 if kind == "warm" else 1):
            before, wall = os.times(), time.perf_counter()
            subprocess.run([*run, str(Path(folder, f"out{at}"))], check=True, env=path, capture_output=True)
            after = os.times()
            used = after.children_user + after.children_system - before.children_user - before.children_system
            out = {"wall_s": time.perf_counter() - wall, "cpu_s": used}
        return out


def by_pixels(page: Path, megapixels: float) -> dict[str, Any]:
    """A page scaled to a size: CPU and wall seconds, and what it was refused for."""
    image = read_page(page).image
    side = (megapixels * 1e6 / (image.shape[0] * image.shape[1])) ** 0.5
    scaled = cv2.resize(image, None, fx=side, fy=side, interpolation=cv2.INTER_LINEAR)
    wall, cpu, refused = time.perf_counter(), time.process_time(), None
    try:
        digitize(scaled)
    except PageError as error:
        refused = str(error)
    return {
        "megapixels": megapixels,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "resident_mib": resident_mib(os.getpid()),
        "refused": refused,
    }


def by_count(page: Path, n: int, workers: int) -> dict[str, Any]:
    """Copies of a page into a folder, by processes: wall and CPU seconds with their start."""
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder, "pages")
        pages.mkdir()
        for k in range(n):
            shutil.copy(page, pages / f"p{k}{page.suffix}")
        wall, before = time.perf_counter(), os.times()
        predict_pages([pages], Path(folder, "out"), workers=workers, limits=Limits(600))
        after = os.times()
        cpu = sum(after[:4]) - sum(before[:4])
        seconds = time.perf_counter() - wall
    return {"pages": n, "workers": workers, "wall_s": seconds, "cpu_s": cpu, "pages_per_s": n / seconds}


def memory(
    pages: Sequence[Path], n: int, n_shapes: int, on_progress: Callable[[int, int], None] = lambda k, n: None
) -> dict[str, Any]:
    """Memory of a worker over `n` pages of so many shapes, MiB: after each page, and the most within one."""
    rng = np.random.default_rng(0)
    down = rng.uniform(0.7, 1.2, n_shapes)
    across = down * rng.uniform(0.97, 1.03, n_shapes)
    shapes = [k % n_shapes for k in range(n)]
    tasks = ((pages[k % len(pages)], float(down[at]), float(across[at])) for k, at in enumerate(shapes))
    held: list[float] = []
    peak = 0.0
    with Workers(1, _held_after, Limits(600)) as pool:
        for k, (_, result) in enumerate(pool.run(tasks)):
            if isinstance(result, Ended):
                raise ChildProcessError(f"the worker must live; {result.message}")
            held.append(result[0])
            peak = max(peak, result[1])
            on_progress(k + 1, n)
    tenth = max(1, n // 10)
    # What a page begins with is what the one before left; the first begins with nothing loaded.
    return {
        "pages": n,
        "shapes": n_shapes,
        "first_tenth_mib": float(np.mean(held[1 : tenth + 1])),
        "last_tenth_mib": float(np.mean(held[-tenth:])),
        "most_between_pages_mib": max(held),
        "peak_mib": peak,
    }


def _held_after(task: tuple[Path, float, float]) -> tuple[float, float]:
    """Memory of this process before a page, and the most so far, MiB."""
    held = resident_mib(os.getpid()) or float("nan")
    path, down, across = task
    image = cv2.resize(read_page(path).image, None, fx=across, fy=down, interpolation=cv2.INTER_AREA)
    with contextlib.suppress(PageError):
        digitize(image)
    return held, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def draw(figures: dict[str, Any]) -> Figure:
    """Cost against pixels and against the number of pages."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = figures["by_pixels"]
    left.loglog([row["megapixels"] for row in rows], [row["cpu_s"] for row in rows], "o-", label="CPU, s")
    memory = [row["resident_mib"] / 1024 for row in rows]
    left.loglog([row["megapixels"] for row in rows], memory, "s--", label="memory held, GiB")
    left.set(xlabel="megapixels of a page", title="one page")
    for workers in (1, 2):
        some = [row for row in figures["by_count"] if row["workers"] == workers]
        label = f"{workers} worker" + ("s" if workers > 1 else "")
        right.loglog(
            [row["pages"] for row in some], [row["cpu_s"] / row["pages"] for row in some], "o-", label=label
        )
    right.set(xlabel="pages", title="CPU seconds a page, with the start")
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    return figure
