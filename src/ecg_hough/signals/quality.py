"""Is it an ECG at all, and how good is the reading: a page that shows none is refused with the one reason.

In: the page, its scale, layout and signals. Out: the page's quality, or `PageError`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import PrintedWord
from ecg_hough.errors import PageError
from ecg_hough.layout.sheet import Sheet
from ecg_hough.layout.view import SURE_WORD
from ecg_hough.paper import GAIN_WORDS, SPEED_WORDS, Layout
from ecg_hough.signals.calibrate import Calibrated
from ecg_hough.signals.scale import PaperScale

STRANGE_QUALITY, STRANGE_NAMED = 0.25, 0.25
"""Quality and share of named panels below which rows of no known layout are no ECG: tables and curves of
other kinds stay below 0.2, and a stray mark may be read as a name; pages of unknown layout seldom do."""
BARE_QUALITY = 0.6
"""The same for a page without names, pulse or printed scale, whatever its layout: sheet music and EEGs stay
below 0.25, share prices below 0.55, empty grids and letters or handwriting on them below 0.4; of 680 own
renders ten are such pages, two of 0.2, which were misread, and eight above 0.7. Without a grid leads must
agree, too: chest leads alone have nothing to disagree with."""
FLAT_MV = 0.05
"""Rows of which none rises and falls by more are ruled lines; of 150 own renders the flattest has 0.3."""


def page_quality(result: Calibrated) -> float:
    """0 to 1: mean confidence of the leads that were found, less where leads of one instant disagree."""
    surest = [status.confidence for status in result.statuses if status.found]
    return float(np.mean(surest)) * result.agreement if surest else 0.0


def refuse_if_no_ecg(sheet: Sheet, scale: PaperScale, layout: Layout | None, result: Calibrated) -> None:
    """Refuse a page whose rows are no 12-lead ECG.

    Raises:
        PageError: stage "layout", with what was measured and its limit.
    """
    if sheet.layout.named >= STRANGE_NAMED:
        return
    quality, named = page_quality(result), f"names of leads stand at {sheet.layout.named:.0%} of the panels"
    if _is_flat(result.signals):
        raise PageError(
            "layout", f"no lead rises or falls by {FLAT_MV} mV, and {named}. Is it a 12-lead ECG?"
        )
    if layout is None and quality < STRANGE_QUALITY:
        raise PageError(
            "layout",
            f"no known layout fits, {named}, and quality {quality:.2f} is below {STRANGE_QUALITY}."
            " Is it a 12-lead ECG?",
        )
    if _is_stated(scale, sheet.words):
        return
    bare = f"{named}, and neither a calibration pulse nor speed and gain are read"
    if layout is None:
        raise PageError("layout", f"no known layout fits, {bare}. Is it a 12-lead ECG?")
    if quality < BARE_QUALITY:
        raise PageError(
            "layout", f"quality {quality:.2f} is below {BARE_QUALITY}, {bare}. Is it a 12-lead ECG?"
        )
    if not sheet.has_grid and result.leads_agree is None:
        raise PageError(
            "layout", f"no grid is seen, no two leads can be compared, {bare}. Is it a 12-lead ECG?"
        )


def _is_stated(scale: PaperScale, words: tuple[PrintedWord, ...]) -> bool:
    """Whether the user or the page tells its scale: a pulse, or speed and gain. One word may be misread, and
    in lines of letters many are: none of them surely, and they contradict each other."""
    sources = (scale.speed_from, scale.gain_from)
    if "given" in sources or scale.gain_from == "pulse":
        return True
    read = [word for word in words if word.word in SPEED_WORDS or word.word in GAIN_WORDS]
    sure = any(word.score >= SURE_WORD for word in read)
    alike = all(len({w.word for w in read if w.word in kind}) <= 1 for kind in (SPEED_WORDS, GAIN_WORDS))
    return "assumed" not in sources and (sure or alike)


def _is_flat(signals: NDArray[np.float64]) -> bool:
    """Whether no lead of (12, N) mV rises and falls, stray marks aside."""
    leads = [lead[np.isfinite(lead)] for lead in signals if np.isfinite(lead).any()]
    return all(np.subtract(*np.percentile(lead, [99, 1])) < FLAT_MV for lead in leads)
