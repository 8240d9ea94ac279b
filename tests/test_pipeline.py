"""End to end on the pages that ship: right leads, right millivolts, and a warning or an error otherwise."""

import math
from contextlib import suppress
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
import wfdb

from ecg_hough import PageError, digitize
from ecg_hough.image.reading import read_page
from ecg_hough.options import CENTROID, Options
from ecg_hough.output.overlay import LABEL_MM, draw_label_map
from ecg_hough.paper import LEADS, make_layout
from ecg_hough.render import render_page, sample_style
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.scores.metrics import challenge_snr, dice
from places import SAMPLES


def scores(ecg, truth):
    """Challenge SNR of the leads that the truth has."""
    n = max(truth.shape[1], ecg.signals.shape[1])
    pad = [np.pad(a, ((0, 0), (0, n - a.shape[1])), constant_values=np.nan) for a in (truth, ecg.signals)]
    return np.array([challenge_snr(t, e, ecg.fs) for t, e in zip(*pad, strict=True) if np.isfinite(t).any()])


def drawn(missing=(), shape="3x4", rhythm=("II",), **changes):
    """A clean page of a made-up ECG without some leads."""
    layout = make_layout(shape, rhythm=rhythm)
    style = sample_style(np.random.default_rng(5), "clean", layout=layout, dpi=150)
    sheet = replace(style.sheet, missing=missing, speed_mm_s=25.0, gain_mm_mv=10.0, grid="lines", **changes)
    ecg = generate_ecg(21, rhythm="sinus rhythm")
    return render_page(ecg.signals, ecg.fs, seed=5, style=replace(style, sheet=sheet))


@pytest.mark.parametrize(
    ("name", "least_db"),
    [
        ("clean_3x4", 12),
        ("scan_6x2", 10),
        pytest.param("bw_3x4", 10, marks=pytest.mark.slow),
        pytest.param("clean_12x1", 10, marks=pytest.mark.slow),
    ],
)
def test_sample_pages(name, least_db):
    ecg = digitize(SAMPLES / f"{name}.jpg")
    record = wfdb.rdrecord(str(SAMPLES / "truth" / name))
    assert ecg.fs == record.fs == 500
    assert sum(status.found for status in ecg.lead_status) == 12
    assert scores(ecg, record.p_signal.T).mean() > least_db
    assert ecg.signals.shape[0] == 12
    assert ecg.px_per_mm is not None
    assert set(ecg.seconds) >= {"geometry", "leads", "traces", "total"}
    # The samples' limb leads are true sums, and one column shows I, II and III.
    assert ecg.einthoven_mv < 0.1
    assert ecg.goldberger_mv < 0.1
    assert not any("equation" in words for words in ecg.warnings)


