"""The figures of the notebooks and of `ecg-lab paper`: pages and result files enter, figures leave.

Nothing is measured here: scores come from the files that `benchmark`, `robustness` and `fidelity` wrote, and
pages are digitised as they always are. A page is shown as it is read; nothing is retouched.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.options import CENTROID
from ecg_hough.output.overlay import LEAD_COLOURS
from ecg_hough.paper import LEADS
from ecg_lab.beside_the_paper import hough_figure, paper_figure, paper_table
from ecg_lab.fidelity import LIMITS_SD, MEASURES, bland_altman, read_pairs
from ecg_lab.robustness import FIRST_SEED, SEVERITIES, page_style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ecg_hough.output.ecg import Ecg
    from ecg_hough.render import RenderedPage

logger = logging.getLogger(__name__)

NETWORKS = ("leads", "words", "traces", "marks", "krones2024_small", "overlap-unet", "taylorsamarel-v2")
"""The networks that ship, then those of other systems that were trained here."""

SHIPPED_LOGS = NETWORKS[:3]
"""Those whose logs `make training-logs` keeps; that of marks was not kept."""


@dataclass(frozen=True)
class LogKind:
    """Columns of a training's log: its steps, its two losses, and the figure of the validation."""

    step: str
    losses: tuple[str, str]
    score: str
    label: str


LOG_KINDS = (
    LogKind("steps", ("train_loss", "val_loss"), "val_dice", "Dice"),
    LogKind("step", ("train_cross_entropy", "val_cross_entropy"), "val_snr_db", "SNR of strips, dB"),
    LogKind("step", ("train_loss", "val_loss"), "val_distance_cells", "distance, quarters of a mm"),
    LogKind("step", ("train_loss", "val_loss"), "val_error", "error, share"),
)
"""What the trainings log; the first whose score a log has is its kind."""
OURS = ("ours", "trace")
"""Names under which the result files hold this package's own read-out."""
OURS_COLOUR = "#0072B2"
COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B4C9A", "#7F7F7F", "#8C564B")
"""Of the other methods, in the order in which they come (Okabe and Ito's, and more); ours is always blue."""
MAX_BYTES = 195_000
"""Of a saved figure; a larger one is saved at a lower resolution."""
SAVE_DPI = (130, 110, 90, 75, 60)
AXES_LABELS = {
    "rotation": "rotation, degrees",
    "tilt": "tilt, degrees",
    "blur": "blur (sd), px",
    "noise": "noise (sd), grey levels",
    "jpeg": "JPEG quality",
    "dpi": "resolution, dpi",
    "contrast": "contrast, share of the original",
    "stains": "page under stains, %",
    "creases": "depth of 8 creases, share of brightness",
    "margin": "margin on every side, share of the page",
    "table": "table on every side, share of the page",
    "cut": "traces cut off at the left, mm",
    "pitch": "distance of rows, mm",
}
SNR_LABEL = "Challenge SNR, dB"
CLEAN_PAGE_SEED = FIRST_SEED + 4
LATTICE_MM = 10.0
"""Spacing of the lines that show a page's map."""
CROP_MM = (13.0, 13.0)
"""Half height and half width of the windows of `vectorisation_figure`."""


