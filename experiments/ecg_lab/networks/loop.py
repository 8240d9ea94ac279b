"""One loop that trains the networks of other systems: batches enter, a run folder leaves.

The folder holds `checkpoint.pth`, from which the same command goes on, `settings.json` and `log.csv`.
Pages are rendered in the process that trains: these networks are small, and a core is all that they ask for.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ecg_hough.datasets.split import patients_of, split_records, trained_names
from ecg_hough.training.schedule import append_row, average_decay, rate_share

if TYPE_CHECKING:
    import torch

WARMUP_STEPS = 100
CHECKPOINT = "checkpoint.pth"

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Inputs (n, channels, rows, cols) and what the network should answer."""
Loss = Callable[["torch.Tensor", "torch.Tensor"], tuple["torch.Tensor", dict[str, float]]]


@dataclass(frozen=True)
class Peer:
    """A network that is trained here.

    Attributes:
        name: of the method that runs it, and of the weights.
        make: a new network.
        batches: (records, generator, batch size) -> endless batches; records may be [].
        loss: (answer, truth) -> loss, and figures for the log; "error" is least for the best weights.
        batch_size, learning_rate: what it is trained with unless told otherwise.
        channels: of the input; normalization: of the page, in words; outputs: what it answers, in words.
        stride: rows and columns of an input must be multiples of it; shape: what they are, where they are
            fixed.
    """

    name: str
    make: Callable[[], torch.nn.Module]
    batches: Callable[[list[Path], np.random.Generator, int], Iterator[Batch]]
    loss: Loss
    batch_size: int
    learning_rate: float
    channels: int
    normalization: str
    outputs: str
    stride: int = 1
    shape: tuple[int, int] | None = None


@dataclass(frozen=True)
class PeerSettings:
    """How a network is trained, and how long.

    Attributes:
        steps: of the whole run; the learning rate is flat for 60 % of them and then falls.
        batch_size, learning_rate: None takes the network's own.
        ema: decay of the averaged weights, which are what is validated and exported.
        seed: of the first weights and of the pages.
        max_minutes: pause after that time; save_minutes: between checkpoints.
        threads: of torch and OpenCV.
        validation_batches: fixed ones, of records that are not trained on.
    """

    steps: int = 4000
    batch_size: int | None = None
    learning_rate: float | None = None
    ema: float = 0.995
    seed: int = 0
    max_minutes: float | None = None
    save_minutes: float = 4.0
    threads: int = 1
    validation_batches: int = 8


def train_peer(
    peer: Peer,
    settings: PeerSettings,
    *,
    records: Path | None,
    out: Path,
    on_step: Callable[[int, int, dict[str, float]], None] | None = None,
) -> Path:
    """Train a network, or go on from its last checkpoint; returns the run folder.

    Args:
        records: WFDB folder, held-out records excepted; generated ECGs alone where None.
        out: run folder; on_step: called with (step, steps, figures).
    """
    import torch

    out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(settings.threads)
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    stems, held_out = split_records(records) if records is not None else ([], [])
    run = _Run(peer, settings)
    if (out / CHECKPOINT).is_file():
        run.load(out / CHECKPOINT)
    names = trained_names(patients_of(stems, records)) if records is not None else {}
    kept = {"peer": peer.name, **asdict(settings), "records": len(stems), **names}
    (out / "settings.json").write_text(json.dumps(kept, indent=1))
    size = settings.batch_size or peer.batch_size
    shown = peer.batches(held_out or stems, np.random.default_rng(1), size)
    validation = [next(shown) for _ in range(settings.validation_batches)]
    started = saved = time.monotonic()
    recent: list[dict[str, float]] = []
    # The seed moves with the step, so that a resumed run does not see the first pages again.
    for batch in peer.batches(stems, np.random.default_rng([settings.seed, run.step]), size):
        recent.append(run.take_step(batch))
        if on_step is not None:
            on_step(run.step, settings.steps, recent[-1])
        minutes = (time.monotonic() - started) / 60
        over = settings.max_minutes is not None and minutes > settings.max_minutes
        last = over or run.step >= settings.steps
        if last or time.monotonic() - saved > 60 * settings.save_minutes:
            run.minutes += (time.monotonic() - saved) / 60
            run.save(out / CHECKPOINT)
            means = {f"train_{k}": float(np.mean([r[k] for r in recent])) for k in recent[-1]}
            found = {f"val_{k}": v for k, v in run.validate(validation).items()}
            append_row(
                out / "log.csv", {"step": run.step, "minutes": round(run.minutes, 1), **means, **found}
            )
            recent, saved = [], time.monotonic()
        if last:
            return out
    return out


class _Run:
    """The network in training: its weights, their average, the optimizer, steps and minutes done."""

    def __init__(self, peer: Peer, settings: PeerSettings) -> None:
        import torch

        self.peer, self.settings = peer, settings
        self.rate = settings.learning_rate or peer.learning_rate
        self.network = peer.make()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), self.rate, weight_decay=1e-4)
        self.average = deepcopy(self.network.state_dict())
        self.step, self.minutes = 0, 0.0

    def load(self, path: Path) -> None:
        import torch

        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step, self.minutes = state["average"], state["step"], state["minutes"]

    def save(self, path: Path) -> None:
        import torch

        part = path.with_suffix(".part")
        state: dict[str, Any] = {
            "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(),
            "average": self.average, "step": self.step, "minutes": self.minutes,
        }  # fmt: skip
        torch.save(state, part)
        os.replace(part, path)

    def take_step(self, batch: Batch) -> dict[str, float]:
        import torch

        warm = min(1.0, (self.step + 1) / WARMUP_STEPS)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * warm * rate_share(self.step / self.settings.steps)
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16):
            answer = self.network(torch.from_numpy(batch[0]))
        loss, figures = self.peer.loss(answer.float(), torch.from_numpy(batch[1]))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - average_decay(self.settings.ema, self.step))
                else:
                    self.average[name].copy_(value)
        return figures

    def validate(self, batches: list[Batch]) -> dict[str, float]:
        """Mean figures of the averaged weights."""
        import torch

        network = self.peer.make()
        network.load_state_dict(self.average)
        network.eval()
        with torch.no_grad():
            figures = [
                self.peer.loss(network(torch.from_numpy(x)), torch.from_numpy(y))[1] for x, y in batches
            ]
        return {name: float(np.mean([each[name] for each in figures])) for name in figures[0]}
