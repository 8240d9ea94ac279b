"""Pages by C-STORE and waveforms back, with real applications of pynetdicom on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="needs the extra serve")

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    EncapsulatedPDFStorage,
    SecondaryCaptureImageStorage,
    TwelveLeadECGWaveformStorage,
    Verification,
)

from ecg_hough.documents import dicom
from ecg_hough.service import outbox
from ecg_hough.service.bounds import Bounds
from ecg_hough.service.dicom_listen import Listener, Listening
from ecg_hough.service.outbox import Outbox, Peer, check_title
from ecg_hough.service.store import Part, Store
from fast_reader import FastReader
from service_jobs import accepted, pdf_of


def page_object(kind: str = SecondaryCaptureImageStorage) -> Dataset:
    """A page as a cart sends it."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientName, dataset.PatientID, dataset.AccessionNumber = "Müller^Ada", "4711", "A1"
    if kind == EncapsulatedPDFStorage:
        dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
        content = pdf_of("fine")
        dataset.EncapsulatedDocument = content + bytes(len(content) % 2)
        return dataset
    dataset.Rows = dataset.Columns = 160
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = bytes([255]) * 160 * 160
    return dataset


@dataclass
class Archive:
    """A peer that answers with each of `statuses` in turn, then with success."""

    statuses: list[int] = field(default_factory=list)
    taken: list[Dataset] = field(default_factory=list)
    tries: int = 0

    def begin(self) -> Any:
        entity = AE("PACS")
        entity.add_supported_context(TwelveLeadECGWaveformStorage)
        return entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self.take)])

    def take(self, event: Any) -> int:
        self.tries += 1
        status = self.statuses.pop(0) if self.statuses else 0
        if status == 0:
            self.taken.append(event.dataset)
        return status


@pytest.fixture
def archive() -> Iterator[tuple[Archive, Peer]]:
    made = Archive([0xA700])
    server = made.begin()
    yield made, Peer("PACS", "127.0.0.1", server.server_address[1])
    server.shutdown()


def send(port: int, *datasets: Dataset, caller: str = "CART", called: str = "ECG_HOUGH") -> list[int] | None:
    """Statuses of a C-ECHO and of C-STOREs; None where no association is made."""
    entity = AE(caller)
    entity.add_requested_context(Verification)
    for kind in (SecondaryCaptureImageStorage, EncapsulatedPDFStorage):
        entity.add_requested_context(kind)
    link = entity.associate("127.0.0.1", port, ae_title=called)
    if not link.is_established:
        return None
    try:
        return [link.send_c_echo().Status, *(link.send_c_store(one).Status for one in datasets)]
    finally:
        link.release()


def wait_until(done: Any, limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_pages_in_and_waveforms_back(
    store: Store, archive: tuple[Archive, Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "FIRST_WAIT_S", 0.1)
    monkeypatch.setattr(outbox, "LOOK_S", 0.05)
    peer, pages = archive[0], [page_object(), page_object(EncapsulatedPDFStorage)]
    listening = Listening(("CART",), port=0, peer=archive[1])
    with Listener(store, listening, read=FastReader()) as listener:
        assert send(listener.port, caller="OTHER") is None
        assert send(listener.port, called="ANOTHER") is None
        assert send(listener.port, *pages, pages[0]) == [0, 0, 0, 0]
        wait_until(lambda: len(peer.taken) == 2)
        jobs = store.jobs_of("aet:CART")
        wait_until(lambda: store.next_to_send() is None)
        assert [job.state for job in jobs] == ["done", "done"]
        assert peer.tries == 3  # the first was refused
    by_study = {one.StudyInstanceUID: one for one in peer.taken}
    assert by_study.keys() == {one.StudyInstanceUID for one in pages}
    for sent in peer.taken:
        assert (sent.SOPClassUID, sent.PatientID, sent.AccessionNumber) == (
            TwelveLeadECGWaveformStorage, "4711", "A1"
        )  # fmt: skip
        assert str(sent.PatientName) == "Müller^Ada"
        assert sent.WaveformSequence[0].NumberOfWaveformChannels == 12
    assert list(store.uploads.iterdir()) == list(store.arriving.iterdir()) == []
    assert [path for path in store.temporary.rglob("*") if path.is_file()] == []
    assert dicom._files == {}


def test_what_is_not_taken(store: Store) -> None:
    damaged, large = page_object(EncapsulatedPDFStorage), page_object()
    damaged.EncapsulatedDocument = b"no PDF"
    large.Rows = large.Columns = 400
    large.PixelData = bytes(400 * 400)
    listening = Listening(("CART",), port=0)
    with Listener(store, listening, bounds=Bounds(upload_mb=0.1, queue=1), workers=0) as listener:
        first, again = page_object(), page_object()
        again.SOPInstanceUID = first.SOPInstanceUID
        again.PatientID = "another"
        statuses = send(listener.port, damaged, large, first, again, page_object())
        assert statuses == [0, 0xC000, 0xA700, 0, 0x0111, 0xA700]
        entity = AE("CART")
        entity.add_requested_context(CTImageStorage)
        assert not entity.associate("127.0.0.1", listener.port, ae_title="ECG_HOUGH").is_established
    assert len(list(store.uploads.iterdir())) == 1


def test_a_peer_that_is_not_there(store: Store) -> None:

    job_id = accepted(store, peer="PACS")
    store.claim()
    store.finish(job_id, "refused", [Part((1,), stage="grid", message="no")])
    box = Outbox(store, "ECG_HOUGH", Peer("PACS", "127.0.0.1", 1))
    job = store.next_to_send()
    assert job is not None
    assert box.send(job)  # nothing is to be sent
    job_id = accepted(store, b"other", peer="PACS")
    store.claim()
    store.finish(job_id, "done", [Part((1,), f"{job_id}-1")])
    job = store.next_to_send()
    assert job is not None
    assert not box.send(job)
    assert store.next_to_send() is None
    assert store.get(job_id).sends == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text", ["", "PACS", "PACS@host", "PACS@host:x", "@host:1", "A" * 17 + "@h:1", "Ä@h:1"]
)
def test_peers_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"TITLE@HOST:PORT|AE title"):
        Peer.of(text)


def test_titles() -> None:
    assert Peer.of("PACS@[::1]:104") == Peer("PACS", "[::1]", 104)
    assert check_title(" A ") == "A"
    with pytest.raises(ValueError, match="must name"):
        Listening(())
