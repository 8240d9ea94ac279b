"""Pages by the package's renderer: a seed or records enter, images and files of their truth leave."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.datasets.split import read_signals, split_records
from ecg_hough.output.export import LABELS_SUFFIX, write_signals
from ecg_hough.output.overlay import LABEL_MM
from ecg_hough.record import trace_box
from ecg_hough.render import RenderedPage, render_page
from ecg_hough.render.ecg_model import generate_ecg


def page_seed(seed: int, k: int) -> int:
    """Seed of page k of a set of pages."""
    return seed * 1_000_003 + k


def render_samples(
    out: Path,
    *,
    n: int = 10,
    profile: str = "mixed",
    seed: int = 0,
    records: Path | None = None,
    dpi: float | None = None,
    held_out: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Render pages with their truth, for demonstration and benchmarks: PNG, WFDB and JSON each.

    Args:
        out: folder; page k of a run with the same arguments is always the same.
        records: WFDB folder; generated ECGs where None.
        held_out: only records that no network was trained on.
    """
    out.mkdir(parents=True, exist_ok=True)
    stems: list[Path] = []
    if records is not None:
        training, validation = split_records(records)
        stems = validation if held_out else training + validation
    paths = []
    for k in range(n):
        own_seed = page_seed(seed, k)
        if stems:
            stem = stems[k % len(stems)]
            signals, fs = read_signals(stem)
            name = f"{profile}_{k:04d}_{stem.name}"
        else:
            ecg = generate_ecg(own_seed)
            signals, fs = ecg.signals, ecg.fs
            name = f"{profile}_{k:04d}"
        page = render_page(signals, fs, seed=own_seed, profile=profile, dpi=dpi)
        paths.append(write_rendered(out, name, page))
        if on_progress:
            on_progress(k + 1, n)
    return paths


def write_rendered(out: Path, name: str, page: RenderedPage) -> Path:
    """Write a page and its truth: <name>.png, .labels.png, .hea, .dat, .truth.json. Returns the image."""
    path = out / f"{name}.png"
    write_image(path, page.image)
    write_image(out / f"{name}{LABELS_SUFFIX}", page.label_map(min_stroke_px=LABEL_MM * page.px_per_mm))
    write_signals(out, name, page.signals, page.fs, comments=[f"layout {page.layout.name}"])
    sheet = page.style["sheet"]
    columns = "sequential" if sheet["sequential"] else "simultaneous"
    truth = {
        "layout": page.layout.name,
        "rhythm": list(page.layout.rhythm),
        "columns": columns if page.layout.n_columns > 1 else "one",
        "speed_mm_s": sheet["speed_mm_s"],
        "gain_mm_mv": sheet["gain_mm_mv"],
        "names_printed": sheet["names"] != "none",
        "profile": page.style["profile"],
        "angle_deg": page.angle_deg,
        "px_per_mm": page.px_per_mm,
        "panels": [
            {
                "lead": p.lead,
                "row": p.row,
                "column": p.column,
                "rhythm": p.rhythm,
                "start_s": p.start_s,
                "box_px": trace_box(_on_image(p.trace, page.image.shape)),
            }
            for p in page.panels
        ],
        "style": page.style,
    }
    # Named apart from the digitiser's own report, which is written to <name>.json.
    (out / f"{name}.truth.json").write_text(json.dumps(truth, default=str, indent=1))
    return path


def _on_image(trace: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.floating]:
    """A trace (n, 2) in px with NaN where it lies outside an image of `shape`."""
    inside = ((trace > -0.5) & (trace < np.array(shape[:2]) - 0.5)).all(axis=1, keepdims=True)
    return np.where(inside, trace, np.nan)


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image, RGB or of one channel, whole or not at all."""
    part = path.with_name(f".{path.stem}.part.png")
    rgb = image[..., ::-1] if image.ndim == 3 else image
    if not cv2.imwrite(str(part), rgb):
        raise OSError(f"could not write {path}; is the disk full?")
    os.replace(part, path)
