"""Grid of a picture as a program drew it: level and upright lines, evenly spaced, each family by itself.

In: an upright picture that was not photographed. Out: px per mm down and across, or None where the picture
does not surely tell. Paper's squares are square, and `grid` looks for two families of lines of nearly one
pitch that go on over the page. In plots 0.5 mV may be twice as tall as 0.2 s is wide, or half as tall, and
every panel may have a grid of its own. What is told here of a family is its period, from the harmonics of
short profiles across its lines: one profile a panel, each with a phase of its own.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, percentile_filter

from ecg_hough.cores import side_by_side
from ecg_hough.elements import Box
from ecg_hough.image.colours import darkest_of
from ecg_hough.image.frames import Framed
from ecg_hough.paper import GRID_MAJOR_MM

STRETCH_MAX = 3.0
"""Ratios of both pitches beyond it are not believed."""
SHARE_MIN = 0.4
"""Least share of the profiles' power that the lines must explain; the right pitches of 80 plots have 0.46 and
more."""
EVEN_MIN = 0.9
"""Where no panels are framed, lines must go on from part to part (length of the parts' mean phase, 1 where
all agree), and so many of the parts that show one family must show the other: lines that bend are seen here
and there only."""
FIFTH_MIN = 1.25
"""The fifth harmonic of 5 mm lines over those beside it, at least, where 1 mm lines are printed, too."""
_PERIODS_PX, _STEP = (7.0, 130.0), 4e-4  # of 5 mm, and the logarithm's step
_FINER = 21  # steps between neighbours, to refine the best one
_HARMONICS = 40
_NYQUIST = 0.47  # cycles per px; beyond it a harmonic is not seen
_FINEST_PX = 2.6  # 1 mm lines nearer to each other are not told apart
_PARTS, _PART_PX = 6, 256  # parts of the longer side where no panels are framed, and the least side of one
_SAMPLES, _PERCENT = 160, 25  # of a part, along its lines: a line is dark at three of four places
_PAPER_PX, _PAPER_PERCENT = 61, 20  # the paper's own shade, along the profile
_HIGHEST_PERCENT = 99.5  # of a profile: what is darker is a trace's level stretch
_LEAST_PX, _PER_PART = 24, 2.5  # px of a profile, and periods in it
_EMPTY = 0.05  # of the strongest profile's power
_BLUR_PX = 0.6  # lines on whole pixels beat
_LINE = 0.3  # of a profile's highest line: what is lower is none
_FALL, _FIRST, _OVER_FIFTH = 0.3, 0.5, 0.05  # see `_is_fundamental`
_WINDOW, _MEAN_SQUARE = 1.5, 0.375  # of Hann's window: mean square over squared mean, mean square


class DrawnGrid(NamedTuple):
    """Px per mm of both families, lines 5 mm apart taken for 0.2 s and 0.5 mV.

    `residual_px`: median distance of the lines from where they would be if evenly spaced; `framed`: they lie
    in framed panels.
    """

    down: float
    across: float
    residual_px: float
    framed: bool


class _Family(NamedTuple):
    """Period of one family, px; whether five lines of another spacing lie in it, and whether they could be
    told; share of the power that it explains; median distance of the lines from their places, px; how surely
    they go on from part to part, 0 to 1; the parts in which they are seen."""

    period_px: float
    fifths: bool
    fine: bool
    share: float
    off_px: float
    even: float
    shown: frozenset[int]


def find_drawn_grid(framed: Framed) -> DrawnGrid | None:
    """Pitch of the lines of a program's picture, or None where they do not surely tell.

    Args:
        framed: the picture, upright.
    """
    image = framed.image if framed.image.ndim == 3 else framed.image[..., None]
    boxes = [_inside(panel, framed.slack_px) for panel in framed.panels] or _parts(image.shape)
    parts = [(box.top, box.cut(image)) for box in boxes]
    turned = [(box.left, box.cut(image).swapaxes(0, 1)) for box in boxes]
    down, across = side_by_side(_family, [parts, turned])
    if down is None or across is None or min(down.share, across.share) < SHARE_MIN:
        return None
    both = len(down.shown & across.shown) / len(down.shown | across.shown)
    if not framed.frames and min(down.even, across.even, both) < EVEN_MIN:
        return None
    # Lines of one spacing alone may be 1 or 5 mm apart; those whose fifths are too fine to see follow the
    # other family.
    if not (down.fifths or across.fifths) or any(f.fine and not f.fifths for f in (down, across)):
        return None
    periods = np.array([down.period_px, across.period_px])
    for k, family in enumerate((down, across)):
        if not family.fifths:
            apart = np.log(periods[k] / periods[1 - k] * np.array([1.0, GRID_MAJOR_MM]))
            periods[k] *= (1.0, GRID_MAJOR_MM)[int(np.abs(apart).argmin())]
    if abs(np.log(periods[0] / periods[1])) > np.log(STRETCH_MAX):
        return None
    pitch = periods / GRID_MAJOR_MM
    off = float(np.hypot(down.off_px, across.off_px))
    return DrawnGrid(float(pitch[0]), float(pitch[1]), off, bool(framed.frames))


def _inside(panel: Box, slack_px: int) -> Box:
    """A panel without its frame's lines; what is left of them counts little, at a profile's ends."""
    top, left, bottom, right = panel
    inset = slack_px // 2 + 1
    return Box(top + inset, left + inset, bottom - inset, right - inset)


def _parts(shape: tuple[int, ...]) -> list[Box]:
    """A picture without framed panels, in even parts."""
    side = max(_PART_PX, max(shape) // _PARTS)
    edges = [np.linspace(0, n, max(1, n // side) + 1).astype(int).tolist() for n in shape[:2]]
    return [Box(a, left, b, right) for a, b in pairwise(edges[0]) for left, right in pairwise(edges[1])]


def _profile(part: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(rows,) darkness of the lines along a part's rows, over that of the paper beside."""
    n = part.shape[1]
    # Evenly spread, and in no step with the lines across.
    at = np.unique((np.arange(_SAMPLES) * (np.sqrt(5) - 1) / 2 % 1 * n).astype(int))
    dark = np.percentile(255.0 - darkest_of(part[:, at]), _PERCENT, axis=1)
    depth = dark - percentile_filter(dark, _PAPER_PERCENT, _PAPER_PX, mode="nearest")
    depth = gaussian_filter1d(np.minimum(depth, np.percentile(depth, _HIGHEST_PERCENT)), _BLUR_PX)
    return np.asarray(depth - depth.mean(), float)


