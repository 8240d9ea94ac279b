"""Fit the weights of the leads network's and the traces' evidence (`choose_layout.WEIGHTS`).

`python -m ecg_hough.training.layout_fit PAGES...`: folders of rendered benchmark pages, of other seeds than
the published one. Only pages without names are used: printed names decide elsewhere. Conditional logit over
all known layouts, with a penalty for distance from the weights so far; the accuracy is printed for the pages
that were fitted to, and for each eighth of them by weights fitted to the others.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy.optimize import minimize
from scipy.special import logsumexp

from ecg_hough.errors import PageError
from ecg_hough.image.reading import read_page
from ecg_hough.layout.find_page import find_page
from ecg_hough.scores.layout_score import TRUTH_SUFFIX
from ecg_hough.signals.choose_layout import WEIGHTS, at_common_edges, candidates_on_page, measure
from ecg_hough.traces.read import read_rows

RIDGE = 0.3
"""Factor of the squared distance from the weights so far, which were fitted to other pages."""
FOLDS = 8
MeasuredPage = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""(candidates, features) of a page, and which of them are true: a layout may be fitted in several ways."""


def measure_page(image: Path, truth: str) -> MeasuredPage | None:
    """Measure a page; None where no candidate is true or it cannot be read."""
    try:
        sheet = find_page(read_page(image).image)
        rows = read_rows(sheet)
    except PageError:
        return None
    candidates, _ = candidates_on_page(sheet, rows)
    true = np.array([c.layout.name == truth for c in candidates])
    if not true.any():
        return None
    placed = [at_common_edges(rows.traces, c, has_grid=sheet.has_grid) for c in candidates]
    return np.array([measure(rows.traces, c) for c in placed]), true


def fit_weights(pages: list[MeasuredPage]) -> NDArray[np.float64]:
    """Weights of greatest likelihood."""

    def loss(weights: NDArray[np.float64]) -> float:
        odds = [features @ weights for features, _ in pages]
        missed = sum(
            float(logsumexp(o) - logsumexp(o[true])) for o, (_, true) in zip(odds, pages, strict=True)
        )
        return missed + RIDGE * float(((weights - WEIGHTS) ** 2).sum())

    return np.asarray(minimize(loss, np.array(WEIGHTS)).x)


def share_right(pages: list[MeasuredPage], weights: NDArray[np.float64]) -> float:
    """Share of the pages whose likeliest layout is true."""
    return float(np.mean([true[np.argmax(features @ weights)] for features, true in pages]))


def cross_validated(pages: list[MeasuredPage]) -> float:
    """The same by weights that were fitted to other pages."""
    folds = min(FOLDS, len(pages))
    parts = [pages[k::folds] for k in range(folds)]
    others = [[page for part in parts if part is not mine for page in part] for mine in parts]
    right = [share_right(mine, fit_weights(other)) for mine, other in zip(parts, others, strict=True)]
    return float(np.average(right, weights=[len(part) for part in parts]))


def main(folders: list[Path]) -> None:
    pages, unread = [], 0
    truths = [path for folder in folders for path in sorted(folder.glob(f"*{TRUTH_SUFFIX}"))]
    for path in track(truths, "measuring"):
        truth = json.loads(path.read_text(encoding="utf-8"))
        if truth["names_printed"]:
            continue
        image = path.with_name(path.name.removesuffix(TRUTH_SUFFIX) + ".png")
        page = measure_page(image, truth["layout"])
        if page is None:
            unread += 1
        else:
            pages.append(page)
    print(f"{len(pages)} pages, {unread} without a true candidate")
    fitted = fit_weights(pages)
    print("WEIGHTS =", tuple(float(w) for w in fitted.round(2)))
    for name, weights in (
        ("network alone", (1.0, 0.0, 0.0, 0.0)),
        ("now", WEIGHTS),
        ("fitted", fitted),
    ):
        print(f"{name}: {share_right(pages, np.array(weights)):.1%} right")
    print(f"fitted to other pages: {cross_validated(pages):.1%} right")


if __name__ == "__main__":
    main([Path(folder) for folder in sys.argv[1:]])
