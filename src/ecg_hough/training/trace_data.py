"""Training examples of the trace network: strips of rendered pages with the true row of every column.

In: records and a seed. Out: batches of channels and targets. A worker process renders pages, cuts crops of
their rows and mixes them with those of other pages; nothing is stored.
"""

from __future__ import annotations

import multiprocessing as mp
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.datasets.split import read_signals
from ecg_hough.elements import LeadPanel, PageLayout
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame, cut_strip, shrink_for_strips, strip_map
from ecg_hough.networks.canvas import Canvas, to_canvas
from ecg_hough.networks.leads_net import LEADS_NETWORK, lead_probabilities
from ecg_hough.networks.runtime import WEIGHTS, Network
from ecg_hough.paper import LEADS
from ecg_hough.render import Panel, RenderedPage, render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.style import with_random_grid
from ecg_hough.traces.distribution import READOUTS_PER_COLUMN, readout_columns
from ecg_hough.traces.masks import row_masks

CROP_SHAPE = (256, 320)
"""Rows and columns of a crop: 32 x 40 mm."""
TALL_SHAPE = (448, 192)
"""The same for the tallest waves, which reach over other rows: 56 x 24 mm."""
TALL_SHARE = 0.3
"""Share of batches of tall crops, each round one of its row's farthest excursions."""
ENLARGED_SHARE, ENLARGED = 0.3, (1.3, 2.6)
"""Share of pages whose traces are taller than recorded, and how many times: waves of 3 mV and more are rare
in records and the hardest to read."""
CLOSE_SHARE, CLOSER = 0.25, (0.5, 0.9)
"""Share of pages whose rows lie closer than drawn, and by how much: a neighbour's QRS complexes then cross
the row, which on usual sheets they seldom do."""
TWO_HUES_SHARE = 0.15
"""Share of pages drawn with a random grid whose 1 mm lines may be as dark as those of 5 mm."""
IGNORED, NO_TRACE = -2.0, -1.0
"""Values of the target where the loss ignores it, and where the row has no trace."""
SEEN_SHARE = 0.6
"""Share of pages whose masks are what the shipped leads network gives for them; the others' are drawn. Its
errors are of one kind (names of leads taken for traces), drawn ones are of all kinds."""
CROPS_PER_PAGE = 24
BUFFER = 768
EDGE_SHARE = 0.5
"""Share of crops that hold a panel's start or end: names, pulses and separators are printed there."""
QRS_AT_START_SHARE = 0.35
"""Share of records moved so that a QRS complex lies where a column starts, the hardest place to read."""
_EDGE_MM = 0.04  # within this distance of a trace's end the loss ignores the target


@dataclass(frozen=True)
class RowTruth:
    """One row of traces in page millimetres: x (linear in time) and y of each sample, per panel."""

    x_mm: tuple[NDArray[np.float64], ...]
    y_mm: tuple[NDArray[np.float64], ...]
    seen: tuple[NDArray[np.bool_], ...]  # the sample lies within the image

    @property
    def centre_mm(self) -> float:
        return float(np.median(np.concatenate(self.y_mm)))


def rows_in_mm(page: RenderedPage) -> list[RowTruth]:
    """The page's rows of traces, through the inverse of its map."""
    rows: dict[int, list[Panel]] = {}
    for panel in page.panels:
        rows.setdefault(panel.row, []).append(panel)
    height, width = page.image.shape[:2]
    out = []
    for _, panels in sorted(rows.items()):
        xs, ys, seen = [], [], []
        for panel in sorted(panels, key=lambda p: p.column):
            if len(panel.trace) < 8 or not np.isfinite(panel.trace).all():
                continue
            y, x = page.page_map.to_mm(panel.trace[:, 0], panel.trace[:, 1])
            # Time runs linearly along the page: the fit removes the inversion's rounding.
            n = np.arange(len(x))
            xs.append(np.asarray(np.polyval(np.polyfit(n, x, 1), n), float))
            ys.append(y)
            r, c = panel.trace.T
            seen.append((r > 0) & (r < height - 1) & (c > 0) & (c < width - 1))
        if xs:
            out.append(RowTruth(tuple(xs), tuple(ys), tuple(seen)))
    return out


