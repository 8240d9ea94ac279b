"""Pages that are no 12-lead ECG, drawn as ECG paper: to fit and to test what is refused.

In: a number of pages and a seed. Out: PNGs, named by their kind. Pulse waves, respiration, brain waves,
tocograms, one to six unnamed channels, mirrored pages and two recordings on one page; the paper, its wear and
its scale are those of the renderer's other pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ecg_hough.paper import SHAPES, Layout, make_layout
from ecg_hough.render import PageStyle, RenderedPage, render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.sheet import blend
from ecg_hough.render.text import FACES, draw_text

FS_HZ, SECONDS = 500, 10
Floats = NDArray[np.float64]


def _pulse_waves(rng: np.random.Generator) -> Floats:
    """Arterial pulses: a steep rise, a slow fall with a second wave, delayed from channel to channel."""
    t = np.arange(FS_HZ * SECONDS) / FS_HZ
    phase = t * rng.uniform(0.8, 1.8) + 0.03 * np.sin(2 * np.pi * 0.25 * t)
    out = []
    for k in range(12):
        at = (phase - 0.02 * k) % 1.0
        notch = rng.uniform(0.2, 0.5) * np.exp(-(((at - 0.45) / 0.07) ** 2))
        out.append(rng.uniform(0.5, 1.8) * (at * np.exp(-at / 0.12) / 0.05 + notch))
    return np.array(out) - 0.5


def _respiration(rng: np.random.Generator) -> Floats:
    """Flow or carbon dioxide: plateaus or sine waves of a few seconds."""
    t = np.arange(FS_HZ * SECONDS) / FS_HZ
    wave = np.sin(2 * np.pi * t[None] * rng.uniform(0.15, 0.5) + rng.uniform(0, 6, (12, 1)))
    return np.asarray(np.tanh(wave * rng.uniform(1, 8)) * rng.uniform(0.4, 1.5, (12, 1)))


def _brain_waves(rng: np.random.Generator) -> Floats:
    """Band-limited noise."""
    noise = rng.normal(size=(12, FS_HZ * SECONDS))
    band = gaussian_filter1d(noise, rng.uniform(2, 8), axis=1) - gaussian_filter1d(noise, 40, axis=1)
    return np.asarray(band / band.std(axis=1, keepdims=True) * rng.uniform(0.1, 0.4))


def _tocogram(rng: np.random.Generator) -> Floats:
    """A slow wandering rate with fast small steps, and slow humps."""
    walk = gaussian_filter1d(rng.normal(size=(12, FS_HZ * SECONDS)).cumsum(axis=1), 30, axis=1)
    walk -= walk.mean(axis=1, keepdims=True)
    return np.asarray(walk / np.abs(walk).max(axis=1, keepdims=True) * rng.uniform(0.5, 1.5))


def _unnamed_channels(rng: np.random.Generator) -> Floats:
    """Leads of one recording in any order and number."""
    signals = generate_ecg(int(rng.integers(2**31))).signals[:, : FS_HZ * SECONDS]
    return np.asarray(signals[rng.permutation(12)])


def _one_signal(rng: np.random.Generator) -> Floats:
    """One lead in every channel, at one or at several amplitudes."""
    lead = generate_ecg(int(rng.integers(2**31))).signals[int(rng.integers(12)), : FS_HZ * SECONDS]
    heights = rng.uniform(0.4, 1.6, 12) if rng.random() < 0.5 else np.ones(12)
    return np.asarray(lead * heights[:, None])


CURVES: dict[str, Callable[[np.random.Generator], Floats]] = {
    "pulse": _pulse_waves,
    "respiration": _respiration,
    "brain": _brain_waves,
    "tocogram": _tocogram,
    "channels": _unnamed_channels,
    "one": _one_signal,
}
LABELS = ("A#", "Ch #", "CH#", "#", "E#", "EEG #", "P#", "RESP", "PLETH", "ABP", "X#", "Lead #")
"""How channels are named, # for their number; half of the pages have no names."""
KINDS = (*CURVES, "mirrored", "two")


def render_others(
    out: Path, *, n: int = 70, seed: int = 0, on_progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Draw `n` pages into `out`, of every kind in turn; same seed, same pages. Returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for k in range(n):
        kind = KINDS[k % len(KINDS)]
        path = out / f"{k:04d}_{kind}.png"
        image = render_other(kind, np.random.default_rng([seed, k]))
        cv2.imwrite(str(path), image[:, :, ::-1])
        paths.append(path)
        if on_progress:
            on_progress(k + 1, n)
    return paths


def render_other(kind: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One page, (rows, cols, 3) RGB.

    Raises:
        ValueError: no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    if kind == "two":
        pages = [_ecg_page(rng, float(rng.uniform(100, 160))) for _ in range(2)]
        height = min(len(page) for page in pages)
        parts = [cv2.resize(p, (round(p.shape[1] * height / len(p)), height)) for p in pages]
        width = min(part.shape[1] for part in parts)
        return np.vstack([part[:, :width] for part in parts])
    if kind == "mirrored":
        return np.ascontiguousarray(_ecg_page(rng, float(rng.uniform(100, 200)))[:, ::-1])
    signals = CURVES[kind](rng)
    style = sample_style(rng, "mixed", layout=_few_rows(rng), dpi=float(rng.uniform(80, 200)))
    pulse = style.sheet.pulse if rng.random() < 0.3 else "none"
    sheet = replace(style.sheet, names="none", stray_texts=0, missing=(), pulse=pulse)
    page = render_page(signals, FS_HZ, seed=int(rng.integers(2**31)), style=replace(style, sheet=sheet))
    return _labelled(page, rng) if rng.random() < 0.5 else page.image


def _labelled(page: RenderedPage, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The page's picture with a name at the beginning of every channel."""
    layer = np.zeros(page.image.shape[:2], np.uint8)
    label, face = str(rng.choice(LABELS)), str(rng.choice(FACES))
    size_px = max(8, round(float(rng.uniform(2.5, 4.0)) * page.px_per_mm))
    above_mm = float(rng.uniform(2.0, 5.0))
    for k, panel in enumerate(page.panels):
        row, col = panel.trace[np.isfinite(panel.trace).all(axis=1)][0]
        draw_text(layer, label.replace("#", str(k + 1)), row - above_mm * page.px_per_mm, col, face, size_px)
    image = page.image.copy()
    blend(image, layer, (20, 20, 20))
    return image


def _few_rows(rng: np.random.Generator) -> Layout:
    """A layout with any number of rows."""
    layout = make_layout(str(rng.choice(list(SHAPES))))
    rows = layout.rows[: int(rng.integers(1, len(layout.rows) + 1))]
    return replace(layout, rows=rows, name=f"{len(rows)}x{len(rows[0])}")


def _ecg_page(rng: np.random.Generator, dpi: float) -> NDArray[np.uint8]:
    ecg = generate_ecg(int(rng.integers(2**31)))
    style: PageStyle = sample_style(rng, "scan", dpi=dpi)
    return render_page(ecg.signals, ecg.fs, seed=int(rng.integers(2**31)), style=style).image
