"""Vector PDFs as many makers draw them, to records that hold their vertices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ecg_hough import PageError, digitize
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS
from vector_pdf import VectorPage, signals_of, write_pdf

SIGNALS = signals_of(3)
PLAIN = VectorPage(SIGNALS)
EXACT_UV = 0.5


def read(folder: Path, page: VectorPage) -> Ecg:
    return digitize(write_pdf(folder / "a.pdf", [page]))


def errors_uv(ecg: Ecg, page: VectorPage) -> NDArray[np.float64]:
    """(leads,) root mean square errors at the vertices, µV, without any shift or offset.

    inf of a lead that is missing or in the wrong place.
    """
    out = []
    for lead, true in zip(ecg.signals, page.truth, strict=True):
        printed, read_at = np.flatnonzero(np.isfinite(true)), np.flatnonzero(np.isfinite(lead))
        if not printed.size and not read_at.size:
            continue
        if not (printed.size and read_at.size):
            out.append(np.inf)
            continue
        at = printed / page.fs
        inside = (at >= read_at[0] / ecg.fs - 1e-9) & (at <= read_at[-1] / ecg.fs + 1e-9)
        if inside.mean() < 0.98:
            out.append(np.inf)
            continue
        seen = np.interp(at[inside], read_at / ecg.fs, lead[read_at])
        out.append(1e3 * float(np.sqrt(np.mean((seen - true[printed[inside]]) ** 2))))
    return np.array(out)


WAYS = {
    "one path a panel": {},
    "pieces of two vertices, in any order": {"pieces": 2, "shuffled": True},
    "a path through a whole row": {"a_row": True},
    "a rotated page": {"turn": 90},
    "drawn sideways": {"drawn": 1},
    "drawn upside down": {"drawn": 2},
    "scaled to fit, other squares": {"scale": 0.78, "stretch": 0.9},
    "scaled to fit, without a grid": {"scale": 0.78, "grid_mm": ()},
    "5 mm lines alone, small": {"scale": 0.6, "grid_mm": (5.0,)},
    "pulses in one stroke with the traces": {"pulse": "joined"},
    "pulses in pieces": {"pulse": "pieces"},
    "gaps between columns": {"gap_mm": 4.0},
    "5 mm/mV, twelve rows": {"gain": 5.0, "layout": "12x1", "rhythm": ()},
    "an unusual speed": {"speed": 12.5},
    "chest leads alone": {"layout": "6x1-precordial", "rhythm": ()},
    "columns of ten thirds of a second": {"layout": "4x3", "rhythm": ()},
    "125 samples a second": {"signals": SIGNALS[:, ::4], "fs": 125},
}


OFTEN = ("one path a panel", "pieces of two vertices, in any order", "a rotated page", "gaps between columns",
         "scaled to fit, without a grid", "5 mm/mV, twelve rows")  # fmt: skip
"""The others are slow tests."""


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=() if way in OFTEN else pytest.mark.slow) for way in WAYS]
)
def test_vertices_are_the_samples(tmp_path: Path, way: str) -> None:
    page = replace(PLAIN, **WAYS[way])  # type: ignore[arg-type]
    ecg = read(tmp_path, page)
    assert ecg.source_kind == "vector"
    assert (ecg.speed_mm_s, ecg.gain_mm_mv) == (page.speed, page.gain)
    assert errors_uv(ecg, page).max() < EXACT_UV
    assert np.nanmax(ecg.sd_mv) < 0.01
    assert not [warning for warning in ecg.warnings if not warning.startswith("grid: its squares")]


def test_half_a_step_is_the_error(tmp_path: Path) -> None:
    """A cart draws whole steps of 4.88 µV."""
    step = 0.00488
    page = replace(PLAIN, signals=np.round(SIGNALS / step) * step)
    ecg = read(tmp_path, page)
    assert errors_uv(ecg, page).max() < EXACT_UV
    assert np.nanmedian(ecg.sd_mv) == pytest.approx(step / 2, abs=0.001)


def test_zero_lines_without_pulses_come_from_the_names(tmp_path: Path) -> None:
    """Names are printed at one distance from their rows; means of short leads err by 35 µV."""
    page = replace(PLAIN, pulse="none")
    assert errors_uv(read(tmp_path, page), page).max() < 5.0


@pytest.mark.slow
def test_without_names_the_networks_name_the_leads(tmp_path: Path) -> None:
    page = replace(PLAIN, names=False, drawn=3, header=(), scale_text=False)
    ecg = read(tmp_path, page)
    assert ecg.source_kind == "vector"
    assert errors_uv(ecg, page).max() < EXACT_UV


REASONS = {
    "covered": ({"cover": True}, "covered or cut off"),
    "clipped": ({"clip_mm": 4.0}, "covered or cut off"),
    "coarse": ({"signals": SIGNALS[:, ::8], "fs": 62.5, "rhythm": ()}, "have 156 vertices or more"),
    "coarse, long": (
        {"signals": SIGNALS[:, ::8], "fs": 62.5, "layout": "12x1", "rhythm": ()},
        "0.40 mm apart",
    ),
    "no scale": ({"grid_mm": (), "pulse": "none"}, "neither a grid nor a calibration pulse"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", REASONS)
def test_else_the_picture_is_read_and_the_reason_said(tmp_path: Path, fault: str) -> None:
    changes, reason = REASONS[fault]
    ecg = read(tmp_path, replace(PLAIN, **changes))  # type: ignore[arg-type]
    assert ecg.source_kind == "picture"
    (said,) = [warning for warning in ecg.warnings if warning.startswith("vector: ")]
    assert reason in said
    assert said.endswith("the page was read as a picture")


@pytest.mark.slow
def test_broken_traces_are_read_as_a_picture(tmp_path: Path) -> None:
    """Every second stroke of the last row is missing."""
    whole = PLAIN.content().decode("latin-1").split("\n")
    rows = [k for k, line in enumerate(whole) if line.count(" l") > 1000]
    strokes = whole[rows[-1]].removesuffix(" S").split(" l ")
    points = [" ".join(stroke.split()[:2]) for stroke in strokes]
    pieces = [points[k : k + 60] for k in range(0, len(points), 120)]
    whole[rows[-1]] = "\n".join(f"{piece[0]} m {' l '.join(piece[1:])} l S" for piece in pieces)
    ecg = digitize(write_pdf(tmp_path / "a.pdf", ["\n".join(whole).encode("latin-1")]))
    assert ecg.source_kind == "picture"
    assert any("in pieces that do not meet" in warning for warning in ecg.warnings)


@pytest.mark.slow
def test_printed_names_rule_the_layout(tmp_path: Path) -> None:
    """An order that no cart prints, and a lead that is none of the twelve."""
    order = ("V6", "V5", "V4", "V3", "V2", "V1", "aVF", "aVL", "aVR", "III", "II", "I")
    page = replace(PLAIN, leads=order, rhythm=())
    assert errors_uv(read(tmp_path, page), page).max() < EXACT_UV
    text = PLAIN.content().replace(b"(V4)", b"(V4R)")
    ecg = digitize(write_pdf(tmp_path / "b.pdf", [text]))
    assert not ecg.lead_status[LEADS.index("V4")].found
    assert any("V4R is none of the twelve leads" in warning for warning in ecg.warnings)


@pytest.mark.slow
def test_two_recordings_on_a_page_are_refused(tmp_path: Path) -> None:
    one = replace(PLAIN, rhythm=(), origin_mm=(20.0, 25.0), header=(), scale_text=False)
    two = one.content().replace(b" cm", b" cm 1 0 0 1 0 90 cm", 1)
    with pytest.raises(PageError, match="one recording; I, II, III"):
        digitize(write_pdf(tmp_path / "a.pdf", [b"q " + one.content() + b" Q q " + two + b" Q"]))


@pytest.mark.slow
def test_a_page_that_says_two_things(tmp_path: Path) -> None:
    ecg = read(tmp_path, replace(PLAIN, extra=("BT /F1 4 Tf 1 0 0 -1 150 20 Tm (50 mm/s) Tj ET",)))
    assert any("the text layer states 25 mm/s and 50 mm/s" in warning for warning in ecg.warnings)
    assert ecg.speed_mm_s == 25.0  # it is printed next to a gain
