"""Positions of the lines of a printed grid, to a hundredth of a millimetre, and their displacement.

In: the page's pixels and map, and the block of traces on it. Out: the positions of the lines down and across
the page. Programs begin their traces on a line of the grid that they draw. The position of that line is known
from hundreds of others, that of a trace's end only from the round end of a stroke (`columns`).

A program that draws lines on whole pixels, as matplotlib does where they are an odd number of pixels wide,
displaces them by up to a pixel to the right or down, half a pixel in the mean, and draws its traces between
pixels. The displacements repeat as the pitch of the lines beats with the pixels. That pattern survives
printing, scanning and photographing, and its amplitude is that of a pixel. In the program's own picture the
profiles of the lines are clearer evidence: lines one pixel wide are displaced, those two pixels wide are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter, percentile_filter, uniform_filter1d

from ecg_hough.cores import side_by_side
from ecg_hough.elements import LINE_MM, ON_LINE_MM, Box, GridLines
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame, cut_strip, shrink_for_strips, strip_map
from ecg_hough.image.colours import darkest_of, grey_of
from ecg_hough.page_map import PageMap
from ecg_hough.paper import MM_PER_INCH

MAJOR = 5
"""Every fifth line is stronger, and may be displaced otherwise than those between."""
COHERENT_MIN = 0.5
"""Smallest coherence of the lines' phases where a grid is seen."""
BACKGROUND_MM = 5.0
"""Side of the square over which the brightness of the paper is averaged."""
BAND_MM = 5.0
"""Length along the lines of the bands in which they are measured."""
DRIFT_LINES = 16
"""Number of lines over which errors of the page map are smooth."""
BEAT_MIN, BEAT_SAME = 0.04, 0.004
"""Fewest beats of pitch and pixel per line that differ from those errors; largest difference of the beats of
both families from the same pixel."""
BEAT_EVIDENCE = 10.0
"""Smallest log likelihood ratio of a beat to noise."""
OFFSET_MAX_MM = 0.15
"""Largest displacement of a line by rounding: half a pixel of a coarse raster."""
RASTERS_DPI = (72, 96, 100, 120, 150, 200, 240, 250, 300, 400, 600)
"""Usual resolutions of pictures."""
AMPLITUDE_ERROR = 0.7
"""Largest log ratio of a pixel to the one that a beat's amplitude gives, which noise reduces."""
ONE_PIXEL_MM = 0.1
"""Lines are thinner than twice this: one pixel wide where pixels are larger. Lines of an even number of
pixels are not displaced."""
EVEN_MM = 0.01
"""Lines with a smaller standard deviation from even spacing were drawn between pixels."""
ON_EVEN_LINE_MM = 0.05
"""As `ON_LINE_MM` where lines are evenly spaced: the ends of traces are measured better there."""
ON_LINE_PX = 0.9
"""The same in a program's own picture, if that is more."""
PROFILES, PROFILE_PX = 7, 24
"""Number of profiles across the lines, and pixels along the lines of which each is the median."""
PAPER_PX, PAPER_PERCENT = 61, 20
"""Window and percentile of the paper's brightness: lines may cover half of the window."""
LINE_DEPTH, LINES_MIN = 4.0, 60
"""Smallest darkness of a line, grey levels, and smallest number of lines for their width to be measured."""
ONE_MAX, TWO_MIN, SKEW_MAX, CRISP_SHARE = 0.3, 0.8, 0.06, 0.75
"""Darkness of the pixel next to a line's darkest one, over that: at most where the line is one pixel wide, at
least where it is two; largest difference of both neighbours of one pixel; smallest share of lines that are
one or the other. Lines that were scanned or photographed are neither."""
SHARP_MAX, SPREAD_MIN = 0.1, 0.15
"""Darkness of the pixels two from a line's darkest one, over that, at most, where a program drew the line;
least standard deviation of the lines' places between pixels, px, at which their neighbours tell how they were
drawn."""
UPRIGHT_PX = 1.0
"""Largest lean of the block in a program's own picture."""
SIDED_MIN = 0.3
"""Correlation of the difference of a line's two neighbours with its place between pixels above which lines
were drawn between pixels. Of 8 ECG-Image-Kit, 3 matplotlib and 2 other pages with lines on whole pixels it is
at most 0.13, of 14 pages with lines between pixels at least 0.47."""


