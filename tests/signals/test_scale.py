"""Printed scales, pulses and beats: which of them are used."""

import numpy as np
import pytest

from ecg_hough.elements import PrintedWord, Window
from ecg_hough.page_map import PageMap
from ecg_hough.paper import GAIN_WORDS, SPEED_WORDS
from ecg_hough.signals import scale as paper_scale
from ecg_hough.signals.beats import FIFTY_MIN
from ecg_hough.signals.scale import (
    PAIR_MM,
    STATED_MARGIN,
    STATED_MIN,
    PaperScale,
    stated,
    true_millimetre,
    with_partners,
)
from ecg_hough.traces.ink import InkModel
from ecg_hough.traces.rows import Rows

NO_ROWS = Rows((), None)


@pytest.mark.parametrize(
    ("words", "speed", "gain"),
    [
        ([("25 mm/s", 0.9), ("10 mm/mV", 0.86)], 25.0, 10.0),
        ([("50 mm/s", 0.9), ("50 mm/s", 0.7), ("V1", 0.9)], 50.0, None),
        ([("25 mm/s", STATED_MIN - 0.01)], None, None),
        ([("5 mm/mV", 0.9), ("20 mm/mV", 0.9 - STATED_MARGIN / 2)], None, None),
        ([("5 mm/mV", 0.95), ("20 mm/mV", 0.95 - 1.5 * STATED_MARGIN)], None, 5.0),
        ([], None, None),
    ],
)
def test_a_scale_must_be_stated_clearly(words, speed, gain):
    printed = tuple(PrintedWord(word, 0.0, 0.0, score) for word, score in words)
    assert stated(printed, SPEED_WORDS) == speed
    assert stated(printed, GAIN_WORDS) == gain


def test_one_low_pulse_is_less_precise_than_the_usual_width() -> None:
    for gain, n_pulses, in_guessed in ((5.0, 1, 1.0), (5.0, 6, 1.05), (10.0, 1, 1.05)):
        scale = PaperScale(25.0, gain, "text", "text", gain, pulse_mm=1.05 * gain, n_pulses=n_pulses)
        found = true_millimetre(scale, 250.0, on_known_paper=False)
        assert found.in_guessed == pytest.approx(in_guessed)
        assert found.mm_per_mv == pytest.approx(1.05 * gain)


@pytest.mark.parametrize(("down_mm", "used"), [(1.0, True), (PAIR_MM[0] + 1.0, False)])
def test_a_speed_with_a_gain_in_its_line_needs_a_lower_score(down_mm: float, used: bool) -> None:
    px_per_mm = 8.0
    page = PageMap.from_affine(np.array([[px_per_mm, 0.0, 0.0], [0.0, px_per_mm, 0.0]]), (210.0, 297.0))
    words = (
        PrintedWord("50 mm/s", 1600.0, 400.0, STATED_MIN - 0.1),
        PrintedWord("10 mm/mV", 1600.0 + down_mm * px_per_mm, 800.0, 0.9),
        PrintedWord("V1", 1600.0, 420.0, 0.9),
    )
    credited = with_partners(words, page)
    assert (stated(credited, SPEED_WORDS) == 50.0) == used
    assert credited[2] == words[2]
    assert with_partners((), page) == ()


def test_a_speed_is_the_partner_of_the_nearest_gain_alone() -> None:
    page = PageMap.from_affine(np.array([[8.0, 0.0, 0.0], [0.0, 8.0, 0.0]]), (210.0, 297.0))
    words = (
        PrintedWord("25 mm/s", 1600.0, 400.0, 0.9),
        PrintedWord("5 mm/mV", 1600.0, 560.0, 0.7),
        PrintedWord("10 mm/mV", 1600.0, 900.0, 0.7),
    )
    assert [one.score > word.score for one, word in zip(with_partners(words, page), words, strict=True)] == [
        True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pulse_mm", "block_mm", "on_known_paper", "in_guessed", "mm_per_mv", "source"),
    [
        (None, 240.0, False, 0.96, 9.6, "width"),
        (None, 240.0, True, 1.0, 10.0, "format"),
        (None, 247.0, True, 0.988, 9.88, "format and the traces' width"),
        (13.0, 250.0, False, 1.3, 13.0, "pulse"),  # a block of 192 mm
        (13.0, 250.0, True, 1.3, 13.0, "pulse"),
        (10.2, 250.0, False, 1.0, 10.2, "pulse and the traces' width"),
        (None, 265.0, True, 1.06, 10.6, "format and the traces' width"),  # wider than any block on that paper
        (25.0, 250.0, False, 1.0, 10.0, "from the traces' width"),  # a block of 100 mm: that is no pulse
        (None, 400.0, True, 1.6, 16.0, "from the traces' width"),
    ],
)
def test_scale_of_a_page_without_a_grid(
    pulse_mm: float | None,
    block_mm: float,
    on_known_paper: bool,
    in_guessed: float,
    mm_per_mv: float,
    source: str,
) -> None:
    scale = PaperScale(25.0, 10.0, "assumed", "text", 10.0, pulse_mm=pulse_mm)
    found = true_millimetre(scale, block_mm, on_known_paper=on_known_paper)
    assert found.in_guessed == pytest.approx(in_guessed)
    assert found.mm_per_mv == pytest.approx(mm_per_mv)
    assert source in found.warning


