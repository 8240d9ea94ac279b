"""Paper speed and gain of a page: given, printed, stated by its pulses or beats, or assumed.

In: the page's pixels, map, traces, panels and words. Out: `PaperScale` and in words what was assumed. A wrong
reading is worse than none: evidence counts only where it is strong, and the standard 25 mm/s and
10 mm/mV are taken otherwise, with a warning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import PrintedWord, PulsePlace, RowTrace, Window
from ecg_hough.layout.sheet import Sheet
from ecg_hough.page_map import PageMap
from ecg_hough.paper import BLOCK_MM, GAIN_MM_MV, GAIN_WORDS, PAPER_SPEED_MM_S, PULSE_MV, SPEED_WORDS
from ecg_hough.signals.beats import FIFTY_MIN, fifty_odds
from ecg_hough.signals.pulse import (
    SNAP_SHARE,
    Pulse,
    common_height,
    find_pulses,
    gain_of_pulses,
    place_of_pulses,
)
from ecg_hough.traces.ink import InkModel
from ecg_hough.traces.rows import Rows

SNAP_UNSURE = 0.25
"""Allowed error of a pulse's height where the page shows no grid."""
SNAP_AGAINST_TEXT = 0.06
"""The same for a pulse that says other than the page's text: one that is 10% off may be a beat."""
ONE_AGAINST_TEXT = 0.9
"""Quality of a page's only pulse that is believed then; beats have passed for pulses of 0.76."""
BLOCK_SLACK, PULSE_SLACK_MM = 0.04, 0.3
"""A block this near to the usual width has it, whatever pulses or the paper say: they are less sharp. One
pulse may be read so much too high or too low, n of them by this over the root of n."""
BLOCK_RANGE_MM = (110.0, 300.0)
"""Widths that a block of traces may have; a pulse or a sheet that says otherwise is none."""
CONTRAST_MIN = 0.6
"""Least contrast of ink to grid at which pulses are looked for."""
STATED_MIN = 0.85
"""Least score of a printed speed or gain that is believed."""
STATED_MARGIN = 0.1
"""Least lead of the value that is believed where the page states two."""
PAIR_MM = (2.5, 80.0)
"""Farthest down and across that a page's speed and gain stand from each other where they share a line."""
PARTNER_MIN, PAIR_CREDIT = 0.55, 0.2
"""Least score of such a partner, and what it adds: stray marks seldom look like both in one line."""
PAIRED_MIN = 1.0
"""Score that only a word with a partner has."""
WIDE_PULSE_MM, WIDE_PULSE_ODDS = 8.0, 5.0
"""A pulse lasts 0.2 s on most carts: one this wide speaks for 50 mm/s, with these log odds: it decides
where the beats do not speak against it."""
LONG_BLOCK_MM, LONG_BLOCK_ODDS = 400.0, 3.0
"""A block of traces this wide lasts 10 s at 50 mm/s and 20 s, which no cart prints in rows, at 25."""


@dataclass(frozen=True)
class PaperScale:
    """Speed and gain, where each comes from ("given", "text", "pulse", "beats", "assumed"), warnings, where
    the page's pulses stand, their height in the map's millimetres, None without any, and their number."""

    speed_mm_s: float
    gain_mm_mv: float
    speed_from: str
    gain_from: str
    warnings: tuple[str, ...] = ()
    pulse: PulsePlace | None = None
    pulse_mm: float | None = None
    n_pulses: int = 0


Given = tuple[float | None, float | None]
"""Paper speed, mm/s, and gain, mm/mV, as the user knows them; None where not."""


def find_scale(
    sheet: Sheet, rows: Rows, windows: tuple[Window, ...], *, given: Given = (None, None)
) -> PaperScale:
    """Speed and gain of a page that was read; see `find_paper_scale`."""
    return find_paper_scale(
        sheet.image,
        sheet.page_map,
        rows.ink,
        rows.traces,
        windows,
        sheet.words,
        given=given,
        has_grid=sheet.has_grid,
    )


