"""Leads are found on small and on dense pages, and the right way up."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ecg_hough.elements import PrintedWord
from ecg_hough.errors import PageError
from ecg_hough.layout import view as leads
from ecg_hough.layout.view import find_leads, with_words_at
from ecg_hough.networks.canvas import Canvas
from ecg_hough.paper import LEADS, make_layout
from ecg_hough.render import render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_lab.robustness import FIRST_SEED, page_style


@pytest.mark.slow
@pytest.mark.parametrize(
    ("distortion", "severity"), [("margin", 0.0), ("margin", 1.0), ("margin", 1.5), ("pitch", 10.0)]
)
def test_leads_are_found_where_the_page_is_small_or_its_rows_are_near(
    distortion: str, severity: float
) -> None:
    ecg = generate_ecg(FIRST_SEED)
    page = render_page(ecg.signals, ecg.fs, seed=FIRST_SEED, style=page_style(distortion, severity))
    found = find_leads(page.image, 0.0)
    assert found.turns == 0
    assert found.layout.layout is not None
    assert found.layout.layout.name == "3x4+1"
    seen = {(panel.lead, panel.rhythm): panel for panel in found.layout.panels}
    assert set(seen) == {*((lead, False) for lead in LEADS), ("II", True)}
    # Rows and panels are where they were drawn; the edges are made exact later.
    for panel in page.panels:
        drawn = panel.trace[np.isfinite(panel.trace).all(axis=1)]
        box = seen[panel.lead, panel.rhythm]
        level = float(np.nanmedian(box.path_rows))
        ends = found.canvas.to_page(np.array([[level, box.start_col], [level, box.end_col]]))
        off = np.abs(ends[:, 1] - (drawn[:, 1].min(), drawn[:, 1].max())).max()
        assert off < 10.0 * page.px_per_mm
        assert abs(ends[0, 0] - np.median(drawn[:, 0])) < 2.0 * page.px_per_mm


@pytest.mark.parametrize("seed", [6, 10])
@pytest.mark.parametrize("turns", [0, 2])
def test_words_show_which_way_is_up_where_rows_look_level_both_ways(seed: int, turns: int) -> None:
    """Six unnamed chest leads: upside down they look as much like leads to the network, or more."""
    style = sample_style(np.random.default_rng(seed), "clean", layout=make_layout("6x1-precordial"), dpi=150)
    sheet = replace(style.sheet, names="none", footer=True, speed_mm_s=50.0, gain_mm_mv=10.0, grid="lines")
    ecg = generate_ecg(seed)
    page = render_page(ecg.signals, ecg.fs, seed=seed, style=replace(style, sheet=sheet))
    found = find_leads(np.ascontiguousarray(np.rot90(page.image, turns)), 0.0)
    assert found.turns == turns
    assert {"50 mm/s", "10 mm/mV"} <= {word.word for word in found.words}


@pytest.mark.slow
def test_a_wide_banner_is_drawn_taller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve rows 5 mm apart, 10 s at 50 mm/s: on the canvas they are four px apart."""
    style = sample_style(np.random.default_rng(3), "clean", layout=make_layout("12x1"), dpi=120)
    sheet = replace(
        style.sheet,
        size_mm=(100.0, 860.0),
        block_left_mm=180.0,
        block_width_mm=500.0,
        first_row_mm=15.0,
        row_pitch_mm=5.0,
        speed_mm_s=50.0,
        gain_mm_mv=5.0,
        names="above",
        grid="lines",
        missing=(),
    )
    ecg = generate_ecg(3)
    page = render_page(ecg.signals, ecg.fs, seed=3, style=replace(style, sheet=sheet))
    # Rows that are seen at all are looked at closer; of faint ones none is.
    monkeypatch.setattr(leads, "_look_closer", lambda seen, angle_deg: seen)
    found = find_leads(page.image, 0.0)
    assert found.turns == 0
    assert [panel.lead for panel in found.layout.panels] == list(LEADS)
    monkeypatch.setattr(leads, "WIDE_TIMES", np.inf)
    with pytest.raises(PageError, match="evidence"):
        find_leads(page.image, 0.0)


