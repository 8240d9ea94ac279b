"""Pages that are hard to read, for training: rows that cross, foreign ink, spikes, cut and black stretches.

In: a recorded or made-up ECG and a generator of random numbers. Out: the rendered page. Waves of 3 mV and
more, close rows and vendors' manners are rare among records and usual pages, and are where networks fail.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.render import PageStyle, RenderedPage, render_page, sample_style
from ecg_hough.render.style import with_random_grid

ENLARGED_SHARE, ENLARGED = 0.3, (1.3, 2.6)
"""Share of pages whose traces are taller than recorded, and how many times: waves of 3 mV and more are rare
in records and the hardest to read."""
CLOSE_SHARE, CLOSER = 0.25, (0.5, 0.9)
"""Share of pages whose rows lie closer than drawn, and by how much: a neighbour's QRS complexes then cross
the row, which on usual sheets they seldom do."""
CROSSING_SHARE, CROSSING_PITCH_MM, CROSSING_REACH = 0.35, (13.0, 22.0), (0.5, 2.6)
"""Share of pages whose rows cross at most beats; their row pitch, and how far in row pitches the waves of
such a row reach."""
TALLER_MAX = 5.0
"""Waves are enlarged so much at most, to cross other rows."""
FAST_SHARE = 0.2
"""Share of those pages at 50 mm/s: complexes are as broad as the space between rows is high."""
FOREIGN_SHARE = 0.3
"""Share of pages with much ink that is no trace on the traces: separators of the block's height, words,
handwriting, dark creases."""
SPIKED_SHARE = 0.1
"""Share of pages with pacing spikes."""
CUT_SHARE, BLACK_SHARE = 0.08, 0.08
"""Shares of pages whose first or last row's waves leave the image, and of those with stretches of black."""
TWO_HUES_SHARE = 0.15
"""Share of pages drawn with a random grid whose 1 mm lines may be as dark as those of 5 mm."""
QRS_AT_START_SHARE = 0.35
"""Share of records moved so that a QRS complex lies where a column starts, the hardest place to read."""


