"""Calibration: drawn rows of known millivolts come back as they were, each at its own time."""

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.elements import TimeBase
from ecg_hough.errors import PageError
from ecg_hough.layout.guessed_map import scale_from_columns
from ecg_hough.paper import LEADS, make_layout
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.scores.metrics import unaligned_snr
from ecg_hough.signals.calibrate import calibrate
from ecg_hough.signals.columns import column_edges, place_columns, places_on_strip
from printed_rows import FS, rows_of, with_spaces


def calibrated(rows, windows, layout, *, fs, speed_mm_s, gain_mm_mv, fused_leads=True, **given):
    columns = place_columns(rows, windows, layout, speed_mm_s)
    base = TimeBase(columns, layout, speed_mm_s, gain_mm_mv, **given)
    return calibrate(rows, base, fs=fs, fused_leads=fused_leads)


@pytest.fixture(scope="module")
def signals():
    return generate_ecg(5, rhythm="sinus rhythm").signals


@pytest.mark.parametrize(
    ("shape", "rhythm"),
    [("3x4", ("II",)), ("3x4", ()), ("6x2", ()), ("12x1", ()), ("4x3", ()), ("3x4", ("V1", "II", "V5"))],
)
def test_known_rows_come_back(signals, shape, rhythm):
    layout = make_layout(shape, rhythm=rhythm)
    rows, windows = rows_of(signals, layout)
    result = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    assert result.signals.shape == (12, 5000)
    for k, lead in enumerate(LEADS):
        finite = np.isfinite(result.signals[k])
        expected = 1.0 if lead in rhythm else 1 / layout.n_columns
        assert finite.mean() == pytest.approx(expected, abs=0.002)
        offset = np.nanmedian(result.signals[k] - signals[k])
        printed = np.where(finite, signals[k], np.nan)
        assert unaligned_snr(printed, result.signals[k] - offset) > 24
        assert result.statuses[k].found


@pytest.mark.parametrize(("speed", "gain"), [(50.0, 10.0), (25.0, 5.0), (25.0, 20.0)])
def test_speed_and_gain(signals, speed, gain):
    layout = make_layout("3x4")
    rows, windows = rows_of(signals, layout, speed=speed, gain=gain)
    result = calibrated(rows, windows, layout, fs=250, speed_mm_s=speed, gain_mm_mv=gain)
    assert result.signals.shape == (12, 2500)
    k = LEADS.index("V3")
    span = slice(1250, 1875)
    truth = signals[k, 2 * span.start : 2 * span.stop : 2]
    assert np.ptp(result.signals[k, span]) == pytest.approx(np.ptp(truth), rel=0.05)


def test_missing_lead_is_nan_with_a_reason(signals):
    layout = make_layout("3x4")
    rows, windows = rows_of(signals, layout)
    windows = tuple(w for w in windows if w.lead != "V2")
    result = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    k = LEADS.index("V2")
    assert np.isnan(result.signals[k]).all()
    assert not result.statuses[k].found
    assert "no panel" in result.statuses[k].reason


def test_a_lead_of_which_too_little_is_read_has_no_signal_error_or_confidence(signals):
    layout = make_layout("12x1")
    rows, windows = rows_of(signals, layout)
    rows[3].y_mm[700:] = np.nan
    result = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    assert not result.statuses[3].found
    assert "could be read" in result.statuses[3].reason
    assert np.isnan(result.signals[3]).all()
    assert np.isnan(result.sd_mv[3]).all()
    assert (result.confidence[3] == 0.0).all()
    others = np.delete(np.arange(12), 3)
    assert np.array_equal(np.isnan(result.sd_mv[others]), np.isnan(result.signals[others]))


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("shape", ["4x3", "2x6"])
def test_usual_beats_show_inverted_avr_where_columns_follow_each_other(signals, shape, inverted):
    layout = make_layout(shape, cabrera=True)
    printed = signals.copy()
    printed[LEADS.index("aVR")] *= -1 if inverted else 1
    rows, windows = rows_of(printed, layout)
    result = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    k = LEADS.index("aVR")
    both = np.isfinite(result.signals[k])
    assert np.corrcoef(result.signals[k, both], signals[k, both])[0, 1] > 0.9
    assert any("aVR" in note for note in result.notes) == inverted


