"""Paper speed and gain of a page: given, printed, measured on its pulses or beats, or assumed.

In: the page's pixels, map, traces, panels and words. Out: `PaperScale`, with a warning for every value that
is uncertain or assumed. A wrong reading is worse than none: evidence counts only where it is strong;
otherwise the standard 25 mm/s and 10 mm/mV are assumed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import PrintedWord, Pulse, PulsePlace, RowTrace, Window
from ecg_hough.layout.sheet import Sheet
from ecg_hough.page_map import PageMap
from ecg_hough.paper import (
    BLOCK_MM,
    GAIN_WORDS,
    PAPER_SPEED_MM_S,
    PULSE_MV,
    SPEED_WORDS,
    stated_value,
)
from ecg_hough.signals.beats import FIFTY_MIN, fifty_odds
from ecg_hough.signals.gain import Gain, find_gain
from ecg_hough.signals.limits import Limit, keeps_limits
from ecg_hough.signals.pulse import common_height, find_pulses, place_of_pulses
from ecg_hough.signals.pulse_marks import pulses_of_marks
from ecg_hough.traces.rows import Rows

log = logging.getLogger(__name__)

BLOCK_SLACK, PULSE_SLACK_MM = 0.04, 0.3
"""A block this near to the usual width has that width, whatever scale pulses or paper give: they are less
precise. Error of the height of one pulse; that of n pulses is this over the root of n."""
BLOCK_RANGE_MM = (110.0, 300.0)
"""Widths that a block of traces may have; a pulse or a sheet that implies another width is a misreading."""
CONTRAST_MIN = 0.6
"""Least contrast of ink to grid at which pulses are searched where no landmarks are."""
STATED_MIN = 0.85
"""Least score of a printed speed or gain that is used."""
STATED_MARGIN = 0.1
"""Least difference of the scores of the best and the second value, where a page states two."""
PAIR_MM = (2.5, 80.0)
"""Largest distance, down and across, between a speed and a gain that are printed in one line."""
PARTNER_MIN, PAIR_CREDIT = 0.55, 0.2
"""Least score of such a partner, and its credit: stray marks seldom look like both in one line."""
PAIRED_MIN = 1.0
"""Score that only a word with a partner has."""
WIDE_PULSE_MM, WIDE_PULSE_ODDS = 8.0, 5.0
"""A pulse lasts 0.2 s on most carts: one this wide is evidence for 50 mm/s with these log odds, enough unless
the beats are evidence against it."""
DRAWN_FOOT_SD_MM = 0.01
"""Expected error of a pulse's foot that is known from a document's paths."""
LONG_BLOCK_MM, LONG_BLOCK_ODDS = 400.0, 3.0
"""A block of traces this wide lasts 10 s at 50 mm/s; at 25 it lasts 20 s, which no cart prints in rows."""


@dataclass(frozen=True)
class PaperScale:
    """Speed and gain of a page.

    Attributes:
        speed_from, gain_from: source of each: "given", "text", "pulse", "beats" or "assumed".
        chest_gain_mm_mv: gain of V1 to V6, where carts draw them at another one than limb leads.
        gain_margin: log odds of the gains to the next likeliest ones; infinite where they are given.
        warnings: what a person should check; notes: what was assumed; in sentences.
        pulse: where the calibration pulses are; None without any.
        pulse_mm: their height in the map's millimetres, None without any; n_pulses: their number.
    """

    speed_mm_s: float
    gain_mm_mv: float
    speed_from: str
    gain_from: str
    chest_gain_mm_mv: float
    gain_margin: float = np.inf
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pulse: PulsePlace | None = None
    pulse_mm: float | None = None
    n_pulses: int = 0


Given = tuple[float | None, float | None]
"""Paper speed, mm/s, and gain, mm/mV, as the user knows them; None where not."""


def find_scale(
    sheet: Sheet, rows: Rows, windows: tuple[Window, ...], *, given: Given = (None, None)
) -> PaperScale:
    """Speed and gain of a page whose rows are read; see `find_paper_scale`."""
    return find_paper_scale(
        sheet.image,
        sheet.page_map,
        rows,
        windows,
        sheet.words,
        given=given,
        has_grid=sheet.has_grid,
    )


def find_paper_scale(
    image: NDArray[np.uint8],
    page_map: PageMap,
    rows: Rows,
    windows: tuple[Window, ...],
    words: tuple[PrintedWord, ...] = (),
    *,
    given: Given = (None, None),
    has_grid: bool = True,
) -> PaperScale:
    """Find a page's speed and gain.

    Args:
        image: the page, upright (rows, cols, 3); page_map: its millimetres.
        rows: traces, what is ink, and landmarks; windows: panels.
        words: the known words on the page.
        given: paper speed and gain that the user knows; nothing overrules them.
        has_grid: whether the millimetres come from a grid.
    """
    alone, words = words, with_partners(words, page_map)
    pulses = rows.pulses or ()
    if rows.pulses is None and rows.ink is not None:
        pulses = pulses_of_marks(image, page_map, rows.ink, rows.traces, rows.marks)
        if rows.ink.contrast >= CONTRAST_MIN:
            pulses += find_pulses(image, page_map, rows.ink, rows.traces, windows)
    speed, speed_from, warnings, notes = _find_speed(
        given[0], words, pulses, rows.traces, windows, has_grid=has_grid
    )
    if given[1] is not None:
        gain = Gain(given[1], given[1], "given", np.inf)
    else:
        gain = find_gain(pulses, words, has_grid=has_grid)
    warnings, notes = [*warnings, *gain.warnings], [*notes, *gain.notes]
    for source, value, values, name, unit in (
        (speed_from, speed, SPEED_WORDS, "paper speed", "mm/s"),
        (gain.source, gain.limb, GAIN_WORDS, "gain", "mm/mV"),
    ):
        score = _score(value, alone, values)
        if source == "text" and score < STATED_MIN:
            notes.append(f"{name}: the printed '{value:g} {unit}' was read with a low score, {score:.2f}")
        read = [f"{word.word} (score {word.score:.2f})" for word in alone if stated_value(word.word, values)]
        printed = ", ".join(read) or "nothing"
        log.info("%s: %g %s, source: %s; printed: %s", name, value, unit, source, printed)
    pulse_mm = common_height(pulses, len(rows.traces))
    place = place_of_pulses(pulses, gain.limb if has_grid or pulse_mm is None else pulse_mm / PULSE_MV)
    if place is not None and rows.drawn:
        place = replace(place, foot_sd_mm=DRAWN_FOOT_SD_MM)
    return PaperScale(
        speed,
        gain.limb,
        speed_from,
        gain.source,
        gain.chest,
        gain.margin,
        tuple(warnings),
        tuple(notes),
        place,
        pulse_mm,
        len(pulses),
    )


def _find_speed(
    given: float | None,
    words: tuple[PrintedWord, ...],
    pulses: tuple[Pulse, ...],
    rows: tuple[RowTrace, ...],
    windows: tuple[Window, ...],
    *,
    has_grid: bool,
) -> tuple[float, str, list[str], list[str]]:
    """Paper speed, mm/s, its source, warnings and notes; `words` have credit for partners."""
    if given is not None:
        return given, "given", [], []
    warnings = []
    printed = stated(words, SPEED_WORDS)
    odds = None
    if has_grid and (printed is None or _is_alone(printed, words)):
        odds = fifty_odds(rows, windows)
    if printed is not None and odds is not None and (odds if printed < 50.0 else -odds) >= FIFTY_MIN:
        warnings.append(
            f"paper speed: ignored the printed '{printed:g} mm/s', which contradicts the beat intervals"
        )
        log.debug("printed scale '%g mm/s' rejected: log odds of 50 mm/s by the beats are %.1f, limit %g",
                  printed, odds, FIFTY_MIN)  # fmt: skip
        printed = None
    if printed is not None:
        return printed, "text", warnings, []
    speed, source, sentence = _speed_by_beats(odds, pulses, windows)
    return (speed, source, [*warnings, sentence], []) if speed != PAPER_SPEED_MM_S else (
        speed, source, warnings, [sentence]
    )  # fmt: skip


def _speed_by_beats(
    odds: float | None, pulses: tuple[Pulse, ...], windows: tuple[Window, ...]
) -> tuple[float, str, str]:
    """Paper speed, mm/s, its source and a warning, where none is printed; `odds` are those of the beats."""
    wide = bool(pulses) and float(np.median([p.width_mm for p in pulses])) >= WIDE_PULSE_MM
    ends_mm = [mm for window in windows for mm in (window.start_mm, window.end_mm)]
    long = bool(ends_mm) and max(ends_mm) - min(ends_mm) >= LONG_BLOCK_MM
    total = -np.inf if odds is None else odds + wide * WIDE_PULSE_ODDS + long * LONG_BLOCK_ODDS
    if odds is None:
        log.info("paper speed: the beats were not weighed; wide pulses: %s, long block: %s", wide, long)
    else:
        log.info(
            "paper speed: log odds of 50 mm/s %.1f, at least %g needed;"
            " of which beats %.1f, wide pulses %g, long block %g",
            total, FIFTY_MIN, odds, wide * WIDE_PULSE_ODDS, long * LONG_BLOCK_ODDS,
        )  # fmt: skip
    start = "paper speed: no printed speed was used;"
    if total >= FIFTY_MIN:
        others = ", calibration pulses as wide as 0.2 s at that speed" if wide else ""
        others += ", a block as wide as 10 s at that speed" if long else ""
        return 50.0, "beats", f"{start} 50 mm/s was concluded from the beat intervals and QRS widths{others}"
    against = ", although the calibration pulses are as wide as 0.2 s at 50 mm/s" if wide else ""
    return PAPER_SPEED_MM_S, "assumed", f"{start} {PAPER_SPEED_MM_S:g} mm/s was assumed{against}"


@dataclass(frozen=True)
class TrueMillimetre:
    """One true millimetre and one millivolt in the guessed millimetres of a page without a grid, and a
    sentence about their source."""

    in_guessed: float
    mm_per_mv: float
    warning: str


def true_millimetre(scale: PaperScale, block_mm: float, *, on_known_paper: bool) -> TrueMillimetre:
    """The scale of a page without a grid: from its pulses, its paper format, or the usual width of its
    traces.

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
    words = f"no grid: the scale was taken from {source}; time and amplitude may be wrong by a common factor"
    return TrueMillimetre(float(guess), float(mm_per_mv or scale.gain_mm_mv * guess), words)


