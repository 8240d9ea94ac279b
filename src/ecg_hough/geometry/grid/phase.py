"""Phase of a printed grid at points all over a page.

In: evidence image, spectra of tiles, and combs. Out: the phase of both families of lines at lattice points,
in cycles of the harmonic that most tiles show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from ecg_hough.geometry.grid.combs import TILE_PX, Combs, Floats
from ecg_hough.numeric import (
    peak_offset,
    polynomial_slopes,
    powers,
    robust_weights,
    weighted_least_squares,
)

# Tuned on rendered pages (all profiles, 72-600 dpi) and on ECG-Image-Kit and ECGMiner pages.
BLOCK_PX = 4
"""Phases are averaged in blocks of this side."""
_TILE_SNR = 12.0
_MIN_AGREEMENT = 0.8  # mean cosine of twice a point's phase minus the sum of its opposite neighbours'
_MIN_TILES = 4
_INLIER_SHARE = 0.45
_ROUNDS = (  # degree of the phase, radius as a share of the diagonal, scale of the robust weights in bins
    (1, 0.2, 3.0),
    (2, 0.35, 2.0),
    (2, 0.6, 1.5),
    (2, 1.0, 1.2),
    (3, 1.0, 0.8),
)
_CURLED = ((4, 1.0, 1.0), (5, 1.0, 0.8))  # further rounds for paper that waves
_TILES_A_TERM = 2  # fewest tiles with lines for each term of the phase in those


def _slopes(points: Floats, shape: tuple[int, ...], degree: int) -> tuple[Floats, Floats]:
    """(n, terms) derivatives of a phase's terms by row and by column at points (n, 2), per px.

    A phase has no constant term: its origin is arbitrary.
    """
    half = max(shape) / 2
    r, c = ((points - np.divide(shape, 2)) / half).T
    by_r, by_c = polynomial_slopes(r, c, degree)
    return by_r[:, 1:] / half, by_c[:, 1:] / half


def follow_harmonics(
    power: NDArray[np.float32],
    centres: Floats,
    combs: Combs,
    harmonics: Iterable[int],
    shape: tuple[int, ...],
    *,
    curled: bool = False,
) -> list[tuple[int, list[Floats]]]:
    """Harmonics with the phases of both families, those that fit most tiles first.

    Args:
        power, centres: spectra of tiles and where they are, see `combs.tile_power`.
        shape: rows and cols of the evidence.
        curled: whether the paper may wave more than a cubic phase does.
    """
    a = np.deg2rad(combs.angle_deg)
    directions = (
        combs.down * np.array([np.cos(a), np.sin(a)]),
        combs.across * np.array([-np.sin(a), np.cos(a)]),
    )
    rounds = (*_ROUNDS, *_CURLED) if curled else _ROUNDS
    ranked: list[tuple[float, int, list[Floats]]] = []
    for harmonic in harmonics:
        found = [
            _follow_frequency(power, centres, d, harmonic, combs.place, shape, rounds) for d in directions
        ]
        models = [f[0] for f in found if f is not None]
        if len(models) == len(directions):
            ranked.append((min(f[1] for f in found if f is not None) * harmonic**0.5, harmonic, models))
    return [followed[1:] for followed in sorted(ranked, key=lambda followed: -followed[0])]


def _follow_frequency(
    power: NDArray[np.float32],
    centres: Floats,
    base: Floats,
    harmonic: int,
    place: Floats,
    shape: tuple[int, ...],
    rounds: Sequence[tuple[int, float, float]],
) -> tuple[Floats, int] | None:
    """Polynomial phase (cycles) whose gradient fits the peaks of the tiles, and how many tiles fit.

    From the place where the combs are clear outwards: each round's fit predicts the peaks of the next one.
    """
    size = TILE_PX
    expected = np.tile(base * harmonic, (len(centres), 1))
    spacing = float(np.hypot(*base)) * size  # neighbouring harmonics must lie outside the reach
    reach = int(np.clip(min(0.09 * harmonic * spacing, 0.55 * spacing), 3, 9))
    away = np.hypot(*(centres - place).T) / np.hypot(shape[0], shape[1])
    solved: Floats = np.zeros(0)
    for degree, radius, limit in rounds:
        found, snr = _tile_peaks(power, expected, reach)
        strong = (snr > _TILE_SNR) & (away <= max(radius, np.sort(away)[min(3, len(away) - 1)]))
        if strong.sum() < min(_MIN_TILES, len(centres)):
            return None
        if degree > _ROUNDS[-1][0] and strong.sum() < _TILES_A_TERM * len(powers(degree)[1:]):
            return None
        by_r, by_c = _slopes(centres, shape, degree)
        while 1.5 * strong.sum() < by_r.shape[1] and degree > 1:
            degree -= 1
            by_r, by_c = _slopes(centres, shape, degree)
        weight = np.where(strong, np.minimum(snr, 100.0), 0.0)
        guess = expected
        for _ in range(6):
            bins = np.hypot(*(found - guess).T) * size
            w = np.tile(robust_weights(bins, limit, prior=np.sqrt(weight)), 2)
            slopes = np.concatenate([by_r, by_c])
            # A ridge on all but the linear terms: with few tiles, the phase is nearly linear.
            linear_size = np.sqrt(np.mean((slopes[:, :2] * w[:, None]) ** 2) * len(slopes))
            ridge = 1e-2 * linear_size * np.eye(slopes.shape[1])
            ridge[:2] = 0
            solved = weighted_least_squares(
                np.concatenate([slopes, ridge]),
                np.concatenate([found[:, 0], found[:, 1], np.zeros(len(ridge))]),
                np.concatenate([w, np.ones(len(ridge))]),
            )
            guess = np.stack([by_r @ solved, by_c @ solved], axis=1)
        expected = guess
    near = int(((np.hypot(*(found - guess).T) * size < 1.0) & strong).sum())
    if near < max(min(_MIN_TILES, len(centres)), _INLIER_SHARE * strong.sum()):
        return None
    return solved, near


def _tile_peaks(power: NDArray[np.float32], expected: Floats, reach: int) -> tuple[Floats, Floats]:
    """Peak of each tile near the expected one, (n, 2) cycles per px, and its power over the median there."""
    size = TILE_PX
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
    d_row = peak_offset(log[k, i - 1, j], log[k, i, j], log[k, i + 1, j])
    d_col = peak_offset(log[k, i, j - 1], log[k, i, j], log[k, i, j + 1])
    found = np.stack([centre[:, 0] + step[i] + d_row, centre[:, 1] + step[j] + d_col], axis=1) / size
    # A maximum at the slope of a stronger peak outside the box is no peak.
    is_peak = (log[k, i, j] >= np.maximum(log[k, i - 1, j], log[k, i + 1, j])) & (
        log[k, i, j] >= np.maximum(log[k, i, j - 1], log[k, i, j + 1])
    )
    return found, is_peak * box[k, i, j] / (np.median(box.reshape(len(box), -1), axis=1) + 1e-9)


def smooth_phase(
    model: Floats, rows: NDArray[Any], cols: NDArray[Any], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Phase (cycles) of a model on the lattice of these rows and columns, (len(rows), len(cols)).

    Args:
        model: (terms,) coefficients of a polynomial without a constant, over places from -1 to 1.
        shape: rows and cols of the evidence.
    """
    half = max(shape) / 2
    degree = next(d for d in range(1, 9) if len(powers(d)[1:]) == len(model))
    # In float32: precise to some 1e-5 of hundreds of cycles, and a page has millions of places.
    r, c = (((at - n / 2) / half).astype(np.float32) for at, n in zip((rows, cols), shape, strict=False))
    by_row = np.zeros((degree + 1, len(r), 1), np.float32)  # factors of the powers of the column
    for value, (i, j) in zip(model.astype(np.float32), powers(degree)[1:], strict=True):
        by_row[j, :, 0] += value * r**i
    out: NDArray[np.float32] = by_row[-1]
    for factor in by_row[-2::-1]:
        out = out * c[None] + factor
    return out