def test_inverted_avr_of_cabrera_pages(signals):
    layout = make_layout("6x2", cabrera=True)
    printed = signals.copy()
    printed[LEADS.index("aVR")] *= -1
    rows, windows = rows_of(printed, layout)
    result = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    k = LEADS.index("aVR")
    half = slice(10, 2490)
    assert np.corrcoef(result.signals[k, half], signals[k, half])[0, 1] > 0.95
    assert any("aVR" in note for note in result.notes)


def test_gap_stays_nan(signals):
    layout = make_layout("12x1")
    rows, windows = rows_of(signals, layout)
    rows[0].y_mm[1000:1400] = np.nan
    result = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    assert np.isnan(result.signals[0]).sum() == pytest.approx(400 / 16 * 20, abs=6)
    assert np.isfinite(result.signals[1]).all()


def test_a_mark_beyond_the_block_is_no_panel(signals):
    """On pages of unknown layout, ink far right of the block was taken for another panel."""
    rows, windows = rows_of(signals, make_layout("3x4"))
    columns = place_columns(rows, windows, None, 25.0)
    astray = replace(windows[0], start_mm=330.0, end_mm=345.0, column_index=4)
    columns = replace(
        columns,
        windows=(*columns.windows, astray),
        starts_s={**columns.starts_s, 4: columns.duration_s + 0.5},
    )
    result = calibrate(rows, TimeBase(columns, None, 25.0, 10.0), fs=FS)
    assert all(status.found for status in result.statuses)


def test_nothing_readable(signals):
    layout = make_layout("3x4")
    rows, windows = rows_of(signals, layout)
    for row in rows:
        row.y_mm[:] = np.nan
    with pytest.raises(PageError, match="calibration"):
        calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)


def test_scale_from_columns():
    assert scale_from_columns(100, 2100) == pytest.approx(8.0)
    with pytest.raises(PageError):
        scale_from_columns(100, 100)


@pytest.mark.parametrize(("shape", "rhythm"), [("3x4", ("II",)), ("6x2", ()), ("12x1", ())])
@pytest.mark.parametrize("exchanged", [("I", "II"), ("II", "III"), ("aVL", "aVF")])
def test_exchanged_limb_leads_are_named_in_a_warning(signals, shape, rhythm, exchanged):
    layout = make_layout(shape, rhythm=rhythm)
    rows, windows = rows_of(signals, layout)
    given = {"fs": FS, "speed_mm_s": 25, "gain_mm_mv": 10}
    right = calibrated(rows, windows, layout, **given)
    assert right.leads_agree
    assert right.agreement == 1.0
    assert max(right.residuals.einthoven_mv, right.residuals.goldberger_mv) < 0.02
    assert not any("equation" in words for words in right.warnings)
    other = {exchanged[0]: exchanged[1], exchanged[1]: exchanged[0]}
    wrong = tuple(replace(w, lead=other.get(w.lead, w.lead)) for w in windows)
    result = calibrated(rows, wrong, layout, **given)
    if exchanged == ("aVL", "aVF") and shape == "3x4":
        # Where no other limb lead shows the same instant, only the sum of the three is known, in any order.
        assert result.residuals.goldberger_mv < 0.02
        return
    assert result.leads_agree is False
    assert result.agreement < 0.7
    assert any("equation" in words and "named" in words for words in result.warnings)


