"""Numerics for several rooms: runs of a mask, robust least squares, parabola peaks, polynomials.

In: arrays. Out: arrays. Nothing here depends on pages or leads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MAD_TO_SD = 1.5
"""Standard deviation of a normal distribution over the median of its absolute values, 1.4826, rounded up."""


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open runs in which a mask (n,) is true."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], mask.view(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(change[::2], change[1::2], strict=True)]


def robust_weights(
    residual: ArrayLike, scale: float, power: float = 1.0, *, prior: Floats | float = 1.0
) -> Floats:
    """Weights prior / (1 + (residual / scale)^2)^power, which fall for outliers.

    A power of 1 is Cauchy's weight of a squared residual, 0.5 its square root, 2 that of Geman and McClure
    (Huber and Ronchetti 2009, Robust Statistics, chapter 7).

    Args:
        residual: any shape; scale: residual at which the weight is the prior's times 2^-power.
        prior: weights of observations without a residual, of the same shape or one for all.
    """
    return np.asarray(prior / (1.0 + (np.asarray(residual, float) / scale) ** 2) ** power)


def robust_scale(residual: Floats, least: float) -> float:
    """Standard deviation of most residuals, from their median absolute value, but at least `least`."""
    return max(least, MAD_TO_SD * float(np.median(np.abs(residual))))


def weighted_least_squares(matrix: Floats, value: Floats, weight: Floats) -> Floats:
    """Unknowns (k,) that minimise the sum of (weight * (matrix @ unknowns - value))^2.

    Args:
        matrix: (n, k); value, weight: (n,), the weight of a residual, not of its square.
    """
    return np.asarray(np.linalg.lstsq(matrix * weight[:, None], value * weight, rcond=None)[0])


def peak_offset(before: ArrayLike, at: ArrayLike, after: ArrayLike) -> Floats:
    """Distance, in samples, from a greatest sample to the vertex of the parabola through it and two others.

    Args:
        before, at, after: values of the three; of any one shape and floating type.

    Returns:
        Of the same shape and type; 0 where the three do not bend downwards.
    """
    before, at, after = (np.asarray(v) for v in (before, at, after))
    bend = before - 2.0 * at + after
    return np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1.0), 0.0)


def powers(degree: int) -> list[tuple[int, int]]:
    """Exponents of the terms of a polynomial in two variables, those of lower degrees first."""
    return [(i, d - i) for d in range(degree + 1) for i in range(d + 1)]


def polynomial_terms(r: Floats, c: Floats, degree: int) -> Floats:
    """(n, terms) values of the terms of a polynomial in r and c (n,), in the order of `powers`."""
    return np.stack([r**i * c**j for i, j in powers(degree)], axis=1)


def polynomial_slopes(r: Floats, c: Floats, degree: int) -> tuple[Floats, Floats]:
    """Derivatives of `polynomial_terms` by r and by c, each (n, terms)."""
    by_r = np.stack([i * r ** max(i - 1, 0) * c**j for i, j in powers(degree)], axis=1)
    by_c = np.stack([j * r**i * c ** max(j - 1, 0) for i, j in powers(degree)], axis=1)
    return by_r, by_c
