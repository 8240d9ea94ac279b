"""The network of Karbasi et al. 2025 (arXiv:2506.10617): a picture of one lead, crossed by its neighbours,
enters; the mask of that lead alone leaves.

Taken: a U-Net on a grey crop of one lead, trained on crops in which neighbouring traces run over the lead.
Departs: the paper's crops come from its own plots, whose code and weights are not public; here they are
cut from this package's rendered pages, on half of which the rows stand closer than carts print them. A
smaller U-Net than usual (8 to 96 features), so that two cores can train it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.datasets.split import read_signals
from ecg_hough.image.colours import lightest_of
from ecg_hough.render import Panel, RenderedPage, render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_lab.networks.loop import Batch, Peer

if TYPE_CHECKING:
    import torch

PX_PER_MM = 6.0
CROP_PX = (256, 384)
"""Rows and columns of a crop: 43 x 64 mm, a lead of 2.5 s and half of its neighbours' rows."""
STRIDE = 16
FEATURES = (8, 16, 32, 64, 96)
CROPS_PER_PAGE = 8
PROFILES = ("kit", "clean", "bw", "scan", "worn")
"""Pages without perspective: the paper's crops are flat."""
CLOSE_SHARE, CLOSER = 0.5, (0.35, 0.9)
"""Share of pages whose rows stand closer than drawn, and how much."""
TALLER = (0.8, 2.2)
SCALE_ERROR, SHIFT_MM = 0.06, 2.5
"""Errors of a crop cut by hand: standard deviation of its scale, and of its place across."""


def make() -> torch.nn.Module:
    """(n, 1, rows, cols) grey levels -> (n, 1, rows, cols) logits of the lead's own pixels."""
    from ecg_hough.training.architecture import plain_unet

    return plain_unet(1, 1, FEATURES)


def loss(logits: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
    """Binary cross-entropy and Dice, and the share of pixels that both masks have of those that either
    has."""
    import torch

    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth)
    p = torch.sigmoid(logits)
    both, total = (p * truth).sum(), p.sum() + truth.sum()
    dice = (2 * both + 1.0) / (total + 1.0)
    with torch.no_grad():
        said, is_lead = logits > 0, truth > 0.5
        iou = float((said & is_lead).sum()) / max(1.0, float((said | is_lead).sum()))
    whole = 2.0 * entropy + 1.0 - dice
    return whole, {"loss": float(whole.detach()), "error": 1.0 - iou}


def batches(stems: list[Path], rng: np.random.Generator, size: int) -> Iterator[Batch]:
    """Endless batches of crops, each mixed from several pages."""
    buffer: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    while True:
        while len(buffer) < 4 * size:
            page = draw_page(stems, rng)
            chosen = rng.permutation(len(page.panels))[:CROPS_PER_PAGE]
            buffer += [crop_of(page, page.panels[k], rng) for k in chosen]
        picked = [buffer.pop(int(rng.integers(len(buffer)))) for _ in range(size)]
        yield np.stack([x for x, _ in picked]), np.stack([y for _, y in picked])


def draw_page(stems: list[Path], rng: np.random.Generator) -> RenderedPage:
    """A page without perspective, its rows often too close for its waves."""
    seed = int(rng.integers(2**31))
    if stems and rng.random() < 0.7:
        signals, fs = read_signals(stems[int(rng.integers(len(stems)))])
    else:
        ecg = generate_ecg(seed)
        signals, fs = ecg.signals, ecg.fs
    profile = str(rng.choice(PROFILES))
    style = sample_style(rng, profile, dpi=None if profile == "kit" else float(rng.uniform(110, 220)))
    sheet = replace(style.sheet, amplitude=style.sheet.amplitude * float(rng.uniform(*TALLER)))
    if rng.random() < CLOSE_SHARE:
        closer = float(rng.uniform(*CLOSER))
        sheet = replace(
            sheet, row_pitch_mm=sheet.row_pitch_mm * closer, rhythm_pitch_mm=sheet.rhythm_pitch_mm * closer
        )
    return render_page(signals, fs, seed=seed, style=replace(style, sheet=sheet))


def crop_of(
    page: RenderedPage, panel: Panel, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A crop (1, rows, cols) about a part of a panel, and the mask (1, rows, cols) of that panel's trace."""
    scale = PX_PER_MM / page.px_per_mm * float(np.exp(rng.normal(0, SCALE_ERROR)))
    trace = panel.trace[np.isfinite(panel.trace).all(axis=1)].astype(float)
    if len(trace) < 2:
        return crop_at(page.image, np.zeros((2, 3))), np.zeros((1, *CROP_PX), np.float32)
    half_s = CROP_PX[1] / 2 / (scale * max(1e-6, float(np.abs(np.diff(trace[:, 1])).mean())))
    middle = float(rng.uniform(0, max(1.0, len(trace) - 2 * half_s))) + min(half_s, len(trace) / 2)
    window = trace[max(0, int(middle - half_s)) : int(middle + half_s) + 1]
    centre = np.median(window, axis=0) + np.array([rng.normal(0, SHIFT_MM), 0.0]) * page.px_per_mm
    matrix = crop_matrix(centre, scale, page.angle_deg)
    points = (trace @ matrix[:, :2].T + matrix[:, 2])[:, ::-1]
    mask = np.zeros(CROP_PX, np.uint8)
    width = max(1, round(panel.stroke_px * scale))
    cv2.polylines(mask, [np.rint(points * 16).astype(np.int32)[:, None]], False, 1, width, cv2.LINE_8, 4)
    return crop_at(page.image, matrix), mask[None].astype(np.float32)


def crop_matrix(
    centre: NDArray[np.float64], scale: float, angle_deg: float, shape: tuple[int, int] = CROP_PX
) -> NDArray[np.float64]:
    """(2, 3), page (row, col, 1) -> crop (row, col): upright, `scale` crop px a page px, about a place."""
    angle = np.deg2rad(angle_deg)
    linear = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = (np.array(shape) - 1) / 2
    return np.column_stack([linear, middle - linear @ centre])


def crop_at(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], shape: tuple[int, int] = CROP_PX
) -> NDArray[np.float32]:
    """(1, rows, cols) of a page: how light, the colours' lightest, about its mean and by its spread."""
    (a, b, c), (d, e, f) = matrix
    light = lightest_of(image)
    shrink = float(np.hypot(a, b))
    if 0 < shrink < 1:  # thin lines fade instead of breaking up
        light = cv2.GaussianBlur(light, (0, 0), 0.4 / shrink)
    xy = np.array([[e, d, f], [b, a, c]])
    crop = cv2.warpAffine(light, xy, shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return normalised(crop.astype(np.float32))[None]


def normalised(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey levels about their mean, by their standard deviation."""
    return np.asarray((crop - crop.mean()) / max(1.0, float(crop.std())), np.float32)


OVERLAP_UNET = Peer(
    "overlap-unet", make, batches, loss, batch_size=4, learning_rate=2e-3, channels=1,
    normalization="lightest colour, about the crop's mean, by its standard deviation",
    outputs="logit of the lead's own trace, of every pixel", stride=STRIDE,
)  # fmt: skip
