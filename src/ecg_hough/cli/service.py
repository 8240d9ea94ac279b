"""Commands of the service: `serve`, `dicom-listen`, and `keys add`, `list` and `remove`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecg_hough.cli.arguments import Verbose, Workers, positive
from ecg_hough.cli.screen import plain_errors

if TYPE_CHECKING:
    from ecg_hough.service.app import People
    from ecg_hough.service.keys import Doorkeeper
    from ecg_hough.service.store import Store

keys_app = typer.Typer(
    no_args_is_help=True, help="API keys of ecg-hough serve: the file holds their hashes alone."
)

DataFolder = Annotated[
    Path, typer.Option("--data", help="Folder of jobs, uploads and records; made if missing.")
]
KeysFile = Annotated[Path, typer.Option("--keys", "-k", help="File of the keys' hashes; made if missing.")]
KeyName = Annotated[str, typer.Argument(metavar="NAME", help="Of letters, digits and hyphens.")]
PageSeconds = Annotated[float, typer.Option(callback=positive, help="Time that a page may take.")]
PageMib = Annotated[
    float, typer.Option(callback=positive, help="Memory that the process of a page may hold, MiB.")
]
KeepHours = Annotated[
    float, typer.Option(callback=positive, help="Hours that results are kept; uploads go once they are read.")
]
MostMb = Annotated[float, typer.Option(callback=positive, help="Largest upload, MB.")]
MostPages = Annotated[int, typer.Option(min=1, help="Most pages of a file.")]


def serve(
    data: DataFolder = Path("service"),
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs --keys.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    keys: Annotated[
        Path | None,
        typer.Option(help="File of API keys, see ecg-hough keys add.", show_default="none are needed"),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="Name under which clients know a proxy before it; again for more."),
    ] = None,
    workers: Workers = 1,
    page_seconds: PageSeconds = 60.0,
    page_mib: PageMib = 2500.0,
    most_mb: MostMb = 50.0,
    megapixels: Annotated[float, typer.Option(callback=positive, help="Largest picture.")] = 60.0,
    most_pages: MostPages = 50,
    upload_seconds: Annotated[
        float, typer.Option(callback=positive, help="Time in which an upload must arrive.")
    ] = 60.0,
    queue: Annotated[int, typer.Option(min=1, help="Jobs that may wait, of everybody.")] = 200,
    queue_of_key: Annotated[int, typer.Option(min=1, help="Jobs that may wait, of one key.")] = 50,
    wait_seconds: Annotated[
        float, typer.Option(callback=positive, help="That an upload waits before it is answered with a job.")
    ] = 30.0,
    keep_hours: KeepHours = 24.0,
    review: Annotated[
        bool,
        typer.Option(
            "--review", help="Let people review in a browser what they sent; uploads stay as long as records."
        ),
    ] = False,
    verbose: Verbose = 0,
) -> None:
    """Serve pages over HTTP: send an image, PDF or DICOM object, get its record in the format you accept.

    Jobs are kept on the disk: what was accepted is done, even if the server is killed meanwhile. It speaks
    plain HTTP; TLS and logins are a proxy's, see docs/templates/nginx.conf.

    Examples:

    - on this machine: `ecg-hough serve`, then
      `curl -F page=@scan.jpg -H 'Accept: text/csv' localhost:8000/v1/pages`
    - a department: `ecg-hough keys add ward-3 -k keys.json`, then `ecg-hough serve --host 0.0.0.0 --keys
      keys.json --workers 4`
    - behind a proxy on this machine: `ecg-hough serve --keys keys.json --name ecg-server`
    - people correct what was sent, in a browser: `ecg-hough serve --review --keys keys.json --keep-hours 168`
    """
    with plain_errors():
        from ecg_hough.batch.workers import end_by_sigterm
        from ecg_hough.service.bounds import Bounds
        from ecg_hough.service.server import Address
        from ecg_hough.service.server import serve as run

        bounds = Bounds(
            upload_mb=most_mb, megapixels=megapixels, pages=most_pages, upload_seconds=upload_seconds,
            queue=queue, queue_of_key=queue_of_key, page_seconds=page_seconds, page_mib=page_mib,
            wait_seconds=wait_seconds, keep_hours=keep_hours,
        )  # fmt: skip
        end_by_sigterm()
        run(
            data, address=Address(host, port, tuple(names or ()), keys), bounds=bounds, workers=workers,
            people_of=_people_of() if review else None,
            on_listening=lambda url: typer.echo(f"Listening on {url}", err=True),
        )  # fmt: skip


def _people_of() -> Callable[[Store, Doorkeeper], People]:
    from ecg_hough.service.people import people_of

    return people_of


def dicom_listen(
    callers: Annotated[
        list[str], typer.Option("--allow", help="AE title of an application that may send; again for more.")
    ],
    peer: Annotated[
        str | None,
        typer.Option(
            metavar="TITLE@HOST:PORT",
            help="Application that gets the DICOM waveforms; tried again until it has them.",
            show_default="none: they stay in --data",
        ),
    ] = None,
    data: DataFolder = Path("service-dicom"),
    title: Annotated[str, typer.Option(help="Own AE title.")] = "ECG_HOUGH",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 11112,
    workers: Workers = 1,
    page_seconds: PageSeconds = 60.0,
    page_mib: PageMib = 2500.0,
    most_mb: MostMb = 50.0,
    most_pages: MostPages = 50,
    keep_hours: KeepHours = 24.0,
    verbose: Verbose = 0,
) -> None:
    """Take pages by DICOM C-STORE and send the ECG back as a DICOM waveform.

    It takes secondary captures and encapsulated PDFs from the applications that --allow names, answers
    C-ECHO, and keeps patient and study. An AE title is a name, no password: let a firewall or a VPN decide
    who reaches the port.

    Examples:

    - from a cart, back to the archive: `ecg-hough dicom-listen --allow CART1 --peer PACS@192.168.1.5:104
      --host 0.0.0.0`
    - a try on this machine: `ecg-hough dicom-listen --allow STORESCU`, then
      `python -m pynetdicom storescu 127.0.0.1 11112 PAGE.dcm -aec ECG_HOUGH -aet STORESCU`
    """
    with plain_errors():
        from ecg_hough.batch.workers import end_by_sigterm
        from ecg_hough.service.bounds import Bounds
        from ecg_hough.service.dicom_listen import Listening, listen
        from ecg_hough.service.outbox import Peer

        bounds = Bounds(
            upload_mb=most_mb, pages=most_pages, page_seconds=page_seconds, page_mib=page_mib,
            keep_hours=keep_hours,
        )  # fmt: skip
        end_by_sigterm()
        listen(
            data,
            Listening(tuple(callers), title, host, port, None if peer is None else Peer.of(peer)),
            bounds=bounds,
            workers=workers,
            on_listening=lambda port: typer.echo(f"{title} listens on {host}:{port}", err=True),
        )


@keys_app.command("add")
def add_key(
    name: KeyName,
    keys: KeysFile = Path("keys.json"),
    for_users: Annotated[
        bool,
        typer.Option(
            "--for-users",
            help="For a proxy that lets users in and names them in X-Forwarded-User: each has own jobs.",
        ),
    ] = False,
) -> None:
    """Make a key and print it; it cannot be shown again.

    Example: `ecg-hough keys add ward-3 -k keys.json`
    """
    with plain_errors():
        from ecg_hough.service.keys import add_key as add

        typer.echo(add(keys, name, for_users=for_users))


@keys_app.command("list")
def list_keys(keys: KeysFile = Path("keys.json")) -> None:
    """Show the names of the keys and when they were made."""
    with plain_errors():
        from ecg_hough.service.keys import read_keys

        for key in read_keys(keys).values():
            typer.echo(f"{key.name}  {key.created}{'  for users' if key.for_users else ''}")


@keys_app.command("remove")
def remove_key(name: KeyName, keys: KeysFile = Path("keys.json")) -> None:
    """Take a key away; a running server refuses it from then on.

    Example: `ecg-hough keys remove ward-3 -k keys.json`
    """
    with plain_errors():
        from ecg_hough.service.keys import remove_key as remove

        remove(keys, name)
