"""The service as a process: a folder, an address, and what must hold before anybody can reach it.

In: options of a server. Out: nothing; it runs until it is told to end.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from ecg_hough.batch.lineage import PageReader
from ecg_hough.batch.lock import only_run
from ecg_hough.batch.reader import SHIPPED_READER
from ecg_hough.service.app import People, make_app
from ecg_hough.service.bounds import Bounds
from ecg_hough.service.engine import Engine
from ecg_hough.service.keys import Doorkeeper
from ecg_hough.service.metrics import Metrics
from ecg_hough.service.reading import ReadWork
from ecg_hough.service.store import Store
from ecg_hough.web.security import LOOPBACK

CONNECTIONS_PER_UPLOAD = 8
"""Open connections for each upload that may arrive at once; further ones are answered with 503."""
HEAD_BYTES = 16_384
"""Of a request's head."""


@dataclass(frozen=True)
class Address:
    """Where a server listens, and under which names.

    Attributes:
        host, port: that it binds; port 0 takes a free one.
        names: by which clients know it, behind a proxy for instance.
        keys: file of API keys, which any address but this machine's own needs.
    Raises:
        ValueError: another address without keys.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    names: tuple[str, ...] = ()
    keys: Path | None = None

    def __post_init__(self) -> None:
        if self.keys is None and not is_loopback(self.host):
            raise ValueError(
                f"host must be this machine's own, such as 127.0.0.1, without keys; got {self.host!r}. "
                "Make a key with ecg-hough keys add, and give its file with --keys"
            )

    @property
    def hosts(self) -> Collection[str] | None:
        """Names that the `Host` header may have; None allows any, as a key is needed all the same."""
        if self.keys is not None and not is_loopback(self.host) and not self.names:
            return None
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (*LOOPBACK, host, *self.names)


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def serve(
    folder: Path,
    *,
    address: Address | None = None,
    bounds: Bounds | None = None,
    workers: int = 1,
    read: PageReader = SHIPPED_READER,
    people_of: Callable[[Store, Doorkeeper], People] | None = None,
    on_listening: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        folder: of its jobs, made if missing; one server at a time may have it.
        address: where it listens.
        bounds: of what it takes.
        workers: processes that read pages.
        read: what reads a page.
        people_of: makes pages for people with a browser, who look at what was sent; uploads are then kept as
            long as their records.
        on_listening: called with the server's URL once it listens.
    Raises:
        ValueError: the file of keys has none.
        PageError: stage "export": another server has the folder, or it cannot be written.
        OSError: the address cannot be bound.
    """
    address, bounds = address or Address(), bounds or Bounds()
    doorkeeper = Doorkeeper(address.keys)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of damaged forms
    with (
        only_run(folder),
        contextlib.closing(Store(folder, keep_pages=people_of is not None)) as store,
        _bound(address) as listening,
    ):
        tempfile.tempdir = str(store.temporary)  # what a kill leaves is found there
        metrics = Metrics(lambda: dict(store.counts()))
        engine = Engine(
            store, ReadWork(read, for_review=people_of is not None), workers=workers, bounds=bounds,
            on_done=lambda job, seconds: metrics.finished(job.state, seconds),
        )  # fmt: skip
        app = make_app(
            store, engine, metrics=metrics, bounds=bounds, doorkeeper=doorkeeper, hosts=address.hosts,
            people=None if people_of is None else people_of(store, doorkeeper),
        )  # fmt: skip
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="error",  # what is no HTTP is warned of, without end where somebody sends it so
            ws="none",
            server_header=False,
            limit_concurrency=bounds.uploads_at_once * CONNECTIONS_PER_UPLOAD,
            h11_max_incomplete_event_size=HEAD_BYTES,
            timeout_graceful_shutdown=int(bounds.wait_seconds),
        )
        host = f"[{address.host}]" if ":" in address.host else address.host
        on_listening(f"http://{host}:{listening.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listening])


def _bound(address: Address) -> socket.socket:
    kind = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(kind, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address.host, address.port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening
