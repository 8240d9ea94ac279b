"""Records sent on to a DICOM peer, as often as it takes.

In: jobs of a `Store` that have a peer and are done. Out: C-STOREs of DICOM ECGs with the patient and study
of the page that came in. A record keeps its identifier from try to try, so that a peer that has it already
sees no second one.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pynetdicom import AE
from pynetdicom.sop_class import GeneralECGWaveformStorage, TwelveLeadECGWaveformStorage  # type: ignore[attr-defined]

from ecg_hough.output.export import FORMATS
from ecg_hough.service.formats import record_bytes
from ecg_hough.service.intake import RefusedError
from ecg_hough.service.store import Job, Store

if TYPE_CHECKING:
    from pydicom import Dataset

log = logging.getLogger(__name__)

IDENTITY = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
    "StudyID", "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Elements that a record has from the page that came in."""
LOOK_S = 1.0
"""From one look for jobs to the next."""
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 900.0
"""Before the second try; it doubles up to the longest."""
GIVE_UP_S = 7 * 86_400.0
"""After a job is done; then a person has to act."""
TIMEOUT_S = 30.0
"""Of the network, and of a peer's answer."""


@dataclass(frozen=True)
class Peer:
    """Another DICOM application: its title, host and port."""

    title: str
    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> Peer:
        """From TITLE@HOST:PORT.

        Raises:
            ValueError: another text.
        """
        title, at, place = text.partition("@")
        host, colon, port = place.rpartition(":")
        if not (title and at and host and colon and port.isdigit()):
            raise ValueError(f"a peer is TITLE@HOST:PORT, such as PACS@192.168.1.5:104; got {text!r}")
        return cls(check_title(title), host, int(port))


def check_title(title: str) -> str:
    """A DICOM application entity title.

    Raises:
        ValueError: it is not of 1 to 16 printable ASCII characters.
    """
    if not 0 < len(title.strip()) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise ValueError(f"an AE title has 1 to 16 printable ASCII characters; got {title!r}")
    return title.strip()


def identity_of(dataset: Dataset) -> str:
    """Patient and study of an object that came in, as JSON."""
    from pydicom import Dataset

    found = Dataset()
    for name in IDENTITY:
        if name in dataset:
            found[name] = dataset[name]
    return found.to_json()


class Outbox:
    """A thread that sends what is due.

    Args:
        store: of the jobs; title: of this application; peer: that gets the records.
    """

    def __init__(self, store: Store, title: str, peer: Peer) -> None:
        self._store, self._title, self._peer = store, title, peer
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the record that is being sent."""
        self._ended.set()
        self._thread.join(TIMEOUT_S)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                while not self._ended.is_set() and (job := self._store.next_to_send()) is not None:
                    self.send(job)
            except Exception:
                log.exception("the outbox goes on in %g s", FIRST_WAIT_S)
                self._ended.wait(FIRST_WAIT_S)
            self._ended.wait(LOOK_S)

    def send(self, job: Job) -> bool:
        """Send a job's records that the peer does not have; whether it has all of them now."""
        left = [part.record for part in job.parts if part.record is not None and not part.sent]
        why_not = self._send_all(job, left) if left else None
        if why_not is None:
            self._store.close_sending(job)
            return True
        if job.finished is not None and time.time() - job.finished > GIVE_UP_S:
            log.error("job %s is not sent to %s any more: %s", job.id, self._peer.title, why_not)
            self._store.close_sending(job)
            return False
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(job.sends, 20))
        log.warning("job %s: %s; tried again in %g s", job.id, why_not, wait_s)
        self._store.send_later(job, wait_s)
        return False

    def _send_all(self, job: Job, records: list[str]) -> str | None:
        """Why some of the records are not sent; None where all are."""
        entity = AE(self._title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT_S
        entity.connection_timeout = TIMEOUT_S
        for kind in (TwelveLeadECGWaveformStorage, GeneralECGWaveformStorage):
            entity.add_requested_context(kind)
        link = entity.associate(self._peer.host, self._peer.port, ae_title=self._peer.title)
        if not link.is_established:
            return f"{self._peer.title} does not take an association"
        try:
            for record in records:
                try:
                    dataset = self._dataset(job, record)
                except RefusedError as error:
                    log.error("record %s is never sent: %s", record, error.detail)
                    continue
                answer = link.send_c_store(dataset)
                status = answer.Status if "Status" in answer else None
                # 0xBxxx: it is stored, with a remark.
                if status is None or (status != 0 and status >> 12 != 0xB):
                    shown = "no status" if status is None else f"status {status:#06x}"
                    return f"{self._peer.title} answers with {shown}"
                job = self._store.note_sent(job, record)
        finally:
            link.release()
        return None

    def _dataset(self, job: Job, record: str) -> Dataset:
        from pydicom import Dataset, dcmread

        content, _ = record_bytes(self._store.record_place(record), FORMATS["dicom"])
        dataset = dcmread(io.BytesIO(content))
        if job.identity is not None:
            dataset.update(Dataset.from_json(job.identity))
        return dataset
