"""Fit the probability that a wave whose tip is not seen is wrong (`traces.tips`).

In: folders of rendered pages with their truth. Out: the weights, printed, and how often such waves are wrong
by their probability on pages held out in turn. A wave is wrong if its height, from its lead's median, differs
from the true one by more than 15 % and 0.1 mV.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ecg_hough.elements import TimeBase, Window
from ecg_hough.errors import PageError
from ecg_hough.layout.sheet import Sheet
from ecg_hough.output.read_back import read_leads
from ecg_hough.paper import LEADS
from ecg_hough.scores.right_leads import compare_lead
from ecg_hough.traces.rows import Rows
from ecg_hough.traces.tips import UnseenTip, unseen_tips
from ecg_lab.fitting import logistic, of_pages, placed_page, sheet_and_rows

FOLDS = 6
WRONG_SHARE, WRONG_MV = 0.15, 0.1
COMPARED_DB, COMPARED_S = 6.0, 0.1
"""Least SNR and largest shift of a lead whose waves are compared with the true ones."""
AROUND_S = 0.024
"""Half the time in which the true tip is looked for."""
INSET_MM = 1.0
RIDGE = 1e-4

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class JudgedTip:
    """An unseen tip: its page, features, and whether its wave is wrong."""

    page: str
    features: tuple[float, ...]
    wrong: bool


def tips_of(image: Path) -> list[JudgedTip]:
    """All of a page whose truth lies next to it; none where it is refused on the way."""
    try:
        return judged_tips(image, *sheet_and_rows(image))
    except PageError:
        return []


def judged_tips(image: Path, sheet: Sheet, rows: Rows) -> list[JudgedTip]:
    """The same of a page whose rows are read."""
    if rows.dark is None:
        return []
    page = placed_page(sheet, rows)
    base, signals = page.base, page.result.signals
    truth, fs = read_leads(image.with_suffix(""))
    out = []
    for row in rows.traces:
        tips = unseen_tips(rows.dark, sheet.page_map, row, rows.traces)
        for window in (w for w in base.columns.windows if w.row_index == row.row_index and w.lead in truth):
            true = truth[window.lead]
            compared = compare_lead(true, signals[LEADS.index(window.lead)], fs)
            if compared.aligned_snr_db < COMPARED_DB or abs(compared.start_s) > COMPARED_S:
                continue
            inside = (row.x_mm > window.start_mm) & (row.x_mm < window.end_mm) & np.isfinite(row.y_mm)
            level = float(np.median(row.y_mm[inside]))
            for tip in tips:
                place = float(row.x_mm[tip.at])
                if window.start_mm + INSET_MM < place < window.end_mm - INSET_MM:
                    read = (level - float(row.y_mm[tip.at])) / base.mm_per_mv_of(window.lead)
                    at_s = _second(window, base, place) - compared.start_s
                    wrong = _is_wrong(tip, read, true - np.nanmedian(true), round(at_s * fs), fs)
                    out += [] if wrong is None else [JudgedTip(image.stem, tip.features, wrong)]
    return out


def _second(window: Window, base: TimeBase, at_mm: float) -> float:
    """Time of a place in a panel."""
    begins = 0.0 if window.rhythm or base.simultaneous else base.columns.starts_s[window.column_index]
    return begins + (at_mm - window.start_mm) / base.mm_per_s


def _is_wrong(tip: UnseenTip, read_mv: float, true: Floats, at: int, fs: float) -> bool | None:
    """Whether a wave's height is; None where the true one is not printed."""
    reach = round(AROUND_S * fs)
    near = true[max(0, at - reach) : at + reach + 1]
    if near.size <= reach or not np.isfinite(near).all():
        return None
    height = float(near.max() if tip.upwards else near.min())
    off = abs(height - read_mv)
    return off > WRONG_MV and off > WRONG_SHARE * max(abs(height), abs(read_mv))


def tips_of_pages(
    images: Sequence[Path], *, workers: int = 2, on_progress: Callable[[int, int], None] | None = None
) -> list[JudgedTip]:
    """All tips of many pages."""
    pages = of_pages(tips_of, images, workers=workers, on_progress=on_progress)
    return [tip for tips in pages for tip in tips]


@dataclass(frozen=True)
class TipFit:
    """Weights and bias of the log odds, and (bins, 3) mean probability, share that is wrong and number of
    tips on held-out pages."""

    weights: Floats
    bias: float
    reliability: Floats


def fit_tips(tips: Sequence[JudgedTip], bins: int = 5) -> TipFit:
    """Logistic regression of wrong waves.

    Raises:
        ValueError: tips of fewer than `FOLDS` pages.
    """
    pages = sorted({tip.page for tip in tips})
    if len(pages) < FOLDS:
        raise ValueError(f"unseen tips of at least {FOLDS} pages are needed; got {len(pages)}")
    order = np.random.default_rng(0).permutation(len(pages)) % FOLDS
    fold = np.array([order[pages.index(tip.page)] for tip in tips])
    x = np.array([tip.features for tip in tips])
    y = np.array([tip.wrong for tip in tips], float)
    held = np.zeros(len(y))
    for k in range(FOLDS):
        weights, bias = logistic(x[fold != k], y[fold != k], RIDGE)
        held[fold == k] = expit(x[fold == k] @ weights + bias)
    groups = np.array_split(np.argsort(held), bins)
    weights, bias = logistic(x, y, RIDGE)
    return TipFit(weights, bias, np.array([[held[g].mean(), y[g].mean(), len(g)] for g in groups]))
