"""Fit the model by which leads are trusted (`signals.trust`), and measure how well it tells right from wrong.

In: folders of rendered pages with their truth. Out: `trust.json`, and its figures on pages held out in turn.
A lead is right if its SNR is at least 15 dB after alignment, its gain within 5 % and its start within 20 ms,
and wrong as in `right_leads`; between the two it is neither, and teaches the model but is not counted as
wrong.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.image.reading import read_page
from ecg_hough.layout.find_page import find_page
from ecg_hough.layout.sheet import Sheet
from ecg_hough.options import SHIPPED
from ecg_hough.output.read_back import read_leads
from ecg_hough.paper import FS_HZ, LEADS
from ecg_hough.signals.calibrate import calibrate
from ecg_hough.signals.choose_layout import choose_layout
from ecg_hough.signals.scale import find_scale
from ecg_hough.signals.time_base import find_time_base
from ecg_hough.signals.trust import TrustModel, evidence_of, page_evidence
from ecg_hough.traces.read import read_rows
from ecg_hough.traces.rows import Rows
from ecg_lab.right_leads import compare_lead

RIGHT_SNR_DB, RIGHT_GAIN, RIGHT_START_S = 15.0, 0.05, 0.02
WRONG_SHARE = 0.04
"""Most leads above the limit that may be wrong, on pages that are harder than most."""
REFUSED_SHARE = 0.005
"""Share of 12-lead ECGs that the other model refuses."""
FOLDS = 8
RIDGE = 0.02
"""Strength of the penalty of the weights, per lead."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class JudgedLead:
    """A lead that was read: its evidence, and what it was in truth.

    Attributes:
        page, lead: which; evidence: see `trust.evidence_of`; right, wrong: see the module.
    """

    page: str
    lead: str
    evidence: dict[str, float]
    right: bool
    wrong: bool


@dataclass(frozen=True)
class JudgedPage:
    """A page that was read: its evidence (`trust.page_evidence`), and its leads, none where it is no ECG."""

    page: str
    evidence: dict[str, float]
    leads: tuple[JudgedLead, ...] = ()


def judge_page(image: Path) -> JudgedPage | None:
    """A page, with its leads where its truth lies next to it; None where it is refused on the way."""
    try:
        sheet = find_page(read_page(image).image)
        return judged(image, sheet, read_rows(sheet))
    except PageError:
        return None


def judged(image: Path, sheet: Sheet, rows: Rows) -> JudgedPage:
    """The same of a page whose rows are read."""
    chosen = choose_layout(sheet, rows)
    scale = find_scale(sheet, rows, chosen.windows)
    base = find_time_base(sheet, rows, chosen, scale, SHIPPED)
    result = calibrate(rows.traces, base, fs=FS_HZ)
    of_page = page_evidence(sheet, rows, chosen, base, scale, result)
    if not image.with_suffix(".hea").is_file():
        return JudgedPage(image.stem, of_page)
    evidence = evidence_of(sheet, rows, base, result, of_page)
    truth, fs = read_leads(image.with_suffix(""))
    out = []
    for lead, status, signal in zip(LEADS, result.statuses, result.signals, strict=True):
        if not status.found:
            continue
        printed = lead in truth and bool(np.isfinite(truth[lead]).any())
        if not printed:
            out.append(JudgedLead(image.stem, lead, evidence[lead], False, True))
            continue
        one = compare_lead(truth[lead], signal, fs)
        right = one.aligned_snr_db >= RIGHT_SNR_DB and abs(one.gain - 1.0) <= RIGHT_GAIN
        right &= abs(one.start_s) <= RIGHT_START_S
        out.append(JudgedLead(image.stem, lead, evidence[lead], right, one.is_wrong))
    return JudgedPage(image.stem, of_page, tuple(out))


def judge_pages(
    images: Sequence[Path], *, workers: int = 2, on_progress: Callable[[int, int], None] | None = None
) -> list[JudgedPage]:
    """Many pages, less those that are refused on the way."""
    out: list[JudgedPage] = []
    with get_context("spawn").Pool(workers) as pool:
        for k, page in enumerate(pool.imap(judge_page, images)):
            out += [] if page is None else [page]
            if on_progress:
                on_progress(k + 1, len(images))
    return out


def fit_trust(pages: Sequence[JudgedPage]) -> dict[str, Any]:
    """The model of right leads, ready for JSON, with its figures on pages held out in turn.

    Raises:
        ValueError: fewer than `FOLDS` pages.
    """
    leads = [lead for page in pages for lead in page.leads]
    right, wrong = (np.array([getattr(lead, key) for lead in leads], bool) for key in ("right", "wrong"))
    model, held = _fitted([lead.evidence for lead in leads], right, [lead.page for lead in leads])
    limit = limit_of(held, wrong)
    ok = held >= limit
    figures = {
        "leads": len(leads),
        "pages": len(pages),
        "right": round(float(right.mean()), 4),
        "brier": round(float(np.mean((held - right) ** 2)), 4),
        "brier_of_the_mean": round(float(right.mean() * (1 - right.mean())), 4),
        "wrong_at_ok": round(float(wrong[ok].mean()) if ok.any() else 0.0, 4),
        "right_at_check": round(float((right & ~ok).sum() / max(1, right.sum())), 4),
        "reliability": reliability(held, right),
    }
    return model | {"limit": round(limit, 4), "held_out": figures}


