"""Printed grid of a page: its pitch, and its phase all over the page.

In: a page image. Out: `Grid`: for points spread over the page, their millimetres down and across, measured by
the phase of the printed lines; or None where no grid is visible.

Averaged spectra of tiles show the two families of lines as two combs of harmonics, which give direction and
pitch. The peak of each tile gives the local frequency, and demodulation with the smooth phase that fits those
gives the phase to a few hundredths of a millimetre.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.cores import side_by_side
from ecg_hough.geometry.grid.combs import (
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
from ecg_hough.geometry.grid.phase import follow_harmonics, phase_points, smooth_phase
from ecg_hough.geometry.grid.spacing import mm_per_cycle
from ecg_hough.image.colours import darkest_of
from ecg_hough.paper import GRID_MAJOR_MM

# Tuned on rendered pages (all profiles, 72-600 dpi) and on ECG-Image-Kit and ECGMiner pages.
LONG_SIDES_PX = (1800, 850, 400)  # sizes at which pages are searched, in turn
_BACKGROUND_PX = 65
_MIN_CONTRAST = 2.0  # grey levels; fainter texture is not amplified
_CLIP = 2.0  # of the local mean contrast: ink has no more weight than a line
_JPEG_BLOCKS_PX = (8.0, 16.0)
_UPRIGHT_DEG = 0.35  # pages turned by less may show periods of the pixel lattice
_OTHER_SCALE = 0.93
_WIDE_PX = 11.0
_MIN_SMOOTHING_PX = 9.0
_LINES_MM = ((1.0, 1.6), (1.0, 2.75), (5 / 3, 2.75), (2.5, 2.75), (5.0, 5.0))
"""Spacing and smoothing of further readings, finest first."""
_AS_WIDELY = 0.7  # share of the largest support that a finer reading must have
_NODE_PX = 16  # lattice on which their phase is computed
GOOD_SUPPORT = 0.5  # share of the image; below it other harmonics are tried
_MIN_SUPPORT_AMBIGUOUS = 0.3  # the same with one spacing alone, as lines of text have
_MIN_SUPPORT_SPACING = 0.15  # the same of another harmonic that may decide the spacing
_COARSE = 0.5  # px of the search per px of the page at and below which finer lines may be lost
_SAME_SPACING = 0.12  # largest log ratio of a part's pitch to the whole page's for the same lines
_MIN_SUPPORT = 0.06  # share of the image; a wrong comb has support on less than 0.03 of it


@dataclass(frozen=True)
class Grid:
    """The grid's phase at n points of the page.

    Attributes:
        rows, cols: (n,) image px.
        y_mm, x_mm: (n,) mm down and across the page, any origin.
        y_weight, x_weight: (n,) their weights, 0 where the lines are not seen.
        period_mm: the printed period that was followed; a slip of the phase is a multiple of it.
        px_per_mm: vertical, horizontal, where the lines are clearest; place: (row, col) px of that.
        angle_deg: their direction there, page turned counter-clockwise positive.
        ambiguous: only one line spacing is seen; whether it is 1 or 5 mm was assumed.
        base_px: longest period found, image px.
        evidence: the searched image, see `grid_evidence`; zoom: its px per image px, down and across.
    """

    rows: Floats
    cols: Floats
    y_mm: Floats
    x_mm: Floats
    y_weight: Floats
    x_weight: Floats
    period_mm: float
    px_per_mm: tuple[float, float]
    place: tuple[float, float]
    angle_deg: float
    ambiguous: bool
    base_px: float
    evidence: NDArray[np.float32] = field(repr=False)
    zoom: tuple[float, float]

    @property
    def support(self) -> float:
        """Share of the points at which both families are seen."""
        return _support((self.y_weight, self.x_weight))


def find_grid(image: NDArray[np.uint8], *, curled: bool = False) -> Grid | None:
    """The printed grid, or None where not both families of lines are clear.

    Args:
        image: (rows, cols, 3) or (rows, cols) uint8.
        curled: whether the paper may wave: more lines are followed, with a greater risk of wrong ones.
    """
    done = 0.0
    coarse: Grid | None = None
    for long_side in LONG_SIDES_PX:
        scale = min(1.0, long_side / max(image.shape[:2]))
        if scale == done or min(image.shape[:2]) * scale < 64:
            continue
        done = scale
        grid = _find_at(image, scale, curled=curled)
        if grid is None:
            if coarse is not None:
                break
            continue
        if grid.ambiguous and scale <= _COARSE:
            grid = _with_finer_lines(image, grid)
        if not grid.ambiguous:
            return grid
        if coarse is not None:
            return max(coarse, grid, key=lambda g: g.support)
        coarse = grid
        # Wide lines may be 1 mm lines whose 5 mm period is too long for the tiles: a smaller copy shows it.
        if grid.base_px * scale < _WIDE_PX:
            break
    return coarse


def _with_finer_lines(image: NDArray[np.uint8], grid: Grid) -> Grid:
    """An ambiguous grid with the line spacing of a part of the page at full size; the same if that has none.

    On a banner of 8000 px whose lines were followed at a quarter of that, 1 mm lines are lost.
    """
    side = LONG_SIDES_PX[0]
    top, left = (
        int(np.clip(at - side / 2, 0, max(0, n - side)))
        for at, n in zip(grid.place, image.shape[:2], strict=True)
    )
    part = _find_at(image[top : top + side, left : left + side], 1.0)
    if part is None or part.ambiguous:
        return grid
    times = float(np.sqrt(np.prod(grid.px_per_mm) / np.prod(part.px_per_mm)))
    factor = min((1.0, GRID_MAJOR_MM, 1.0 / GRID_MAJOR_MM), key=lambda f: abs(np.log(times / f)))
    if abs(np.log(times / factor)) > _SAME_SPACING:
        return grid
    return replace(
        grid,
        y_mm=grid.y_mm * factor,
        x_mm=grid.x_mm * factor,
        period_mm=grid.period_mm * factor,
        px_per_mm=(grid.px_per_mm[0] / factor, grid.px_per_mm[1] / factor),
        ambiguous=False,
    )


def follow_again(grid: Grid, to_mm: Callable[[Floats], list[Floats]]) -> Grid:
    """The grid with its phase read again, along an approximate map.

    The first reading follows a cubic phase, which loses the lines towards the far edge of a tilted page, and
    where the paper waves. Now the finest harmonic of 5 mm lines is read that is seen on a large part of the
    page, or on nearly as large a part as any other.

    Args:
        to_mm: (n, 2) image px -> mm down and across, each (n,).
    """
    finest = read_along(grid, to_mm, *_LINES_MM[0])
    if finest.support > GOOD_SUPPORT:
        return finest
    readings = [finest, *(read_along(grid, to_mm, *lines) for lines in _LINES_MM[1:])]
    widest = max(reading.support for reading in readings)
    return next(reading for reading in readings if reading.support >= _AS_WIDELY * widest)


def read_along(
    grid: Grid, to_mm: Callable[[Floats], list[Floats]], period_mm: float, smoothing_mm: float
) -> Grid:
    """The grid with the phase of lines `period_mm` apart, read along a map, smoothed by `smoothing_mm`."""
    shape, zoom = grid.evidence.shape, grid.zoom
    nodes = [np.arange(n // _NODE_PX + 3, dtype=float) * _NODE_PX for n in shape]
    at = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    mm = to_mm((at + 0.5) / zoom - 0.5)
    px_per_mm = float(np.sqrt(np.prod(grid.px_per_mm) * np.prod(zoom)))
    smoothing = max(smoothing_mm * px_per_mm, _MIN_SMOOTHING_PX)

    def read(value: Floats) -> tuple[Floats, Floats, Floats]:
        coarse = (value / period_mm).reshape(len(nodes[0]), len(nodes[1]))
        # Interpolated about its mean, in float32: the phase has hundreds of cycles. The mean is rounded to a
        # whole number, as a fraction would move the lines.
        middle = float(np.round(coarse.mean()))
        spread = np.array([[_NODE_PX, 0, 0], [0, _NODE_PX, 0]], float)
        fine = cv2.warpAffine(
            (coarse - middle).astype(np.float32),
            spread,
            shape[::-1],
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        points, cycles, weight = phase_points(grid.evidence, fine, smoothing)
        return points, (cycles + middle) * period_mm, weight

    (points, *_), _ = found = side_by_side(read, mm)
    weights = _crossing(points, [weight for *_, weight in found])
    return replace(
        grid,
        rows=(points[:, 0] + 0.5) / zoom[0] - 0.5,
        cols=(points[:, 1] + 0.5) / zoom[1] - 0.5,
        y_mm=found[0][1],
        x_mm=found[1][1],
        y_weight=weights[0],
        x_weight=weights[1],
        period_mm=period_mm,
    )


def within_period(mm: Floats, period_mm: float) -> Floats:
    """Millimetres without whole periods, by which a phase may slip: minus half a period to half a period."""
    out: Floats = mm - period_mm * np.round(mm / period_mm)
    return out


def _crossing(points: Floats, weights: list[Floats]) -> list[Floats]:
    """Weights of both families, 0 without the other family nearby: wood grain has one family only."""
    n_cols = int(np.count_nonzero(points[:, 0] == points[0, 0]))
    near = np.ones((3, 3), np.uint8)
    seen = [cv2.dilate((w.reshape(-1, n_cols) > 0).astype(np.uint8), near).ravel() for w in weights]
    return [weights[0] * seen[1], weights[1] * seen[0]]


def grid_evidence(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(rows, cols) local contrast of dark lines, -2..2, limited so that ink is as strong as grid lines."""
    dark = darkest_of(image).astype(np.float32)
    size = (_BACKGROUND_PX, _BACKGROUND_PX)
    paper = cv2.blur(dark, size)
    depth = paper - dark
    spread = cv2.blur(np.abs(depth), size)
    # Ink lowers the local mean; without it the paper's level is correct next to traces, too.
    calm = np.maximum(dark, paper - _CLIP * spread)
    paper = cv2.blur(calm, size)
    depth = paper - calm
    spread = cv2.blur(np.abs(depth), size) + _MIN_CONTRAST
    return np.clip(depth / spread, -_CLIP, _CLIP)


