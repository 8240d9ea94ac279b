"""taylorsamarel's V2 (Kaggle, PhysioNet's digitisation contest of 2025/26): a whole page at 1024 x 768
enters a CNN, the twelve waveforms leave it.

Taken: the idea as it is described: the page is scaled to 1024 x 768, whatever it shows; one convolutional
network regresses all samples of all leads at once; nothing is found, cut out or calibrated. Not available:
code, weights and sizes of the notebook; so the layers are of our choosing, as small as two cores can
train: five strided stages, the map pooled to 8 x 16 places, two dense layers. Departs: trained on this
package's rendered pages (3x4 with lead II below, the contest's layout), not on the contest's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from ecg_hough.datasets.split import read_signals
from ecg_hough.paper import BLOCK_MM, GAIN_MM_MV, LEADS, PAPER_SPEED_MM_S, make_layout
from ecg_hough.render import render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_lab.networks.loop import Batch, Peer

if TYPE_CHECKING:
    import torch

SHAPE = (768, 1024)
"""Rows and columns of every page."""
FS_HZ = 100
SHORT_S, LONG_S = 2.5, 10.0
LONG_LEAD = "II"
PROFILES = ("kit", "clean", "scan", "bw", "worn")
DPI = 96.0
"""Of rendered pages: 279 mm are about 1024 px."""
STAGES = (12, 24, 48, 64, 64)
PLACES = (8, 16)
HIDDEN = 128
LAYOUT = make_layout("3x4", rhythm=(LONG_LEAD,))
SHORT_N, LONG_N = round(SHORT_S * FS_HZ), round(LONG_S * FS_HZ)
OUTPUTS = (len(LEADS) - 1) * SHORT_N + LONG_N
"""Samples of the eleven short leads in their order, then those of the long one."""


def make() -> torch.nn.Module:
    """(n, 3, 768, 1024) colours, 0 to 1 -> (n, OUTPUTS) mV."""
    import torch

    layers: list[torch.nn.Module] = []
    channels = 3
    for k, features in enumerate(STAGES):
        size = 5 if k == 0 else 3
        for stride in (2, 1) if k else (2,):
            layers += [
                torch.nn.Conv2d(channels, features, size, stride, padding=size // 2, bias=False),
                torch.nn.BatchNorm2d(features),
                torch.nn.ReLU(inplace=True),
            ]
            channels = features
    n_rows, n_cols = (n // 2 ** len(STAGES) for n in SHAPE)
    return torch.nn.Sequential(
        *layers,
        torch.nn.AvgPool2d((n_rows // PLACES[0], n_cols // PLACES[1])),
        torch.nn.Flatten(),
        torch.nn.Linear(channels * PLACES[0] * PLACES[1], HIDDEN),
        torch.nn.ReLU(inplace=True),
        torch.nn.Linear(HIDDEN, OUTPUTS),
    )


def loss(answer: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
    """Mean absolute and squared error where something is printed, mV; the share of power that is left."""
    import torch

    known = torch.isfinite(truth)
    error = torch.where(known, answer - torch.nan_to_num(truth), torch.zeros_like(answer))
    n = known.sum().clamp_min(1)
    whole = (error.abs().sum() + 2.0 * error.square().sum()) / n
    with torch.no_grad():
        share = float(error.square().sum() / torch.nan_to_num(truth).square().sum().clamp_min(1e-6))
    return whole, {"loss": float(whole.detach()), "error": share}


def batches(stems: list[Path], rng: np.random.Generator, size: int) -> Iterator[Batch]:
    """Endless batches of rendered pages and what they show."""
    while True:
        pages = [draw(stems, rng) for _ in range(size)]
        yield np.stack([x for x, _ in pages]), np.stack([y for _, y in pages])


def draw(stems: list[Path], rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A page as the network sees it, and the samples that are printed on it."""
    seed = int(rng.integers(2**31))
    if stems and rng.random() < 0.6:
        signals, fs = read_signals(stems[int(rng.integers(len(stems)))])
    else:
        ecg = generate_ecg(seed)
        signals, fs = ecg.signals, ecg.fs
    profile = str(rng.choice(PROFILES))
    style = sample_style(rng, profile, dpi=DPI, layout=LAYOUT)
    # The contest's pages: the standard speed and gain, columns one after the other.
    sheet = replace(
        style.sheet,
        speed_mm_s=PAPER_SPEED_MM_S,
        gain_mm_mv=GAIN_MM_MV,
        sequential=True,
        block_width_mm=BLOCK_MM,
    )
    page = render_page(signals, fs, seed=seed, style=replace(style, sheet=sheet))
    return as_seen(page.image), printed_samples(page.signals, page.fs)


def as_seen(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(3, 768, 1024) of a page (rows, cols, 3): scaled to that, whatever its proportions."""
    small = cv2.resize(image, SHAPE[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(small.transpose(2, 0, 1), np.float32) / 255.0


def places_s() -> dict[str, tuple[float, float]]:
    """First second and length of every lead in the record."""
    out = {lead: (j * SHORT_S, SHORT_S) for row in LAYOUT.rows for j, lead in enumerate(row)}
    return out | {LONG_LEAD: (0.0, LONG_S)}


def order() -> list[str]:
    """Leads in the order of the answer."""
    return [lead for lead in LEADS if lead != LONG_LEAD] + [LONG_LEAD]


def printed_samples(signals: NDArray[np.floating], fs: int) -> NDArray[np.float32]:
    """(OUTPUTS,) mV of what a page shows, NaN where it shows nothing.

    Args:
        signals: (12, N) mV, NaN where not printed.
    """
    parts = []
    for lead in order():
        start_s, length_s = places_s()[lead]
        first, n = round(start_s * fs), round(length_s * fs)
        part = np.asarray(signals[LEADS.index(lead), first : first + n], float)
        part = np.pad(part, (0, n - part.size), constant_values=np.nan)
        known = np.isfinite(part)
        if not known.any():
            parts.append(np.full(round(length_s * FS_HZ), np.nan))
            continue
        filled = np.interp(np.arange(n), np.flatnonzero(known), part[known])
        sampled = resample_poly(filled, FS_HZ, fs)[: round(length_s * FS_HZ)]
        at = np.minimum((np.arange(sampled.size) * fs / FS_HZ).astype(int), n - 1)
        parts.append(np.where(known[at], sampled, np.nan))
    return np.concatenate(parts).astype(np.float32)


def as_signals(samples: NDArray[np.float32], fs: int) -> NDArray[np.float64]:
    """(12, N) mV at fs of an answer, every lead at its time and NaN elsewhere."""
    signals = np.full((len(LEADS), round(LONG_S * fs)), np.nan)
    first = 0
    for lead in order():
        start_s, length_s = places_s()[lead]
        n = round(length_s * FS_HZ)
        part, first = samples[first : first + n], first + n
        at = np.arange(round(length_s * fs)) / fs * FS_HZ
        start = round(start_s * fs)
        signals[LEADS.index(lead), start : start + at.size] = np.interp(at, np.arange(n), part)
    return signals


WHOLE_PAGE = Peer(
    "taylorsamarel-v2", make, batches, loss, batch_size=6, learning_rate=1e-3, channels=3,
    normalization="divide by 255", outputs=f"mV at {FS_HZ} Hz: {', '.join(order())}", shape=SHAPE,
)  # fmt: skip
