"""A DICOM storage provider for pages: secondary captures and encapsulated PDFs in, ECG waveforms back.

In: C-STOREs of applications that are allowed. Out: jobs of the store, whose records the outbox sends on. An
object is answered with success when its job is on the disk, not before.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    EncapsulatedPDFStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    Verification,
)

from ecg_hough.batch.lineage import PageReader
from ecg_hough.batch.lock import only_run
from ecg_hough.batch.reader import SHIPPED_READER
from ecg_hough.service.bounds import Bounds
from ecg_hough.service.engine import Engine
from ecg_hough.service.intake import Intake, RefusedError
from ecg_hough.service.outbox import Outbox, Peer, check_title, identity_of
from ecg_hough.service.reading import ReadWork
from ecg_hough.service.store import FullError, NewJob, OtherUploadError, Store

log = logging.getLogger(__name__)

PAGES = (
    SecondaryCaptureImageStorage,
    MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    EncapsulatedPDFStorage,
)
"""Classes of objects that are taken."""
SUCCESS, DUPLICATE, NO_ROOM, WRONG_KIND, NOT_READ = 0x0000, 0x0111, 0xA700, 0xA900, 0xC000
"""Answers to a C-STORE (PS3.4, B.2.3)."""
LINKS_MAX = 10
"""Associations at once."""


@dataclass(frozen=True)
class Listening:
    """Where a listener is and who may send to it.

    Attributes:
        title, host, port: its own; port 0 takes a free one.
        callers: titles of applications that may send.
        peer: that gets the records; None keeps them in the store.
    Raises:
        ValueError: a bad title, or no callers.
    """

    callers: tuple[str, ...]
    title: str = "ECG_HOUGH"
    host: str = "127.0.0.1"
    port: int = 11112
    peer: Peer | None = None

    def __post_init__(self) -> None:
        if not self.callers:
            raise ValueError("callers must name an application that may send; got none")
        for title in (self.title, *self.callers):
            check_title(title)


class Listener:
    """A storage provider with its engine and outbox; a context manager, which ends them.

    Args:
        store: of the jobs; listening: where, and who may send.
        bounds: of what is taken.
        workers: processes that read; read: what reads a page.
    """

    def __init__(
        self,
        store: Store,
        listening: Listening,
        *,
        bounds: Bounds | None = None,
        workers: int = 1,
        read: PageReader = SHIPPED_READER,
    ) -> None:
        self._store, self._listening, self._bounds = store, listening, bounds or Bounds()
        self._engine = Engine(store, ReadWork(read), workers=workers, bounds=self._bounds)
        self._intake = Intake(self._bounds)
        peer = listening.peer
        self._outbox = None if peer is None else Outbox(store, listening.title, peer)

    def __enter__(self) -> Listener:
        self._store.recover()
        self._engine.start()
        if self._outbox is not None:
            self._outbox.start()
        entity = AE(self._listening.title)
        entity.require_called_aet = True
        entity.require_calling_aet = list(self._listening.callers)
        entity.maximum_associations = LINKS_MAX
        entity.dimse_timeout = entity.network_timeout = self._bounds.upload_seconds
        entity.add_supported_context(Verification)
        for kind in PAGES:
            entity.add_supported_context(kind, ALL_TRANSFER_SYNTAXES)
        self._server: Any = entity.start_server(
            (self._listening.host, self._listening.port),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._take)],
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._engine.stop()
        if self._outbox is not None:
            self._outbox.stop()
        self._intake.close()

    @property
    def port(self) -> int:
        """That it listens on."""
        return int(self._server.server_address[1])

    def _take(self, event: Any) -> int:
        """The status of an object that came in."""
        place = self._store.new_upload()
        try:
            content = event.encoded_dataset()
            if len(content) > self._bounds.upload_bytes:
                raise RefusedError(413, f"it has more than {self._bounds.upload_mb:g} MB")
            place.write_bytes(content)
            upload = self._intake.look(place)
            new = NewJob(
                f"aet:{event.assoc.requestor.ae_title}",
                place,
                upload.kind,
                upload.pages,
                upload.sha256,
                same_as=str(event.request.AffectedSOPInstanceUID),
                peer=None if self._listening.peer is None else self._listening.peer.title,
                identity=identity_of(event.dataset),
            )
            room = self._bounds.queue
            self._store.accept(new, queue=room, queue_of_key=room)
        except RefusedError as error:
            log.warning("an object was refused: %s", error.detail)
            return {413: NO_ROOM, 415: WRONG_KIND}.get(error.status, NOT_READ)
        except OtherUploadError:
            log.warning("an object was refused: another one of its identifier was taken before")
            return DUPLICATE
        except FullError as error:
            log.warning("an object was refused: %d jobs wait", error.waiting)
            return NO_ROOM
        except Exception:
            log.exception("an object could not be taken")
            return NO_ROOM
        finally:
            with contextlib.suppress(OSError):
                place.unlink(missing_ok=True)
        self._engine.notify()
        return SUCCESS


def listen(
    folder: Path,
    listening: Listening,
    *,
    bounds: Bounds | None = None,
    workers: int = 1,
    ended: threading.Event | None = None,
    on_listening: Callable[[int], None] = lambda port: None,
) -> None:
    """Listen until `ended` is set, or an exception comes: Ctrl-C or SIGTERM.

    Args:
        folder: of the jobs, made if missing; one process at a time may have it.
        listening, bounds, workers: see `Listener`.
        on_listening: called with the port once it listens.
    Raises:
        PageError: stage "export": another process has the folder, or it cannot be written.
        OSError: the address cannot be bound.
    """
    bounds, ended = bounds or Bounds(), ended or threading.Event()
    with (
        only_run(folder),
        contextlib.closing(Store(folder)) as store,
        Listener(store, listening, bounds=bounds, workers=workers) as listener,
    ):
        tempfile.tempdir = str(store.temporary)  # what a kill leaves is found there
        on_listening(listener.port)
        while not ended.wait(60.0):
            store.expire(bounds.keep_hours)
