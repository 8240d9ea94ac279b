"""Gain of a page as one posterior over the gains of limb and chest leads.

In: calibration pulses and printed words. Out: `Gain`. Carts print limb and chest leads at one gain or at two
("10/5 mm/mV", a pulse with a step); pulses and words each make some of them likelier, whatever order they are
asked in.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from ecg_hough.elements import PrintedWord, Pulse
from ecg_hough.paper import GAIN_MM_MV, GAIN_WORDS, PULSE_MV, stated_value

log = logging.getLogger(__name__)

GAINS: dict[float, float] = {10.0: 0.0, 5.0: -3.0, 20.0: -3.4}
"""Gains, mm/mV, and their log prior: of rendered pages on which neither pulse nor print was read 95 % are
drawn at 10 mm/mV, and more of the world's."""
UNUSUAL = -2.6
"""Log prior of any other gain that a document's text layer states."""
TWO_GAINS = -3.5
"""Log prior of chest leads at half the gain of limb leads."""
HEIGHT_SD_MM, HEIGHT_SD = 0.25, 0.02
"""Error of a pulse's height on a grid: absolute, and relative to the height."""
NO_GRID_SD = 0.12
"""The same in millimetres that were guessed, relative."""
QUALITY_MOST = 0.97
"""Probability of a pulse that could not be clearer."""
HEIGHTS_MM = 20.0
"""Range of the heights of what is no pulse."""
INDEPENDENT_PULSES = 3.0
"""Pulses of a page err together beyond this number."""
STEP_MISREAD, STEP_UNSEEN = 0.03, 0.15
"""Likelihood of a step that is seen where there is none, and of none seen where there are two gains."""
WORD_NATS, WORD_EVEN, WORD_MOST = 12.0, 0.6, 6.0
"""Log likelihood ratio of a printed gain: by its score above an even one, and the most."""
SECOND_NATS, SECOND_EVEN = 40.0, 0.85
"""The same of a second, other gain: of 160 pages of vendors' styles seven show one that was misread, at 0.64
to 0.79, six of them on pages of one gain; on 36 of two gains none was read."""
SURE_NATS = 2.0
"""Log odds to the next likeliest gains below which a person should look."""


@dataclass(frozen=True)
class Gain:
    """Gain of a page, mm/mV.

    Attributes:
        limb, chest: of the limb leads and of V1 to V6.
        source: "pulse", "text" or "assumed": what contributes most.
        margin: log odds to the next likeliest gains.
        warnings: what a person should check; notes: what was assumed.
    """

    limb: float
    chest: float
    source: str
    margin: float
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_gain(pulses: tuple[Pulse, ...], words: tuple[PrintedWord, ...], *, has_grid: bool) -> Gain:
    """The likeliest gains.

    Args:
        pulses: what may be the rows' pulses, in millimetres of the page map; of a row's the likeliest counts.
        words: known words of the page, with credit for partners.
        has_grid: whether these millimetres are a grid's.
    """
    others = {stated_value(word.word, GAIN_WORDS) for word in words} - {None, *GAINS}
    alike = [*GAINS, *sorted(gain for gain in others if gain)]
    tried = [(g, g) for g in alike] + [(g, g / 2) for g in GAINS if g / 2 in GAINS]
    prior = np.array(
        [GAINS.get(limb, UNUSUAL) + (0.0 if chest == limb else TWO_GAINS) for limb, chest in tried]
    )
    by_pulses = np.array([_of_pulses(pulses, *one, has_grid=has_grid) for one in tried])
    by_words = np.array([_of_words(words, *one) for one in tried])
    total = prior + by_pulses + by_words
    best, second = np.argsort(-total, kind="stable")[:2]
    limb, chest = tried[best]
    margin = float(total[best] - total[second])
    for one, *nats in zip(tried, prior, by_pulses, by_words, strict=True):
        log.debug("gain: %g mm/mV, chest leads %g: prior %.1f, pulses %.1f, words %.1f nats", *one, *nats)
    seen = {"pulse": by_pulses[best] - by_pulses.min(), "text": by_words[best] - by_words.min()}
    source = max(seen, key=lambda kind: seen[kind])
    if seen[source] < 1.0:
        source = "assumed"
    log.info("gain: %g mm/mV, chest leads %g, source: %s, margin %.1f nats", limb, chest, source, margin)
    warnings, notes = _sentences(tried[best], tried[second], margin, source, (by_pulses, by_words), tried)
    return Gain(limb, chest, source, margin, warnings, notes)


def _of_pulses(pulses: tuple[Pulse, ...], limb: float, chest: float, *, has_grid: bool) -> float:
    """Log likelihood ratio of gains to no pulses; of what may be a row's pulse, the likeliest counts."""
    by_row: dict[int, float] = {}
    for pulse in pulses:
        stepped = np.isfinite(pulse.step_mm)
        likelihood = _height(pulse.height_mm, limb, has_grid)
        if stepped and chest != limb:
            likelihood *= _height(pulse.step_mm, chest, has_grid)
        elif stepped or chest != limb:
            likelihood *= STEP_MISREAD if stepped else STEP_UNSEEN
        nats = float(np.log(1.0 - QUALITY_MOST * pulse.quality * (1.0 - likelihood)))
        by_row[pulse.row_index] = max(nats, by_row.get(pulse.row_index, -np.inf))
    return sum(by_row.values()) * min(1.0, INDEPENDENT_PULSES / max(1, len(by_row)))


def _height(height_mm: float, gain: float, has_grid: bool) -> float:
    """Likelihood ratio of a pulse's height at a gain to that of anything else."""
    expected = gain * PULSE_MV
    sd = HEIGHT_SD_MM + HEIGHT_SD * expected if has_grid else NO_GRID_SD * expected
    off = (height_mm - expected) / sd
    return float(HEIGHTS_MM / (np.sqrt(2 * np.pi) * sd) * np.exp(-0.5 * off**2))


def _of_words(words: tuple[PrintedWord, ...], limb: float, chest: float) -> float:
    """Log likelihood ratio of gains by the printed ones.

    Of "10/5 mm/mV" the words network mostly reads the first. What it reads as a second gain is another text,
    unless its score says otherwise.
    """

    def score(gain: float) -> float:
        return max((w.score for w in words if stated_value(w.word, GAIN_WORDS) == gain), default=0.0)

    scores = sorted(score(gain) for gain in {limb, chest})
    second = SECOND_NATS * (scores[0] - SECOND_EVEN) if chest != limb else 0.0
    first = scores[-1] if second > 0.0 else score(limb)
    return _nats(WORD_NATS * (first - WORD_EVEN)) + _nats(second)


def _nats(evidence: float) -> float:
    return float(np.clip(evidence, 0.0, WORD_MOST))


def _sentences(
    best: tuple[float, float],
    second: tuple[float, float],
    margin: float,
    source: str,
    evidence: tuple[np.ndarray, np.ndarray],
    tried: list[tuple[float, float]],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Warnings and notes."""
    by_pulses, by_words = evidence
    warnings, notes = [], []
    printed, pulsed = tried[int(by_words.argmax())], tried[int(by_pulses.argmax())]
    if by_words.max() > SURE_NATS and by_words[tried.index(best)] < by_words.max() - SURE_NATS:
        warnings.append(
            f"gain: ignored the printed '{printed[0]:g} mm/mV', which contradicts the calibration pulse; its"
            f" {best[0]:g} mm/mV was used"
        )
    elif by_pulses.max() > SURE_NATS and by_pulses[tried.index(best)] < by_pulses.max() - SURE_NATS:
        warnings.append(
            f"gain: ignored a calibration pulse of {pulsed[0]:g} mm/mV, which contradicts the printed"
            f" '{best[0]:g} mm/mV'"
        )
    elif margin < SURE_NATS:
        used, other = (f"{g[0]:g}" if g[0] == g[1] else f"{g[0]:g}/{g[1]:g}" for g in (best, second))
        warnings.append(f"gain: {used} mm/mV was used; {other} mm/mV is nearly as likely")
    if source == "assumed":
        notes.append(
            f"gain: neither a calibration pulse nor a printed gain was read; {GAIN_MM_MV:g} mm/mV was assumed"
        )
    if best[0] != best[1]:
        notes.append(f"gain: limb leads are drawn at {best[0]:g} mm/mV, chest leads at {best[1]:g} mm/mV")
    return tuple(warnings), tuple(notes)
