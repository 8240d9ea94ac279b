"""Words on the page: what counts as one, where the renderer puts them, and whether the network reads them."""

import numpy as np
import pytest

from ecg_hough.layout.view import SURE_WORD, read_words
from ecg_hough.networks.words_net import WORD_PX_PER_MM, blobs, word_picture, words_in
from ecg_hough.paper import LEADS, WORDS, make_layout
from ecg_hough.render import CameraStyle, PageStyle, SheetStyle, render_page
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.text import FACES, draw_text, text_coverage, text_width


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("aVR", ["aVR"]),
        ("-AVR", ["-aVR"]),
        ("Lead aVL", ["aVL"]),
        ("DII", ["II"]),
        ("C4", ["V4"]),
        ("25mm/s 10mm/mV", ["25 mm/s", "10 mm/mV"]),
        ("10.0 mm/mV  50 mm/sec", ["10 mm/mV", "50 mm/s"]),
        ("0,5 cm/mV", ["5 mm/mV"]),
        ("125 mm/s", []),
        ("12.5 mm/s", []),
        ("V1-V6", []),
        ("IV", []),
        ("-I", []),
    ],
)
def test_words_in_a_text(text, words):
    found = words_in(text)
    assert [word for word, _, _ in found] == words
    assert all(text[first:behind].strip() for _, first, behind in found)


@pytest.mark.parametrize("face", FACES)
def test_every_face_draws(face):
    picture = text_coverage("aVR 25 mm/s", face, 24)
    ink = np.argwhere(picture > 128)
    assert 10 <= np.ptp(ink[:, 0]) <= 30  # from capitals to the slash's foot
    assert np.ptp(ink[:, 1]) > 80
    assert 0 < text_width("I", face, 24) < text_width("III", face, 24)


def test_text_is_cut_at_the_page():
    layer = np.zeros((20, 30), np.uint8)
    draw_text(layer, "aVR", -8, 15, FACES[0], 20)
    assert layer.any()
    with pytest.raises(ValueError, match="face must be one of"):
        text_coverage("I", "Comic", 12)


ECG = generate_ecg(7)


def page(**changes):
    layout = make_layout("3x4", rhythm=("II",))
    sheet = SheetStyle(layout, (215.9, 279.4), 150.0, **{"names": "above", **changes})
    style = PageStyle(sheet, camera=CameraStyle(rotation_deg=2.0))
    return render_page(ECG.signals, ECG.fs, seed=4, style=style)


def test_the_renderer_gives_the_places_of_its_words():
    rendered = page()
    assert {word.word for word in rendered.words} >= set(WORDS[:12]) | {"25 mm/s", "10 mm/mV"}
    for word in rendered.words:
        top, left = np.floor(word.corners.min(axis=0)).astype(int)
        bottom, right = np.ceil(word.corners.max(axis=0)).astype(int)
        box = rendered.image[top:bottom, left:right].min(axis=2)
        assert box.min() < 100, word.word


def test_the_picture_has_one_scale_and_its_map():
    rendered = page()
    picture = word_picture(rendered.image, rendered.angle_deg, rendered.px_per_mm)
    assert picture.scale == pytest.approx(WORD_PX_PER_MM / rendered.px_per_mm, rel=0.03)
    assert all(side % 32 == 0 for side in picture.image.shape[:2])
    at = np.array([[100.0, 200.0]])
    assert picture.to_page(picture.from_page(at)) == pytest.approx(at)


def test_blobs_are_named_by_the_class_that_holds_most():
    logits = np.zeros((1 + len(WORDS), 20, 30), np.float32)
    logits[0] = 4.0
    logits[1 + WORDS.index("V3"), 5:8, 10:14] = 8.0
    logits[1 + WORDS.index("V2"), 5:8, 14] = 8.0
    logits[1 + WORDS.index("I"), 15, 20] = 8.0  # a speck
    ((word, row, col, score),) = blobs(logits)
    assert word == "V3"
    assert (row, col) == (6.0, pytest.approx(12.0, abs=0.1))
    assert 0.5 < score < 1.0


@pytest.mark.parametrize("font", ["Helvetica", "Times-Roman", "Courier-Bold", "DejaVuSans.ttf"])
def test_the_shipped_network_reads_a_clean_page(font):
    rendered = page(font=font)
    found = read_words(rendered.image, rendered.angle_deg, rendered.px_per_mm)
    true = [(word.word, *word.corners.mean(axis=0)) for word in rendered.words]
    right = sum(
        any(f.word == word and np.hypot(f.row - row, f.col - col) < 3 * rendered.px_per_mm for f in found)
        for word, row, col in true
    )
    # QRS complexes look like I and II, and a name under one is hard to read; names of chest leads are not.
    assert right >= len(true) - 4
    sure = [f.word for f in found if f.score >= SURE_WORD and f.word not in LEADS[:3]]
    assert len(set(sure)) >= 8
    assert len(set(sure) - {word for word, _, _ in true}) <= 1