def find_lines(
    image: NDArray[np.uint8], page_map: PageMap, box_mm: tuple[float, float, float, float]
) -> tuple[GridLines | None, GridLines | None]:
    """Horizontal lines, placed down the page, and vertical ones, placed across it; None where none are seen.

    Args:
        image: the page, upright (rows, cols, 3) uint8; page_map: its millimetres.
        box_mm: top, left, bottom and right of the area that is searched.
    """
    top, left, bottom, right = box_mm
    shape = (round((bottom - top) * STRIP_PX_PER_MM), round((right - left) * STRIP_PX_PER_MM))
    if min(shape) < 2 * DRIFT_LINES * LINE_MM * STRIP_PX_PER_MM:
        return None, None
    pixels, factor = shrink_for_strips(image, float(np.mean(page_map.px_per_mm)))
    strip = cut_strip(pixels, strip_map(StripFrame(top, left, shape), page_map), factor, cubic=False)
    shade = grey_of(strip).astype(np.float32)

    def look(axis: int) -> tuple[_Family, _Beat, float | None] | None:
        family = _family(_profiles(shade if axis else shade.T), left if axis else top)
        if family is None:
            return None
        return family, family.beat(), _displaced_px(image, page_map, box_mm, family, axis)

    seen = side_by_side(look, (0, 1))
    beats = [None if one is None else one[1] for one in seen]
    pixels_mm = [
        None if beat is None else beat.pixel_mm(beats, 1.0 / scale)
        for beat, scale in zip(beats, page_map.px_per_mm, strict=True)
    ]
    # Pixels are square, or nearly: the beat of one family also measures them for the other.
    found = [
        None if one is None else _lines(*one, own or other, scale)
        for one, own, other, scale in zip(seen, pixels_mm, pixels_mm[::-1], page_map.px_per_mm, strict=True)
    ]
    return found[0], found[1]


def _lines(
    family: _Family, beat: _Beat, displaced_px: float | None, pixel_mm: float | None, px_per_mm: float
) -> GridLines:
    """Lines with their displacement, measured in the program's own picture, or else by the pixel that made
    the beat.

    Args:
        px_per_mm: of the image.
    """
    if displaced_px is not None:
        near_mm = max(ON_LINE_MM, ON_LINE_PX / px_per_mm)
        return GridLines(family.phase_mm, (displaced_px / px_per_mm,), near_mm)
    if pixel_mm is not None:
        half = 0.5 * pixel_mm
        return GridLines(family.phase_mm, (half,) if pixel_mm > ONE_PIXEL_MM else (half, 0.0))
    # Lines a whole number of pixels apart are evenly spaced also where all are displaced by the same amount.
    whole = abs(px_per_mm * LINE_MM - round(px_per_mm * LINE_MM)) < BEAT_MIN
    even = beat.sd_mm <= EVEN_MM and not whole
    return GridLines(family.phase_mm, (0.0,) if even else (), ON_EVEN_LINE_MM)


def _displaced_px(
    image: NDArray[np.uint8],
    page_map: PageMap,
    box_mm: tuple[float, float, float, float],
    family: _Family,
    axis: int,
) -> float | None:
    """Mean displacement of the lines, px, in the picture that a program drew; None where it is not, as where
    the page is turned.

    A line of an odd number of pixels on whole ones is displaced by half a pixel in the mean, others by
    nothing. Lines drawn between pixels darken that neighbour of their darkest pixel which is nearer to them.
    """
    corners = page_map.to_pixels(np.array(box_mm[::2])[[0, 0, 1]], np.array(box_mm[1::2])[[0, 1, 0]])
    upright = max(abs(corners[0][1] - corners[0][0]), abs(corners[1][2] - corners[1][0])) < UPRIGHT_PX
    if not upright:
        return None
    profiles = _lines_px(image, page_map, box_mm, family, axis)
    if sum(len(each[0]) for each in profiles) < LINES_MIN:
        return None
    off_px, darker, sided, beyond = (np.concatenate(v) for v in zip(*profiles, strict=True))
    one = (darker < ONE_MAX) & (np.abs(sided) < SKEW_MAX)
    two = darker > TWO_MIN
    narrow = ~two & (beyond < SHARP_MAX)
    if narrow.mean() > CRISP_SHARE and off_px[narrow].std() > SPREAD_MIN:
        # Lines without any difference of their neighbours correlate with nothing.
        with np.errstate(invalid="ignore"):
            between = float(np.corrcoef(off_px[narrow], sided[narrow])[0, 1])
        if between > SIDED_MIN:
            return 0.0
    if (one | two).mean() < CRISP_SHARE:
        return None
    return 0.5 * float(one.sum() / (one | two).sum())


