"""Printed grid of a page: its pitch, and its phase all over the page.

In: a page image. Out: `Grid`: for points spread over the page, the millimetres down and across at which
they lie, read from the phase of the printed lines, or None where no grid is visible.

Spectra of tiles, averaged, show the two families of lines as two combs of harmonics: they give direction
and pitch. Then each tile's own peak gives the local frequency, and demodulation with the smooth phase
that fits those gives the phase to a few hundredths of a millimetre.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.grid_combs import (
    BASES,
    MIN_COMB,
    RADII,
    TILE_PX,
    Combs,
    Floats,
    comb_scores,
    find_combs,
    log_plane,
    profiles,
    tile_power,
)
from ecg_hough.grid_phase import follow_harmonics, phase_points

# Tuned on rendered pages (all profiles, 72-600 dpi) and on ECG-Image-Kit and ECGMiner pages.
_LONG_SIDES_PX = (1800, 850, 400)  # pages are searched at these sizes, in turn
_BACKGROUND_PX = 65
_MIN_CONTRAST = 2.0  # grey levels; fainter texture is not amplified
_CLIP = 2.0  # of the local mean contrast: ink counts no more than a line
_JPEG_BLOCKS_PX = (8.0, 16.0)
_UPRIGHT_DEG = 0.35  # pages this upright may show the pixel lattice's own periods
_OTHER_SCALE = 0.93
_WIDE_PX = 11.0
_GOOD_SUPPORT = 0.5  # of the image; below it other harmonics are tried
_MIN_SUPPORT_AMBIGUOUS = 0.3  # one spacing alone is also what lines of text show
_MIN_SUPPORT = 0.15  # of the image; a wrong comb holds its phase on less than 0.03 of it


@dataclass(frozen=True)
class Grid:
    """The grid's phase at n points of the page.

    Attributes:
        rows, cols: (n,) image px.
        y_mm, x_mm: (n,) mm down and across the page, any origin.
        y_weight, x_weight: (n,) trust in them, 0 where the lines are not seen.
        period_mm: the printed period that was followed; a slip of the phase is a multiple of it.
        px_per_mm: vertical, horizontal, mean over the page (before the fit).
        ambiguous: only one spacing of lines is seen; 1 or 5 mm is by plausibility.
        base_px: longest period found, image px.
    """

    rows: Floats
    cols: Floats
    y_mm: Floats
    x_mm: Floats
    y_weight: Floats
    x_weight: Floats
    period_mm: float
    px_per_mm: tuple[float, float]
    ambiguous: bool
    base_px: float


def find_grid(image: NDArray[np.uint8]) -> Grid | None:
    """Find the printed grid, or None where both families of lines are not seen clearly.

    Args:
        image: (rows, cols, 3) or (rows, cols) uint8.
    """
    done = 0.0
    coarse: Grid | None = None
    for long_side in _LONG_SIDES_PX:
        scale = min(1.0, long_side / max(image.shape[:2]))
        if scale == done or min(image.shape[:2]) * scale < 64:
            continue
        done = scale
        grid = _find_at(image, scale)
        if grid is None:
            if coarse is not None:
                break
            continue
        if not grid.ambiguous:
            return grid
        if coarse is not None:
            break
        coarse = grid
        # Wide lines may be 1 mm lines whose 5 mm period is too long for the tiles: a smaller copy tells.
        if grid.base_px * scale < _WIDE_PX:
            break
    return coarse


def grid_evidence(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(rows, cols): local contrast of dark lines, -2..2, ink no stronger than grid lines."""
    dark = (image if image.ndim == 2 else image.min(axis=2)).astype(np.float32)
    size = (_BACKGROUND_PX, _BACKGROUND_PX)
    paper = cv2.blur(dark, size)
    depth = paper - dark
    spread = cv2.blur(np.abs(depth), size)
    # Ink pulls the local mean down; without it the paper's level is right next to traces as well.
    calm = np.maximum(dark, paper - _CLIP * spread)
    paper = cv2.blur(calm, size)
    depth = paper - calm
    spread = cv2.blur(np.abs(depth), size) + _MIN_CONTRAST
    return np.clip(depth / spread, -_CLIP, _CLIP)


