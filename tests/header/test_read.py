"""The header of a page: from its text layer, from pixels, and against its signals."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.clinical import Header, Measurement
from ecg_hough.elements import TextWord
from ecg_hough.header.read import disagreements, pieces, read_header, speed_by_rate
from ecg_hough.header.words import (
    Upright,
    bands,
    on_picture,
    text_layer_words,
    upright,
    without_grid,
)
from ecg_hough.record import Trace
from made_up_ecg import made_up_ecg

IMAGE = np.full((600, 800, 3), 255, np.uint8)
OCR_EXTRA = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr") is None, reason="the extra ocr is not installed"
)


def layer(*lines: str) -> list[TextWord]:
    """A text layer, each word by itself as PDFs have them."""
    out = []
    for k, line in enumerate(lines):
        left = 20.0
        for text in line.split():
            width = 8.0 * len(text)
            out.append(TextWord(text, 20.0 + 20 * k, left + width / 2, 12.0, width))
            left += width + 8.0
    return out


def test_a_text_layer_is_read_without_ocr() -> None:
    words = layer(
        "Name: Doe, Jane", "Vent. rate 74 BPM", "QT/QTc 380/415 ms", "12-Mar-2019 10:11:12", "MAC 5500"
    )
    header = read_header(IMAGE, made_up_ecg(), "all", words)
    assert {one.name: one.value for one in header.measurements} == {"HR": 74, "QT": 380, "QTc": 415}
    assert {one.source for one in header.measurements} == {"text layer"}
    assert header.patient is not None
    assert header.patient.name == "Doe, Jane"
    assert (header.recorded, header.device) == ("2019-03-12T10:11:12", "MAC 5500")
    assert header.measurements[0].box_px is not None
    alone = read_header(IMAGE, made_up_ecg(), "measurements", words)
    assert alone.patient is alone.recorded is None
    with pytest.raises(ValueError, match="measurements or all; got 'none'"):
        read_header(IMAGE, made_up_ecg(), "none", words)


def test_words_of_a_layer_that_runs_another_way_are_left_out() -> None:
    words = [TextWord("HR", 100, 50, 12, 20, turns=3), TextWord("x", 100, 70, 12, 8)]
    assert [word.text for word in text_layer_words(words, 0, (600, 800))] == ["x"]
    (turned,) = text_layer_words(words, 1, (600, 800))
    assert turned.text == "HR"
    assert turned.box_px == pytest.approx((44, 489, 56, 509))


def test_pieces_join_words_of_a_line() -> None:
    joined = pieces(text_layer_words(layer("Vent. rate 74", "QRS"), 0, (600, 800)))
    assert [one.text for one in joined] == ["Vent. rate 74", "QRS"]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("angle", [0.0, 4.0])
def test_places_come_back(turns: int, angle: float) -> None:
    picture = upright(IMAGE, replace(made_up_ecg(), quarter_turns=turns, angle_deg=angle))
    points = np.array([[10.0, 20.0], [300.0, 500.0]])
    np.testing.assert_allclose(picture.to_given(picture.from_given(points)), points, atol=1e-9)


def test_a_turned_page_is_turned_back() -> None:
    image = np.full((400, 600, 3), 255, np.uint8)
    rows = np.round(200 - np.tan(np.radians(5.0)) * (np.arange(100, 500) - 300)).astype(int)
    image[rows, np.arange(100, 500)] = 0
    picture = upright(image, replace(made_up_ecg(), angle_deg=5.0))
    dark = np.argwhere(picture.image[:, 150:450, 0] < 128)
    assert np.ptp(dark[:, 0]) <= 4
    corners = picture.from_given(np.array([[0.0, 0.0], [0.0, 599.0], [399.0, 0.0], [399.0, 599.0]]))
    assert (corners >= 0).all()
    assert (corners <= np.array(picture.image.shape[:2]) - 1).all()


def test_bands_are_above_and_below_the_rows_and_beside_tall_waves() -> None:
    columns = np.arange(100.0, 700.0)
    level = np.where(columns % 100 < 3, 120.0, 250.0)  # waves that reach far up
    ecg = replace(made_up_ecg(), traces=(Trace("I", False, np.stack([level, columns], axis=1)),))
    found = bands(Upright(IMAGE, 0, 0.0, (600, 800)), ecg, 8.0)
    assert found == [(0, 202), (298, 600)]
    assert bands(Upright(IMAGE, 0, 0.0, (600, 800)), replace(ecg, traces=()), 8.0) == [(0, 600)]


def test_lines_of_the_grid_are_taken_away_and_letters_stay() -> None:
    image = np.full((200, 300, 3), 240, np.uint8)
    image[::10] = image[:, ::10] = 120
    image[43:47, 100:112] = 0
    seen = without_grid(image, 100.0)
    assert seen[60:140, 60:140].min() >= 118  # where two lines cross
    assert np.median(seen[60:140, 65]) > 200
    assert (seen[43:47, 101:109, 0] < 60).all()


def test_the_paper_speed_by_the_printed_rate() -> None:
    header = Header(measurements=(Measurement("HR", 74, "1/min"),))
    own = [Measurement("HR", 37.4, "1/min", sd=1.5)]
    assumed = replace(made_up_ecg(), speed_mm_s=25.0, speed_from="assumed")
    assert speed_by_rate(header, assumed, own) == 50.0
    assert speed_by_rate(header, replace(assumed, speed_from="text"), own) is None
    assert speed_by_rate(header, assumed, [Measurement("HR", 70, "1/min")]) is None
    assert speed_by_rate(Header(), assumed, own) is None
    fast = [Measurement("HR", 150, "1/min")]
    assert speed_by_rate(header, replace(assumed, speed_mm_s=50.0), fast) == 25.0


def test_disagreement_is_a_warning() -> None:
    wrong = Measurement("QRS axis", 80, "deg", sd=8, printed=-60, agrees=False)
    minor = Measurement("QT", 400, "ms", sd=30, printed=500, agrees=False)
    right = Measurement("HR", 75, "1/min", sd=1.5, printed=74, agrees=True)
    (said,) = disagreements([wrong, minor, right])
    assert said.startswith("header: the printed QRS axis is -60 deg, the measured one 80 +- 8")


@OCR_EXTRA
def test_pixels_are_read() -> None:
    """A rendered header at 200 dpi: all of its values, and their places on the page."""
    from ecg_hough.render.ecg_model import generate_ecg
    from ecg_hough.render.header import sample_header
    from ecg_hough.render.page import render_page
    from ecg_hough.render.style import sample_style, with_header

    rng = np.random.default_rng(9500)
    header = sample_header(rng, "en")
    style = with_header(sample_style(rng, "clean", dpi=150), header)
    page = render_page(generate_ecg(0).signals, 500, seed=0, style=style)
    traces = tuple(Trace(p.lead, p.rhythm, p.trace.astype(float)) for p in page.panels)
    ecg = replace(made_up_ecg(), traces=traces, angle_deg=0.0, px_per_mm=(page.px_per_mm,) * 2)
    found = read_header(page.image, ecg, "measurements")
    assert {one.name: one.value for one in found.measurements} == header.values
    heart = next(one for one in found.measurements if one.name == "HR")
    (place,) = [text.corners.mean(axis=0) for text in page.texts if text.kind == "value HR"]
    assert heart.box_px is not None
    assert heart.box_px[0] < place[0] < heart.box_px[2]
    assert heart.source == "ocr"


def test_boxes_on_the_picture_as_given() -> None:
    from ecg_hough.header.words import OCR, HeaderWord

    picture = upright(IMAGE, replace(made_up_ecg(), quarter_turns=2, angle_deg=0.0))
    word = on_picture(HeaderWord("x", (10, 20, 30, 50), 1.0, OCR), picture)
    assert word.box_px == (569.0, 749.0, 589.0, 779.0)