def _find_at(image: NDArray[np.uint8], scale: float, *, curled: bool = False) -> Grid | None:
    """The grid by a copy of the image reduced to a scale, in px of the image."""
    rows, cols = (max(1, round(n * scale)) for n in image.shape[:2])
    small = image if scale == 1 else cv2.resize(image, (cols, rows), interpolation=cv2.INTER_AREA)
    zoom = (rows / image.shape[0], cols / image.shape[1])
    evidence = grid_evidence(small)
    power, centres = tile_power(evidence)
    combs = find_combs(power, centres)
    if combs is None:
        return None
    followed = _follow(evidence, power, centres, combs, curled=curled)
    if not followed or followed[0].support < _MIN_SUPPORT:
        return None
    best = followed[0]
    base_mm, ambiguous = _base_mm(evidence, followed, combs)
    if ambiguous and (
        best.support < _MIN_SUPPORT_AMBIGUOUS
        or _is_jpeg_blocks(combs, zoom)
        or _is_resampling(combs, image, scale)
    ):
        return None
    cycle_mm = base_mm / best.harmonic
    pitch = [1 / (q * base_mm * z) for q, z in zip((combs.down, combs.across), zoom, strict=True)]
    return Grid(
        rows=(best.points[:, 0] + 0.5) / zoom[0] - 0.5,
        cols=(best.points[:, 1] + 0.5) / zoom[1] - 0.5,
        y_mm=best.phases[0] * cycle_mm,
        x_mm=best.phases[1] * cycle_mm,
        y_weight=best.weights[0],
        x_weight=best.weights[1],
        period_mm=cycle_mm,
        px_per_mm=(pitch[0], pitch[1]),
        place=(float(combs.place[0] / zoom[0]), float(combs.place[1] / zoom[1])),
        angle_deg=combs.angle_deg,
        ambiguous=ambiguous,
        base_px=base_mm * pitch[0],
        evidence=evidence,
        zoom=zoom,
    )


