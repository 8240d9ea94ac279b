"""Train the marks network: for every quarter millimetre of a row, which landmark is there and where exactly.

In: records (through `marks_data`). Out: a run folder with `checkpoint.pth` (resumable), `log.csv` and the
validation crops' error.
"""

from __future__ import annotations

import json
import logging
import multiprocessing as mp
import os
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from ecg_hough.datasets.split import patients_of, split_records, trained_names
from ecg_hough.networks.marks_net import CELL_PX
from ecg_hough.training.exported import load_exported
from ecg_hough.training.marks_data import CROPS_PER_PAGE, Crop, crops_of, render_for_marks
from ecg_hough.training.marks_network import FEATURES, MarksNetwork, marks_loss, targets_of
from ecg_hough.training.schedule import append_row, average_decay, rate_share

WARMUP_STEPS = 100
CHECKPOINT = "checkpoint.pth"
BUFFER = 600
"""Crops that are mixed before they are shown."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MarksTrainSettings:
    """How the marks network is trained, and how long.

    Attributes:
        steps: of the whole run; batch_size: crops a step; learning_rate: of the flat part.
        ema: decay of the averaged weights, which are what is validated and exported.
        seed: of the first weights and of the pages.
        max_minutes: pause after that time; save_minutes: between checkpoints.
        threads: of torch; None takes all cores.
        start_from: exported weights (ONNX), where the run has no checkpoint yet.
    """

    steps: int = 8000
    batch_size: int = 12
    learning_rate: float = 1.5e-3
    ema: float = 0.998
    seed: int = 0
    max_minutes: float | None = None
    save_minutes: float = 3.0
    threads: int | None = None
    start_from: Path | None = None


def train_marks(
    settings: MarksTrainSettings,
    *,
    records: Path | None,
    out: Path = Path("runs/marks"),
    on_step: Callable[[int, int, dict[str, float]], None] | None = None,
) -> Path:
    """Train, or go on from the last checkpoint; returns the run folder.

    Args:
        records: WFDB folder, held-out records excepted; generated ECGs alone where None.
        on_step: called with step, steps and the figures of the loss.
    """
    out.mkdir(parents=True, exist_ok=True)
    stems, held_out = split_records(records) if records is not None else ([], [])
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    network = MarksNetwork()
    if settings.start_from is not None:
        load_exported(network, settings.start_from)
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=1e-4)
    average, step = deepcopy(network.state_dict()), 0
    if (out / CHECKPOINT).is_file():
        state = torch.load(out / CHECKPOINT, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        average, step = state["average"], state["step"]
    names = trained_names(patients_of(stems, records)) if records is not None else {}
    began_with = settings.start_from and settings.start_from.name
    kept = {"task": "marks", **asdict(settings), "start_from": began_with, "features": FEATURES,
            "records": len(stems), **names}  # fmt: skip
    (out / "settings.json").write_text(json.dumps(kept, indent=1))
    validation = validation_crops(held_out or stems)
    started = saved = time.monotonic()
    recent: list[dict[str, float]] = []
    # The worker's seed moves with the step, so that a resumed run does not see the first pages again.
    stream = batches(stems, seed=settings.seed + 7919 * (step + 1), batch_size=settings.batch_size)
    for crops in stream:
        rate = (
            settings.learning_rate * min(1.0, (step + 1) / WARMUP_STEPS) * rate_share(step / settings.steps)
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, figures = _loss_of(network, crops)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            for name, value in network.state_dict().items():
                average[name].lerp_(value, 1 - average_decay(settings.ema, step))
        recent.append(figures)
        if on_step is not None:
            on_step(step, settings.steps, figures)
        minutes = (time.monotonic() - started) / 60
        last = step >= settings.steps or (settings.max_minutes is not None and minutes > settings.max_minutes)
        if last or time.monotonic() - saved > 60 * settings.save_minutes:
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(),
                     "average": average, "step": step}  # fmt: skip
            torch.save(state, out / "checkpoint.part")
            os.replace(out / "checkpoint.part", out / CHECKPOINT)
            means = {f"train_{k}": float(np.mean([r[k] for r in recent])) for k in figures}
            validated = {f"val_{k}": v for k, v in validate(average, validation).items()}
            append_row(out / "log.csv", {"step": step, "minutes": round(minutes, 1), **means, **validated})
            recent, saved = [], time.monotonic()
        if last:
            break
    stream.close()  # type: ignore[attr-defined]
    return out


def _loss_of(network: torch.nn.Module, crops: list[Crop]) -> tuple[torch.Tensor, dict[str, float]]:
    x = torch.from_numpy(np.stack([crop.channels for crop in crops])).float() / 255.0
    targets = targets_of([crop.marks for crop in crops], x.shape[3] // CELL_PX)
    return marks_loss(network(x), *targets)


def validation_crops(stems: list[Path], *, seed: int = 1, pages: int = 16) -> list[Crop]:
    """Fixed crops of records that are not trained on."""
    rng = np.random.default_rng(seed)
    share = 0.0 if stems else 1.0
    return [
        crop for _ in range(pages) for crop in crops_of(render_for_marks(stems, rng, generated=share), 4, rng)
    ]


def validate(weights: dict[str, torch.Tensor], crops: list[Crop]) -> dict[str, float]:
    """Mean figures of `marks_loss`."""
    network = MarksNetwork()
    network.load_state_dict(weights)
    network.eval()
    with torch.no_grad():
        figures = [_loss_of(network, crops[k : k + 8])[1] for k in range(0, len(crops), 8)]
    return {name: float(np.mean([each[name] for each in figures])) for name in figures[0]}


def _work(stems: list[Path], seed: int, batch_size: int, queue: mp.Queue) -> None:
    """Endless batches from a buffer that mixes many pages."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    buffer: list[Crop] = []
    size = 48  # start early, mix better later
    while True:
        while len(buffer) < size:
            buffer.extend(crops_of(render_for_marks(stems, rng), CROPS_PER_PAGE, rng))
        size = min(BUFFER, size + 8)
        queue.put([buffer.pop(int(rng.integers(len(buffer)))) for _ in range(batch_size)])


def batches(stems: list[Path], *, seed: int, batch_size: int) -> Iterator[list[Crop]]:
    """Endless batches, rendered by a worker process."""
    context = mp.get_context("spawn")
    queue: mp.Queue = context.Queue(maxsize=8)
    process = context.Process(target=_work, args=(stems, seed, batch_size, queue), daemon=True)
    process.start()
    try:
        while True:
            yield queue.get()
    finally:
        process.terminate()
