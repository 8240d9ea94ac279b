"""Train the trace network: for every column of a strip a distribution over its rows.

In: records (through `trace_data`). Out: a run folder with `checkpoint.pth` (resumable), `log.csv` and
the validation strips' error. nnU-Net's 2-D architecture with our loss; nnU-Net's trainer is not used,
because targets are sub-pixel rows, not label maps, and crops are rendered on the fly.
"""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ecg_hough.datasets.split import patients_of, split_records, trained_names
from ecg_hough.traces.distribution import TARGET_SIGMA_PX
from ecg_hough.training.exported import load_exported
from ecg_hough.training.row_truth import NO_TRACE
from ecg_hough.training.schedule import append_row, average_decay, rate_share
from ecg_hough.training.trace_data import Corrected, batches, crops_of, render_for_traces
from ecg_hough.training.trace_network import FEATURES, MEAN_WEIGHT, make_network, output_target, trace_loss

WARMUP_STEPS, WARMUP_SHARE = 200, 0.1
"""Steps in which the learning rate rises, at most this share of a run."""
CHECKPOINT = "checkpoint.pth"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TraceTrainSettings:
    """How the trace network is trained, and how long.

    The learning rate is flat for 60% of the steps and then falls linearly, so that a run can be
    prolonged from its flat part.

    Attributes:
        steps: of the whole run.
        batch_size: crops a step.
        learning_rate: of the flat part.
        ema: decay of the averaged weights, which are what is validated and exported.
        seed: of the first weights and of the pages.
        max_minutes: pause after that time; save_minutes: between checkpoints.
        workers: processes that render pages.
        threads: of torch; None takes all cores.
        fresh: begin again even if there is a checkpoint.
        start_from: exported weights (ONNX), where the run has no checkpoint yet.
        corrected: pages that people corrected, among those that are rendered; None renders all.
    """

    steps: int = 20_000
    batch_size: int = 6
    learning_rate: float = 1.5e-3
    ema: float = 0.998
    seed: int = 0
    max_minutes: float | None = None
    save_minutes: float = 3.0
    workers: int = 1
    threads: int | None = None
    fresh: bool = False
    start_from: Path | None = None
    corrected: Corrected | None = None


def train_traces(
    settings: TraceTrainSettings,
    *,
    records: Path | None,
    out: Path = Path("runs/traces"),
    on_step: Any = None,
) -> Path:
    """Train, or go on from the last checkpoint; returns the run folder.

    Args:
        settings: how it is trained, and how long.
        records: WFDB folder, held-out records excepted; generated ECGs alone where None.
        on_step: called with (step, steps, figures).
    Raises:
        ValueError: `start_from` is no network of this shape.
    """
    out.mkdir(parents=True, exist_ok=True)
    stems, held_out = split_records(records) if records is not None else ([], [])
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    training, began_with = _begin(settings, out)
    _write_settings(out, settings, began_with, stems, records)
    validation = validation_crops(held_out or stems, seed=1)
    started, saved = time.monotonic(), time.monotonic()
    recent: list[dict[str, float]] = []
    # The worker's seed moves with the step, so that a resumed run does not see the first pages again.
    seed = settings.seed + 7919 * (training.step + 1)
    stream = batches(
        stems, seed=seed, batch_size=settings.batch_size, workers=settings.workers,
        corrected=settings.corrected,
    )  # fmt: skip
    for crops, targets in stream:
        recent.append(training.take_step(crops, targets))
        if on_step is not None:
            on_step(training.step, settings.steps, recent[-1])
        minutes = (time.monotonic() - started) / 60
        over = settings.max_minutes is not None and minutes > settings.max_minutes
        last = over or training.step >= settings.steps
        if last or time.monotonic() - saved > 60 * settings.save_minutes:
            training.save(out / CHECKPOINT)
            _log_row(out / "log.csv", training, minutes, recent, validate(training.average, validation))
            recent.clear()
            saved = time.monotonic()
        if last:
            break
    stream.close()  # type: ignore[attr-defined]
    return out


def _begin(settings: TraceTrainSettings, out: Path) -> tuple[_Training, str | None]:
    """A new training or that of the last checkpoint, and the name of the weights it started from."""
    if settings.fresh or not (out / CHECKPOINT).is_file():
        start_from = settings.start_from
        return _Training(settings, start_from), None if start_from is None else start_from.name
    training = _Training(settings, None)
    training.load(out / CHECKPOINT)
    log.info("going on from step %d", training.step)
    return training, json.loads((out / "settings.json").read_text()).get("start_from")


