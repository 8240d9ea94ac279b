"""Fit the models by which leads are trusted (`signals.trust`); measure how well they tell right from wrong.

In: folders of rendered pages with their truth. Out: `trust.json`, `is_ecg.json`, and their figures on pages
held out in turn. A lead is right if its SNR is at least 15 dB after alignment, its gain within 5 % and its
start within 20 ms, and wrong as in `right_leads`; between the two it is neither, and teaches the model but is
not counted as wrong.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from ecg_hough.errors import PageError
from ecg_hough.layout.sheet import Sheet
from ecg_hough.output.read_back import read_leads
from ecg_hough.paper import CHEST_LEADS, LEADS
from ecg_hough.scores.right_leads import (
    RIGHT_SNR_DB,
    RIGHT_START_S,
    WRONG_GAIN,
    ComparedLead,
    compare_lead,
)
from ecg_hough.signals.trust import (
    LogisticModel,
    TrustModel,
    calibrated,
    evidence_of,
    page_evidence,
)
from ecg_hough.traces.rows import Rows
from ecg_lab.fitting import logistic, of_pages, placed_page, sheet_and_rows

ALIKE_DB, OTHER_DB = 10.0, 3.0
"""SNR at which a lead shows a true one for sure; by how much another lead's may be better."""
TIMED_DB = 8.0
"""SNR from which a lead's start is known."""
GROSS, GROSS_DB = 0.3, 4.0
"""Octaves by which a gain is off for sure, and the SNR from which that is known; half the height leaves 6."""
MOST = 0.75
"""Share of a page's leads that show the right ones, if its layout is right."""
WRONG_SHARE = 0.03
"""Most leads above the limit that may be wrong, on pages that are harder than most."""
REFUSED_BELOW = 0.5
"""Probability of a 12-lead ECG below which a page is refused: it rather is none."""
FOLDS = 8
RIDGE = 0.03
"""Strength of the penalty of the weights, per page or lead."""
FLAT_MV = 0.01
"""A lead that varies by less has no SNR."""

PARTS: dict[str, tuple[str, ...]] = {
    "layout": (
        "named", "layout by traces", "layout odds", "no layout", "rows unplaced", "rows absent",
        "names contradicted", "outside panels", "sums known", "SNR by sums", "leads alike", "quality",
        "no grid", "rows",
    ),
    "time": (
        "columns' margin", "no landmarks", "on grid lines", "begins at border",
        "speed assumed", "speed by beats", "no grid", "outside panels", "no layout",
    ),
    "gain": ("gain assumed", "no grid", "quality"),
    "lead": (
        "confidence", "largest error", "expected SNR", "gaps", "meets rows", "beats differ", "height",
        "narrow waves", "ink beyond", "tall ink beyond", "flat top", "quality",
        "told by others", "SNR by others", "sums known", "SNR by sums", "doubted ink", "spiky", "lead named",
        "named", "outside panels", "grid residual",
    ),
}  # fmt: skip
"""What must be right, and the evidence that bears on it: of a page its layout and its time, of limb or chest
leads their gain, and of a lead the rest."""

Floats = NDArray[np.float64]
Labelled = Sequence[tuple[dict[str, float], bool]]
"""Evidence, and whether it was right."""


@dataclass(frozen=True)
class JudgedLead:
    """A lead that was read: its evidence, and what it was in truth.

    Attributes:
        lead: which; evidence: see `trust.evidence_of`.
        compared: with the true lead; None where that is not printed.
        shows_other: whether it is more alike another lead.
    """

    lead: str
    evidence: dict[str, float]
    compared: ComparedLead | None
    shows_other: bool = False

    @property
    def right(self) -> bool:
        return self.compared is not None and self.compared.is_right

    @property
    def wrong(self) -> bool:
        return self.compared is None or self.compared.is_wrong


@dataclass(frozen=True)
class JudgedPage:
    """A page that was read: its evidence (`trust.page_evidence`), and its leads, none where it is no ECG."""

    page: str
    evidence: dict[str, float]
    leads: tuple[JudgedLead, ...] = ()

    @property
    def layout(self) -> bool:
        """Whether most leads are what they are called."""
        return (
            float(np.mean([one.compared is not None and not one.shows_other for one in self.leads])) >= MOST
        )

    @property
    def order(self) -> bool:
        """Whether the columns' order in time is right, whose probability is known (`signals.column_order`).

        Where as many leads are unlike anything as are read well, columns were taken to follow each other that
        show the same seconds, or the other way round: they are farther off than leads are shifted.
        """
        read = sum(c.aligned_snr_db >= TIMED_DB for c in self._compared)
        return sum(c.aligned_snr_db < OTHER_DB for c in self._compared) < max(read, 1)

    @property
    def time(self) -> bool | None:
        """Whether the leads begin in time; None where too few are alike enough to know."""
        starts = [c.start_s for c in self._compared if c.aligned_snr_db >= TIMED_DB]
        return bool(abs(np.median(starts)) <= RIGHT_START_S) if len(starts) > 1 and self.order else None

    def gain(self, chest: bool) -> bool | None:
        """Whether the gain of the chest leads, or of the others, is right; None likewise.

        It is that of the leads that are read well, and of those that are far too high or too low: others are
        lower where their narrow waves are shortened.
        """
        of = [one.compared for one in self.leads if (one.lead in CHEST_LEADS) == chest]
        gains = [
            c.gain
            for c in of
            if c is not None
            and (
                c.aligned_snr_db >= RIGHT_SNR_DB
                or (c.aligned_snr_db >= GROSS_DB and abs(np.log2(max(c.gain, 0.01))) > GROSS)
            )
        ]
        return bool(abs(np.median(gains) - 1.0) <= WRONG_GAIN) if len(gains) > 1 else None

    @property
    def _compared(self) -> list[ComparedLead]:
        return [one.compared for one in self.leads if one.compared is not None]


