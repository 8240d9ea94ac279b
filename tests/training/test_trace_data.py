"""Crops that the trace network learns from: targets lie on the ink, and tall waves are shown whole."""

import numpy as np
import pytest

from ecg_hough.paper import make_layout
from ecg_hough.render import PageStyle, SheetStyle, render_page
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.training.row_truth import IGNORED

hard_pages = pytest.importorskip("ecg_hough.training.hard_pages")
trace_data = pytest.importorskip("ecg_hough.training.trace_data")


@pytest.fixture(scope="module")
def page():
    """Traces three times as tall as usual: R waves of some leads cross other rows."""
    ecg = generate_ecg(11)
    sheet = SheetStyle(make_layout("3x4"), (215.9, 279.4), 200.0, names="none", footer=False, header_lines=0)
    return render_page(3.0 * ecg.signals, ecg.fs, seed=1, style=PageStyle(sheet))


def test_crops_have_the_two_shapes_and_targets_on_the_ink(page):
    rng = np.random.default_rng(0)
    shapes = set()
    for channels, target in trace_data.crops_of(page, 24, rng, tall_share=0.5):
        shapes.add(channels.shape[1:])
        assert target.shape == (2, channels.shape[2])
        darkness = 255 - channels[:3].min(axis=0)
        cols = np.flatnonzero(target[0] > 1)
        rows = np.clip(np.rint(target[0, cols]).astype(int), 1, channels.shape[1] - 2)
        near = np.max([darkness[rows + k, cols] for k in (-1, 0, 1)], axis=0)
        assert cols.size == 0 or np.mean(near > 120) > 0.85
    assert shapes == {trace_data.CROP_SHAPE, trace_data.TALL_SHAPE}


def test_tall_crops_hold_the_farthest_excursions(page):
    rng = np.random.default_rng(1)
    tall = [t for _, t in trace_data.crops_of(page, 20, rng, tall_share=1.0)]
    reach = [np.ptp(t[t > 1]) for t in tall if (t > 1).any()]
    usual = [t for _, t in trace_data.crops_of(page, 20, rng)]
    assert np.median(reach) > np.median([np.ptp(t[t > 1]) for t in usual if (t > 1).any()])
    # The wave and the line it starts from both count.
    counted = [np.mean(t > IGNORED) for t in tall]
    assert np.median(counted) > 0.9


def test_crossing_pages_have_close_rows_and_waves_that_reach_others():
    ecg = generate_ecg(11)
    rng = np.random.default_rng(3)
    style = PageStyle(SheetStyle(make_layout("3x4"), (215.9, 279.4), 120.0, row_pitch_mm=30.0))
    signals, crossing = hard_pages.crossing(ecg.signals, style, rng)
    pitch = crossing.sheet.row_pitch_mm
    assert hard_pages.CROSSING_PITCH_MM[0] <= pitch <= hard_pages.CROSSING_PITCH_MM[1]
    reach = np.abs(signals - np.median(signals, axis=1, keepdims=True)).max(axis=1) * 10.0 / pitch
    before = np.abs(ecg.signals - np.median(ecg.signals, axis=1, keepdims=True)).max(axis=1)
    after = np.abs(signals - np.median(signals, axis=1, keepdims=True)).max(axis=1)
    assert (reach > 0.5).sum() >= 5
    assert (after >= 0.99 * before).all()


def test_cut_pages_keep_their_truth_and_black_hides_it(page):
    rng = np.random.default_rng(4)
    cut = hard_pages._cut_at_border(page, rng)
    assert len(cut.image) < len(page.image)
    whole, part = trace_data.rows_in_mm(page), trace_data.rows_in_mm(cut)
    assert np.allclose(whole[1].y_mm[0], part[1].y_mm[0], atol=0.02)
    unseen = [np.concatenate(row.seen) for row in part]
    assert min(seen.mean() for seen in unseen) < 1.0
    hidden = trace_data.rows_in_mm(hard_pages._blackened(page, np.random.default_rng(1)))
    assert np.mean([np.concatenate(row.seen).mean() for row in hidden]) < 1.0
