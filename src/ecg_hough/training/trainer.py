"""nnU-Net's trainer with what lead identity and a processor need.

Found by the name that the configuration gives it under "trainer". Everything tunable comes with the plans,
under "training" (see `nnunet_configs/`), so that a run folder states how it was made.
"""

from __future__ import annotations

import os
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.helpers.scalar_type import RandomScalar
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTansform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from ecg_hough.training.schedule import append_row, average_decay, rate_share

BACKGROUND_WEIGHT = 0.15
"""Weight of background pixels in the cross-entropy: they are 96% of a page and soon learned; the names of
leads are the hard part."""
WARMUP_EPOCHS = 1.0
SCALING = (0.85, 1.15)
"""Range of random scales where the configuration names none."""


class TrainingPaused(Exception):
    """The time allowed is over; the run goes on from its last checkpoint."""


class DiceAndCrossEntropy(torch.nn.Module):
    """nnU-Net's loss (soft Dice over the batch, background excepted, plus cross-entropy) from one softmax.

    nnU-Net's own takes as long on a processor as the network: three passes over 13 full-size maps.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scalar loss of (n, classes, rows, cols) logits and (n, 1, rows, cols) labels."""
        if target.shape[2:] != logits.shape[2:]:
            # A network that trains at half resolution: a stroke keeps its label where it covers any pixel.
            target = torch.nn.functional.max_pool2d(target.float(), target.shape[2] // logits.shape[2])
        target = target.long()
        log_p = torch.log_softmax(logits.float(), dim=1)
        of_target = log_p.gather(1, target)
        flat = target.flatten()
        hits = torch.zeros(self.n_classes, device=logits.device).index_add(0, flat, of_target.exp().flatten())
        predicted = log_p.exp().sum(dim=(0, 2, 3))
        true = torch.bincount(flat, minlength=self.n_classes).float()
        dice = (2 * hits + 1e-5) / (predicted + true + 1e-5)
        weight = torch.where(flat > 0, 1.0, BACKGROUND_WEIGHT)
        entropy = -(of_target.flatten() * weight).sum() / weight.sum()
        return entropy - dice[1:].mean()


class ScheduledTrainer(nnUNetTrainer):
    """nnU-Net's trainer with the schedule that the plans hold under "training".

    Attributes:
        max_minutes: the time allowed; a run that exceeds it pauses after its epoch. None: no limit.
        on_step: called with (epoch, step or None, loss).
    """

    current_epoch: int
    max_minutes: float | None = None
    on_step: Any = None

    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict,
                 device: torch.device = torch.device("cuda")) -> None:  # fmt: skip  # noqa: B008
        super().__init__(plans, configuration, fold, dataset_json, device)
        schedule = self.schedule
        self.num_epochs = int(schedule["epochs"])
        self.num_iterations_per_epoch = int(schedule["iterations_per_epoch"])
        self.num_val_iterations_per_epoch = int(schedule["validation_iterations"])
        self.initial_lr = float(schedule["learning_rate"])
        self.weight_decay = float(schedule["weight_decay"])
        self.started = time.monotonic()

    @property
    def schedule(self) -> dict[str, Any]:
        """Numbers of the plans."""
        numbers: dict[str, Any] = self.plans_manager.plans["training"]
        return numbers

    @property
    def is_over(self) -> bool:
        """Whether the time allowed is over before the last epoch is done."""
        over = self.max_minutes and time.monotonic() - self.started > 60 * self.max_minutes
        return bool(over) and self.current_epoch < self.num_epochs

    def save_interrupted(self) -> None:
        """Keep the weights of a run that is stopped within an epoch; it goes on with that epoch."""
        if not self.was_initialized or self.current_epoch == 0:
            return  # nothing worth keeping
        # A checkpoint notes the epoch after the current one.
        self.current_epoch -= 1
        self.save_checkpoint(os.path.join(self.output_folder, "checkpoint_latest.pth"))