def phase_points(
    evidence: NDArray[np.float32], phase: NDArray[np.float32], smoothing_px: float
) -> tuple[Floats, Floats, Floats]:
    """Lattice points (n, 2), the phase there (cycles, unwrapped) and its weight, by demodulation.

    Args:
        phase: (rows, cols) cycles near the true ones, of the evidence's shape or up to `BLOCK_PX` less.
        smoothing_px: standard deviation of the Gaussian over which the demodulated evidence is averaged.
    """
    block = BLOCK_PX
    rows, cols = (n // block * block for n in phase.shape)
    cycles = phase[:rows, :cols]
    turn = np.float32(2 * np.pi) * (cycles - np.round(cycles))
    piece = evidence[:rows, :cols]
    along, across = cv2.polarToCart(piece, turn)
    size = (cols // block, rows // block)
    sigma = smoothing_px / block
    parts = []
    for part in (along, -across, piece * piece):
        parts.append(cv2.GaussianBlur(cv2.resize(part, size, interpolation=cv2.INTER_AREA), (0, 0), sigma))
    step = max(1, round(1.4 * sigma))
    at_r = np.arange(step // 2, size[1], step)
    at_c = np.arange(step // 2, size[0], step)
    take = np.ix_(at_r, at_c)
    signal = parts[0][take].astype(float) + 1j * parts[1][take]
    snr = np.abs(signal) ** 2 * 4 * np.pi * smoothing_px**2 / (parts[2][take] + 0.05)
    residual = _unwrap(np.angle(signal) / (2 * np.pi), snr)
    at = np.stack(np.meshgrid(at_r, at_c, indexing="ij"), axis=-1) * block + (block - 1) / 2
    # The centre of a block lies between four pixels.
    near = np.minimum(np.floor(at).astype(int), np.array(phase.shape) - 2)
    corners = [phase[near[..., 0] + i, near[..., 1] + j].astype(float) for i in (0, 1) for j in (0, 1)]
    seen = snr > _TILE_SNR
    weight = np.where(seen, np.minimum(snr, 200.0) / 200.0, 0.0) * _agreement(residual, seen)
    return at.reshape(-1, 2), (np.mean(corners, axis=0) + residual).ravel(), weight.ravel()


def _agreement(phase: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Agreement of each point of a phase lattice with its neighbours, 0..1; low for ink and noise.

    With the means of opposite neighbours: a phase that drifts evenly from the followed one agrees.
    """
    unit = np.pad(np.exp(2j * np.pi * phase) * seen, 1)
    middle = unit[1:-1, 1:-1]
    total, count = np.zeros(phase.shape), np.zeros(phase.shape)
    for before, after in (
        (unit[:-2, 1:-1], unit[2:, 1:-1]),
        (unit[1:-1, :-2], unit[1:-1, 2:]),
        (unit[:-2, :-2], unit[2:, 2:]),
        (unit[:-2, 2:], unit[2:, :-2]),
    ):
        total += np.real(before * after * np.conj(middle) ** 2)
        count += np.abs(before * after) > 0
    mean = total / np.maximum(count, 1)
    out: Floats = np.clip((mean - _MIN_AGREEMENT) / (1 - _MIN_AGREEMENT), 0, 1)
    return out


def _unwrap(phase: Floats, quality: Floats) -> Floats:
    """Phase lattice (h, w), cycles, without steps of whole cycles along the neighbours of highest quality."""
    n = phase.size
    at = np.arange(n).reshape(phase.shape)
    near = ((at[:, :-1], at[:, 1:]), (at[:-1], at[1:]))
    one, other = (np.concatenate([pair[k].ravel() for pair in near]) for k in (0, 1))
    trust = quality.ravel()
    cost = 1 / (np.minimum(trust[one], trust[other]) + 1e-3)
    tree = csgraph.minimum_spanning_tree(sparse.csr_matrix((cost, (one, other)), shape=(n, n)))
    _, before = csgraph.breadth_first_order(tree, int(np.argmax(trust)), directed=False)
    before = np.where(before < 0, np.arange(n), before)
    value = phase.ravel()
    turns = np.round(value[before] - value)
    # Turns add up from the root; each pass doubles the length of the paths that are summed.
    while np.any(before != before[before]):
        turns = turns + turns[before]
        before = before[before]
    return (value + turns).reshape(phase.shape)