@pytest.mark.slow
@pytest.mark.parametrize("turns", [0, 1])
def test_rows_that_curl_by_more_than_they_are_apart(turns):
    page = drawn(shape="12x1", rhythm=())
    r, c = np.mgrid[: page.image.shape[0], : page.image.shape[1]].astype(np.float32)
    wave = np.sin(2.5 * np.pi * c / page.image.shape[1]) * np.float32(6 * page.page_map.px_per_mm[0])
    curled = cv2.remap(page.image, c, r + wave, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    ecg = digitize(np.ascontiguousarray(np.rot90(curled, turns)))
    assert ecg.layout == "12x1"
    assert np.median(scores(ecg, page.signals)) > 12


@pytest.mark.slow
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_pages(turns):
    image = np.ascontiguousarray(np.rot90(read_page(SAMPLES / "clean_3x4.jpg").image, turns))
    ecg = digitize(image)
    assert ecg.quarter_turns == turns
    assert sum(status.found for status in ecg.lead_status) == 12
    # Traces are given in the image as it is, not as it was turned.
    trace = next(t for t in ecg.traces if t.lead == "V5")
    rows, cols = np.round(trace.points[np.isfinite(trace.points).all(axis=1)]).astype(int).T
    grey = image.mean(axis=2)
    assert np.median(grey[rows, cols]) < np.median(grey) - 60


def scaled(factor):
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return lambda image: cv2.resize(image, None, fx=factor, fy=factor, interpolation=way)


def blueprint(image):
    """White ink on blue paper."""
    light = 255 - image.mean(axis=2, keepdims=True)
    return (np.array([30, 60, 140]) + light * np.array([0.8, 0.7, 0.4])).astype(np.uint8)


COPIES = {
    "inverted": (np.bitwise_not, 12),
    "blueprint": (blueprint, 12),
    "60 dpi": (scaled(0.4), 6),
    "450 dpi": (scaled(3.0), 12),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COPIES)
def test_copies_of_a_page_are_read_alike(name):
    page = drawn()
    change, least_db = COPIES[name]
    ecg = digitize(np.ascontiguousarray(change(page.image)))
    assert ecg.layout == "3x4+1"
    assert sum(status.found for status in ecg.lead_status) == 12
    assert np.median(scores(ecg, page.signals)) > least_db


@pytest.mark.slow
@pytest.mark.parametrize(
    ("turns", "wood"), [pytest.param(0, False, marks=pytest.mark.slow), (0, True), (1, False)]
)
def test_a_page_that_is_small_in_its_picture(turns, wood):
    page = drawn()
    rows, cols = page.image.shape[:2]
    picture = np.full((round(2.6 * rows), round(2.6 * cols), 3), 250, np.uint8)
    if wood:
        grain = np.random.default_rng(2).normal(0, 18, (picture.shape[0] // 8, picture.shape[1] // 40))
        grain = cv2.resize(grain, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        picture = np.clip(np.array([150, 110, 70]) + grain[..., None], 0, 255).astype(np.uint8)
    picture[rows // 2 : rows // 2 + rows, cols : 2 * cols] = page.image
    picture = np.ascontiguousarray(np.rot90(picture, turns))
    ecg = digitize(picture)
    assert ecg.quarter_turns == turns
    assert ecg.layout == "3x4+1"
    # The grid is found at its own scale, and traces are given in the whole picture.
    assert ecg.px_per_mm == pytest.approx((page.px_per_mm,) * 2, rel=0.003)
    assert np.median(scores(ecg, page.signals)) > 15
    trace = next(t for t in ecg.traces if t.lead == "V5")
    r, c = np.round(trace.points[np.isfinite(trace.points).all(axis=1)]).astype(int).T
    assert np.median(picture.mean(axis=2)[r, c]) < 110


def test_centroid_readout_is_the_baseline():
    ecg = digitize(SAMPLES / "clean_3x4.jpg", options=CENTROID, fs=250)
    assert ecg.fs == 250
    assert np.isfinite(ecg.signals).any(axis=1).all()


@pytest.mark.slow
def test_a_page_with_two_leads_is_refused_or_read_right():
    missing = tuple(lead for lead in LEADS if lead not in ("I", "V2"))
    page = drawn(missing, rhythm=())
    ecg = None
    with suppress(PageError):
        ecg = digitize(page.image)
    if ecg is not None:
        assert {status.lead for status in ecg.lead_status if status.found} <= {"I", "V2"}


@pytest.mark.slow
@pytest.mark.parametrize("missing", [("V3",), ("II",)])
def test_leads_that_are_not_printed_are_nan_with_a_reason(missing):
    page = drawn(missing, rhythm=())
    ecg = digitize(page.image)
    for status, signal in zip(ecg.lead_status, ecg.signals, strict=True):
        if status.lead in missing:
            assert not np.isfinite(signal).any(), status
            assert status.reason
    printed = [k for k, lead in enumerate(LEADS) if lead not in missing]
    assert np.isfinite(ecg.signals[printed]).any(axis=1).mean() >= 0.9


@pytest.mark.slow
def test_label_map_of_the_read_traces():
    page = drawn()
    read = draw_label_map(page.image.shape, digitize(page.image))
    true = page.label_map(min_stroke_px=LABEL_MM * page.px_per_mm)
    assert read.shape == true.shape
    assert np.nanmean(dice(read, true)) > 0.8


@pytest.mark.slow
def test_a_page_without_grid_gives_a_warning():
    page = drawn()
    style = sample_style(np.random.default_rng(5), "clean", layout=page.layout, dpi=150)
    sheet = replace(style.sheet, grid="none", missing=(), speed_mm_s=25.0, gain_mm_mv=10.0)
    ecg_in = generate_ecg(21, rhythm="sinus rhythm")
    page = render_page(ecg_in.signals, ecg_in.fs, seed=5, style=replace(style, sheet=sheet))
    ecg = digitize(page.image)
    assert ecg.px_per_mm is None
    assert any("grid" in warning for warning in ecg.warnings)


def cat():
    """A furry texture with two eyes: natural, but no ECG."""
    rng = np.random.default_rng(0)
    fur = sum(
        cv2.resize(rng.normal(0, 1, (600 // s, 800 // s)), (800, 600), interpolation=cv2.INTER_CUBIC) * s**0.7
        for s in (2, 5, 20, 80)
    )
    image = np.clip(130 + 9 * fur, 0, 255).astype(np.uint8)[..., None] * np.array([1.0, 0.8, 0.6])
    image = np.ascontiguousarray(image.astype(np.uint8))
    for x in (300, 500):
        cv2.ellipse(image, (x, 260), (50, 30), 0, 0, 360, (90, 200, 90), -1)
        cv2.ellipse(image, (x, 260), (8, 28), 0, 0, 360, (0, 0, 0), -1)
    return image


def text_page():
    image = np.full((1100, 850, 3), 255, np.uint8)
    for k in range(40):
        line = "Discharge letter: no abnormality found " * 2
        cv2.putText(image, line, (40, 60 + 25 * k), 0, 0.5, (0, 0, 0), 1)
    return image


def table():
    image = np.full((1200, 1600, 3), 255, np.uint8)
    for k in range(12):
        cv2.line(image, (100, 100 + 90 * k), (1500, 100 + 90 * k), (0, 0, 0), 2)
    for k in range(6):
        cv2.line(image, (100 + 280 * k, 100), (100 + 280 * k, 1090), (0, 0, 0), 2)
    return image


def sheet_music():
    rng = np.random.default_rng(2)
    image = np.full((1100, 850, 3), 255, np.uint8)
    for top in range(80, 1040, 120):
        for k in range(5):
            cv2.line(image, (60, top + 10 * k), (790, top + 10 * k), (0, 0, 0), 1)
        for x in range(90, 780, 33):
            y = top + int(rng.integers(0, 9)) * 5
            cv2.ellipse(image, (x, y), (6, 4), -20, 0, 360, (0, 0, 0), -1)
            cv2.line(image, (x + 6, y), (x + 6, y - 32), (0, 0, 0), 1)
    return image


def curves(n, step):
    """Curves below each other: share prices with steps, brain waves without."""
    rng = np.random.default_rng(2)
    image = np.full((1000, 1500, 3), 255, np.uint8)
    x = np.arange(80, 1440)
    for k in range(n):
        walk = np.cumsum(rng.normal(0, 2, x.size))
        waves = 8 * np.convolve(rng.normal(0, 1, x.size), np.hanning(13), "same") + 12 * np.sin(x / 9 + k)
        y = 80 + k * 880 // n + (walk if step else waves)
        cv2.polylines(image, [np.stack([x, y], -1)[:, None].astype(np.int32)], False, (0, 0, 0), 1)
    return image


def empty_grid():
    """Paper that nothing was printed on."""
    image = np.full((1100, 1400, 3), 255, np.uint8)
    for k in range(0, 1400, 8):
        cv2.line(image, (k, 0), (k, 1099), (250, 200, 200), 1 + (k % 40 == 0))
        cv2.line(image, (0, k), (1399, k), (250, 200, 200), 1 + (k % 40 == 0))
    return image


def letter_on_grid():
    image = empty_grid()
    for k in range(20):
        line = "Discharge letter: no abnormality found " * 2
        cv2.putText(image, line, (40, 60 + 50 * k), 0, 0.6, (0, 0, 0), 1)
    return image


def handwriting_on_grid():
    rng = np.random.default_rng(5)
    image = empty_grid()
    x = np.arange(80, 1300, 2.0)
    for k in range(14):
        y = 80 + 70 * k + 12 * np.sin(x / 7 + rng.uniform(0, 6)) * rng.uniform(0.3, 1, x.size)
        points = np.stack([x, y + 4 * np.sin(x / 31)], -1)[:, None].astype(np.int32)
        cv2.polylines(image, [points], False, (60, 20, 20), 2)
    return image


def noise():
    return np.random.default_rng(1).integers(0, 255, (700, 900, 3)).astype(np.uint8)


STRANGE = {
    "cat": cat,
    "text": text_page,
    "noise": noise,
    "table": table,
    "sheet music": sheet_music,
    "share prices": partial(curves, 4, True),
    "brain waves": partial(curves, 10, False),
    "empty grid": empty_grid,
    "letter on grid": letter_on_grid,
    "handwriting on grid": handwriting_on_grid,
}


ALIKE = ("noise", "table", "share prices", "empty grid", "handwriting on grid", "cat", "text", "brain waves",
         "letter on grid")  # fmt: skip
"""Pages that are refused for the reasons of others, or that take long."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in ALIKE else ()) for name in STRANGE]
)
def test_what_is_no_ecg_is_refused(name):
    with pytest.raises(PageError):
        digitize(STRANGE[name]())


def test_bad_arguments():
    with pytest.raises(ValueError, match="readout must be trace or centroid; got 'guess'"):
        Options(readout="guess")
    page = np.zeros((300, 300, 3), np.uint8)
    for name in ("fs", "speed_mm_s", "gain_mm_mv"):
        for value in (0, -25, math.inf, math.nan):
            with pytest.raises(ValueError, match=f"{name} must be positive and finite; got"):
                digitize(page, **{name: value})
