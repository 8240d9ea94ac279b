"""The command `review`: a person looks at records in a browser, or writes what was reviewed."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_hough.cli.arguments import Formats, MovedPages, Verbose
from ecg_hough.cli.screen import FAILED, OnProgress, plain_errors, progress_bar

if TYPE_CHECKING:
    from ecg_hough.review.export import Exported


def review(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", exists=True, file_okay=False, help="Folder that predict wrote.")
    ],
    pages: MovedPages = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", file_okay=False, help="Write the reviewed records there, open no browser."),
    ] = None,
    formats: Formats = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    database: Annotated[
        str | None,
        typer.Option(
            help="URL of a database for several people, such as postgresql+psycopg://host/name.",
            show_default="OUT/review.db",
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="Your name in the log.", show_default="that of your account")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
    verbose: Verbose = 0,
) -> None:
    """Look at records in a browser: accept, reject, correct; riskiest first.

    Examples:

    - look at what predict wrote: `ecg-hough review out`
    - pages that have moved since: `ecg-hough review out --pages scans/`
    - write all records with their corrections, as DICOM too:
      `ecg-hough review out --export reviewed --format dicom`
    - several people, one database:
      `ecg-hough review out --database postgresql+psycopg://review@db/ecg --user anna`

    The server answers on 127.0.0.1 alone, to the browser that opens the printed address. Every correction
    is kept at once, in a log that only grows; the records in OUT are not changed. With `--export`, pages
    that were rejected, and pages without a record, are named and not written. docs/review.md says how to
    correct a page.
    """
    with plain_errors():
        from ecg_hough.review.engine import Engine
        from ecg_hough.review.library import Library
        from ecg_hough.review.store import Store

        store = Store(database) if database is not None else Store.beside(out)
        engine = Engine(Library(out, pages or ()), store)
        if export is not None:
            _export(engine, export, formats, overwrite)
        else:
            from ecg_hough.review.app import serve_review

            serve_review(
                engine, user=user or getpass.getuser(), port=port, browser=browser, on_address=typer.echo
            )


def _export(engine: object, folder: Path, formats: list[str] | None, overwrite: bool) -> None:
    from ecg_hough.review.export import export_reviewed

    with progress_bar("writing") as bar:
        done = export_reviewed(
            engine,  # type: ignore[arg-type]
            folder,
            formats or (),
            overwrite=overwrite,
            on_page=_printer(bar),
        )
    written = sum(one.path is not None for one in done)
    typer.echo(f"{written} records written, {len(done) - written} not. Results in {folder}")
    if any(one.failed for one in done):
        raise typer.Exit(FAILED)


def _printer(bar: OnProgress):  # type: ignore[no-untyped-def]
    """Names a page that is not written above the bar, and moves it on."""
    n_done = 0

    def show(result: Exported, total: int) -> None:
        nonlocal n_done
        n_done += 1
        if result.path is None:
            bar.print(f"{result.stem}: not written: {result.reason}")
        bar(n_done, total)

    return show