def test_fusion_can_be_switched_off(signals):
    layout = make_layout("6x2")
    rows, windows = rows_of(signals, layout)
    noise = np.random.default_rng(0).normal(0, 0.1, rows[0].y_mm.size)  # calm stretches are smoothed
    rows[0].y_mm[:] += noise
    given = {"fs": FS, "speed_mm_s": 25, "gain_mm_mv": 10}
    fused = calibrated(rows, windows, layout, **given)
    apart = calibrated(rows, windows, layout, **given, fused_leads=False)
    assert fused.residuals.einthoven_mv == apart.residuals.einthoven_mv > 0.004
    assert fused.leads_agree == apart.leads_agree
    limb, chest = slice(0, 6), slice(6, 12)
    assert np.nanmax(np.abs(fused.signals[limb] - apart.signals[limb])) > 1e-3
    assert np.array_equal(fused.signals[chest], apart.signals[chest], equal_nan=True)


@pytest.mark.parametrize(("shape", "rhythm"), [("3x4", ("II",)), ("6x2", ())])
def test_separate_panels_keep_their_own_seconds(signals, shape, rhythm):
    layout = make_layout(shape, rhythm=rhythm)
    rows, windows = rows_of(signals, layout)
    apart = with_spaces(rows, layout, 6.0)
    moved = [(w, 0.0 if w.rhythm else 6.0 * w.column_index) for w in windows]
    windows = tuple(replace(w, start_mm=w.start_mm + d, end_mm=w.end_mm + d) for w, d in moved)
    columns = place_columns(apart, windows, layout, 25.0)
    column_s = 10.0 / layout.n_columns
    assert columns.starts_s == pytest.approx({j: j * column_s for j in range(layout.n_columns)})
    assert columns.duration_s == 10.0
    starts, ends = column_edges(columns.windows, layout.n_columns)
    expected = [20.0 + j * (column_s * 25.0 + 6.0) for j in range(layout.n_columns)]
    assert starts == pytest.approx(expected, abs=0.3)
    on_strip = [20.0 + j * column_s * 25.0 for j in range(layout.n_columns)]
    assert places_on_strip(starts, ends) == pytest.approx(on_strip, abs=0.3)
    result = calibrate(apart, TimeBase(columns, layout, 25.0, 10.0), fs=FS)
    for k in range(12):
        finite = np.isfinite(result.signals[k])
        offset = np.nanmedian(result.signals[k] - signals[k])
        assert unaligned_snr(np.where(finite, signals[k], np.nan), result.signals[k] - offset) > 15


def test_uncertain_ends_of_a_panel_follow_its_course(signals):
    """The first read-outs of every column are at the level of the lead before, with a large expected
    error."""
    layout = make_layout("3x4")
    rows, windows = rows_of(signals, layout)
    columns = place_columns(rows, windows, layout, 25.0)
    starts = sorted({w.start_mm for w in columns.windows})
    misread = []
    for row in rows:
        near = np.any([(row.x_mm >= a) & (row.x_mm < a + 0.2) for a in starts], axis=0)
        y, sd = np.where(near, row.y_mm + 1.5, row.y_mm), np.where(near, 5.0, 0.05)
        misread.append(replace(row, y_mm=y, sd_mm=np.where(np.isfinite(y), sd, np.nan)))
    result = calibrate(tuple(misread), TimeBase(columns, layout, 25.0, 10.0), fs=FS)
    for k in range(12):
        first = np.flatnonzero(np.isfinite(result.signals[k]))[:3]
        assert np.abs(result.signals[k, first] - signals[k, first]).max() < 0.075


