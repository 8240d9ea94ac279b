"""Train the marks network: for every quarter millimetre of a row, whether a landmark is there and where exactly.

In: records (through `marks_data`). Out: a run folder with `checkpoint.pth` (resumable) and `log.csv`.
"""

from __future__ import annotations

import csv
import multiprocessing as mp
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.datasets.split import split_records
from ecg_hough.networks.marks_net import CELL_PX, KINDS
from ecg_hough.training.marks_data import CROPS_PER_PAGE, crops_of, render_for_marks

if TYPE_CHECKING:
    import torch

SIGMA_CELLS = 0.7
"""Width of the bells that the network is taught, in outputs."""
NEAR_CELLS = 2.5
"""Within this of a landmark its distance is asked."""
SAVE_S = 180.0


def make_network() -> torch.nn.Module:
    """(n, 5, 160, cols) -> (n, 2 * kinds, cols / CELL_PX): logits, then distances to the landmark in outputs."""
    import torch
    from torch import nn

    def block(a: int, b: int, stride: tuple[int, int]) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(a, b, 3, stride, 1), nn.InstanceNorm2d(b, affine=True), nn.LeakyReLU(inplace=True),
            nn.Conv2d(b, b, 3, 1, 1), nn.InstanceNorm2d(b, affine=True), nn.LeakyReLU(inplace=True),
        )  # fmt: skip

    class Marks(nn.Module):
        """Rows are folded into channels on the way down; only columns come back."""

        def __init__(self) -> None:
            super().__init__()
            widths, heights = (16, 24, 40, 64, 96), (80, 40, 20, 10, 5)
            strides = ((2, 2), (2, 1), (2, 2), (2, 2), (2, 2))
            ins = (5, *widths[:-1])
            self.down = nn.ModuleList(block(a, b, s) for a, b, s in zip(ins, widths, strides, strict=True))
            flat = 64
            self.flat = nn.ModuleList(nn.Conv1d(w * h, flat, 1) for w, h in zip(widths, heights, strict=True))
            self.up = nn.ModuleList(
                nn.Sequential(
                    nn.Conv1d(2 * flat, flat, 5, 1, 2), nn.InstanceNorm1d(flat, affine=True),
                    nn.LeakyReLU(inplace=True), nn.Conv1d(flat, flat, 5, 1, 2),
                    nn.InstanceNorm1d(flat, affine=True), nn.LeakyReLU(inplace=True),
                )
                for _ in range(3)
            )  # fmt: skip
            self.out = nn.Conv1d(flat, 2 * len(KINDS), 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = []
            for down, flat in zip(self.down, self.flat, strict=True):
                x = down(x)
                seen.append(flat(x.flatten(1, 2)))
            y, fine = seen[4], [seen[3], seen[2], seen[0] + seen[1]]
            for up, skip in zip(self.up, fine, strict=True):
                y = nn.functional.interpolate(y, scale_factor=2.0, mode="linear", align_corners=False)
                y = up(torch.cat([y, skip], dim=1))
            return self.out(y)

    return Marks()


def targets_of(marks: list[NDArray[np.float32]], n_out: int) -> tuple[NDArray[np.float32], ...]:
    """Heat (n, kinds, n_out), distance in outputs, and where it is asked."""
    at = np.arange(n_out, dtype=np.float32)
    heat = np.zeros((len(marks), len(KINDS), n_out), np.float32)
    off, asked = np.zeros_like(heat), np.zeros_like(heat)
    for n, rows in enumerate(marks):
        for kind, column in rows:
            place = (column + 0.5) / CELL_PX - 0.5
            d, k = place - at, int(kind)
            nearer = (np.abs(d) <= NEAR_CELLS) & ((asked[n, k] == 0) | (np.abs(d) < np.abs(off[n, k])))
            off[n, k][nearer] = d[nearer]
            asked[n, k][nearer] = 1.0
            heat[n, k] = np.maximum(heat[n, k], np.exp(-0.5 * (d / SIGMA_CELLS) ** 2))
    return heat, off, asked


def _work(stems: list[Path], seed: int, batch_size: int, queue: mp.Queue) -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    buffer: list = []
    size = 48
    while True:
        while len(buffer) < size:
            buffer.extend(crops_of(render_for_marks(stems, rng), CROPS_PER_PAGE, rng))
        size = min(600, size + 8)
        chosen = [buffer.pop(int(rng.integers(len(buffer)))) for _ in range(batch_size)]
        queue.put((np.stack([c for c, _ in chosen]), [m for _, m in chosen]))


def batches(stems: list[Path], *, seed: int, batch_size: int) -> Iterator[tuple]:
    context = mp.get_context("spawn")
    queue: mp.Queue = context.Queue(maxsize=8)
    process = context.Process(target=_work, args=(stems, seed, batch_size, queue), daemon=True)
    process.start()
    try:
        while True:
            yield queue.get()
    finally:
        process.terminate()


def loss_of(out: torch.Tensor, heat: torch.Tensor, off: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """Focal cross-entropy of the heat (Zhou et al. 2019, Objects as Points) and smooth L1 of the distance."""
    import torch
    import torch.nn.functional as F

    logits, distance = out.chunk(2, dim=1)
    p = torch.sigmoid(logits)
    cross = F.binary_cross_entropy_with_logits(logits, heat, reduction="none")
    focus = (heat - p).abs() ** 1.5
    n = asked.sum().clamp_min(1.0)
    error = F.smooth_l1_loss(distance, off, reduction="none", beta=0.3) * asked
    return 4.0 * (cross * focus).sum() / n + 2.0 * error.sum() / n


def train_marks(
    *, records: Path | None, out: Path, steps: int, batch_size: int = 12, rate: float = 1.5e-3, threads: int = 1,
    seed: int = 1, minutes: float | None = None,
) -> None:  # fmt: skip
    """Train, or go on where the run folder has a checkpoint."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    stems = split_records(records)[0] if records is not None else []
    network = make_network()
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4)
    average = {k: v.clone() for k, v in network.state_dict().items()}
    out.mkdir(parents=True, exist_ok=True)
    path, step = out / "checkpoint.pth", 0
    if path.is_file():
        saved = torch.load(path, weights_only=True)
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        average, step = saved["average"], saved["step"]
    network.train()
    stream, last, losses = batches(stems, seed=seed * 1009 + step, batch_size=batch_size), time.time(), []
    began = time.time()
    while step < steps:
        share = step / steps if minutes is None else min(1.0, (time.time() - began) / 60 / minutes)
        if share >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 100) * (1 - share) ** 0.9
        pixels, marks = next(stream)
        x = torch.from_numpy(pixels).float() / 255
        heat, off, asked = (torch.from_numpy(v) for v in targets_of(marks, pixels.shape[3] // CELL_PX))
        loss = loss_of(network(x), heat, off, asked)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        step += 1
        decay = min(0.998, step / (step + 10))
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - decay)
        losses.append(float(loss))
        if step % 50 == 0:
            with (out / "log.csv").open("a", newline="") as file:
                csv.writer(file).writerow(
                    [step, round(float(np.mean(losses)), 4), round(time.time() - last, 1)]
                )
            losses = []
        if time.time() - last > SAVE_S or step == steps or share > 0.995:
            saved = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "average": average,
                     "step": step}  # fmt: skip
            torch.save(saved, path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)
            last = time.time()


if __name__ == "__main__":
    import sys

    train_marks(records=Path(sys.argv[1]), out=Path(sys.argv[2]), steps=1_000_000, minutes=float(sys.argv[3]))