@pytest.mark.parametrize(("evidence", "wider"), [(8.5, True), (7.0, False)])
def test_a_column_of_plots_is_drawn_wider_where_no_evidence_is_lost(
    evidence: float, wider: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a canvas that is filled across, as much evidence is three times as much per column."""
    shown = {1.0: 2.7, 3.0: evidence}

    def look(turns: int, image: np.ndarray, canvas: Canvas) -> SimpleNamespace:
        times = canvas.matrix[1, 1] / canvas.matrix[0, 0]
        return SimpleNamespace(turns=turns, image=image, canvas=canvas, coherence=shown[round(times, 2)])

    monkeypatch.setattr(leads, "_look", look)
    monkeypatch.setattr(leads, "_look_closer", lambda seen, angle_deg: seen)
    seen = leads._try_turn(np.full((1800, 600, 3), 255, np.uint8), 0.0, 0)
    assert seen.coherence == (evidence if wider else 2.7)


def test_words_are_read_again_at_the_page_s_own_scale() -> None:
    """A page whose scale is not known may be far longer than usual ones: its words are drawn too small."""
    style = sample_style(np.random.default_rng(5), "clean", layout=make_layout("3x4"), dpi=110)
    sheet = replace(style.sheet, names="above", missing=())
    ecg = generate_ecg(5)
    page = render_page(ecg.signals, ecg.fs, seed=5, style=replace(style, sheet=sheet))
    off = find_leads(page.image, 0.0, (4.0 * page.px_per_mm,) * 2)
    again = with_words_at(off, page.image, 0.0, page.px_per_mm)
    assert off.layout.named < 0.5 < again.layout.named
    assert {word.word for word in again.words} >= set(LEADS)


def word(name: str, score: float = 0.95) -> PrintedWord:
    return PrintedWord(name, 100.0, 100.0, score)


@pytest.mark.parametrize(
    ("words", "evidence"),
    [
        ((), 0.0),
        ((word("aVR"), word("aVR"), word("V1")), 2 * leads.NAME_EVIDENCE),
        ((word("25 mm/s"), word("10 mm/mV")), 2 * leads.SCALE_EVIDENCE),
        ((word("I"), word("II"), word("III")), 0.0),  # read alike upside down
        ((word("V1", 0.8),), 0.0),
    ],
)
def test_evidence_of_words(words: tuple[PrintedWord, ...], evidence: float) -> None:
    assert leads._word_evidence(words) == pytest.approx(evidence)


@pytest.mark.parametrize(
    ("coherence", "words", "best", "tried"),
    [
        # Level rows with a speed: no other turn is tried.
        ({0: 5.0}, {0: ("25 mm/s",)}, 0, [0]),
        # Level rows without words: upside down is compared, and most pages are upright.
        ({0: 5.0, 2: 5.5}, {}, 0, [0, 2]),
        ({0: 5.0, 2: 5.5}, {2: ("V1", "V2", "V3")}, 2, [0, 2]),
        # Sideways: all turns are tried.
        ({0: 0.5, 2: 0.6, 1: 6.0, 3: 5.0}, {1: ("V1",)}, 1, [0, 2, 1, 3]),
    ],
)
def test_the_turn_with_the_most_evidence_is_taken(
    coherence: dict[int, float],
    words: dict[int, tuple[str, ...]],
    best: int,
    tried: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[int] = []

    def turn(image: np.ndarray, angle_deg: float, turns: int) -> SimpleNamespace:
        seen.append(turns)
        return SimpleNamespace(turns=turns, image=turns, coherence=coherence[turns])

    monkeypatch.setattr(leads, "_try_turn", turn)
    monkeypatch.setattr(leads, "_shows_leads", lambda turn, words: True)
    monkeypatch.setattr(
        leads, "read_words", lambda turns, angle_deg, scale: tuple(map(word, words.get(turns, ())))
    )
    with caplog.at_level(logging.DEBUG, logger="ecg_hough.layout"):
        taken, read = leads._best_turn(np.zeros((4, 4, 3), np.uint8), 0.0, 4.0)
    assert taken.turns == best
    assert seen == tried
    assert tuple(w.word for w in read) == words.get(best, ())
    # Every turn that was tried is in the log with what it was weighed by.
    assert sum(record.message.startswith("quarter turns") for record in caplog.records) == len(tried)


@pytest.mark.parametrize(
    ("coherence", "n_names", "limit"),
    [(0.24, 0, 0.25), (0.24, 2, 0.25), (0.19, 3, 0.2), (0.24, 3, None), (0.26, 0, None)],
)
def test_a_page_is_refused_below_the_limit_of_its_names(
    coherence: float, n_names: int, limit: float | None
) -> None:
    turn = SimpleNamespace(turns=0, coherence=coherence, fitted=SimpleNamespace(names=(None,) * n_names))
    if limit is None:
        leads._refuse_without_leads(turn)
    else:
        with pytest.raises(PageError, match=rf"segmentation: .*evidence {coherence:.2f} is below {limit} "):
            leads._refuse_without_leads(turn)


def test_a_page_without_any_row_is_refused() -> None:
    with pytest.raises(PageError, match=r"evidence 0\.00 is below"):
        leads._refuse_without_leads(SimpleNamespace(turns=0, coherence=0.0, fitted=None))
