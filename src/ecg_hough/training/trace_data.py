"""Training examples of the trace network: strips of rendered pages with the true row of every column.

In: records and a seed. Out: batches of channels and targets. A worker process renders pages, cuts crops of
their rows and mixes them with those of other pages; nothing is stored.
"""

from __future__ import annotations

import multiprocessing as mp
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.datasets.split import read_signals
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame, cut_strip, shrink_for_strips, strip_map
from ecg_hough.networks.leads_net import LEADS_NETWORK
from ecg_hough.networks.runtime import WEIGHTS, Network
from ecg_hough.paper import LEADS
from ecg_hough.render import Panel, RenderedPage
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.training.hard_pages import hard_page
from ecg_hough.training.row_truth import KnownPage, RowTruth, true_rows
from ecg_hough.training.seen_masks import seen_masks

CROP_SHAPE = (256, 320)
"""Rows and columns of a crop: 32 x 40 mm."""
TALL_SHAPE = (448, 192)
"""The same for the tallest waves, which reach over other rows: 56 x 24 mm."""
TALL_SHARE = 0.3
"""Share of batches of tall crops, each round one of its row's farthest excursions."""
SOLID_STROKES, SOLID_MM, SOLID_DARK = 6.0, 1.2, 60
"""Nothing is seen under black of this width, in pens and in mm; the level below which it is black."""
FOUND_SHARE = 0.5
"""Share of the leads network's masks that are divided among rows as they are found: where rows cross, the
coarse paths have errors of their own."""
SEEN_SHARE = 0.6
"""Share of pages whose masks are what the shipped leads network gives for them; the others' are drawn. Its
errors are of one kind (names of leads taken for traces), drawn ones are of all kinds."""
PLACES_SHARE = 0.6
"""Share of a corrected page's crops that hold what was corrected."""
CROPS_PER_PAGE = 24
BUFFER = 768
WAIT_S = 10.0
"""Between two looks whether the processes that draw pages still live."""
EDGE_SHARE = 0.5
"""Share of crops that hold a panel's start or end: names, pulses and separators are printed there."""


def rows_in_mm(page: RenderedPage) -> list[RowTruth]:
    """The page's rows of traces, through the inverse of its map."""
    rows: dict[int, list[Panel]] = {}
    for panel in page.panels:
        rows.setdefault(panel.row, []).append(panel)
    height, width = page.image.shape[:2]
    black = _solid_black(page)
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
            inside = (r > 0) & (r < height - 1) & (c > 0) & (c < width - 1)
            under = black[np.clip(r, 0, height - 1).astype(int), np.clip(c, 0, width - 1).astype(int)]
            seen.append(inside & ~under)
        if xs:
            out.append(RowTruth(tuple(xs), tuple(ys), tuple(seen)))
    return out


