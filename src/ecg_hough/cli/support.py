"""The command `doctor`, and the report of `info`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecg_hough.cli.screen import FAILED, PACKAGES, decisions, plain_errors

if TYPE_CHECKING:
    from ecg_hough.support.installation import Installation


def doctor(
    sample: Annotated[
        bool, typer.Option("--sample/--no-sample", help="Draw a page in memory, read it and time it.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Show versions, processor, weights and extras, and read a page drawn in memory.

    Weights are compared with the sha256 in their cards. Of an extra that is not installed the command that
    installs it is shown. The exit status is 1 where something must be mended.

    Example: `ecg-hough doctor`
    """
    with plain_errors():
        from ecg_hough.support.installation import examine

        found = examine(PACKAGES, sample=sample)
    if as_json:
        from ecg_hough.output.export import json_bytes

        typer.echo(json_bytes(found.to_dict()).decode(), nl=False)
    else:
        _print(found)
    if found.problems:
        raise typer.Exit(FAILED)


def _print(found: Installation) -> None:
    for name, value in {
        "ecg-hough": found.version,
        "python": f"{found.python}, {found.system}",
        "processor": f"{found.processor}, {found.cores} cores",
        "features": " ".join(found.features) or "not known",
        "compiled networks": found.cache,
    }.items():
        typer.echo(f"{name + ':':<20}{value}")
    typer.echo("packages:           " + ", ".join(f"{name} {its}" for name, its in found.packages.items()))
    typer.echo("weights:")
    for version, problem in found.weights.items():
        typer.echo(f"  {version:<18}{problem or 'ok'}")
    typer.echo("extras:")
    for extra in found.extras:
        there = ", ".join(f"{name} {its}" for name, its in extra.versions.items())
        if not extra.missing:
            typer.echo(f"  {extra.name:<18}{there}")
        else:
            typer.echo(f"  {extra.name:<18}missing {', '.join(extra.missing)}: {extra.install}")
    if found.sample is not None:
        one = found.sample
        typer.echo(
            f"sample page:        {one.layout}, {one.leads_found} leads, {one.snr_db:.1f} dB, "
            f"in {one.precision}; {one.second_s:.2f} s, the first time {one.first_s:.2f} s"
        )
    for problem in found.problems:
        typer.echo(f"problem: {problem}", err=True)
    if not found.problems:
        typer.echo("Nothing to mend.")


def write_report(page: Path, report: Path, number: int, known: dict[str, Any]) -> None:
    """Write the report of a page, and say what is in it.

    Args:
        page: its file; report: of the zip file; number: of the page in its file.
        known: what `digitize` is told.

    Raises:
        PageError: the report cannot be written.
    """
    from ecg_hough.support.installation import examine
    from ecg_hough.support.report import report_page

    with decisions() as seen:
        made = report_page(page, number, **known)
    versions = examine(PACKAGES, sample=False).to_dict()
    del versions["cache"]  # a folder of the user's
    names = made.write(report, versions=versions, evidence=seen)
    if made.error is not None:
        typer.echo(made.error)
    typer.echo(f"{report}: {', '.join(names)}. Look at it before you send it.")
