"""Pages whose edge is the traces' own, as programs print them, or cuts the traces off, as scanners do.

In: folders of rendered pages with their truth. Out: PNGs cropped of one side, with the truth of what is left.
Half of them end exactly where the traces do, half lose some millimetres of every row. The trust fit learns to
tell the two apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.output.export import write_signals
from ecg_hough.output.read_back import read_leads
from ecg_hough.paper import LEADS

STRAIGHT_DEG = 0.6
"""Largest rotation of a page that is cut: on others an edge does not follow the traces' ends."""
LOST_MM = (1.0, 20.0)
"""What a cut takes of every row."""
MARGIN_MM = 0.3
"""Largest distance of the edge from traces that end at it."""
CUTS = ("left at", "left within", "left at", "left within", "right at", "right within")
"""Side, and whether it is cut at the ends of the traces, or within them; these take turns."""

Panel = dict[str, Any]


def cut_pages(
    folders: Sequence[Path],
    out: Path,
    *,
    n: int = 48,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Cut `n` pages, taken in an order shuffled by the seed; writes <stem>.png, .hea and .dat of each.

    Raises:
        ValueError: the folders hold fewer straight pages with *.truth.json than n.
    """
    rng = np.random.default_rng(seed)
    truths = [path for folder in folders for path in sorted(folder.glob("*.truth.json"))]
    straight = [path for path in truths if abs(json.loads(path.read_text())["angle_deg"]) < STRAIGHT_DEG]
    if len(straight) < n:
        raise ValueError(f"{n} straight pages with *.truth.json are needed; the folders hold {len(straight)}")
    out.mkdir(parents=True, exist_ok=True)
    done = []
    for k, path in enumerate(rng.permutation(np.array(straight, object))[:n].tolist()):
        done.append(_cut(path, out, f"{k:04d}_{path.name.removesuffix('.truth.json')}", CUTS[k % 6], rng))
        if on_progress:
            on_progress(k + 1, n)
    return done


def _cut(truth: Path, out: Path, stem: str, cut: str, rng: np.random.Generator) -> Path:
    """Write one page less one side, with its truth."""
    side, where = cut.split()
    page = json.loads(truth.read_text())
    panels: list[Panel] = page["panels"]
    px_per_mm = float(page["px_per_mm"])
    edges = [panel["box_px"][1 if side == "left" else 2] for panel in panels]
    edge = min(edges) if side == "left" else max(edges)
    inwards_mm = rng.uniform(*LOST_MM) if where == "within" else -rng.uniform(0.0, MARGIN_MM)
    at = round(edge + inwards_mm * px_per_mm * (1 if side == "left" else -1))
    source = truth.with_name(truth.name.removesuffix(".truth.json"))
    image = cv2.imread(f"{source}.png")
    left, right = (max(0, at), image.shape[1]) if side == "left" else (0, min(at, image.shape[1]))
    signals, fs = _seen(source, panels, left, right, px_per_mm * float(page["speed_mm_s"]))
    write_signals(out, stem, signals, fs)
    image_path = out / f"{stem}.png"
    cv2.imwrite(str(image_path), image[:, left:right])
    return image_path


def _seen(
    record: Path, panels: Sequence[Panel], left: int, right: int, px_per_s: float
) -> tuple[NDArray[np.float64], int]:
    """(12, N) mV, NaN where no panel shows a sample between the picture's columns left and right; and fs."""
    leads, fs = read_leads(record)
    n = len(next(iter(leads.values())))
    t = np.arange(n) / fs
    out = np.full((len(LEADS), n), np.nan)
    for panel in panels:
        if panel["lead"] in leads:
            _, begin, end = panel["box_px"]
            x = begin + (t - float(panel["start_s"])) * px_per_s
            shown = (x >= max(left, begin)) & (x <= min(right, end))
            out[LEADS.index(panel["lead"]), shown] = leads[panel["lead"]][shown]
    return out, round(fs)
