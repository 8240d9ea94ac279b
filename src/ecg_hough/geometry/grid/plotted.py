"""Grid of a picture that a program drew: horizontal and vertical lines, evenly spaced, each family by itself.

In: an upright picture that was not photographed. Out: px per mm down and across, or None where the evidence
is not clear. Squares of paper are square, and `find` searches two families of lines of nearly one pitch that
continue over the page. In plots 0.5 mV may be twice as tall as 0.2 s is wide, or half as tall, and every
panel may have a grid of its own. The period of a family is measured here from the harmonics of short profiles
across its lines: one profile per panel, each with a phase of its own.
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
"""Largest plausible ratio of both pitches."""
SHARE_MIN = 0.4
"""Smallest share of the profiles' power that the lines must explain; the true pitches of 80 plots have 0.46
or more."""
COHERENCE_MIN = 0.9
"""Without framed panels: smallest coherence of the lines' phase from part to part, and smallest share of the
parts with one family that have the other one, too. Lines that bend are seen in some parts only."""
FIFTH_MIN = 1.25
"""Smallest ratio of the fifth harmonic of 5 mm lines to its neighbours where 1 mm lines are printed, too."""
_PERIODS_PX, _STEP = (7.0, 130.0), 4e-4  # of 5 mm, and the logarithm's step
_FINER = 21  # steps between neighbours, to refine the best one
_HARMONICS = 40
_NYQUIST = 0.47  # cycles per px; a harmonic beyond it is not resolved
_FINEST_PX = 2.6  # 1 mm lines nearer to each other are not resolved
_PARTS, _PART_PX = 6, 256  # parts of the longer side where no panels are framed, and the smallest side of one
_SAMPLES, _PERCENT = 160, 25  # of a part, along its lines: a line is dark at three of four places
_PAPER_PX, _PAPER_PERCENT = 61, 20  # window and percentile of the paper's brightness along the profile
_HIGHEST_PERCENT = 99.5  # of a profile: darker rows are horizontal stretches of a trace
_LEAST_PX, _PER_PART = 24, 2.5  # px of a profile, and periods in it
_EMPTY = 0.05  # of the strongest profile's power
_BLUR_PX = 0.6  # lines on whole pixels beat
_LINE = 0.3  # of a profile's darkest line; fainter maxima are no lines
_FALL, _FIRST, _OVER_FIFTH = 0.3, 0.5, 0.05  # see `_is_fundamental`
_WINDOW, _MEAN_SQUARE = 1.5, 0.375  # of Hann's window: mean square over squared mean, mean square


class DrawnGrid(NamedTuple):
    """Px per mm of both families, if wide lines are 5 mm apart, 0.2 s and 0.5 mV.

    `residual_px`: median distance of the lines from even spacing; `framed`: they lie in framed panels.
    """

    down: float
    across: float
    residual_px: float
    framed: bool


class _Family(NamedTuple):
    """Lines of one direction.

    Attributes:
        period_px: of the wider lines; fifths: whether it contains five narrower ones; resolved: whether these
            would be seen.
        share: of the profiles' power that the period explains.
        residual_px: median distance of the lines from even spacing.
        coherence: 0 to 1, of the lines' phase over the parts of the picture; parts: those that show lines.
    """

    period_px: float
    fifths: bool
    resolved: bool
    share: float
    residual_px: float
    coherence: float
    parts: frozenset[int]


def find_drawn_grid(framed: Framed) -> DrawnGrid | None:
    """Pitch of the lines of a program's picture, or None where the evidence is not clear.

    Args:
        framed: the picture, upright.
    """
    image = framed.image if framed.image.ndim == 3 else framed.image[..., None]
    boxes = [_inside(panel, framed.slack_px) for panel in framed.panels] or _parts(image.shape)
    parts = [(box.top, box.cut(image)) for box in boxes]
    turned = [(box.left, box.cut(image).swapaxes(0, 1)) for box in boxes]
    down, across = side_by_side(_family, [parts, turned])
    if down is None or across is None or not _are_clear(down, across, framed=bool(framed.frames)):
        return None
    periods = _major_periods_px(down, across)
    if abs(np.log(periods[0] / periods[1])) > np.log(STRETCH_MAX):
        return None
    pitch = periods / GRID_MAJOR_MM
    residual_px = float(np.hypot(down.residual_px, across.residual_px))
    return DrawnGrid(float(pitch[0]), float(pitch[1]), residual_px, bool(framed.frames))


def _are_clear(down: _Family, across: _Family, *, framed: bool) -> bool:
    """Whether both families explain their profiles, agree over the parts, and have known spacings."""
    if min(down.share, across.share) < SHARE_MIN:
        return False
    both = len(down.parts & across.parts) / len(down.parts | across.parts)
    if not framed and min(down.coherence, across.coherence, both) < COHERENCE_MIN:
        return False
    # Lines of one spacing alone may be 1 or 5 mm apart, in one family only if its fifths are not resolved.
    if not (down.fifths or across.fifths):
        return False
    return all(family.fifths or not family.resolved for family in (down, across))


def _major_periods_px(down: _Family, across: _Family) -> NDArray[np.float64]:
    """(2,) periods of 5 mm lines; of a family without fifths, the one nearer to the other family's."""
    periods = np.array([down.period_px, across.period_px])
    for k, family in enumerate((down, across)):
        if not family.fifths:
            log_ratio = np.log(periods[k] / periods[1 - k] * np.array([1.0, GRID_MAJOR_MM]))
            periods[k] *= (1.0, GRID_MAJOR_MM)[int(np.abs(log_ratio).argmin())]
    return periods


