"""Combs of a printed grid in the spectra of a page: direction and base frequency of its lines.

In: the evidence image of `find`. Out: `Combs`, both families of lines as combs of harmonics, from the part of
the page where they are clearest, or None.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.cores import side_by_side

Floats = NDArray[np.float64]

# Tuned on rendered pages (all profiles, 72-600 dpi) and on ECG-Image-Kit and ECGMiner pages.
TILE_PX = 256
_MIN_PERIOD_PX = 2.15
_MAX_PERIOD_PX = 42.0  # longer periods are found on a smaller copy of the page
_PITCH_STEP = 0.004
_MAX_ASPECT = 0.17  # log ratio of the pitches of both families (tilted pages)
_MAX_REFINED_ASPECT = 0.2  # the same after refinement; lines of text drift to 0.24
_MAX_HARMONIC = 12
_DYNAMIC = 3.5  # log power; lower peaks than this below the strongest one are ignored
_POWER_FLOOR = 0.02  # of the mean; below it a drawn page has only leakage, which blurs directions
_MISSING = 0.45  # log power; penalty of a missing harmonic
MIN_COMB = 1.2  # smallest log power, sum over harmonics, of each family
_HARMONICS_TRIED = 3
_RADIUS_STEP = 0.25
RADII = np.arange(1.0, 0.47 * TILE_PX, _RADIUS_STEP)
_ANGLES_DEG = np.arange(-45.0, 45.0, 0.6)
_NEAR_ANGLES = 20  # of those to either side, 12 degrees
BASES = np.exp(np.arange(np.log(TILE_PX / _MAX_PERIOD_PX), np.log(TILE_PX / _MIN_PERIOD_PX), _PITCH_STEP))


@dataclass(frozen=True)
class Combs:
    """Both families of lines as combs of harmonics.

    Attributes:
        angle_deg: of the page, counter-clockwise positive.
        down, across: base frequencies of the horizontal and the vertical lines, cycles per px.
        score: sum of log power over the harmonics of both.
        harmonics: those to follow, clearest first.
        place: (2,) px of the searched image at which they are clearest.
    """

    angle_deg: float
    down: float
    across: float
    score: float
    harmonics: tuple[int, ...]
    place: Floats


def tile_power(evidence: NDArray[np.float32]) -> tuple[NDArray[np.float32], Floats]:
    """Power spectra (n, T, T // 2 + 1) of overlapping tiles, each of unit mean, and their centres (n, 2)."""
    size = TILE_PX
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
    corners = [(r, c) for r in starts[0] for c in starts[1]]

    def power_of(corner: tuple[int, int]) -> NDArray[np.float32]:
        r, c = corner
        # OpenCV's transform is several times as fast as SciPy's here.
        spectrum = cv2.dft(padded[r : r + size, c : c + size] * window2, flags=cv2.DFT_COMPLEX_OUTPUT)
        half = spectrum[:, : size // 2 + 1]
        return np.asarray(half[..., 0] ** 2 + half[..., 1] ** 2, np.float32)

    power = np.stack(side_by_side(power_of, corners))
    floor = 0.02 * size * size
    power /= power.mean(axis=(1, 2), keepdims=True) + floor
    centres = np.array(corners, float) + size / 2
    return power, centres


def log_plane(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log power over its mean at the same radius, (T + 1, T + 1), of a spectrum (T, T // 2 + 1).

    The zero frequency is in the middle.
    """
    right = np.fft.fftshift(np.log(power + _POWER_FLOOR), axes=0)  # rows -half .. half - 1, cols 0 .. half
    right = np.concatenate([right, right[:1]], axis=0)
    plane = np.concatenate([right[::-1, :0:-1], right], axis=1).astype(np.float32)
    radius, ring, count = _rings()
    mean = np.bincount(ring.ravel(), plane.ravel()) / count
    return (plane - np.interp(radius, np.arange(len(mean)) + 0.5, mean)).astype(np.float32)


@functools.cache
def _rings() -> tuple[Floats, NDArray[np.intp], NDArray[np.intp]]:
    """Radius of every place of such a plane, its ring, and the number of places in each ring."""
    half = TILE_PX // 2
    radius = np.hypot(*np.mgrid[-half : half + 1, -half : half + 1])
    ring = np.minimum(radius.astype(int), half)
    return radius, ring, np.bincount(ring.ravel())


class _Found(NamedTuple):
    """Combs of one part of a page: direction, base frequencies (per tile) and profiles of both families."""

    joint: float
    angle_deg: float
    bases: tuple[float, float]
    profiles: tuple[Floats, Floats]
    place: Floats


def find_combs(power: NDArray[np.float32], centres: Floats) -> Combs | None:
    """Direction and base frequencies of both families of lines, where they are clearest on the page.

    Perspective and curl smear the spectrum of a whole page, so parts of a few tiles are tried one by one.

    Args:
        power: (n, T, T // 2 + 1) spectra of tiles; centres: (n, 2) px, see `tile_power`.
    """
    found = side_by_side(lambda part: _combs_of_part(power, *part), _parts(centres))
    best = max((one for one in found if one is not None), key=lambda one: one.joint, default=None)
    if best is None:
        return None
    down, across = (_refined(profile, q) for profile, q in zip(best.profiles, best.bases, strict=True))
    if abs(np.log(down / across)) > _MAX_REFINED_ASPECT:
        return None
    harmonics = _clear_harmonics(*best.profiles, down, across)
    return Combs(best.angle_deg, down / TILE_PX, across / TILE_PX, best.joint, harmonics, best.place)


def _combs_of_part(power: NDArray[np.float32], place: Floats, tiles: NDArray[np.intp]) -> _Found | None:
    """The clearest combs of some tiles; None without both families."""
    best: _Found | None = None
    near = round(_MAX_ASPECT / _PITCH_STEP)
    plane = cv2.dilate(log_plane(power[tiles].mean(axis=0)), np.ones((3, 3), np.uint8))
    down, across = profiles(plane, _ANGLES_DEG, RADII)
    sums = np.clip(down, 0, 4).sum(axis=1) + np.clip(across, 0, 4).sum(axis=1)
    for _ in range(2):
        i = int(np.argmax(sums))
        # Next to the direction of drawn lines their leakage looks like another comb, only lower.
        near_i = slice(max(0, i - _NEAR_ANGLES), i + _NEAR_ANGLES + 1)
        s_down = comb_scores(down[i], float(down[near_i].max()))
        s_across = comb_scores(across[i], float(across[near_i].max()))
        kernel = np.ones((1, 2 * near + 1), np.uint8)
        joint = s_down + cv2.dilate(s_across[None].astype(np.float32), kernel)[0]
        k = int(np.argmax(joint))
        lo = max(0, k - near)
        m = lo + int(np.argmax(s_across[lo : k + near + 1]))
        if min(s_down[k], s_across[m]) >= MIN_COMB and (best is None or joint[k] > best.joint):
            bases = float(BASES[k]), float(BASES[m])
            best = _Found(float(joint[k]), float(_ANGLES_DEG[i]), bases, (down[i], across[i]), place)
        sums[np.abs((_ANGLES_DEG - _ANGLES_DEG[i] + 45) % 90 - 45) < 4] = -np.inf
    return best


def _parts(centres: Floats) -> list[tuple[Floats, NDArray[np.intp]]]:
    """Parts of the page to search, as (centre, tiles); the first one is the whole page."""
    middle = centres.mean(axis=0)
    parts = [(middle, np.arange(len(centres)))]
    reach = 0.6 * TILE_PX
    axes = []
    for axis in range(2):
        lo, hi = centres[:, axis].min(), centres[:, axis].max()
        axes.append(np.linspace(lo, hi, 2 + 2 * round((hi - lo) / (3.2 * TILE_PX)) + 1)[1:-1])
    for r in axes[0]:
        for c in axes[1]:
            tiles = np.flatnonzero(np.abs(centres - (r, c)).max(axis=1) <= reach)
            if len(tiles) and len(tiles) < len(centres):
                parts.append((np.array([r, c]), tiles))
    return parts


def profiles(plane: NDArray[np.float32], angles_deg: Floats, radii: Floats) -> tuple[Floats, Floats]:
    """Log power along both directions of a page at each angle: two arrays (angles, radii)."""
    a = np.deg2rad(angles_deg)[:, None]
    centre = TILE_PX // 2
    out = []
    for row, col in ((np.cos(a), np.sin(a)), (-np.sin(a), np.cos(a))):
        at_row = (centre + row * radii).astype(np.float32)
        at_col = (centre + col * radii).astype(np.float32)
        out.append(cv2.remap(plane, at_col, at_row, cv2.INTER_LINEAR).astype(float))
    return out[0], out[1]


def _contrast(profile: Floats, q: float, n: int) -> float:
    """Log power of harmonic n over that half-way to its neighbours."""
    here, before, after = np.interp([n * q, (n - 0.5) * q, (n + 0.5) * q], RADII, profile)
    return float(here - (before + after) / 2)


def comb_scores(profile: Floats, top: float) -> Floats:
    """Sum of contrasts of each comb of `BASES` in a profile, up to its last clear harmonic.

    Args:
        top: highest log power near the profile's direction; harmonics far below it are ignored.
    """
    order = np.arange(1, _MAX_HARMONIC + 1)[:, None]
    # Lines rounded to whole pixels beat with long periods (8 mm at 200 dpi), far below the true lines.
    profile = np.maximum(profile, top - _DYNAMIC)

    def read(at: Floats) -> Floats:
        return profile[np.minimum(np.round((at - RADII[0]) / _RADIUS_STEP).astype(int), len(RADII) - 1)]

    teeth = order * BASES
    troughs = (read(teeth - 0.5 * BASES) + read(teeth + 0.5 * BASES)) / 2
    gain = np.clip(read(teeth) - troughs, -1.0, 2.5) - _MISSING
    gain[teeth > RADII[-1]] = -1.0
    return np.cumsum(gain, axis=0).max(axis=0)


def _refined(profile: Floats, q: float) -> float:
    """Base frequency near `q` of the comb with the greatest power: the search's score has a flat maximum."""
    near = q * np.linspace(0.91, 1.09, 91)
    order = np.arange(1, 11)[:, None]
    height = np.clip(profile - (profile.max() - _DYNAMIC), 0, None)
    total = np.where(order * near < RADII[-1], np.interp(order * near, RADII, height), 0.0).sum(axis=0)
    return float(near[total > total.max() - 0.02 * max(total.max(), 1e-9)].mean())


def _clear_harmonics(p_down: Floats, p_across: Floats, q_down: float, q_across: float) -> tuple[int, ...]:
    """Harmonics to follow: high and clear in both families, best first."""
    value = {}
    for n in range(1, 6):
        if n * max(q_down, q_across) > 0.42 * TILE_PX:
            break
        clear = min(_contrast(p, q, n) for p, q in ((p_down, q_down), (p_across, q_across)))
        value[n] = float(np.clip(clear, 0, 4.0)) * np.sqrt(n)
    return tuple(sorted(value, key=lambda n: -value[n])[:_HARMONICS_TRIED]) or (1,)