def _follow(
    evidence: NDArray[np.float32],
    power: NDArray[np.float32],
    centres: Floats,
    combs: Combs,
    *,
    curled: bool,
) -> list[_Followed]:
    """Harmonics of the lines, the one with the largest support first."""
    found: list[_Followed] = []
    # Where curl or blur hides the finer lines, the widest spacing is still seen.
    for harmonics in (combs.harmonics, {1}.difference(combs.harmonics)):
        tried = follow_harmonics(power, centres, combs, harmonics, evidence.shape, curled=curled)
        for harmonic, models in tried:
            # Wide enough to exclude the neighbouring harmonics of the family of lower frequency.
            smoothing = (0.55 if harmonic > 1 else 1.6) / min(combs.down, combs.across)
            followed = _Followed.along(evidence, harmonic, models, max(smoothing, _MIN_SMOOTHING_PX))
            found.append(followed)
            if followed.support > GOOD_SUPPORT:
                return sorted(found, key=lambda f: -f.support)
    return sorted(found, key=lambda f: -f.support)


def _base_mm(evidence: NDArray[np.float32], followed: list[_Followed], combs: Combs) -> tuple[float, bool]:
    """Millimetres of the widest spacing, and whether assumed because no harmonic shows both spacings."""
    assumed: list[float] = []
    for one in followed:
        if assumed and one.support < _MIN_SUPPORT_SPACING:
            break
        period_px = 1 / (one.harmonic * np.sqrt(combs.down * combs.across))
        both = (one.weights[0] > 0) & (one.weights[1] > 0)
        cycle_mm, ambiguous = mm_per_cycle(
            evidence, one.models, one.points[both], max(evidence.shape), period_px
        )
        if not ambiguous:
            return cycle_mm * one.harmonic, False
        assumed.append(cycle_mm * one.harmonic)
    return assumed[0], True


