"""Plan, preprocess and train a configuration through nnU-Net's own API.

In: an nnU-Net raw data set and the name of a configuration in `nnunet_configs/`. Out: nnU-Net's
result folder with checkpoints, plans, logs and `log.csv`. The only module that sets nnU-Net's
environment variables, so that users never see them.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ecg_hough.training.run_card import hardware

_IN_WHEEL = Path(__file__).with_name("nnunet_configs")
CONFIGS = _IN_WHEEL if _IN_WHEEL.is_dir() else Path(__file__).parents[3] / "nnunet_configs"
"""The configurations, of a wheel or of a checkout; `train(config=...)` takes a path, too."""

log = logging.getLogger(__name__)


def set_environment(data: Path, results: Path) -> None:
    """Point nnU-Net at its folders; before its first import."""
    os.environ["nnUNet_raw"] = str(data / "nnUNet_raw")  # noqa: SIM112
    os.environ["nnUNet_preprocessed"] = str(data / "nnUNet_preprocessed")  # noqa: SIM112
    os.environ["nnUNet_results"] = str(results)  # noqa: SIM112
    os.environ["nnUNet_extTrainer"] = str(Path(__file__).parent)  # noqa: SIM112
    os.environ.setdefault("nnUNet_n_proc_DA", "1" if (os.cpu_count() or 1) <= 4 else "8")
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        Path(os.environ[name]).mkdir(parents=True, exist_ok=True)


def read_config(config: str | Path) -> dict[str, Any]:
    """A configuration by name or path, with its name under "name".

    Raises:
        ValueError: there is none of that name.
    """
    path = Path(config) if str(config).endswith(".json") else CONFIGS / f"{config}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.json")))
        raise ValueError(f"config must be one of {known}, or a JSON file; got {config}")
    return {"name": path.stem, **json.loads(path.read_text())}


def plan(config: str | Path, data: Path, dataset: str, *, workers: int = 2) -> str:
    """Fingerprint, plan and preprocess; return the plans' identifier.

    nnU-Net plans by itself first; the configuration then replaces what it names. Preprocessed cases
    are kept until the raw data set or the plan changes.
    """
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )

    chosen = read_config(config)
    raw, preprocessed = (data / name / dataset for name in ("nnUNet_raw", "nnUNet_preprocessed"))
    if not (raw / "dataset.json").is_file():
        raise ValueError(
            f"data set must be prepared first (ecg-hough prepare-data); {raw} has no dataset.json"
        )
    _check_input(chosen, raw)
    number = int(dataset.removeprefix("Dataset")[:3])
    fingerprint = preprocessed / "dataset_fingerprint.json"
    n_cases = json.loads((raw / "dataset.json").read_text())["numTraining"]
    if not fingerprint.is_file():
        extract_fingerprints([number], num_processes=workers, check_dataset_integrity=False)
    # nnU-Net stops where its copy has other folds than the data set: pages were added.
    shutil.copyfile(raw / "splits_final.json", preprocessed / "splits_final.json")
    with _planning():
        plan_experiments([number])
    identifier = f"{chosen['name']}Plans"
    plans = json.loads((preprocessed / "nnUNetPlans.json").read_text())
    plans["plans_name"] = identifier
    plans["training"] = chosen.get("training", {})
    planned = plans["configurations"]["2d"]
    plans["configurations"] = {"2d": _planned(planned, chosen["configuration"], f"{identifier}_2d")}
    (preprocessed / f"{identifier}.json").write_text(json.dumps(plans, indent=1))
    stamp = preprocessed / f"{identifier}.prepared.json"
    state = {
        "cases": n_cases,
        "normalization": plans["configurations"]["2d"]["normalization_schemes"],
        "dataset": json.loads((raw / "dataset.json").read_text()),
    }
    if not stamp.is_file() or json.loads(stamp.read_text()) != state:
        preprocess([number], identifier, ("2d",), (workers,))
        stamp.write_text(json.dumps(state))
    return identifier


def _check_input(chosen: dict[str, Any], raw: Path) -> None:
    """The data set must show what the configuration's network looks at."""
    planes, canvas = chosen.get("input", "rgb"), chosen.get("canvas", "canvas704")
    n_channels = len(json.loads((raw / "dataset.json").read_text())["channel_names"])
    if n_channels != {"rgb": 3, "red": 1}[planes]:
        raise ValueError(
            f"{chosen['name']} needs pages with planes {planes}; {raw.name} has {n_channels} channels "
            f"(ecg-hough prepare-data --planes {planes})"
        )
    if (raw / "prepare.json").is_file():
        made = json.loads((raw / "prepare.json").read_text())["options"]["canvas"]
        if made != canvas:
            raise ValueError(
                f"{chosen['name']} needs cases on canvas {canvas}; those of {raw.name} are on {made} "
                f"(ecg-hough prepare-data --canvas {canvas})"
            )