def method_figure(page: str | Path | NDArray[np.uint8]) -> Figure:
    """The method on one page: the page, its map, its leads, its traces, and the 12 calibrated leads.

    Raises:
        PageError: the page cannot be digitised.
    """
    from matplotlib.figure import Figure

    from ecg_hough.geometry.page_geometry import find_geometry
    from ecg_hough.image.reading import read_page
    from ecg_hough.layout.view import find_leads
    from ecg_hough.pipeline import digitize

    image = read_page(page).image
    ecg = digitize(page)
    upright = np.ascontiguousarray(np.rot90(image, -ecg.quarter_turns))
    geometry = find_geometry(upright)
    found = find_leads(upright, geometry.angle_deg, geometry.px_per_mm)
    figure = Figure(figsize=(13.0, 8.2), layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.15))
    flat = [figure.add_subplot(grid[k // 2, k % 2]) for k in range(4)]
    _show(flat[0], image, f"1 Page, {image.shape[1]} x {image.shape[0]} px")
    _show(flat[1], _faded(upright), "2 Geometry: no grid found")
    if geometry.page_map is not None:
        _draw_lattice(flat[1], geometry.page_map, upright.shape)
        flat[1].set_title(f"2 Geometry: {LATTICE_MM:g} mm lattice, {geometry.angle_deg:+.2f}°", fontsize=10)
    classes = _crop(_classes(found.probabilities, found.canvas.image), found.canvas.covered)
    _show(flat[2], classes, f"3 Leads network; layout {ecg.layout}")
    _show(flat[3], _faded(image), "4 Traces")
    for trace in ecg.traces:
        flat[3].plot(trace.points[:, 1], trace.points[:, 0], color=_lead_colour(trace.lead), lw=0.8)
    _draw_leads(figure.add_subplot(grid[:, 2]), ecg, "5 Calibrated leads")
    return figure


def masks_figure(page: str | Path | NDArray[np.uint8]) -> Figure:
    """What the leads network sees and finds: its canvas, the class of every pixel, and how sure it is."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from ecg_hough.geometry.page_geometry import find_geometry
    from ecg_hough.image.reading import read_page
    from ecg_hough.layout.view import find_leads

    image = read_page(page).image
    geometry = find_geometry(image)
    found = find_leads(image, geometry.angle_deg, geometry.px_per_mm)
    canvas, probabilities, layout = found.canvas, found.probabilities, found.layout.layout
    name = layout.name if layout is not None else "unknown"
    figure = Figure(figsize=(13.0, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    shown, classes = canvas.image, _classes(probabilities, canvas.image)
    _show(left, _crop(shown, canvas.covered), f"Canvas of {shown.shape[1]} px")
    _show(middle, _crop(classes, canvas.covered), "Class of every pixel")
    _show(right, _crop(1.0 - probabilities[0], canvas.covered), f"Probability of a lead; layout {name}")
    patches = [Patch(color=_lead_colour(lead), label=lead) for lead in LEADS]
    figure.legend(handles=patches, loc="outside lower center", ncols=12, fontsize=8, frameon=False)
    return figure


def vectorisation_figure(page: RenderedPage | None = None, *, n_leads: int = 3) -> Figure:
    """Ink and signal on the steepest waves of a rendered page: the true trace, ours, and column centroids.

    Args:
        page: a rendered page, whose truth is known; None for the clean page of the robustness curves.
        n_leads: windows to show, one a lead.
    """
    from matplotlib.figure import Figure

    from ecg_hough.pipeline import digitize

    page = page or clean_page()
    read = {
        "trace network": digitize(page.image),
        "column centroid": digitize(page.image, options=CENTROID),
    }
    panels = sorted(
        (panel for panel in page.panels if not panel.rhythm),
        key=lambda panel: -float(np.abs(np.diff(panel.mv)).max()),
    )[:n_leads]
    figure = Figure(figsize=(4.3 * n_leads, 4.2), layout="constrained")
    axes_row = figure.subplots(1, n_leads, squeeze=False)[0]
    styles = {"trace network": (OURS_COLOUR, "-"), "column centroid": (COLOURS[0], "--")}
    half = [part * page.px_per_mm for part in CROP_MM]
    for axes, panel in zip(axes_row, panels, strict=False):
        col = float(panel.trace[int(np.argmax(np.abs(np.diff(panel.mv)))), 1])
        near = panel.trace[np.abs(panel.trace[:, 1] - col) <= half[1], 0]
        row = float(near.min() + near.max()) / 2
        axes.imshow(page.image, interpolation="nearest")
        axes.plot(panel.trace[:, 1], panel.trace[:, 0], color="#111111", lw=2.6, alpha=0.35, label="truth")
        for name, ecg in read.items():
            points = [t.points for t in ecg.traces if t.lead == panel.lead and not t.rhythm]
            if points:
                colour, dash = styles[name]
                axes.plot(points[0][:, 1], points[0][:, 0], dash, color=colour, lw=1.3, label=name)
        axes.set(xlim=(col - half[1], col + half[1]), ylim=(row + half[0], row - half[0]))
        axes.set_title(f"Lead {panel.lead}", fontsize=10)
        axes.set_axis_off()
    handles, labels = axes_row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def clean_page() -> RenderedPage:
    """An undistorted page of the robustness curves: a generated ECG in sinus rhythm."""
    from ecg_hough.render import render_page
    from ecg_hough.render.ecg_model import generate_ecg

    ecg = generate_ecg(CLEAN_PAGE_SEED)
    return render_page(ecg.signals, ecg.fs, seed=CLEAN_PAGE_SEED, style=page_style("blur", 0.0))


def profile_figure(scores: pd.DataFrame) -> Figure:
    """Challenge SNR of every profile with its 95% interval, one row of points a method; see `read_scores`."""
    from matplotlib.figure import Figure

    profiles = list(dict.fromkeys(scores["profile"]))
    methods = _methods(scores)
    figure = Figure(figsize=(max(7.0, 1.15 * len(profiles) + 2.5), 4.4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(methods)
    for k, (method, colour) in enumerate(methods.items()):
        part = scores[scores["method"] == method].drop_duplicates("profile").set_index("profile")
        part = part.reindex(profiles)
        at = np.arange(len(profiles)) + (k - (len(methods) - 1) / 2) * width
        snr, low, high = (part[name].to_numpy(dtype=float) for name in ("snr_db", "low_db", "high_db"))
        axes.errorbar(
            at,
            snr,
            yerr=np.maximum([snr - low, high - snr], 0),
            fmt="o",
            ms=5,
            color=colour,
            label=method,
            capsize=2,
        )
    axes.set_xticks(range(len(profiles)), profiles, rotation=25)
    axes.set_ylabel(f"{SNR_LABEL} (95%)")
    axes.grid(axis="y", alpha=0.3)
    if len(methods) > 1:
        figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def comparison_figure(scores: pd.DataFrame) -> Figure:
    """Challenge SNR of every method on every profile with its 95% interval, as a coloured table."""
    from matplotlib.figure import Figure

    methods, profiles = list(_methods(scores)), list(dict.fromkeys(scores["profile"]))
    figure = Figure(figsize=(1.15 * len(profiles) + 2.2, 0.42 * len(methods) + 1.3), layout="constrained")
    axes = figure.subplots()
    by_place = scores.drop_duplicates(["method", "profile"]).set_index(["method", "profile"])
    table = np.full((len(methods), len(profiles)), np.nan)
    for place, row in by_place[["snr_db", "low_db", "high_db"]].astype(float).iterrows():
        r, c = methods.index(place[0]), profiles.index(place[1])  # type: ignore[index]
        table[r, c] = row["snr_db"]
        words = f"{row['snr_db']:.1f}\n{row['low_db']:.1f} to {row['high_db']:.1f}"
        axes.text(c, r, words, ha="center", va="center", fontsize=6.5)
    axes.imshow(table, cmap="YlGnBu", vmin=-5.0, vmax=35.0, aspect="auto")
    axes.set_xticks(range(len(profiles)), profiles)
    axes.set_yticks(range(len(methods)), methods)
    axes.set_title(f"{SNR_LABEL}, with 95% intervals", fontsize=10)
    return figure


def lead_figure(leads: pd.DataFrame) -> Figure:
    """Challenge SNR of every lead, mean over all pages, one bar a method; see `read_leads`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    axes = figure.subplots()
    methods = _methods(leads)
    width = 0.8 / len(methods)
    for k, (method, colour) in enumerate(methods.items()):
        part = leads[leads["method"] == method].set_index("lead")["snr_db"].reindex(list(LEADS))
        at = np.arange(len(LEADS)) + (k - (len(methods) - 1) / 2) * width
        axes.bar(at, part.to_numpy(dtype=float), width, color=colour, label=method)
    axes.set_xticks(range(len(LEADS)), list(LEADS))
    axes.set_ylabel(SNR_LABEL)
    axes.grid(axis="y", alpha=0.3)
    if len(methods) > 1:
        figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def runtime_figure(scores: pd.DataFrame) -> Figure:
    """Accuracy against seconds a page, one point a method: means over the profiles, weighted by pages."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    axes = figure.subplots()
    for method, colour in _methods(scores).items():
        part = scores[(scores["method"] == method)].dropna(subset=["s_per_page", "snr_db"])
        if part.empty:
            continue
        weight = part["pages"].to_numpy(dtype=float)
        x, y = (
            float(np.average(part[name].to_numpy(dtype=float), weights=weight))
            for name in ("s_per_page", "snr_db")
        )
        axes.scatter([x], [y], s=60, color=colour, zorder=3)
        axes.annotate(method, (x, y), textcoords="offset points", xytext=(7, 4), fontsize=9)
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.15)
    axes.set(xlabel="seconds a page (median of a profile)", ylabel=SNR_LABEL)
    axes.grid(alpha=0.3, which="both")
    return figure


def rotation_figure(angles: pd.DataFrame) -> Figure:
    """Error of the page's angle before and after correction: the winner's Hough step and ours.

    Args:
        angles: rows of `robustness.measure_angles`.
    """
    from matplotlib.figure import Figure

    true = angles["true_deg"].to_numpy(dtype=float)
    shown = {
        "before": (np.zeros_like(true), "#888888"),
        "after: krones2024": (angles["krones2024_deg"].to_numpy(dtype=float), COLOURS[0]),
        "after: our Hough step": (angles["hough_deg"].to_numpy(dtype=float), "#56B4E9"),
        "after: our grid map": (angles["geometry_deg"].to_numpy(dtype=float), OURS_COLOUR),
    }
    figure = Figure(figsize=(11.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, (found, colour) in shown.items():
        error = np.abs(found - true)
        read = np.isfinite(error)
        left.scatter(true[read], np.maximum(error[read], 1e-4), s=16, color=colour)
        left.scatter(true[~read], np.full((~read).sum(), 30.0), s=22, color=colour, marker="x")
        ordered = np.sort(error[read])
        share = 100.0 * np.arange(1, ordered.size + 1) / true.size
        right.step(
            np.maximum(ordered, 1e-4),
            share,
            where="post",
            color=colour,
            label=f"{name} ({read.sum()} of {true.size})",
        )
    left.set(yscale="log", xlabel="true angle, degrees", ylabel="error, degrees (x: no line found)")
    right.set(xscale="log", xlabel="error, degrees", ylabel="pages within it, %", ylim=(0, 102))
    handles, labels = right.get_legend_handles_labels()
    title = "pages with an angle"
    figure.legend(
        handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8, title=title
    )
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def training_figure(logs: Mapping[str, pd.DataFrame | None]) -> Figure:
    """Losses and validation figures of networks over their training steps.

    Args:
        logs: rows of each network's log.csv, by its name; None where no log was kept.
    """
    from matplotlib.figure import Figure

    n_cols = min(3, len(logs))
    n_rows = -(-len(logs) // n_cols)
    figure = Figure(figsize=(4.7 * n_cols, 3.7 * n_rows), layout="constrained")
    grid = figure.subplots(n_rows, n_cols, squeeze=False).flat
    for axes, (title, log) in zip(grid, logs.items(), strict=False):
        axes.set_title(title, fontsize=10)
        if log is None:
            axes.text(0.5, 0.5, "no log was kept", ha="center", va="center", transform=axes.transAxes)
            axes.set_axis_off()
            continue
        kind = next(kind for kind in LOG_KINDS if kind.score in log)
        for name, colour in zip(kind.losses, ("#AAAAAA", COLOURS[0]), strict=True):
            axes.plot(log[kind.step], log[name], color=colour, label=name.replace("_", " "))
        axes.set(xlabel="steps", ylabel="loss")
        twin = axes.twinx()
        twin.plot(log[kind.step], log[kind.score], color=OURS_COLOUR, label=kind.score.replace("_", " "))
        twin.set_ylabel(kind.label, color=OURS_COLOUR)
        handles = [*axes.get_lines(), *twin.get_lines()]
        labels = [str(line.get_label()) for line in handles]
        axes.legend(handles, labels, frameon=False, fontsize=8, loc="center right")
    for axes in list(grid):
        axes.set_visible(False)
    return figure


def read_logs(results: Path, networks: Sequence[str] = NETWORKS) -> dict[str, pd.DataFrame | None]:
    """Training logs by the networks' names; None where none was kept."""
    import pandas as pd

    paths = {name: results / f"training_{name}.csv" for name in networks}
    return {name: pd.read_csv(path) if path.is_file() else None for name, path in paths.items()}


def robustness_figure(rows: pd.DataFrame) -> Figure:
    """Challenge SNR against severity for every distortion, both read-outs; thin lines: without alignment.

    Args:
        rows: of `robustness.measure_robustness`.
    """
    from matplotlib.figure import Figure

    names = [name for name in SEVERITIES if (rows["distortion"] == name).any()]
    n_cols = min(3, len(names))
    n_rows = -(-len(names) // n_cols)
    figure = Figure(figsize=(3.9 * n_cols, 2.8 * n_rows + 0.4), layout="constrained")
    grid = figure.subplots(n_rows, n_cols, squeeze=False, sharey=True)
    for axes, name in zip(grid.flat, names, strict=False):
        for method, colour in (("trace", OURS_COLOUR), ("centroid", COLOURS[0])):
            part = rows[(rows["distortion"] == name) & (rows["method"] == method)]
            by_step = part.groupby("severity")
            means = by_step[["challenge_snr_db", "unaligned_snr_db", "leads_found"]].mean()
            x = by_step["covered_pct"].mean() if name == "stains" else means.index.to_series()
            axes.plot(x, means["challenge_snr_db"], "o-", ms=4, color=colour, label=f"{method}")
            axes.plot(x, means["unaligned_snr_db"], "-", lw=0.8, color=colour, alpha=0.6)
            for at, snr, found in zip(x, means["challenge_snr_db"], means["leads_found"], strict=True):
                if found < len(LEADS):
                    axes.annotate(
                        f"{found:.0f}",
                        (at, snr),
                        textcoords="offset points",
                        xytext=(4, 4),
                        fontsize=7,
                        color=colour,
                    )
        axes.set_xlabel(AXES_LABELS[name], fontsize=9)
        if SEVERITIES[name][0] > SEVERITIES[name][-1]:
            axes.invert_xaxis()
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("SNR, dB")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    n_pages = int(rows["page"].nunique())
    title = f"thick: Challenge SNR; thin: unaligned; numbers: leads found, if not 12; pages: {n_pages}"
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2, frameon=False, title=title, title_fontsize=8
    )
    return figure


def bland_altman_figure(pairs: pd.DataFrame, method: str | None = None) -> Figure:
    """Digitised minus true value against their mean for every measure, with bias and 95% limits.

    Args:
        pairs: of `fidelity.compare_measures`; method: the one to show, the first when None.

    Raises:
        ValueError: the pairs hold no such method.
    """
    from matplotlib.figure import Figure

    known = list(pairs["method"].unique())
    method = method or str(known[0])
    if method not in known:
        raise ValueError(f"method must be one of {', '.join(known)}; got {method!r}")
    chosen = pairs[pairs["method"] == method]
    agreement = {str(row["measure"]): row for row in bland_altman(chosen).to_dict("records")}
    figure = Figure(figsize=(13.0, 5.8), layout="constrained")
    for axes, (name, unit) in zip(figure.subplots(2, 4).flat, MEASURES.items(), strict=True):
        part, row = chosen[chosen["measure"] == name], agreement[name]
        true, digitised = (part[column].to_numpy(dtype=float) for column in ("true", "digitised"))
        axes.scatter((true + digitised) / 2, digitised - true, s=7, color=OURS_COLOUR, alpha=0.45, lw=0)
        levels = [float(row[part]) for part in ("bias", "lower", "upper")]
        for level, dash in zip(levels, ("-", "--", "--"), strict=True):
            if np.isfinite(level):
                axes.axhline(level, color="black", ls=dash, lw=0.9)
        bias, low, high = (f"{level:+.{3 if unit == 'mV' else 1}f}" for level in levels)
        axes.set_title(f"{name}: {bias} ({low} to {high}) {unit}", fontsize=9)
        failed = " / ".join(str(row[part]) for part in ("only_true", "only_digitised", "neither"))
        axes.set_xlabel(f"mean of both, {unit}\n{row['pairs']} pairs; failed {failed}", fontsize=8)
        axes.grid(alpha=0.3)
    figure.supylabel(f"digitised - true ({method})", fontsize=9)
    words = (
        f"solid: bias; dashed: {LIMITS_SD} sd; failed: measured in the truth only / digitised only / neither"
    )
    figure.supxlabel(words, fontsize=8)
    return figure


def agreement_figure(agreement: pd.DataFrame) -> Figure:
    """Bias and 95% limits of every measure, one bar a method; see `fidelity.bland_altman`."""
    from matplotlib.figure import Figure

    methods = _methods(agreement)
    figure = Figure(figsize=(13.0, 0.35 * len(methods) * 2 + 2.6), layout="constrained")
    for axes, (name, unit) in zip(figure.subplots(2, 4, sharey=True).flat, MEASURES.items(), strict=True):
        part = agreement[agreement["measure"] == name].set_index("method").reindex(list(methods))
        for k, (method, colour) in enumerate(methods.items()):
            row = part.loc[method]
            axes.plot([row["lower"], row["upper"]], [k, k], color=colour, lw=3, alpha=0.5)
            axes.plot([row["bias"]], [k], "o", color=colour, ms=5)
        axes.axvline(0.0, color="black", lw=0.7)
        axes.set_yticks(range(len(methods)), list(methods), fontsize=8)
        axes.set_title(f"{name}, {unit}", fontsize=9)
        axes.grid(axis="x", alpha=0.3)
        axes.margins(y=0.2)
    return figure


def read_scores(results: Path) -> pd.DataFrame:
    """Scores by method and profile from compare.json, or from benchmark.json where there is no comparison.

    Columns: method, data, profile, pages, snr_db, low_db, high_db (Challenge SNR with its 95% bootstrap
    interval over pages), unaligned_db, kaggle_db, found_pct, s_per_page (median).

    Raises:
        ValueError: the folder holds neither file.
    """
    path = results / "compare.json"
    if not path.is_file():
        return read_benchmark(results)
    variants = json.loads(path.read_text(encoding="utf-8"))["variants"]
    rows = []
    for method, profiles in variants.items():
        for key, row in profiles.items():
            if key != "all":
                data, _, profile = key.partition("/")
                speed = _number(row["pages_per_s"])
                rows.append(_score_row(method, data, profile, row, 1.0 / speed if speed else float("nan")))
    return _in_rows(rows)


def read_benchmark(results: Path) -> pd.DataFrame:
    """Scores by read-out and profile from benchmark.json; columns as `read_scores`.

    Raises:
        ValueError: the folder does not hold it.
    """
    return _in_rows(
        [
            _score_row(method, run["data"], profile, row, _number(row["median_s_per_page"]))
            for method, run in _runs(results)
            for profile, row in run["profiles"].items()
        ]
    )


def read_lead_scores(results: Path) -> pd.DataFrame:
    """Challenge SNR by method and lead, mean over all leads of all data: columns method, lead, snr_db."""
    import pandas as pd

    rows = [
        {"method": method, "lead": lead, "snr_db": row["challenge_snr_db"], "n": row["leads"]}
        for method, run in _runs(results)
        for lead, row in run["leads"].items()
    ]
    table = pd.DataFrame(rows)
    table["total"] = table["snr_db"].astype(float) * table["n"]
    sums = table.groupby(["method", "lead"], sort=False)[["total", "n"]].sum()
    return (sums["total"] / sums["n"]).rename("snr_db").reset_index()


def comparison_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Methods by profiles: "SNR (low to high)" in dB, as text."""
    figures = scores[["snr_db", "low_db", "high_db"]].to_numpy(dtype=float)
    words = [f"{a:.1f} ({b:.1f} to {c:.1f})" if np.isfinite(a) else "-" for a, b, c in figures]
    texts = scores.assign(text=words)
    table = texts.pivot_table(index="method", columns="profile", values="text", aggfunc="first", sort=False)
    return table.fillna("-")


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG of at most 256 colours and `MAX_BYTES`, at the highest resolution that fits."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    data = b""
    for dpi in SAVE_DPI:
        drawn, packed = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
        picture = Image.open(drawn).convert("RGB")
        palette = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE)
        # Dithered: a photo's light falls off smoothly, 256 flat colours would show steps.
        picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(
            packed, format="png", optimize=True
        )
        data = packed.getvalue()
        if len(data) <= MAX_BYTES:
            break
    path.write_bytes(data)
    return path


def draw_all(
    out: Path,
    *,
    results: Path,
    samples: Path,
    on_figure: Callable[[str, str], Any] = lambda name, words: None,
) -> dict[str, str]:
    """Draw every figure into `out`; one whose result file is missing stays as it is.

    Args:
        out: folder of the PNGs.
        results: folder of the result files.
        samples: folder of sample pages.
        on_figure: called with a figure's name and what became of it.

    Returns:
        What became of each figure: its file's name, or which file is missing.
    """
    import pandas as pd

    log = {name: results / f"training_{name}.csv" for name in SHIPPED_LOGS}
    angles, curves = results / "angles.csv", results / "robustness.csv"
    pairs, agreement = results / "fidelity_pairs.csv.gz", results / "fidelity.csv"
    page = samples / "photo_3x4.jpg"
    tasks: dict[str, tuple[tuple[Path, ...], Callable[[], Figure]]] = {
        "method": ((page,), lambda: method_figure(page)),
        "masks": ((page,), lambda: masks_figure(page)),
        "vectorisation": ((), vectorisation_figure),
        "snr_by_profile": ((results / "benchmark.json",), lambda: profile_figure(read_benchmark(results))),
        "comparison": ((results / "benchmark.json",), lambda: comparison_figure(read_scores(results))),
        "snr_by_lead": ((results / "benchmark.json",), lambda: lead_figure(read_lead_scores(results))),
        "runtime": ((results / "benchmark.json",), lambda: runtime_figure(read_scores(results))),
        "rotation": ((angles,), lambda: rotation_figure(pd.read_csv(angles))),
        "hough": ((), hough_figure),
        "paper": ((results / "compare.json",), lambda: paper_figure(paper_table(results))),
        "training": (
            tuple(log.values()),
            lambda: training_figure(read_logs(results)),
        ),
        "robustness": ((curves,), lambda: robustness_figure(pd.read_csv(curves))),
        "bland_altman": ((pairs,), lambda: bland_altman_figure(read_pairs(pairs))),
        "agreement": ((agreement,), lambda: agreement_figure(pd.read_csv(agreement))),
    }
    outcome = {}
    for name, (needed, draw) in tasks.items():
        missing = [path.name for path in needed if not path.is_file()]
        outcome[name] = f"not drawn: {', '.join(missing)} missing" if missing else f"{name}.png"
        if not missing:
            save(draw(), out / f"{name}.png")
        on_figure(name, outcome[name])
    return outcome


def _score_row(
    method: str, data: str, profile: str, row: dict[str, Any], s_per_page: float
) -> dict[str, Any]:
    low, high = row["interval_95"]["challenge_snr_db"]
    return {
        "method": method,
        "data": data,
        "profile": profile or data,
        "pages": row["pages"],
        "snr_db": _number(row["challenge_snr_db"]),
        "low_db": _number(low),
        "high_db": _number(high),
        "unaligned_db": _number(row["unaligned_snr_db"]),
        "kaggle_db": _number(row["kaggle_db"]),
        "found_pct": _number(row["found_pct"]),
        "s_per_page": s_per_page,
    }


def _in_rows(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows)


def _number(value: float | None) -> float:
    """JSON has no NaN: null is used for it."""
    return float("nan") if value is None else float(value)


def _runs(results: Path) -> list[tuple[str, dict[str, Any]]]:
    """Method and figures of every run in the result files, ours first."""
    path = results / "benchmark.json"
    if not path.is_file():
        raise ValueError(f"results must hold benchmark.json; got {results}; run `make benchmark` first")
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"].values()
    return [(run["options"]["readout"], run) for run in runs]


def _methods(table: pd.DataFrame) -> dict[str, str]:
    """Methods and their colours: ours first and blue, the others in the order they come."""
    names = list(dict.fromkeys(table["method"]))
    ours = [name for name in names if name in OURS]
    others = [name for name in names if name not in OURS]
    colours = [COLOURS[k % len(COLOURS)] for k in range(len(others))]
    return dict(zip([*ours, *others], [OURS_COLOUR] * len(ours) + colours, strict=True))


def _show(axes: Axes, image: NDArray[Any], title: str) -> None:
    axes.imshow(image, cmap="magma", vmin=0.0, vmax=1.0)
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()
    axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))


def _crop(image: NDArray[Any], covered: NDArray[np.bool_]) -> NDArray[Any]:
    """The part of a canvas that the page covers."""
    rows, cols = (np.flatnonzero(covered.any(axis=axis)) for axis in (1, 0))
    return image[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]


def _faded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.addWeighted(image, 0.5, np.full_like(image, 255), 0.5, 0.0).astype(np.uint8)


def _lead_colour(lead: str) -> tuple[float, float, float]:
    red, green, blue = LEAD_COLOURS[LEADS.index(lead)]
    return red / 255, green / 255, blue / 255


def _classes(probabilities: NDArray[np.float32], image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The faded canvas with every pixel that is a lead's in that lead's colour."""
    palette = np.array([(255, 255, 255), *LEAD_COLOURS], np.uint8)
    best = probabilities.argmax(axis=0)
    return np.where((best > 0)[..., None], palette[best], _faded(_faded(image))).astype(np.uint8)


def _draw_lattice(axes: Axes, page_map: Any, shape: tuple[int, ...]) -> None:
    """Lines of constant millimetres over the page."""
    ends = [(page_map.y_mm[0], page_map.y_mm[-1]), (page_map.x_mm[0], page_map.x_mm[-1])]
    fine = [np.linspace(*pair, 60) for pair in ends]
    steps = [np.arange(np.ceil(a / LATTICE_MM), b / LATTICE_MM) * LATTICE_MM for a, b in ends]
    lines = [(np.full(60, y), fine[1]) for y in steps[0]] + [(fine[0], np.full(60, x)) for x in steps[1]]
    for y, x in lines:
        rows, cols = page_map.to_pixels(y, x)
        axes.plot(cols, rows, color=OURS_COLOUR, lw=0.5)
    axes.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))


def _draw_leads(axes: Axes, ecg: Ecg, title: str) -> None:
    """The 12 leads under each other, 2 mV apart, with the expected error in grey."""
    times = np.arange(ecg.signals.shape[1]) / ecg.fs
    for k, lead in enumerate(LEADS):
        base = -2.0 * k
        axes.fill_between(
            times,
            base + ecg.signals[k] - ecg.sd_mv[k],
            base + ecg.signals[k] + ecg.sd_mv[k],
            color="#BBBBBB",
            lw=0,
        )
        axes.plot(times, base + ecg.signals[k], color=_lead_colour(lead), lw=0.7)
        axes.text(-0.15, base, lead, ha="right", va="center", fontsize=8)
    axes.set_yticks([])
    axes.set_xlabel("time, s; rows are 2 mV apart")
    axes.set_title(title, fontsize=10)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
