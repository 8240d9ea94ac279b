"""Files of several pages: which of them are one recording, and what is written for each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecg_hough import PageError, digitize
from ecg_hough.batch.predict import predict_pages
from ecg_hough.batch.reader import Digitizer
from ecg_hough.document import beats_together, merged, read_document, stacked, warnings_of, why_apart
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS
from ecg_hough.record import LeadStatus
from made_up_ecg import made_up_ecg
from vector_pdf import VectorPage, signals_of, write_pdf

SIGNALS = signals_of(4)
LIMB = VectorPage(SIGNALS, layout="6x1-limb", rhythm=())
CHEST = replace(LIMB, layout="6x1-precordial")
LETTER = b"BT /F1 12 Tf 60 500 Td (Dear colleague, thank you for referring this patient.) Tj ET"
OTHER_TIME = ("Doe, Jane", "ID 4711-22", "12.03.2024 10:19:55", "HR 61 /min", "QT 402 ms")


def with_leads(ecg: Ecg, leads: tuple[str, ...]) -> Ecg:
    """The same record with some of its leads alone."""
    keep = np.array([lead in leads for lead in LEADS])
    status = [
        s if k else LeadStatus(s.lead, False, "not there") for s, k in zip(ecg.lead_status, keep, strict=True)
    ]
    signals = np.where(keep[:, None], ecg.signals, np.nan)
    return replace(ecg, signals=signals, lead_status=tuple(status))


def beating(shift: int = 0, seconds: float = 10.0) -> Ecg:
    ecg = made_up_ecg(seconds=seconds)
    status = tuple(LeadStatus(lead, True, None, 0.9, 0.0, seconds) for lead in LEADS)
    signals = np.roll(SIGNALS[:, : ecg.signals.shape[1]], shift, axis=1)
    return replace(ecg, signals=signals, lead_status=status, warnings=())


def test_limb_and_chest_leads_of_one_recording_are_merged(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", [LIMB, CHEST, LETTER])
    one, letter = read_document(path, lambda number: digitize(path, number))
    assert (one.pages, letter.pages, letter.passed) == ((1, 2), (3,), True)
    ecg = one.ecg
    assert ecg is not None
    assert (ecg.pages, ecg.source_kind, ecg.layout) == ((1, 2), "vector", "6x1-limb + 6x1-precordial")
    assert all(status.found for status in ecg.lead_status)
    np.testing.assert_allclose(ecg.signals, SIGNALS, atol=0.001)
    both = stacked(path, ecg.pages)
    for trace in ecg.traces:
        rows, cols = np.round(trace.points[np.isfinite(trace.points).all(axis=1)][::40]).astype(int).T
        assert both[rows, cols].max(axis=1).mean() < 100, trace.lead


@pytest.mark.slow
def test_other_times_are_other_recordings(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", [LIMB, replace(CHEST, header=OTHER_TIME)])
    parts = read_document(path, lambda number: digitize(path, number))
    assert [part.pages for part in parts] == [(1,), (2,)]
    assert all(part.ecg is not None for part in parts)


LEADS_OF = (LEADS[:6], LEADS[6:])


def test_pages_without_a_header_are_one_where_beats_coincide() -> None:
    limb, chest = (with_leads(beating(), leads) for leads in LEADS_OF)
    assert beats_together(limb, chest) > 0.6
    assert why_apart(limb, chest) is None
    later = with_leads(beating(shift=170), LEADS_OF[1])
    assert "beats do not coincide" in str(why_apart(limb, later))
    assert "both show I" in str(why_apart(limb, beating()))
    assert "scale or length" in str(why_apart(limb, replace(chest, speed_mm_s=50.0)))
    assert "scale or length" in str(why_apart(limb, with_leads(beating(seconds=5.0), LEADS_OF[1])))


def test_a_merged_record_keeps_both_pages_facts(tmp_path: Path) -> None:
    first, second = (np.random.default_rng(k).integers(0, 255, (200 + k, 300, 3), np.uint8) for k in (1, 2))
    Image.fromarray(first).save(tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(second)])
    limb, chest = (with_leads(beating(), leads) for leads in LEADS_OF)
    limb = replace(limb, leads_agree=None, einthoven_mv=0.01, pages=(1,))
    chest = replace(chest, leads_agree=False, warnings=("a fold",), pages=(2,), source_kind="vector")
    assert stacked(tmp_path / "a.tif", (1, 2)).shape == (first.shape[0] + second.shape[0], 300, 3)
    both = merged(limb, chest, first.shape[0])
    assert (both.warnings, both.leads_agree, both.einthoven_mv) == (("page 2: a fold",), False, 0.01)
    assert (both.source_kind, both.pages) == ("picture", (1, 2))
    shift = np.nanmin(both.traces[-1].points[:, 0]) - np.nanmin(chest.traces[-1].points[:, 0])
    assert shift == first.shape[0]
    limb = replace(limb, warnings=("a crease",))
    chest = replace(chest, chest_gain_mm_mv=5.0)
    both = merged(limb, chest, first.shape[0])
    assert [warnings_of(both, number) for number in both.pages] == [limb.warnings, chest.warnings]
    assert both.chest_gain_mm_mv == 5, "of the page that shows them"


def test_pages_that_are_not_there(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", [LIMB])
    with pytest.raises(PageError, match=r"none of the pages asked for is in a.pdf, which has 1"):
        read_document(path, lambda number: digitize(path, number), ((2, None),))


@pytest.mark.slow
def test_a_file_of_two_recordings_gives_two_records(tmp_path: Path) -> None:
    pages = [LIMB, CHEST, LETTER, replace(LIMB, header=OTHER_TIME), replace(CHEST, header=OTHER_TIME)]
    path = write_pdf(tmp_path / "pages" / "ward.pdf", pages)
    (tmp_path / "pages" / "list.txt").write_text("x")
    out = tmp_path / "out"
    report = predict_pages([path.parent], out, extras=["overlay"])
    assert [(r.stem, r.status, r.pages) for r in report.pages] == [
        ("ward", "done", (1, 2)), ("ward_p3", "passed", (3,)), ("ward_p4", "done", (4, 5)),
        ("", "passed", (1,)),
    ]  # fmt: skip
    assert [failure.path.name for failure in report.passed] == ["ward.pdf", "list.txt"]
    second = json.loads((out / "ward_p4.json").read_text())
    assert (second["pages"], second["source_kind"]) == ([4, 5], "vector")
    assert (out / "ward_p4.overlay.png").is_file()
    again = predict_pages([path.parent], out, extras=["overlay"])
    assert [r.status for r in again.pages] == ["skipped", "passed", "skipped", "passed"]
    (out / "ward_p4.dat").unlink()
    third = predict_pages([path], out, extras=["overlay"], read=Digitizer(pages="4-"))
    assert [(r.stem, r.status, r.pages) for r in third.pages] == [("ward_p4", "done", (4, 5))]
