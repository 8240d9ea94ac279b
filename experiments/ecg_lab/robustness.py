"""How far distortions lower the scores: pages distorted in one way at a time enter; a CSV of scores leaves.

All pages have one fixed style except the distortion that is varied, and show generated ECGs, so anyone can
make the same pages again. The trace read-out and the column centroids of the 2024 winner read the same pages.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.geometry.orientation import hough_angle, hough_angle_krones2024
from ecg_hough.geometry.page_geometry import find_geometry
from ecg_hough.networks.leads_net import LEADS_NETWORK
from ecg_hough.networks.runtime import load_network
from ecg_hough.options import READOUTS
from ecg_hough.paper import LEADS, make_layout
from ecg_hough.pipeline import digitize
from ecg_hough.render import RenderedPage, render_page
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.style import CameraStyle, PageStyle, SheetStyle, WearStyle, sample_style
from ecg_hough.scores import metrics
from ecg_hough.scores.evaluation import FOUND_SHARE
from ecg_hough.traces.read import TRACE_NETWORK
from ecg_lab.published import RESULTS, results_path

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

logger = logging.getLogger(__name__)

PUBLISHED = RESULTS / "robustness.csv"
PUBLISHED_ANGLES = RESULTS / "angles.csv"
SEVERITIES: dict[str, tuple[float, ...]] = {
    "rotation": (0, 2, 5, 10, 20, 40),  # degrees, counter-clockwise
    "tilt": (0, 5, 10, 15, 20, 30),  # degrees of the page against the camera, about both axes alike
    "blur": (0, 0.5, 1, 2, 3, 4),  # px, standard deviation
    "noise": (0, 10, 20, 40, 60, 80),  # grey levels, standard deviation
    "jpeg": (95, 75, 50, 30, 15, 5),  # quality
    "dpi": (300, 200, 150, 100, 72, 50),
    "contrast": (1, 0.7, 0.5, 0.3, 0.2, 0.1),  # share of the original
    "stains": (0, 2, 4, 8, 16, 32),  # number; the share of the page they cover is measured
    "creases": (0, 0.1, 0.2, 0.3, 0.45, 0.6),  # depth, share of the brightness
    "margin": (0, 0.25, 0.5, 1, 1.5, 2),  # white on every side, share of the page's size
    "table": (0, 0.25, 0.5, 1, 1.5, 2),  # the same on a table that can be seen
    "cut": (0, 3, 6, 12, 25, 50),  # mm of the traces beyond the page's left edge; a column has 62.5
    "pitch": (30, 20, 15, 12, 10, 8),  # mm from row to row
}
"""The distortions and their steps, from none to beyond what is met in practice."""
N_CREASES = 8
"""On a page with creases."""
FIRST_SEED = 7_000_000
"""Seed of the first page: far from those of the training pages."""
DPI = 200.0
LAYOUT = make_layout("3x4", rhythm=("II",))
LETTER_MM = (215.9, 279.4)
"""Height and width of the sheet."""
COLUMNS = (
    "distortion",
    "severity",
    "page",
    "method",
    "challenge_snr_db",
    "unaligned_snr_db",
    "leads_found",
    "covered_pct",
    "weights",
    "failure",
)
"""Of the CSV, one row per page and method: means over the 12 leads (0 dB where nothing was read), leads of
which half was read, the page's share under stains (else empty), the networks, and why a page failed."""
ANGLE_RANGE_DEG = 10.0
ANGLE_COLUMNS = ("page", "profile", "true_deg", "krones2024_deg", "hough_deg", "geometry_deg")
"""Of the table of angles: the winner's Hough step (NaN where it finds no line), ours, ours after the grid."""
_ANGLES: dict[str, Callable[[NDArray[np.uint8]], float]] = {
    "krones2024_deg": hough_angle_krones2024,
    "hough_deg": lambda image: hough_angle(image).angle_deg,
    "geometry_deg": lambda image: find_geometry(image).angle_deg,
}
ANGLE_PROFILES = ("clean", "scan", "worn", "photo")
OnProgress = Callable[[int, int], Any]


