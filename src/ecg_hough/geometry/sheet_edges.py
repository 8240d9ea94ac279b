"""The four edges of a sheet of paper on a photo or scan, and the map of the sheet that follows from them.

In: a page image. Out: `SheetOutline`: the outline in px and, from the perspective, the proportions of the
sheet; or None where the image does not show the whole outline. For pages without a grid: the edges give tilt,
rotation and part of the curl, but not the scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import Box
from ecg_hough.numeric import robust_weights

SIDES = ("top", "bottom", "left", "right")
FORMATS_MM = {"A4": (210.0, 297.0), "letter": (215.9, 279.4)}
"""Shorter and longer side of the paper that most ECGs are printed on."""
USUAL_LONG_MM = 285.0
"""Longer side assumed for a sheet of another format or an image of unknown scale: between A4 and letter."""

# Tuned on own renders without a grid, of other seeds than the benchmarks'.
_LONG_SIDE_PX = 800
_SEARCH_PX = 200  # lines are searched on steps of the image reduced to this
_STROKES_PX = 11  # window of the median filter that removes strokes
_BOX_PX = 6  # a step is the difference of two boxes this wide
_NOISE = 6.0  # grey levels; a step of this has strength 0.5
_LEAN = 0.35  # largest distance across the image from one end of an edge to the other, as a share of its side
_DEPTH = 0.42  # and its largest distance from the image's border
_CANDIDATES = 6  # lines per side that are combined
_PLACES_ALONG = 64  # places along a side where its strength is measured
_SAMPLES = 96  # places along an edge where it is refined
_REACH_PX = 18  # largest distance of a bent edge from its line
_DEGREE = 4  # of its bend
_LENS_USUAL = 0.02  # standard deviation of lenses' distortion
_CURL_USUAL_PX = 0.8  # and of the edges' bends
_NEAR_PX = 1.5  # places this near to the bent edge support it
_SUPPORT_MIN = 0.55  # smallest share of such places of every edge
_STRENGTH_MIN = 0.35  # smallest mean strength of an edge, 0 to 1
AREA_MIN = 0.25
"""Smallest share of an image that the sheet covers."""
_TAPER_MAX = 1.5  # a side over the opposite one, px: at most 1.32 on 180 photos, tilted by up to 30 degrees
_OUTSIDE = 0.06  # of the image's size; corners may lie this far outside it
_VISIBLE_MIN = 0.6  # smallest share of an edge inside the image
_FOCAL = (0.6, 2.0)  # focal length of cameras in image diagonals: phones' main lens to a slight tele
_FORMAT_SLACK = 0.015  # relative difference of proportions up to which a sheet has a known format


@dataclass(frozen=True)
class SheetOutline:
    """The outline of a sheet of paper in an image.

    Attributes:
        shape: rows and cols of the image.
        lens: radial distortion at the image's corner; corners and bends are those of the undistorted image.
        corners: (4, 2) row, col of its corners: top left, top right, bottom left, bottom right.
        bends: by side, (degree + 1,) polynomial of the edge's distance in px from the straight line between
            its corners, positive towards larger rows or columns, over 0..1 along it.
        size_mm: height and width; of a known format, or measured proportions with an assumed long side.
        format: "A4", "letter" or None.
        residual_px: median distance of the edges' places from the bent edges.
    """

    shape: tuple[int, int]
    lens: float
    corners: NDArray[np.float64]
    bends: dict[str, NDArray[np.float64]]
    size_mm: tuple[float, float]
    format: str | None
    residual_px: float

    @property
    def box(self) -> Box:
        """The part of the image that contains the sheet."""
        return Box.around(self.corners, self.shape)

    def to_pixels(
        self, v: NDArray[np.float64], u: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rows and columns of places on the sheet, v down and u across it, 0 to 1.

        The homography of the corners, the edges' bends blended between opposite edges (a Coons patch), and
        the lens.
        """
        flat = homography(self.corners)
        points = project(flat, v, u)
        for side, near in zip(SIDES, (1 - v, v, 1 - u, u), strict=True):
            start, end = self.corners[list(_ENDS[side])]
            across = side in ("top", "bottom")
            # The nearest place on the straight edge, along the sheet's own direction.
            edge = np.full_like(v, 0.0 if side in ("top", "left") else 1.0)
            foot = project(flat, edge, u) if across else project(flat, v, edge)
            t = _along(foot, start, end)
            points = points + (near * np.polyval(self.bends[side], np.clip(t, 0, 1)))[..., None] * _normal(
                start, end, across=across
            )
        points = _through_lens(points, self.lens, self.shape)
        return points[..., 0], points[..., 1]


