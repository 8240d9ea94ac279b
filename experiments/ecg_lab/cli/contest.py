"""Commands for the Kaggle contest of 2025/26: `kaggle-submit`, `kaggle-check`, `kaggle-score`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_hough.cli.arguments import AllowTrained, Workers
from ecg_hough.cli.screen import FAILED, plain_errors, print_table, progress_bar
from ecg_lab.cli.extras import EXTRAS

if TYPE_CHECKING:
    from ecg_hough.batch.predict import PageResult
    from ecg_lab.kaggle import Check, Pace

Contest = Annotated[Path, typer.Argument(metavar="DATA", help="The contest's folder.")]
PACE_EVERY = 100
"""Pages between two lines on the pace of a long run."""


def kaggle_submit(
    data: Contest,
    out: Annotated[Path, typer.Option("--out", "-o", help="The Parquet file.")] = Path("submission.parquet"),
    work: Annotated[
        Path | None, typer.Option(help="Folder of the digitised pages.", show_default="OUT.pages")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Check the file when it is written.")] = False,
    workers: Workers = 1,
) -> None:
    """Digitise the test pages of the Kaggle contest (2025/26) into a submission; offline.

    A stopped run is resumed. A page that fails is named, its values are 0, and the exit status is then 1.
    Needs the kaggle extra.

    Example: `ecg-lab kaggle-submit /kaggle/input/physionet-ecg-image-digitization --check`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.kaggle import check_submission, submit

        with _pace_bar() as on_page:
            result = submit(data, out, work=work, workers=workers, on_page=on_page)
        for page, leads in result.missing_leads.items():
            typer.echo(f"{page}: not read, 0 mV: {', '.join(leads)}")
        typer.echo(str(result.pace))
        typer.echo(f"{result.pages} pages, {len(result.failed)} failed, {result.rows} rows in {result.path}")
        passed = _print_check(check_submission(out, data)) if check else True
    if result.failed or not passed:
        raise typer.Exit(FAILED)


def kaggle_check(
    submission: Annotated[Path, typer.Argument(help="The Parquet file.")],
    data: Contest,
) -> None:
    """Check a submission against test.csv and sample_submission.parquet. Needs the kaggle extra.

    Example: `ecg-lab kaggle-check submission.parquet contest/`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.kaggle import check_submission

        passed = _print_check(check_submission(submission, data))
    if not passed:
        raise typer.Exit(FAILED)


def kaggle_score(
    data: Contest,
    work: Annotated[Path, typer.Option(help="Folder of the digitised pages.")] = Path("output/kaggle"),
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON file of all pages' scores.")] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only pages of this type, such as 0005; several are possible."),
    ] = None,
    n: Annotated[int | None, typer.Option("-n", "--n", min=1, help="Only the first n pages.")] = None,
    allow_trained: AllowTrained = False,
    workers: Workers = 1,
) -> None:
    """Score the contest's train pages with its own metric, under the caps of 384 and of a million.

    Example: `ecg-lab kaggle-score contest/ --type 0001 --type 0003 -n 100 -o scores.json`
    """
    with plain_errors(EXTRAS):
        from ecg_lab.kaggle import score_train

        with _pace_bar() as on_page:
            score = score_train(
                data,
                work,
                types=types or (),
                n=n,
                workers=workers,
                allow_trained=allow_trained,
                on_page=on_page,
            )
        print_table(score.table())
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            score.to_json(out)
            typer.echo(f"All pages in {out}")


def _print_check(check: Check) -> bool:
    """Print what a check has found; returns whether the submission is good."""
    for problem in check.problems:
        typer.echo(f"problem: {problem}")
    for note in check.notes:
        typer.echo(f"note: {note}")
    if not check.problems:
        typer.echo(f"{check.rows} rows, as the contest asks")
    return not check.problems


@contextmanager
def _pace_bar() -> Iterator[Callable[[PageResult, Pace], None]]:
    """A progress bar, with failed pages above it and the pace after every hundred."""
    with progress_bar("digitising") as on_progress:
        seen = 0

        def show(result: PageResult, pace: Pace) -> None:
            nonlocal seen
            seen += 1
            if result.status == "failed":
                on_progress.print(f"{result.path.stem}: {result.stage}: {result.message}")
            if seen % PACE_EVERY == 0:
                on_progress.print(str(pace))
            on_progress(seen, seen + pace.remaining)

        yield show