@dataclass(frozen=True)
class _Job:
    """A page of one style; it is the page of every distortion whose step looks like that."""

    style: PageStyle
    steps: tuple[tuple[str, float], ...]
    page: int


def page_style(distortion: str, severity: float) -> PageStyle:
    """The fixed page with one distortion.

    Raises:
        ValueError: the distortion is none of `SEVERITIES`.
    """
    if distortion not in _DISTORTED:
        raise ValueError(f"distortion must be one of {', '.join(SEVERITIES)}; got {distortion!r}")
    part, changes = _DISTORTED[distortion]
    base = PageStyle(
        SheetStyle(layout=LAYOUT, size_mm=LETTER_MM, dpi=DPI),
        WearStyle(),
        CameraStyle(keep_size=False, background="white"),
    )
    return replace(base, **{part: replace(getattr(base, part), **changes(severity))})


_DISTORTED: dict[str, tuple[str, Callable[[float], dict[str, Any]]]] = {
    "rotation": ("camera", lambda v: {"rotation_deg": float(v)}),
    "tilt": ("camera", lambda v: {"tilt_deg": (float(v / np.sqrt(2.0)), float(v / np.sqrt(2.0)))}),
    "blur": ("camera", lambda v: {"blur_px": float(v)}),
    "noise": ("camera", lambda v: {"noise": float(v)}),
    "jpeg": ("camera", lambda v: {"jpeg": int(v)}),
    "dpi": ("sheet", lambda v: {"dpi": float(v)}),
    "contrast": ("camera", lambda v: {"contrast": float(v)}),
    "stains": ("wear", lambda v: {"stains": int(v)}),
    "creases": ("wear", lambda v: {"creases": N_CREASES if v else 0, "crease_strength": float(v)}),
    "margin": ("camera", lambda v: {"margin": float(v)}),
    "table": ("camera", lambda v: {"margin": float(v), "background": "table"}),
    "cut": ("sheet", lambda v: {"block_left_mm": -float(v)} if v else {}),
    "pitch": ("sheet", lambda v: {"row_pitch_mm": float(v), "rhythm_pitch_mm": float(v)}),
}
"""Part of the page's style that each distortion changes, and how."""


def default_out(*, n: int, distortions: Sequence[str] = tuple(SEVERITIES)) -> Path:
    """Where the rows go if no place is named: over the published ones only with all steps and their pages."""

    def covers(published: Path) -> bool:
        rows = _read(published)
        return set(rows["distortion"]) <= set(distortions) and bool((rows["page"] < n).all())

    return results_path(PUBLISHED, covers)


def default_angles(n: int) -> Path:
    """Where a table of `n` angles goes if no place is named; likewise."""

    def covers(published: Path) -> bool:
        import pandas as pd

        return len(pd.read_csv(published)) <= n

    return results_path(PUBLISHED_ANGLES, covers)


