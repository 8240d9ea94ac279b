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
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.datasets.split import patients_of, split_records, trained_names
from ecg_hough.traces.distribution import READOUTS_PER_COLUMN, TARGET_SIGMA_PX
from ecg_hough.training.schedule import append_row, average_decay, rate_share
from ecg_hough.training.trace_data import (
    IGNORED,
    NO_TRACE,
    batches,
    crops_of,
    render_for_traces,
)

if TYPE_CHECKING:
    import torch

MEAN_WEIGHT = 0.15
"""Weight of the read-out's own error (smooth L1, rows) beside the distribution's cross-entropy."""
FEATURES = (32, 48, 64, 96, 128, 128)
CHANNELS = 5
STRIDE = 2
"""The network's first stride: half resolution costs a quarter, and rows are read between pixels anyway.
Along time nothing is lost: every output column carries the read-outs of both its strip columns."""
OUTPUTS = READOUTS_PER_COLUMN * STRIDE
WARMUP_STEPS = 200

log = logging.getLogger(__name__)


def make_network(features: tuple[int, ...] = FEATURES) -> torch.nn.Module:
    """nnU-Net's plain U-Net: (n, 5, rows, cols) -> (n, OUTPUTS, rows / 2, cols / 2) logits."""
    import torch
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    n = len(features)
    return PlainConvUNet(
        input_channels=CHANNELS,
        n_stages=n,
        features_per_stage=features,
        conv_op=torch.nn.Conv2d,
        kernel_sizes=3,
        strides=[STRIDE] + [2] * (n - 1),
        n_conv_per_stage=2,
        num_classes=OUTPUTS,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=torch.nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=False,
    )