def judge_page(image: Path) -> JudgedPage | None:
    """A page, with its leads where its truth lies next to it; None where it is refused on the way."""
    try:
        return judged(image, *sheet_and_rows(image))
    except PageError:
        return None


def judged(image: Path, sheet: Sheet, rows: Rows) -> JudgedPage:
    """The same of a page whose rows are read."""
    page = placed_page(sheet, rows)
    base, scale, result = page.base, page.scale, page.result
    of_page = page_evidence(sheet, rows, page.chosen, base, scale, result)
    if not image.with_suffix(".hea").is_file():
        return JudgedPage(image.stem, of_page)
    evidence = evidence_of(sheet, rows, base, scale, result, of_page)
    truth, fs = read_leads(image.with_suffix(""))
    leads = [
        _judged_lead(lead, evidence[lead], signal, truth, fs)
        for lead, status, signal in zip(LEADS, result.statuses, result.signals, strict=True)
        if status.found
    ]
    return JudgedPage(image.stem, of_page, tuple(one for one in leads if one is not None))


def _judged_lead(
    lead: str, evidence: dict[str, float], signal: Floats, truth: dict[str, Floats], fs: float
) -> JudgedLead | None:
    """A lead against the truth; None of a true lead that is flat."""
    printed = {name: one for name, one in truth.items() if np.isfinite(one).any()}
    if lead not in printed:
        return JudgedLead(lead, evidence, None)
    if np.nanstd(printed[lead]) < FLAT_MV:
        return None
    one = compare_lead(printed[lead], signal, fs)
    shows_other = False
    if one.aligned_snr_db < ALIKE_DB:
        others = [
            compare_lead(true, signal, fs).aligned_snr_db for name, true in printed.items() if name != lead
        ]
        shows_other = max(others, default=0.0) > max(one.aligned_snr_db + OTHER_DB, TIMED_DB)
    return JudgedLead(lead, evidence, one, shows_other)


def judge_pages(
    images: Sequence[Path], *, workers: int = 2, on_progress: Callable[[int, int], None] | None = None
) -> list[JudgedPage]:
    """Many pages, less those that are refused on the way."""
    pages = of_pages(judge_page, images, workers=workers, on_progress=on_progress)
    return [page for page in pages if page is not None]


def fit_trust(pages: Sequence[JudgedPage]) -> dict[str, Any]:
    """The models of right leads, ready for JSON, with their figures on pages held out in turn.

    Raises:
        ValueError: fewer than `FOLDS` pages.
    """
    pages = [page for page in pages if page.leads]
    held = _held_out(pages, _fit_leads, lambda page: [lead.evidence for lead in page.leads])
    leads = [lead for page in pages for lead in page.leads]
    right, wrong = (np.array([getattr(lead, key) for lead in leads], bool) for key in ("right", "wrong"))
    calibration = _calibration(held, right)
    held = calibrated(held, calibration)
    limit = limit_of(held, wrong)
    ok = held >= limit
    figures = {
        "leads": len(leads),
        "pages": len(pages),
        "right": round(float(right.mean()), 4),
        "wrong": round(float(wrong.mean()), 4),
        "brier": round(float(np.mean((held - right) ** 2)), 4),
        "brier_of_the_mean": round(float(right.mean() * (1 - right.mean())), 4),
        "wrong_at_ok": round(float(wrong[ok].mean()) if ok.any() else 0.0, 4),
        "right_at_check": round(float((~wrong & ~ok).sum() / max(1, (~wrong).sum())), 4),
        "reliability": reliability(held, right),
    }
    model = replace(_fit_leads(pages), calibration=calibration, limit=limit)
    return _as_json(model) | {"held_out": figures}


def fit_is_ecg(ecgs: Sequence[JudgedPage], others: Sequence[JudgedPage]) -> dict[str, Any]:
    """The model of pages that are 12-lead ECGs, likewise; it refuses below `REFUSED_BELOW`.

    Of the ECGs those count that are mostly read rightly: a page that is not is no loss if it is refused.
    """
    ecgs = [page for page in ecgs if 2 * sum(lead.right for lead in page.leads) > len(page.leads)]
    pages = [*ecgs, *others]
    is_ecg = np.arange(len(pages)) < len(ecgs)
    held = _held_out(pages, _fit_pages, lambda page: [page.evidence])
    figures = {
        "ecgs": len(ecgs),
        "others": len(others),
        "brier": round(float(np.mean((held - is_ecg) ** 2)), 4),
        "others_refused": round(float((held[~is_ecg] < REFUSED_BELOW).mean()), 4),
        "reliability": reliability(held, is_ecg),
    }
    return _as_json(replace(_fit_pages(pages), limit=REFUSED_BELOW)) | {"held_out": figures}