def _family(parts: list[tuple[int, NDArray[np.uint8]]]) -> _Family | None:
    """Lines along the rows of parts (rows, cols, 3), each with a phase of its own.

    Args:
        parts: each with the picture's row at which it begins.
    """
    seen = {k: _profile(part) for k, (_, part) in enumerate(parts) if min(part.shape[:2]) >= _LEAST_PX}
    power = {k: float((profile**2).mean()) for k, profile in seen.items()}
    least = max(_EMPTY * max(power.values(), default=0.0), 1e-3)
    seen = {k: profile for k, profile in seen.items() if power[k] > least}
    if not seen:
        return None
    found = list(seen.values())
    length = float(np.median([profile.size for profile in found]))
    spectrum = _spectrum(found)
    shortest, longest = np.log(_PERIODS_PX)
    periods = np.exp(np.arange(shortest, longest, _STEP))
    energy = _energies(spectrum, periods)
    share = np.where(
        (periods <= length / _PER_PART) & _is_fundamental(energy, periods),
        _share(energy, periods, length),
        -np.inf,
    )
    best = int(share.argmax())
    if share[best] == -np.inf:
        return None
    near = periods[best] * np.exp(np.linspace(-_STEP, _STEP, _FINER))
    period = float(near[_share(_energies(spectrum, near), near, length).argmax()])
    fine = period / GRID_MAJOR_MM >= _FINEST_PX
    fifth, beside = energy[5, best], (energy[4, best] + energy[6, best]) / 2
    fifths = bool(fifth > FIFTH_MIN * beside)
    off = _off_px(found, period / GRID_MAJOR_MM if fifths else period)
    turns = np.array(
        [np.exp(2j * np.pi * (parts[k][0] + np.arange(p.size)) / period) @ p for k, p in seen.items()]
    )
    even = float(np.abs(turns.sum()) / np.abs(turns).sum())
    return _Family(period, fifths, fine, float(share[best]), off, even, frozenset(seen))


def _off_px(found: list[NDArray[np.float64]], pitch_px: float) -> float:
    """Median distance of the lines of all profiles from places so far apart, px."""
    off = []
    for profile in found:
        inner = profile[1:-1]
        line = (inner >= profile[:-2]) & (inner > profile[2:]) & (inner > _LINE * profile.max())
        if line.any():
            turns = np.exp(2j * np.pi * np.flatnonzero(line) / pitch_px)
            off.append(np.abs(np.angle(turns / turns.mean())) / (2 * np.pi) * pitch_px)
    return float(np.median(np.concatenate(off))) if off else np.nan


def _spectrum(found: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Power of profiles from 0 to 1/2 cycle per px; a lone wave's peak is 1.2 times its share of it."""
    n = 1 << int(np.ceil(np.log2(8 * max(profile.size for profile in found))))
    total = np.zeros(n // 2 + 1)
    for profile in found:
        window = np.hanning(profile.size + 2)[1:-1]
        seen = profile * window
        total += 2 * np.abs(np.fft.rfft(seen, n)) ** 2 / ((window**2).sum() * (seen**2).sum() + 1e-12)
    return np.asarray(total / (_WINDOW * len(found)), float)


def _energies(spectrum: NDArray[np.float64], periods: NDArray[np.float64]) -> NDArray[np.float64]:
    """(harmonics + 1, periods) share of the power in every harmonic of every period."""
    at = np.arange(_HARMONICS + 1)[:, None] / periods
    places = 2 * (spectrum.size - 1) * np.minimum(at, 0.5)
    energy = np.interp(places, np.arange(spectrum.size), spectrum)
    return np.where((at > 0) & (at < _NYQUIST), energy, 0.0)


def _share(energy: NDArray[np.float64], periods: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    """Share of the power that each period explains, less what as many harmonics of any noise would."""
    of_noise = 2 * _NYQUIST * periods / (_WINDOW * _MEAN_SQUARE * length)
    return np.asarray(1 - (1 - energy.sum(axis=0)) / np.maximum(1 - of_noise, 0.05), float)


def _is_fundamental(energy: NDArray[np.float64], periods: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a period is that of lines, no multiple of it: harmonics fall off from the first one, those of
    the five times finer lines aside, and the first one is there."""
    seen = np.floor(_NYQUIST * periods)
    falls = [(energy[k] >= _FALL * energy[k + 1]) | (seen <= k) for k in (1, 2, 3)]
    others = [k for k in range(2, _HARMONICS + 1) if k % round(GRID_MAJOR_MM)]
    first = energy[1] >= np.maximum(_FIRST * energy[others].max(axis=0), _OVER_FIFTH * energy[5])
    return np.logical_and.reduce([*falls, first])
