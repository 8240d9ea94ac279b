"""Commands that learn from a review: `suggest` which pages to correct, `learn` from those that were."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ecg_hough.cli.arguments import MovedPages, Seed, Verbose, positive
from ecg_hough.cli.screen import live_line, plain_errors, resumable

ReviewFolder = Annotated[
    Path,
    typer.Argument(
        metavar="REVIEW", exists=True, file_okay=False, help="Folder that predict wrote and people reviewed."
    ),
]
Database = Annotated[
    str | None,
    typer.Option(help="URL of the review's database, as given to review.", show_default="REVIEW/review.db"),
]


def suggest(
    folder: ReviewFolder,
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Number of pages.")] = 20,
    database: Database = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    verbose: Verbose = 0,
) -> None:
    """Name the pages that are worth correcting next, most first.

    A correction is worth most where the machine is probably wrong and many other pages look like the page, by
    layout, cart and warnings. Each further page of a kind is worth less, so that not all are of one kind.

    Examples:

    - `ecg-hough suggest out -n 20`
    - for another program: `ecg-hough suggest out --json`
    """
    with plain_errors():
        from ecg_hough.review.library import Library
        from ecg_hough.review.queue import QueueRow
        from ecg_hough.review.store import DATABASE_NAME, Standing, Store
        from ecg_hough.review.suggest import suggest as rank

        entries = Library(folder).entries
        standings: dict[int, Standing] = {}
        numbers = dict(enumerate(entries))
        if database is not None or (folder / DATABASE_NAME).is_file():
            store = Store(database) if database is not None else Store.beside(folder)
            numbers = {store.page_id(entry.stem, entry.sha256): entry for entry in entries}
            standings = store.standings(list(numbers))
            store.close()
        rows = [QueueRow(k, entry, standings.get(k, Standing())) for k, entry in numbers.items()]
        found = rank(rows, n)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=1))
        return
    for one in found:
        typer.echo(
            f"{one.stem}: gain {one.gain:.2f} pages, wrong with a probability of {one.risk:.0%}, "
            f"{one.alike} pages alike"
        )
    if not found:
        typer.echo("No page with a record is left that nobody has looked at.")


def learn(
    folder: ReviewFolder,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", file_okay=False, help="Folder of the weights, for predict --weights."),
    ],
    pages: MovedPages = None,
    database: Database = None,
    standard: Annotated[
        Path,
        typer.Option(
            exists=True, file_okay=False, help="Folder of pages with true records that must not be lost on."
        ),
    ] = Path("samples"),
    records: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="WFDB records that drawn pages show among the corrected ones.",
            show_default="generated ECGs alone",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training.")] = 300,
    batch_size: Annotated[int, typer.Option(min=1, help="Crops a step.")] = 4,
    learning_rate: Annotated[float, typer.Option(callback=positive, help="Of the steps.")] = 3e-4,
    seed: Seed = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the training.", show_default="all cores")
    ] = None,
    verbose: Verbose = 0,
) -> None:
    """Learn from the corrections of a review: weights that read such pages better, if they do.

    Examples:

    - `ecg-hough learn out -o weights`, then `ecg-hough predict scans/ -o again --weights weights`
    - with a standard set of your own: `ecg-hough learn out -o weights --standard standard`

    The trace network is trained on with strips of pages that were corrected or accepted, mixed with drawn
    ones. One page in four is held out. The new network is written only if it reads the corrected leads of
    those better, no more leads wrong, and the standard set at most 0.1 dB worse. The probabilities of leads
    are recalibrated likewise. Names, layouts and landmarks are not learnt. Needs the extras train and serve;
    a stopped run goes on with the same command. docs/guides/learn.md has more.
    """
    with plain_errors(), resumable(out), live_line("learning") as show:
        import torch  # noqa: F401  (a missing extra is said before pages are read)

        from ecg_hough.review.engine import Engine
        from ecg_hough.review.library import Library
        from ecg_hough.review.store import Store
        from ecg_hough.training.learn import LearnSettings
        from ecg_hough.training.learn import learn as run

        store = Store(database) if database is not None else Store.beside(folder)
        result = run(
            Engine(Library(folder, pages or ()), store),
            out,
            standard=standard,
            command=" ".join(["ecg-hough", *sys.argv[1:]]),
            settings=LearnSettings(
                steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed, records=records,
                threads=threads,
            ),
            on_progress=lambda what, done, n: show(f"{what} {done}/{n}"),
        )  # fmt: skip
        store.close()
    for stem, reason in result.without.items():
        typer.echo(f"{stem}: not learnt from: {reason}")
    for sentence in result.sentences:
        typer.echo(sentence)
    if result.taken is not None or result.trust_taken:
        typer.echo(f"Weights in {out}. Next: ecg-hough predict IN -o OUT --weights {out}")
