"""The marks network's data, training and export."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ecg_hough.elements import MARK_KINDS  # noqa: E402
from ecg_hough.networks.runtime import Network  # noqa: E402
from ecg_hough.paper import make_layout  # noqa: E402
from ecg_hough.render import render_page  # noqa: E402
from ecg_hough.render.ecg_model import generate_ecg  # noqa: E402
from ecg_hough.render.style import (  # noqa: E402
    CameraStyle,
    PageStyle,
    SheetStyle,
    WearStyle,
    vendor_sheet,
)
from ecg_hough.training.export_weights import export  # noqa: E402
from ecg_hough.training.marks_data import crops_of, render_for_marks  # noqa: E402
from ecg_hough.training.marks_network import ROWS, MarksNetwork, marks_loss, targets_of  # noqa: E402
from ecg_hough.training.marks_train import MarksTrainSettings, train_marks  # noqa: E402

PLAIN = SheetStyle(make_layout("3x4"), (215.9, 279.4), 100.0, grid="none", names="none", header_lines=0)


def page_of(**changes):
    ecg = generate_ecg(3)
    style = PageStyle(replace(PLAIN, footer=False, **changes), WearStyle(), CameraStyle(keep_size=False))
    return render_page(ecg.signals, ecg.fs, seed=1, style=style)


def places(page, kind):
    return sorted({round(mark.x_mm, 2) for mark in page.marks if mark.kind == kind})


def test_landmarks_of_a_page_with_spaces_pulses_and_cut_columns():
    page = page_of(column_gap_mm=6.0, column_cut_s=0.05, pulse_columns=True, separator="none", dpi=120.0,
                   block_left_mm=12.0, block_width_mm=240.0)  # fmt: skip
    starts, ends = places(page, "start"), places(page, "end")
    assert starts == pytest.approx([12.0 + 66.0 * j for j in range(4)], abs=0.06)
    assert np.subtract(ends, starts) == pytest.approx([60.0 - 1.25] * 4, abs=0.06)
    assert len(places(page, "pulse_left")) == 4


def test_chest_leads_have_their_own_gain_and_pulses_step():
    ecg = generate_ecg(3)
    same, lower = page_of(), page_of(chest_gain_mm_mv=5.0, pulse_stepped=True)
    for a, b in zip(same.panels, lower.panels, strict=True):
        rise = [np.ptp(panel.trace[:, 0]) for panel in (a, b)]
        assert rise[1] / rise[0] == pytest.approx(0.5 if a.lead[0] == "V" else 1.0, rel=0.02)
    assert ecg.fs == lower.fs


@pytest.mark.parametrize("separator", ["bars", "double", "dotted", "full"])
def test_separators_of_every_kind_are_drawn_at_their_landmark(separator):
    bare, drawn = page_of(separator="none", pulse="none"), page_of(separator=separator, pulse="none")
    changed = np.flatnonzero((bare.image != drawn.image).any(axis=(0, 2)))
    middles = [
        (mark.x_mm / 25.4 * 100.0 - 0.5) for mark in drawn.marks if mark.kind == "separator" and mark.row == 0
    ]
    for middle in middles:
        near = changed[np.abs(changed - middle) < 8]
        assert near.mean() == pytest.approx(middle, abs=1.0)


def test_crops_show_landmarks_where_they_are():
    page = page_of(separator="bars", separator_mm=5.0, separator_pen=3.0, pulse="none", block_width_mm=240.0)
    kind, found = MARK_KINDS.index("separator"), 0
    for crop in crops_of(page, 12, np.random.default_rng(0)):
        assert crop.channels.shape == (5, ROWS, 512)
        dark = 255.0 - crop.channels[0, ROWS // 2 - 14 : ROWS // 2 + 14].mean(axis=0)
        for k, column in crop.marks:
            if int(k) == kind and 20 < column < 490:
                found += 1
                assert abs(int(dark[round(column) - 12 : round(column) + 13].argmax()) - 12) <= 4
    assert found > 3


def test_other_carts_manners_differ_and_fit_the_sheet():
    rng = np.random.default_rng(4)
    drawn = [vendor_sheet(PLAIN, rng) for _ in range(60)]
    assert {sheet.separator for sheet in drawn} >= {"bars", "double", "dotted", "full", "none"}
    assert any(sheet.pulse_columns for sheet in drawn)
    assert any(sheet.chest_gain_mm_mv for sheet in drawn)
    for sheet in drawn:
        width = sheet.block_width_mm + 3 * sheet.column_gap_mm
        assert sheet.block_left_mm + width <= sheet.size_mm[1] or sheet.block_width_mm == 40.0


def test_targets_are_bells_with_the_distance_to_their_middle():
    heat, distance, asked = targets_of([np.array([[1, 41.0]], np.float32)], 64)
    assert heat.shape == (1, len(MARK_KINDS), 64)
    assert int(heat[0, 1].argmax()) in (20, 21)
    assert float(distance[0, 1, 20]) == pytest.approx(0.25)
    assert float(asked.sum()) == 5.0
    assert float(heat[0, 0].max()) == 0.0


def test_the_loss_is_least_for_what_is_asked():
    targets = targets_of([np.array([[2, 100.0]], np.float32)], 64)
    heat, distance, _ = targets
    right = torch.cat([torch.logit(heat.clamp(1e-4, 1 - 1e-4)), distance], dim=1)
    wrong = torch.cat([torch.logit(heat.roll(8, 2).clamp(1e-4, 1 - 1e-4)), distance + 1.0], dim=1)
    assert float(marks_loss(right, *targets)[0]) < 0.1 * float(marks_loss(wrong, *targets)[0])


def test_the_network_takes_any_length():
    network = MarksNetwork().eval()
    with torch.no_grad():
        for cols in (256, 512):
            assert network(torch.zeros(1, 5, ROWS, cols)).shape == (1, 2 * len(MARK_KINDS), cols // 2)


@pytest.mark.train
@pytest.mark.slow
def test_training_goes_on_and_is_exported(tmp_path):
    given = {"batch_size": 2, "threads": 1, "save_minutes": 60.0}
    run = train_marks(MarksTrainSettings(steps=2, **given), records=None, out=tmp_path / "run")
    train_marks(MarksTrainSettings(steps=3, **given), records=None, out=run)
    lines = (run / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "2", "3"]
    path = export(run, tmp_path / "weights")
    assert path.name == "marks.onnx"
    network = Network(path, precision="f32")
    assert network.labels == MARK_KINDS
    page = render_for_marks([], np.random.default_rng(0))
    crop = next(crops_of(page, 1, np.random.default_rng(0)))
    out = network.run(crop.channels[None].astype(np.float32) / 255.0)
    assert out.shape == (1, 2 * len(MARK_KINDS), 256)
    assert np.isfinite(out).all()