def _lines_px(
    image: NDArray[np.uint8],
    page_map: PageMap,
    box_mm: tuple[float, float, float, float],
    family: _Family,
    axis: int,
) -> list[tuple[NDArray[np.float64], ...]]:
    """For every profile across the lines, of each line that it shows: its even place from its darkest pixel,
    px, and over the darkness of that, the darkness of the darker neighbour, the difference of the two, and
    the darkness of the pixels behind them."""
    corners = page_map.to_pixels(np.array(box_mm[::2]), np.array(box_mm[1::2]))
    part = Box.around(np.column_stack(corners), image.shape)
    pixels, begin = part.cut(image), (part.top, part.left)
    if axis == 0:
        pixels, begin = pixels.swapaxes(0, 1), begin[::-1]
    n_rows, n_cols = pixels.shape[:2]
    seen: list[tuple[NDArray[np.float64], ...]] = []
    if n_rows < PROFILE_PX or n_cols < PAPER_PX:
        return seen
    for first in np.linspace(0, n_rows - PROFILE_PX, PROFILES + 2)[1:-1].astype(int):
        profile = np.median(255.0 - darkest_of(pixels[first : first + PROFILE_PX]), axis=0)
        along = np.arange(0.0, n_cols, 4.0)
        across = np.full(along.size, begin[0] + first + PROFILE_PX / 2)
        here = along + begin[1]
        mm = page_map.to_mm(across, here)[1] if axis == 1 else page_map.to_mm(here, across)[0]
        lines = np.arange(np.ceil((mm[0] - family.phase_mm) / LINE_MM), (mm[-1] - family.phase_mm) / LINE_MM)
        even = np.interp(family.phase_mm + lines * LINE_MM, mm, along)
        even = even[(even > 4.5) & (even < n_cols - 5.5)]
        if not even.size:
            continue
        at = np.round(even).astype(int)
        paper = percentile_filter(profile, PAPER_PERCENT, PAPER_PX, mode="nearest")
        near = (profile - paper)[at[:, None] + np.arange(-3, 4)]
        line, peak = np.arange(len(near)), 2 + near[:, 2:-2].argmax(axis=1)
        depth = near[line, peak]
        before, behind = near[line, peak - 1], near[line, peak + 1]
        kept = depth > LINE_DEPTH
        over = np.maximum(depth, LINE_DEPTH)
        beyond = np.maximum(near[line, peak - 2], near[line, peak + 2])
        figures = (
            even - at - (peak - 3),
            np.maximum(before, behind) / over,
            (behind - before) / over,
            beyond / over,
        )
        seen.append(tuple(figure[kept] for figure in figures))
    return seen