class EcgHoughTrainer(ScheduledTrainer):
    """AdamW, averaged weights, bfloat16 on processors, no mirroring (it swaps leads).

    No deep supervision: it costs a third of a step and the skip connections train the depth here.
    """

    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict,
                 device: torch.device = torch.device("cuda")) -> None:  # fmt: skip  # noqa: B008
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.ema_decay = float(self.schedule["ema"])
        self.scaling = tuple(float(v) for v in self.schedule.get("scaling", SCALING))
        self.p_scaling = float(self.schedule.get("p_scaling", 0.2))
        self.save_every = 1
        self.enable_deep_supervision = False
        self.ema: dict[str, torch.Tensor] | None = None
        self.n_steps = 0

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        optimizer = torch.optim.AdamW(
            self.network.parameters(), self.initial_lr, weight_decay=self.weight_decay, betas=(0.9, 0.98)
        )

        def share(epoch: int) -> float:
            warm = min(1.0, (epoch + 0.3) / WARMUP_EPOCHS)
            return warm * rate_share(epoch / max(1, self.num_epochs))

        class Schedule:
            def step(self, epoch: int) -> None:
                for group in optimizer.param_groups:
                    group["lr"] = initial * share(epoch)

        initial = self.initial_lr
        return optimizer, Schedule()

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:
        patch = self.configuration_manager.patch_size
        turn = (-3 / 180 * np.pi, 3 / 180 * np.pi)
        self.inference_allowed_mirroring_axes = None
        return turn, False, patch, None

    def get_training_transforms(
        self,
        patch_size: Any,
        rotation_for_DA: RandomScalar,
        deep_supervision_scales: Any,
        mirror_axes: Any,
        do_dummy_2d_data_aug: bool,
        **_: Any,
    ) -> BasicTransform:
        """Few and mild ones: the renderer varies pages more than any transform."""
        transforms: list[BasicTransform] = [
            SpatialTransform(
                patch_size,
                patch_center_dist_from_border=0,
                random_crop=False,
                p_elastic_deform=0,
                p_rotation=0.15,
                rotation=rotation_for_DA,
                p_scaling=self.p_scaling,
                scaling=self.scaling,
                p_synchronize_scaling_across_axes=1,
                bg_style_seg_sampling=False,
                mode_seg="nearest",
            ),
            RandomTransform(
                MultiplicativeBrightnessTransform(
                    multiplier_range=BGContrast((0.7, 1.2)), synchronize_channels=False, p_per_channel=1
                ),
                apply_probability=0.3,
            ),
            RemoveLabelTansform(-1, 0),
        ]
        return ComposeTransforms(transforms)

    def _build_loss(self) -> torch.nn.Module:
        return DiceAndCrossEntropy(self.label_manager.num_segmentation_heads)

    def _autocast(self) -> torch.autocast:
        dtype = torch.bfloat16 if self.device.type == "cpu" else torch.float16
        return torch.autocast(self.device.type, dtype)

    def train_step(self, batch: dict) -> dict:
        data = batch["data"].to(self.device, non_blocking=True)
        target = batch["target"].to(self.device, non_blocking=True)
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            output = self.network(data)
        loss = self.loss(output, target)
        if self.grad_scaler is not None:
            self.grad_scaler.scale(loss).backward()
            self.grad_scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5)
            self.grad_scaler.step(self.optimizer)
            self.grad_scaler.update()
        else:
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5)
            self.optimizer.step()
        self._average()
        value = loss.detach().cpu().numpy()
        if self.on_step is not None:
            self.on_step(self.current_epoch, self.n_steps, float(value))
        return {"loss": value}

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average of the weights."""
        self.n_steps += 1
        decay = average_decay(self.ema_decay, self.n_steps)
        state = self.network.state_dict()
        if self.ema is None:
            self.ema = {name: value.detach().clone() for name, value in state.items()}
            return
        for name, value in state.items():
            if value.is_floating_point():
                self.ema[name].lerp_(value, 1 - decay)
            else:
                self.ema[name].copy_(value)

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self._raw = deepcopy(self.network.state_dict())
        if self.ema is not None:
            self.network.load_state_dict(self.ema)

    def validation_step(self, batch: dict) -> dict:
        with self._autocast():
            return super().validation_step(batch)

    def on_validation_epoch_end(self, val_outputs: list[dict]) -> None:
        super().on_validation_epoch_end(val_outputs)
        self.network.load_state_dict(self._raw)

    def on_epoch_end(self) -> None:
        epoch = self.current_epoch
        super().on_epoch_end()
        row = {
            "epoch": epoch,
            "steps": self.n_steps,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": float(self.logger.get_value("train_losses", step=-1)),
            "val_loss": float(self.logger.get_value("val_losses", step=-1)),
            "val_dice": float(self.logger.get_value("mean_fg_dice", step=-1)),
            "seconds": self.logger.get_value("epoch_end_timestamps", step=-1)
            - self.logger.get_value("epoch_start_timestamps", step=-1),
        }
        append_row(Path(self.output_folder) / "log.csv", row)
        if self.is_over:
            raise TrainingPaused(f"paused after epoch {epoch}; the same command goes on from there")

    def save_checkpoint(self, filename: str) -> None:
        """nnU-Net's checkpoint with averaged weights; the raw ones are in it as "raw_weights"."""
        if self.disable_checkpointing:
            return
        checkpoint = {
            "network_weights": self.ema if self.ema is not None else self.network.state_dict(),
            "raw_weights": self.network.state_dict(),
            "n_steps": self.n_steps,
            "optimizer_state": self.optimizer.state_dict(),
            "grad_scaler_state": self.grad_scaler.state_dict() if self.grad_scaler is not None else None,
            "logging": self.logger.get_checkpoint(),
            "_best_ema": self._best_ema,
            "current_epoch": self.current_epoch + 1,
            "init_args": self.my_init_kwargs,
            "trainer_name": self.__class__.__name__,
            "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
        }
        torch.save(checkpoint, filename + ".part")
        os.replace(filename + ".part", filename)

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        super().load_checkpoint(filename_or_checkpoint)
        checkpoint = (
            torch.load(filename_or_checkpoint, map_location=self.device, weights_only=False)
            if isinstance(filename_or_checkpoint, str)
            else filename_or_checkpoint
        )
        if "raw_weights" in checkpoint:
            self.ema = deepcopy(checkpoint["network_weights"])
            self.network.load_state_dict(checkpoint["raw_weights"])
            self.n_steps = checkpoint["n_steps"]
