"""Training examples of the marks network: strips of rendered pages with the landmarks of their rows.

In: records and a seed. Out: crops of rows and where their panels begin and end, separators and pulses are.
Pages are drawn in the manners of many carts: separators of every kind, pulses before every column, joined to
the trace or stepped, columns with a space between them or cut short.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_hough.datasets.split import read_signals
from ecg_hough.elements import MARK_KINDS
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame, cut_strip, shrink_for_strips, strip_map
from ecg_hough.networks.marks_net import STRIP_MM, half_height
from ecg_hough.render import RenderedPage, render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.training.row_truth import RowTruth
from ecg_hough.training.trace_data import coarse_masks, rows_in_mm

CROP_MM = 64.0
"""Length of a crop: a column and what is next to it."""
CROPS_PER_PAGE = 12
FOCUS_SHARE = 0.8
"""Share of crops that hold a landmark; the others are anywhere along the row."""
LEVEL_SD_MM = 1.0
"""Error of the row's level at which strips are cut."""


@dataclass(frozen=True)
class Crop:
    """A part of a row: channels (5, rows, cols) uint8, pixels and masks; marks (m, 2), kind and column."""

    channels: NDArray[np.uint8]
    marks: NDArray[np.float32]


def render_for_marks(stems: list[Path], rng: np.random.Generator, *, generated: float = 0.4) -> RenderedPage:
    """A page as training shows it: mixed distortions, 60 to 300 dpi, landmarks of many carts."""
    if not stems or rng.random() < generated:
        ecg = generate_ecg(int(rng.integers(2**31)))
        signals, fs = ecg.signals, ecg.fs
    else:
        signals, fs = read_signals(stems[int(rng.integers(len(stems)))])
    signals = np.roll(signals, int(rng.integers(signals.shape[1])), axis=1)
    style = sample_style(rng, "vendors", dpi=float(np.exp(rng.uniform(np.log(60), np.log(300)))))
    return render_page(signals, fs, seed=int(rng.integers(2**31)), style=style)


def crops_of(page: RenderedPage, n: int, rng: np.random.Generator) -> Iterator[Crop]:
    """Crops of one page, most of them with a landmark."""
    rows, indices = rows_in_mm(page), sorted({panel.row for panel in page.panels})
    if not rows or len(rows) != len(indices):
        return
    image, factor = shrink_for_strips(page.image, float(np.mean(page.page_map.px_per_mm)))
    height, width = page.image.shape[:2]
    shape = (round(STRIP_MM * STRIP_PX_PER_MM), round(CROP_MM * STRIP_PX_PER_MM))
    for _ in range(n):
        k = int(rng.integers(len(rows)))
        mine = [mark for mark in page.marks if mark.row == indices[k]]
        x_mm = _left_mm(rows[k], mine, rng)
        y_mm = rows[k].centre_mm - STRIP_MM / 2 + float(rng.normal(0, LEVEL_SD_MM))
        zoom = float(np.exp(rng.normal(0, 0.015)))
        frame = StripFrame(y_mm, x_mm, shape, turn_deg=float(rng.normal(0, 0.2)), zoom=zoom)
        pixels = cut_strip(image, strip_map(frame, page.page_map), factor)
        masks = coarse_masks(rows, k, frame, rng)
        marks = []
        for mark in mine:
            r, c = page.page_map.to_pixels(mark.y_mm, mark.x_mm)
            column = frame.from_mm(np.array([[rows[k].centre_mm, mark.x_mm]]))[0, 1]
            if -0.5 < column < shape[1] - 0.5 and -0.5 < r < height - 0.5 and -0.5 < c < width - 0.5:
                marks.append((MARK_KINDS.index(mark.kind), column))
        coarse = np.round(np.clip(masks, 0, 1) * 255).astype(np.uint8)
        channels = np.concatenate([pixels.transpose(2, 0, 1), coarse])
        if rng.random() < 0.2:
            channels = np.concatenate([channels[rng.permutation(3)], channels[3:]])
        yield Crop(half_height(channels), np.array(marks, np.float32).reshape(-1, 2))


def _left_mm(row: RowTruth, marks: list, rng: np.random.Generator) -> float:
    if marks and rng.random() < FOCUS_SHARE:
        return float(marks[int(rng.integers(len(marks)))].x_mm - rng.uniform(0.08, 0.92) * CROP_MM)
    first, last = min(x[0] for x in row.x_mm), max(x[-1] for x in row.x_mm)
    return float(rng.uniform(first - 0.4 * CROP_MM, last - 0.6 * CROP_MM))