def _inside(panel: Box, slack_px: int) -> Box:
    """A panel without its frame's lines; remaining pixels of them are at a profile's ends, of low weight."""
    top, left, bottom, right = panel
    inset = slack_px // 2 + 1
    return Box(top + inset, left + inset, bottom - inset, right - inset)


def _parts(shape: tuple[int, ...]) -> list[Box]:
    """Equal parts of a picture without framed panels."""
    side = max(_PART_PX, max(shape) // _PARTS)
    edges = [np.linspace(0, n, max(1, n // side) + 1).astype(int).tolist() for n in shape[:2]]
    return [Box(a, left, b, right) for a, b in pairwise(edges[0]) for left, right in pairwise(edges[1])]


def _profile(part: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(rows,) darkness of the lines along a part's rows, over that of the paper between them."""
    n = part.shape[1]
    # Evenly spread, but not periodic, as the lines across are.
    at = np.unique((np.arange(_SAMPLES) * (np.sqrt(5) - 1) / 2 % 1 * n).astype(int))
    dark = np.percentile(255.0 - darkest_of(part[:, at]), _PERCENT, axis=1)
    depth = dark - percentile_filter(dark, _PAPER_PERCENT, _PAPER_PX, mode="nearest")
    depth = gaussian_filter1d(np.minimum(depth, np.percentile(depth, _HIGHEST_PERCENT)), _BLUR_PX)
    return np.asarray(depth - depth.mean(), float)


def _family(parts: list[tuple[int, NDArray[np.uint8]]]) -> _Family | None:
    """Lines along the rows of parts (rows, cols, 3), each with a phase of its own; None where none are seen.

    Args:
        parts: each with the row of the picture at which it begins.
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
    fifths = bool(energy[5, best] > FIFTH_MIN * (energy[4, best] + energy[6, best]) / 2)
    turns = np.array(
        [np.exp(2j * np.pi * (parts[k][0] + np.arange(p.size)) / period) @ p for k, p in seen.items()]
    )
    return _Family(
        period_px=period,
        fifths=fifths,
        resolved=period / GRID_MAJOR_MM >= _FINEST_PX,
        share=float(share[best]),
        residual_px=_residual_px(found, period / GRID_MAJOR_MM if fifths else period),
        coherence=float(np.abs(turns.sum()) / np.abs(turns).sum()),
        parts=frozenset(seen),
    )


def _residual_px(found: list[NDArray[np.float64]], pitch_px: float) -> float:
    """Median distance of the lines of all profiles from even spacing by `pitch_px`."""
    residual = []
    for profile in found:
        inner = profile[1:-1]
        line = (inner >= profile[:-2]) & (inner > profile[2:]) & (inner > _LINE * profile.max())
        if line.any():
            turns = np.exp(2j * np.pi * np.flatnonzero(line) / pitch_px)
            residual.append(np.abs(np.angle(turns / turns.mean())) / (2 * np.pi) * pitch_px)
    return float(np.median(np.concatenate(residual))) if residual else np.nan


def _spectrum(found: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean power spectrum of profiles, 0 to 1/2 cycle per px, scaled to the share of the profile's power."""
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
    """Share of the power that each period explains, less that which as many harmonics explain of noise."""
    of_noise = 2 * _NYQUIST * periods / (_WINDOW * _MEAN_SQUARE * length)
    return np.asarray(1 - (1 - energy.sum(axis=0)) / np.maximum(1 - of_noise, 0.05), float)


def _is_fundamental(energy: NDArray[np.float64], periods: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a period is that of lines and not a multiple of it.

    The first harmonic is seen, and the following ones decrease, except for those of five times finer lines.
    """
    seen = np.floor(_NYQUIST * periods)
    falls = [(energy[k] >= _FALL * energy[k + 1]) | (seen <= k) for k in (1, 2, 3)]
    others = [k for k in range(2, _HARMONICS + 1) if k % round(GRID_MAJOR_MM)]
    first = energy[1] >= np.maximum(_FIRST * energy[others].max(axis=0), _OVER_FIFTH * energy[5])
    return np.logical_and.reduce([*falls, first])
