from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from child_tasks import crash, sleep_long
from ecg_hough import digitize
from ecg_hough.documents import pdf
from ecg_hough.documents.child import Child, ChildEndedError
from ecg_hough.documents.pdf import count_pdf_pages, pdf_contents, read_pdf_page
from ecg_hough.errors import PageError
from places import SHARED
from vector_pdf import MM, VectorPage, signals_of, write_pdf

SIZES = {"most_px": 200_000_000, "least_side_px": 150}
HOSTILE = SHARED / "hostile"


def drawn(content: str, folder: Path) -> pdf.PdfPage:
    return read_pdf_page(write_pdf(folder / "a.pdf", [content.encode()]), **SIZES)


def test_strokes_are_where_the_picture_shows_them(tmp_path: Path) -> None:
    content = "0 0 1 RG 3 w 100 200 m 300 200 l S q 2 0 0 2 50 60 cm 1 w 10 20 m 30 40 l 60 40 l S Q"
    page = drawn(content, tmp_path)
    level, bent = page.drawing.paths
    assert (level.colour, bent.colour) == ((0, 0, 255), (0, 0, 255))
    assert level.width_px == pytest.approx(3 * 300 / 72, rel=1e-3)
    assert bent.width_px == pytest.approx(2 * 300 / 72, rel=1e-3)
    size_pt = np.array([210, 297]) * MM
    scale = np.array(page.image.shape[:2]) / size_pt
    expected = np.array([[size_pt[0] - 200, 100], [size_pt[0] - 200, 300]]) * scale - 0.5
    np.testing.assert_allclose(level.points, expected, atol=0.02)
    for row, col in np.round(bent.points[1:2]).astype(int):
        assert page.image[row, col].tolist() == [0, 0, 255]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_rotated_pages(tmp_path: Path, turn: int) -> None:
    page = VectorPage(signals_of(1), turn=turn)
    read = read_pdf_page(write_pdf(tmp_path / "a.pdf", [page]), **SIZES)
    trace = max(read.drawing.paths, key=lambda one: len(one.points))
    rows, cols = np.round(trace.points[::50]).astype(int).T
    assert read.image[rows, cols].max(axis=1).mean() < 80
    name = next(word for word in read.drawing.words if word.text == "aVR")
    assert name.turns == turn // 90
    near = read.image[
        round(name.row) - 20 : round(name.row) + 20, round(name.col) - 40 : round(name.col) + 40
    ]
    assert near.min() < 80


def test_filled_lines_curves_and_closed_paths(tmp_path: Path) -> None:
    content = "0 g 100 100 300 0.5 re f 100 200 50 50 re f 0 0 m 10 20 30 20 40 0 c 50 9 l S 9 9 20 20 re S"
    line, curve, box = drawn(content, tmp_path).drawing.paths
    assert np.ptp(line.points[:, 0]) == 0
    assert np.ptp(line.points[:, 1]) == pytest.approx(300 * 300 / 72, rel=1e-3)
    assert len(curve.points) == 3
    assert [line.closed, curve.closed, box.closed] == [False, False, True]


def test_contents_show_that_a_page_is_text(tmp_path: Path) -> None:
    path = write_pdf(
        tmp_path / "a.pdf", [b"BT /F1 12 Tf 50 500 Td (Dear colleague) Tj ET", VectorPage(signals_of(1))]
    )
    assert count_pdf_pages(path) == 2
    text, ecg = (pdf_contents(path, number) for number in (1, 2))
    assert [word.text for word in text.words] == ["Dear", "colleague"]
    assert (text.n_vertices, text.picture_share) == (0, 0.0)
    assert ecg.n_vertices > 10_000


def test_a_page_of_too_many_strokes_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: the child has the true limit."""
    path = write_pdf(tmp_path / "a.pdf", [VectorPage(signals_of(1))])
    monkeypatch.setattr(pdf, "VERTICES_MAX", 1000)
    *_, strokes, words, unread, _ = pdf._read(str(path), 1, (200_000_000, 150))
    assert strokes == []
    assert words
    assert unread is not None
    assert "more than 1000 vertices" in unread


def test_damaged_and_encrypted_files(tmp_path: Path) -> None:
    whole = write_pdf(tmp_path / "a.pdf", [VectorPage(signals_of(1))]).read_bytes()
    cut = tmp_path / "cut.pdf"
    cut.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(PageError, match=r"damaged|without pages"):
        count_pdf_pages(cut)
    locked = tmp_path / "locked.pdf"
    rules = b"/Filter /Standard /V 1 /R 2 /P -4 /O <" + b"ab" * 32 + b"> /U <" + b"cd" * 32 + b">"
    locked.write_bytes(
        whole.replace(b"/Root 1 0 R", b"/Root 1 0 R /ID [<00> <00>] /Encrypt << " + rules + b" >>")
    )
    with pytest.raises(PageError, match="encrypted with a password; save a copy without one"):
        count_pdf_pages(locked)


def test_a_child_that_hangs_or_crashes_is_ended_and_another_is_started() -> None:
    child = Child()
    begun = time.monotonic()
    with pytest.raises(ChildEndedError, match=r"reading slow.pdf took more than 1 s and was ended"):
        child.call(sleep_long, 60.0, limit_s=1.0, what="slow.pdf")
    assert time.monotonic() - begun < 10
    with pytest.raises(ChildEndedError, match="exit status 3"):
        child.call(crash, what="bad.pdf")
    assert (
        child.call(pdf._middle_of_thin, np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 90.0], [0.0, 90.0]]))
        is not None
    )
    child.end()


def test_a_form_that_draws_itself_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forms = b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 842 595] /Contents 5 0 R /Resources 6 0 R >>"
    body = [*forms, page, b"", b"<< /Length 5 >>\nstream\n/F Do\nendstream", b"<< /XObject << /F 4 0 R >> >>"]
    draws = b"/F Do /F Do"
    form = b"<< /Type /XObject /Subtype /Form /BBox [0 0 842 595] /Resources 6 0 R /Length %d >>" % len(draws)
    body[3] = form + b"\nstream\n" + draws + b"\nendstream"
    out = b"%PDF-1.4\n" + b"".join(b"%d 0 obj\n%s\nendobj\n" % (k + 1, one) for k, one in enumerate(body))
    path = tmp_path / "self.pdf"
    path.write_bytes(out + b"trailer << /Size 7 /Root 1 0 R >>\n%%EOF\n")
    monkeypatch.setattr(Child.call, "__kwdefaults__", {"limit_s": 2.0, "what": ""})
    with pytest.raises(PageError, match="took more than 2 s"):
        read_pdf_page(path, **SIZES)
    with pytest.raises(PageError, match="was not tried again"):
        read_pdf_page(path, **SIZES)


@pytest.mark.slow
@pytest.mark.skipif(not HOSTILE.is_dir(), reason="no development data")
def test_hostile_files_end_within_half_a_minute() -> None:
    for path in sorted(HOSTILE.glob("*.pdf")):
        begun = time.monotonic()
        with pytest.raises(PageError):
            digitize(path)
        assert time.monotonic() - begun < 30, path.name