def true_rows(row: RowTruth, frame: StripFrame) -> NDArray[np.float32]:
    """(2, cols) row in strip px of the trace at every read-out; see `IGNORED`, `NO_TRACE`."""
    n_rows, n_cols = frame.shape
    at = readout_columns(n_cols).T.ravel()
    target = np.full(at.size, NO_TRACE, np.float32)
    edge = _EDGE_MM * STRIP_PX_PER_MM
    for x, y, seen in zip(row.x_mm, row.y_mm, row.seen, strict=True):
        points = frame.from_mm(np.stack([y, x], -1))
        # The column of a sample is its time's, also where a slight turn leans the trace.
        level = frame.from_mm(np.stack([np.full_like(x, row.centre_mm), x], -1))
        columns = level[:, 1]
        inside = (at >= columns[0]) & (at <= columns[-1])
        target[inside] = np.interp(at[inside], columns, points[:, 0])
        unseen = np.interp(at, columns, (~seen).astype(float)) > 0.01
        target[inside & unseen] = NO_TRACE
        for end in (columns[0], columns[-1]):
            target[np.abs(at - end) < edge] = IGNORED
    target[(target > n_rows - 2) | ((target < 1) & (target > NO_TRACE))] = IGNORED
    return target.reshape(READOUTS_PER_COLUMN, n_cols)


