"""Fit the weights that name rhythm strips (`strip_names.WEIGHTS`), and print their accuracy.

`python -m ecg_hough.training.strip_fit [--pages 60] [--held-out 30] [--seed 31313] [--records RECORDS]`:
pages with one to three rhythm strips of any lead are rendered, half of them without printed names, and read
as `digitize` reads them, up to the columns' edges. Conditional logit over the leads of a page, every strip a
choice. Pages to score on have other seeds; with records, they show held-out ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy.optimize import minimize
from scipy.special import logsumexp

from ecg_hough.datasets.split import read_signals, split_records
from ecg_hough.errors import PageError
from ecg_hough.layout.find_page import find_page
from ecg_hough.paper import LEADS, make_layout
from ecg_hough.render import RenderedPage, render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.signals.choose_layout import choose_layout
from ecg_hough.signals.find_columns import find_columns
from ecg_hough.signals.scale import find_scale
from ecg_hough.signals.strip_names import WEIGHTS, assign_leads, measure
from ecg_hough.signals.time_base import trusted_names
from ecg_hough.traces.read import read_rows

DRAWN_SHAPES = ("3x4", "3x4", "6x2", "4x3")
"""Layouts of several columns; most pages with strips are 3x4."""
STRIPS_MOST = 3
DPI = (100.0, 200.0)
RIDGE = 0.5
"""The squared weights, times this, are added to the loss: most pages are easy, and weights would grow."""
HELD_OUT_SEEDS = 1_000_000
"""Added to the seed for pages that are scored only."""


@dataclass(frozen=True)
class MeasuredStrips:
    """The rhythm strips of a page: features (strips, leads, 3), and the index of each one's true lead."""

    features: NDArray[np.float64]
    true: NDArray[np.intp]


def draw_page(seed: int, stem: Path | None = None) -> RenderedPage:
    """A page with rhythm strips, of a generated ECG, or of a record (path without suffix)."""
    rng = np.random.default_rng(seed)
    strips = rng.choice(LEADS, rng.integers(1, STRIPS_MOST + 1), replace=False)
    layout = make_layout(
        str(rng.choice(DRAWN_SHAPES)), rhythm=tuple(map(str, strips)), cabrera=bool(rng.random() < 0.25)
    )
    style = sample_style(rng, "mixed", layout=layout, dpi=float(rng.uniform(*DPI)))
    names = "none" if rng.random() < 0.5 else style.sheet.names
    sheet = replace(style.sheet, names=names, missing=())
    if stem is None:
        ecg = generate_ecg(seed)
        signals, fs = ecg.signals, ecg.fs
    else:
        signals, fs = read_signals(stem)
    return render_page(np.nan_to_num(signals), fs, seed=seed, style=replace(style, sheet=sheet))


def measure_page(page: RenderedPage) -> MeasuredStrips | None:
    """Read a page and measure its strips; None where it cannot be read or shows other strips."""
    try:
        sheet = find_page(page.image)
        rows = read_rows(sheet)
        chosen = choose_layout(sheet, rows)
        if chosen.layout is None:
            return None
        base = find_columns(sheet, rows, chosen, find_scale(sheet, rows, chosen.windows))
    except PageError:
        return None
    strips, leads, features = measure(rows.traces, base.columns.windows, chosen.layout, trusted_names(sheet))
    order = np.argsort([strip.row_index for strip in strips])
    true = [panel.lead for panel in sorted(page.panels, key=lambda panel: panel.row) if panel.rhythm]
    if len(strips) != len(true) or not strips or not set(true) <= set(leads):
        return None
    return MeasuredStrips(features[order], np.array([leads.index(lead) for lead in true]))


def measured_pages(seeds: range, stems: list[Path]) -> Iterator[MeasuredStrips]:
    """The pages that could be measured; every other one shows a record, where there are any."""
    for k, seed in enumerate(track(seeds, "rendering and reading")):
        measured = measure_page(draw_page(seed, stems[k % len(stems)] if stems and k % 2 else None))
        if measured is not None:
            yield measured


def fit_weights(pages: list[MeasuredStrips]) -> NDArray[np.float64]:
    """(3,) weights of greatest likelihood, less the ridge."""

    def loss(weights: NDArray[np.float64]) -> float:
        missed = 0.0
        for page in pages:
            odds = page.features @ weights
            missed += float((logsumexp(odds, axis=1) - odds[np.arange(len(odds)), page.true]).sum())
        return missed + RIDGE * float((weights**2).sum())

    return np.asarray(minimize(loss, np.ones(len(WEIGHTS))).x)


def share_right(pages: list[MeasuredStrips], weights: NDArray[np.float64]) -> float:
    """Share of the strips that are named right, no two of a page alike."""
    right = [assign_leads(page.features, weights) == page.true for page in pages]
    return float(np.mean(np.concatenate(right)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=60, help="pages to fit to")
    parser.add_argument("--held-out", type=int, default=30, help="pages to score on")
    parser.add_argument("--seed", type=int, default=31313)
    parser.add_argument("--records", type=Path, help="WFDB folder of which every other page shows a record")
    given = parser.parse_args()
    training, held_out = split_records(given.records) if given.records else ([], [])
    other = given.seed + HELD_OUT_SEEDS
    fitted_to = list(measured_pages(range(given.seed, given.seed + given.pages), training))
    scored_on = list(measured_pages(range(other, other + given.held_out), held_out))
    fitted = fit_weights(fitted_to)
    print(f"seeds from {given.seed} and, held out, from {other}")
    print("WEIGHTS =", tuple(float(w) for w in fitted.round(1)))
    for name, pages, asked in (("fitted", fitted_to, given.pages), ("held out", scored_on, given.held_out)):
        n_strips = sum(len(page.true) for page in pages)
        print(f"{name}: {len(pages)} of {asked} pages measured, {n_strips} strips;", end="")
        for source, weights in (("name so far", (0, 0, 1)), ("shipped", WEIGHTS), ("this fit", fitted)):
            print(f" {source} {share_right(pages, np.array(weights)):.1%} right;", end="")
        print()


if __name__ == "__main__":
    main()
