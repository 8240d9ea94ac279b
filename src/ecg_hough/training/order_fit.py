"""Fit the odds of simultaneous columns (`column_order.COEFFICIENTS`), and print their accuracy.

`python -m ecg_hough.training.order_fit RECORDS [SEED]`: every record is laid on paper in every layout of
several columns, in both orders, with reading errors: wrong edges of columns, names misread as trace, gaps,
noise. Held-out records are scored and never fitted to. Needs the extra `train`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from ecg_hough.datasets.split import read_signals, split_records
from ecg_hough.elements import RowTrace, Window
from ecg_hough.paper import BLOCK_MM, GAIN_MM_MV, LEADS, SHAPES, Layout, make_layout
from ecg_hough.signals.column_order import SIMULTANEOUS, find_column_order, measure_columns, order_by_strips

LAYOUTS = tuple(
    make_layout(name, rhythm=strips)
    for name, shape in SHAPES.items()
    for strips in ((), ("II",), ("II", "V1", "V5"))
    if shape.n_columns > 1 and len(strips) <= shape.strips_usual
)
"""Those of several columns, with none, one and three rhythm strips where these are usual."""
STEP_MM, MARGIN_MM = 0.1, 5.0
FIFTY_SHARE = 0.2
"""Share of pages at 50 mm/s."""
EDGE_SD_MM = (0.1, 0.25, 0.6)
"""Standard deviation of the error of columns' inner edges, of one page."""
END_OFF_SHARE, END_OFF_MM = 0.05, (-4.0, 8.0)
"""Share of pages on which the block's end is misread (a pulse is taken for trace), and range of that
error."""
NOISE_MM = (0.02, 0.05, 0.1, 0.2)
"""Standard deviation of the reading noise, of one page."""
MISREAD_SHARE, MISREAD_MM = 0.4, (1.0, 8.0)
"""Share of panels whose start is lost or misread, and length of that part."""

Page = tuple[tuple[RowTrace, ...], tuple[Window, ...], Layout]


def lay_on_paper(
    signals: NDArray[np.float64],
    fs: float,
    layout: Layout,
    simultaneous: bool,
    rng: np.random.Generator,
    end_off_share: float,
) -> Page:
    """Rows of a page, as a reader with errors gives them.

    Args:
        signals: (12, n) mV, at least 10 s.
        end_off_share: probability that the block's end is misread.
    """
    speed = 50.0 if rng.random() < FIFTY_SHARE else 25.0
    width = BLOCK_MM / layout.n_columns
    column_s = width / speed
    shown_s = BLOCK_MM / speed if layout.rhythm or not simultaneous else column_s
    start_s = rng.uniform(0.0, signals.shape[1] / fs - shown_s)
    edges = np.arange(layout.n_columns + 1) * width
    end_off = rng.uniform(*END_OFF_MM) if rng.random() < end_off_share else 0.0
    off = rng.normal(0.0, rng.choice(EDGE_SD_MM), layout.n_columns - 1)
    seen = edges * (1.0 + end_off / BLOCK_MM) + np.r_[0.0, off, 0.0]
    x = np.arange(-MARGIN_MM, BLOCK_MM + MARGIN_MM, STEP_MM)
    sd = float(rng.choice(NOISE_MM))
    rows, windows = [], []
    strips = ((lead,) for lead in layout.rhythm)
    for r, leads in enumerate((*layout.rows, *strips)):
        strip = r >= len(layout.rows)
        y = np.full(x.size, np.nan)
        for c, lead in enumerate(leads):
            a, b = (0.0, BLOCK_MM) if strip else (edges[c], edges[c + 1])
            inside = (x >= a) & (x < b)
            at = start_s + (x[inside] - (a if simultaneous else 0.0)) / speed
            mv = np.interp(at, np.arange(signals.shape[1]) / fs, signals[LEADS.index(lead)])
            y[inside] = -GAIN_MM_MV * mv
            windows.append(Window(lead, r, c, strip, *((0.0, BLOCK_MM) if strip else (seen[c], seen[c + 1]))))
            if rng.random() < MISREAD_SHARE:
                misread = (x >= a) & (x < a + rng.uniform(*MISREAD_MM))
                y[misread] = np.nan if rng.random() < 0.6 else y[misread] + rng.normal(0.0, 5.0)
        # A misreading is as long as the pen is wide.
        noise = np.convolve(rng.normal(0.0, sd / 5**0.5, x.size), np.ones(5), "same")
        rows.append(RowTrace(r, x, y + noise, np.full(x.size, sd), np.isfinite(y).astype(float)))
    return tuple(rows), tuple(windows), layout


def pages(
    stems: list[Path], rng: np.random.Generator, end_off_share: float = END_OFF_SHARE
) -> Iterator[tuple[Page, bool]]:
    """Pages of records, and whether their columns are simultaneous."""
    for stem in track(stems, "laying on paper"):
        signals, fs = read_signals(stem)
        for layout in LAYOUTS:
            for simultaneous in (False, True):
                page = lay_on_paper(np.nan_to_num(signals), fs, layout, simultaneous, rng, end_off_share)
                yield page, simultaneous


def main(records: Path, seed: int) -> None:
    from sklearn.linear_model import LogisticRegression

    training, held_out = split_records(records)
    rng = np.random.default_rng(seed)
    fitted = list(pages(training, rng))
    undecided = [(page, truth) for page, truth in fitted if order_by_strips(*page) is None]
    measures = np.array([measure_columns(*page) for page, _ in track(undecided, "fitting")])
    model = LogisticRegression(C=3.0).fit(measures, [truth for _, truth in undecided])
    print(f"fitted to {len(undecided)} of {len(fitted)} pages, on which no strip decides")
    print("COEFFICIENTS =", tuple(float(c) for c in model.coef_[0].round(2)))
    print("INTERCEPT =", float(model.intercept_[0].round(2)))
    sets = {
        "fitted": fitted,
        "held out": list(pages(held_out, rng)),
        "held out, all ends misread": list(pages(held_out, rng, 1.0)),
    }
    for name, scored in sets.items():
        for strips in (False, True):
            right = [
                (find_column_order(*page).name == SIMULTANEOUS) == truth
                for page, truth in scored
                if bool(page[2].rhythm) == strips
            ]
            print(f"{name}, {'with' if strips else 'without'} strips: {np.mean(right):.1%} of {len(right)}"
                  " pages right, with the coefficients in `column_order`")  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
