"""Time and millivolts without alignment, on a page drawn by matplotlib, as most research code draws."""

import io

import numpy as np
import pytest
from PIL import Image

from ecg_hough.options import Options
from ecg_hough.paper import LEADS, MM_PER_INCH, make_layout
from ecg_hough.pipeline import digitize
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.scores.metrics import unaligned_snr

PAGE_MM = (279.4, 215.9)
LEFT_MM, FIRST_MM, PITCH_MM, COLUMN_S = 15.0, 90.0, 36.0, 2.5
"""The block begins on a line of the grid, and zero lines are on lines of the grid."""


def drawn_page(signals: np.ndarray, fs: float, dpi: int = 200) -> np.ndarray:
    """3x4 with a rhythm strip of II: a grid of 1 and 5 mm, traces of 0.75 points, names."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=[mm / MM_PER_INCH for mm in PAGE_MM], dpi=dpi, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, PAGE_MM[0]), ylim=(PAGE_MM[1], 0))
    for size, setter in ((PAGE_MM[0], axes.set_xticks), (PAGE_MM[1], axes.set_yticks)):
        setter(np.arange(0, size, 5.0))
        setter(np.arange(0, size, 1.0), minor=True)
    axes.grid(which="minor", linewidth=0.5, color=(1.0, 0.75, 0.75))
    axes.grid(which="major", linewidth=0.5, color=(0.95, 0.5, 0.5))
    layout = make_layout("3x4", rhythm=("II",))
    n = round(COLUMN_S * fs)
    for r, row in enumerate([*layout.rows, layout.rhythm]):
        for c, lead in enumerate(row):
            first, last = (0, 4 * n) if r == len(layout.rows) else (c * n, (c + 1) * n)
            t = np.arange(first, last) / fs
            level = FIRST_MM + PITCH_MM * r
            mv = signals[LEADS.index(lead), first:last]
            axes.plot(LEFT_MM + 25.0 * t, level - 10.0 * mv, color="black", linewidth=0.75)
            axes.text(LEFT_MM + 25.0 * t[0], level + 6.0, lead, fontsize=10)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return np.asarray(Image.open(file).convert("RGB"))


@pytest.mark.slow
def test_lines_of_the_grid_give_time_and_zero() -> None:
    ecg = generate_ecg(5, rhythm="sinus rhythm")
    # Amplifiers pass no direct current.
    ecg_mv = ecg.signals - ecg.signals.mean(axis=1, keepdims=True)
    page = drawn_page(ecg_mv, ecg.fs)
    with_lines = digitize(page)
    without = digitize(page, options=Options(grid_lines=False))
    n = round(COLUMN_S * ecg.fs)
    scores = {}
    for name, read in (("with", with_lines), ("without", without)):
        signals = read.signals
        scores[name] = []
        for k, lead in enumerate(LEADS):
            column = next(
                c for row in make_layout("3x4").rows for c, other in enumerate(row) if other == lead
            )
            span = slice(0, 4 * n) if lead == "II" else slice(column * n, (column + 1) * n)
            truth = np.full(4 * n, np.nan)
            truth[span] = ecg_mv[k, span]
            scores[name].append(unaligned_snr(truth, signals[k, : 4 * n]))
    assert np.mean(scores["with"]) > 20.0
    assert np.mean(scores["with"]) > np.mean(scores["without"]) + 2.0
    # Errors of what is placed on the grid are small, and so are the expected ones.
    assert np.nanmedian(with_lines.sd_mv) < 0.5 * np.nanmedian(without.sd_mv)
