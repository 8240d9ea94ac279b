"""Commands of large batches: `batch plan`, `run`, `status`, `report` and `verify`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecg_hough.cli.arguments import (
    PAGE_SECONDS,
    Fs,
    Gain,
    PageMib,
    PageSeconds,
    Readout,
    Seed,
    Speed,
    Verbose,
    Workers,
)
from ecg_hough.cli.screen import FAILED, duration, page_progress, plain_errors, progress_bar

if TYPE_CHECKING:
    from ecg_hough.batch.run import Status

app = typer.Typer(
    no_args_is_help=True,
    help="Pages by the million: a manifest to Parquet parts, resumable from any end. Begin with batch plan.",
)

Engine = StrEnum("Engine", ["local", "ray"])
Overlays = StrEnum("Overlays", ["check", "all", "none"])
Root = Annotated[
    str, typer.Argument(metavar="ROOT", help="Folder of the plan: a path, s3://bucket/folder or the like.")
]
MostMb = Annotated[int, typer.Option(min=1, help="Largest file that is read, MB.")]


@app.command()
def plan(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="PAGES...",
            help="A manifest (.csv or .parquet with a column uri, and where known page, sha256, size), "
            "folders, or pages; paths or URIs.",
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="ROOT", help="Folder of the batch.")],
    shard_pages: Annotated[
        int, typer.Option(min=1, help="Pages of a shard, the unit that is resumed.")
    ] = 500,
    fs: Fs = 500,
    readout: Annotated[Readout, typer.Option(help="As for predict.")] = Readout.trace,
    speed: Speed = None,
    gain: Gain = None,
    overlays: Annotated[
        Overlays, typer.Option(help="Pages of which a picture with the traces is kept.")
    ] = Overlays.check,
    all_pages: Annotated[
        bool, typer.Option("--all-pages", help="Every page of files of several; opens every file.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put this plan in place of another; parts of both are kept.")
    ] = False,
    verbose: Verbose = 0,
) -> None:
    """Plan a batch: which pages, in which shards, read how. Reads no page.

    Example: `ecg-hough batch plan scans/ -o batch`, then `ecg-hough batch run batch --workers 4`
    """
    with plain_errors():
        from ecg_hough.batch.plan import make_plan
        from ecg_hough.batch.reader import Digitizer

        read = Digitizer(fs, speed, gain, readout.value)
        made = make_plan(
            sources,
            out,
            read=read,
            shard_pages=shard_pages,
            overlays=overlays.value,
            all_pages=all_pages,
            replace=replace,
        )
    twice = f" ({made.n_twice} named twice were left out)" if made.n_twice else ""
    typer.echo(f"{made.n_pages} pages{twice} in {len(made.parts)} shards. Next: ecg-hough batch run {out}")


@app.command()
def run(
    root: Root,
    engine: Annotated[
        Engine, typer.Option(help="local: processes here. ray: actors of a Ray cluster.")
    ] = Engine.local,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes.", show_default="1; with Ray one a core of the cluster"),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Of N jobs this is number I, from 0: a job array.", show_default="all"
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Of the Ray cluster.", show_default="RAY_ADDRESS, or one begun here"),
    ] = None,
    page_seconds: PageSeconds = PAGE_SECONDS,
    page_mib: PageMib = None,
    most_mb: MostMb = 200,
    verbose: Verbose = 0,
) -> None:
    """Do what is planned and not done. Stop it as you like, and run it again: finished shards are kept.

    A page that fails is a row with its reason; the exit status is 0 all the same. A page is given up when it
    has ended its worker, or gone beyond its limits, three times.

    Examples:

    - four processes here: `ecg-hough batch run batch --workers 4`
    - the third of ten jobs: `ecg-hough batch run s3://bucket/batch --shard 2/10 --workers 8`
    - a Ray cluster: `ecg-hough batch run s3://bucket/batch --engine ray --address auto`
    """
    with plain_errors():
        from ecg_hough.batch.plan import load_plan
        from ecg_hough.batch.reader import digitizer_of
        from ecg_hough.batch.run import run_here, run_on_ray
        from ecg_hough.batch.workers import Limits, end_by_sigterm

        made = load_plan(root)
        read = digitizer_of(made.options)
        bounds: dict[str, Any] = {"limits": Limits(page_seconds, page_mib), "most_bytes": most_mb * 1_000_000}
        end_by_sigterm()
        if engine is Engine.ray:
            if shard is not None:
                raise ValueError("shard must not be given with Ray, which shares the work out itself")
            with progress_bar("shards") as bar:
                total, n = len(made.parts) - len(made.done()), 0

                def show(marker: dict[str, Any]) -> None:
                    nonlocal n
                    n += 1
                    bar(n, total)

                run_on_ray(made, read, address=address, workers=workers, on_shard=show, **bounds)
            typer.echo(f"{n} shards done. Next: ecg-hough batch report {root}")
            return
        with page_progress() as on_page:
            end = run_here(made, read, shard=shard, workers=workers or 1, on_page=on_page, **bounds)
    counts = ", ".join(f"{n} {status}" for status, n in sorted(end.counts.items())) or "none"
    typer.echo(
        f"{end.done} pages read ({counts}) in {duration(end.seconds)}, {end.before} done before. "
        f"Next: ecg-hough batch report {root}"
    )


@app.command()
def status(
    root: Root,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    verbose: Verbose = 0,
) -> None:
    """Show how far a batch is, also while it is run elsewhere."""
    with plain_errors():
        from dataclasses import asdict

        from ecg_hough.batch.plan import load_plan
        from ecg_hough.batch.run import status_of
        from ecg_hough.output.export import json_bytes

        found = status_of(load_plan(root))
    if as_json:
        rates = {"pages_per_s": found.pages_per_s, "left_s": found.left_s}
        typer.echo(json_bytes(asdict(found) | rates).decode(), nl=False)
    else:
        _print_status(found)


def _print_status(found: Status) -> None:
    share = 100 * found.pages_done / max(1, found.pages)
    typer.echo(f"shards done: {found.shards_done} of {found.shards}")
    typer.echo(f"pages done:  {found.pages_done} of {found.pages} ({share:.1f} %)")
    left = "" if found.left_s is None else f", {duration(found.left_s)} left"
    typer.echo(f"running:     {len(found.runs)} jobs, {found.pages_per_s:.2f} pages/s{left}")
    for one in found.runs:
        which = f" shard {one['shard']}" if one["shard"] else ""
        typer.echo(f"  {one['host']}{which}: {one['done']} pages in {duration(one['seconds'])}")


@app.command()
def report(
    root: Root,
    worst: Annotated[int, typer.Option(min=0, help="Pages that are shown.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON, too.")] = False,
    verbose: Verbose = 0,
) -> None:
    """Count what became of the pages, by status, layout and warning; write report.html with the worst."""
    with plain_errors():
        from ecg_hough.batch.plan import load_plan
        from ecg_hough.batch.summary import summarize, write_report
        from ecg_hough.output.export import json_bytes

        made = load_plan(root)
        summary = summarize(made, worst=worst)
        uri = write_report(made, summary)
    if as_json:
        typer.echo(json_bytes(summary.to_dict()).decode(), nl=False)
        return
    for name, n in summary.statuses.most_common():
        typer.echo(f"{name + ':':<10}{n:>10}")
    typer.echo(f"{summary.n_pages} of {made.n_pages} pages. Report in {uri}")


@app.command()
def verify(
    root: Root,
    n: Annotated[int, typer.Option("-n", "--n", min=0, help="Pages to read again.")] = 20,
    seed: Seed = 0,
    workers: Workers = 1,
    page_seconds: PageSeconds = PAGE_SECONDS,
    most_mb: MostMb = 200,
    verbose: Verbose = 0,
) -> None:
    """Check every part against its marker and the manifest, and read a sample of pages again.

    Exit status 1 where anything differs.
    """
    with plain_errors():
        from ecg_hough.batch.plan import load_plan
        from ecg_hough.batch.reader import digitizer_of
        from ecg_hough.batch.verify import verify as run_check
        from ecg_hough.batch.workers import Limits

        made = load_plan(root)
        with progress_bar("verifying") as bar:
            found = run_check(
                made,
                digitizer_of(made.options),
                n=n, seed=seed, workers=workers, limits=Limits(page_seconds),
                most_bytes=most_mb * 1_000_000, on_progress=bar,
            )  # fmt: skip
    for problem in found.problems:
        typer.echo(problem)
    typer.echo(
        f"{found.n_parts} parts checked, {found.n_read} pages read again, {len(found.problems)} problems"
    )
    if found.problems:
        raise typer.Exit(FAILED)
