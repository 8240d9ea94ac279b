"""nnU-Net's own trainer with the winner's length: SGD, poly schedule, mirroring, deep supervision.

In: plans with the schedule under "training", as `nnunet_configs/krones2024.json` has it. Out: nnU-Net's
checkpoints. Mirroring swaps the places of leads; it is kept because the winner trained with it.
"""

from __future__ import annotations

import os

from ecg_hough.training.trainer import ScheduledTrainer, TrainingPaused


class Krones2024Trainer(ScheduledTrainer):
    """nnU-Net's default trainer; numbers from the plans, and a pause when the time allowed is over."""

    def train_step(self, batch: dict) -> dict:
        result: dict = super().train_step(batch)
        if self.on_step is not None:
            self.on_step(self.current_epoch, None, float(result["loss"]))
        return result

    def on_epoch_end(self) -> None:
        epoch = self.current_epoch
        super().on_epoch_end()
        if self.is_over:
            # nnU-Net saves only every 50th epoch. A checkpoint notes the epoch after the current one.
            self.current_epoch = epoch
            self.save_checkpoint(os.path.join(self.output_folder, "checkpoint_latest.pth"))
            raise TrainingPaused(f"paused after epoch {epoch}; the same command goes on from there")