_ENDS = {"top": (0, 1), "bottom": (2, 3), "left": (0, 2), "right": (1, 3)}


def find_sheet(image: NDArray[np.uint8], area_min: float = AREA_MIN) -> SheetOutline | None:
    """The sheet's outline; None where a side is not visible.

    Args:
        image: (rows, cols, 3) or (rows, cols) uint8; area_min: smallest share of it that the sheet covers.
    """
    colour = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    factor = min(1.0, _LONG_SIDE_PX / max(colour.shape[:2]))
    small = cv2.resize(colour, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    # The median removes traces, text and frames, which are thinner than its window, and keeps edges in place.
    plain = cv2.medianBlur(np.ascontiguousarray(small), _STROKES_PX)
    smooth = cv2.GaussianBlur(plain, (0, 0), 1.0).astype(np.float32)
    steps = {"across": _steps(smooth, 1), "down": _steps(smooth, 0)}
    lines = {side: _lines(steps["down" if side in ("top", "bottom") else "across"], side) for side in SIDES}
    if not all(lines.values()):
        return None
    corners = _best_outline(lines, steps, small.shape[:2], area_min)
    if corners is None:
        return None
    found = _refine(corners, steps)
    if found is None:
        return None
    shape = (colour.shape[0], colour.shape[1])
    shrink = float(np.mean(np.array(small.shape[:2]) / shape))
    # Pixel centres: k of the small image is (k + 0.5) / shrink - 0.5 of the given one.
    corners = (found.corners + 0.5) / shrink - 0.5
    bends = {side: bend / shrink for side, bend in found.bends.items()}
    size_mm, paper = _size(corners, shape)
    return SheetOutline(shape, found.lens, corners, bends, size_mm, paper, found.residual_px / shrink)


def _steps(smooth: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """(rows, cols, 3) mean of the box after a pixel minus that of the box before it, along an axis."""
    kernel = (
        np.concatenate([np.full(_BOX_PX, -1.0), [0.0], np.full(_BOX_PX, 1.0)]).astype(np.float32) / _BOX_PX
    )
    along = np.full(5, 0.2, np.float32)
    pair = (kernel, along) if axis == 1 else (along, kernel)
    return cv2.sepFilter2D(smooth, cv2.CV_32F, *pair, borderType=cv2.BORDER_REPLICATE)


def _strength(steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """0..1: confidence that a step is an edge."""
    size = np.sqrt((steps**2).sum(axis=-1))
    return size / (size + _NOISE)


def _lines(steps: NDArray[np.float32], side: str) -> list[tuple[float, float]]:
    """Lines along which the image's brightness steps, the strongest first.

    Returns:
        Distances of both ends of each line from the image's first row, or first column, px.
    """
    strength = _strength(steps)
    if side in ("top", "bottom"):
        strength = strength.T
    if side in ("bottom", "right"):
        strength = strength[:, ::-1]
    peak = strength == cv2.dilate(strength, np.ones((1, 2 * _BOX_PX + 1), np.uint8))
    n_along, n_across = strength.shape
    scale = _SEARCH_PX / max(n_along, n_across)
    thin = np.where(peak, strength, 0.0).astype(np.float32)
    wide = cv2.dilate(thin, np.ones((1, max(1, round(1.0 / scale)) | 1), np.uint8))
    grid = cv2.resize(wide, (round(n_across * scale), round(n_along * scale)), interpolation=cv2.INTER_AREA)
    n, depth = grid.shape[0], round(_DEPTH * grid.shape[1])
    lean = round(_LEAN * n)
    share = np.linspace(0, 1, n)
    votes = np.full((depth + lean, 2 * lean + 1), -1.0)
    mid = np.arange(depth + lean) - lean // 2  # column at the middle of the side
    for k in range(2 * lean + 1):
        slope = k - lean
        cols = np.round(mid[:, None] + (share[None] - 0.5) * slope).astype(int)
        inside = (cols >= 0) & (cols < grid.shape[1])
        values = grid[np.arange(n)[None], np.clip(cols, 0, grid.shape[1] - 1)]
        votes[:, k] = np.where(inside, values, 0.0).mean(axis=1)
    found = []
    for _ in range(_CANDIDATES):
        i, k = (int(place) for place in np.unravel_index(int(np.argmax(votes)), votes.shape))
        if votes[i, k] < 0.15:
            break
        slope = k - lean
        ends = (np.array([mid[i] - slope / 2, mid[i] + slope / 2]) + 0.5) / scale - 0.5
        if side in ("bottom", "right"):
            ends = n_across - 1 - ends
        found.append((float(ends[0]), float(ends[1])))
        votes[max(0, i - 3) : i + 4, max(0, k - 6) : k + 7] = -1.0
    return found


def _best_outline(
    lines: dict[str, list[tuple[float, float]]],
    steps: dict[str, NDArray[np.float32]],
    shape: tuple[int, int],
    area_min: float,
) -> NDArray[np.float64] | None:
    """(4, 2) corners of the combination of four lines with the strongest edges between its corners."""
    n_rows, n_cols = shape
    strength = {
        name: cv2.dilate(_strength(value), np.ones((1, 5) if name == "across" else (5, 1), np.uint8))
        for name, value in steps.items()
    }
    best, best_score = None, 0.0
    for top, bottom, left, right in product(*(lines[side] for side in SIDES)):
        across = [((end[0], 0.0), (end[1], n_cols - 1.0)) for end in (top, bottom)]
        down = [((0.0, end[0]), (n_rows - 1.0, end[1])) for end in (left, right)]
        corners = np.array([_meet(a, d) for a in across for d in down])
        if not _is_sheet(corners, shape, area_min):
            continue
        means = [_mean_strength(corners, side, strength) for side in SIDES]
        # Of two outlines with strong edges the larger one is the sheet.
        score = sum(means) + 0.3 * min(means) + 0.2 * _area(corners) / (n_rows * n_cols)
        if min(means) >= _STRENGTH_MIN and score > best_score:
            best, best_score = corners, score
    return best


def _is_sheet(corners: NDArray[np.float64], shape: tuple[int, int], area_min: float) -> bool:
    """Whether a sheet in front of a camera can have these corners (4, 2)."""
    if not np.isfinite(corners).all() or _area(corners) < area_min * shape[0] * shape[1]:
        return False
    slack = _OUTSIDE * max(shape)
    if (corners < -slack).any() or (corners > np.array(shape) + slack).any():
        return False
    return _taper(corners) <= _TAPER_MAX


def _mean_strength(
    corners: NDArray[np.float64], side: str, strength: dict[str, NDArray[np.float32]]
) -> float:
    """Mean strength along a side of an outline, 0 where most of it lies outside the image."""
    field = strength["down" if side in ("top", "bottom") else "across"]
    start, end = corners[list(_ENDS[side])]
    t = np.linspace(0.02, 0.98, _PLACES_ALONG)
    at = np.round(start + t[:, None] * (end - start)).astype(int)
    at = at[((at >= 0) & (at < field.shape)).all(axis=1)]
    if len(at) < _VISIBLE_MIN * len(t):
        return 0.0
    return float(field[at[:, 0], at[:, 1]].mean())


@dataclass(frozen=True)
class _Outline:
    """Lens, corners and bends as in `SheetOutline`, in px of the small image."""

    lens: float
    corners: NDArray[np.float64]
    bends: dict[str, NDArray[np.float64]]
    residual_px: float


def _refine(corners: NDArray[np.float64], steps: dict[str, NDArray[np.float32]]) -> _Outline | None:
    """Bent edges near straight ones, and the corners where they meet; None where an edge is not visible."""
    edges: dict[str, NDArray[np.float64]] = {}
    errors = []
    for side in SIDES:
        start, end = corners[list(_ENDS[side])]
        across = side in ("top", "bottom")
        t = np.linspace(0.015, 0.985, _SAMPLES)
        normal = _normal(start, end, across=across)
        offsets = np.arange(-_REACH_PX, _REACH_PX + 0.1, 0.5)
        straight = start + t[:, None] * (end - start)
        at = straight[:, None] + offsets[None, :, None] * normal
        field = steps["down" if across else "across"]
        inside = ((straight >= 0) & (straight <= np.array(field.shape[:2]) - 1)).all(axis=1)
        if inside.mean() < _VISIBLE_MIN:
            return None
        seen = cv2.remap(
            field, at[..., 1].astype(np.float32), at[..., 0].astype(np.float32), cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT, borderValue=0,
        )  # fmt: skip
        found = _bend(t[inside], offsets, seen[inside])
        if found is None:
            return None
        bend, error = found
        # Outside the image the edge keeps the distance from the line that it has at the image's border.
        visible = np.clip(t, t[inside].min(), t[inside].max())
        edges[side] = straight + np.polyval(bend, visible)[:, None] * normal
        errors.append(error)
    shape = (steps["down"].shape[0], steps["down"].shape[1])
    lens = _lens_of(edges, shape)
    edges = {side: _without_lens(points, lens, shape) for side, points in edges.items()}
    curves = {}
    for side, points in edges.items():
        start, end = points[0], points[-1]
        across = side in ("top", "bottom")
        off = (points - start) @ _normal(start, end, across=across)
        curves[side] = (start, end, np.polyfit(_along(points, start, end), off, _DEGREE), across)
    guess = _without_lens(corners, lens, shape)
    pairs = product(("top", "bottom"), ("left", "right"))
    refined = np.array([_meet_bent(curves[a], curves[d], guess[k]) for k, (a, d) in enumerate(pairs)])
    bends = {}
    for side, points in edges.items():
        start, end = refined[list(_ENDS[side])]
        off = (points - start) @ _normal(start, end, across=side in ("top", "bottom"))
        bends[side] = np.polyfit(_along(points, start, end), off, _DEGREE)
    return _Outline(lens, refined, bends, float(np.median(np.concatenate(errors))))


def _lens_of(edges: dict[str, NDArray[np.float64]], shape: tuple[int, int]) -> float:
    """Lens distortion without which the edges are straightest.

    Curl bends opposite edges in the same direction, a lens in opposite ones.
    """
    best, least = 0.0, np.inf
    for lens in np.linspace(-4 * _LENS_USUAL, 4 * _LENS_USUAL, 81):
        cost = (lens / _LENS_USUAL) ** 2
        for side, points in edges.items():
            undistorted = _without_lens(points, lens, shape)
            along, across = undistorted.T[::-1] if side in ("top", "bottom") else undistorted.T
            line = np.polyfit(along, across, 1)
            cost += float(np.mean((across - np.polyval(line, along)) ** 2)) / _CURL_USUAL_PX**2
        if cost < least:
            best, least = float(lens), cost
    return best


def _without_lens(points: NDArray[np.float64], lens: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    """(..., 2) px as a camera without distortion would show them."""
    centre, radius = (np.array(shape) - 1) / 2, float(np.hypot(*shape)) / 2
    return centre + (points - centre) * (
        1 + lens * (((points - centre) / radius) ** 2).sum(-1, keepdims=True)
    )


def _through_lens(points: NDArray[np.float64], lens: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    """The inverse of `_without_lens`."""
    seen = points
    for _ in range(8 if lens else 0):
        seen = seen + points - _without_lens(seen, lens, shape)
    return seen


def _bend(
    t: NDArray[np.float64], offsets: NDArray[np.float64], seen: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Polynomial of an edge's distance from a line, and the residuals of the places that support it.

    Args:
        t: (n,) along the edge; offsets: (k,) distances from the line; seen: (n, k, 3) steps there.

    Returns:
        None without enough support.
    """
    middle = np.abs(offsets) <= 6
    strongest = np.abs(seen[:, middle]).sum(axis=-1).argmax(axis=1)
    steps = seen[:, middle][np.arange(len(t)), strongest]
    # The difference in colour between the paper and the table is the same along the whole edge.
    difference = np.median(steps, axis=0)
    if not np.linalg.norm(difference) > 1e-3:
        return None
    value = seen @ (difference / np.linalg.norm(difference))
    value = np.clip(value, 0, None)
    weight_all = value / (value + _NOISE)
    bend = np.zeros(_DEGREE + 1)
    near = np.zeros(len(t), bool)
    place = np.zeros(len(t))
    for width, degree in ((_REACH_PX, 2), (9.0, 3), (5.0, _DEGREE), (3.0, _DEGREE)):
        within = np.abs(offsets[None] - np.polyval(bend, t)[:, None]) <= width
        masked = np.where(within, weight_all, 0.0)
        k = masked.argmax(axis=1)
        power = masked**2 * (np.abs(offsets[None] - offsets[k][:, None]) <= 2.0)
        total = power.sum(axis=1)
        place = (power * offsets).sum(axis=1) / np.maximum(total, 1e-9)
        weight = masked.max(axis=1)
        for _ in range(4):
            residual = place - np.polyval(bend, t) if bend.any() else np.zeros(len(t))
            robust = robust_weights(residual, _NEAR_PX, prior=weight)
            if np.count_nonzero(robust > 0.05) <= degree + 3:
                return None
            bend = np.concatenate([np.zeros(_DEGREE - degree), np.polyfit(t, place, degree, w=robust + 1e-6)])
        near = (np.abs(place - np.polyval(bend, t)) <= _NEAR_PX) & (weight >= _STRENGTH_MIN)
    if near.mean() < _SUPPORT_MIN:
        return None
    return bend, np.abs(place - np.polyval(bend, t))[near]


def _size(corners: NDArray[np.float64], shape: tuple[int, int]) -> tuple[tuple[float, float], str | None]:
    """Height and width in mm of a rectangle seen by a camera, and its format.

    The proportions of a rectangle follow from its four corners, with the camera's axis through the image's
    middle (Zhang and He, Whiteboard scanning and image enhancement, 2007, section 3.2). From nearly above,
    the focal length cannot be measured, and all usual ones are possible.
    """
    diagonal = float(np.hypot(*shape))
    m = np.column_stack([(corners - (np.array(shape) - 1) / 2) / diagonal, np.ones(4)])[:, [1, 0, 2]]
    m1, m2, m3, m4 = m
    k2 = np.cross(m1, m4) @ m3 / (np.cross(m2, m4) @ m3)
    k3 = np.cross(m1, m4) @ m2 / (np.cross(m3, m4) @ m2)
    n2, n3 = k2 * m2 - m1, k3 * m3 - m1
    lowest, highest = _FOCAL
    if abs(n2[2] * n3[2]) > 1e-4:
        squared = -(n2[0] * n3[0] + n2[1] * n3[1]) / (n2[2] * n3[2])
        measured = float(np.clip(np.sqrt(max(squared, 0.0)), *_FOCAL))
        lowest, highest = max(lowest, measured / 1.3), min(highest, measured * 1.3)

    def aspect(focal: float) -> float:
        """Height over width."""
        across, down = (np.hypot(np.hypot(n[0], n[1]) / focal, n[2]) for n in (n2, n3))
        return float(down / across)

    shapes = sorted((aspect(lowest), aspect(highest)))
    middle = aspect(float(np.sqrt(lowest * highest)))
    fits = []
    for name, (short, long) in FORMATS_MM.items():
        for height, width in ((short, long), (long, short)):
            if shapes[0] * (1 - _FORMAT_SLACK) <= height / width <= shapes[1] * (1 + _FORMAT_SLACK):
                fits.append((abs(np.log(height / width / middle)), name, (height, width)))
    if fits:
        _, name, size = min(fits)
        return size, name
    return (USUAL_LONG_MM * min(1.0, middle), USUAL_LONG_MM * min(1.0, 1 / middle)), None


def homography(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) from (v, u, 1) on the unit square to (row, col) of the corners."""
    unit = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    return cv2.getPerspectiveTransform(unit, corners.astype(np.float32)).astype(float)


def project(
    matrix: NDArray[np.float64], v: NDArray[np.float64], u: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(..., 2) row, col of places on the unit square, v down and u across it, by a homography (3, 3)."""
    row, col, z = np.einsum("ij,j...->i...", matrix, np.stack([v, u, np.ones_like(v)]))
    return np.stack([row / z, col / z], axis=-1)


def _normal(start: NDArray[np.float64], end: NDArray[np.float64], *, across: bool) -> NDArray[np.float64]:
    """Unit normal of an edge, towards larger rows (of an edge across the image) or larger columns."""
    way = (end - start) / np.linalg.norm(end - start)
    return np.array([way[1], -way[0]]) if across else np.array([-way[1], way[0]])


def _along(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Positions of points along an edge, 0 at its start, 1 at its end."""
    return (points - start) @ (end - start) / np.sum((end - start) ** 2)


Line = tuple[tuple[float, float], tuple[float, float]]


def _meet(a: Line, b: Line) -> NDArray[np.float64]:
    """Intersection of two straight lines, each through two points; NaN where they are parallel."""
    p, q = np.array(a), np.array(b)
    matrix = np.column_stack([p[1] - p[0], q[0] - q[1]])
    if abs(np.linalg.det(matrix)) < 1e-6:
        return np.full(2, np.nan)
    s, _ = np.linalg.solve(matrix, q[0] - p[0])
    return p[0] + s * (p[1] - p[0])


def _meet_bent(
    a: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], bool],
    b: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], bool],
    point: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Intersection of two bent edges near a point."""
    for _ in range(6):
        normals, offsets = [], []
        for start, end, bend, across in (a, b):
            normal = _normal(start, end, across=across)
            t = float(np.clip(_along(point, start, end), 0, 1))
            normals.append(normal)
            offsets.append(normal @ start + np.polyval(bend, t))
        point = np.linalg.solve(np.array(normals), np.array(offsets))
    return point


def _area(corners: NDArray[np.float64]) -> float:
    """Area of the outline, px²; negative where its corners are in another order."""
    ring = corners[[0, 1, 3, 2]]
    rows, cols = ring.T
    return 0.5 * float(np.sum(cols * np.roll(rows, -1) - np.roll(cols, -1) * rows))


def _taper(corners: NDArray[np.float64]) -> float:
    """Largest ratio of the lengths of two opposite sides of the outline."""
    top, bottom, left, right = (np.linalg.norm(np.diff(corners[list(_ENDS[side])], axis=0)) for side in SIDES)
    return float(np.exp(np.abs(np.log([top / bottom, left / right])).max()))