def _profiles(shade: NDArray[np.float32]) -> NDArray[np.float64]:
    """(bands, n) mean darkness of the columns over the paper, limited so that ink is as dark as a line."""
    depth = cv2.blur(shade, (round(BACKGROUND_MM * STRIP_PX_PER_MM) | 1, 1)) - shade
    most = 2.0 * float(np.abs(depth).mean()) + 1e-6
    height = round(BAND_MM * STRIP_PX_PER_MM)
    whole = np.clip(depth, -most, most)[: len(depth) // height * height]
    return whole.reshape(-1, height, depth.shape[1]).mean(axis=1, dtype=np.float64)


@dataclass(frozen=True)
class _Beat:
    """A periodic pattern in the offsets of lines from even spacing.

    Attributes:
        per_line: beats per line; amplitude_mm: of the wave; evidence: log likelihood ratio to noise.
        sd_mm: of all offsets that are neither smooth nor repeated by every fifth line.
    """

    per_line: float
    amplitude_mm: float
    evidence: float
    sd_mm: float

    def pixel_mm(self, beats: list[_Beat | None], image_pixel_mm: float) -> float | None:
        """Size of the image's pixel, or of a usual raster's, if it makes such a pattern; else None.

        From one line to the next there is a whole number of pixels plus or minus a beat. The amplitude of the
        pattern decides which number.

        Args:
            beats: of both families.
        """
        same = [b for b in beats if b is not None and abs(b.per_line - self.per_line) <= BEAT_SAME]
        if sum(b.evidence for b in same) < BEAT_EVIDENCE:
            return None
        # Rounding to pixels is a saw-tooth as high as a pixel; its first harmonic has 1 / pi of that.
        rough = np.pi * float(np.mean([b.amplitude_mm for b in same]))
        usual = [MM_PER_INCH / dpi for dpi in RASTERS_DPI]
        for known in (image_pixel_mm, *sorted(usual, key=lambda mm: abs(np.log(mm / rough)))):
            difference = abs(abs(LINE_MM / known - round(LINE_MM / known)) - self.per_line)
            if difference <= BEAT_SAME and abs(np.log(known / rough)) <= AMPLITUDE_ERROR:
                return float(known)
        return None


@dataclass(frozen=True)
class _Family:
    """Lines of one direction: their common phase, and the offset of each from it with its weight, (n,)."""

    phase_mm: float
    offset_mm: NDArray[np.float64]
    weight: NDArray[np.float64]

    def beat(self) -> _Beat:
        """The strongest pattern apart from smooth offsets and those that every fifth line repeats."""
        # Rounding moves no line by more than half a pixel: larger offsets are those of text or a trace.
        smooth = median_filter(self.offset_mm, DRIFT_LINES + 1, mode="reflect")
        off = np.where(np.abs(self.offset_mm - smooth) <= OFFSET_MAX_MM, self.offset_mm, smooth)
        off -= uniform_filter1d(off, DRIFT_LINES, mode="reflect")
        for k in range(MAJOR):
            off[k::MAJOR] -= np.average(off[k::MAJOR], weights=self.weight[k::MAJOR])
        off *= self.weight
        n = off.size
        spectrum = np.abs(np.fft.rfft(off, 8 * n))
        per_line = np.fft.rfftfreq(8 * n)
        best = int(np.where(per_line >= BEAT_MIN, spectrum, 0.0).argmax())
        total = float((off**2).sum()) + 1e-12
        residual = max(total - 2.0 * float(spectrum[best]) ** 2 / n, 1e-3 * total)
        amplitude = 2.0 * float(spectrum[best]) / float(self.weight.sum())
        evidence = 0.5 * n * float(np.log(total / residual))
        return _Beat(float(per_line[best]), amplitude, evidence, float(np.sqrt(total / n)))


def _family(profiles: NDArray[np.float64], start_mm: float) -> _Family | None:
    """Lines from the profiles across them, whose first column is at `start_mm`; None where none are seen."""
    at = np.arange(profiles.shape[1]) / STRIP_PX_PER_MM
    turned = profiles * np.exp(-2j * np.pi * at / LINE_MM)
    per_line = round(LINE_MM * STRIP_PX_PER_MM)
    # The phase of all lines together; then that of every line, over a whole period around it.
    first = (-np.angle(turned.sum()) / (2 * np.pi) % 1.0) * per_line
    begin = max(0, round(first - per_line / 2))
    n = (turned.shape[1] - begin) // per_line
    bands = turned[:, begin : begin + n * per_line].reshape(-1, n, per_line).sum(axis=2)
    bands *= np.exp(2j * np.pi * first / per_line)
    # Text and traces are next to a line in some bands only.
    own = np.median(bands.real, axis=0) + 1j * np.median(bands.imag, axis=0)
    size = np.abs(own)
    if np.abs(own.sum()) <= COHERENT_MIN * size.sum():
        return None
    offset_mm = -np.angle(own) / (2 * np.pi) * LINE_MM
    phase = (start_mm + first / STRIP_PX_PER_MM) % LINE_MM
    return _Family(float(phase), offset_mm, np.clip(size / (np.median(size) + 1e-9), 1e-3, 2.0))
