"""Commands that score records: `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecg_hough.cli.arguments import AllowTrained, Workers
from ecg_hough.cli.screen import plain_errors, print_table


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted WFDB records.")],
    truth: Annotated[Path, typer.Argument(help="Folder of true WFDB records of the same names.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for leads.csv, summary.json and scores.png.")
    ] = None,
    allow_trained: AllowTrained = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder with the cards of networks that are not shipped, as given to predict.",
            show_default="the shipped ones alone",
        ),
    ] = None,
    workers: Workers = 2,
) -> None:
    """Score predictions against the truth: Challenge 2024 SNR, Kaggle SNR, correlation, errors, timing.

    Example: `ecg-hough evaluate out/ truth/ -o scores/`
    """
    with plain_errors():
        from ecg_hough.scores.evaluation import evaluate as score

        evaluation = score(predictions, truth, workers=workers, allow_trained=allow_trained, weights=weights)
        print_table(evaluation.table())
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            evaluation.to_csv(out / "leads.csv")
            evaluation.to_json(out / "summary.json")
            evaluation.plot(out / "scores.png")
            typer.echo(f"Tables and figure in {out}")
