"""ECGs drawn as people plot them in scripts: the benchmark of pages that no cart prints.

In: a number of plots, a seed, optionally recorded ECGs. Out: PNG and WFDB truth of each, which
`ecg-lab benchmark` scores. matplotlib draws them, on one pair of axes or on one for every panel, each with
a frame and a grid of its own; 0.2 s need not be as wide as 0.5 mV is tall. The networks never saw such pages.
Every choice takes its values in turn, in an order shuffled by the seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from ecg_hough.output.export import write_signals
from ecg_hough.paper import (
    GAIN_MM_MV,
    KNOWN_LAYOUTS,
    LEADS,
    MM_PER_INCH,
    PAPER_SPEED_MM_S,
    PLOTTED_LAYOUTS,
    RECORD_S,
    by_column,
)
from ecg_lab.benchmark_pages import BENCHMARK_SEED, write_pages

PANEL_MV = {3: 3.0, 4: 3.0, 6: 2.0, 12: 1.6}
"""Height of a panel by the number of rows."""
SHAPES = tuple(
    f"{len(layout.rows)}x{layout.n_columns}"
    for layout in (*KNOWN_LAYOUTS, *PLOTTED_LAYOUTS)
    if len(layout.rows) in PANEL_MV and layout.rows == by_column(LEADS, len(layout.rows))
)
"""Of the layouts whose leads follow each other down their columns."""
CHOICES: dict[str, Sequence[Any]] = {
    "shape": SHAPES,
    "axes": ("one", "each"),
    "stretch": (1.0, 0.5, 0.7, 1.4, 2.0),
    "sequential": (True, False),
    "scale": (1.0, 0.8, 1.2),
    "dpi": (100, 150, 200),
    "grid": ("lightgrey", "pink", "salmon"),
    "pen_pt": (0.7, 1.0),
    "words": (True, False),
    "recorded": (True, False),
}
"""Values that are drawn evenly. "stretch": 0.5 mV's height over 0.2 s' width; "scale": of 25 mm/s."""
SPACE_MM, MARGIN_MM, TITLE_MM = 4.0, 10.0, 8.0
"""Between axes, round the figure, and above each panel's axes for its name."""


def render_plots(
    out: Path,
    *,
    n: int = 60,
    seed: int = BENCHMARK_SEED,
    records: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Draw `n` plots into `out`: <stem>.png, <stem>.hea and <stem>.dat each.

    Args:
        seed: same seed and records, same plots.
        records: WFDB folder, of which half of the plots show the held-out records; None: made-up ECGs only.
        on_progress: called with (plots done, plots in all).
    Returns:
        Paths of the images.
    Raises:
        ValueError: n below 1, or a folder without held-out records.
    """

    def write(k: int, seed: int, choice: dict[str, Any], signals: np.ndarray, fs: int) -> Path:
        name = f"{k:04d}_{choice['shape']}_{choice['axes']}"
        shown = draw_plot(signals, fs, choice, out / f"{name}.png")
        write_signals(out, name, shown, fs, comments=[f"layout {choice['shape']}"])
        return out / f"{name}.png"

    return write_pages(out, CHOICES, write, n=n, seed=seed, records=records, on_progress=on_progress)


def draw_plot(
    signals: NDArray[np.floating], fs: int, choice: dict[str, Any], path: Path
) -> NDArray[np.float64]:
    """Draw one plot of the given choices; returns what it shows of the signals (12, N), NaN elsewhere.

    Args:
        signals: (12, N) mV in the standard order; fs: Hz.
    """
    n_rows, n_columns = (int(part) for part in choice["shape"].split("x"))
    panel_s, panel_mv = RECORD_S / n_columns, PANEL_MV[n_rows]
    width_mm = panel_s * PAPER_SPEED_MM_S * choice["scale"]
    height_mm = panel_mv * GAIN_MM_MV * choice["scale"] * choice["stretch"]
    each = choice["axes"] == "each"
    gap_mm = (SPACE_MM + TITLE_MM, SPACE_MM) if each else (0.0, 0.0)
    size_mm = (
        n_rows * height_mm + (n_rows - 1) * gap_mm[0] + 2 * MARGIN_MM + TITLE_MM,
        n_columns * width_mm + (n_columns - 1) * gap_mm[1] + 2 * MARGIN_MM,
    )
    figure = Figure(figsize=(size_mm[1] / MM_PER_INCH, size_mm[0] / MM_PER_INCH), dpi=choice["dpi"])
    FigureCanvasAgg(figure)

    def axes_at(row: int, column: int, rows: int, columns: int) -> Axes:
        left = MARGIN_MM + column * (width_mm + gap_mm[1])
        bottom = size_mm[0] - MARGIN_MM - TITLE_MM - (row + rows) * height_mm - row * gap_mm[0]
        at = (left / size_mm[1], bottom / size_mm[0])
        return figure.add_axes((*at, columns * width_mm / size_mm[1], rows * height_mm / size_mm[0]))

    whole = None if each else axes_at(0, 0, n_rows, n_columns)
    shown = np.full(signals.shape, np.nan)
    count = int(panel_s * fs)
    for k in range(len(LEADS)):
        column, row = divmod(k, n_rows)
        first = math.ceil(column * panel_s * fs) if choice["sequential"] else 0
        shown[k, first : first + count] = signals[k, first : first + count]
        seconds, mv = np.arange(count) / fs, shown[k, first : first + count].copy()
        seconds += first / fs - column * panel_s if choice["sequential"] else 0.0
        axes = whole
        if axes is None:
            axes = axes_at(row, column, 1, 1)
            axes.set_title(LEADS[k], fontsize=9, loc="left", pad=2)
            _rule(axes, choice["grid"], panel_s, (-panel_mv / 2, panel_mv / 2))
            # What a panel's axes cut off is not on the page.
            shown[k, first : first + count][np.abs(mv) > panel_mv / 2] = np.nan
        else:
            seconds, mv = seconds + column * panel_s, mv - row * panel_mv
            axes.text(column * panel_s + 0.05, (0.3 - row) * panel_mv, LEADS[k], fontsize=9)
        axes.plot(seconds, mv, color="black", linewidth=choice["pen_pt"])
    if whole is not None:
        _rule(whole, choice["grid"], RECORD_S, ((0.5 - n_rows) * panel_mv, panel_mv / 2))
    if choice["words"]:
        figure.text(0.3, 2.0 / size_mm[0], "25 mm/s   10 mm/mV", fontsize=9)
    figure.savefig(path)
    return shown


def _rule(axes: Axes, colour: str, seconds: float, mv: tuple[float, float]) -> None:
    """Limits, and lines every 0.04 and 0.2 s, 0.1 and 0.5 mV."""
    axes.set_xlim(0, seconds)
    axes.set_ylim(*mv)
    for axis, minor, major in ((axes.xaxis, 0.04, 0.2), (axes.yaxis, 0.1, 0.5)):
        axis.set_major_locator(MultipleLocator(major))
        axis.set_minor_locator(MultipleLocator(minor))
    axes.grid(which="major", color=colour, linewidth=0.8)
    axes.grid(which="minor", color=colour, linewidth=0.35, alpha=0.6)
    axes.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