def find_paper_scale(
    image: NDArray[np.uint8],
    page_map: PageMap,
    ink: InkModel | None,
    rows: tuple[RowTrace, ...],
    windows: tuple[Window, ...],
    words: tuple[PrintedWord, ...] = (),
    *,
    given: Given = (None, None),
    has_grid: bool = True,
) -> PaperScale:
    """Find a page's speed and gain.

    Args:
        image: the page, upright (rows, cols, 3); page_map: its millimetres; ink: what is ink, if it is known.
        rows, windows: traces, panels.
        words: the known words on the page.
        given: paper speed and gain that the user knows; they win.
        has_grid: whether the millimetres come from a grid.
    """
    speed_mm_s, gain_mm_mv = given
    pulses: tuple[Pulse, ...] = ()
    alone, words = words, with_partners(words, page_map)
    printed_speed, printed_gain = stated(words, SPEED_WORDS), stated(words, GAIN_WORDS)
    if ink is not None and ink.contrast >= CONTRAST_MIN:
        pulses = find_pulses(image, page_map, ink, rows, windows)
    warnings = []
    speed, speed_from = speed_mm_s, "given"
    if speed is None:
        speed, speed_from = printed_speed, "text"
    odds = None
    if has_grid and (speed is None or (speed_from == "text" and _stands_alone(speed, words))):
        odds = fifty_odds(rows, windows)
    if speed is not None and odds is not None and (odds if speed < 50.0 else -odds) >= FIFTY_MIN:
        warnings.append(f"paper speed: what looks like {speed:g} mm/s is not believed against the beats")
        speed = None
    wide = bool(pulses) and float(np.median([p.width_mm for p in pulses])) >= WIDE_PULSE_MM
    ends_mm = [mm for window in windows for mm in (window.start_mm, window.end_mm)]
    long = bool(ends_mm) and max(ends_mm) - min(ends_mm) >= LONG_BLOCK_MM
    said = -np.inf if odds is None else odds + wide * WIDE_PULSE_ODDS + long * LONG_BLOCK_ODDS
    if speed is None and said >= FIFTY_MIN:
        speed, speed_from = 50.0, "beats"
        also = ", and from calibration pulses as wide as 0.2 s at that speed" if wide else ""
        also += ", and from a block as wide as 10 s at that speed" if long else ""
        warnings.append(
            "paper speed of 50 mm/s concluded from the beats, far apart and wide for 25 mm/s"
            f"{also}: none could be read on the page"
        )
    if speed is None:
        speed, speed_from = PAPER_SPEED_MM_S, "assumed"
        note = f"paper speed of {speed:g} mm/s assumed: none could be read on the page"
        if wide:
            note += ", and its pulses are as wide as 0.2 s at 50 mm/s"
        warnings.append(note)
    pulse_gain = gain_of_pulses(pulses, len(rows), SNAP_SHARE if has_grid else SNAP_UNSURE)
    if has_grid and printed_gain not in (None, pulse_gain):
        pulse_gain = gain_of_pulses(pulses, len(rows), SNAP_AGAINST_TEXT, ONE_AGAINST_TEXT)
    gain, gain_from = gain_mm_mv, "given"
    if gain is None and not has_grid and printed_gain is not None:
        # On a guessed scale the pulse's height says little; with the printed gain it tells the scale.
        gain, gain_from = printed_gain, "text"
    if gain is None:
        # The pulse was drawn with the traces, whatever the text says.
        gain, gain_from = (pulse_gain, "pulse") if pulse_gain is not None else (printed_gain, "text")
        if pulse_gain is not None and printed_gain not in (None, pulse_gain):
            warnings.append(
                f"the calibration pulse is {pulse_gain:g} mm high, the page says {printed_gain:g}"
                " mm/mV; the pulse was taken"
            )
    if gain is None:
        gain, gain_from = GAIN_MM_MV, "assumed"
        warnings.append(f"gain of {gain:g} mm/mV assumed: no calibration pulse or text could be read")
    for source, value, values, unit in (
        (speed_from, speed, SPEED_WORDS, "mm/s"),
        (gain_from, gain, GAIN_WORDS, "mm/mV"),
    ):
        if source == "text" and (score := _score(value, alone, values)) < STATED_MIN:
            warnings.append(f"{value:g} {unit} is printed, but read with little certainty ({score:.2f})")
    pulse_mm = common_height(pulses, len(rows))
    place = place_of_pulses(pulses, gain if has_grid or pulse_mm is None else pulse_mm / PULSE_MV)
    return PaperScale(speed, gain, speed_from, gain_from, tuple(warnings), place, pulse_mm, len(pulses))


