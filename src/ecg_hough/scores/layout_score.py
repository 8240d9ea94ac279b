"""Whether a page was read as what it is: layout, names of leads, order of columns, paper speed and gain.

In: what is true of rendered pages (`<stem>.truth.json`) and the digitiser's reports (`<stem>.json`).
Out: shares of pages and panels that are right, for the benchmark.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rich.table import Table

TRUTH_SUFFIX = ".truth.json"
SHARED_MIN = 0.5
"""Share of columns that a read panel must have in common with the true one to be at its place."""
SCALE_TOLERANCE = 0.02
"""Relative error up to which a speed or gain is right."""
QUESTIONS = ("layout", "columns", "speed", "gain")


def score_layouts(folder: Path, reports: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Score the pages of `folder` that have a truth file.

    Args:
        folder: pages and their truth files.
        reports: the digitiser's JSON by "profile/stem"; a page without one was not read.

    Returns:
        None without a truth file. Else pages, `<question>_pct` for the layout (shape, rhythm strips and
        their leads, Cabrera), columns (sequential or simultaneous, of pages with several), speed and gain;
        `lead_identity_named_pct` and `lead_identity_unnamed_pct`, the share of panels at whose place a panel
        of their name was found, on pages with and without printed names; `scale_misread_pct`, pages
        where a speed or gain other than the standard one was read and is wrong; and the wrong pages.
    """
    pages = _scored_pages(folder, reports)
    if not pages:
        return None
    figures: dict[str, Any] = {"pages": len(pages)}
    for question in QUESTIONS:
        asked = [page[question] for page in pages.values() if page[question] is not None]
        figures[f"{question}_pct"] = _percent(sum(asked), len(asked))
    for name, named in (("named", True), ("unnamed", False)):
        counts = [(p["panels"], p["panels_right"]) for p in pages.values() if p["names_printed"] == named]
        panels, right = np.sum(counts, axis=0, dtype=int).tolist() if counts else (0, 0)
        figures[f"panels_{name}"] = panels
        figures[f"lead_identity_{name}_pct"] = _percent(right, panels)
    figures["scale_misread_pct"] = _percent(sum(page["misread"] for page in pages.values()), len(pages))
    wrong = {key: [q for q in QUESTIONS if page[q] is False] for key, page in pages.items()}
    figures["wrong"] = {key: questions for key, questions in wrong.items() if questions}
    return figures


def _scored_pages(folder: Path, reports: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """`score_page` of every page that has a complete truth file, by "profile/stem"."""
    pages = {}
    for path in sorted(folder.rglob(f"*{TRUTH_SUFFIX}")):
        key = path.relative_to(folder).as_posix().removesuffix(TRUTH_SUFFIX)
        truth = json.loads(path.read_text(encoding="utf-8"))
        if "columns" in truth:
            pages[key] = score_page(truth, reports.get(key, {}))
    return pages


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else float("nan")


def score_page(truth: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """What of one page is right; None for a question that the page does not ask."""
    read = report.get("panels", [])
    rhythm = sorted(panel["lead"] for panel in read if panel["rhythm"])
    panels = [panel for panel in truth["panels"] if panel["box_px"] is not None]
    scale = {name: _close(report.get(key), truth[key]) for name, key in _SCALE.items()}
    return {
        "layout": report.get("layout") == truth["layout"] and rhythm == sorted(truth["rhythm"]),
        "columns": None if truth["columns"] == "one" else report.get("columns") == truth["columns"],
        **scale,
        "names_printed": truth["names_printed"],
        "panels": len(panels),
        "panels_right": sum(_named_at_its_place(panel, read) for panel in panels),
        "misread": any(
            not scale[name] and report.get(f"{name}_from") not in (None, "assumed") for name in _SCALE
        ),
    }


_SCALE = {"speed": "speed_mm_s", "gain": "gain_mm_mv"}


def _close(value: float | None, true: float) -> bool:
    return value is not None and abs(value / true - 1.0) <= SCALE_TOLERANCE


def _named_at_its_place(panel: dict[str, Any], read: list[dict[str, Any]]) -> bool:
    """Whether the read panel nearest to the true one's row, in its columns, has its name."""
    row, left, right = panel["box_px"]
    there = []
    for other in read:
        if other["box_px"] is None or other["rhythm"] != panel["rhythm"]:
            continue
        r, a, b = other["box_px"]
        shared = min(right, b) - max(left, a)
        if shared >= SHARED_MIN * max(right - left, b - a):
            there.append((abs(r - row), other["lead"]))
    return bool(there) and min(there)[1] == panel["lead"]


def layout_table(figures: dict[str, Any]) -> Table:
    """The shares as a rich table of one row."""
    from rich.table import Table

    table = Table(title="Understood of the pages, %")
    columns = {
        "pages": "pages",
        "layout": "layout_pct",
        "leads, named": "lead_identity_named_pct",
        "leads, unnamed": "lead_identity_unnamed_pct",
        "columns": "columns_pct",
        "speed": "speed_pct",
        "gain": "gain_pct",
        "scale misread": "scale_misread_pct",
    }
    for heading in columns:
        table.add_column(heading, justify="right")
    values = [figures[key] for key in columns.values()]
    table.add_row(str(values[0]), *(f"{v:.1f}" if np.isfinite(v) else "-" for v in values[1:]))
    return table
