"""Pages of a vendor that the networks have not seen, and a person who corrects what is read of them.

In: records and seeds. Out: pages with a line at the zero of every lead, as no training page has, and pages of
usual vendors, with their truth; and a review in which a simulated person has corrected pages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.datasets.rendered import page_seed, write_rendered
from ecg_hough.datasets.split import read_signals
from ecg_hough.errors import PageError
from ecg_hough.paper import make_layout
from ecg_hough.render import CameraStyle, PageStyle, RenderedPage, WearStyle, render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.review.corrected import Corrected
from ecg_hough.review.corrections import Correction, Gain, LayoutGiven, Names, Redraw, Speed
from ecg_hough.review.engine import Engine

RULED, USUAL = "ruled", "usual"
"""Kinds of pages, the first part of their names."""
VENDOR_SEED = 1001
"""Of the sheet that the unseen vendor prints: all of its pages have it."""
DPI = 130.0
STROKE_EVERY_MM, HAND_MM = 0.3, 0.05
"""Points of a stroke of the person's hand, and how far they are off (standard deviation)."""
SEEN_ERROR_MM, SEEN_LENGTH_MM, AROUND_MM = 0.3, 0.3, 10.0
"""A person sees a trace that is off by so much over such a length, and redraws so much around it."""
WHO = "simulated"

Points = NDArray[np.float64]


@dataclass(frozen=True)
class TruePanel:
    """A panel of a page as it was drawn: lead, row, column, and (n, 2) row and column of its trace, px."""

    lead: str
    row: int
    column: int
    trace: Points


