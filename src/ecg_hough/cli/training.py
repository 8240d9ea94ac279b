"""Commands that draw pages and train networks: `render`, `prepare-data`, `train`, `export`, `quantize`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ecg_hough.cli.arguments import Dpi, MaxMinutes, OutFolder, Profile, Records, Seed, Workers, positive
from ecg_hough.cli.screen import live_line, plain_errors, progress_bar, resumable

Source = StrEnum("Source", ["renderer", "kit", "ptbxl", "chapman", "ludb"])
Device = StrEnum("Device", ["auto", "cpu", "cuda"])
Planes = StrEnum("Planes", ["rgb", "red"])
CanvasKind = StrEnum("CanvasKind", ["canvas704", "page", "words"])
Split = StrEnum("Split", ["patients", "strat"])

TrainRecords = Annotated[
    Path | None, typer.Option(help="Folder of WFDB records.", show_default="generated ECGs alone")
]
Steps = Annotated[int, typer.Option(min=1, help="Of the whole run.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Crops a step.")]
LearningRate = Annotated[
    float, typer.Option(callback=positive, help="Flat for 60% of the steps, then falling.")
]


def step_line(step: int, n: int, figures: dict[str, float]) -> str:
    """Progress of a training as one line."""
    return f"step {step}/{n}  " + "  ".join(f"{name} {value:.3f}" for name, value in figures.items())


def render(
    out: OutFolder,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 10,
    profile: Annotated[Profile, typer.Option(help="Kind of wear.")] = Profile.mixed,
    seed: Seed = 0,
    records: Records = None,
    dpi: Dpi = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Only records that no shipped network was trained on.")
    ] = False,
) -> None:
    """Render pages of printed ECGs with their true signals.

    Example, then digitise and score them:

    - `ecg-hough render -n 10 -o pages --profile scan --seed 1`
    - `ecg-hough predict pages -o out`
    - `ecg-hough evaluate out pages`
    """
    with plain_errors(), progress_bar("rendering") as on_progress:
        from ecg_hough.datasets.rendered import render_samples

        paths = render_samples(
            out,
            n=n,
            profile=profile.value,
            seed=seed,
            records=records,
            dpi=dpi,
            held_out=held_out,
            on_progress=on_progress,
        )
    typer.echo(f"{len(paths)} pages in {out}")


def prepare_data(
    out: OutFolder = Path("data/nnUNet_raw"),
    source: Annotated[
        Source,
        typer.Option(
            help="renderer: own pages of --records or of made-up ECGs. kit: ECG-Image-Kit pages in --folder. "
            "ptbxl: own pages of records fetched into --folder. "
            "chapman, ludb: own pages of that data set's records in --folder."
        ),
    ] = Source.renderer,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 200,
    records: Annotated[Path | None, typer.Option(help="Folder of WFDB records, for renderer.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Folder of kit pages or of a data set.")] = None,
    generated: Annotated[
        float, typer.Option(min=0, max=1, help="Share of made-up ECGs among those of --records.")
    ] = 0.35,
    profile: Annotated[
        Profile | None, typer.Option(help="Kind of wear.", show_default="mixed, or kit for page")
    ] = None,
    planes: Annotated[Planes, typer.Option(help="red: one channel, as krones2024 has it.")] = Planes.rgb,
    canvas: Annotated[
        CanvasKind,
        typer.Option(
            help="canvas704: for leads and tiny. page: whole pages with labels as the 2024 winner's, for "
            "krones2024. words: for words."
        ),
    ] = CanvasKind.canvas704,
    split: Annotated[
        Split,
        typer.Option(
            help="patients: five folds. strat: PTB-XL's strat_fold, 1-8 to train, 9 to validate, 10 to test."
        ),
    ] = Split.patients,
    dpi: Annotated[
        float | None,
        typer.Option(
            min=30, callback=positive, help="Of rendered pages.", show_default="85-150, or 200 for page"
        ),
    ] = None,
    hard_share: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of pages whose rows cross, with foreign ink, or in vendors' manners."
        ),
    ] = 0.0,
    dataset: Annotated[str, typer.Option(help="nnU-Net's name of the data set.")] = "Dataset500_Signals",
    seed: Seed = 0,
    workers: Workers = 2,
) -> None:
    """Make a raw data set for nnU-Net: pages, label maps, dataset.json, splits by patient.

    A stopped run is resumed; other options for the same folder are refused.

    Examples:

    - `ecg-hough prepare-data -n 1000 --records data/ptbxl`
    - the 2024 winner's: `ecg-hough prepare-data --source ptbxl --canvas page --planes red --split strat -n
    4000`
    """
    with plain_errors(), progress_bar("making pages") as on_progress:
        from ecg_hough.training.prepare_data import DataSettings, prepare

        settings = DataSettings(
            source=source.value,
            n=n,
            records=records,
            folder=folder,
            generated=generated,
            profile=None if profile is None else profile.value,
            planes=planes.value,
            canvas=canvas.value,
            split=split.value,
            hard_share=hard_share,
            dpi=dpi,
            dataset=dataset,
            seed=seed,
        )
        root = prepare(out, settings, workers=workers, on_progress=on_progress)
    typer.echo(f"Data set in {root}")


def train(
    config: Annotated[str, typer.Option(help="Configuration: a name or a JSON file.")] = "leads",
    fold: Annotated[str, typer.Option(help="0 to 4, or all.")] = "0",
    data: Annotated[Path, typer.Option(help="Folder of nnUNet_raw and nnUNet_preprocessed.")] = Path("data"),
    results: Annotated[Path, typer.Option(help="Folder of the checkpoints.")] = Path("runs"),
    dataset: Annotated[str, typer.Option(help="nnU-Net's name of the data set.")] = "Dataset500_Signals",
    device: Annotated[Device, typer.Option(help="auto takes a GPU if there is one.")] = Device.auto,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs.", show_default="configuration's")] = None,
    max_minutes: MaxMinutes = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin again.")] = False,
    start_from: Annotated[
        Path | None,
        typer.Option(
            help="Another run's checkpoint (a narrower one is widened) or exported weights (.onnx).",
            show_default="new weights",
        ),
    ] = None,
    workers: Workers = 2,
) -> None:
    """Plan, preprocess and train a network with nnU-Net; goes on from the last checkpoint.

    Needs the train extra: `pip install "ecg-hough[train]"`.

    Example: `ecg-hough train --config tiny --fold 0 --max-minutes 10`
    """
    with plain_errors(), resumable(results), live_line("training") as show:
        from ecg_hough.training.train import TrainSettings
        from ecg_hough.training.train import train as run_training

        settings = TrainSettings(
            config=config,
            fold=fold,
            dataset=dataset,
            device=device.value,
            epochs=epochs,
            max_minutes=max_minutes,
            fresh=fresh,
            start_from=start_from,
            workers=workers,
        )
        folder = run_training(
            settings,
            data=data,
            results=results,
            on_step=lambda epoch, step, loss: show(f"epoch {epoch}  step {step}  loss {loss:.3f}"),
        )
    typer.echo(f"Checkpoints in {folder}. Next: ecg-hough export {folder}")


def train_traces(
    records: TrainRecords = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder.")] = Path("runs/traces"),
    steps: Steps = 20_000,
    batch_size: BatchSize = 6,
    learning_rate: LearningRate = 1.5e-3,
    seed: Seed = 0,
    max_minutes: MaxMinutes = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin again.")] = False,
    start_from: Annotated[
        Path | None, typer.Option(help="Exported weights (.onnx).", show_default="new weights")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render pages.")] = 1,
) -> None:
    """Train the trace network on pages that are rendered meanwhile; goes on from the last checkpoint.

    Needs the train extra: `pip install "ecg-hough[train]"`.

    Example: `ecg-hough train-traces --records data/ptbxl --max-minutes 60`
    """
    with plain_errors(), resumable(out), live_line("training") as show:
        from ecg_hough.training.trace_train import TraceTrainSettings
        from ecg_hough.training.trace_train import train_traces as run_training

        settings = TraceTrainSettings(
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            max_minutes=max_minutes,
            fresh=fresh,
            start_from=start_from,
            workers=workers,
        )
        folder = run_training(
            settings,
            records=records,
            out=out,
            on_step=lambda step, n, figures: show(step_line(step, n, figures)),
        )
    typer.echo(f"Checkpoint in {folder}. Next: ecg-hough export {folder} --name traces")


def train_marks(
    records: TrainRecords = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder.")] = Path("runs/marks"),
    steps: Steps = 8000,
    batch_size: BatchSize = 12,
    learning_rate: LearningRate = 1.5e-3,
    seed: Seed = 0,
    max_minutes: MaxMinutes = None,
    start_from: Annotated[
        Path | None, typer.Option(help="Exported weights (.onnx) that a new run begins with.")
    ] = None,
) -> None:
    """Train the marks network on pages that are rendered meanwhile; goes on from the last checkpoint.

    It finds where panels begin and end, separators and calibration pulses. Needs the train extra.

    Example: `ecg-hough train-marks --records data/ptbxl --max-minutes 60`
    """
    with plain_errors(), resumable(out), live_line("training") as show:
        from ecg_hough.training.marks_train import MarksTrainSettings
        from ecg_hough.training.marks_train import train_marks as run_training

        settings = MarksTrainSettings(
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            max_minutes=max_minutes,
            start_from=start_from,
        )
        folder = run_training(
            settings,
            records=records,
            out=out,
            on_step=lambda step, n, figures: show(step_line(step, n, figures)),
        )
    typer.echo(f"Checkpoint in {folder}. Next: ecg-hough export {folder} --name marks")


def export_weights(
    folder: Annotated[Path, typer.Argument(help="Result folder of `train`, with its checkpoints.")],
    out: OutFolder = Path("output/weights"),
    name: Annotated[
        str | None, typer.Option(help="Name of the network.", show_default="by the kind of run")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="latest, final or best.", show_default="newer of latest and final")
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(help="Folder of the records trained on, for the card, if the run does not name them."),
    ] = None,
    average_with: Annotated[
        Path | None,
        typer.Option(help="Exported weights (.onnx) that the run started from: the mean of both is written."),
    ] = None,
) -> None:
    """Turn a checkpoint into weights that run without torch, with their card.

    Needs the train extra.

    Example: `ecg-hough export runs/Dataset500_Signals/.../fold_0 -o output/weights`
    """
    with plain_errors():
        from ecg_hough.training.export_weights import export

        path = export(
            folder,
            out,
            name=name,
            checkpoint=checkpoint,
            records=records,
            average_with=average_with,
        )
    typer.echo(f"Weights in {path}")


def quantize_weights(
    weights: Annotated[
        Path, typer.Argument(help="Exported weights (.onnx), with their card (.json) in the same folder.")
    ],
    pages: Annotated[list[Path], typer.Argument(help="Pages and folders of pages to measure on.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the parts of pages that are drawn.")] = 0,
) -> None:
    """Measure on pages what a network needs to run in eight bits, and put it into its card.

    The weights stay as they are. Processors with bfloat16 (and so with VNNI) then run it in eight bits.

    Example:

    - `ecg-hough render -o output/q -n 60 --seed 31`
    - `ecg-hough quantize output/weights/traces.onnx output/q`
    """
    with plain_errors():
        from ecg_hough.batch.pages import find_pages
        from ecg_hough.training.quantize_weights import measure_ranges

        with progress_bar("measuring") as on_progress:
            found = [page.path for page in find_pages(pages)]
            ranges = measure_ranges(weights, found, seed=seed, on_progress=on_progress)
    typer.echo(f"Ranges of {len(ranges)} maps in {weights.with_suffix('.json')}")


def nnunet(
    command: Annotated[str, typer.Argument(help="Such as train, predict, plan_and_preprocess.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="As nnU-Net takes them.")] = None,
    data: Annotated[Path, typer.Option(help="Folder of nnUNet_raw and nnUNet_preprocessed.")] = Path("data"),
    results: Annotated[Path, typer.Option(help="nnU-Net's result folder.")] = Path("runs"),
) -> None:
    """Run one of nnU-Net's own commands, with this package's trainers and folders.

    Needs the train extra. Options of nnU-Net's follow its arguments as usual.

    Example: `ecg-hough nnunet train Dataset500_Signals 2d 0 -tr EcgHoughTrainer -p leadsPlans -device cpu`
    """
    with plain_errors():
        from ecg_hough.training.nnunet_commands import run_command

        run_command(command, arguments or (), data=data, results=results)
