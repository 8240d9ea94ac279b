"""nnU-Net's own trainer with the winner's length: SGD, poly schedule, mirroring, deep supervision.

In: plans with the schedule under "training", as `nnunet_configs/krones2024.json` has it. Out: nnU-Net's
checkpoints. Mirroring swaps the places of leads; it is kept because the winner trained with it.
"""

from __future__ import annotations

import os
import time
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from ecg_hough.training.trainer import TrainingPaused


class Krones2024Trainer(nnUNetTrainer):
    """nnU-Net's default trainer; numbers from the plans, and a pause when the time allowed is over."""

    current_epoch: int
    max_minutes: float | None = None
    on_step: Any = None

    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict,
                 device: torch.device = torch.device("cuda")) -> None:  # fmt: skip  # noqa: B008
        super().__init__(plans, configuration, fold, dataset_json, device)
        schedule = self.plans_manager.plans["training"]
        self.num_epochs = int(schedule["epochs"])
        self.num_iterations_per_epoch = int(schedule["iterations_per_epoch"])
        self.num_val_iterations_per_epoch = int(schedule["validation_iterations"])
        self.initial_lr = float(schedule["learning_rate"])
        self.weight_decay = float(schedule["weight_decay"])
        self.started = time.monotonic()

    def train_step(self, batch: dict) -> dict:
        result: dict = super().train_step(batch)
        if self.on_step is not None:
            self.on_step(self.current_epoch, None, float(result["loss"]))
        return result

    def on_epoch_end(self) -> None:
        epoch: int = self.current_epoch
        super().on_epoch_end()
        over = self.max_minutes and time.monotonic() - self.started > 60 * self.max_minutes
        if over and self.current_epoch < self.num_epochs:
            # nnU-Net saves only every 50th epoch. A checkpoint notes the epoch after the current one.
            self.current_epoch = epoch
            self.save_checkpoint(os.path.join(self.output_folder, "checkpoint_latest.pth"))
            raise TrainingPaused(f"paused after epoch {epoch}; the same command goes on from there")
