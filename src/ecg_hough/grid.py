"""Printed grid of a page: its pitch, and its phase all over the page.

In: a page image. Out: `Grid`: for points spread over the page, the millimetres down and across at which
they lie, read from the phase of the printed lines, or None where no grid is visible.

Spectra of tiles, averaged, show the two families of lines as two combs of harmonics: they give direction
and pitch. Then each tile's own peak gives the local frequency, and demodulation with the smooth phase
that fits those gives the phase to a few hundredths of a millimetre.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ecg_hough.paper import GRID_MAJOR_MM, GRID_MINOR_MM

Floats = NDArray[np.float64]

# Tuned on rendered pages (all profiles, 72-600 dpi) and on ECG-Image-Kit and ECGMiner pages.
_LONG_SIDES_PX = (1800, 850, 400)  # pages are searched at these sizes, in turn
_TILE_PX = 256
_BACKGROUND_PX = 65
_MIN_CONTRAST = 2.0  # grey levels; fainter texture is not amplified
_CLIP = 2.0  # of the local mean contrast: ink counts no more than a line
_MIN_PERIOD_PX = 2.15
_MAX_PERIOD_PX = 42.0  # longer ones are found on a smaller copy
_PITCH_STEP = 0.004
_MAX_ASPECT = 0.17  # of the pitch, between the two families (tilted pages)
_MAX_HARMONIC = 12
_DYNAMIC = 3.5  # log power; peaks further below the strongest one do not count
_MISSING = 0.45  # log power; what each harmonic costs that is not there
_MIN_COMB = 1.2  # log power, sum over harmonics, of each family
_FIVE = 0.45  # log power by which every fifth harmonic stands out where 1 mm lines are printed
_TILE_SNR = 12.0
_MIN_TILES = 4
_INLIER_SHARE = 0.45
_HARMONICS_TRIED = 3
_ROUNDS = (  # degree of the phase, reach (of the diagonal), scale of its robust weights (bins)
    (1, 0.2, 3.0),
    (2, 0.35, 2.0),
    (2, 0.6, 1.5),
    (2, 1.0, 1.2),
    (3, 1.0, 0.8),
)
_PLAUSIBLE_LONG_SIDE_MM = 290.0
_JPEG_BLOCKS_PX = (8.0, 16.0)
_UPRIGHT_DEG = 0.35  # pages this upright may show the pixel lattice's own periods
_OTHER_SCALE = 0.93
_WIDE_PX = 11.0

_RADIUS_STEP = 0.25
_RADII = np.arange(1.0, 0.47 * _TILE_PX, _RADIUS_STEP)
_ANGLES_DEG = np.arange(-45.0, 45.0, 0.6)
_BASES = np.exp(np.arange(np.log(_TILE_PX / _MAX_PERIOD_PX), np.log(_TILE_PX / _MIN_PERIOD_PX), _PITCH_STEP))


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


@dataclass(frozen=True)
class _Combs:
    """Both families in the averaged spectrum: base frequencies in cycles per px (row, col)."""

    angle_deg: float
    down: float  # base frequency of the horizontal lines
    across: float
    score: float
    base_mm: float
    harmonics: tuple[int, ...]  # those to follow, clearest first
    ambiguous: bool
    place: Floats  # (2,) where on the searched image they are clearest


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
    power, centres = _tile_power(evidence)
    combs = _find_combs(power, centres, max(rows, cols))
    if combs is None or _is_jpeg_blocks(combs, zoom) or _is_resampling(combs, image, scale):
        return None
    followed = _follow_best(power, centres, combs, evidence.shape)
    if followed is None:
        return None
    harmonic, models = followed
    period_mm = combs.base_mm / harmonic
    # Wide enough to keep the neighbouring harmonics of the slower family out.
    smoothing = max((0.55 if harmonic > 1 else 1.6) / min(combs.down, combs.across), 9.0)
    phases, weights = [], []
    points: Floats = np.zeros((0, 2))
    for model in models:
        points, phase, weight = _phase_points(evidence, model, smoothing)
        phases.append(phase * period_mm)
        weights.append(weight)
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


def _is_jpeg_blocks(combs: _Combs, zoom: tuple[float, float]) -> bool:
    """True where the only period is that of JPEG blocks: upright, and 8 or 16 px to a thousandth."""
    pitch = np.array([1 / combs.down / zoom[0], 1 / combs.across / zoom[1]])
    upright = abs(combs.angle_deg) < _UPRIGHT_DEG
    return upright and combs.ambiguous and any(np.all(np.abs(pitch / p - 1) < 4e-3) for p in _JPEG_BLOCKS_PX)


def _is_resampling(combs: _Combs, image: NDArray[np.uint8], scale: float) -> bool:
    """True where the period is the beat of our own resampling: at another scale it is another one."""
    if scale == 1 or not combs.ambiguous or abs(combs.angle_deg) > _UPRIGHT_DEG:
        return False
    cols, rows = (max(1, round(n * scale * _OTHER_SCALE)) for n in image.shape[1::-1])
    other = cv2.resize(image, (cols, rows), interpolation=cv2.INTER_AREA)
    power, _ = _tile_power(grid_evidence(other))
    plane = cv2.dilate(_log_plane(power.mean(axis=0)), np.ones((3, 3), np.uint8))
    for profile, base in zip(
        _profiles(plane, np.array([combs.angle_deg]), _RADII), (combs.down, combs.across), strict=True
    ):
        same = np.abs(_BASES / (base * _TILE_PX / _OTHER_SCALE) - 1) < 0.015
        if not np.any(_comb_scores(profile[0])[same] > _MIN_COMB):
            return True
    return False


def _tile_power(evidence: NDArray[np.float32]) -> tuple[NDArray[np.float32], Floats]:
    """Power spectra (n, T, T // 2 + 1) of overlapping tiles, each of unit mean, and their centres (n, 2)."""
    size = _TILE_PX
    padded = evidence
    if min(evidence.shape) < size:
        need = [max(0, size - n) for n in evidence.shape]
        padded = cv2.copyMakeBorder(evidence, 0, need[0], 0, need[1], cv2.BORDER_CONSTANT, value=0)
    starts = []
    for n in padded.shape:
        count = max(1, int(np.ceil((n - size) / (size / 2))) + 1)
        starts.append(np.round(np.linspace(0, n - size, count)).astype(int))
    window = np.hanning(size + 1)[:size].astype(np.float32)
    window2 = window[:, None] * window[None]
    tiles = np.stack([padded[r : r + size, c : c + size] * window2 for r in starts[0] for c in starts[1]])
    spectrum = fft.rfft2(tiles)
    power = spectrum.real**2 + spectrum.imag**2
    floor = 0.02 * size * size
    power /= power.mean(axis=(1, 2), keepdims=True) + floor
    centres = np.array([(r + size / 2, c + size / 2) for r in starts[0] for c in starts[1]], float)
    return power, centres


def _log_plane(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Averaged spectrum as log power over the mean at its radius, (T + 1, T + 1), zero frequency central."""
    size = _TILE_PX
    half = size // 2
    right = np.fft.fftshift(np.log(power + 1e-9), axes=0)  # rows -half .. half - 1, cols 0 .. half
    right = np.concatenate([right, right[:1]], axis=0)
    plane = np.concatenate([right[::-1, :0:-1], right], axis=1).astype(np.float32)
    radius = np.hypot(*np.mgrid[-half : half + 1, -half : half + 1])
    ring = np.minimum(radius.astype(int), half)
    mean = np.bincount(ring.ravel(), plane.ravel()) / np.bincount(ring.ravel())
    return (plane - np.interp(radius, np.arange(len(mean)) + 0.5, mean)).astype(np.float32)


def _find_combs(power: NDArray[np.float32], centres: Floats, long_side_px: int) -> _Combs | None:
    """Direction and base frequencies of both families of lines, from the part of the page that shows them best.

    Perspective and curl smear the spectrum of a whole page, so parts of a few tiles are tried one by one.
    """
    best: tuple[float, float, float, float, Floats, Floats, Floats] | None = None
    near = round(_MAX_ASPECT / _PITCH_STEP)
    for place, part in _parts(centres):
        plane = cv2.dilate(_log_plane(power[part].mean(axis=0)), np.ones((3, 3), np.uint8))
        down, across = _profiles(plane, _ANGLES_DEG, _RADII)
        sums = np.clip(down, 0, 4).sum(axis=1) + np.clip(across, 0, 4).sum(axis=1)
        for _ in range(2):
            i = int(np.argmax(sums))
            s_down, s_across = _comb_scores(down[i]), _comb_scores(across[i])
            kernel = np.ones((1, 2 * near + 1), np.uint8)
            joint = s_down + cv2.dilate(s_across[None].astype(np.float32), kernel)[0]
            k = int(np.argmax(joint))
            lo = max(0, k - near)
            m = lo + int(np.argmax(s_across[lo : k + near + 1]))
            if min(s_down[k], s_across[m]) >= _MIN_COMB and (best is None or joint[k] > best[0]):
                best = (joint[k], _ANGLES_DEG[i], _BASES[k], _BASES[m], down[i], across[i], place)
            sums[np.abs((_ANGLES_DEG - _ANGLES_DEG[i] + 45) % 90 - 45) < 4] = -np.inf
    if best is None:
        return None
    score, angle, q_down, q_across, p_down, p_across, place = best
    q_down, q_across = _refined(p_down, q_down), _refined(p_across, q_across)
    base_mm, ambiguous = _spacing(p_down, p_across, q_down, q_across, long_side_px)
    harmonics = _clear_harmonics(p_down, p_across, q_down, q_across)
    size = _TILE_PX
    return _Combs(
        float(angle), q_down / size, q_across / size, float(score), base_mm, harmonics, ambiguous, place
    )


def _parts(centres: Floats) -> list[tuple[Floats, NDArray[np.intp]]]:
    """Parts of the page to look at: (centre, tiles); the last one is the whole page."""
    middle = centres.mean(axis=0)
    parts = [(middle, np.arange(len(centres)))]
    reach = 0.6 * _TILE_PX
    axes = []
    for axis in range(2):
        lo, hi = centres[:, axis].min(), centres[:, axis].max()
        axes.append(np.linspace(lo, hi, 2 + 2 * round((hi - lo) / (3.2 * _TILE_PX)) + 1)[1:-1])
    for r in axes[0]:
        for c in axes[1]:
            tiles = np.flatnonzero(np.abs(centres - (r, c)).max(axis=1) <= reach)
            if len(tiles) and len(tiles) < len(centres):
                parts.append((np.array([r, c]), tiles))
    return parts


def _profiles(plane: NDArray[np.float32], angles_deg: Floats, radii: Floats) -> tuple[Floats, Floats]:
    """Log power along both directions of a page at each angle: two arrays (angles, radii)."""
    a = np.deg2rad(angles_deg)[:, None]
    centre = _TILE_PX // 2
    out = []
    for row, col in ((np.cos(a), np.sin(a)), (-np.sin(a), np.cos(a))):
        at_row = (centre + row * radii).astype(np.float32)
        at_col = (centre + col * radii).astype(np.float32)
        out.append(cv2.remap(plane, at_col, at_row, cv2.INTER_LINEAR).astype(float))
    return out[0], out[1]


def _contrast(profile: Floats, q: float, n: int) -> float:
    """Log power of harmonic n over that half way to its neighbours."""
    here, before, after = np.interp([n * q, (n - 0.5) * q, (n + 0.5) * q], _RADII, profile)
    return float(here - (before + after) / 2)


def _comb_scores(profile: Floats) -> Floats:
    """How well a comb of each base frequency of `_BASES` explains a profile, up to its last clear tooth."""
    order = np.arange(1, _MAX_HARMONIC + 1)[:, None]
    # Lines snapped to whole pixels beat with long periods (8 mm at 200 dpi), far below the true lines.
    profile = np.maximum(profile, profile.max() - _DYNAMIC)

    def read(at: Floats) -> Floats:
        return profile[np.minimum(np.round((at - _RADII[0]) / _RADIUS_STEP).astype(int), len(_RADII) - 1)]

    teeth = order * _BASES
    troughs = (read(teeth - 0.5 * _BASES) + read(teeth + 0.5 * _BASES)) / 2
    gain = np.clip(read(teeth) - troughs, -1.0, 2.5) - _MISSING
    gain[teeth > _RADII[-1]] = -1.0
    return np.cumsum(gain, axis=0).max(axis=0)


def _refined(profile: Floats, q: float) -> float:
    """Base frequency at which the whole comb stands highest: the score of the search is flat on top."""
    near = q * np.linspace(0.96, 1.04, 41)
    order = np.arange(1, 11)[:, None]
    height = np.clip(profile - (profile.max() - _DYNAMIC), 0, None)
    total = np.where(order * near < _RADII[-1], np.interp(order * near, _RADII, height), 0.0).sum(axis=0)
    return float(near[total > total.max() - 0.02 * max(total.max(), 1e-9)].mean())


def _spacing(
    p_down: Floats, p_across: Floats, q_down: float, q_across: float, long_side_px: int
) -> tuple[float, bool]:
    """Millimetres of the base period, and whether that is a guess by plausibility."""
    rises, under = [], []
    for profile, q in ((p_down, q_down), (p_across, q_across)):
        if 5 * q < _RADII[-1]:
            around = [np.interp(n * q, _RADII, profile) for n in (4, 6) if n * q < _RADII[-1]]
            rises.append(np.interp(5 * q, _RADII, profile) - np.mean(around))
        if q / 5 > 3:
            under.append(np.mean([_contrast(profile, q / 5, n) for n in (1, 2, 3, 4, 6)]))
    if under and np.mean(under) > _FIVE:
        return GRID_MINOR_MM, False
    if rises and np.mean(rises) > _FIVE:
        return GRID_MAJOR_MM, False
    periods = long_side_px / (_TILE_PX / np.sqrt(q_down * q_across))
    off = {mm: abs(np.log(periods * mm / _PLAUSIBLE_LONG_SIDE_MM)) for mm in (GRID_MINOR_MM, GRID_MAJOR_MM)}
    return min(off, key=lambda mm: off[mm]), True


def _clear_harmonics(p_down: Floats, p_across: Floats, q_down: float, q_across: float) -> tuple[int, ...]:
    """Harmonics worth following, high and clear in both families, best first."""
    value = {}
    for n in range(1, 6):
        if n * max(q_down, q_across) > 0.42 * _TILE_PX:
            break
        clear = min(_contrast(p, q, n) for p, q in ((p_down, q_down), (p_across, q_across)))
        value[n] = float(np.clip(clear, 0, 4.0)) * np.sqrt(n)
    return tuple(sorted(value, key=lambda n: -value[n])[:_HARMONICS_TRIED]) or (1,)


def _basis(points: Floats, shape: tuple[int, ...], degree: int) -> tuple[Floats, Floats, Floats]:
    """Polynomial terms of a phase at points (n, 2), and their derivatives by row and column, per px."""
    half = max(shape) / 2
    r, c = (points[:, 0] - shape[0] / 2) / half, (points[:, 1] - shape[1] / 2) / half
    powers = [(i, d - i) for d in range(1, degree + 1) for i in range(d + 1)]
    value = np.stack([r**i * c**j for i, j in powers], axis=1)
    by_r = np.stack([i * r ** max(i - 1, 0) * c**j for i, j in powers], axis=1) / half
    by_c = np.stack([j * r**i * c ** max(j - 1, 0) for i, j in powers], axis=1) / half
    return value, by_r, by_c


def _follow_best(
    power: NDArray[np.float32], centres: Floats, combs: _Combs, shape: tuple[int, ...]
) -> tuple[int, list[Floats]] | None:
    """Harmonic that most tiles show, with the phases of both families; None where the tiles do not agree."""
    a = np.deg2rad(combs.angle_deg)
    directions = (
        combs.down * np.array([np.cos(a), np.sin(a)]),
        combs.across * np.array([-np.sin(a), np.cos(a)]),
    )
    best: tuple[float, int, list[Floats]] | None = None
    for harmonic in combs.harmonics:
        found = [_follow_frequency(power, centres, d, harmonic, combs.place, shape) for d in directions]
        models = [f[0] for f in found if f is not None]
        if len(models) < 2:
            continue
        value = min(f[1] for f in found if f is not None) * harmonic**0.5
        if best is None or value > best[0]:
            best = (value, harmonic, models)
    return None if best is None else best[1:]


def _follow_frequency(
    power: NDArray[np.float32],
    centres: Floats,
    base: Floats,
    harmonic: int,
    place: Floats,
    shape: tuple[int, ...],
) -> tuple[Floats, int] | None:
    """Cubic phase (cycles) whose gradient fits the peaks of the tiles, and how many tiles agree.

    From the place where the combs are clear outward: each round's fit tells the next where to look.
    """
    size = _TILE_PX
    expected = np.tile(base * harmonic, (len(centres), 1))
    spacing = float(np.hypot(*base)) * size  # the neighbouring harmonics must stay outside
    reach = int(np.clip(min(0.09 * harmonic * spacing, 0.55 * spacing), 3, 9))
    away = np.hypot(*(centres - place).T) / np.hypot(*shape)
    solved: Floats = np.zeros(0)
    for degree, radius, limit in _ROUNDS:
        found, snr = _tile_peaks(power, expected, reach)
        strong = (snr > _TILE_SNR) & (away <= max(radius, np.sort(away)[min(3, len(away) - 1)]))
        if strong.sum() < min(_MIN_TILES, len(centres)):
            return None
        _, by_r, by_c = _basis(centres, shape, degree)
        while 1.5 * strong.sum() < by_r.shape[1] and degree > 1:
            degree -= 1
            _, by_r, by_c = _basis(centres, shape, degree)
        weight = np.where(strong, np.minimum(snr, 100.0), 0.0)
        guess = expected
        for _ in range(6):
            off = np.hypot(*(found - guess).T) * size / limit
            w = np.sqrt(weight) / (1 + off**2)
            matrix = np.concatenate([by_r * w[:, None], by_c * w[:, None]])
            ridge = 1e-2 * np.sqrt(np.mean(matrix[:, :2] ** 2) * len(matrix)) * np.eye(matrix.shape[1])
            ridge[:2] = 0
            target = np.concatenate([found[:, 0] * w, found[:, 1] * w, np.zeros(len(ridge))])
            solved, *_ = np.linalg.lstsq(np.concatenate([matrix, ridge]), target, rcond=None)
            guess = np.stack([by_r @ solved, by_c @ solved], axis=1)
        expected = guess
    near = np.hypot(*(found - guess).T) * size < 1.0
    if (near & strong).sum() < max(min(_MIN_TILES, len(centres)), _INLIER_SHARE * strong.sum()):
        return None
    coefficients = np.zeros(_basis(centres[:1], shape, 3)[0].shape[1])
    coefficients[: len(solved)] = solved
    return coefficients, int((near & strong).sum())


def _tile_peaks(power: NDArray[np.float32], expected: Floats, reach: int) -> tuple[Floats, Floats]:
    """Each tile's own peak (n, 2), cycles per px, near the expected one, and its power over the median."""
    size = _TILE_PX
    centre = np.round(expected * size).astype(int)
    step = np.arange(-reach, reach + 1)
    row = centre[:, 0, None, None] + step[None, :, None] + 0 * step[None, None, :]
    col = centre[:, 1, None, None] + step[None, None, :] + 0 * step[None, :, None]
    flip = np.where(col < 0, -1, 1)
    box = power[np.arange(len(power))[:, None, None], (row * flip) % size, np.minimum(col * flip, size // 2)]
    n = len(step)
    inner = box[:, 1:-1, 1:-1].reshape(len(box), -1)
    at = np.argmax(inner, axis=1)
    i, j = at // (n - 2) + 1, at % (n - 2) + 1
    k = np.arange(len(box))
    log = np.log(box + 1e-12)

    def shift(before: Floats, here: Floats, after: Floats) -> Floats:
        bend = before - 2 * here + after
        return np.clip(0.5 * (before - after) / np.where(np.abs(bend) < 1e-6, -1e-6, bend), -0.5, 0.5)

    d_row = shift(log[k, i - 1, j], log[k, i, j], log[k, i + 1, j])
    d_col = shift(log[k, i, j - 1], log[k, i, j], log[k, i, j + 1])
    found = np.stack([centre[:, 0] + step[i] + d_row, centre[:, 1] + step[j] + d_col], axis=1) / size
    return found, box[k, i, j] / (np.median(box.reshape(len(box), -1), axis=1) + 1e-9)


def _phase_points(
    evidence: NDArray[np.float32], model: Floats, smoothing_px: float
) -> tuple[Floats, Floats, Floats]:
    """Phase (cycles, unwrapped) and weight at lattice points (n, 2), by demodulation with the model."""
    block = 4
    rows, cols = (n // block * block for n in evidence.shape)
    shape = evidence.shape
    half = max(shape) / 2
    r = ((np.arange(rows) - shape[0] / 2) / half)[:, None]
    c = ((np.arange(cols) - shape[1] / 2) / half)[None]
    k = model
    phase = (k[0] * c + k[1] * r) + (k[2] * c**2 + k[3] * r * c + k[4] * r**2)
    phase += k[5] * c**3 + k[6] * r * c**2 + k[7] * r**2 * c + k[8] * r**3
    turn = (2 * np.pi * (phase - np.round(phase))).astype(np.float32)
    piece = evidence[:rows, :cols]
    size = (cols // block, rows // block)
    sigma = smoothing_px / block
    parts = []
    for part in (piece * np.cos(turn), -piece * np.sin(turn), piece * piece):
        parts.append(cv2.GaussianBlur(cv2.resize(part, size, interpolation=cv2.INTER_AREA), (0, 0), sigma))
    step = max(1, round(1.4 * sigma))
    at_r = np.arange(step // 2, size[1], step)
    at_c = np.arange(step // 2, size[0], step)
    take = np.ix_(at_r, at_c)
    signal = parts[0][take].astype(float) + 1j * parts[1][take]
    snr = np.abs(signal) ** 2 * 4 * np.pi * smoothing_px**2 / (parts[2][take] + 0.05)
    left = _unwrap(np.angle(signal) / (2 * np.pi), snr)
    at = np.stack(np.meshgrid(at_r, at_c, indexing="ij"), axis=-1).reshape(-1, 2) * block + (block - 1) / 2
    value, _, _ = _basis(at, shape, 3)
    weight = np.where(snr > _TILE_SNR, np.minimum(snr, 200.0) / 200.0, 0.0)
    return at, value @ model + left.ravel(), weight.ravel()


def _unwrap(phase: Floats, quality: Floats) -> Floats:
    """Remove whole turns from a phase lattice (h, w), in cycles, from the best point outward."""
    out = np.full(phase.shape, np.nan)
    start = np.unravel_index(int(np.argmax(quality)), phase.shape)
    heap: list[tuple[float, int, int, float]] = [(0.0, int(start[0]), int(start[1]), 0.0)]
    h, w = phase.shape
    values, trust = phase.tolist(), quality.tolist()
    done = [[False] * w for _ in range(h)]
    while heap:
        _, i, j, near = heapq.heappop(heap)
        if done[i][j]:
            continue
        done[i][j] = True
        value = values[i][j] + round(near - values[i][j])
        out[i, j] = value
        for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if 0 <= a < h and 0 <= b < w and not done[a][b]:
                heapq.heappush(heap, (-min(trust[i][j], trust[a][b]), a, b, value))
    return out