def fit_is_ecg(ecgs: Sequence[JudgedPage], others: Sequence[JudgedPage]) -> dict[str, Any]:
    """The model of pages that are 12-lead ECGs, likewise; its limit refuses `REFUSED_SHARE` of these.

    Of the ECGs those count that are mostly read rightly: a page that is not is no loss if it is refused.
    """
    ecgs = [page for page in ecgs if 2 * sum(lead.right for lead in page.leads) > len(page.leads)]
    pages = [*ecgs, *others]
    is_ecg = np.arange(len(pages)) < len(ecgs)
    model, held = _fitted([page.evidence for page in pages], is_ecg, [page.page for page in pages])
    limit = float(np.quantile(held[is_ecg], REFUSED_SHARE))
    figures = {
        "ecgs": len(ecgs),
        "others": len(others),
        "brier": round(float(np.mean((held - is_ecg) ** 2)), 4),
        "others_refused": round(float((held[~is_ecg] < limit).mean()), 4),
        "reliability": reliability(held, is_ecg),
    }
    return model | {"limit": round(limit, 4), "held_out": figures}


def _fitted(
    evidence: Sequence[dict[str, float]], yes: NDArray[np.bool_], pages: Sequence[str]
) -> tuple[dict[str, Any], Floats]:
    """A model, ready for JSON but for its limit, and (n,) probabilities by models of other pages.

    Raises:
        ValueError: fewer than `FOLDS` pages.
    """
    kinds = np.unique(pages)
    if len(kinds) < FOLDS:
        raise ValueError(f"at least {FOLDS} pages are needed; got {len(kinds)}")
    names = tuple(evidence[0])
    x = np.array([[one[name] for name in names] for one in evidence])
    fold = dict(zip(kinds, np.random.default_rng(0).permutation(len(kinds)) % FOLDS, strict=True))
    of = np.array([fold[page] for page in pages])
    held = np.zeros(len(x))
    for k in range(FOLDS):
        held[of == k] = _fit(names, x[of != k], yes[of != k]).probability(x[of == k])
    model = _fit(names, x, yes)
    arrays = {"mean": model.mean, "sd": model.sd, "weights": model.weights}
    numbers = {name: [round(v, 6) for v in values.tolist()] for name, values in arrays.items()}
    return {"features": list(names), **numbers, "bias": round(model.bias, 6)}, held


def limit_of(probability: Floats, wrong: NDArray[np.bool_]) -> float:
    """Lowest probability above which at most `WRONG_SHARE` of the leads are wrong."""
    order = np.argsort(-probability)
    share = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(share <= WRONG_SHARE)
    return float(probability[order[good[-1]]]) if len(good) else 1.0


def reliability(probability: Floats, right: NDArray[np.bool_], bins: int = 10) -> list[list[float]]:
    """Mean probability, share that is right and number of leads of equally large groups."""
    groups = np.array_split(np.argsort(probability), bins)
    return [
        [round(float(probability[g].mean()), 4), round(float(right[g].mean()), 4), len(g)]
        for g in groups
        if len(g)
    ]


def _fit(features: tuple[str, ...], x: Floats, right: NDArray[np.bool_]) -> TrustModel:
    """A model of evidence (n, features), which trusts nothing as long as its limit is not known."""
    from scipy.optimize import minimize
    from scipy.special import expit

    mean, sd = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-3)
    z, y = (x - mean) / sd, right.astype(float)

    def loss(v: Floats) -> tuple[float, Floats]:
        odds = z @ v[:-1] + v[-1]
        residual = expit(odds) - y
        value = float(np.mean(np.logaddexp(0.0, odds) - y * odds)) + RIDGE * float((v[:-1] ** 2).sum())
        gradient = np.append(z.T @ residual / len(y) + 2 * RIDGE * v[:-1], residual.mean())
        return value, gradient

    found = minimize(loss, np.zeros(z.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return TrustModel(features, mean, sd, found[:-1], float(found[-1]), limit=np.inf)


def pages_in(folders: Sequence[Path]) -> list[Path]:
    """Images of folders of rendered pages, label maps excepted.

    Raises:
        ValueError: a folder without images.
    """
    found = []
    for folder in folders:
        images = [path for path in sorted(folder.glob("*.png")) if not path.name.endswith(".labels.png")]
        if not images:
            raise ValueError(f"folders must hold rendered pages (*.png); {folder} has none")
        found += images
    return found


def write_model(model: dict[str, Any], path: Path, folders: Sequence[str]) -> None:
    """Write a model with how it was made, whole or not at all."""
    part = path.with_suffix(".part")
    made = {"command": f"ecg-lab fit-trust {' '.join(folders)}"}
    part.write_text(json.dumps(model | made, indent=1) + "\n")
    os.replace(part, path)
