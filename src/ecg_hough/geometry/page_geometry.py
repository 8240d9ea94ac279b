"""Angle, grid pitch and map of a page, from its printed grid, its edges or its straight lines.

In: a page image. Out: `PageGeometry` with the angle, the pitch in px per mm and the `PageMap` from page
millimetres to image pixels, which covers rotation, perspective, curl and lens distortion.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.geometry.fit_map import LATTICE_MM, fit_map
from ecg_hough.geometry.grid.find import find_grid
from ecg_hough.geometry.grid.plotted import DrawnGrid, find_drawn_grid
from ecg_hough.geometry.orientation import hough_angle
from ecg_hough.geometry.sheet_edges import SheetOutline, find_sheet
from ecg_hough.image.frames import Framed, find_frames
from ecg_hough.page_map import PageMap
from ecg_hough.paper import BLOCK_MM, GRID_MAJOR_MM

log = logging.getLogger(__name__)

# Tuned on rendered pages of all profiles.
_MAX_ASPECT = 0.2  # log ratio of both pitches; a camera 30 degrees off the page's normal gives 0.15
_MAX_ASPECT_AMBIGUOUS = 0.15
_PLOT_DEG = 0.7  # a page turned by more is no picture that a program wrote
_LEVEL_DEG = 0.05  # a picture turned by less may be a program's own, not a scan of its print
_BENT_MM = 1.0  # RMS distance from an affine map beyond which the page is paper seen by a camera
_SAME_PITCH = 0.02  # log ratio; where the pitches differ by more, that of the drawn grid is used
_IMAGE_MM = (80.0, 1200.0)  # long side of the image: from one strip to a banner of four times 10 s
_IMAGE_MM_AMBIGUOUS = (130.0, 500.0)  # the same where 1 or 5 mm lines are decided by the page's size


@dataclass(frozen=True)
class PageGeometry:
    """Place, scale and shape of the page in the image.

    Attributes:
        angle_deg: fine angle, page turned counter-clockwise positive, -45..45.
        px_per_mm: vertical, horizontal, median over the page; None without a grid.
        grid_found: whether a printed grid was found.
        page_map: mm -> image px, mm axes along the page's right and down, origin arbitrary. From a grid it
            covers the whole image; from the sheet's edges it covers the sheet, and its scale is that of the
            sheet's format, or assumed. None where neither was found.
        residual_px: median distance of the grid's or the edges' points from the map; NaN without a map.
        method: "grid-phase" (perspective, curl, lens), "grid-affine" (flat page), "page-edges", "hough-only".
        warnings: what a user should know.
        paper: format of the sheet, "A4" or "letter", where its edges have that shape: the scale is measured.
        ambiguous: the grid has one line spacing only; whether it is 1 or 5 mm was assumed from the image's
            size.
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

    @property
    def scale(self) -> tuple[float, float] | None:
        """Px per mm down and across, from a grid or the sheet's edges; None where neither was found."""
        if self.px_per_mm is not None or self.page_map is None:
            return self.px_per_mm
        return self.page_map.px_per_mm

    def turned(self, turns: int, shape: tuple[int, ...]) -> PageGeometry:
        """The geometry of an image of `shape` after `turns` clockwise quarter turns."""
        page_map = None if self.page_map is None else self.page_map.turned(turns, shape)
        px_per_mm = self.px_per_mm[::-1] if self.px_per_mm is not None and turns % 2 else self.px_per_mm
        return replace(self, page_map=page_map, px_per_mm=px_per_mm)

    def with_block(self, block_mm: float) -> PageGeometry:
        """The same with 1 or 5 mm lines of an ambiguous grid as the width of the block of traces requires.

        Args:
            block_mm: that width by the present scale.
        """
        factor = min(
            (1.0, GRID_MAJOR_MM, 1.0 / GRID_MAJOR_MM), key=lambda f: abs(np.log(f * block_mm / BLOCK_MM))
        )
        if not self.ambiguous or self.page_map is None or self.px_per_mm is None or factor == 1.0:
            return self
        pitch = (self.px_per_mm[0] / factor, self.px_per_mm[1] / factor)
        warning = (
            f"grid: only one line spacing is visible; assumed {pitch[0]:.2f} px per mm,"
            f" at which the traces are {factor * block_mm:.0f} mm wide"
        )
        return replace(self, px_per_mm=pitch, page_map=self.page_map.scaled(factor), warnings=(warning,))