class _Training:
    """The network in training: its weights, their average, the optimizer and the number of steps."""

    def __init__(self, settings: TraceTrainSettings, start_from: Path | None) -> None:
        self.settings = settings
        self.network = make_network()
        if start_from is not None:
            load_exported(self.network, start_from)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=1e-4, betas=(0.9, 0.98)
        )
        self.average = deepcopy(self.network.state_dict())
        self.step = 0

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step = state["average"], state["step"]

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        part = path.with_suffix(".part")
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "step": self.step,
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, part)
        os.replace(part, path)

    @property
    def rate(self) -> float:
        """Learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def take_step(self, crops: NDArray[np.uint8], targets: NDArray[np.float32]) -> dict[str, float]:
        """One step on a batch; returns the figures of `trace_loss`."""
        steps = self.settings.steps
        warm = min(1.0, (self.step + 1) / max(1.0, min(WARMUP_STEPS, WARMUP_SHARE * steps)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * warm * rate_share(self.step / steps)
        x = torch.from_numpy(crops).float() / 255.0
        with autocast():
            logits = self.network(x)
        loss, figures = trace_loss(logits.float(), output_target(torch.from_numpy(targets)))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        self.step += 1
        decay = average_decay(self.settings.ema, self.step)
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
        return figures


def autocast() -> AbstractContextManager[Any]:
    """bfloat16 where the processor has it; others emulate it, 20 times as slow as single precision."""
    has_it = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast("cpu", torch.bfloat16) if has_it else nullcontext()


def _write_settings(
    out: Path, settings: TraceTrainSettings, began_with: str | None, stems: list[Path], records: Path | None
) -> None:
    """Keep with the run what its card states."""
    names = trained_names(patients_of(stems, records)) if records is not None else {}
    kept = {
        "steps": settings.steps,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "ema": settings.ema,
        "seed": settings.seed,
        "features": FEATURES,
        "sigma_px": TARGET_SIGMA_PX,
        "mean_weight": MEAN_WEIGHT,
        "records": len(stems),
        "start_from": began_with,
        "corrected_pages": 0 if settings.corrected is None else len(settings.corrected.pages),
        "corrected_share": 0.0 if settings.corrected is None else settings.corrected.share,
        **names,
    }
    (out / "settings.json").write_text(json.dumps(kept, indent=1))


def _log_row(
    path: Path,
    training: _Training,
    minutes: float,
    recent: list[dict[str, float]],
    validated: dict[str, float],
) -> None:
    """Add the means since the last row, and the validation's figures."""
    row = {
        "step": training.step,
        "minutes": round(minutes, 1),
        "lr": training.rate,
        **{f"train_{k}": float(np.mean([r[k] for r in recent])) for k in recent[-1]},
        **{f"val_{k}": v for k, v in validated.items()},
    }
    append_row(path, row)
    log.info("%s", row)


def validation_crops(stems: list[Path], *, seed: int, pages: int = 12) -> list[tuple[NDArray, NDArray]]:
    """Fixed crops of records that are not trained on."""
    rng = np.random.default_rng(seed)
    return [
        crop for _ in range(pages) for crop in crops_of(render_for_traces(stems, rng, generated=0.0), 4, rng)
    ]


def validate(weights: dict[str, Any], crops: list[tuple[NDArray, NDArray]]) -> dict[str, float]:
    """Mean figures of `trace_loss`, and the signal-to-noise ratio of rows about their mean, dB."""
    network = make_network()
    network.load_state_dict(weights)
    network.eval()
    totals: list[dict[str, float]] = []
    with torch.no_grad():
        for start in range(0, len(crops), 6):
            part = crops[start : start + 6]
            x = torch.from_numpy(np.stack([c for c, _ in part])).float() / 255.0
            target = output_target(torch.from_numpy(np.stack([t for _, t in part])))
            with autocast():
                logits = network(x)
            logits = logits.float()
            _, figures = trace_loss(logits, target)
            rows = torch.arange(logits.shape[2], dtype=torch.float32).view(1, 1, -1, 1)
            mean = (torch.softmax(logits, dim=2) * rows).sum(2)
            ratios = []
            for m, t in zip(mean, target, strict=True):
                has = t > NO_TRACE + 0.5
                if has.sum() > 40:
                    power = (t[has] - t[has].mean()).square().mean()
                    noise = (m[has] - t[has]).square().mean().clamp_min(1e-6)
                    ratios.append(10 * float(torch.log10(power.clamp_min(1e-6) / noise)))
            totals.append({**figures, "snr_db": float(np.mean(ratios)) if ratios else float("nan")})
    return {k: float(np.nanmean([t[k] for t in totals])) for k in totals[0]}
