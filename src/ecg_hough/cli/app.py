"""The commands of `ecg-hough`, and what holds for all of them."""

from __future__ import annotations

from typing import Annotated

import typer

import ecg_hough
from ecg_hough.cli import batch, learn, predict, records, redact, review, scores, service, support, training
from ecg_hough.cli.arguments import Verbose
from ecg_hough.cli.screen import show_log

app = typer.Typer(
    name="ecg-hough",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from ecg_hough.support.weights import shipped

        typer.echo(f"ecg-hough {ecg_hough.__version__}")
        typer.echo(f"weights: {', '.join(one.version for one in shipped())}")
        raise typer.Exit


@app.callback()
def main(
    verbose: Verbose = 0,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the versions of package and weights, and exit.",
        ),
    ] = False,
) -> None:
    """Images of printed 12-lead ECGs to calibrated signals in millivolts.

    Start with `ecg-hough predict page.png -o out`.
    """
    show_log(verbose)


app.command()(predict.predict)
app.command()(predict.info)
app.command()(support.doctor)
app.command()(records.convert)
app.command()(redact.redact)
app.command()(review.review)
app.command()(learn.suggest)
app.command()(learn.learn)
app.add_typer(batch.app, name="batch")
app.command()(service.serve)
app.command("dicom-listen")(service.dicom_listen)
app.add_typer(service.keys_app, name="keys")
app.command()(scores.evaluate)
app.command()(training.render)
app.command()(training.prepare_data)
app.command()(training.train)
app.command()(training.train_traces)
app.command()(training.train_marks)
app.command("export")(training.export_weights)
app.command("quantize")(training.quantize_weights)
app.command("nnunet", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True})(
    training.nnunet
)