@contextmanager
def _planning() -> Iterator[None]:
    """nnU-Net's planner takes as many threads as it has loaders, and none is an error to it."""
    loaders = os.environ.get("nnUNet_n_proc_DA", "1")  # noqa: SIM112
    os.environ["nnUNet_n_proc_DA"] = "1" if loaders == "0" else loaders  # noqa: SIM112
    try:
        yield
    finally:
        os.environ["nnUNet_n_proc_DA"] = loaders  # noqa: SIM112


def _planned(planned: dict[str, Any], chosen: dict[str, Any], data_identifier: str) -> dict[str, Any]:
    """nnU-Net's 2d configuration with the chosen parts in place of its own."""
    out = {**planned, **{k: v for k, v in chosen.items() if k != "architecture"}}
    out["data_identifier"] = data_identifier
    if isinstance(out["normalization_schemes"], str):
        # One name in a configuration applies to every channel.
        out["normalization_schemes"] = [out["normalization_schemes"]] * len(planned["normalization_schemes"])
    if "architecture" in chosen:
        shape = chosen["architecture"]
        n = shape["n_stages"]
        convolutions = shape["n_conv_per_stage"]
        first = shape.get("first_stride", 1)
        if "network_class_name" in shape:
            out["architecture"]["network_class_name"] = shape["network_class_name"]
        kwargs = out["architecture"]["arch_kwargs"]
        kwargs.update(
            n_stages=n,
            features_per_stage=shape["features_per_stage"],
            kernel_sizes=[[3, 3]] * n,
            strides=[[first, first]] + [[2, 2]] * (n - 1),
            n_conv_per_stage=[convolutions] * n,
            n_conv_per_stage_decoder=[shape.get("n_conv_per_stage_decoder", convolutions)] * (n - 1),
        )
    return out


@dataclass(frozen=True)
class TrainSettings:
    """What is trained, and how long.

    Attributes:
        config: a configuration's name or JSON file.
        fold: 0 to 4, or "all" to train on every case.
        dataset: nnU-Net's name of the data set.
        device: "cpu", "cuda" or "auto".
        epochs, iterations: instead of the configuration's number of epochs, and of steps in each.
        max_minutes: pause at the end of the epoch after that time.
        fresh: begin again even if there is a checkpoint.
        start_from: another run's checkpoint, with its epochs, where this run has none yet; that of a
            network with fewer features per stage is widened (`widen`), and the epochs begin at 0, as they
            do with exported weights (ONNX).
        workers: processes that plan and preprocess.
        threads: of torch on a processor; None takes all cores.
        seed: of the first weights; the order of the cases is nnU-Net's own and not repeatable.
    Raises:
        ValueError: unknown fold.
    """

    config: str | Path = "leads"
    fold: int | str = 0
    dataset: str = "Dataset500_Signals"
    device: str = "auto"
    epochs: int | None = None
    iterations: int | None = None
    max_minutes: float | None = None
    fresh: bool = False
    start_from: Path | None = None
    workers: int = 2
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if str(self.fold) not in ("0", "1", "2", "3", "4", "all"):
            raise ValueError(f"fold must be 0 to 4 or all; got {self.fold}")


def train(
    settings: TrainSettings,
    *,
    data: Path = Path("data"),
    results: Path = Path("runs"),
    on_step: Callable[[int, int, float], None] | None = None,
) -> Path:
    """Train a configuration and return its result folder; goes on from its last checkpoint.

    Args:
        settings: what is trained, and how long.
        data: folder of nnUNet_raw and nnUNet_preprocessed; results: nnU-Net's result folder.
        on_step: called with (epoch, step, loss).
    Raises:
        ValueError: unknown configuration, no data set, or one with other planes or canvases than the
            configuration needs; `start_from` is no file.
    """
    set_environment(data, results)
    identifier = plan(settings.config, data, settings.dataset, workers=settings.workers)
    trainer_class = _trainer_class(read_config(settings.config)["trainer"])
    folder = (
        results / settings.dataset / f"{trainer_class.__name__}__{identifier}__2d" / f"fold_{settings.fold}"
    )
    begin = _checkpoint(folder, settings)
    _check_fold(data / "nnUNet_raw" / settings.dataset, settings.fold)
    preprocessed = data / "nnUNet_preprocessed" / settings.dataset
    trainer = _make_trainer(trainer_class, preprocessed, identifier, settings, goes_on=begin is not None)
    if begin is not None:
        _load(trainer, begin, may_be_narrower=begin == settings.start_from)
        log.info("going on from %s, epoch %d", begin.name, trainer.current_epoch)
    _note_run(trainer, folder, data / "nnUNet_raw" / settings.dataset, settings)
    from ecg_hough.training.trainer import TrainingPaused

    trainer.max_minutes = settings.max_minutes
    trainer.on_step = on_step
    try:
        trainer.run_training()
    except TrainingPaused as pause:
        log.info("%s", pause)
    except KeyboardInterrupt:
        trainer.save_interrupted()
        raise
    return folder


