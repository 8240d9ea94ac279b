"""Fine angle of a page from its straight lines.

In: a page image. Out: `HoughAngle`, the page's rotation in degrees, counter-clockwise, from -45 to 45, and
the lines that support it. Quarter turns are not decided here. `hough_angle_krones2024` is the step of the
2024 Challenge winner as published, kept as a baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.image.colours import darkest_of, grey_of

# Tuned on rendered pages, 72-300 dpi, all wear and camera profiles.
_LONG_SIDES_PX = (1400, 600)  # sizes at which pages are searched, in turn; the small one has no dense grid
_EDGE_SHARE = 0.10  # of all pixels, the steepest ones, are edges
_MIN_EDGE = 4.0  # grey levels per px, Sobel / 4; below this a gradient is paper noise
_MAX_POINTS = 60_000
_MAX_COARSE_POINTS = 12_000
_VOTES = (0.5, 0.35, 0.25, 0.18, 0.12)  # of the page's short side, tried in turn
_MIN_LINES = 6
_MAX_LINES = 4000
_FAMILY_DEG = 1.5  # lines whose directions differ by less are parallel
_SPAN_DEG = 1.6  # of the fine search, on both sides of the Hough angle
_FINE_DEG = 0.05
_DIRECTIONS = 3  # directions with most votes that are compared
_MIN_SHARPNESS = 1.35  # noise and natural textures reach 1.25, a rendered page at least 1.5


@dataclass(frozen=True)
class HoughAngle:
    """The page's angle and its support.

    Attributes:
        angle_deg: -45..45, positive = page turned counter-clockwise.
        n_lines: Hough lines in its direction or across.
        sharpness: energy of the line profile over that of a page without lines; 1 = no lines.
    """

    angle_deg: float
    n_lines: int
    sharpness: float


def hough_angle(image: NDArray[np.uint8]) -> HoughAngle:
    """Angle of the page from the two perpendicular families of straight lines on it.

    Coarse by the Hough transform of edge points with a vote limit relative to the page, then fine by the
    angle at which the profiles of edge points across both families are sharpest (sum of squared counts).

    Args:
        image: (rows, cols, 3) or (rows, cols) uint8.
    Raises:
        PageError: the page has no straight line.
    """
    for long_side in _LONG_SIDES_PX:
        try:
            return _angle_at(image, long_side)
        except PageError as error:
            failure = error
    raise failure


def _angle_at(image: NDArray[np.uint8], long_side_px: int) -> HoughAngle:
    edges = _edge_map(image, long_side_px)
    if np.count_nonzero(edges) < min(edges.shape) // 2:
        raise PageError(
            "orientation",
            f"found {np.count_nonzero(edges)} edge points, at least {min(edges.shape) // 2} are needed; "
            "is the page blank?",
        )
    lines = _hough_lines(edges)
    folded = (np.rad2deg(lines[:, 1]) + 45) % 90 - 45
    weight = np.maximum(lines[:, 2], 1.0)
    bins = np.arange(-45, 45, 0.5)
    votes = (np.abs((folded[None] - bins[:, None] + 45) % 90 - 45) <= _FAMILY_DEG) @ weight
    # Dense grids give many short diagonals that collect votes, and curved pages have no long line: the
    # profile decides between the directions with most votes and its own first choice.
    candidates = [_sharpest_coarse(edges)]
    for _ in range(_DIRECTIONS):
        if not votes.max() > 0:
            break
        coarse = bins[int(np.argmax(votes))]
        votes[np.abs((bins - coarse + 45) % 90 - 45) <= 2 * _FAMILY_DEG] = 0
        offset = (folded - coarse + 45) % 90 - 45
        kept = np.abs(offset) <= _FAMILY_DEG
        # A Hough normal at +t belongs to lines that fall to the right: page turned clockwise.
        candidates.append(-coarse - float(np.average(offset[kept], weights=weight[kept])))
    angle, sharpness = max((_sharpest(edges, c) for c in candidates), key=lambda found: found[1])
    if sharpness < _MIN_SHARPNESS:
        raise PageError(
            "orientation",
            f"the sharpest direction has {sharpness:.2f} times the energy of a page without lines, at least "
            f"{_MIN_SHARPNESS} is needed; rotate the page upright",
        )
    parallel = np.abs((folded + angle + 45) % 90 - 45) <= _FAMILY_DEG
    return HoughAngle((angle + 45) % 90 - 45, int(parallel.sum()), sharpness)


def hough_angle_krones2024(image: NDArray[np.uint8]) -> float:
    """Angle as the 2024 winner finds it (Krones et al. 2024, arXiv 2410.14185): the baseline.

    The median of the kept lines of `hough_lines_krones2024`. Only pages of over 1200 px can have such a line,
    and the answer is a whole degree, or halfway between two.

    Args:
        image: (rows, cols, 3) or (rows, cols) uint8.
    Raises:
        PageError: no such line (the original gives NaN).
    """
    lines, kept = hough_lines_krones2024(image)
    if not kept.any():
        raise PageError(
            "orientation",
            "the 2024 method needs 3 parallel lines of 1200 votes within 30 degrees of horizontal; "
            "found none; use hough_angle",
        )
    return -round(float(np.median(lines[kept, 1] - 90)), 4)


def hough_lines_krones2024(image: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The lines that the 2024 winner's step finds, and which of them it keeps.

    Grey, Canny 50/150, Hough with 1 px and 1 degree and 1200 votes; kept are lines within 30 degrees of the
    horizontal with at least 3 parallels (itself counted) within 2 degrees.

    Args:
        image: (rows, cols, 3) or (rows, cols) uint8.

    Returns:
        (n, 2) distance from the page's top left in px and angle of the normal in degrees, and (n,) kept.
    """
    found = cv2.HoughLines(cv2.Canny(grey_of(image), 50, 150, apertureSize=3), 1, np.pi / 180, 1200)
    lines = np.zeros((0, 2)) if found is None else np.asarray(found, float).reshape(-1, 2)
    lines[:, 1] = np.rad2deg(lines[:, 1])
    level = np.abs(lines[:, 1] - 90) < 30
    parallels = (np.abs(lines[:, None, 1] - lines[None, level, 1]) < 2).sum(axis=1)
    return lines, level & (parallels >= 3)


