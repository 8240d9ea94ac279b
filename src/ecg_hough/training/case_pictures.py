"""Pictures and label maps of training cases: a case and the way to draw it enter, two PNG files leave.

Canvases as the leads network sees them, pages on which words are read, or whole pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.datasets.kit_pages import read_kit_page
from ecg_hough.datasets.rendered import write_image
from ecg_hough.datasets.split import read_signals
from ecg_hough.image.reading import read_page
from ecg_hough.networks.canvas import CANVAS_PX, to_canvas
from ecg_hough.networks.words_net import BLOB_MM, BLOB_SHARE, WORD_PX_PER_MM, word_picture
from ecg_hough.paper import WORDS
from ecg_hough.render import RenderedPage, draw_labels, render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.training.cases import GENERATED, Case
from ecg_hough.training.hard_pages import hard_page
from ecg_hough.training.winner_labels import Traced, turn_of, turn_upright, winner_labels

MIN_STROKE_PX = 3.0
"""Traces are labelled at least this wide on the canvas: one pixel wide classes are slow to learn."""
TURNED_SHARE = 0.12
"""Share of pages shown in a wrong quarter turn with nothing labelled: the network then gives no lead
there, by which the pipeline finds the right turn."""
TRAIN_DPI = (85.0, 150.0)
"""Pages are shrunk to about 70 dpi on the canvas; finer ones cost time and change nothing."""
PAGE_DPI = 200.0
"""Of whole pages, as the winner of the 2024 Challenge trained on (Krones et al. 2024)."""
STRAIGHT_DEG = 0.02
PLANES = ("rgb", "red")
CANVASES = ("canvas704", "page", "words")
WORD_TEXTS = (60, 160)
"""Fewest and most words strewn over a page on which reading is learned."""
WORD_DPI = (90.0, 220.0)
WORD_SCALE_ERROR, WORD_ANGLE_ERROR_DEG = 0.06, 0.8
"""Standard deviations of what the pipeline may get wrong before words are read."""


@dataclass(frozen=True)
class Drawing:
    """How cases are made: see `prepare`."""

    profile: str = "mixed"
    planes: str = "rgb"
    canvas: str = "canvas704"
    dpi: float | None = None
    hard_share: float = 0.0


def case_paths(root: Path, case: Case) -> tuple[Path, Path]:
    images, labels = root / f"images{case.part}", root / f"labels{case.part}"
    return images / f"{case.name}_0000.png", labels / f"{case.name}.png"


def is_made(root: Path, case: Case) -> bool:
    return all(path.is_file() for path in case_paths(root, case))


def make_case(case: Case, root: Path, drawing: Drawing) -> str | None:
    """Make a case's picture and label map; returns why it cannot be made, None where it was."""
    if case.source.endswith(".json"):
        try:
            image, labels = (kit_page if drawing.canvas == "page" else kit_canvas)(Path(case.source))
        except ValueError as refusal:
            return str(refusal)
    else:
        image, labels = _rendered_case(case, drawing)
    if drawing.planes == "red":
        image = image[..., 0]
    image_path, label_path = case_paths(root, case)
    write_image(label_path, np.ascontiguousarray(labels))
    write_image(image_path, np.ascontiguousarray(image))
    return None


def _rendered_case(case: Case, drawing: Drawing) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A page by the package's renderer, and its label map."""
    rng = np.random.default_rng([case.seed, 2])
    if case.source == GENERATED:
        ecg = generate_ecg(case.seed)
        signals, fs = ecg.signals, ecg.fs
    else:
        signals, fs = read_signals(Path(case.source))
    if drawing.canvas == "page":
        page = render_page(signals, fs, seed=case.seed, profile=drawing.profile, dpi=drawing.dpi or PAGE_DPI)
        return upright_with_labels(page.image, [(p.lead, p.trace) for p in page.panels], page.angle_deg)
    # Drawn even where the resolution is given, so that all other choices of a seed stay as they are.
    drawn_dpi = float(rng.uniform(*(WORD_DPI if drawing.canvas == "words" else TRAIN_DPI)))
    dpi = drawing.dpi or drawn_dpi
    if drawing.canvas == "words":
        style = sample_style(np.random.default_rng(case.seed), drawing.profile, dpi=dpi)
        style = replace(style, sheet=replace(style.sheet, word_texts=int(rng.integers(*WORD_TEXTS))))
        return reading_case(render_page(signals, fs, seed=case.seed, style=style), rng)
    # Without such pages nothing is drawn, so that all other choices of a seed stay as they are.
    if drawing.hard_share and rng.random() < drawing.hard_share:
        page = hard_page(signals, fs, rng, dpi=dpi)
    else:
        page = render_page(signals, fs, seed=case.seed, profile=drawing.profile, dpi=dpi)
    image, labels = page_canvas(page)
    if rng.random() < TURNED_SHARE:
        image, labels = np.rot90(image, int(rng.integers(1, 4))), np.zeros_like(labels)
    return image, labels


