"""Commands that run other systems' methods: `predict`, `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecg_hough.cli.arguments import (
    Formats,
    Fs,
    Gain,
    LayoutName,
    LeadRows,
    MaxMinutes,
    OutFolder,
    Speed,
    Verbose,
    WeightsFolder,
    Workers,
)
from ecg_hough.cli.predict import (
    Labels,
    Overlay,
    Overwrite,
    Pages,
    chosen_extras,
    page_printer,
    print_report,
)
from ecg_hough.cli.screen import live_line, plain_errors, print_table, progress_bar, resumable
from ecg_hough.cli.training import step_line
from ecg_lab.cli.extras import EXTRAS
from ecg_lab.cli.measure import Folders


def predict(
    inputs: Pages,
    out: OutFolder,
    method: Annotated[str, typer.Option(help="Whose method, see docs/methods.md.")],
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of label maps STEM.labels.png, for methods that read masks.",
            show_default="our leads network's",
        ),
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(
            help="Folder of nnU-Net's results (plans.json, dataset.json, fold_*): it draws the masks.",
            show_default="our leads network",
        ),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="With --network: one pass a tile, without mirror images.")
    ] = False,
    depart: Annotated[
        str,
        typer.Option(
            help="Ways in which krones2024 may depart from the original, comma between: "
            "ends, gaps, strip, guards; see docs/methods.md.",
            show_default="none",
        ),
    ] = "",
    fs: Fs = 500,
    formats: Formats = None,
    overlay: Overlay = False,
    labels: Labels = False,
    speed: Speed = None,
    gain: Gain = None,
    layout: LayoutName = None,
    leads: LeadRows = None,
    weights: WeightsFolder = None,
    overwrite: Overwrite = False,
    workers: Workers = 1,
    verbose: Verbose = 0,
) -> None:
    """Digitise pages with another system's method, as `ecg-hough predict` does with ours.

    Examples:

    - `ecg-lab predict page.png -o out --method ecgminer`
    - masks of your own: `ecg-lab predict pages/ -o out --method krones2024 --masks masks/`
    - the winner's network: `ecg-lab predict pages/ -o out --method krones2024 --network models/M3`
    """
    with plain_errors(EXTRAS):
        from ecg_hough.batch.predict import predict_pages
        from ecg_hough.output.export import check_formats
        from ecg_lab.methods import reader_of

        check_formats(formats or (), fs=fs)
        read = reader_of(
            method,
            masks=masks,
            network=network,
            fast=fast,
            depart=[name.strip() for name in depart.split(",") if name.strip()],
            fs=fs,
            speed_mm_s=speed,
            gain_mm_mv=gain,
            layout=layout,
            leads=leads,
            weights=weights,
        )
        with progress_bar("digitising") as bar:
            report = predict_pages(
                inputs,
                out,
                read=read,
                extras=chosen_extras(formats, overlay, labels),
                workers=workers,
                overwrite=overwrite,
                on_page=page_printer(bar),
            )
    print_report(report, out)


def compare(
    folders: Folders,
    methods: Annotated[str | None, typer.Option(help="Names, comma between.", show_default="all")] = None,
    pages: Annotated[
        int | None, typer.Option(min=1, help="Pages of each profile, the first ones.", show_default="all")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="JSON file of the figures.",
            show_default="experiments/results/compare.json with all its pages and methods, "
            "else output/compare.json",
        ),
    ] = None,
    predictions: Annotated[
        Path, typer.Option(help="Folder for the predicted records; finished pages are not done again.")
    ] = Path("output/compare"),
    workers: Workers = 1,
) -> None:
    """Every method on the same pages: one table, method by profile, with intervals.

    Methods that read masks appear twice where the pages' true masks are known: with our leads network's
    masks and with the true ones. A stopped run is resumed.

    Example: `ecg-lab compare data/ludb --methods ours,ecgminer --pages 8`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.compare import compare_methods, default_results

        chosen = None if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
        results = out or default_results(folders, methods=chosen, pages=pages)
        with progress_bar("comparing") as on_progress:
            result = compare_methods(
                folders,
                predictions,
                methods=chosen,
                pages=pages,
                workers=workers,
                results=results,
                on_progress=on_progress,
            )
        print_table(result.table())
        print_table(result.pitch_table())
    typer.echo(f"Figures in {results}")


def export_network(
    folder: Annotated[Path, typer.Argument(help="Folder of nnU-Net's results, or one above it.")],
) -> None:
    """Write every fold of an nnU-Net results folder as network.onnx, for machines without torch.

    Needs the train extra. `ecg-lab predict --network FOLDER` reads them there.

    Example: `ecg-lab export-network models/M3`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.networks.export import export_folds

        paths = export_folds(folder)
    for path in paths:
        typer.echo(f"Weights in {path}")


def train_peer(
    method: Annotated[str, typer.Argument(help="Whose network: overlap-unet or taylorsamarel-v2.")],
    records: Annotated[
        Path | None, typer.Option(help="Folder of WFDB records.", show_default="generated ECGs alone")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder.", show_default="runs/METHOD")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Of the whole run.")] = 4000,
    seed: Annotated[int, typer.Option(min=0, help="Of the first weights and of the pages.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Of torch.")] = 1,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train another system's network on pages that are rendered meanwhile; goes on from the last checkpoint.

    Needs the train extra. Next: `ecg-lab export-peer RUN`.

    Example: `ecg-lab train-peer overlap-unet --records data/ptbxl --max-minutes 60`
    """
    out = out or Path("runs") / method
    with plain_errors(EXTRAS), resumable(out), live_line("training") as show:
        from ecg_lab.networks.loop import PeerSettings
        from ecg_lab.networks.loop import train_peer as run_training
        from ecg_lab.networks.peers import find_peer

        peer = find_peer(method)
        folder = run_training(
            peer,
            PeerSettings(steps=steps, seed=seed, max_minutes=max_minutes, threads=threads),
            records=records,
            out=out,
            on_step=lambda step, n, figures: show(step_line(step, n, figures)),
        )
    typer.echo(f"Checkpoint in {folder}. Next: ecg-lab export-peer {folder}")


def export_peer(
    folder: Annotated[Path, typer.Argument(help="Run folder of `train-peer`.")],
    out: OutFolder = Path("output/weights"),
) -> None:
    """Turn a run of `train-peer` into weights that run without torch, with their card.

    Example: `ecg-lab export-peer runs/overlap-unet -o experiments/ecg_lab/weights`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.networks.export import export_peer as export

        path = export(folder, out)
    typer.echo(f"Weights in {path}")
