"""Fit the model by which leads are trusted (`signals.trust`), and measure how well it tells right from wrong.

In: folders of rendered pages with their truth. Out: `trust.json`, and its figures on pages held out in turn.
A lead is right if its SNR is at least 15 dB after alignment, its gain within 5 % and its start within 20 ms,
and wrong as in `right_leads`; between the two it is neither, and teaches the model but is not counted as
wrong.
"""

from __future__ import annotations

import json
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
from ecg_hough.signals.trust import evidence_of
from ecg_hough.traces.read import read_rows
from ecg_hough.traces.rows import Rows
from ecg_lab.right_leads import compare_lead

RIGHT_SNR_DB, RIGHT_GAIN, RIGHT_START_S = 15.0, 0.05, 0.02
WRONG_SHARE = 0.005
"""Most leads above the limit that may be wrong."""
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


def judge_page(image: Path) -> list[JudgedLead]:
    """All leads that are read of a page whose truth lies next to it; none of a refused page."""
    try:
        sheet = find_page(read_page(image).image)
        return judged_leads(image, sheet, read_rows(sheet))
    except PageError:
        return []


def judged_leads(image: Path, sheet: Sheet, rows: Rows) -> list[JudgedLead]:
    """The same of a page whose rows are read."""
    chosen = choose_layout(sheet, rows)
    scale = find_scale(sheet, rows, chosen.windows)
    base = find_time_base(sheet, rows, chosen, scale, SHIPPED)
    result = calibrate(rows.traces, base, fs=FS_HZ)
    evidence = evidence_of(sheet, rows, chosen, base, scale, result)
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
    return out


def judge_pages(
    images: Sequence[Path], *, workers: int = 2, on_progress: Callable[[int, int], None] | None = None
) -> list[JudgedLead]:
    """All leads of many pages."""
    out: list[JudgedLead] = []
    with get_context("spawn").Pool(workers) as pool:
        for k, leads in enumerate(pool.imap(judge_page, images)):
            out += leads
            if on_progress:
                on_progress(k + 1, len(images))
    return out


def fit_trust(leads: Sequence[JudgedLead]) -> dict[str, Any]:
    """The model, ready for JSON, with its figures on pages held out in turn.

    Raises:
        ValueError: fewer than `FOLDS` pages.
    """
    names = tuple(leads[0].evidence) if leads else ()
    x = np.array([[lead.evidence[name] for name in names] for lead in leads])
    right, wrong = (np.array([getattr(lead, key) for lead in leads]) for key in ("right", "wrong"))
    pages = np.array([lead.page for lead in leads])
    kinds = np.unique(pages)
    if len(kinds) < FOLDS:
        raise ValueError(f"leads must be of at least {FOLDS} pages; got {len(kinds)}")
    fold = dict(zip(kinds, np.random.default_rng(0).permutation(len(kinds)) % FOLDS, strict=True))
    of = np.array([fold[page] for page in pages])
    held = np.zeros(len(leads))
    for k in range(FOLDS):
        held[of == k] = _probabilities(_fit(x[of != k], right[of != k]), x[of == k])
    model = _fit(x, right)
    limit = limit_of(held, wrong)
    ok = held >= limit
    return {
        "features": list(names),
        **{name: [round(float(v), 6) for v in model[name]] for name in ("mean", "sd", "weights")},
        "bias": round(float(model["bias"]), 6),
        "limit": round(limit, 4),
        "held_out": {
            "leads": len(leads),
            "pages": len(kinds),
            "right": round(float(right.mean()), 4),
            "brier": round(float(np.mean((held - right) ** 2)), 4),
            "brier_of_the_mean": round(float(right.mean() * (1 - right.mean())), 4),
            "wrong_at_ok": round(float(wrong[ok].mean()) if ok.any() else 0.0, 4),
            "right_at_check": round(float((right & ~ok).sum() / max(1, right.sum())), 4),
            "reliability": reliability(held, right),
        },
    }


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


def _fit(x: Floats, right: NDArray[np.bool_]) -> dict[str, Any]:
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
    return {"mean": mean, "sd": sd, "weights": found[:-1], "bias": found[-1]}


def _probabilities(model: dict[str, Any], x: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit((x - model["mean"]) / model["sd"] @ model["weights"] + model["bias"]))


def write_model(model: dict[str, Any], path: Path, *, command: str, pages: Sequence[str]) -> None:
    """Write the model with how it was made."""
    from ecg_hough.output.atomic import write_whole

    write_whole(path, json.dumps(model | {"command": command, "folders": list(pages)}, indent=1))
