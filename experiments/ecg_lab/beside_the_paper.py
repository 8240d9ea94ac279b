"""The 2024 winner's paper beside ours: published figures and measured ones enter, a table and figures leave.

The published figures are of pages that are not here: the Challenge's hidden scans and photos, and the
winner's own rendered pages. Ours are of the development pages. So a row says which pages it is of, and
rows of different pages must not be compared to a decibel.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ecg_hough.render import RenderedPage

PAPER = "Krones et al. 2024"
PUBLISHED: tuple[tuple[str, str, float], ...] = (
    ("cross-validation", "rendered by ECG-Image-Kit", 17.02),
    ("Challenge leaderboard", "clean scans, hidden", 12.15),
    ("Challenge, final", "colour scans, hidden", 4.93),
    ("Challenge, final", "black and white scans, hidden", 3.48),
    ("Challenge, final", "deteriorated colour, hidden", 0.51),
    ("Challenge, final", "deteriorated black and white, hidden", 0.51),
    ("Challenge, final", "stained, hidden", -0.72),
    ("Challenge, final", "phone photos, hidden", -1.07),
    ("Challenge, final", "deteriorated photos, hidden", -1.30),
    ("Challenge, final", "photos of a monitor, hidden", -1.76),
)
"""Experiment, pages and Challenge SNR in dB: the paper (arXiv:2410.14185), and the Challenge's official
results, for which the organisers trained the winner's entry again."""
VARIANTS: dict[str, str] = {
    "krones2024+true": "its read-out, perfect masks of its kind",
    "krones2024": "its read-out, our leads network's masks",
    "centroid": "its column centroids, our geometry",
    "ours": "ours",
}
"""Rows of compare.json that stand beside the paper, in this order."""
DRAWN_LINES = 30
LINE_PX = 4000
"""Half length of a drawn line: beyond every page."""


def paper_table(results: Path) -> pd.DataFrame:
    """The published figures, then those measured here, one row a kind of page.

    Columns: system, pages, n (number of pages), snr_db, low_db, high_db (95 % interval over pages; NaN
    where not published).

    Raises:
        ValueError: the folder holds no compare.json.
    """
    import pandas as pd

    path = results / "compare.json"
    if not path.is_file():
        raise ValueError(f"results must hold compare.json; got {results}; run `make compare` first")
    variants: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["variants"]
    nan = float("nan")
    rows: list[dict[str, Any]] = [
        {
            "system": f"{PAPER}: {what}",
            "pages": pages,
            "n": None,
            "snr_db": snr,
            "low_db": nan,
            "high_db": nan,
        }
        for what, pages, snr in PUBLISHED
    ]
    for name, words in VARIANTS.items():
        for key, row in variants.get(name, {}).items():
            low, high = row["interval_95"]["challenge_snr_db"]
            data, _, profile = key.partition("/")
            kind = {"all": "all of these", "ludb": "LUDB, by ECGMiner's authors"}.get(
                key, f"ECG-Image-Kit, {profile}" if data == "ecg_image_kit" else key
            )
            rows.append(
                {
                    "system": f"here: {words}",
                    "pages": kind,
                    "n": row["pages"],
                    "snr_db": row["challenge_snr_db"],
                    "low_db": low,
                    "high_db": high,
                }
            )
    return pd.DataFrame(rows).astype({"snr_db": float, "low_db": float, "high_db": float})


def paper_figure(table: pd.DataFrame) -> Figure:
    """The rows of `paper_table` as points with their intervals, one colour a system, published ones first."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 0.23 * len(table) + 1.0), layout="constrained")
    axes = figure.subplots()
    systems = list(dict.fromkeys(table["system"].str.replace(r": (Challenge.*|cross.*)$", "", regex=True)))
    colours = dict(
        zip(systems, ("#444444", "#D55E00", "#E69F00", "#CC79A7", "#009E73", "#0072B2"), strict=False)
    )
    at = -np.arange(len(table), dtype=float)
    for y, row in zip(at, table.to_dict("records"), strict=True):
        system = next(name for name in systems if str(row["system"]).startswith(name))
        error = [[row["snr_db"] - row["low_db"]], [row["high_db"] - row["snr_db"]]]
        known = np.isfinite(error).all()
        axes.errorbar(
            [row["snr_db"]],
            [y],
            xerr=np.maximum(error, 0) if known else None,
            fmt="o" if known else "D",
            ms=4,
            capsize=2,
            color=colours[system],
        )
    labels = [f"{row['system']}, {row['pages']}" for row in table.to_dict("records")]
    axes.set_yticks(at, labels, fontsize=7)
    axes.set_xlabel("Challenge SNR, dB (diamonds: published, no interval given)")
    axes.axvline(0.0, color="black", lw=0.7)
    axes.grid(axis="x", alpha=0.3)
    return figure


def tilted_page() -> RenderedPage:
    """A page as the winner's training pages, turned by 3 degrees: a generated ECG, no wear."""
    from dataclasses import replace

    from ecg_hough.render import render_page, sample_style
    from ecg_hough.render.ecg_model import generate_ecg
    from ecg_hough.render.style import CameraStyle, WearStyle

    style = sample_style(np.random.default_rng(8), "kit")
    style = replace(style, wear=WearStyle(), camera=CameraStyle(rotation_deg=3.0))
    ecg = generate_ecg(7_000_002)
    return render_page(ecg.signals, ecg.fs, seed=8, style=style)


def hough_figure(page: RenderedPage | None = None) -> Figure:
    """The Hough lines that the winner's step finds on a page, those that it keeps, and the page turned by
    them.

    Args:
        page: a rendered page, whose angle is known; None for `tilted_page`.
    """
    from matplotlib.figure import Figure

    from ecg_hough.geometry.orientation import hough_angle, hough_angle_krones2024, hough_lines_krones2024
    from ecg_lab.methods.common import turn_upright

    page = page or tilted_page()
    lines, kept = hough_lines_krones2024(page.image)
    angle = hough_angle_krones2024(page.image)
    figure = Figure(figsize=(13.0, 4.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(page.image)
    # The strongest come first; all of a grid's would cover the page.
    drawn = [*np.flatnonzero(kept)[:DRAWN_LINES], *np.flatnonzero(~kept)[:DRAWN_LINES]]
    for (rho, theta), is_kept in zip(lines[drawn], kept[drawn], strict=True):
        normal = np.deg2rad(theta)
        x, y = rho * np.cos(normal), rho * np.sin(normal)
        along = LINE_PX * np.array([-np.sin(normal), np.cos(normal)])
        left.plot(
            [x - along[0], x + along[0]], [y - along[1], y + along[1]], lw=0.5,
            color="#D55E00" if is_kept else "#0072B2", alpha=0.8,
        )  # fmt: skip
    left.set(xlim=(-0.5, page.image.shape[1] - 0.5), ylim=(page.image.shape[0] - 0.5, -0.5))
    left.set_title(
        f"{len(lines)} Hough lines of 1200 votes, {kept.sum()} kept (orange), median {angle:+.1f}°; "
        f"the strongest {DRAWN_LINES} of each",
        fontsize=10,
    )
    right.imshow(turn_upright(page.image, angle_deg=angle, nearest=True).image)
    ours = hough_angle(page.image).angle_deg
    words = f"turned back; true angle {page.angle_deg:+.1f}°, our Hough step {ours:+.2f}°"
    right.set_title(words, fontsize=10)
    for axes in (left, right):
        axes.set_axis_off()
    return figure
