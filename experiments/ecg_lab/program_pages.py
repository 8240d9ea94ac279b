"""ECGs drawn by other people's programs: pages that nobody here drew, as many as are wanted.

In: a number of pages, a seed, optionally recorded ECGs. Out: PNG and WFDB truth of each. `ecg_plot` 0.3 (MIT)
and `pmecg` 0.3 (GPL 3 or later) draw them: extras of the laboratory, of which nothing is copied or shipped.
What each panel shows is theirs to say. No network and no fit ever saw such pages. Every choice takes its
values in turn, in an order shuffled by the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ecg_hough.output.export import write_signals
from ecg_hough.paper import LEADS
from ecg_lab.benchmark_pages import BENCHMARK_SEED, write_pages

ECG_PLOT: tuple[dict[str, Any], ...] = (
    {"layout": "columns", "columns": 1}, {"layout": "columns", "columns": 2},
    {"layout": "columns", "columns": 3}, {"layout": "columns", "columns": 4},
    {"layout": "columns", "columns": 2, "time_mode": "sequential"},
    {"layout": "columns", "columns": 4, "time_mode": "sequential"},
    {"layout": "limb-chest"}, {"layout": "12lead", "rhythm_lead": "II"},
    {"layout": "12lead", "rhythm_lead": "II", "time_mode": "sequential"},
    {"layout": "12lead", "time_mode": "sequential"},
)  # fmt: skip
"""Arrangements of `ecg_plot`: arguments of its `plot`."""
PMECG = ("1x12", "2x6", "2x6+1", "2x6+3", "4x3", "4x3+1", "4x3+3", "1x12", "2x6+1", "4x3+1")
"""Arrangements of `pmecg`: its templates, columns by rows."""
CHOICES: dict[str, Sequence[Any]] = {
    "program": ("ecg_plot", "pmecg"),
    "arrangement": range(len(ECG_PLOT)),
    "paper": ((25.0, 10.0), (25.0, 10.0), (25.0, 5.0), (25.0, 20.0), (50.0, 10.0)),
    "dpi": (100, 150, 200),
    "recorded": (True, False),
}
"""Values that are drawn evenly. "paper": mm/s and mm/mV."""
SHORT_S = {1: 10.0, 2: 5.0, 3: 3.0, 4: 3.0}
"""What simultaneous columns show, s, by their number."""

Shown = list[tuple[str, float, float]]
"""Leads of panels, with the first and last second that each shows."""


def render_programs(
    out: Path,
    *,
    n: int = 60,
    seed: int = BENCHMARK_SEED,
    records: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Draw `n` pages into `out`: <stem>.png, <stem>.hea and <stem>.dat each.

    Args:
        seed: same seed and records, same pages.
        records: WFDB folder, of which half of the pages show the held-out records; None: made-up ECGs only.
        on_progress: called with (pages done, pages in all).
    Returns:
        Paths of the images.
    Raises:
        ValueError: n below 1, or a folder without held-out records.
        ModuleNotFoundError: ecg_plot or pmecg is not installed.
    """

    def write(k: int, seed: int, choice: dict[str, Any], signals: np.ndarray, fs: int) -> Path:
        figure, panels = draw_page(signals, fs, choice)
        name = f"{k:04d}_{choice['program']}"
        figure.savefig(out / f"{name}.png", dpi=choice["dpi"])
        write_signals(
            out, name, shown_of(signals, fs, panels), fs, comments=[f"drawn by {choice['program']}"]
        )
        return out / f"{name}.png"

    return write_pages(out, CHOICES, write, n=n, seed=seed, records=records, on_progress=on_progress)


def draw_page(signals: NDArray[np.floating], fs: int, choice: dict[str, Any]) -> tuple[Figure, Shown]:
    """A page of the given choices, and what its panels show.

    Args:
        signals: (12, N) mV in the standard order; fs: Hz.
    """
    draw = {"ecg_plot": _by_ecg_plot, "pmecg": _by_pmecg}[choice["program"]]
    return draw(np.asarray(signals, float), fs, choice)


def shown_of(signals: NDArray[np.floating], fs: int, panels: Shown) -> NDArray[np.float64]:
    """(12, N) the signals where a panel shows them, NaN elsewhere; from the first second that one shows."""
    begin = min(first for _, first, _ in panels)
    shown = np.full(signals.shape, np.nan)
    for lead, first, last in panels:
        part = slice(round(first * fs), round(last * fs))
        shown[LEADS.index(lead), part] = signals[LEADS.index(lead), part]
    return shown[:, round(begin * fs) : round(max(last for *_, last in panels) * fs)]


def _by_ecg_plot(signals: NDArray[np.float64], fs: int, choice: dict[str, Any]) -> tuple[Figure, Shown]:
    from ecg_plot import plot

    arguments = ECG_PLOT[choice["arrangement"]]
    speed, gain = choice["paper"]
    columns = {"limb-chest": 2, "12lead": 4}.get(arguments["layout"], arguments.get("columns", 1))
    sequential = arguments.get("time_mode") == "sequential"
    last = signals.shape[1] / fs if sequential else SHORT_S[columns]
    chart = plot(
        signals, sample_rate=fs, lead_names=list(LEADS), title="ECG", speed=speed, gain=gain,
        window=(0.0, last), **arguments,
    )  # fmt: skip
    panels = [(LEADS[panel.lead], panel.start, panel.end) for panel in chart.panels]
    return chart.to_matplotlib()[0], panels


def _by_pmecg(signals: NDArray[np.float64], fs: int, choice: dict[str, Any]) -> tuple[Figure, Shown]:
    import pandas as pd
    from pmecg import ECGPlotter, template_factory

    table = pd.DataFrame(signals.T, columns=list(LEADS))
    rows: Any = template_factory(PMECG[choice["arrangement"]], table, None)
    speed, gain = choice["paper"]
    plotter = ECGPlotter(speed=speed, voltage=gain)
    figure = plotter.plot(table, rows, float(fs), show=False)
    whole = signals.shape[1] / fs
    panels: Shown = []
    for row in rows:
        leads = [row] if isinstance(row, str) else list(row)
        panels += [
            (lead, j * whole / len(leads), (j + 1) * whole / len(leads)) for j, lead in enumerate(leads)
        ]
    return figure, panels