def _held_out(
    pages: Sequence[JudgedPage],
    fit: Callable[[Sequence[JudgedPage]], TrustModel],
    evidence: Callable[[JudgedPage], Sequence[dict[str, float]]],
) -> Floats:
    """Probabilities by models of other pages, in the order of the pages.

    Raises:
        ValueError: fewer than `FOLDS` pages.
    """
    if len(pages) < FOLDS:
        raise ValueError(f"at least {FOLDS} pages are needed; got {len(pages)}")
    folds = np.random.default_rng(0).permutation(len(pages)) % FOLDS
    models = [fit([page for page, fold in zip(pages, folds, strict=True) if fold != k]) for k in range(FOLDS)]
    return np.concatenate(
        [models[fold].probability(evidence(page)) for page, fold in zip(pages, folds, strict=True)]
    )


def _fit_leads(pages: Sequence[JudgedPage]) -> TrustModel:
    """Of every part that it is right; of leads where the other parts are."""
    layout = [(page.evidence, page.layout) for page in pages]
    time = [(page.evidence, known) for page in pages if (known := page.time) is not None]
    gain = [
        (page.evidence, known)
        for page in pages
        for chest in (False, True)
        if (known := page.gain(chest)) is not None
    ]
    lead = [
        (one.evidence, one.right)
        for page in pages
        if page.layout and page.order and page.time is not False
        for one in page.leads
        if page.gain(one.lead in CHEST_LEADS) is not False
    ]
    rows = {"layout": layout, "time": time, "gain": gain, "lead": lead}
    return TrustModel({name: _fit(PARTS[name], rows[name]) for name in PARTS})


def _fit_pages(pages: Sequence[JudgedPage]) -> TrustModel:
    """Of pages that they are 12-lead ECGs, as those are that have leads."""
    features = tuple(pages[0].evidence)
    return TrustModel({"page": _fit(features, [(page.evidence, bool(page.leads)) for page in pages])})


def _calibration(held: Floats, right: NDArray[np.bool_]) -> tuple[float, float]:
    """Factor and offset of the log odds of held-out products, which shrunken weights keep from the ends."""
    odds = logit(np.clip(held, 1e-6, 1 - 1e-6))
    fitted = _fit(("odds",), [({"odds": o}, bool(r)) for o, r in zip(odds, right, strict=True)], ridge=0.0)
    factor = float(fitted.weights[0] / fitted.sd[0])
    return round(factor, 4), round(float(fitted.bias - factor * fitted.mean[0]), 4)


def _as_json(model: TrustModel) -> dict[str, Any]:
    """A model as its file has it."""
    parts = {}
    for name, one in model.parts.items():
        arrays = {"mean": one.mean, "sd": one.sd, "weights": one.weights}
        numbers = {key: [round(v, 6) for v in values.tolist()] for key, values in arrays.items()}
        parts[name] = {"features": list(one.features), **numbers, "bias": round(one.bias, 6)}
    return {"parts": parts, "calibration": list(model.calibration), "limit": round(model.limit, 4)}


def limit_of(probability: Floats, wrong: NDArray[np.bool_]) -> float:
    """Lowest probability from which on at most `WRONG_SHARE` of the leads are wrong; 1 without any."""
    order = np.argsort(-probability)
    share = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    last = np.append(np.diff(probability[order]) < 0.0, True)  # leads that are equally likely go together
    good = np.flatnonzero((share <= WRONG_SHARE) & last)
    return float(probability[order[good[-1]]]) if len(good) else 1.0


def reliability(probability: Floats, right: NDArray[np.bool_], bins: int = 10) -> list[list[float]]:
    """Mean probability, share that is right and number of leads of equally large groups."""
    groups = np.array_split(np.argsort(probability), bins)
    return [
        [round(float(probability[g].mean()), 4), round(float(right[g].mean()), 4), len(g)]
        for g in groups
        if len(g)
    ]


def _fit(features: tuple[str, ...], rows: Labelled, ridge: float = RIDGE) -> LogisticModel:
    """A model of evidence."""
    x = np.array([[evidence[name] for name in features] for evidence, _ in rows])
    y = np.array([right for _, right in rows], float)
    mean, sd = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-3)
    weights, bias = logistic((x - mean) / sd, y, ridge)
    return LogisticModel(features, mean, sd, weights, bias)


def write_model(model: dict[str, Any], path: Path, folders: Sequence[str], others: Sequence[str]) -> None:
    """Write a model with how it was made, whole or not at all.

    Args:
        folders, others: names of the folders of ECGs, and of other pages.
    """
    part = path.with_suffix(".part")
    command = " ".join(["ecg-lab fit-trust", *folders, *(f"--others {name}" for name in others)])
    part.write_text(json.dumps(model | {"command": command}, indent=1) + "\n")
    os.replace(part, path)