def test_smoothing_removes_reading_noise_and_keeps_waves():
    """A QRS complex, a flutter wave of 5 Hz and noise of 0.03 mm; the complex is as sharp as before."""
    t = np.arange(10 * FS) / FS
    lead = 0.1 * np.sin(2 * np.pi * 5.0 * t)
    for beat in np.arange(0.5, 10.0, 1.0):
        lead += 1.5 * np.exp(-(((t - beat) / 0.012) ** 2))
    layout = make_layout("12x1")
    rows, windows = rows_of(np.tile(lead, (12, 1)), layout)
    rng = np.random.default_rng(3)
    noisy = tuple(replace(row, y_mm=row.y_mm + rng.normal(0.0, 0.03, row.y_mm.size)) for row in rows)
    given = {"fs": FS, "speed_mm_s": 25.0, "gain_mm_mv": 10, "fused_leads": False}
    clean = calibrated(rows, windows, layout, **given).signals[:, 50:4950]
    read = calibrated(noisy, windows, layout, **given).signals[:, 50:4950]
    phase = (t[50:4950] + 0.5) % 1.0
    calm = (phase > 0.1) & (phase < 0.9)
    noise_mv = np.sqrt(np.nanmean((read - clean)[:, calm] ** 2))
    assert noise_mv < 0.7 * 0.003
    # Only noise is removed: the wave and the complexes come back as drawn, apart from the zero line.
    off = clean - lead[50:4950]
    off -= np.nanmedian(off, axis=1, keepdims=True)
    assert np.nanmax(np.abs(off[:, calm])) < 0.003
    assert np.nanmax(np.abs(off)) < 0.025 * lead.max()


def cut_at(rows, row_index, wrong):
    """Rows of which one is flat along 4 mm, where its ink is another's with this probability."""
    out = []
    for row in rows:
        if row.row_index == row_index:
            here = (row.x_mm > row.x_mm[0] + 60) & (row.x_mm < row.x_mm[0] + 64)
            y = np.where(here, np.nanmedian(row.y_mm), row.y_mm)
            row = replace(row, y_mm=y, wrong=np.where(here, wrong, 0.0))
        out.append(row)
    return tuple(out)


def test_a_strip_that_is_cut_does_not_overrule_its_clean_copy(signals):
    layout = make_layout("3x4", rhythm=("V1",))
    rows, windows = rows_of(signals, layout)
    strip = max(row.row_index for row in rows)
    whole = calibrated(rows, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10, fused_leads=False)
    x = rows[0].x_mm[0]
    column = next(w for w in windows if w.lead == "V1" and not w.rhythm)
    at = (column.start_mm - x + 20, column.start_mm - x + 30)
    wrong = np.where((rows[strip].x_mm > x + at[0]) & (rows[strip].x_mm < x + at[1]), 0.3, 0.0)
    flat = np.where(wrong > 0, np.nanmedian(rows[strip].y_mm), rows[strip].y_mm)
    cut = (*rows[:strip], replace(rows[strip], y_mm=flat, wrong=wrong))
    result = calibrated(cut, windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10, fused_leads=False)
    k = LEADS.index("V1")
    assert np.nanmax(np.abs(result.signals[k] - whole.signals[k])) < 0.1
    assert not any("cross" in warning for warning in result.warnings)


def test_ink_that_is_as_likely_anothers_is_left_out_with_a_reason(signals, monkeypatch: pytest.MonkeyPatch):
    layout = make_layout("12x1")
    rows, windows = rows_of(signals, layout)
    k = LEADS.index("V3")
    result = calibrated(cut_at(rows, k, 0.8), windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    gone = np.isnan(result.signals[k])
    assert 60 < gone.sum() < 100  # 4 mm of 25 mm/s
    assert (result.confidence[k][gone] == 0).all()
    assert any("where rows cross" in warning and "V3" in warning for warning in result.warnings)
    monkeypatch.setattr("ecg_hough.signals.calibrate.WAVE_S", 0.25)  # then 0.16 s are less than a wave
    short = calibrated(cut_at(rows, k, 0.8), windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    assert any("where rows cross" in note and "V3" in note for note in short.notes)
    assert not any("where rows cross" in warning for warning in short.warnings)
    kept = calibrated(cut_at(rows, k, 0.1), windows, layout, fs=FS, speed_mm_s=25, gain_mm_mv=10)
    assert np.isfinite(kept.signals[k]).sum() > np.isfinite(result.signals[k]).sum()
    assert kept.confidence[k][gone].mean() == pytest.approx(0.9, abs=0.1)
