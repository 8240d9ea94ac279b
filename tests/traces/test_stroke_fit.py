"""Analysis by synthesis: strokes drawn here, whose true rows are known."""

import cv2
import numpy as np
import pytest

from drawn_strip import PX_PER_MM, SHAPE, strip_of, true_rows
from ecg_hough.traces.stroke_fit import fit_stroke


def raster_of(y, *, width=4.0, blur=0.8, noise=4.0):
    """The stroke as a printer's head draws it: bars of a column, 4 times finer down the page."""
    fine = np.repeat(np.arange(SHAPE[0] * 4)[:, None], SHAPE[1], axis=1)
    borders = np.concatenate([y[:1], (y[1:-1:2] + y[2::2]) / 2, y[-1:]])
    values = np.stack([y[::2], y[1::2], borders[:-1], borders[1:]])
    top, bottom = values.min(axis=0) - width / 2, values.max(axis=0) + width / 2
    at = (fine + 0.5) / 4 - 0.5
    ink = ((at > top) & (at < bottom)).reshape(SHAPE[0], 4, SHAPE[1]).mean(axis=1)
    ink = cv2.GaussianBlur(ink, (0, 0), blur)
    image = np.full((*SHAPE, 3), 255.0) * (1 - ink[..., None]) + 20 * ink[..., None]
    image += np.random.default_rng(0).normal(0, noise, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def fitted_rows(*args, **options):
    return fit_stroke(*args, **options).rows


def rmse(a, b):
    return float(np.sqrt(np.mean((a - b) ** 2)))


@pytest.mark.parametrize(("width", "blur", "noise"), [(2.0, 0.6, 0.0), (4.0, 1.2, 6.0)])
def test_misread_rows_are_moved_onto_the_ink(width, blur, noise):
    y, x = true_rows()
    rng = np.random.default_rng(1)
    wrong = y + np.convolve(rng.normal(0, 1.2, y.size), np.ones(5) / 5, mode="same")
    fitted = fitted_rows(
        strip_of(y, x, width=width, blur=blur, noise=noise), wrong, np.full(y.size, 0.6), y > 0, PX_PER_MM
    )
    inside = slice(20, -20)
    assert rmse(fitted[inside], y[inside]) < 0.45 * rmse(wrong[inside], y[inside])


def test_bars_of_a_printers_head_are_fitted_as_bars():
    """Where it is steep a raster's stroke is thin: a line leaves 0.27 and 0.68 of the error here."""
    y, _ = true_rows()
    rng = np.random.default_rng(1)
    wrong = y + np.convolve(rng.normal(0, 1.2, y.size), np.ones(5) / 5, mode="same")
    strip, inside = raster_of(y), slice(20, -20)
    for rows, share in ((y, 0.15), (wrong, 0.4)):
        fitted = fitted_rows(strip, rows, np.full(y.size, 0.6), y > 0, PX_PER_MM)
        assert rmse(fitted[inside], y[inside]) < share * rmse(wrong[inside], y[inside])


def test_a_coarse_image_moves_rows_less():
    y, x = true_rows()
    strip = strip_of(y, x, noise=10.0)
    at = [
        fitted_rows(strip, y + 0.8, np.full(y.size, 0.5), y > 0, PX_PER_MM, image_px_per_mm=scale)
        for scale in (8.0, 2.0)
    ]
    assert rmse(at[0], y + 0.8) > 1.1 * rmse(at[1], y + 0.8)


def test_right_rows_remain():
    y, x = true_rows()
    fitted = fitted_rows(strip_of(y, x), y, np.full(y.size, 0.3), y > 0, PX_PER_MM)
    assert rmse(fitted[20:-20], y[20:-20]) < 0.15


def test_text_next_to_the_trace_does_not_pull():
    y, x = true_rows(height=20)
    strip = strip_of(y, x)
    cv2.putText(strip, "V1", (120, 165), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (20, 20, 20), 2)
    fitted = fitted_rows(strip, y, np.full(y.size, 0.3), y > 0, PX_PER_MM)
    assert np.abs(fitted - y)[20:-20].max() < 1.5


def test_unread_columns_are_unchanged():
    y, x = true_rows()
    seen = (x < 300) | (x > 400)
    rows = np.where(seen, y + 0.5, 7.0)
    fitted = fitted_rows(strip_of(y, x), rows, np.full(y.size, 0.6), seen, PX_PER_MM)
    assert (fitted[~seen] == 7.0).all()
    assert rmse(fitted[seen], y[seen]) < 0.3


@pytest.mark.parametrize("case", ["blank", "short", "unseen"])
def test_rows_are_unchanged_where_there_is_nothing_to_fit(case):
    y, x = true_rows()
    strip = np.full((*SHAPE, 3), 255, np.uint8) if case == "blank" else strip_of(y, x)
    seen = np.zeros(y.size, bool) if case == "unseen" else np.ones(y.size, bool)
    if case == "short":
        strip, y, seen = strip[:, :60], y[:120], seen[:120]
    assert (fitted_rows(strip, y, np.ones(y.size), seen, PX_PER_MM) == y).all()


@pytest.mark.parametrize("bars", [False, True])
def test_the_fit_distinguishes_a_pen_from_a_raster(bars):
    y, x = true_rows()
    strip = raster_of(y, width=3.0) if bars else strip_of(y, x, width=3.0, blur=0.8)
    stroke = fit_stroke(strip, y, np.full(y.size, 0.3), y > 0, PX_PER_MM)
    assert stroke.bars == bars
    assert stroke.width_px == pytest.approx(3.0, abs=0.8)


def test_a_grid_that_is_not_taken_out_spoils_the_fit():
    y, x = true_rows()
    wrong = y + np.convolve(np.random.default_rng(1).normal(0, 1.2, y.size), np.ones(5) / 5, mode="same")
    strip, sd = strip_of(y, x), np.full(y.size, 0.6)
    without, with_grid = (fitted_rows(strip, wrong, sd, y > 0, PX_PER_MM, grid_out=g) for g in (True, False))
    assert rmse(without[20:-20], y[20:-20]) < 0.9 * rmse(with_grid[20:-20], y[20:-20])
