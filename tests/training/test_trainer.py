"""The loss of nnU-Net's trainer, and when a run pauses."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("nnunetv2", reason="needs the train extra")

from ecg_hough.training.trainer import DiceAndCrossEntropy, ScheduledTrainer  # noqa: E402

pytestmark = pytest.mark.train


def test_the_loss_is_least_for_the_right_labels() -> None:
    target = torch.zeros(1, 1, 8, 8)
    target[..., 2:4, :] = 1
    target[..., 6, :] = 2
    right = 9 * torch.nn.functional.one_hot(target[:, 0].long(), 3).permute(0, 3, 1, 2).float()
    loss = DiceAndCrossEntropy(3)
    assert loss(right, target) == pytest.approx(-1.0, abs=0.01)
    assert loss(right, target) < loss(right.roll(1, dims=2), target)
    assert loss(right, target) < loss(torch.zeros_like(right), target)


def test_a_thin_stroke_keeps_its_label_at_half_resolution() -> None:
    target = torch.zeros(1, 1, 8, 8)
    target[..., 3, :] = 2
    half = torch.zeros(1, 1, 4, 4)
    half[..., 1, :] = 2
    logits = 9 * torch.nn.functional.one_hot(half[:, 0].long(), 3).permute(0, 3, 1, 2).float()
    loss = DiceAndCrossEntropy(3)
    assert float(loss(logits, target)) == pytest.approx(float(loss(logits, half)))


@pytest.mark.parametrize(
    ("max_minutes", "epoch", "over"), [(None, 1, False), (5.0, 1, False), (0.5, 1, True), (0.5, 3, False)]
)
def test_a_run_pauses_when_its_time_is_over_unless_it_is_done(
    max_minutes: float | None, epoch: int, over: bool
) -> None:
    trainer = SimpleNamespace(
        max_minutes=max_minutes, started=time.monotonic() - 60, current_epoch=epoch, num_epochs=3
    )
    assert ScheduledTrainer.is_over.fget(trainer) is over  # type: ignore[attr-defined]
