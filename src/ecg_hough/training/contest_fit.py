"""Fit how surely contested ink is given to the right row.

In: records. Out: the weights of `traces.contested`, printed with their accuracy on pages of records that they
were not fitted to. Pages are rendered as for the trace network, a third of them with rows that cross. Run
`python -m ecg_hough.training.contest_fit RECORDS [PAGES SEED]`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from ecg_hough.cores import pool_for
from ecg_hough.datasets.split import split_records
from ecg_hough.errors import PageError
from ecg_hough.layout.find_page import find_page
from ecg_hough.networks.runtime import load_network
from ecg_hough.options import SHIPPED
from ecg_hough.render import RenderedPage
from ecg_hough.traces.contested import stretches
from ecg_hough.traces.look import PageReader
from ecg_hough.traces.read import TRACE_NETWORK
from ecg_hough.traces.second_look import settle_together
from ecg_hough.training.trace_data import render_for_traces

WRONG_MM, NEAR_MM = 2.0, 0.25
"""A read-out is wrong so far off the true course within so much of the page's length."""
PENALTY = 1.0
"""Of the squared weights of standardised features."""


class Judged(NamedTuple):
    """Contested stretches: features (n, k), which are wrong (n,), and the wrong read-outs' errors, mm."""

    features: NDArray[np.float64]
    wrong: NDArray[np.bool_]
    errors: NDArray[np.float64]


def judge_page(page: RenderedPage) -> Judged | None:
    """Contested stretches of a rendered page; None where it is not read row by row as it was drawn."""
    try:
        sheet = find_page(page.image)
    except PageError:
        return None
    reader = PageReader.of(
        sheet.image, sheet.page_map, sheet.canvas, sheet.probabilities, sheet.layout,
        load_network(TRACE_NETWORK), SHIPPED,
    )  # fmt: skip
    truths = sorted({panel.row for panel in page.panels})
    if sheet.image.shape != page.image.shape or len(reader.indices) != len(truths):
        return None
    with pool_for(len(truths)) as pool:
        looks = [look for look in pool.map(reader.look, range(len(truths))) if look is not None]
        if len(looks) != len(truths):
            return None
        looks, places = settle_together(reader, looks, pool)
    views = [look.view for look in looks]
    features, wrong, errors = [], [], []
    for truth, view, place, mine in zip(truths, views, places, stretches(views, places), strict=True):
        off = np.full(place.size, np.nan)
        for panel in (panel for panel in page.panels if panel.row == truth):
            y, x = reader.page_map.to_mm(*panel.trace.T.astype(float))
            off = np.fmin(off, _off(view.x_mm, place, y, x))
        for first, stop, found in mine:
            known = off[first:stop][np.isfinite(off[first:stop])]
            if known.size:
                features.append(found)
                wrong.append(bool((known > WRONG_MM).any()))
                errors.append(known[known > WRONG_MM])
    if not features:
        return None
    return Judged(np.array(features), np.array(wrong), np.concatenate(errors))


def _off(
    x_mm: NDArray[np.float64], place: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) mm of read-outs off a true course (m,) within `NEAR_MM`; NaN beyond its ends."""
    order = np.argsort(x)
    true = np.interp(x_mm, x[order], y[order], left=np.nan, right=np.nan)
    beyond = np.isnan(true)
    near = 2 * round(NEAR_MM / (x_mm[1] - x_mm[0])) + 1
    high = maximum_filter1d(np.where(beyond, -np.inf, true), near)
    low = minimum_filter1d(np.where(beyond, np.inf, true), near)
    return np.where(beyond, np.nan, np.maximum(np.maximum(place - high, low - place), 0.0))


def fit(features: NDArray[np.float64], wrong: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Weights (k,) and bias of the log odds: penalised maximum likelihood."""
    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    scaled = (features - mean) / spread

    def loss(w: NDArray[np.float64]) -> float:
        odds = scaled @ w[1:] + w[0]
        return float(-np.where(wrong, log_expit(odds), log_expit(-odds)).sum() + PENALTY * (w[1:] ** 2).sum())

    w = minimize(loss, np.zeros(features.shape[1] + 1)).x
    weights = w[1:] / spread
    return weights, float(w[0] - mean @ weights)


def main(records: Path, n_pages: int = 60, seed: int = 88) -> None:
    """Judge pages, fit to three quarters of them and print the weights and their accuracy on the others."""
    cv2.setNumThreads(1)
    stems, _ = split_records(records)
    rng = np.random.default_rng(seed)
    judged = [
        found for _ in range(n_pages) if (found := judge_page(render_for_traces(stems, rng))) is not None
    ]
    n_fit = round(0.75 * len(judged))
    features, wrong = (np.concatenate([one[k] for one in judged[:n_fit]]) for k in (0, 1))
    weights, bias = fit(features, wrong)
    print(f"{len(judged)} of {n_pages} pages; {wrong.mean():.1%} of {wrong.size} stretches are wrong")
    print("weights", ", ".join(f"{w:.3f}" for w in weights), "bias", f"{bias:.3f}")
    errors = np.concatenate([one.errors for one in judged[:n_fit]])
    print(f"wrong read-outs are off by {np.sqrt((errors**2).mean()):.1f} mm (root mean square)")
    features, wrong = (np.concatenate([one[k] for one in judged[n_fit:]]) for k in (0, 1))
    given = expit(features @ weights + bias)
    for low, high in ((0.0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 1.01)):
        mine = (given >= low) & (given < high)
        if mine.any():
            print(f"held out, {low:.2f} to {high:.2f}: {mine.sum()}, wrong {wrong[mine].mean():.1%}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(number) for number in sys.argv[2:]))