def measure_robustness(
    out: Path,
    *,
    n: int = 2,
    distortions: Sequence[str] = tuple(SEVERITIES),
    severities: dict[str, tuple[float, ...]] | None = None,
    workers: int = 1,
    overwrite: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> pd.DataFrame:
    """Render, digitise and score `n` pages a step; the rows go to the CSV `out` when all are there.

    A stopped run is resumed from the file that it keeps in the folder of `out`. Rows made with networks other
    than those shipped now are made again.

    Args:
        out: the CSV file, see `COLUMNS`.
        n: pages a step, the same ECGs at every step.
        distortions: of `SEVERITIES`.
        severities: other steps than `SEVERITIES`.
        workers: processes.
        overwrite: make all rows again, those of a stopped run, too.
        on_progress: called with pages done and pages in all.

    Returns:
        The rows of these distortions and pages.

    Raises:
        ValueError: unknown distortion; n or workers below 1; `out` is no such CSV.
    """
    import pandas as pd

    if n < 1 or workers < 1:
        raise ValueError(f"n and workers must be at least 1; got {n} and {workers}")
    steps = SEVERITIES if severities is None else severities
    wanted = [(name, float(value)) for name in distortions for value in steps.get(name, ())]
    if unknown := set(distortions) - set(SEVERITIES):
        raise ValueError(f"distortions must be of {', '.join(SEVERITIES)}; got {', '.join(sorted(unknown))}")
    # What is there stays as it is until all rows are: a stopped run loses no figure.
    part = out.with_suffix(f".part{out.suffix}")
    kept = _kept(() if overwrite else (part, out))
    done = set(kept[["distortion", "severity", "page"]].itertuples(index=False, name=None))
    out.parent.mkdir(parents=True, exist_ok=True)
    kept.to_csv(part, index=False)
    jobs = _jobs([(*step, page) for step in wanted for page in range(n) if (*step, page) not in done])
    for k, rows in enumerate(_measured(jobs, workers)):
        # Line by line: a stopped run loses the page it was at.
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(part, mode="a", header=False, index=False)
        on_progress(k + 1, len(jobs))
    table = _read(part).sort_values(["distortion", "severity", "page", "method"], ignore_index=True)
    table.to_csv(part, index=False)
    os.replace(part, out)
    chosen = [row in wanted for row in zip(table["distortion"], table["severity"], strict=True)]
    return table[np.array(chosen, bool) & (table["page"] < n).to_numpy()].reset_index(drop=True)


def measure_angles(n: int = 40, *, on_progress: OnProgress = lambda done, total: None) -> pd.DataFrame:
    """Angles found on `n` pages turned by up to 10 degrees, at 200 dpi, over `ANGLE_PROFILES`.

    Four pages are turned by whole degrees, as the winner's training pages were, the next four by any angle.
    A tilted photo has no single angle: tilt and curl are set to none. Rows as `ANGLE_COLUMNS`.
    """
    import pandas as pd

    rows = []
    for page in range(n):
        rng = np.random.default_rng(FIRST_SEED + page)
        profile = ANGLE_PROFILES[page % len(ANGLE_PROFILES)]
        drawn = sample_style(rng, profile, layout=LAYOUT, dpi=DPI)
        angle = float(rng.uniform(-ANGLE_RANGE_DEG, ANGLE_RANGE_DEG))
        if page // len(ANGLE_PROFILES) % 2 == 0:
            angle = float(round(angle))
        camera = replace(drawn.camera, rotation_deg=angle, tilt_deg=(0.0, 0.0), curl_mm=0.0)
        image = _draw(replace(drawn, camera=camera), page).image
        row = {"page": page, "profile": profile, "true_deg": angle}
        for name, find in _ANGLES.items():
            row[name] = _angle(find, image)
        rows.append(row)
        on_progress(page + 1, n)
    return pd.DataFrame(rows, columns=list(ANGLE_COLUMNS)).round(4)


def summary_table(rows: pd.DataFrame) -> Table:
    """Mean Challenge SNR and leads found for each distortion, method and step, as a rich table."""
    from rich.table import Table

    table = Table(title="Challenge SNR, dB (leads found of 12), from none to strong")
    for heading in ("distortion", "read-out"):
        table.add_column(heading)
    table.add_column("steps")
    for (distortion, method), part in rows.groupby(["distortion", "method"], sort=False):
        means = part.groupby("severity")[["challenge_snr_db", "leads_found"]].mean()
        if SEVERITIES[str(distortion)][0] > SEVERITIES[str(distortion)][-1]:
            means = means.iloc[::-1]
        steps = [
            f"{step:g}: {row[0]:.1f} ({row[1]:.0f})"
            for step, row in zip(means.index, means.to_numpy(), strict=True)
        ]
        table.add_row(str(distortion), str(method), "  ".join(steps))
    return table


def score_page(page: RenderedPage, readout: str) -> dict[str, Any]:
    """Digitise one page and compare: challenge_snr_db, unaligned_snr_db, leads_found, failure.

    The means are over the printed leads; what is not read has 0 dB, as in the Challenge.
    """
    blank = np.full(page.signals.shape, np.nan)
    failure = ""
    try:
        read = digitize(page.image, fs=page.fs, options=READOUTS[readout]).signals
    except PageError as error:
        read, failure = blank, str(error)
    n = min(read.shape[1], page.signals.shape[1])
    estimate = blank.copy()
    estimate[:, :n] = read[:, :n]
    printed = [k for k in range(len(LEADS)) if np.isfinite(page.signals[k]).any()]
    pairs = [(page.signals[k], estimate[k]) for k in printed]
    found = [np.isfinite(est[np.isfinite(ref)]).mean() >= FOUND_SHARE for ref, est in pairs]
    return {
        "challenge_snr_db": metrics.challenge_score(metrics.challenge_snr(*pair, page.fs) for pair in pairs),
        "unaligned_snr_db": metrics.challenge_score(metrics.unaligned_snr(*pair) for pair in pairs),
        "leads_found": int(np.sum(found)),
        "failure": failure,
    }


def _jobs(todo: list[tuple[str, float, int]]) -> list[_Job]:
    """Pages to make, each once: no rotation, no blur and no noise are the same page."""
    steps: dict[tuple[PageStyle, int], list[tuple[str, float]]] = {}
    for distortion, severity, page in todo:
        steps.setdefault((page_style(distortion, severity), page), []).append((distortion, severity))
    return [_Job(style, tuple(names), page) for (style, page), names in steps.items()]


def _measured(jobs: list[_Job], workers: int) -> Iterator[list[dict[str, Any]]]:
    """Rows of every job as they come."""
    if workers == 1:
        yield from map(_measure, jobs)
        return
    with _pool(workers) as pool:
        for future in as_completed([pool.submit(_measure, job) for job in jobs]):
            yield future.result()


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread each; a failure drops the pages not yet begun."""
    import multiprocessing

    import cv2

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _measure(job: _Job) -> list[dict[str, Any]]:
    """Rows of one page: each step that looks like that, each read-out."""
    page = _draw(job.style, job.page)
    covered = _covered_pct(page, job.style, job.page) if job.style.wear.stains else float("nan")
    rows = []
    for readout in READOUTS:
        score = score_page(page, readout)
        for distortion, severity in job.steps:
            share = covered if severity else 0.0
            rows.append(
                {
                    "distortion": distortion,
                    "severity": severity,
                    "page": job.page,
                    "method": readout,
                    "challenge_snr_db": round(score["challenge_snr_db"], 3),
                    "unaligned_snr_db": round(score["unaligned_snr_db"], 3),
                    "leads_found": score["leads_found"],
                    "covered_pct": round(share, 2) if distortion == "stains" else float("nan"),
                    "weights": _weights(),
                    "failure": score["failure"],
                }
            )
    return rows


def _draw(style: PageStyle, page: int) -> RenderedPage:
    ecg = generate_ecg(FIRST_SEED + page)
    return render_page(ecg.signals, ecg.fs, seed=FIRST_SEED + page, style=style)


def _covered_pct(page: RenderedPage, style: PageStyle, number: int) -> float:
    """Share of the pixels that the stains changed; what the camera adds must be none."""
    bare = _draw(replace(style, wear=replace(style.wear, stains=0)), number).image
    return 100.0 * float((page.image != bare).any(axis=2).mean())


def _angle(find: Callable[[NDArray[np.uint8]], float], image: NDArray[np.uint8]) -> float:
    """The angle found, NaN where a step gives up."""
    try:
        return find(image)
    except PageError:
        return float("nan")


def _weights() -> str:
    return " ".join(load_network(name).version for name in (LEADS_NETWORK, TRACE_NETWORK))


def _kept(files: Sequence[Path]) -> pd.DataFrame:
    """Rows of the shipped networks in the first of these files that is there."""
    import pandas as pd

    known = next((path for path in files if path.is_file()), None)
    rows = pd.DataFrame(columns=list(COLUMNS)) if known is None else _read(known)
    return rows[rows["weights"] == _weights()]


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    table = pd.read_csv(path, keep_default_na=True)
    if missing := set(COLUMNS) - set(table.columns):
        raise ValueError(
            f"{path.name} must be a CSV of this command; it has no {', '.join(sorted(missing))}; remove it"
        )
    return table