@pytest.mark.parametrize(
    ("pulse", "words", "odds", "speed", "gain"),
    [
        ((5.0, 10.0), [], 1.0, 25.0, 10.0),
        ((10.0, 10.0), [], 1.0, 50.0, 10.0),  # as wide as 0.2 s at 50 mm/s
        ((10.0, 10.0), [], -4.0, 25.0, 10.0),  # but the beats contradict it
        ((10.0, 10.0), ["25 mm/s"], 1.0, 25.0, 10.0),
        ((5.0, 10.0), [], FIFTY_MIN + 0.1, 50.0, 10.0),
        ((5.0, 10.2), ["20 mm/mV"], 1.0, 25.0, 10.0),
        ((5.0, 11.6), ["20 mm/mV"], 1.0, 25.0, 20.0),  # too inaccurate to overrule the print
        ((5.0, 11.1), [], 1.0, 25.0, 10.0),
    ],
)
def test_pulses_beats_and_print_together(
    monkeypatch: pytest.MonkeyPatch,
    pulse: tuple[float, float],
    words: list[str],
    odds: float,
    speed: float,
    gain: float,
) -> None:
    pulses = (paper_scale.Pulse(0, 10.0, *pulse, 0.9, 50.0),)
    monkeypatch.setattr(paper_scale, "find_pulses", lambda *_: pulses)
    monkeypatch.setattr(paper_scale, "pulses_of_marks", lambda *_: ())
    monkeypatch.setattr(paper_scale, "fifty_odds", lambda *_: odds)
    page = PageMap.from_affine(np.array([[8.0, 0.0, 0.0], [0.0, 8.0, 0.0]]), (210.0, 297.0))
    printed = tuple(PrintedWord(word, 100.0, 100.0, 0.95) for word in words)
    image, ink = np.full((80, 80, 3), 255, np.uint8), InkModel(np.zeros(3), 0.0, 5.0)
    found = paper_scale.find_paper_scale(image, page, Rows((), ink), (), printed)
    assert (found.speed_mm_s, found.gain_mm_mv) == (speed, gain)
    assert ("25 mm/s" in words) == (found.speed_from == "text")


@pytest.mark.parametrize(
    ("word", "score", "odds", "speed", "source"),
    [
        ("50 mm/s", 0.9, -FIFTY_MIN, 25.0, "assumed"),
        ("50 mm/s", 0.9, 0.0, 50.0, "text"),
        ("50 mm/s", 1.1, -FIFTY_MIN, 50.0, "text"),  # with a gain in its line
        ("25 mm/s", 0.9, FIFTY_MIN, 50.0, "beats"),
    ],
)
def test_a_speed_without_a_gain_in_its_line_must_agree_with_the_beats(
    monkeypatch: pytest.MonkeyPatch, word: str, score: float, odds: float, speed: float, source: str
) -> None:
    monkeypatch.setattr(paper_scale, "fifty_odds", lambda *_: odds)
    page = PageMap.from_affine(np.array([[8.0, 0.0, 0.0], [0.0, 8.0, 0.0]]), (210.0, 297.0))
    image = np.full((80, 80, 3), 255, np.uint8)
    found = paper_scale.find_paper_scale(image, page, NO_ROWS, (), (PrintedWord(word, 100.0, 100.0, score),))
    assert (found.speed_mm_s, found.speed_from) == (speed, source)
    assert any("ignored the printed" in warning for warning in found.warnings) == (source != "text")


@pytest.mark.parametrize(("score", "sure"), [(STATED_MIN - 0.05, False), (STATED_MIN, True)])
def test_a_gain_that_is_used_because_of_the_speed_in_its_line_is_noted(
    monkeypatch: pytest.MonkeyPatch, score: float, sure: bool
) -> None:
    monkeypatch.setattr(paper_scale, "fifty_odds", lambda *_: 0.0)
    page = PageMap.from_affine(np.array([[8.0, 0.0, 0.0], [0.0, 8.0, 0.0]]), (210.0, 297.0))
    words = (PrintedWord("25 mm/s", 100.0, 100.0, 0.95), PrintedWord("5 mm/mV", 100.0, 300.0, score))
    image = np.full((80, 80, 3), 255, np.uint8)
    found = paper_scale.find_paper_scale(image, page, NO_ROWS, (), words)
    assert (found.gain_mm_mv, found.gain_from) == (5.0, "text")
    assert any("5 mm/mV" in note and "low score" in note for note in found.notes) != sure
    assert not any("25 mm/s" in note for note in found.notes)


@pytest.mark.parametrize(
    ("block_mm", "odds", "speed"), [(500.0, 3.0, 50.0), (250.0, 3.0, 25.0), (500.0, -2.0, 25.0)]
)
def test_a_block_as_wide_as_ten_seconds_at_fifty_is_evidence_for_it(
    monkeypatch: pytest.MonkeyPatch, block_mm: float, odds: float, speed: float
) -> None:
    monkeypatch.setattr(paper_scale, "fifty_odds", lambda *_: odds)
    page = PageMap.from_affine(np.array([[8.0, 0.0, 0.0], [0.0, 8.0, 0.0]]), (210.0, 600.0))
    panels = tuple(
        Window("I", 0, k, rhythm=False, start_mm=20 + k * block_mm / 4, end_mm=20 + (k + 1) * block_mm / 4)
        for k in range(4)
    )
    image = np.full((80, 80, 3), 255, np.uint8)
    found = paper_scale.find_paper_scale(image, page, NO_ROWS, panels)
    assert found.speed_mm_s == speed
    assert any("block as wide" in warning for warning in found.warnings) == (speed == 50.0)
