"""Pages without names: what stays, what is blanked, on pages whose every word is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.errors import PageError
from ecg_hough.header.redact import is_telling, kept_pixels, kept_words, redacted, rows_of
from ecg_hough.header.words import OCR, HeaderWord
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import make_layout
from ecg_hough.record import Trace
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.render.header import PRIVATE, sample_header
from ecg_hough.render.page import RenderedPage, render_page
from ecg_hough.render.style import sample_style, with_header
from ecg_lab.header_pages import HeaderPage, count_blanked
from made_up_ecg import made_up_ecg


def rendered(seed: int, profile: str = "clean") -> HeaderPage:
    rng = np.random.default_rng(seed)
    header = sample_header(rng)
    style = with_header(
        sample_style(rng, profile, layout=make_layout("3x4", rhythm=("II",)), dpi=120), header
    )
    return HeaderPage(
        render_page(generate_ecg(seed).signals, 500, seed=seed, style=style), header, profile, seed
    )


def record_of(page: RenderedPage) -> Ecg:
    """What a perfect reading of its traces gives."""
    traces = tuple(Trace(p.lead, p.rhythm, p.trace.astype(float)) for p in page.panels)
    return replace(
        made_up_ecg(), traces=traces, angle_deg=page.angle_deg, px_per_mm=(page.px_per_mm, page.px_per_mm)
    )


def seen_words(page: RenderedPage) -> list[HeaderWord]:
    """The page's words as a reader without errors sees them."""
    return [
        HeaderWord(
            text.text,
            (*map(float, text.corners.min(axis=0)), *map(float, text.corners.max(axis=0))),
            1.0,
            OCR,
        )
        for text in page.texts
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("can_read", [True, False])
def test_names_are_covered_and_traces_stay(
    monkeypatch: pytest.MonkeyPatch, seed: int, can_read: bool
) -> None:
    one = rendered(seed)
    monkeypatch.setattr(
        "ecg_hough.header.redact.read_area", lambda *_: seen_words(one.page) if can_read else []
    )
    counts = count_blanked(one, ~kept_pixels(one.page.image, record_of(one.page)))
    assert counts["private"] >= 4
    assert counts["covered"] == counts["private"]
    assert counts["samples touched"] == counts["leads touched"] == 0


def test_a_tilted_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_hough.header.redact.read_area", lambda *_: [])
    one = rendered(5, "photo")
    counts = count_blanked(one, ~kept_pixels(one.page.image, record_of(one.page)))
    assert counts["covered"] == counts["private"] > 0
    assert counts["samples touched"] <= 0.001 * counts["samples"]


def test_blanked_is_plain_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_hough.header.redact.read_area", lambda *_: [])
    one = rendered(1)
    ecg = record_of(one.page)
    keep, out = kept_pixels(one.page.image, ecg), redacted(one.page.image, ecg)
    np.testing.assert_array_equal(out[keep], one.page.image[keep])
    assert len(np.unique(out[~keep].reshape(-1, 3), axis=0)) == 1
    assert not any(
        keep[tuple(np.round(t.corners.mean(axis=0)).astype(int))] for t in one.page.texts if t.kind in PRIVATE
    )


def test_a_page_on_its_side_has_the_same_rows() -> None:
    one = rendered(2)
    shape = one.page.image.shape[:2]
    ecg = record_of(one.page)
    turned = replace(
        ecg,
        quarter_turns=1,
        traces=tuple(
            Trace(t.lead, t.rhythm, np.column_stack([shape[1] - 1 - t.points[:, 1], t.points[:, 0]]))
            for t in ecg.traces
        ),
    )
    assert (rows_of(shape[::-1], turned) != np.rot90(rows_of(shape, ecg))).mean() < 1e-3


def test_without_rows_nothing_is_written() -> None:
    with pytest.raises(PageError, match="no rows of traces were read"):
        redacted(np.zeros((100, 100, 3), np.uint8), replace(made_up_ecg(), traces=()))


def kept(text: str, measurements: bool = True) -> bool:
    return bool(kept_words([HeaderWord(text, (0, 0, 10, 10), 1.0, OCR)], measurements))


@pytest.mark.parametrize(
    "text",
    [
        "25 mm/s",
        "25 mm/s  10 mm/mV",
        "0.05-150 Hz",
        "aVR",
        "Lead aVF",
        "DII",
        "C4",
        "-aVR",
        "Gain: 10 mm/mV",
        "50~",
    ],
)
def test_scales_filters_and_names_of_leads_stay(text: str) -> None:
    assert kept(text)
    assert kept(text, measurements=False)


@pytest.mark.parametrize(
    "text",
    ["QRS duration", "QT/QTc 380/415 ms", "P-R-T axes 45 12 60", "HF 74 /min", "RR 1111 ms"],
)
def test_measurements_stay_where_they_are_wanted(text: str) -> None:
    assert kept(text)
    assert not kept(text, measurements=False)


@pytest.mark.parametrize(
    "text",
    [
        "Müller HR 74", "12345", "12/03/1950", "12.03.50", "10:42", "Dr. Weber", "Age 42", "ID 123", "Kim",
        "Rossi 25 mm/s", "1950-02-03", "03-Feb-1950", "1950", "P. Lee", "M 66", "P 1950", "T. May",
    ],
)  # fmt: skip
def test_what_may_tell_who_does_not_stay(text: str) -> None:
    assert not kept(text)


def test_words_among_the_rows_that_may_tell_who() -> None:
    assert all(map(is_telling, ("Müller", "12.03.1950", "4711815")))
    assert not any(map(is_telling, ("V1", "aVR", "LaVF", "10", "PVC", "*")))


def test_figures_stay_behind_a_label_alone() -> None:
    """A page that is cut may show the end of a year or a number of a patient."""
    line = ["959", "QRS", "92", "ms", "Kim", "12"]
    words = [HeaderWord(text, (0, 100.0 * k, 10, 100.0 * k + 40), 1.0, OCR) for k, text in enumerate(line)]
    assert [word.text for word in kept_words(words, True)] == ["QRS", "92", "ms"]


@pytest.mark.parametrize("text", ["Lead_V5", "[Lead IIf", "LeadlaVL", "aViii.", "KKKKKKKKK", "12121212"])
def test_misread_leads_and_lines_of_the_grid_tell_nobody(text: str) -> None:
    assert not is_telling(text)