def coarse_masks(
    rows: Sequence[RowTruth], own: int, frame: StripFrame, rng: np.random.Generator
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
    if rng.random() < 0.25:  # at every beat
        piece = slice(0, n)
    kind = rng.random()
    if kind < 0.15:  # waves cut off at some level, nobody's ink from there on
        faint = float(rng.choice([0.0, 0.5]))
        out[1, part, piece] = np.maximum(out[1, part, piece], faint * out[0, part, piece])
        out[0, part, piece] *= faint
    elif kind < 0.4:  # a gap
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
        canvas, masks = seen_masks(page, network, found=bool(rng.random() < FOUND_SHARE))
        if len(masks) == len(rows):  # else a row lies outside the image
            seen = canvas, np.round(255 * np.clip(masks, 0, 1)).astype(np.uint8)
    known = KnownPage(page.image, page.page_map, tuple(rows), seen)
    yield from crops_of_known(known, n, rng, tall_share=tall_share)


def crops_of_known(
    page: KnownPage, n: int, rng: np.random.Generator, *, tall_share: float = 0.0
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """The same of a page whose rows are known in millimetres, rendered or corrected by a person.

    Masks are the page's own, where it has any, else drawn. Of a page with places to look at, `PLACES_SHARE`
    of the crops hold one of them.
    """
    rows, seen = page.rows, page.seen
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
        if page.places and rng.random() < PLACES_SHARE:
            k, low, high = page.places[int(rng.integers(len(page.places)))]
            row = rows[k]
            x_mm = rng.uniform(low, high) - rng.uniform(0.1, 0.9) * width_mm
            y_mm = row.centre_mm - height_mm / 2 + rng.uniform(-5, 5)
        elif tall:
            x_mm, y_mm = _round_excursion(row, height_mm, width_mm, rng)
        frame = StripFrame(
            float(y_mm), float(x_mm), shape,
            turn_deg=float(rng.normal(0, 0.2)), zoom=float(np.exp(rng.normal(0, 0.015))),
        )  # fmt: skip
        target = true_rows(row, frame)
        where = strip_map(frame, page.page_map)
        pixels = cut_strip(image, where, factor)
        if seen is None:
            coarse = np.round(np.clip(coarse_masks(rows, k, frame, rng), 0, 1) * 255).astype(np.uint8)
        else:
            canvas, masks = seen
            at = canvas.from_page(np.stack(where, axis=-1)).astype(np.float32)
            coarse = np.stack([cv2.remap(m, at[..., 1], at[..., 0], cv2.INTER_LINEAR) for m in masks[k]])
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
    """A page as training shows it: 90 to 240 dpi; leads shuffled now and then."""
    if not stems or rng.random() < generated:
        ecg = generate_ecg(int(rng.integers(2**31)))
        signals, fs = ecg.signals, ecg.fs
    else:
        signals, fs = read_signals(stems[int(rng.integers(len(stems)))])
    if rng.random() < 0.3:
        signals = signals[rng.permutation(len(LEADS))] * rng.choice([-1, 1], (len(LEADS), 1))
    # Strips have 203 dpi: finer pages show them nothing more, and take longer.
    return hard_page(signals, fs, rng, dpi=float(np.exp(rng.uniform(np.log(90), np.log(240)))))


def _solid_black(page: RenderedPage) -> NDArray[np.bool_]:
    """(rows, cols) pixels amid black that is wider than any pen's stroke."""
    stroke = max((panel.stroke_px for panel in page.panels), default=1.0)
    side = int(np.ceil(max(SOLID_STROKES * stroke, SOLID_MM * page.px_per_mm)))
    dark = (page.image.max(axis=2) < SOLID_DARK).astype(np.uint8)
    return cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((side, side), np.uint8)) > 0


@dataclass(frozen=True)
class Corrected:
    """Corrected pages among those that are trained on: files of `KnownPage`, and their share of the pages."""

    pages: tuple[Path, ...] = ()
    share: float = 0.5


def _work(stems: list[Path], seed: int, batch_size: int, corrected: Corrected, queue: mp.Queue) -> None:
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
            for crop in _crops_of_a_page(stems, corrected, leads, rng):
                buffers[crop[0].shape[1] == TALL_SHAPE[0]].append(crop)
        size = min(BUFFER, size + 16)  # start early, mix better later
        buffer = buffers[tall]
        chosen = [buffer.pop(int(rng.integers(len(buffer)))) for _ in range(batch_size)]
        queue.put((np.stack([c for c, _ in chosen]), np.stack([t for _, t in chosen])))


def _crops_of_a_page(
    stems: list[Path], corrected: Corrected, leads: Network | None, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Crops of a corrected page, or of one that is rendered."""
    if corrected.pages and rng.random() < corrected.share:
        known = KnownPage.load(corrected.pages[int(rng.integers(len(corrected.pages)))])
        known = known if rng.random() < SEEN_SHARE else replace(known, seen=None)
        yield from crops_of_known(known, CROPS_PER_PAGE, rng, tall_share=TALL_SHARE)
        return
    network = leads if rng.random() < SEEN_SHARE else None
    yield from crops_of(render_for_traces(stems, rng), CROPS_PER_PAGE, rng, network, tall_share=TALL_SHARE)


def batches(
    stems: list[Path], *, seed: int, batch_size: int, workers: int = 1, corrected: Corrected | None = None
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Endless (n, 5, rows, cols) uint8 and (n, 2, cols) float32, rendered by worker processes."""
    context = mp.get_context("spawn")
    queue: mp.Queue = context.Queue(maxsize=12)
    corrected = corrected or Corrected()
    processes = [
        context.Process(
            target=_work, args=(stems, seed * 1009 + k, batch_size, corrected, queue), daemon=True
        )
        for k in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        while True:
            try:
                yield queue.get(timeout=WAIT_S)
            except Empty:
                if not any(process.is_alive() for process in processes):
                    raise RuntimeError(
                        "the processes that draw pages ended; their messages say why"
                    ) from None
    finally:
        for process in processes:
            process.terminate()
