"""nnU-Net's own commands with this package's trainers: a command's name and its arguments enter.

nnU-Net finds a trainer by importing every trainer that it has, and some of those import torchvision. Where
torchvision does not fit torch, which is usual beside a torch for processors, every command of nnU-Net's
then ends in "operator torchvision::nms does not exist". So the trainers of this package and nnU-Net's own
default are named here, and found without that search; for another one the mismatch is reported in plain
words.

Without this module: point the environment variable nnUNet_extTrainer at the folder of `trainer.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

from ecg_hough.training.train import set_environment

PREFIX = "nnUNetv2_"
TRAINERS = {
    "EcgHoughTrainer": "ecg_hough.training.trainer",
    "Krones2024Trainer": "ecg_hough.training.trainer_krones2024",
    "nnUNetTrainer": "nnunetv2.training.nnUNetTrainer.nnUNetTrainer",
}
"""Trainers that are found without a search, and their modules."""


def known_commands() -> list[str]:
    """Names of nnU-Net's commands, without `nnUNetv2_`."""
    scripts = entry_points(group="console_scripts")
    return sorted(script.name.removeprefix(PREFIX) for script in scripts if script.name.startswith(PREFIX))


def run_command(name: str, arguments: Sequence[str], *, data: Path, results: Path) -> None:
    """Run one of nnU-Net's commands in this process.

    Args:
        name: with or without `nnUNetv2_`; arguments: as nnU-Net takes them.
        data: folder of nnUNet_raw and nnUNet_preprocessed; results: nnU-Net's result folder.
    Raises:
        ValueError: no such command, or one that needs a torchvision that fits torch.
    """
    name = name.removeprefix(PREFIX)
    if name not in known_commands():
        raise ValueError(f"command must be one of nnU-Net's, {', '.join(known_commands())}; got {name!r}")
    set_environment(data, results)
    find_trainers_by_name()
    (script,) = entry_points(group="console_scripts", name=PREFIX + name)
    before = sys.argv
    sys.argv = [PREFIX + name, *arguments]
    try:
        script.load()()
    finally:
        sys.argv = before


def find_trainers_by_name() -> None:
    """Let nnU-Net find `TRAINERS` without its search; before its commands are imported."""
    from nnunetv2.utilities import find_objects

    search: Callable[[str], Any] = find_objects.recursive_find_trainer_class_by_name

    def find(name: str) -> Any:
        if name in TRAINERS:
            return getattr(import_module(TRAINERS[name]), name)
        try:
            return search(name)
        except RuntimeError as error:
            if "torchvision" not in str(error):
                raise
            raise ValueError(torchvision_words(name)) from error

    find_objects.recursive_find_trainer_class_by_name = find


def torchvision_words(trainer: str) -> str:
    """What is wrong where torchvision does not fit torch, and what helps."""
    return (
        f"torchvision must fit torch; torchvision {version('torchvision')} was built for another one than "
        f"torch {version('torch')}. nnU-Net imports it while it looks for the trainer {trainer}. Install "
        f"torchvision from where torch came from, or take {', '.join(TRAINERS)}: these do not need it"
    )
