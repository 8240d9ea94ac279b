"""Commands that measure the service: `load` and `hostile-uploads`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecg_hough.cli.arguments import Seed
from ecg_hough.cli.screen import plain_errors, progress_bar
from ecg_lab.cli.extras import EXTRAS

Samples = Annotated[
    Path, typer.Option(exists=True, file_okay=False, help="Folder of pages, which are made smaller.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="JSON file of the figures.")]


def load(
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Uploads.")] = 500,
    clients: Annotated[int, typer.Option(min=1, help="Clients that send side by side.")] = 8,
    n_kills: Annotated[
        int, typer.Option("--kills", min=0, help="Times that the server or a process of it is killed.")
    ] = 0,
    pause: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds that a stand-in takes for a page: the server is measured, not the reader.",
            show_default="pages are read",
        ),
    ] = None,
    samples: Samples = Path("samples"),
    folder: Annotated[Path, typer.Option(help="For the server's files; emptied.")] = Path("output/load"),
    seed: Seed = 0,
    out: Out = Path("output/load.json"),
) -> None:
    """Send uploads to a server that this command starts: none may be lost or answered twice.

    Examples:

    - read 500 small pages: `ecg-lab load`
    - the server alone, killed 20 times meanwhile: `ecg-lab load --pause 0.05 --kills 20`
    """
    with plain_errors(EXTRAS), progress_bar("sending") as on_progress:
        from ecg_hough.output.export import write_document
        from ecg_lab.service_load import run_load

        found = run_load(
            folder, samples, n=n, clients=clients, n_kills=n_kills, pause_s=pause, seed=seed,
            on_progress=on_progress,
        )  # fmt: skip
        write_document(found.to_dict(), out)
    for name, value in found.to_dict().items():
        typer.echo(f"{name}: {value}")


def hostile_uploads(
    n: Annotated[int, typer.Option("-n", "--n", min=1, help="Requests.")] = 1000,
    samples: Samples = Path("samples"),
    folder: Annotated[Path, typer.Option(help="For the server's files; emptied.")] = Path("output/hostile"),
    seed: Seed = 0,
    out: Out = Path("output/hostile.json"),
) -> None:
    """Send hostile requests to a server that this command starts, and look at what they did.

    Exit status 1 where there was an error of the server, a file outside, or another client's data.

    Example: `ecg-lab hostile-uploads -n 1000 --seed 0`
    """
    with plain_errors(EXTRAS), progress_bar("sending") as on_progress:
        from ecg_hough.output.export import write_document
        from ecg_lab.hostile_uploads import run_hostile

        found = run_hostile(folder, samples, n=n, seed=seed, on_progress=on_progress)
        write_document(found.to_dict(), out)
    for name, value in found.to_dict().items():
        typer.echo(f"{name}: {value}")
    if found.errors or found.outside or found.of_others or found.restarts or not found.is_up:
        raise typer.Exit(1)