def hard_page(signals: NDArray[np.float64], fs: int, rng: np.random.Generator, *, dpi: float) -> RenderedPage:
    """A page that is hard to read, in mixed and in vendors' manners alike.

    Args:
        signals: (12, N) mV at fs, Hz.
    """
    start = int(rng.integers(0, max(1, signals.shape[1] // 4)))
    signals = np.roll(signals, start, axis=1) if rng.random() < 0.3 else signals
    if rng.random() < QRS_AT_START_SHARE:
        signals = np.roll(signals, int(rng.integers(4)) * int(2.5 * fs) - _steepest(signals, fs, rng), axis=1)
    if rng.random() < ENLARGED_SHARE:
        signals = signals * rng.uniform(*ENLARGED)
    style = sample_style(rng, str(rng.choice(["mixed", "vendors"])), dpi=dpi)
    if rng.random() < SPIKED_SHARE:
        signals = _spiked(signals, fs, rng)
    if rng.random() < CROSSING_SHARE:
        signals, style = crossing(signals, style, rng)
    elif rng.random() < CLOSE_SHARE:
        closer, sheet = rng.uniform(*CLOSER), style.sheet
        style = replace(style, sheet=replace(sheet, row_pitch_mm=closer * sheet.row_pitch_mm,
                                             rhythm_pitch_mm=closer * sheet.rhythm_pitch_mm))  # fmt: skip
    if style.profile not in ("bw", "fax") and rng.random() < TWO_HUES_SHARE:
        style = replace(style, sheet=with_random_grid(style.sheet, rng))
    if rng.random() < FOREIGN_SHARE:
        style = _with_foreign_ink(style, rng)
    page = render_page(signals, fs, seed=int(rng.integers(2**31)), style=style)
    if rng.random() < CUT_SHARE:
        page = _cut_at_border(page, rng)
    return _blackened(page, rng) if rng.random() < BLACK_SHARE else page


def crossing(
    signals: NDArray[np.float64], style: PageStyle, rng: np.random.Generator
) -> tuple[NDArray[np.float64], PageStyle]:
    """Signals (12, N), mV, and a style whose rows cross: close rows, and waves that reach into the next."""
    sheet = style.sheet
    pitch = float(min(sheet.row_pitch_mm, rng.uniform(*CROSSING_PITCH_MM)))
    if rng.random() < FAST_SHARE:
        sheet = replace(sheet, speed_mm_s=50.0)
    out = signals.copy()
    for lead in out:
        known = np.isfinite(lead)
        if rng.random() > 0.7 or not known.any():
            continue
        off = lead - np.median(lead[known])
        peak = float(np.quantile(np.abs(off[known]), 0.998))
        reach_mv = rng.uniform(*CROSSING_REACH) * pitch / (sheet.gain_mm_mv * sheet.amplitude)
        times = float(np.clip(reach_mv / max(peak, 0.1), 1.0, TALLER_MAX))
        # Of every second such lead the QRS complexes alone are taller: T waves would hide the crossing.
        share = np.clip(np.abs(off) / max(peak, 0.1), 0, 1) ** 1.5 if rng.random() < 0.5 else 1.0
        lead += off * (times - 1.0) * share
    return out, replace(style, sheet=replace(sheet, row_pitch_mm=pitch, rhythm_pitch_mm=pitch))


def _spiked(signals: NDArray[np.float64], fs: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Signals with a pacing spike before most beats, as high on every beat."""
    out = signals.copy()
    high = rng.uniform(0.2, 1.5, len(out)) * rng.choice([-1, 1], len(out))
    every = rng.uniform(0.6, 1.2)
    for at in np.arange(rng.uniform(0, every), signals.shape[1] / fs - 0.05, every):
        first = int(at * fs)
        n = max(1, round(rng.uniform(0.001, 0.004) * fs))
        out[:, first : first + n] += high[:, None]
        out[:, first + n : first + 2 * n] -= 0.3 * high[:, None]
    return out


def _with_foreign_ink(style: PageStyle, rng: np.random.Generator) -> PageStyle:
    """The style with much ink that is no trace."""
    sheet, wear = style.sheet, style.wear
    kind = rng.random()
    if kind < 0.4:
        separator = str(rng.choice(["full", "dotted", "dashed", "double"]))
        sheet = replace(sheet, separator=separator, separator_at_ends=bool(rng.random() < 0.5))
    elif kind < 0.6:
        sheet = replace(sheet, stray_texts=int(rng.integers(6, 16)))
    elif kind < 0.85:
        wear = replace(wear, handwriting=int(rng.integers(5, 14)))
    else:
        wear = replace(wear, creases=int(rng.integers(3, 12)), crease_strength=float(rng.uniform(0.3, 0.8)))
    return replace(style, sheet=sheet, wear=wear)


def _cut_at_border(page: RenderedPage, rng: np.random.Generator) -> RenderedPage:
    """The page without what lies beyond a line through the waves of its first or last row."""
    rows = np.concatenate([panel.trace[:, 0] for panel in page.panels])
    first = int(np.clip(np.nanquantile(rows, rng.uniform(0.0, 0.03)), 0, 0.4 * len(page.image)))
    last = len(page.image)
    if rng.random() < 0.5:
        first, last = 0, int(np.clip(np.nanquantile(rows, rng.uniform(0.97, 1.0)), 0.6 * last, last))
    moved = np.array([first, 0], np.float32)
    page_map = replace(page.page_map, rows=page.page_map.rows - first)
    panels = tuple(replace(panel, trace=panel.trace - moved) for panel in page.panels)
    return replace(page, image=page.image[first:last].copy(), page_map=page_map, panels=panels)


def _blackened(page: RenderedPage, rng: np.random.Generator) -> RenderedPage:
    """The page with black shapes, under which nothing is seen."""
    image = page.image.copy()
    black = np.zeros(image.shape[:2], np.uint8)
    for _ in range(int(rng.integers(2, 7))):
        centre = rng.uniform(0.1, 0.9, 2) * black.shape[::-1]
        size = rng.uniform(0.3, 6.0, 2) * [1.0, 5.0] * page.px_per_mm
        box = cv2.boxPoints((centre.tolist(), size.tolist(), float(rng.normal(0, 30))))
        cv2.fillPoly(black, [np.round(box).astype(np.int32)], 255)
    image[black > 0] = rng.integers(0, 40)
    return replace(page, image=image)


def _steepest(signals: NDArray[np.float64], fs: int, rng: np.random.Generator) -> int:
    """A sample up to 0.12 s before the middle of the steepest QRS complex of some 2 s of the record."""
    slope = np.abs(np.diff(np.nan_to_num(signals), axis=1)).sum(axis=0)
    first = int(rng.integers(0, max(1, slope.size - 2 * fs)))
    return first + int(np.argmax(slope[first : first + 2 * fs])) - int(rng.uniform(-0.04, 0.12) * fs)