def with_partners(words: tuple[PrintedWord, ...], page_map: PageMap) -> tuple[PrintedWord, ...]:
    """Words with credit for a speed and a gain next to each other in one line, as carts print them.

    Each has one partner: a further gain in that line may be another text. A score may exceed 1.
    """
    speeds, gains = (
        [k for k, word in enumerate(words) if stated_value(word.word, values)]
        for values in (SPEED_WORDS, GAIN_WORDS)
    )
    if not (speeds and gains):
        return words
    places = np.array([(word.row, word.col) for word in words])
    y, x = page_map.to_mm(places[:, 0], places[:, 1])
    down, across = (np.abs(v[speeds][:, None] - v[gains]) for v in (y, x))
    credible = np.array([word.score >= PARTNER_MIN for word in words])
    far = (down > PAIR_MM[0]) | (across > PAIR_MM[1])
    far |= ~(credible[speeds][:, None] & credible[gains])
    distance = np.where(far, np.inf, np.hypot(down, across))
    paired = set()
    for i, j in zip(*np.nonzero(np.isfinite(distance)), strict=True):
        if distance[i, j] == distance[i].min() == distance[:, j].min():
            paired |= {speeds[i], gains[j]}
    return tuple(
        replace(word, score=word.score + PAIR_CREDIT) if k in paired else word for k, word in enumerate(words)
    )


