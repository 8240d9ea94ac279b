"""Is the page a 12-lead ECG, one and the right way round, and how far can its leads be trusted?

In: the results of all stages. Out: the leads with their probabilities, or `PageError` for one stated reason.
Two recordings on one page and a mirrored page are told by their printed names, one signal in all channels by
itself; anything else by one fitted probability (`trust`).
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

import numpy as np

from ecg_hough.elements import PrintedWord, TimeBase
from ecg_hough.errors import PageError
from ecg_hough.layout.sheet import Sheet
from ecg_hough.layout.view import SURE_WORD, read_words
from ecg_hough.paper import INVERTED_AVR, LEADS
from ecg_hough.signals.calibrate import Calibrated
from ecg_hough.signals.choose_layout import NAMED_MIN, ChosenLayout
from ecg_hough.signals.scale import PaperScale
from ecg_hough.signals.trust import PAGE_MODEL, evidence_of, page_evidence, shipped_model, with_trust
from ecg_hough.traces.rows import Rows

log = logging.getLogger(__name__)

TWICE_MIN = 6
"""Leads that are named twice: a page has at most three rhythm strips, and a header may name a lead or two."""
SAME_SIGNAL = 4.5
"""`trust.likeness` of channels that repeat one signal: a correlation of 0.99; 287 rendered ECGs reach 3.4."""
LIKELY_MIN = 0.2
"""Least probability of a page's best lead."""
MIRRORED_MORE = 3
"""By how many leads a mirrored page names more when it is turned over."""


def judge(
    sheet: Sheet, rows: Rows, chosen: ChosenLayout, base: TimeBase, scale: PaperScale, result: Calibrated
) -> Calibrated:
    """The result with every lead's probability of being right, and its status.

    Raises:
        PageError: stage "layout": the page is no 12-lead ECG; with what speaks against it.
    """
    of_page = page_evidence(sheet, rows, chosen, base, scale, result)
    refuse_if_no_ecg(sheet, of_page)
    statuses = with_trust(result.statuses, evidence_of(sheet, rows, base, scale, result, of_page))
    best = max((status.probability for status in statuses if status.found), default=0.0)
    if best < LIKELY_MIN:
        raise PageError(
            "layout",
            f"no lead is likely to be right: the best has a probability of {best:.2f}, at least"
            f" {LIKELY_MIN:g} is needed. Is it a 12-lead ECG, whole and as printed?",
        )
    return replace(result, statuses=statuses)


def refuse_if_no_ecg(sheet: Sheet, evidence: dict[str, float]) -> None:
    """Refuse a page that is no 12-lead ECG.

    Args:
        evidence: of `trust.page_evidence`.
    Raises:
        PageError: stage "layout", with what speaks against the page.
    """
    twice = [name for name, n in Counter(_names(sheet.words)).items() if n > 1]
    if len(twice) >= TWICE_MIN:
        raise PageError(
            "layout",
            f"{len(twice)} leads are named twice; there may be two recordings on the page: give each by"
            " itself",
        )
    if evidence["leads alike"] > SAME_SIGNAL:
        raise PageError(
            "layout", "all channels repeat one signal, as the leads of an ECG never do. Is it a 12-lead ECG?"
        )
    model = shipped_model(PAGE_MODEL)
    probability = float(model.probability([evidence])[0])
    log.info("is it a 12-lead ECG: probability %.3f, limit %.3f", probability, model.limit)
    if sheet.layout.named < NAMED_MIN and _is_mirrored(sheet):
        raise PageError("layout", "the lead names are mirrored; give the page the right way round")
    if probability >= model.limit:
        return
    worst = [f"{name} {evidence[name]:.2g}" for name in model.against(evidence)]
    raise PageError(
        "layout",
        f"the probability of a 12-lead ECG is {probability:.2f}, at least {model.limit:.2f} is needed;"
        f" against it speak most: {', '.join(worst)}. Is it a 12-lead ECG?",
    )


def _is_mirrored(sheet: Sheet) -> bool:
    """Whether more leads are named on the page turned over."""
    turned = np.ascontiguousarray(sheet.image[:, ::-1])
    words = read_words(turned, -sheet.geometry.angle_deg, float(np.mean(sheet.page_map.px_per_mm)))
    return len(set(_names(words))) >= len(set(_names(sheet.words))) + MIRRORED_MORE


def _names(words: tuple[PrintedWord, ...]) -> list[str]:
    """Leads that are named for sure, as often as they are."""
    return [w.word for w in words if w.word in (*LEADS, INVERTED_AVR) and w.score >= SURE_WORD]