def _check_fold(raw: Path, fold: int | str) -> None:
    """nnU-Net makes a random split of its own for a fold that the data set does not have."""
    folds = len(json.loads((raw / "splits_final.json").read_text()))
    if fold != "all" and int(fold) >= folds:
        raise ValueError(f"fold must be all, or below the data set's {folds}; got {fold}")


def _checkpoint(folder: Path, settings: TrainSettings) -> Path | None:
    """What the weights are taken from: the run's newest checkpoint, or `start_from`; None for new ones."""
    paths = [folder / f"checkpoint_{kind}.pth" for kind in ("latest", "final")]
    found = [path for path in paths if path.is_file() and not settings.fresh]
    if found:
        return max(found, key=lambda path: path.stat().st_mtime)
    if settings.start_from is not None and not settings.start_from.is_file():
        raise ValueError(f"start_from must be a checkpoint or exported weights; got {settings.start_from}")
    return settings.start_from


def _make_trainer(
    trainer_class: Any, preprocessed: Path, identifier: str, settings: TrainSettings, *, goes_on: bool
) -> Any:
    """nnU-Net's trainer with its network, initialised."""
    import torch

    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    plans = json.loads((preprocessed / f"{identifier}.json").read_text())
    plans["continue_training"] = goes_on
    dataset_json = json.loads((preprocessed / "dataset.json").read_text())
    fold = settings.fold if settings.fold == "all" else int(settings.fold)
    torch.manual_seed(settings.seed)
    trainer = trainer_class(plans, "2d", fold, dataset_json, torch.device(device))
    if settings.epochs is not None:
        trainer.num_epochs = settings.epochs
    if settings.iterations is not None:
        trainer.num_iterations_per_epoch = settings.iterations
        trainer.num_val_iterations_per_epoch = min(settings.iterations, trainer.num_val_iterations_per_epoch)
    trainer.initialize()
    return trainer


def _load(trainer: Any, path: Path, *, may_be_narrower: bool) -> None:
    """Weights from a checkpoint or an export."""
    if path.suffix == ".onnx":
        from ecg_hough.training.exported import load_exported

        load_exported(trainer.network, path)
    elif not (may_be_narrower and _start_wider(trainer, path)):
        trainer.load_checkpoint(str(path))


def _start_wider(trainer: Any, checkpoint: Path) -> bool:
    """Take over a narrower network's weights; False, and nothing done, where widths are equal."""
    import torch

    from ecg_hough.training.widen import widen

    old = torch.load(checkpoint, map_location=trainer.device, weights_only=False)["network_weights"]
    new = trainer.network.state_dict()
    if all(old[name].shape == value.shape for name, value in new.items() if name in old):
        return False
    trainer.network.load_state_dict(widen(dict(old), dict(new)))
    return True


def _note_run(trainer: Any, folder: Path, raw: Path, settings: TrainSettings) -> None:
    """Keep with the checkpoints what the exported network's card states about its making."""
    # File names only: a card is published, and the folders of this machine mean nothing elsewhere.
    words = ["ecg-hough", "train", "--config", Path(settings.config).name, "--fold", str(settings.fold)]
    words += ["--dataset", raw.name]
    if settings.start_from is not None:
        words += ["--start-from", "/".join(settings.start_from.parts[-4:])]
    note = {
        "command": shlex.join([*words, "--epochs", str(trainer.num_epochs)]),
        "iterations_per_epoch": trainer.num_iterations_per_epoch,
        "seed": settings.seed,
        "device": trainer.device.type,
        "hardware": hardware(),
    }
    (folder / "run.json").write_text(json.dumps(note, indent=1))
    for name in ("cases.csv", "prepare.json", "splits_final.json"):
        if (raw / name).is_file():
            shutil.copyfile(raw / name, folder.parent / name)


def _trainer_class(name: str) -> Any:
    """The trainer named "module:Class".

    nnU-Net's own look-up imports every trainer it has, and with them torchvision, which need not be
    installed.
    """
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