@dataclass(frozen=True)
class TrueMillimetre:
    """One true millimetre and one millivolt in the guessed millimetres of a page without a grid, and in words
    where they are from."""

    in_guessed: float
    mm_per_mv: float
    warning: str


def true_millimetre(scale: PaperScale, block_mm: float, *, on_known_paper: bool) -> TrueMillimetre:
    """The scale of a page without a grid: from its pulses, its paper, or the usual width of its traces.

    Args:
        scale: speed and gain, and the pulses' height in guessed millimetres.
        block_mm: width of the block of traces, guessed millimetres.
        on_known_paper: the guessed millimetres are those of a sheet of a usual format.
    """
    usual, by_width = block_mm / BLOCK_MM, f"the traces' width as {BLOCK_MM:g} mm"
    guess, source, mm_per_mv = usual, by_width, None
    if scale.pulse_mm is not None:
        guess, source = scale.pulse_mm / (scale.gain_mm_mv * PULSE_MV), "the calibration pulse"
        mm_per_mv = scale.pulse_mm / PULSE_MV
    elif on_known_paper:
        guess, source = 1.0, "the sheet's format"
    slack = BLOCK_SLACK
    if mm_per_mv is not None:
        slack = max(slack, PULSE_SLACK_MM / (scale.gain_mm_mv * PULSE_MV) / np.sqrt(max(1, scale.n_pulses)))
    # A sheet that is nearly A4 may be smaller; no cart prints wider blocks on A4.
    too_wide = source == "the sheet's format" and block_mm / guess > BLOCK_MM
    if not BLOCK_RANGE_MM[0] <= block_mm / guess <= BLOCK_RANGE_MM[1]:
        guess, source, mm_per_mv = usual, by_width, None
    elif (too_wide or abs(np.log(guess / usual)) <= slack) and source != by_width:
        guess, source = usual, f"{source} and {by_width}"
    words = f"no grid: the scale is from {source}; time and amplitude may be off by a common factor"
    return TrueMillimetre(float(guess), float(mm_per_mv or scale.gain_mm_mv * guess), words)


def with_partners(words: tuple[PrintedWord, ...], page_map: PageMap) -> tuple[PrintedWord, ...]:
    """Words with credit for a speed and a gain in one line, as carts print them; a score may pass 1."""
    if not words:
        return ()
    places = np.array([(word.row, word.col) for word in words])
    y, x = page_map.to_mm(places[:, 0], places[:, 1])
    out = []
    for k, word in enumerate(words):
        partners = GAIN_WORDS if word.word in SPEED_WORDS else SPEED_WORDS if word.word in GAIN_WORDS else {}
        in_line = (np.abs(y - y[k]) <= PAIR_MM[0]) & (np.abs(x - x[k]) <= PAIR_MM[1])
        paired = any(
            near and other.word in partners and other.score >= PARTNER_MIN
            for other, near in zip(words, in_line, strict=True)
        )
        out.append(replace(word, score=word.score + PAIR_CREDIT) if paired else word)
    return tuple(out)


def _stands_alone(speed: float, words: tuple[PrintedWord, ...]) -> bool:
    """Whether a speed is read without a gain in its line; `words` have credit for partners."""
    return _score(speed, words, SPEED_WORDS) <= PAIRED_MIN


def _score(value: float, words: tuple[PrintedWord, ...], values: dict[str, float]) -> float:
    """The best score of the words that state a value."""
    return max(word.score for word in words if values.get(word.word) == value)


def stated(words: tuple[PrintedWord, ...], values: dict[str, float]) -> float | None:
    """The value that the page's words state; None where they state none, or two about equally well."""
    scores: dict[float, float] = {}
    for word in words:
        if word.word in values:
            value = values[word.word]
            scores[value] = max(scores.get(value, 0.0), word.score)
    ranked = sorted(scores, key=lambda value: -scores[value])
    if not ranked or scores[ranked[0]] < STATED_MIN:
        return None
    if len(ranked) > 1 and scores[ranked[0]] - scores[ranked[1]] < STATED_MARGIN:
        return None
    return ranked[0]
