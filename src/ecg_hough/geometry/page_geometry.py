"""Page millimetres to image pixels and back: one smooth map for everything that happened to the page.

`PageMap` is that map, sampled on a regular lattice of millimetres and cubic in between: rotation,
perspective, curl and lens distortion alike. The renderer gives it as truth. `find_geometry` finds it:
in, a page image; out, `PageGeometry` with angle, pitch and map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.interpolate import RectBivariateSpline
from scipy.linalg import solveh_banded

from ecg_hough.cores import side_by_side
from ecg_hough.errors import PageError
from ecg_hough.geometry.grid.find import (
    GOOD_SUPPORT,
    Grid,
    find_grid,
    follow_again,
    read_along,
    within_period,
)
from ecg_hough.geometry.grid.islands import without_steps
from ecg_hough.geometry.grid.plotted import DrawnGrid, find_drawn_grid
from ecg_hough.geometry.orientation import hough_angle
from ecg_hough.geometry.sheet_edges import Sheet, find_sheet
from ecg_hough.image.frames import Framed, find_frames
from ecg_hough.paper import BLOCK_MM

_NEWTON_STEPS = 12
_NEWTON_TOLERANCE_MM = 1e-4

# Tuned on rendered pages of all profiles.
_NODE_MM = 12.0  # spacing of the displacement lattice
_LATTICE_MM = 6.0  # spacing of the page map given
_LATTICE_PX = 16  # maps are smooth: pictures are warped by this lattice, interpolated
_BENDING = 0.3  # stiffness of the displacement, against points of weight 1
_AFFINE_MM = 0.02  # median error above which a page is not flat
_OUTLIER_MM = 0.08  # scale of the robust weights
_MIN_POINTS = 12
_READINGS = 4  # of the grid's phase at most, each along the map found before
_GAIN = 1.05  # while the grid is seen on so many times the points
_MIN_SUPPORT = 0.15  # of the image, at the end
_THINNED = (3, 2)  # points per point used, of the first reading and of the others
_PITCH_REACH_MM = 15.0  # to either side of the place where the lines are clearest
_PITCH_OFF_MAX = 0.12  # log; tilted pages that were followed well have up to 0.09
_GROWN_FROM_MM, _GROWN_TIMES = 30.0, 1.3  # about that place; how much farther lines are then followed
_TILTED_FROM_MM = 50.0  # reach from which a camera's perspective is told
_MAX_ASPECT = 0.2  # log ratio of both pitches; a camera 30 degrees off the page's normal gives 0.15
_MAX_ASPECT_AMBIGUOUS = 0.15
_PLOT_DEG = 0.7  # from this angle on a page is no program's own picture
_LEVEL_DEG = 0.05  # up to this angle it may be one as it was drawn, not scanned
_BENT_MM = 1.0  # off an affine map: paper in front of a camera, no program's picture (see `_bend_mm`)
_SAME_PITCH = 0.02  # log ratio; what a program drew is known better where it differs by more
_IMAGE_MM = (80.0, 1200.0)  # long side of the image: a strip alone to a banner of four times 10 s
_IMAGE_MM_AMBIGUOUS = (130.0, 500.0)  # where 1 or 5 mm is by the page's size, that size must make sense
_MAJOR_MM = 5.0
_MAX_SPAN = 4.0  # of the image's size at the mean pitch; beyond, the camera would look along the page


@dataclass(frozen=True)
class PageMap:
    """Smooth map between page millimetres and image pixels.

    Millimetres grow downward (y) and to the right (x) from any origin on the page; pixel k's centre
    is at coordinate k.

    Attributes:
        y_mm: (h,) lattice, increasing, at least 2 nodes; x_mm: (w,) likewise.
        rows, cols: (h, w) image px of each node.
    """

    y_mm: NDArray[np.float64]
    x_mm: NDArray[np.float64]
    rows: NDArray[np.float64]
    cols: NDArray[np.float64]

    @classmethod
    def from_affine(cls, matrix: ArrayLike, size_mm: tuple[float, float]) -> PageMap:
        """Map of a flat page of (height, width) mm: (row, col) = matrix (2, 3) @ (y_mm, x_mm, 1)."""
        matrix = np.asarray(matrix, float)
        y, x = np.linspace(0, size_mm[0], 4), np.linspace(0, size_mm[1], 4)  # 4: cubic splines need them
        nodes = np.stack([*np.meshgrid(y, x, indexing="ij"), np.ones((4, 4))])
        seen = np.einsum("ij,jhw->ihw", matrix, nodes)
        return cls(y, x, seen[0], seen[1])

    def scaled(self, factor: float) -> PageMap:
        """The same map with `factor` times as many millimetres."""
        return PageMap(self.y_mm * factor, self.x_mm * factor, self.rows, self.cols)

    def turned(self, turns: int, shape: tuple[int, ...]) -> PageMap:
        """The map of an image of `shape` after `turns` clockwise quarter turns; millimetres turn with it."""
        page_map, (height, width) = self, shape[:2]
        for _ in range(turns % 4):
            page_map = PageMap(
                page_map.x_mm,
                page_map.y_mm[-1] + page_map.y_mm[0] - page_map.y_mm[::-1],
                np.rot90(page_map.cols, -1),
                height - 1 - np.rot90(page_map.rows, -1),
            )
            height, width = width, height
        return page_map

    @property
    def px_per_mm(self) -> tuple[float, float]:
        """Mean scale down the page and across it."""
        down = np.hypot(np.diff(self.rows, axis=0), np.diff(self.cols, axis=0)) / np.diff(self.y_mm)[:, None]
        across = np.hypot(np.diff(self.rows, axis=1), np.diff(self.cols, axis=1)) / np.diff(self.x_mm)[None]
        return float(down.mean()), float(across.mean())

    @property
    def row_bend_mm(self) -> float:
        """How far a level line of the page's middle departs from a straight one in the image, at most."""
        # Without the outer parts, where the map may have been continued.
        y, x = (np.linspace(v[0], v[-1], 21)[3:-3] for v in (self.y_mm, self.x_mm))
        farthest = 0.0
        for rows, cols in zip(*self.to_pixels(y[:, None], x), strict=True):
            straight = np.polyval(np.polyfit(cols, rows, 1), cols)
            farthest = max(farthest, float(np.abs(rows - straight).max()))
        return farthest / self.px_per_mm[0]

    @cached_property
    def _splines(self) -> tuple[RectBivariateSpline, RectBivariateSpline]:
        ky, kx = (min(3, n - 1) for n in self.rows.shape)
        return (
            RectBivariateSpline(self.y_mm, self.x_mm, self.rows, kx=ky, ky=kx),
            RectBivariateSpline(self.y_mm, self.x_mm, self.cols, kx=ky, ky=kx),
        )

    def to_pixels(self, y_mm: ArrayLike, x_mm: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rows and columns of points on the page; continued linearly outside the lattice."""
        y, x = np.broadcast_arrays(np.asarray(y_mm, float), np.asarray(x_mm, float))
        yc = np.clip(y, self.y_mm[0], self.y_mm[-1])
        xc = np.clip(x, self.x_mm[0], self.x_mm[-1])
        dy, dx = y - yc, x - xc
        outside = bool(np.any(dy) or np.any(dx))
        out = []
        for spline in self._splines:
            value = spline.ev(yc, xc)
            if outside:
                value = value + spline.ev(yc, xc, dx=1) * dy + spline.ev(yc, xc, dy=1) * dx
            out.append(value)
        return out[0], out[1]

    def to_mm(self, rows: ArrayLike, cols: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Millimetres of points in the image, by Newton's method from the best affine map."""
        r, c = np.broadcast_arrays(np.asarray(rows, float), np.asarray(cols, float))
        grid_y, grid_x = np.meshgrid(self.y_mm, self.x_mm, indexing="ij")
        seen = np.column_stack([self.rows.ravel(), self.cols.ravel(), np.ones(self.rows.size)])
        inverse, *_ = np.linalg.lstsq(seen, np.column_stack([grid_y.ravel(), grid_x.ravel()]), rcond=None)
        y = inverse[0, 0] * r + inverse[1, 0] * c + inverse[2, 0]
        x = inverse[0, 1] * r + inverse[1, 1] * c + inverse[2, 1]
        in_rows, in_cols = self._splines
        for _ in range(_NEWTON_STEPS):
            at_r, at_c = self.to_pixels(y, x)
            yc = np.clip(y, self.y_mm[0], self.y_mm[-1])
            xc = np.clip(x, self.x_mm[0], self.x_mm[-1])
            ry, rx = in_rows.ev(yc, xc, dx=1), in_rows.ev(yc, xc, dy=1)
            cy, cx = in_cols.ev(yc, xc, dx=1), in_cols.ev(yc, xc, dy=1)
            det = ry * cx - rx * cy
            er, ec = r - at_r, c - at_c
            dy, dx = (cx * er - rx * ec) / det, (ry * ec - cy * er) / det
            y, x = y + dy, x + dx
            if max(np.max(np.abs(dy), initial=0.0), np.max(np.abs(dx), initial=0.0)) < _NEWTON_TOLERANCE_MM:
                break
        return y, x


@dataclass(frozen=True)
class PageGeometry:
    """Where the page lies in the image.

    Attributes:
        angle_deg: fine angle, page turned counter-clockwise positive, -45..45.
        px_per_mm: vertical, horizontal, median over the page; None without a grid.
        grid_found: a printed grid is seen.
        page_map: mm -> image px, mm axes along the page's right and down, origin arbitrary. By a grid it
            covers the whole image; by the sheet's edges it covers the sheet, and its millimetres are those of
            the sheet's format or of a usual one. None where neither is seen.
        residual_px: median distance of the grid's points, or of the edges', to the map; NaN without a map.
        method: "grid-phase" (perspective, curl, lens), "grid-affine" (flat page), "page-edges", "hough-only".
        warnings: what a reader should know.
        paper: format of the sheet, "A4" or "letter", where its edges show one; its millimetres are true then.
        ambiguous: the grid shows one spacing of lines only; that it is 1 or 5 mm is by the image's size.
    """

    angle_deg: float
    px_per_mm: tuple[float, float] | None
    grid_found: bool
    page_map: PageMap | None
    residual_px: float
    method: str
    warnings: tuple[str, ...]
    paper: str | None = None
    ambiguous: bool = False

    def turned(self, turns: int, shape: tuple[int, ...]) -> PageGeometry:
        """The geometry of an image of `shape` after `turns` clockwise quarter turns."""
        page_map = None if self.page_map is None else self.page_map.turned(turns, shape)
        px_per_mm = self.px_per_mm[::-1] if self.px_per_mm is not None and turns % 2 else self.px_per_mm
        return replace(self, page_map=page_map, px_per_mm=px_per_mm)

    def with_block(self, block_mm: float) -> PageGeometry:
        """The same where the lines of an ambiguous grid are 1 or 5 mm apart by what lies on the page.

        Args:
            block_mm: width of the block of traces as the grid is taken now.
        """
        factor = min((1.0, _MAJOR_MM, 1.0 / _MAJOR_MM), key=lambda f: abs(np.log(f * block_mm / BLOCK_MM)))
        if not self.ambiguous or self.page_map is None or self.px_per_mm is None or factor == 1.0:
            return self
        pitch = (self.px_per_mm[0] / factor, self.px_per_mm[1] / factor)
        warning = (
            f"grid: only one spacing of lines is visible; taken as {pitch[0]:.2f} px per mm"
            f" because the traces are {factor * block_mm:.0f} mm wide then"
        )
        return replace(self, px_per_mm=pitch, page_map=self.page_map.scaled(factor), warnings=(warning,))


def turn_back(points: NDArray[np.float64], turns: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """(n, 2) px of the upright image -> px of the image of `shape`, which is turned by `turns`."""
    n_rows, n_cols = shape
    r, c = points.T
    if turns == 1:
        r, c = n_rows - 1 - c, r
    elif turns == 2:
        r, c = n_rows - 1 - r, n_cols - 1 - c
    elif turns == 3:
        r, c = c, n_cols - 1 - r
    return np.column_stack([r, c])


def on_every_pixel(
    place: Callable[[NDArray[np.float64]], NDArray[np.float64]], shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both values, each (rows, cols), of a smooth function at every pixel of a picture of `shape`.

    Args:
        place: (..., 2) row, col -> (..., 2), such as where to take the pixel from. It is asked on a lattice.
    """
    rows, cols = shape
    n_rows, n_cols = rows // _LATTICE_PX + 2, cols // _LATTICE_PX + 2
    r, c = np.meshgrid(np.arange(n_rows) * _LATTICE_PX, np.arange(n_cols) * _LATTICE_PX, indexing="ij")
    at = place(np.stack([r, c], -1).astype(float)).astype(np.float32)
    zoom = np.array([[_LATTICE_PX, 0, 0], [0, _LATTICE_PX, 0]], float)
    # warpAffine meets lattice node k exactly at k * _LATTICE_PX; cv2.resize would shift by half a pixel.
    fine = [
        cv2.warpAffine(np.ascontiguousarray(at[..., k]), zoom, (cols, rows), flags=cv2.INTER_LINEAR,
                       borderMode=cv2.BORDER_REPLICATE)
        for k in range(2)
    ]  # fmt: skip
    return fine[0], fine[1]


def find_geometry(image: NDArray[np.uint8], framed: Framed | None = None) -> PageGeometry:
    """Angle, pitch and mm -> px map of a page from its printed grid.

    Without a visible grid no pitch is given: the map comes from the sheet's edges where all four are seen,
    else the angle alone from the page's straight lines.

    Args:
        image: (rows, cols, 3) or (rows, cols) uint8.
        framed: the same with frames round its panels, if it has any.
    Raises:
        ValueError: not such an array.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or min(image.shape[:2], default=0) < 16:
        raise ValueError(
            f"image must be uint8 (rows, cols[, 3]) of at least 16 px; got {image.dtype} {image.shape}"
        )
    found = _by_grid(image)
    if found is None or abs(found.angle_deg) <= _PLOT_DEG:
        found = _if_drawn(found, framed if framed is not None else Framed(image, (), 0))
    if found is None:
        found = _by_grid(image, curled=True)
    return _without_grid(image) if found is None else found


def _by_grid(image: NDArray[np.uint8], *, curled: bool = False) -> PageGeometry | None:
    """Geometry by a printed grid of nearly square squares; None without a clear one of usual pitch."""
    grid = find_grid(image, curled=curled)
    fitted = None if grid is None else _fit_map(grid, image.shape[:2])
    if grid is None or fitted is None:
        return None
    page_map, residual_px, method = fitted
    rows, cols = image.shape[:2]
    angle, pitch = _angle_and_pitch(page_map, (rows, cols))
    if not _is_plausible(pitch, (rows, cols), ambiguous=grid.ambiguous):
        return None
    warnings = []
    if grid.ambiguous:
        warnings.append(
            "grid: only one spacing of lines is visible; taken as "
            f"{pitch[0]:.2f} px per mm because of the page's size"
        )
    return PageGeometry(
        angle_deg=angle,
        px_per_mm=pitch,
        grid_found=True,
        page_map=page_map,
        residual_px=residual_px,
        method=method,
        warnings=tuple(warnings),
        ambiguous=grid.ambiguous,
    )


def _if_drawn(found: PageGeometry | None, framed: Framed) -> PageGeometry | None:
    """Geometry of a program's picture, as it drew it or scanned all but upright, where that tells more than
    the phase of one grid; what was found else."""
    rows, cols = framed.image.shape[:2]
    if found is not None and not framed.frames and _bend_mm(found, (rows, cols)) > _BENT_MM:
        return found
    seen_deg = 0.0 if found is None else found.angle_deg
    angle, drawn = 0.0, find_drawn_grid(framed)
    # (x, y) px of the page -> of the page turned upright.
    turn = cv2.getRotationMatrix2D((cols / 2, rows / 2), 0.0, 1.0)
    if drawn is None and abs(seen_deg) > _LEVEL_DEG:
        angle, turn = seen_deg, cv2.getRotationMatrix2D((cols / 2, rows / 2), -seen_deg, 1.0)
        upright = cv2.warpAffine(framed.image, turn, (cols, rows), borderMode=cv2.BORDER_REPLICATE)
        drawn = find_drawn_grid(find_frames(upright))
    # In framed panels one map for all of a page's lines is at best as good as their pitch, if level.
    level = abs(seen_deg) <= _LEVEL_DEG
    if drawn is None or (not (drawn.framed and level) and _is_same(found, drawn)):
        return found
    back = cv2.invertAffineTransform(turn)[::-1]
    matrix = np.column_stack([back[:, 1] * drawn.down, back[:, 0] * drawn.across, back[:, 2]])
    ratio = drawn.down / drawn.across
    warning = (
        f"grid: its squares are {ratio:.2f} times as tall as wide; each was taken as 5 mm both ways,"
        " 0.2 s and 0.5 mV at 25 mm/s and 10 mm/mV"
    )
    return PageGeometry(
        angle_deg=angle,
        px_per_mm=(drawn.down, drawn.across),
        grid_found=True,
        page_map=PageMap.from_affine(matrix, (rows / drawn.down, cols / drawn.across)),
        residual_px=drawn.residual_px,
        method="grid-affine",
        warnings=(warning,) if abs(np.log(ratio)) > _MAX_ASPECT else (),
    )


def _bend_mm(found: PageGeometry, shape: tuple[int, int]) -> float:
    """How far a found map is from an affine one, mm: root mean square over the image."""
    if found.page_map is None:
        return 0.0
    at = _over(shape)
    mm = np.column_stack(found.page_map.to_mm(*at))
    affine = np.column_stack([*at, np.ones(at[0].size)])
    off = mm - affine @ np.linalg.lstsq(affine, mm, rcond=None)[0]
    return float(np.sqrt(np.mean(np.sum(off**2, axis=1))))


def _over(shape: tuple[int, int]) -> list[NDArray[np.float64]]:
    """Rows and columns of points spread over an image."""
    return [at.ravel() * size for at, size in zip(np.mgrid[0.1:0.9:9j, 0.1:0.9:9j], shape, strict=True)]


def _is_same(found: PageGeometry | None, drawn: DrawnGrid) -> bool:
    """Whether both have the same pitch, or take the same lines for 1 and for 5 mm."""
    if found is None or found.px_per_mm is None:
        return False
    apart = np.log(found.px_per_mm) - np.log([drawn.down, drawn.across])
    steps = [0.0] if found.ambiguous else np.log([1.0, _MAJOR_MM, 1 / _MAJOR_MM])
    return bool(min(np.abs(apart - step).max() for step in steps) <= _SAME_PITCH)


def _angle_and_pitch(page_map: PageMap, shape: tuple[int, int]) -> tuple[float, tuple[float, float]]:
    """Angle in degrees, and px per mm down and across, medians over the image."""
    y, x = page_map.to_mm(*_over(shape))
    seen = np.array(
        [page_map.to_pixels(y + dy, x + dx) for dy, dx in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))]
    )
    down, across = seen[0] - seen[1], seen[2] - seen[3]
    turned = np.arctan2(down[1] - across[0], down[0] + across[1])
    pitch = (float(np.median(np.hypot(*down))), float(np.median(np.hypot(*across))))
    return float(np.rad2deg(np.median(turned))), pitch


def _is_plausible(pitch: tuple[float, float], shape: tuple[int, int], *, ambiguous: bool) -> bool:
    """Whether paper can have this pitch: near square, and the image of a size that holds a page."""
    aspect = abs(np.log(pitch[0] / pitch[1]))
    long_side_mm = max(shape) / np.sqrt(pitch[0] * pitch[1])
    limit = _MAX_ASPECT_AMBIGUOUS if ambiguous else _MAX_ASPECT
    shortest, longest = _IMAGE_MM_AMBIGUOUS if ambiguous else _IMAGE_MM
    return bool(aspect < limit and shortest < long_side_mm < longest)


def _without_grid(image: NDArray[np.uint8]) -> PageGeometry:
    warnings = ["grid: no printed grid is visible; no pitch from it"]
    sheet = find_sheet(image)
    if sheet is not None:
        page_map = _map_of_sheet(sheet)
        angle, _ = _angle_and_pitch(page_map, image.shape[:2])
        return PageGeometry(
            angle, None, False, page_map, sheet.residual_px, "page-edges", tuple(warnings), sheet.format
        )
    try:
        angle = hough_angle(image).angle_deg
    except PageError as error:
        angle = 0.0
        warnings.append(f"{error}; angle taken as 0")
    return PageGeometry(angle, None, False, None, float("nan"), "hough-only", tuple(warnings))


def _map_of_sheet(sheet: Sheet) -> PageMap:
    height, width = sheet.size_mm
    y, x = (np.linspace(0, size, max(4, round(size / _LATTICE_MM) + 1)) for size in (height, width))
    rows, cols = sheet.to_pixels(*np.meshgrid(y / height, x / width, indexing="ij"))
    return PageMap(y, x, rows, cols)


def _fit_map(grid: Grid, shape: tuple[int, int]) -> tuple[PageMap, float, str] | None:
    """Fit the map to the grid's points: (map, median error in px, method), None if they do not agree."""
    grid = without_steps(grid)
    points, mm, trust = _points(grid, 1)
    if min(np.count_nonzero(w) for w in trust) < _MIN_POINTS:
        return None
    pitch = float(np.sqrt(grid.px_per_mm[0] * grid.px_per_mm[1]))
    flat = _fit_flat(points, mm, trust, grid.period_mm, projective=False)
    error_mm = _median_error(flat(points), mm, trust, grid.period_mm)
    if error_mm <= _AFFINE_MM:
        page_map = _invert(flat, flat, shape, pitch)
        return None if page_map is None else (page_map, error_mm * pitch, "grid-affine")
    # The first reading's map only guides the next one.
    first = _fit_bend(*_points(grid, _THINNED[0]), grid, shape)
    fitted = _fit_again(grid, *first, shape)
    if fitted is None and not grid.ambiguous and (plane := _grown(grid)) is not None:
        fitted = _fit_again(grid, plane, plane, shape)
    return fitted


def _fit_again(
    grid: Grid, plane: _Flat, bent: _Flat | _Bend, shape: tuple[int, int]
) -> tuple[PageMap, float, str] | None:
    """As `_fit_map`, of the grid's phase as it is read along a map that is nearly right."""
    for reading in range(_READINGS):
        before = grid.support
        grid = without_steps(follow_again(grid, bent))
        points, mm, trust = _points(grid, _THINNED[1])
        plane, bent = _fit_bend(points, mm, trust, grid, shape)
        gained = grid.support > _GAIN * before
        if not gained and (reading > 0 or grid.support > GOOD_SUPPORT):
            break
    error_mm = _median_error(bent(points), mm, trust, grid.period_mm)
    unsure = error_mm > grid.period_mm / 8 or grid.support < _MIN_SUPPORT
    if unsure or _pitch_off(bent, grid) > _PITCH_OFF_MAX:
        return None
    pitch = float(np.sqrt(grid.px_per_mm[0] * grid.px_per_mm[1]))
    page_map = _invert(bent, plane, shape, pitch)
    return None if page_map is None else (page_map, error_mm * pitch, "grid-phase")


def _grown(grid: Grid) -> _Flat | None:
    """Homography of a tilted page: 5 mm lines are followed outwards from where they are clearest.

    One cubic phase for the whole page slips where a camera stood close; near that place nothing does, and
    every fit tells where the lines a bit farther off must be. None where they are lost on the way.
    """
    place, pitch = np.array(grid.place), float(np.mean(grid.px_per_mm))
    cos, sin = np.cos(np.deg2rad(grid.angle_deg)), np.sin(np.deg2rad(grid.angle_deg))

    def seed(points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        return list(((points - place) @ np.array([[cos, -sin], [sin, cos]]) / grid.px_per_mm).T)

    model: Callable[[NDArray[np.float64]], list[NDArray[np.float64]]] = seed
    reach_mm = _GROWN_FROM_MM
    while True:
        points, mm, trust = _points(read_along(grid, model, _MAJOR_MM, _MAJOR_MM), 1)
        near = np.hypot(*(points - place).T) <= reach_mm * pitch
        trust = [weight * near for weight in trust]
        if min(np.count_nonzero(weight) for weight in trust) < _MIN_POINTS:
            return None
        model = flat = _fit_flat(points, mm, trust, _MAJOR_MM, projective=reach_mm > _TILTED_FROM_MM)
        if near.all():
            return flat
        reach_mm *= _GROWN_TIMES


def _pitch_off(model: _Flat | _Bend, grid: Grid) -> float:
    """Log ratio of the map's pitch to that of the grid's spectrum, where it is clearest; of the worse family.

    A phase that slips all over the page leaves small errors, but its lines stand farther apart or nearer.
    """
    half = _PITCH_REACH_MM * float(np.mean(grid.px_per_mm))
    cross = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    off = [
        np.log(np.hypot(v[0] - v[1], v[2] - v[3]) / (2.0 * half) * pitch)
        for v, pitch in zip(model(np.array(grid.place) + half * cross), grid.px_per_mm, strict=True)
    ]
    return float(np.abs(off).max())


def _points(
    grid: Grid, every: int
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Points (n, 2) px of a grid, one for `every`; of both families millimetres and the trust in them."""
    points = np.column_stack([grid.rows, grid.cols])[::every]
    trust = [every * grid.y_weight[::every], every * grid.x_weight[::every]]
    return points, [grid.y_mm[::every], grid.x_mm[::every]], trust


def _fit_bend(
    points: NDArray[np.float64],
    mm: list[NDArray[np.float64]],
    trust: list[NDArray[np.float64]],
    grid: Grid,
    shape: tuple[int, int],
) -> tuple[_Flat, _Bend]:
    """Homography, and with a displacement, of some of a grid's points."""
    pitch = float(np.sqrt(grid.px_per_mm[0] * grid.px_per_mm[1]))
    plane = _fit_flat(points, mm, trust, grid.period_mm, projective=True)
    return plane, _Bend.fit(plane, points, mm, trust, grid.period_mm, shape, _NODE_MM * pitch)


def _median_error(
    model_mm: list[NDArray[np.float64]],
    mm: list[NDArray[np.float64]],
    trust: list[NDArray[np.float64]],
    period_mm: float,
) -> float:
    """Median distance in mm of trusted points, whole periods aside, of the family that fits worse.

    A page that waves in one direction only keeps the lines along the other one straight.
    """
    medians = []
    for model, seen, weight in zip(model_mm, mm, trust, strict=True):
        error = (model - seen)[weight > 0]
        medians.append(float(np.median(np.abs(within_period(error, period_mm)))))
    return max(medians)


@dataclass(frozen=True)
class _Flat:
    """px -> mm of a flat page seen by a camera: homography (3, 3) on normalised (row, col, 1)."""

    matrix: NDArray[np.float64]
    centre: NDArray[np.float64]
    half: float

    def __call__(self, points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        p = np.column_stack([(points - self.centre) / self.half, np.ones(len(points))])
        y, x, z = self.matrix @ p.T
        return [y / z, x / z]

    def inverse(self, y_mm: NDArray[np.float64], x_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) px."""
        r, c, z = np.linalg.inv(self.matrix) @ np.stack([y_mm, x_mm, np.ones(len(y_mm))])
        return np.column_stack([r / z, c / z]) * self.half + self.centre


def _fit_flat(
    points: NDArray[np.float64],
    mm: list[NDArray[np.float64]],
    trust: list[NDArray[np.float64]],
    period_mm: float,
    *,
    projective: bool,
) -> _Flat:
    """Robust least squares for an affine map or a homography; slips of whole periods are taken out."""
    centre = points.mean(axis=0)
    half = float(np.abs(points - centre).max())
    p = np.column_stack([(points - centre) / half, np.ones(len(points))])
    n_free = 8 if projective else 6
    flat = _Flat(np.eye(3), centre, half)
    scale = [np.inf] * 2
    for step in range(12):
        model = flat(points)
        rows, target = [], []
        for k in range(2):
            seen = mm[k]
            weight = np.sqrt(trust[k])
            if step:
                error = seen - model[k]
                if step > 3 and scale[k] < period_mm / 6:
                    error = within_period(error, period_mm)
                    seen = model[k] + error
                scale[k] = max(_OUTLIER_MM, 1.5 * float(np.median(np.abs(error[weight > 0]))))
                weight = weight / (1 + (error / scale[k]) ** 2)
            matrix = np.zeros((len(points), n_free))
            matrix[:, 3 * k : 3 * k + 3] = p
            if projective:
                matrix[:, 6:] = -seen[:, None] * p[:, :2]
            rows.append(matrix * weight[:, None])
            target.append(seen * weight)
        matrix, aim = np.concatenate(rows), np.concatenate(target)
        # Normal equations: a few unknowns and thousands of points about 1 are solved exactly enough.
        solved, *_ = np.linalg.lstsq(matrix.T @ matrix, matrix.T @ aim, rcond=None)
        bottom = [*solved[6:], 1.0] if projective else [0.0, 0.0, 1.0]
        flat = _Flat(np.array([solved[:3], solved[3:6], bottom]), centre, half)
    return flat


@dataclass(frozen=True)
class _Bend:
    """px -> mm of a page that is not flat: homography plus a stiff cubic B-spline displacement."""

    flat: _Flat
    nodes: tuple[int, int]
    step: float
    displacement: tuple[NDArray[np.float64], NDArray[np.float64]]

    def __call__(self, points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        basis = _spline_basis(points, self.nodes, self.step)
        return [m + basis @ d for m, d in zip(self.flat(points), self.displacement, strict=True)]

    @classmethod
    def fit(
        cls,
        flat: _Flat,
        points: NDArray[np.float64],
        mm: list[NDArray[np.float64]],
        trust: list[NDArray[np.float64]],
        period_mm: float,
        shape: tuple[int, int],
        step: float,
    ) -> _Bend:
        step = max(step, max(shape) / 40)
        nodes = (int(np.ceil(shape[0] / step)) + 3, int(np.ceil(shape[1] / step)) + 3)
        basis = _spline_basis(points, nodes, step)
        normal = _Normal.of(basis, _BENDING * _bending(nodes), 3 * nodes[1] + 3)
        transposed = basis.T.tocsr()

        def displacement(family: tuple[NDArray[np.float64], ...]) -> NDArray[np.float64]:
            base, seen, weight = family
            error = seen - base
            fit: NDArray[np.float64] = np.zeros(len(points))
            coefficients: NDArray[np.float64] = np.zeros(basis.shape[1])
            for turn in range(6):
                left = error - fit
                if turn > 3:
                    left = within_period(left, period_mm)
                scale = np.inf
                if turn:
                    scale = max(_OUTLIER_MM, 1.5 * float(np.median(np.abs(left[weight > 0]))))
                w = weight / (1 + (left / scale) ** 2) ** 2
                coefficients = solveh_banded(normal.weighted(w), transposed @ (w * (fit + left)))
                fit = basis @ coefficients
            return coefficients

        down, across = side_by_side(displacement, list(zip(flat(points), mm, trust, strict=True)))
        return cls(flat, nodes, step, (down, across))


@dataclass(frozen=True)
class _Normal:
    """Normal matrix of a spline's weighted least squares, the upper half of its band.

    Points of one cell of the lattice share their 16 splines, so it is a sum of small dense matrices.

    Attributes:
        members: (cells, m) points of every cell, filled up with one more than there are.
        values: (cells, m, 16) of the splines.
        places: (cells, 16, 16) of every pair of splines in the band, `band.size` for the lower half.
        band: (band + 1, nodes) of what is added to it.
    """

    members: NDArray[np.intp]
    values: NDArray[np.float64]
    places: NDArray[np.intp]
    band: NDArray[np.float64]

    @classmethod
    def of(cls, basis: sparse.csr_matrix, added: sparse.csr_matrix, width: int) -> _Normal:
        """Of a `_spline_basis`, and a form that is added, both within `width` of the diagonal."""
        n, n_nodes = basis.shape
        splines = basis.indices.reshape(n, -1)
        first, cell, count = np.unique(splines[:, 0], return_inverse=True, return_counts=True)
        order = np.argsort(cell, kind="stable")
        place = np.arange(n) - np.repeat(np.cumsum(count) - count, count)
        members = np.full((first.size, int(count.max())), n)
        members[cell[order], place] = order
        values = np.zeros((n + 1, splines.shape[1]))
        values[:n] = basis.data.reshape(n, -1)
        of_cell = splines[members[:, 0]]
        row, col = of_cell[:, :, None], of_cell[:, None, :]
        size = (width + 1) * n_nodes
        places = np.where(row <= col, (width + row - col) * n_nodes + col, size)
        band = np.zeros((width + 1, n_nodes))
        entries = sparse.triu(added).tocoo()
        band[width + entries.row - entries.col, entries.col] = entries.data
        return cls(members, values[members], places, band)

    def weighted(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """(band + 1, nodes) with the points' weights (n,)."""
        weighted = self.values * np.append(weight, 0.0)[self.members][..., None]
        products = self.values.transpose(0, 2, 1) @ weighted
        summed = np.bincount(self.places.ravel(), products.ravel(), self.band.size + 1)[:-1]
        return self.band + summed.reshape(self.band.shape)


def _spline_basis(points: NDArray[np.float64], nodes: tuple[int, int], step: float) -> sparse.csr_matrix:
    """(n, nodes) values of all uniform cubic B-splines; constant outside their lattice."""
    values, places = [], []
    for axis in range(2):
        t = np.clip(points[:, axis] / step, 0, nodes[axis] - 3 - 1e-9)
        first = t.astype(int)
        u = t - first
        values.append(
            np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], 1) / 6
        )
        places.append(first[:, None] + np.arange(4))
    weight = (values[0][:, :, None] * values[1][:, None, :]).reshape(len(points), 16)
    column = (places[0][:, :, None] * nodes[1] + places[1][:, None, :]).reshape(len(points), 16)
    row = np.repeat(np.arange(len(points)), 16)
    size = (len(points), nodes[0] * nodes[1])
    return sparse.csr_matrix((weight.ravel(), (row, column.ravel())), shape=size)


def _bending(nodes: tuple[int, int]) -> sparse.csr_matrix:
    """Quadratic form of the thin-plate energy of a node lattice."""

    def difference(n: int, order: int) -> sparse.csr_matrix:
        taps = ([-1.0, 1.0], [1.0, -2.0, 1.0])[order - 1]
        return sparse.csr_matrix(sparse.diags(taps, list(range(order + 1)), shape=(n - order, n)))

    h, w = nodes
    parts = [
        sparse.kron(difference(h, 2), sparse.identity(w)),
        sparse.kron(sparse.identity(h), difference(w, 2)),
        np.sqrt(2) * sparse.kron(difference(h, 1), difference(w, 1)),
    ]
    form = sum(part.T @ part for part in parts)
    return sparse.csr_matrix(form + 1e-7 * sparse.identity(h * w))


def _invert(model: _Flat | _Bend, flat: _Flat, shape: tuple[int, int], pitch_px: float) -> PageMap | None:
    """Turn px -> mm into a page map over the whole image; None if the image reaches the page's horizon."""
    rows, cols = shape
    edge = np.stack(np.meshgrid(np.linspace(0, rows, 25), np.linspace(0, cols, 25), indexing="ij"), -1)
    y, x = model(edge.reshape(-1, 2))
    span_mm = max(v.max() - v.min() for v in (y, x))
    if not span_mm < _MAX_SPAN * max(shape) / pitch_px:
        return None
    spacing = max(_LATTICE_MM, max(shape) / pitch_px / 80)
    axes = [
        np.linspace(v.min(), v.max(), max(4, int(np.ceil((v.max() - v.min()) / spacing)) + 1)) for v in (y, x)
    ]
    at_y, at_x = (g.ravel() for g in np.meshgrid(*axes, indexing="ij"))
    points = flat.inverse(at_y, at_x)
    if model is not flat:
        want = points
        ask_y, ask_x = at_y, at_x
        for _ in range(8):
            got_y, got_x = model(points)
            ask_y, ask_x = ask_y + at_y - got_y, ask_x + at_x - got_x
            want = flat.inverse(ask_y, ask_x)
            points = want
    seen = points.reshape(len(axes[0]), len(axes[1]), 2)
    return PageMap(y_mm=axes[0] - axes[0][0], x_mm=axes[1] - axes[1][0], rows=seen[..., 0], cols=seen[..., 1])