def coarse_masks(
    rows: list[RowTruth], own: int, frame: StripFrame, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(2, rows, cols) the leads network's masks as it might give them: this row's traces, other rows'.

    Blurred to its canvas' resolution and shifted a little, with gaps, pieces given to the wrong row,
    and specks, so that the trace network relies on the pixels where the mask is wrong.
    """
    scale = float(rng.uniform(1.5, 3.2))  # canvas px per mm
    small = tuple(int(np.ceil(n / STRIP_PX_PER_MM * scale)) + 2 for n in frame.shape)
    shift = rng.normal(0, 0.35, 2)
    masks = np.zeros((2, *small), np.uint8)
    for k, row in enumerate(rows):
        for x, y in zip(row.x_mm, row.y_mm, strict=True):
            points = frame.from_mm(np.stack([y, x], -1)[::3]) / STRIP_PX_PER_MM * scale + shift
            if points[:, 0].max() < 0 or points[:, 0].min() > small[0]:
                continue
            which = 0 if k == own else 1
            fixed = np.round(points[:, ::-1] * 16).astype(np.int32)
            cv2.polylines(masks[which], [fixed[:, None]], False, 255, int(rng.integers(2, 4)), cv2.LINE_AA, 4)
    blurred = np.stack([cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.4, 0.8))) for mask in masks])
    out = np.asarray(blurred, np.float32) / np.float32(255)
    for _ in range(int(rng.poisson(1.2))):
        out = _spoil(out, rng)
    rows_px, cols_px = frame.shape
    back = np.array([[scale / STRIP_PX_PER_MM, 0, 0], [0, scale / STRIP_PX_PER_MM, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack([cv2.warpAffine(mask, back, (cols_px, rows_px), flags=flags) for mask in out])


def _spoil(masks: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """One error of the leads network."""
    out = masks.copy()
    n = masks.shape[2]
    width = int(np.exp(rng.uniform(np.log(2), np.log(0.5 * n))))
    start = int(rng.integers(0, n - width + 1))
    piece = slice(start, start + width)
    top = int(rng.integers(0, masks.shape[1]))
    part = slice(top, top + int(rng.integers(3, masks.shape[1])))
    kind = rng.random()
    if kind < 0.4:  # a gap
        out[0, :, piece] *= float(rng.choice([0.0, 0.3]))
    elif kind < 0.6:  # this row's ink called another's, above or below some line
        out[1, part, piece] = np.maximum(masks[1, part, piece], masks[0, part, piece])
        out[0, part, piece] *= 0.2
    elif kind < 0.8:  # another row's ink called this one's
        out[0, part, piece] = np.maximum(masks[0, part, piece], masks[1, part, piece])
        out[1, part, piece] *= 0.2
    else:  # text taken for a trace
        out[int(rng.integers(2)), top : top + 4, start : start + 6] = float(rng.uniform(0.4, 1))
    return out


def seen_masks(page: RenderedPage, network: Network) -> tuple[Canvas, NDArray[np.float32]]:
    """The canvas of a page and (n, 2, side, side) what the leads network makes of its rows.

    The layout is taken as found: panels and coarse paths are the true ones.
    """
    canvas = to_canvas(page.image)
    probabilities = lead_probabilities(canvas, network)
    side = probabilities.shape[2]
    panels = []
    for panel in page.panels:
        points = canvas.from_page(panel.trace[np.isfinite(panel.trace).all(axis=1)].astype(float))
        column = np.rint(points[:, 1]).astype(int)
        inside = (column >= 0) & (column < side)
        count = np.bincount(column[inside], minlength=side)
        total = np.bincount(column[inside], points[inside, 0], minlength=side)
        path = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        if count.any():
            start, end = float(points[:, 1].min()), float(points[:, 1].max()) + 1
            panels.append(LeadPanel(panel.lead, panel.row, panel.column, panel.rhythm, start, end, path, 1.0))
    layout = PageLayout(tuple(panels), page.layout, 0.0, 1.0, float("nan"))
    return canvas, row_masks(probabilities, layout)


def crops_of(
    page: RenderedPage,
    n: int,
    rng: np.random.Generator,
    network: Network | None = None,
    *,
    tall_share: float = 0.0,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Crops of one page: channels (5, rows, cols) uint8 and targets (2, cols) float32.

    Args:
        network: the leads network whose masks are taken; None draws them.
        tall_share: share of crops of `TALL_SHAPE`; the others have `CROP_SHAPE`.
    """
    rows = rows_in_mm(page)
    if not rows:
        return
    seen = None
    if network is not None:
        canvas, seen = seen_masks(page, network)
        if len(seen) != len(rows):
            seen = None  # a row outside the image
    image, factor = shrink_for_strips(page.image, float(np.mean(page.page_map.px_per_mm)))
    for _ in range(n):
        k = int(rng.integers(len(rows)))
        row = rows[k]
        tall = rng.random() < tall_share
        shape = TALL_SHAPE if tall else CROP_SHAPE
        height_mm, width_mm = (side / STRIP_PX_PER_MM for side in shape)
        first, last = min(x[0] for x in row.x_mm), max(x[-1] for x in row.x_mm)
        x_mm = rng.uniform(first - 0.25 * width_mm, last - 0.75 * width_mm)
        if rng.random() < EDGE_SHARE:
            x = row.x_mm[int(rng.integers(len(row.x_mm)))]
            x_mm = x[0 if rng.random() < 0.75 else -1] - rng.uniform(0.1, 0.9) * width_mm
        y_mm = row.centre_mm - height_mm / 2 + rng.uniform(-5, 5)
        if tall:
            x_mm, y_mm = _round_excursion(row, height_mm, width_mm, rng)
        frame = StripFrame(
            float(y_mm), float(x_mm), shape,
            turn_deg=float(rng.normal(0, 0.2)), zoom=float(np.exp(rng.normal(0, 0.015))),
        )  # fmt: skip
        target = true_rows(row, frame)
        where = strip_map(frame, page.page_map)
        pixels = cut_strip(image, where, factor)
        if seen is None:
            masks = coarse_masks(rows, k, frame, rng)
        else:
            at = canvas.from_page(np.stack(where, axis=-1)).astype(np.float32)
            masks = np.stack([cv2.remap(m, at[..., 1], at[..., 0], cv2.INTER_LINEAR) for m in seen[k]])
        coarse = np.round(np.clip(masks, 0, 1) * 255).astype(np.uint8)
        channels = np.concatenate([pixels.transpose(2, 0, 1), coarse])
        yield _flip(channels, target, rng)


def _round_excursion(
    row: RowTruth, height_mm: float, width_mm: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Left and top, mm, of a crop that holds the farthest excursion of some 2 s of a row, and its line."""
    x, y = (np.concatenate(v) for v in (row.x_mm, row.y_mm))
    near = np.flatnonzero(np.abs(x - rng.choice(x)) < 25.0)
    off = y[near] - row.centre_mm
    far = int(np.abs(off).argmax())
    middle = row.centre_mm + 0.5 * float(off[far]) + rng.uniform(-6, 6)
    return float(x[near[far]]) - rng.uniform(0.15, 0.85) * width_mm, middle - height_mm / 2


def _flip(
    channels: NDArray[np.uint8], target: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    if rng.random() < 0.25:
        channels, target = channels[:, :, ::-1], target[::-1, ::-1]
    if rng.random() < 0.25:
        rows = channels.shape[1]
        channels, target = channels[:, ::-1], np.where(target >= 0, rows - 1 - target, target)
    if rng.random() < 0.2:
        channels = np.concatenate([channels[rng.permutation(3)], channels[3:]])
    return np.ascontiguousarray(channels), np.ascontiguousarray(target, np.float32)


def render_for_traces(stems: list[Path], rng: np.random.Generator, *, generated: float = 0.4) -> RenderedPage:
    """A page as training shows it: mixed distortions, 90 to 320 dpi; leads shuffled now and then."""
    if not stems or rng.random() < generated:
        ecg = generate_ecg(int(rng.integers(2**31)))
        signals, fs = ecg.signals, ecg.fs
    else:
        signals, fs = read_signals(stems[int(rng.integers(len(stems)))])
    start = int(rng.integers(0, max(1, signals.shape[1] // 4)))
    signals = np.roll(signals, start, axis=1) if rng.random() < 0.3 else signals
    if rng.random() < QRS_AT_START_SHARE:
        signals = np.roll(signals, int(rng.integers(4)) * int(2.5 * fs) - _steepest(signals, fs, rng), axis=1)
    if rng.random() < 0.3:
        signals = signals[rng.permutation(len(LEADS))] * rng.choice([-1, 1], (len(LEADS), 1))
    if rng.random() < ENLARGED_SHARE:
        signals = signals * rng.uniform(*ENLARGED)
    dpi = float(np.exp(rng.uniform(np.log(90), np.log(320))))
    style = sample_style(rng, "mixed", dpi=dpi)
    if rng.random() < CLOSE_SHARE:
        closer, sheet = rng.uniform(*CLOSER), style.sheet
        style = replace(style, sheet=replace(sheet, row_pitch_mm=closer * sheet.row_pitch_mm,
                                             rhythm_pitch_mm=closer * sheet.rhythm_pitch_mm))  # fmt: skip
    if style.profile not in ("bw", "fax") and rng.random() < TWO_HUES_SHARE:
        style = replace(style, sheet=with_random_grid(style.sheet, rng))
    return render_page(signals, fs, seed=int(rng.integers(2**31)), style=style)


def _steepest(signals: NDArray[np.float64], fs: int, rng: np.random.Generator) -> int:
    """A sample up to 0.12 s before the middle of the steepest QRS complex of some 2 s of the record."""
    slope = np.abs(np.diff(np.nan_to_num(signals), axis=1)).sum(axis=0)
    first = int(rng.integers(0, max(1, slope.size - 2 * fs)))
    return first + int(np.argmax(slope[first : first + 2 * fs])) - int(rng.uniform(-0.04, 0.12) * fs)


def _work(stems: list[Path], seed: int, batch_size: int, queue: mp.Queue) -> None:
    """Endless batches from a buffer that mixes many pages."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    weights = WEIGHTS / f"{LEADS_NETWORK}.onnx"
    leads = Network(weights, threads=1) if weights.is_file() else None
    # A batch has crops of one shape.
    buffers: dict[bool, list[tuple[NDArray[np.uint8], NDArray[np.float32]]]] = {True: [], False: []}
    size = 64
    while True:
        tall = bool(rng.random() < TALL_SHARE)
        while len(buffers[tall]) < size * (TALL_SHARE if tall else 1.0):
            network = leads if rng.random() < SEEN_SHARE else None
            page = render_for_traces(stems, rng)
            for crop in crops_of(page, CROPS_PER_PAGE, rng, network, tall_share=TALL_SHARE):
                buffers[crop[0].shape[1] == TALL_SHAPE[0]].append(crop)
        size = min(BUFFER, size + 16)  # start early, mix better later
        buffer = buffers[tall]
        chosen = [buffer.pop(int(rng.integers(len(buffer)))) for _ in range(batch_size)]
        queue.put((np.stack([c for c, _ in chosen]), np.stack([t for _, t in chosen])))


def batches(
    stems: list[Path], *, seed: int, batch_size: int, workers: int = 1
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Endless (n, 5, rows, cols) uint8 and (n, 2, cols) float32, rendered by worker processes."""
    context = mp.get_context("spawn")
    queue: mp.Queue = context.Queue(maxsize=12)
    processes = [
        context.Process(target=_work, args=(stems, seed * 1009 + k, batch_size, queue), daemon=True)
        for k in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        while True:
            yield queue.get()
    finally:
        for process in processes:
            process.terminate()