def reading_case(page: RenderedPage, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A rendered page as the words network sees it, and its label map; some are turned, with no label."""
    angle = page.angle_deg + float(rng.normal(0, WORD_ANGLE_ERROR_DEG))
    scale = page.px_per_mm * float(np.exp(rng.normal(0, WORD_SCALE_ERROR)))
    picture = word_picture(page.image, angle, scale)
    labels = np.zeros(picture.image.shape[:2], np.uint8)
    for printed in page.words:
        corners = picture.from_page(printed.corners)
        ends = np.round(corners).astype(int)
        if (ends < 0).any() or (ends >= labels.shape).any() or not picture.covered[tuple(ends.T)].all():
            continue  # cut off
        across, down = corners[1] - corners[0], corners[3] - corners[0]
        width = float(np.linalg.norm(across))
        low, high = (mm * WORD_PX_PER_MM for mm in BLOB_MM)
        kept = float(np.clip(BLOB_SHARE * width, low, high)) / max(width, 1e-6)
        middle = corners.mean(axis=0)
        box = [middle + a * kept * across / 2 + b * down / 2 for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        points = np.round(np.array(box)[:, ::-1] * 16).astype(np.int32)
        cv2.fillConvexPoly(labels, points, WORDS.index(printed.word) + 1, cv2.LINE_8, 4)
    image = picture.image
    if rng.random() < TURNED_SHARE:
        turns = int(rng.integers(1, 4))
        image, labels = np.rot90(image, turns), np.zeros_like(np.rot90(labels, turns))
    return image, labels


def page_canvas(page: RenderedPage, side: int = CANVAS_PX) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A rendered page as the leads network sees it: image (side, side, 3) and label map (side, side)."""
    canvas = to_canvas(page.image, 0.0, side)
    top, left = canvas.matrix[:, 2] - 0.5 * canvas.scale + 0.5
    labels = draw_labels(
        (side, side),
        page.panels,
        scale=canvas.scale,
        offset=(float(top), float(left)),
        min_stroke_px=MIN_STROKE_PX,
    )
    seen = np.zeros_like(labels)
    rows, cols = (max(1, round(n * canvas.scale)) for n in page.image.shape[:2])
    first_row, first_col = max(0, round(top)), max(0, round(left))
    seen[first_row : first_row + rows, first_col : first_col + cols] = (
        1  # beyond the image nothing is printed
    )
    return canvas.image, labels * seen


def kit_page(sidecar: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An ECG-Image-Kit page as the 2024 winner trained on it: upright, and its label map (rows, cols)."""
    page = read_kit_page(sidecar, may_be_turned=True)
    image = read_page(page.image_path).image
    if page.turn_deg:
        image, _ = turn_upright(image, (), page.turn_deg)
    angle = turn_of(page.traces)
    # Turns below this move no point by a pixel, and are rounding of the sidecar's points.
    return upright_with_labels(image, page.traces, angle if abs(angle) > STRAIGHT_DEG else 0.0)


def upright_with_labels(
    image: NDArray[np.uint8], traces: Sequence[Traced], angle_deg: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A page turned back by its angle, and the 2024 winner's label map of it."""
    upright, turned = turn_upright(image, traces, angle_deg)
    return upright, winner_labels(upright.shape[:2], turned)


def kit_canvas(sidecar: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An ECG-Image-Kit page as the leads network sees it."""
    page = read_kit_page(sidecar)
    image, page_labels = read_page(page.image_path).image, page.labels
    canvas = to_canvas(image)
    rows, cols = (round(n * canvas.scale) for n in page_labels.shape)
    small = cv2.resize(page_labels, (cols, rows), interpolation=cv2.INTER_NEAREST)
    labels = np.zeros(canvas.image.shape[:2], np.uint8)
    top, left = (round(v) for v in canvas.matrix[:, 2] - 0.5 * canvas.scale + 0.5)
    labels[top : top + rows, left : left + cols] = small
    # As wide as on our own pages: the larger label wins where leads touch.
    return canvas.image, np.asarray(cv2.dilate(labels, np.ones((2, 2), np.uint8)), np.uint8)