@dataclass(frozen=True)
class TruePage:
    """What a person sees on a page: its layout, speed, gain, and where its traces run."""

    layout: str
    speed_mm_s: float
    gain_mm_mv: float
    panels: tuple[TruePanel, ...]

    def save(self, path: Path) -> None:
        """Write it beside its page; `load` reads it back."""
        arrays = {f"{p.lead}.{p.row}.{p.column}": p.trace for p in self.panels}
        np.savez_compressed(path, what=np.array([self.layout, self.speed_mm_s, self.gain_mm_mv]), **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> TruePage:
        """What `save` wrote."""
        with np.load(path) as arrays:
            layout, speed, gain = arrays["what"].tolist()
            panels = []
            for name in arrays.files:
                if name != "what":
                    lead, row, column = name.split(".")
                    panels.append(TruePanel(lead, int(row), int(column), arrays[name].astype(float)))
        return cls(str(layout), float(speed), float(gain), tuple(panels))


def draw_page(kind: str, seed: int, stem: Path | None = None) -> RenderedPage:
    """A page of a kind, of a record (path without suffix) or of a generated ECG."""
    if stem is None:
        ecg = generate_ecg(seed)
        signals, fs = ecg.signals, ecg.fs
    else:
        signals, fs = read_signals(stem)
    if kind == USUAL:
        return render_page(signals, fs, seed=seed, profile="vendors", dpi=DPI)
    layout = make_layout("3x4", rhythm=("II",))
    sheet = sample_style(np.random.default_rng(VENDOR_SEED), "vendors", layout=layout, dpi=DPI).sheet
    sheet = replace(sheet, speed_mm_s=25.0, gain_mm_mv=10.0, chest_gain_mm_mv=None, pulse_stepped=False)
    style = PageStyle(sheet, WearStyle(), CameraStyle(jpeg=90), "clean")
    return ruled(render_page(signals, fs, seed=seed, style=style), sheet.gain_mm_mv)


def ruled(page: RenderedPage, gain_mm_mv: float) -> RenderedPage:
    """A flat page with a line at the zero of every lead, in the pen of the trace."""
    lines = np.zeros(page.image.shape[:2], np.uint8)
    for panel in page.panels:
        zero = float(np.nanmedian(panel.trace[:, 0] + panel.mv * gain_mm_mv * page.px_per_mm))
        ends = np.array([[panel.trace[0, 1], zero], [panel.trace[-1, 1], zero]])
        first, last = np.round(16 * ends).astype(int).tolist()
        cv2.line(lines, first, last, 255, max(1, round(panel.stroke_px)), cv2.LINE_AA, 4)
    share = lines[..., None] / 255.0
    ink = np.array(page.style["sheet"]["ink"], float)
    image = np.round(page.image * (1.0 - share) + ink * share).astype(np.uint8)
    return replace(page, image=image)


def draw_pages(folder: Path, kinds: dict[str, int], seed: int, stems: list[Path]) -> list[Path]:
    """Pages of several kinds with their truth; those that are there already stay.

    Args:
        kinds: number of pages by kind.
        seed: same seed, same pages; stems: records that they show in turn, generated ECGs where empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for j, (kind, n) in enumerate(kinds.items()):
        for k in range(n):
            own = page_seed(seed + j, k)
            stem = stems[(k + j * n) % len(stems)] if stems else None
            name = f"{kind}_{k:03d}" + ("" if stem is None else f"_{stem.name}")
            out.append(folder / f"{name}.png")
            if out[-1].is_file():
                continue
            page = draw_page(kind, own, stem)
            sheet = page.style["sheet"]
            panels = tuple(
                TruePanel(p.lead, p.row, p.column, np.asarray(p.trace, float)) for p in page.panels
            )
            true = TruePage(page.layout.name, sheet["speed_mm_s"], sheet["gain_mm_mv"], panels)
            true.save(folder / f"{name}.true.npz")
            write_rendered(folder, name, page)
    return out


def correct_page(engine: Engine, page_id: int, true: TruePage, seed: int = 0) -> int:
    """Correct a page as a careful person would, and accept it; the number of corrections.

    What cannot be read is rejected.
    """
    rng = np.random.default_rng(seed)
    store = engine.store
    try:
        whole, log = engine.now(page_id)
    except PageError as error:
        store.decide(page_id, 0, WHO, "rejected", str(error))
        return 0
    version = len(log)

    def correct(one: Correction) -> Corrected:
        nonlocal version
        try:
            engine.correct(page_id, version, WHO, one)
            version += 1
        except (PageError, ValueError):
            pass  # the page cannot have it: the person goes on without
        return engine.now(page_id)[0].pages[1]

    state = whole.pages[1]
    record = state.record
    if record.layout != true.layout:
        state = correct(LayoutGiven(true.layout))
    if record.speed_mm_s != true.speed_mm_s:
        state = correct(Speed(true.speed_mm_s))
    if record.gain_mm_mv != true.gain_mm_mv:
        state = correct(Gain(true.gain_mm_mv))
    names = _wrong_names(state, true)
    if names:
        state = correct(Names(names))
    for row, stroke in _wrong_stretches(state, true, rng):
        correct(Redraw(row, stroke, snap=False))
    store.decide(page_id, version, WHO, "accepted")
    return version


def _wrong_names(state: Corrected, true: TruePage) -> dict[str, str]:
    """Panels of another lead than is drawn there, by "row.column"."""
    out = {}
    for window in state.base.columns.windows:
        row = next((row for row in state.rows if row.row_index == window.row_index), None)
        if row is None:
            continue
        x_mm = 0.5 * (window.start_mm + window.end_mm)
        y_mm = float(np.nanmedian(row.y_mm)) if np.isfinite(row.y_mm).any() else np.nan
        at = state.found.to_px(np.array([[y_mm, x_mm]]))[0]
        panel = _panel_at(true, at)
        if panel is not None and panel.lead != window.lead:
            out[f"{window.row_index}.{window.column_index}"] = panel.lead
    return out


def _panel_at(true: TruePage, at: Points) -> TruePanel | None:
    """The panel whose trace runs nearest above or below a place."""
    near = [p for p in true.panels if p.trace[0, 1] <= at[1] <= p.trace[-1, 1]]
    return min(near, key=lambda p: abs(float(np.median(p.trace[:, 0])) - at[0]), default=None)


def _wrong_stretches(
    state: Corrected, true: TruePage, rng: np.random.Generator
) -> list[tuple[int, tuple[tuple[float, float], ...]]]:
    """Rows, and strokes along the ink where their traces are off it, row and column in px."""
    out = []
    for panel in true.panels:
        # Page millimetres: a person sees distances on the paper.
        line = state.found.to_mm(panel.trace)
        row = min(
            (row for row in state.rows if np.isfinite(row.y_mm).any()),
            key=lambda row: abs(float(np.nanmedian(row.y_mm)) - float(np.median(line[:, 0]))),
        )
        read = np.interp(line[:, 1], row.x_mm, row.y_mm, left=np.nan, right=np.nan)
        off = ~(np.abs(read - line[:, 0]) < SEEN_ERROR_MM)
        for first, last in _stretches(off, line[:, 1]):
            here = (line[:, 1] >= first - AROUND_MM) & (line[:, 1] <= last + AROUND_MM)
            points = line[here]
            along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
            at = np.linspace(0.0, along[-1], max(2, int(along[-1] / STROKE_EVERY_MM)))
            stroke = np.column_stack([np.interp(at, along, points[:, k]) for k in (0, 1)])
            stroke += rng.normal(0.0, HAND_MM, stroke.shape)
            px = state.found.to_px(stroke[np.isfinite(stroke).all(axis=1)])
            out.append((int(row.row_index), tuple((float(r), float(c)) for r, c in px[:2000])))
    return out


def _stretches(off: NDArray[np.bool_], x_mm: Points) -> list[tuple[float, float]]:
    """First and last place of stretches where something is seen to be off; near ones are joined."""
    found: list[tuple[float, float]] = []
    edges = np.flatnonzero(np.diff(np.concatenate([[0], off.astype(int), [0]])))
    for a, b in zip(edges[::2], edges[1::2] - 1, strict=True):
        first, last = float(x_mm[a]), float(x_mm[b])
        if found and first - found[-1][1] < 2 * AROUND_MM:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return [one for one in found if one[1] - one[0] >= SEEN_LENGTH_MM]