def _find_at(image: NDArray[np.uint8], scale: float) -> Grid | None:
    rows, cols = (max(1, round(n * scale)) for n in image.shape[:2])
    small = image if scale == 1 else cv2.resize(image, (cols, rows), interpolation=cv2.INTER_AREA)
    zoom = (rows / image.shape[0], cols / image.shape[1])
    evidence = grid_evidence(small)
    power, centres = tile_power(evidence)
    combs = find_combs(power, centres, max(rows, cols))
    if combs is None or _is_jpeg_blocks(combs, zoom) or _is_resampling(combs, image, scale):
        return None
    best: tuple[float, float, Floats, list[Floats], list[Floats]] | None = None
    for harmonic, models in follow_harmonics(power, centres, combs, evidence.shape):
        # Wide enough to keep the neighbouring harmonics of the slower family out.
        smoothing = max((0.55 if harmonic > 1 else 1.6) / min(combs.down, combs.across), 9.0)
        phases, weights = [], []
        points: Floats = np.zeros((0, 2))
        for model in models:
            points, phase, weight = phase_points(evidence, model, smoothing)
            phases.append(phase * combs.base_mm / harmonic)
            weights.append(weight)
        support = float(np.mean((weights[0] > 0) & (weights[1] > 0)))
        if best is None or support > best[0]:
            best = (support, combs.base_mm / harmonic, points, phases, weights)
        if support > _GOOD_SUPPORT:
            break
    least = _MIN_SUPPORT_AMBIGUOUS if combs.ambiguous else _MIN_SUPPORT
    if best is None or best[0] < least:
        return None
    _, period_mm, points, phases, weights = best
    scale_down = 1 / (combs.down * combs.base_mm) / zoom[0]
    scale_across = 1 / (combs.across * combs.base_mm) / zoom[1]
    return Grid(
        rows=(points[:, 0] + 0.5) / zoom[0] - 0.5,
        cols=(points[:, 1] + 0.5) / zoom[1] - 0.5,
        y_mm=phases[0],
        x_mm=phases[1],
        y_weight=weights[0],
        x_weight=weights[1],
        period_mm=period_mm,
        px_per_mm=(scale_down, scale_across),
        ambiguous=combs.ambiguous,
        base_px=combs.base_mm * scale_down,
    )


def _is_jpeg_blocks(combs: Combs, zoom: tuple[float, float]) -> bool:
    """True where the only period is that of JPEG blocks: upright, and 8 or 16 px to a thousandth."""
    pitch = np.array([1 / combs.down / zoom[0], 1 / combs.across / zoom[1]])
    upright = abs(combs.angle_deg) < _UPRIGHT_DEG
    return upright and combs.ambiguous and any(np.all(np.abs(pitch / p - 1) < 4e-3) for p in _JPEG_BLOCKS_PX)


def _is_resampling(combs: Combs, image: NDArray[np.uint8], scale: float) -> bool:
    """True where the period is the beat of our own resampling: at another scale it is another one."""
    if scale == 1 or not combs.ambiguous or abs(combs.angle_deg) > _UPRIGHT_DEG:
        return False
    cols, rows = (max(1, round(n * scale * _OTHER_SCALE)) for n in image.shape[1::-1])
    other = cv2.resize(image, (cols, rows), interpolation=cv2.INTER_AREA)
    power, _ = tile_power(grid_evidence(other))
    plane = cv2.dilate(log_plane(power.mean(axis=0)), np.ones((3, 3), np.uint8))
    for profile, base in zip(
        profiles(plane, np.array([combs.angle_deg]), RADII), (combs.down, combs.across), strict=True
    ):
        same = np.abs(BASES / (base * TILE_PX / _OTHER_SCALE) - 1) < 0.015
        if not np.any(comb_scores(profile[0], float(profile[0].max()))[same] > MIN_COMB):
            return True
    return False
