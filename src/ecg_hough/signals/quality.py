"""Is the page an ECG at all: any other page is refused for one stated reason.

In: the page, its scale, layout and signals. Out: nothing, or `PageError`.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from ecg_hough.elements import PrintedWord
from ecg_hough.errors import PageError
from ecg_hough.layout.sheet import Sheet
from ecg_hough.layout.view import SURE_WORD
from ecg_hough.paper import GAIN_WORDS, SPEED_WORDS, Layout
from ecg_hough.signals.calibrate import Calibrated
from ecg_hough.signals.scale import PaperScale

log = logging.getLogger(__name__)

STRANGE_QUALITY, STRANGE_NAMED = 0.25, 0.25
"""Quality and share of named panels below which rows of no known layout are not an ECG: tables and other
curves have less than 0.2, and a stray mark may be read as a name; pages of unknown layout seldom do."""
BARE_QUALITY = 0.6
"""Least quality of a page without names, pulse or printed scale, whatever its layout: sheet music and EEGs
have less than 0.25, share prices less than 0.55, empty grids and letters or handwriting on them less than
0.4; of 680 own renders ten are such pages, two of 0.2, which were misread, and eight above 0.7. Without a
grid leads must agree as well: chest leads alone have nothing to disagree with."""
FLAT_MV = 0.05
"""Rows none of which rises and falls by more are ruled lines; of 150 own renders the flattest has 0.3."""


def refuse_if_no_ecg(sheet: Sheet, scale: PaperScale, layout: Layout | None, result: Calibrated) -> None:
    """Refuse a page whose rows are no 12-lead ECG.

    Raises:
        PageError: stage "layout", with the first limit that is broken and its measurement.
    """
    named, quality, spread_mv = sheet.layout.named, result.quality, _largest_spread_mv(result.signals)
    stated = _is_stated(scale, sheet.words)
    log.info(
        "is it an ECG: names at %.2f of the panels, tallest lead %.2f mV, quality %.2f, known layout: %s,"
        " scale stated: %s, leads agree: %s",
        named, spread_mv, quality, layout is not None, stated, result.leads_agree,
    )  # fmt: skip
    if named >= STRANGE_NAMED:
        return
    reason = None
    if spread_mv < FLAT_MV:
        reason = f"the tallest lead rises and falls by {spread_mv:.2f} mV, less than {FLAT_MV} mV"
    elif layout is None and quality < STRANGE_QUALITY:
        reason = f"no known layout fits and quality {quality:.2f} is below {STRANGE_QUALITY}"
    elif stated:
        return
    elif layout is None:
        reason = "no known layout fits and neither a calibration pulse nor speed and gain were read"
    elif quality < BARE_QUALITY:
        reason = (
            f"quality {quality:.2f} is below {BARE_QUALITY}, the limit without lead names, calibration pulse"
            " and printed scale"
        )
    elif not sheet.has_grid and result.leads_agree is None:
        reason = (
            "no grid, lead names, calibration pulse or printed scale, and no two leads that can be compared"
        )
    if reason is not None:
        raise PageError("layout", f"{reason}. Is it a 12-lead ECG?")


def _is_stated(scale: PaperScale, words: tuple[PrintedWord, ...]) -> bool:
    """Whether the scale is known: given by the user, by a pulse, or by speed and gain in print.

    One word may be misread, and lines of letters contain many, none of them with a high score, and they
    contradict each other.
    """
    sources = (scale.speed_from, scale.gain_from)
    if "given" in sources or scale.gain_from == "pulse":
        return True
    read = [word for word in words if word.word in SPEED_WORDS or word.word in GAIN_WORDS]
    sure = any(word.score >= SURE_WORD for word in read)
    alike = all(len({w.word for w in read if w.word in kind}) <= 1 for kind in (SPEED_WORDS, GAIN_WORDS))
    return "assumed" not in sources and (sure or alike)


def _largest_spread_mv(signals: NDArray[np.float64]) -> float:
    """Range, mV, of the tallest of the leads (12, N), without the outermost 2 % as stray marks; 0 without
    leads."""
    leads = [lead[np.isfinite(lead)] for lead in signals if np.isfinite(lead).any()]
    return float(max((np.subtract(*np.percentile(lead, [99, 1])) for lead in leads), default=0.0))
