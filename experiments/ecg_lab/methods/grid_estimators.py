"""ECG-Image-Kit's three estimators of the grid's size, and their pitch against ours.

Shivashankara KK et al. ECG-Image-Kit: a synthetic image generation toolbox to facilitate deep
learning-based electrocardiogram digitization. Physiol Meas 2024;45:055019; source
codes/ecg-image-digitizer (MATLAB, BSD-3).

Taken: shadows are divided out by a Gaussian of one inch of an 11 in page; patches of a quarter of the
page's sides at random places; *marginal distribution*: peaks of each patch's mean rows and columns,
clustered by height (k-means, up to 3 clusters), the cluster with the steadiest gaps, mean of the middle
half of its gaps; *matched filter*: the power above its 95th percentile after correlation with hollow
squares of 2 to 30 px, peaks over the size; *spectral*: the median over patches of the power spectrum
under a Gaussian window, peaks by prominence.

Departs: all three return candidates in px whose millimetres the kit leaves to the reader;
`pitch_px_per_mm` takes the one that fits our own pitch as 1 or 5 mm, which flatters them. Patches are
fewer (`PATCHES`), seeded, and k-means has the number of clusters of the highest Calinski-Harabasz index,
as there. The matched filter knows one size for both directions and whole px only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.signal import find_peaks

from ecg_hough.errors import PageError
from ecg_hough.image.colours import grey_of

PATCHES = 24
MATCHED_PATCHES = 8
SHADOW_INCH, PAGE_INCH = 1.0, 11.0
PATCH_SHARE = 0.25
MAX_CLUSTERS = 3
SQUARE_PX = range(2, 31)
POWER_PERCENTILE = 95.0
WINDOW_SIGMA = 0.3
MIN_PROMINENCE_DB = 1.0
GRID_MM = (1.0, 5.0)

Estimate = tuple[list[float], list[float]]
"""Candidate periods in px down the page and across it, best first."""


def marginal_distribution(image: NDArray[np.uint8], seed: int = 0) -> Estimate:
    """Periods from the gaps between peaks of the patches' mean rows and columns.

    Args:
        image: (rows, cols, 3) or (rows, cols) uint8; seed: of the patches' places.
    Raises:
        PageError: the patches have no peaks.
    """
    heights: list[list[NDArray[np.float64]]] = [[], []]
    gaps: list[list[NDArray[np.float64]]] = [[], []]
    for patch in _patches(image, PATCHES, seed):
        for axis in (0, 1):
            profile = 1.0 - patch.mean(axis=1 - axis)
            prominence = float(np.percentile(profile, 2) - profile.min())
            peaks, _ = find_peaks(profile, prominence=max(prominence, 1e-6))
            if peaks.size > 1:
                heights[axis].append(profile[peaks[1:]])
                gaps[axis].append(np.diff(peaks).astype(float))
    periods = []
    for axis in (0, 1):
        if not gaps[axis]:
            raise PageError("grid", "the marginal distribution needs peaks in its patches; found none")
        periods.append(_steadiest(np.concatenate(heights[axis]), np.concatenate(gaps[axis]), seed))
    return [periods[0]], [periods[1]]


def matched_filter(image: NDArray[np.uint8], seed: int = 0) -> Estimate:
    """Periods at which hollow squares match best; the same down and across.

    Raises:
        PageError: no size is clearly the best.
    """
    power = np.zeros(len(SQUARE_PX))
    for patch in _patches(image, MATCHED_PATCHES, seed):
        dark = np.tanh((1.0 - patch - (1.0 - patch).mean()) / (0.7 * max(float(patch.std()), 1e-9)))
        dark = (dark - dark.mean()) / max(float(dark.std()), 1e-9)
        for i, size in enumerate(SQUARE_PX):
            square = np.zeros((size, size), np.float32)
            square[[0, -1]] = square[:, [0, -1]] = 1.0
            square /= square.sum()
            out = cv2.filter2D(dark.astype(np.float32), -1, square - square.mean()) ** 2
            power[i] += 10 * np.log10(
                max(float(out[out >= np.percentile(out, POWER_PERCENTILE)].mean()), 1e-12)
            )
    peaks, found = find_peaks(power, prominence=0.0)
    if not peaks.size:
        raise PageError("grid", "the matched filter must peak at some size of 2 to 30 px; it does not")
    order = np.argsort(-found["prominences"])
    periods = [float(SQUARE_PX[int(k)] - 1) for k in peaks[order]]  # a square of n px has a period of n - 1
    return periods, periods


def spectral(image: NDArray[np.uint8], seed: int = 0) -> Estimate:
    """Periods of the peaks of the patches' median spectrum.

    Raises:
        PageError: no peak.
    """
    stack = []
    for patch in _patches(image, PATCHES, seed):
        rows, cols = patch.shape
        sigma = WINDOW_SIGMA * 0.5 * (rows + cols)
        window = np.outer(_gauss(rows, sigma), _gauss(cols, sigma))
        stack.append(np.abs(np.fft.rfft2(window * patch)).astype(np.float32) ** 2)
    average = np.median(np.stack(stack), axis=0)
    rows = stack[0].shape[0]
    # The half spectrum holds each column frequency once; for the marginal of rows that is a constant factor.
    down = 10 * np.log10(average.mean(axis=1) + 1e-12)[: rows // 2]
    across = 10 * np.log10(average.mean(axis=0) + 1e-12)
    periods = []
    for profile, size in ((down, rows), (across, patch.shape[1])):
        peaks, found = find_peaks(profile, prominence=MIN_PROMINENCE_DB)
        if not peaks.size:
            raise PageError("grid", f"the spectrum must have a peak of {MIN_PROMINENCE_DB:g} dB; it has none")
        order = np.argsort(-found["prominences"])
        periods.append([size / float(k) for k in peaks[order]])
    return periods[0], periods[1]


GRID_ESTIMATORS: dict[str, Callable[[NDArray[np.uint8]], Estimate]] = {
    "marginal": marginal_distribution,
    "matched-filter": matched_filter,
    "spectral": spectral,
}


def pitch_px_per_mm(candidates: list[float], reference_px_per_mm: float) -> float:
    """The best-ranked candidate read as 1 or 5 mm, whichever is nearer to the reference.

    Only the first candidate counts: it is what the estimator answers.
    """
    return min((candidates[0] / mm for mm in GRID_MM), key=lambda px: abs(np.log(px / reference_px_per_mm)))


def compare_pitches(image: NDArray[np.uint8]) -> dict[str, tuple[float, float] | None]:
    """Relative deviation of every estimator's pitch from ours, down and across; None where it gives none.

    Raises:
        PageError: our own grid is not found, so there is nothing to compare with.
    """
    from ecg_hough.geometry.page_geometry import find_geometry

    ours = find_geometry(image).px_per_mm
    if ours is None:
        raise PageError("grid", "the estimators are compared with our pitch; no grid is visible")
    out: dict[str, tuple[float, float] | None] = {}
    for name, estimate in GRID_ESTIMATORS.items():
        try:
            down, across = estimate(image)
        except PageError:
            out[name] = None
            continue
        out[name] = (
            pitch_px_per_mm(down, ours[0]) / ours[0] - 1.0,
            pitch_px_per_mm(across, ours[1]) / ours[1] - 1.0,
        )
    return out


def _patches(image: NDArray[np.uint8], n: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Patches at random places of the page in grey without shadows, 0 (dark) to 1."""
    grey = grey_of(image).astype(np.float32) / 255.0
    sigma = float(np.mean(grey.shape)) * SHADOW_INCH / PAGE_INCH
    # The Gaussian is wide: a small copy gives the same shadow in a hundredth of the time.
    small = cv2.resize(grey, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
    shadow = cv2.resize(cv2.GaussianBlur(small, (0, 0), max(sigma / 8, 1.0)), grey.shape[::-1])
    flat = grey / np.maximum(shadow, 1e-3)
    flat = (flat - flat.min()) / max(float(np.ptp(flat)), 1e-9)
    rows, cols = (max(32, int(PATCH_SHARE * size)) for size in grey.shape)
    rng = np.random.default_rng(seed)
    for _ in range(n):
        r = int(rng.integers(0, max(1, grey.shape[0] - rows)))
        c = int(rng.integers(0, max(1, grey.shape[1] - cols)))
        yield flat[r : r + rows, c : c + cols]


def _steadiest(heights: NDArray[np.float64], gaps: NDArray[np.float64], seed: int) -> float:
    """Mean of the middle half of the gaps in the cluster of peak heights whose gaps vary least."""
    best_score, labels = -1.0, np.zeros(gaps.size, int)
    points = np.column_stack([heights, gaps])
    for k in range(2, MAX_CLUSTERS + 1):
        if np.unique(heights).size <= k:
            break
        _, tried = kmeans2(points, k, minit="++", seed=seed)
        score = _calinski_harabasz(points, tried)
        if score > best_score:
            best_score = score
            _, labels = kmeans2(heights[:, None], k, minit="++", seed=seed)
    clusters = [gaps[labels == k] for k in np.unique(labels) if np.count_nonzero(labels == k) > 2]
    chosen = min(clusters, key=lambda g: float(g.std()), default=gaps)
    low, high = np.percentile(chosen, [25, 75])
    return float(chosen[(chosen >= low) & (chosen <= high)].mean())


def _calinski_harabasz(points: NDArray[np.float64], labels: NDArray[np.integer]) -> float:
    """Spread between clusters over that within, each by its degrees of freedom."""
    names = np.unique(labels)
    if names.size < 2:
        return -1.0
    centre = points.mean(axis=0)
    between = within = 0.0
    for name in names:
        group = points[labels == name]
        between += len(group) * float(((group.mean(axis=0) - centre) ** 2).sum())
        within += float(((group - group.mean(axis=0)) ** 2).sum())
    return (between / (names.size - 1)) / max(within / max(len(points) - names.size, 1), 1e-12)


def _gauss(n: int, sigma: float) -> NDArray[np.float64]:
    return np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / sigma) ** 2)
