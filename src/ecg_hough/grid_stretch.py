"""How many times taller than wide the printed squares are: plots need not be drawn to scale.

In: an upright image. Out: the ratio of its scales down and across, 1 where nothing surely says other. Squares
of paper are square, so `grid` looks for two families of lines of nearly one pitch, and takes every third line
of one family for every line of the other where a program drew 0.5 mV taller than 0.2 s is wide. Here each
family is looked for by itself, in spectra of short stretches (Welch's method), as panels may have grids of
their own that do not continue each other. Its pitch is told by lines 1 mm apart of which every fifth is
stronger.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import maximum_filter1d

from ecg_hough.cores import side_by_side
from ecg_hough.grid import LONG_SIDES_PX, grid_evidence
from ecg_hough.paper import GRID_MAJOR_MM

STRETCH_MAX, SQUARE = 2.6, 1.17
"""Ratios beyond the first are not believed: three is what every third line of a family looks like. Ratios up
to the second are read as they are (`grid_combs`)."""
CLEAR, NEXT = 0.8, 0.6
"""Log power by which both spacings must be clear at a pitch, and the share of it below which other pitches
must stay. Of 39 stretched plots, their frames taken off, 33 are told so, to 5 %; none of 25 other plots, nor
of 534 pages by four programs that draw square squares."""
_STRETCHES_PX = (160, 320)
_STRIP_PX = 64  # over which lines are averaged along themselves
_PART_PX = 1024  # of the middle of the page, which shows enough lines
_N_FREQUENCIES = 4096  # px of the transform: its k-th frequency is k / 4096 cycles per px
_TOOTH = 3  # frequencies; a tooth is looked for this near its place
_FLOOR = 1e-6  # of a spectrum's power
_SEARCHED_PX, _STEP = (2.15, 24.0), 0.004  # px per mm, and the logarithm's step
_SAME, _THIRD = 0.1, 0.06  # log ratio of pitches that are the same, and of those to a third of one
_CAPPED, _FLAT = 2.5, 0.1
_ODD, _EVEN = (1, 3), (2, 4)  # harmonics of 5 mm that 1 mm lines have not
_MAJOR = round(GRID_MAJOR_MM)  # the harmonic that they have

PITCHES = np.exp(np.arange(np.log(_SEARCHED_PX[0]), np.log(_SEARCHED_PX[1]), _STEP))


def find_stretch(image: NDArray[np.uint8]) -> float:
    """Height over width of the printed squares in px, 1 where they are nearly square or do not tell.

    Args:
        image: (rows, cols, 3) or (rows, cols) uint8, upright.
    """
    longest = max(image.shape[:2])
    # A small image has one scale, not twice the same.
    scales = list(dict.fromkeys(min(1.0, long_side / longest) for long_side in LONG_SIDES_PX[:2]))
    looks = np.concatenate(side_by_side(lambda scale: _looks(image, scale), scales))
    seen = np.isfinite(looks)
    clear = np.where(seen, looks, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    told = [_told(of_family) for of_family in clear]
    if told[0] is None or told[1] is None:
        return 1.0
    stretch = told[0] / told[1]
    return stretch if SQUARE < max(stretch, 1 / stretch) < STRETCH_MAX else 1.0


def _looks(image: NDArray[np.uint8], scale: float) -> NDArray[np.float64]:
    """(n, 2, pitches) how clear every pitch of the image is in either family, NaN where it cannot be seen, of
    the middle of a copy at `scale`."""
    rows, cols = (max(1, round(n * scale)) for n in image.shape[:2])
    small = cv2.resize(image, (cols, rows), interpolation=cv2.INTER_AREA)
    top, left = max(0, rows - _PART_PX) // 2, max(0, cols - _PART_PX) // 2
    evidence = grid_evidence(small[top : top + _PART_PX, left : left + _PART_PX])
    out = np.full((len(_STRETCHES_PX), 2, PITCHES.size), np.nan)
    for axis, lines in enumerate((evidence, evidence.T)):
        for k, length in enumerate(_STRETCHES_PX):
            if lines.shape[0] >= length:
                clear = _clearness(_spectrum(lines, length))
                out[k, axis] = np.interp(PITCHES * scale, PITCHES, clear, left=np.nan, right=np.nan)
    return out


def _told(clear: NDArray[np.float64]) -> float | None:
    """The one pitch that is clear, px per mm, or None."""
    # At a third of the true pitch all odd harmonics are lines, too; at three times it they are not.
    k = int(np.argmax(clear))
    thrice = np.where(np.abs(np.log(PITCHES / PITCHES[k] / 3)) <= _THIRD, clear, -np.inf)
    k = int(np.argmax(thrice)) if thrice.max() >= NEXT * clear[k] else k
    apart = np.log(PITCHES / PITCHES[k])
    same = (np.abs(apart) <= _SAME) | (np.abs(apart + np.log(3)) <= _THIRD)
    if clear[k] < CLEAR or clear[~same].max() >= NEXT * clear[k]:
        return None
    # Clearness is flat on top.
    top = (np.abs(apart) <= _SAME) & (clear > clear[k] - _FLAT)
    return float(PITCHES[top].mean())


def _spectrum(lines: NDArray[np.float32], length: int) -> NDArray[np.float64]:
    """Log power down the rows of an evidence image: of stretches of so many rows, averaged."""
    n, width = lines.shape
    strips = max(1, width // _STRIP_PX)
    used = strips * min(width, _STRIP_PX)
    profiles = lines[:, :used].reshape(n, strips, -1).mean(axis=2)
    starts = np.linspace(0, n - length, int(np.ceil((n - length) / (length / 2))) + 1).astype(int)
    stretches = np.stack([profiles[start : start + length] for start in starts])
    stretches = (stretches - stretches.mean(axis=1, keepdims=True)) * np.hanning(length)[None, :, None]
    power = np.abs(fft.rfft(stretches, _N_FREQUENCIES, axis=1)) ** 2
    # Each stretch has its say, but for those with nothing in them.
    power /= power.sum(axis=1, keepdims=True) + 0.02 * length
    total = power.sum(axis=(0, 2))
    return np.asarray(np.log(total / max(float(total.sum()), _FLOOR) + _FLOOR), float)


def _clearness(spectrum: NDArray[np.float64]) -> NDArray[np.float64]:
    """How clear both spacings of every pitch of `PITCHES` are, log power, at most `_CAPPED`."""
    highest = maximum_filter1d(spectrum, 2 * _TOOTH + 1)

    def height(harmonic: float) -> NDArray[np.float64]:
        at = np.round(harmonic * _N_FREQUENCIES / (GRID_MAJOR_MM * PITCHES)).astype(int)
        return highest[np.minimum(at, highest.size - 1)]

    teeth = [height(n) for n in range(_MAJOR + 2)]
    between = [height(n + 0.5) for n in range(_MAJOR + 1)]
    over = {n: teeth[n] - np.median(between[max(0, n - 2) : n + 2], axis=0) for n in (*_ODD, *_EVEN)}
    odd, even = (np.mean([over[n] for n in kind], axis=0) for kind in (_ODD, _EVEN))
    one = teeth[_MAJOR] - (teeth[_MAJOR - 1] + teeth[_MAJOR + 1]) / 2
    return np.asarray(np.minimum.reduce([odd, even, one]).clip(max=_CAPPED), float)
