"""The commands of `ecg-lab`, and what holds for all of them."""

from __future__ import annotations

import typer

from ecg_hough.cli.arguments import Verbose
from ecg_hough.cli.screen import show_log
from ecg_lab.cli import contest, faults, learning, measure, methods, pages, service

app = typer.Typer(
    name="ecg-lab",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def main(verbose: Verbose = 0) -> None:
    """The laboratory of ecg-hough: benchmarks, ablations, other systems' methods, figures, contests.

    Run it in the root of a checkout: results are compared with those in `experiments/`. A run of fewer pages,
    methods or steps than published writes into `output/`.

    Start with `ecg-lab render-benchmark -o output/pages -n 10`, then `ecg-lab benchmark output/pages`.
    """
    show_log(verbose)


app.command()(methods.predict)
app.command()(methods.compare)
app.command("export-network")(methods.export_network)
app.command("train-peer")(methods.train_peer)
app.command("export-peer")(methods.export_peer)
app.command()(measure.benchmark)
app.command("right-leads")(measure.right_leads)
app.command("wrong-waves")(measure.wrong_waves)
app.command()(measure.delineators)
app.command()(measure.headers)
app.command()(measure.redaction)
app.command("fit-trust")(measure.fit_trust)
app.command("fit-tips")(measure.fit_tips)
app.command()(measure.ablations)
app.command()(measure.robustness)
app.command()(measure.fidelity)
app.command("geometry-benchmark")(measure.geometry_benchmark)
app.command()(measure.confidence)
app.command()(measure.words)
app.command()(faults.kills)
app.command()(faults.mutations)
app.command()(faults.cost)
app.command()(faults.memory)
app.command("learn-bench")(learning.learn_bench)
app.command()(service.load)
app.command("hostile-uploads")(service.hostile_uploads)
app.command("cross-validate")(measure.cross_validate)
app.command("render-benchmark")(pages.render_benchmark)
app.command("render-plots")(pages.render_plots)
app.command("render-programs")(pages.render_programs)
app.command("render-others")(pages.render_others)
app.command("render-crossings")(pages.render_crossings)
app.command("cut-pages")(pages.cut_pages)
app.command()(pages.paper)
app.command()(pages.gallery)
app.command()(pages.notebooks)
app.command("kaggle-submit")(contest.kaggle_submit)
app.command("kaggle-check")(contest.kaggle_check)
app.command("kaggle-score")(contest.kaggle_score)