def find_geometry(image: NDArray[np.uint8], framed: Framed | None = None) -> PageGeometry:
    """Angle, pitch and mm -> px map of a page from its printed grid.

    Without a visible grid there is no pitch: the map comes from the sheet's edges where all four are visible,
    otherwise only the angle is measured, from the page's straight lines.

    Args:
        image: (rows, cols, 3) or (rows, cols) uint8.
        framed: the same image with the frames around its panels, if it has any.
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
        found = _or_drawn(found, framed if framed is not None else Framed(image, (), 0))
    if found is None:
        found = _by_grid(image, curled=True)
    if found is None:
        found = _without_grid(image)
    log.info(
        "page: %s px per mm, angle %.2f degrees, by %s",
        "unknown" if found.px_per_mm is None else "{:.3f} x {:.3f}".format(*found.px_per_mm),
        found.angle_deg, found.method,
    )  # fmt: skip
    return found


def _by_grid(image: NDArray[np.uint8], *, curled: bool = False) -> PageGeometry | None:
    """Geometry from a printed grid of nearly square squares; None without a clear one of plausible pitch."""
    grid = find_grid(image, curled=curled)
    fitted = None if grid is None else fit_map(grid, image.shape[:2])
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
            f"grid: only one line spacing is visible; assumed {pitch[0]:.2f} px per mm,"
            " which is plausible for the size of the page"
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


def _or_drawn(found: PageGeometry | None, framed: Framed) -> PageGeometry | None:
    """Geometry from the evenly spaced lines of a picture that a program drew, or of its nearly upright scan.

    The given geometry where there are no such lines, or where it has the same pitch.
    """
    rows, cols = framed.image.shape[:2]
    if found is not None and not framed.frames and _bend_mm(found, (rows, cols)) > _BENT_MM:
        return found
    found_deg = 0.0 if found is None else found.angle_deg
    angle, drawn = 0.0, find_drawn_grid(framed)
    # (x, y) px of the page -> of the page turned upright.
    turn = cv2.getRotationMatrix2D((cols / 2, rows / 2), 0.0, 1.0)
    if drawn is None and abs(found_deg) > _LEVEL_DEG:
        angle, turn = found_deg, cv2.getRotationMatrix2D((cols / 2, rows / 2), -found_deg, 1.0)
        upright = cv2.warpAffine(framed.image, turn, (cols, rows), borderMode=cv2.BORDER_REPLICATE)
        drawn = find_drawn_grid(find_frames(upright))
    # Every framed panel may have a grid of its own: on a level page their pitch is better than one map.
    level = abs(found_deg) <= _LEVEL_DEG
    if drawn is None or (not (drawn.framed and level) and _is_same(found, drawn)):
        return found
    back = cv2.invertAffineTransform(turn)[::-1]
    matrix = np.column_stack([back[:, 1] * drawn.down, back[:, 0] * drawn.across, back[:, 2]])
    ratio = drawn.down / drawn.across
    warning = (
        f"grid: its squares are {ratio:.2f} times as tall as wide; assumed 5 mm in both directions,"
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
    """Root mean square distance of a map from the nearest affine one over the image, mm."""
    if found.page_map is None:
        return 0.0
    at = _over(shape)
    mm = np.column_stack(found.page_map.to_mm(*at))
    affine = np.column_stack([*at, np.ones(at[0].size)])
    residual = mm - affine @ np.linalg.lstsq(affine, mm, rcond=None)[0]
    return float(np.sqrt(np.mean(np.sum(residual**2, axis=1))))


def _over(shape: tuple[int, int]) -> list[NDArray[np.float64]]:
    """Rows and columns of evenly spread points of an image."""
    return [at.ravel() * size for at, size in zip(np.mgrid[0.1:0.9:9j, 0.1:0.9:9j], shape, strict=True)]


def _is_same(found: PageGeometry | None, drawn: DrawnGrid) -> bool:
    """Whether both have the same pitch, or differ only in whether the same lines are 1 or 5 mm apart."""
    if found is None or found.px_per_mm is None:
        return False
    log_ratio = np.log(found.px_per_mm) - np.log([drawn.down, drawn.across])
    steps = [0.0] if found.ambiguous else np.log([1.0, GRID_MAJOR_MM, 1 / GRID_MAJOR_MM])
    return bool(min(np.abs(log_ratio - step).max() for step in steps) <= _SAME_PITCH)


def _angle_and_pitch(page_map: PageMap, shape: tuple[int, int]) -> tuple[float, tuple[float, float]]:
    """Angle in degrees, and px per mm down and across: medians over the image."""
    y, x = page_map.to_mm(*_over(shape))
    seen = np.array(
        [page_map.to_pixels(y + dy, x + dx) for dy, dx in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))]
    )
    down, across = seen[0] - seen[1], seen[2] - seen[3]
    turned = np.arctan2(down[1] - across[0], down[0] + across[1])
    pitch = (float(np.median(np.hypot(*down))), float(np.median(np.hypot(*across))))
    return float(np.rad2deg(np.median(turned))), pitch


def _is_plausible(pitch: tuple[float, float], shape: tuple[int, int], *, ambiguous: bool) -> bool:
    """Whether paper can have this pitch: squares nearly square, and an image as large as a page."""
    aspect = abs(np.log(pitch[0] / pitch[1]))
    long_side_mm = max(shape) / np.sqrt(pitch[0] * pitch[1])
    limit = _MAX_ASPECT_AMBIGUOUS if ambiguous else _MAX_ASPECT
    shortest, longest = _IMAGE_MM_AMBIGUOUS if ambiguous else _IMAGE_MM
    return bool(aspect < limit and shortest < long_side_mm < longest)


def _without_grid(image: NDArray[np.uint8]) -> PageGeometry:
    """Geometry from the sheet's edges, otherwise the angle alone."""
    warnings = ["grid: no printed grid is visible, so the pitch was not measured"]
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
        warnings.append(f"{error}; assumed an angle of 0 degrees")
    return PageGeometry(angle, None, False, None, float("nan"), "hough-only", tuple(warnings))


def _map_of_sheet(sheet: SheetOutline) -> PageMap:
    height, width = sheet.size_mm
    y, x = (np.linspace(0, size, max(4, round(size / LATTICE_MM) + 1)) for size in (height, width))
    rows, cols = sheet.to_pixels(*np.meshgrid(y / height, x / width, indexing="ij"))
    return PageMap(y, x, rows, cols)