def _edge_map(image: NDArray[np.uint8], long_side_px: int) -> NDArray[np.uint8]:
    """Thin edges of the steepest gradients on the page reduced to that size."""
    scale = min(1.0, long_side_px / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(darkest_of(image), (0, 0), 0.8)
    dx = cv2.Sobel(smooth, cv2.CV_16S, 1, 0)
    dy = cv2.Sobel(smooth, cv2.CV_16S, 0, 1)
    steep = np.abs(dx).astype(np.int32) + np.abs(dy)
    high = max(float(np.quantile(steep[::3, ::3], 1 - _EDGE_SHARE)), 4 * _MIN_EDGE)
    return cv2.Canny(dx, dy, high / 2, high)


def _hough_lines(edges: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, 3) rho, theta, votes of the strongest lines, with the first vote limit that gives enough."""
    lines = np.zeros((0, 3))
    for share in _VOTES:
        found = cv2.HoughLinesWithAccumulator(edges, 1, np.deg2rad(0.5), round(share * min(edges.shape)))
        if found is not None:
            lines = np.asarray(found, float).reshape(-1, 3)[:_MAX_LINES]
        if len(lines) >= _MIN_LINES:
            break
    return lines


def _sharpest_coarse(edges: NDArray[np.uint8]) -> float:
    """Angle, in steps of 0.25 degrees, at which the profiles of a sample of the edge points are sharpest."""
    rng = np.random.default_rng(0)
    points = np.argwhere(edges).astype(np.float32)
    points = points[rng.permutation(len(points))[:_MAX_COARSE_POINTS]]
    points += rng.uniform(-0.5, 0.5, points.shape).astype(np.float32)
    reach = np.hypot(*edges.shape) + 3
    best = (-1.0, 0.0)
    for angle in np.arange(-45, 45, 0.25):
        a = np.deg2rad(angle)
        total = 0.0
        for along in (points @ (np.cos(a), np.sin(a)), points @ (-np.sin(a), np.cos(a))):
            counts = np.bincount(((along + reach) / 2).astype(np.int32)).astype(float)
            total += float(np.sum((counts[1:] - counts[:-1]) ** 2))
        best = max(best, (total, float(angle)))
    return best[1]


def _sharpest(edges: NDArray[np.uint8], coarse_deg: float) -> tuple[float, float]:
    """Angle near the coarse one at which the profiles of the edge points are sharpest, and how sharp."""
    points = np.argwhere(edges).astype(np.float32)
    points -= np.asarray(edges.shape, np.float32) / 2
    rng = np.random.default_rng(0)
    if len(points) > _MAX_POINTS:
        points = points[rng.permutation(len(points))[:_MAX_POINTS]]
    # Spread over their pixels: pixel centres alone give sharp profiles at 45 degrees on any page.
    points += rng.uniform(-0.5, 0.5, points.shape).astype(np.float32)
    reach = int(np.hypot(*edges.shape) / 2) + 3
    flat = 2.0 * max(len(points), 1)  # Poisson energy of both profiles where points lie anywhere

    def energy(angle_deg: float) -> float:
        a = np.deg2rad(angle_deg)
        down = points[:, 0] * np.cos(a) + points[:, 1] * np.sin(a)
        right = points[:, 1] * np.cos(a) - points[:, 0] * np.sin(a)
        total = 0.0
        for along in (down, right):
            counts = np.bincount((along + reach).astype(np.int32), minlength=2 * reach).astype(float)
            total += float(np.sum((counts - np.convolve(counts, np.full(31, 1 / 31), "same")) ** 2))
        return total

    angles = coarse_deg + np.arange(-_SPAN_DEG, _SPAN_DEG + 1e-9, 4 * _FINE_DEG)
    values = np.array([energy(a) for a in angles])
    best = angles[int(np.argmax(values))]
    angles = best + np.arange(-4, 5) * _FINE_DEG
    values = np.array([energy(a) for a in angles])
    # The peak is narrow and its foot noisy: the centroid of its upper half is more precise than the maximum.
    peak = np.clip(values - (values.min() + values.max()) / 2, 0, None)
    angle = float(np.average(angles, weights=peak)) if peak.any() else float(best)
    return angle, float(values.max() / flat)