def _is_alone(speed: float, words: tuple[PrintedWord, ...]) -> bool:
    """Whether a speed is read without a gain in its line; `words` have credit for partners."""
    return _score(speed, words, SPEED_WORDS) <= PAIRED_MIN


def _score(value: float, words: tuple[PrintedWord, ...], values: dict[str, float]) -> float:
    """The best score of the words that state a value; 0 without any."""
    return max((w.score for w in words if stated_value(w.word, values) == value), default=0.0)


def stated(words: tuple[PrintedWord, ...], values: dict[str, float]) -> float | None:
    """The value that the page's words state; None where they state none, or two about equally well."""
    scores: dict[float, float] = {}
    for word in words:
        if (value := stated_value(word.word, values)) is not None:
            scores[value] = max(scores.get(value, 0.0), word.score)
    ranked = sorted(scores, key=lambda value: -scores[value])
    if not ranked:
        return None
    units = next(iter(values)).split()[-1]
    ahead = scores[ranked[0]] - scores[ranked[1]] if len(ranked) > 1 else np.inf
    candidate = ("printed scale '%g %s'", ranked[0], units)
    limits = (
        Limit("score", scores[ranked[0]], least=STATED_MIN),
        Limit("difference of its score to the next one's", ahead, least=STATED_MARGIN),
    )
    return ranked[0] if keeps_limits(log, candidate, limits) else None