def output_target(target: torch.Tensor) -> torch.Tensor:
    """(n, 2, cols) rows in strip px -> (n, OUTPUTS, cols / STRIDE) rows of the network's output."""
    import torch

    n, _, cols = target.shape
    paired = target.permute(0, 2, 1).reshape(n, cols // STRIDE, OUTPUTS).permute(0, 2, 1)
    return torch.where(paired >= 0, (paired + 0.5) / STRIDE - 0.5, paired).contiguous()


def trace_loss(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
    """Cross-entropy of the column's distribution plus the error of its mean.

    Args:
        logits: (n, OUTPUTS, rows, cols); a further class "no trace" has logit 0.
        target: (n, OUTPUTS, cols) from `output_target`.
    """
    import torch
    import torch.nn.functional as F

    n_rows = logits.shape[2]
    rows = torch.arange(n_rows, dtype=torch.float32).view(1, 1, -1, 1)
    full = torch.cat([logits, torch.zeros_like(logits[:, :, :1])], dim=2)
    log_p = F.log_softmax(full, dim=2)
    has = target > NO_TRACE + 0.5
    asked = target > IGNORED + 0.5
    bell = torch.exp(-0.5 * ((rows - target[:, :, None]) / TARGET_SIGMA_PX) ** 2)
    bell = bell / bell.sum(2, keepdim=True).clamp_min(1e-6)
    on_row = -(bell * log_p[:, :, :n_rows]).sum(2)
    entropy = torch.where(has, on_row, -log_p[:, :, n_rows])[asked].mean()
    mean = (torch.softmax(logits, dim=2) * rows).sum(2)
    error = F.smooth_l1_loss(mean[has], target[has], beta=1.0)
    with torch.no_grad():
        found = log_p[:, :, n_rows] < np.log(0.5)
        figures = {
            "cross_entropy": float(entropy),
            "rmse_px": float((mean[has] - target[has]).square().mean().sqrt()),
            "presence_error": float((found[asked] != has[asked]).float().mean()),
        }
    return entropy + MEAN_WEIGHT * error, figures


def train_traces(
    *,
    records: Path | None,
    out: Path = Path("runs/traces"),
    steps: int = 20_000,
    batch_size: int = 6,
    learning_rate: float = 1.5e-3,
    ema: float = 0.998,
    seed: int = 0,
    max_minutes: float | None = None,
    save_minutes: float = 3.0,
    workers: int = 1,
    threads: int | None = None,
    fresh: bool = False,
    start_from: Path | None = None,
    on_step: Any = None,
) -> Path:
    """Train, or go on from the last checkpoint; returns the run folder.

    The learning rate is flat for 60% of the steps and then falls linearly, so that a run can be
    prolonged from its flat part. Averaged weights are what is validated and exported.

    Args:
        records: WFDB folder, held-out records excepted; generated ECGs alone where None.
        steps: of the whole run; batch_size: crops a step; ema: decay of the averaged weights.
        threads: of torch; None takes all cores.
        start_from: exported weights (ONNX), where the run has no checkpoint yet.
        max_minutes: pause after that time; save_minutes: between checkpoints.
        on_step: called with (step, steps, figures).
    Raises:
        ValueError: `start_from` is no network of this shape.
    """
    import torch

    from ecg_hough.training.exported import load_exported

    out.mkdir(parents=True, exist_ok=True)
    training, held_out = split_records(records) if records is not None else ([], [])
    torch.manual_seed(seed)
    torch.set_num_threads(threads or os.cpu_count() or 1)
    network = make_network()
    checkpoint_path = out / "checkpoint.pth"
    goes_on = checkpoint_path.is_file() and not fresh
    if start_from is not None and not goes_on:
        load_exported(network, start_from)
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=1e-4, betas=(0.9, 0.98))
    average = deepcopy(network.state_dict())
    step = 0
    began_with = start_from.name if start_from is not None else None
    if goes_on:
        state = torch.load(checkpoint_path, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        average, step = state["average"], state["step"]
        log.info("going on from step %d", step)
        began_with = json.loads((out / "settings.json").read_text()).get("start_from")
    settings = {
        "steps": steps, "batch_size": batch_size, "learning_rate": learning_rate, "ema": ema, "seed": seed,
        "features": FEATURES, "sigma_px": TARGET_SIGMA_PX, "mean_weight": MEAN_WEIGHT,
        "records": len(training), "start_from": began_with,
        **(trained_names(patients_of(training, records)) if records is not None else {}),
    }  # fmt: skip
    (out / "settings.json").write_text(json.dumps(settings, indent=1))
    validation = validation_crops(held_out or training, seed=1)
    started, saved = time.monotonic(), time.monotonic()
    recent: list[dict[str, float]] = []
    # The worker's seed moves with the step, so that a resumed run does not see the first pages again.
    stream = batches(training, seed=seed + 7919 * (step + 1), batch_size=batch_size, workers=workers)

    def save() -> None:
        state = {"network": network.state_dict(), "average": average, "step": step,
                 "optimizer": optimizer.state_dict()}  # fmt: skip
        torch.save(state, out / "checkpoint.part")
        os.replace(out / "checkpoint.part", checkpoint_path)
        figures = validate(average, validation)
        row = {"step": step, "minutes": round((time.monotonic() - started) / 60, 1),
               "lr": optimizer.param_groups[0]["lr"],
               **{f"train_{k}": float(np.mean([r[k] for r in recent])) for k in recent[-1]},
               **{f"val_{k}": v for k, v in figures.items()}}  # fmt: skip
        append_row(out / "log.csv", row)
        recent.clear()
        log.info("%s", row)

    for crops, targets in stream:
        rate = learning_rate * min(1.0, (step + 1) / WARMUP_STEPS) * rate_share(step / steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        x = torch.from_numpy(crops).float() / 255.0
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(x)
        loss, figures = trace_loss(logits.float(), output_target(torch.from_numpy(targets)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        step += 1
        decay = average_decay(ema, step)
        with torch.no_grad():
            for name, value in network.state_dict().items():
                average[name].lerp_(value, 1 - decay)
        recent.append(figures)
        if on_step is not None:
            on_step(step, steps, figures)
        over = max_minutes is not None and time.monotonic() - started > 60 * max_minutes
        if over or step >= steps or time.monotonic() - saved > 60 * save_minutes:
            save()
            saved = time.monotonic()
        if over or step >= steps:
            break
    stream.close()  # type: ignore[attr-defined]
    return out


def validation_crops(stems: list[Path], *, seed: int, pages: int = 12) -> list[tuple[NDArray, NDArray]]:
    """Fixed crops of records that are not trained on."""
    rng = np.random.default_rng(seed)
    return [
        crop for _ in range(pages) for crop in crops_of(render_for_traces(stems, rng, generated=0.0), 4, rng)
    ]


def validate(weights: dict[str, Any], crops: list[tuple[NDArray, NDArray]]) -> dict[str, float]:
    """Mean figures of `trace_loss`, and the signal-to-noise ratio of rows about their mean, dB."""
    import torch

    network = make_network()
    network.load_state_dict(weights)
    network.eval()
    totals: list[dict[str, float]] = []
    with torch.no_grad():
        for start in range(0, len(crops), 6):
            part = crops[start : start + 6]
            x = torch.from_numpy(np.stack([c for c, _ in part])).float() / 255.0
            target = output_target(torch.from_numpy(np.stack([t for _, t in part])))
            with torch.autocast("cpu", torch.bfloat16):
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
