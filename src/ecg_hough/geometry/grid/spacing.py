"""Distance of the followed lines in millimetres: every 1 mm line, every 5 mm line, or a harmonic of those.

In: evidence image and the followed phases of both families. Out: millimetres per cycle, and whether that was
assumed. Perspective smears the spectrum of a page, and the blocks of JPEG files beat with 1 mm lines; but in
a profile along the phase that was followed, averaged across it, every printed period gives one sharp peak.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_hough.geometry.grid.combs import Floats
from ecg_hough.geometry.grid.phase import smooth_phase
from ecg_hough.paper import GRID_MAJOR_MM, GRID_MINOR_MM

# Tuned on rendered pages (all profiles, 72-200 dpi).
_PATCH_PX = 320
_PLACES = ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))  # patches, share of the image
_BINS = 12  # of the profile per cycle
_FINE = 256  # of the spectrum per 1 / cycle
_WIDTH = 4  # of those; largest distance of a harmonic's peak from its frequency
_FLOOR = 1e-6  # of a profile's power; below it is rounding error
_CANDIDATES_MM = (1 / 3, 0.5, 1.0, 1.25, 5 / 3, 2.5, 5.0)  # per followed cycle: harmonics of 1 and of 5 mm
_CLEARER = 1.0  # log power by which a cycle of 5 mm must be clearer than others: lines on whole pixels beat
_ODD, _EVEN = (1, 3), (2, 4)  # harmonics of 5 mm lines that 1 mm lines do not have
_SEEN = 0.7  # smallest contrast of those, log power, where 5 mm lines are printed
_RISE = 0.4  # smallest contrast of the fifth harmonic, log power, where 1 mm lines are printed, too
_MIN_PERIOD_PX = 2.1
_AS_STRONG = 2.0  # log power by which harmonics of a longer period alone may be lower than the followed one
_PLAUSIBLE_LONG_SIDE_MM = 290.0


def mm_per_cycle(
    evidence: NDArray[np.float32], models: list[Floats], places: Floats, long_side_px: int, period_px: float
) -> tuple[float, bool]:
    """Millimetres of one cycle of the followed phases, and whether 1 or 5 mm lines had to be assumed.

    Args:
        models: phases of both families, see `phase.smooth_phase`.
        places: (n, 2) px at which both were found.
        long_side_px: of the page; period_px: of the cycle.
    """
    highest = min(period_px / _MIN_PERIOD_PX, _BINS / 2)
    spectra = [_spectrum(evidence, model, places) for model in models]
    both = _where_both_are_printed(spectra, highest)
    if both is not None:
        return both, False
    harmonic = _followed_harmonic(spectra, highest)
    printed = {mm: long_side_px / (period_px * harmonic) * mm for mm in (GRID_MINOR_MM, GRID_MAJOR_MM)}
    plausible = min(printed, key=lambda mm: abs(np.log(printed[mm] / _PLAUSIBLE_LONG_SIDE_MM)))
    return plausible / harmonic, True


def _where_both_are_printed(spectra: list[Floats], highest: float) -> float | None:
    """Millimetres per cycle where 1 and 5 mm lines are seen; None where only one spacing is."""
    clear = {
        mm: np.mean([_both_spacings(s, mm) for s in spectra], axis=0)
        for mm in _CANDIDATES_MM
        if (1 + 1 / GRID_MAJOR_MM) * mm / GRID_MINOR_MM <= highest
    }
    seen = {
        mm: float(five)
        for mm, (five, one) in clear.items()
        if five > _SEEN and one > _RISE and not are_harmonics(mm, clear)
    }
    if not seen:
        return None
    finest = min(seen)
    return GRID_MAJOR_MM if seen.get(GRID_MAJOR_MM, 0.0) > seen[finest] + _CLEARER else finest


def _followed_harmonic(spectra: list[Floats], highest: float) -> int:
    """Number of cycles in the longest period that the spectra show; 1 where that period was followed.

    Args:
        highest: frequency, per cycle, up to which lines are resolved.
    """
    harmonic = 1
    for n in (2, 3, 4, 5):
        # Frequencies of a period of n cycles that no shorter period has.
        own = [k / n for k in range(1, 2 * n) if np.gcd(k, n) == 1 and k / n < highest]
        if not own:
            break
        contrast = np.median([[_contrast(s, at, 0.5 / n) for at in own] for s in spectra], axis=1)
        below = np.median([[_peak(s, 1.0) - _peak(s, at) for at in own] for s in spectra], axis=1)
        if contrast.mean() > _SEEN and below.mean() < _AS_STRONG:
            harmonic = n
    return harmonic


def are_harmonics(mm: float, clear: dict[float, NDArray[np.float64]]) -> bool:
    """Whether apparent 1 and 5 mm lines at `mm` per cycle are harmonics of lines with a longer cycle.

    They are where 5 mm lines are clearer if a cycle is longer, by a factor that is no whole number.

    Args:
        clear: contrasts by millimetres per cycle, from `_both_spacings`.
    """
    return any(
        other > mm and five > clear[mm][0] + _CLEARER and abs(other / mm - round(other / mm)) > 0.1
        for other, (five, _) in clear.items()
    )


def _spectrum(evidence: NDArray[np.float32], model: Floats, places: Floats) -> Floats:
    """Log power of the evidence along a phase, averaged over patches; `_FINE` bins per 1 / cycle."""
    n = _BINS * _FINE
    total: Floats = np.zeros(n // 2 + 1)
    for share in _PLACES:
        near = places[np.argmin(np.hypot(*(places - np.multiply(share, evidence.shape)).T))]
        top, left = (
            int(np.clip(at - _PATCH_PX / 2, 0, max(0, size - _PATCH_PX)))
            for at, size in zip(near, evidence.shape, strict=True)
        )
        patch = evidence[top : top + _PATCH_PX, left : left + _PATCH_PX]
        rows = np.arange(top, top + patch.shape[0], dtype=np.float32)
        cols = np.arange(left, left + patch.shape[1], dtype=np.float32)
        phase = smooth_phase(model, rows, cols, evidence.shape)
        index = (phase - phase.min()) * _BINS
        index = index.astype(np.int32).ravel()
        count = np.bincount(index)
        profile = np.bincount(index, patch.ravel()) / np.maximum(count, 1)
        full = np.minimum(count / max(float(np.quantile(count, 0.7)), 1.0), 1.0)
        profile = (profile - np.average(profile, weights=count)) * full * np.hanning(len(profile))
        power = np.abs(np.fft.rfft(profile, n)[: n // 2 + 1]) ** 2
        total += power / max(float(power.sum()), 1e-12)
    return np.log(total / len(_PLACES) + _FLOOR)


def _peak(spectrum: Floats, at: float) -> float:
    """Greatest log power near a frequency, per cycle; for higher ones than the spectrum's, at its end."""
    k = min(round(at * _FINE), len(spectrum) - 1)
    return float(spectrum[max(0, k - _WIDTH) : k + _WIDTH + 1].max())


def _contrast(spectrum: Floats, at: float, apart: float) -> float:
    """Log power at a frequency over the mean of those `apart` below and above it."""
    return _peak(spectrum, at) - (_peak(spectrum, at - apart) + _peak(spectrum, at + apart)) / 2


def _both_spacings(spectrum: Floats, mm: float) -> tuple[float, float]:
    """Contrasts of 5 mm lines, and of 1 mm lines over their harmonics, at `mm` millimetres per cycle.

    The smaller one of odd and even harmonics of 5 mm: lines of a longer period have even ones only.
    """
    base = mm / GRID_MAJOR_MM
    height = [_peak(spectrum, n * base) for n in range(8)]
    between = [_peak(spectrum, (n + 0.5) * base) for n in range(8)]
    # The median: a beat with JPEG blocks may fill one of the gaps.
    clear = {n: height[n] - np.median(between[max(0, n - 2) : n + 2]) for n in (*_ODD, *_EVEN)}
    five = min(float(np.mean([clear[n] for n in harmonics])) for harmonics in (_ODD, _EVEN))
    return five, height[5] - (height[4] + height[6]) / 2