@dataclass(frozen=True)
class _Followed:
    """One harmonic of both families followed over the page: lattice points, phases in cycles, weights."""

    harmonic: int
    models: list[Floats]
    points: Floats
    phases: list[Floats]
    weights: list[Floats]

    @classmethod
    def along(
        cls, evidence: NDArray[np.float32], harmonic: int, models: list[Floats], smoothing_px: float
    ) -> _Followed:
        """Read along the smooth phases of both families."""
        rows, cols = (np.arange(n, dtype=np.float32) for n in evidence.shape)

        def read(model: Floats) -> tuple[Floats, Floats, Floats]:
            return phase_points(evidence, smooth_phase(model, rows, cols, evidence.shape), smoothing_px)

        found = side_by_side(read, models)
        points = found[0][0]
        return cls(harmonic, models, points, [f[1] for f in found], _crossing(points, [f[2] for f in found]))

    @property
    def support(self) -> float:
        """Share of the points at which both families are seen."""
        return _support(self.weights)


def _support(weights: Sequence[Floats]) -> float:
    return float(np.mean((weights[0] > 0) & (weights[1] > 0)))


def _is_jpeg_blocks(combs: Combs, zoom: tuple[float, float]) -> bool:
    """Whether the only period is that of JPEG blocks: upright, and 8 or 16 px within 0.4 %."""
    pitch = np.array([1 / combs.down / zoom[0], 1 / combs.across / zoom[1]])
    upright = abs(combs.angle_deg) < _UPRIGHT_DEG
    return upright and any(np.all(np.abs(pitch / p - 1) < 4e-3) for p in _JPEG_BLOCKS_PX)


def _is_resampling(combs: Combs, image: NDArray[np.uint8], scale: float) -> bool:
    """Whether the period is a beat of the resampling to this scale: at another scale it is not there."""
    if scale == 1 or abs(combs.angle_deg) > _UPRIGHT_DEG:
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
