"""Labels as the 2024 winner drew them: single points, no stroke, no short copy, pages upright."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from ecg_hough.paper import LEADS
from ecg_hough.training.case_pictures import kit_page
from ecg_hough.training.winner_labels import denser, turn_of, turn_upright, winner_labels
from places import SHARED

KIT = SHARED / "ecg_image_kit"


def test_every_point_labels_the_pixel_it_lies_in() -> None:
    # Steps of 2 columns and 3 rows: two points between neighbours, the first and the last sample once.
    points = np.array([[5.0, 2.0], [8.0, 4.0], [8.4, 6.4]])
    assert denser(points[:2]).tolist() == [[5.0, 2.0], [6.5, 3.0], [8.0, 4.0]]
    labels = winner_labels((12, 9), [("V1", points)])
    expected = {(5, 2), (7, 3), (8, 4), (8, 5), (8, 6)}  # a centre at k reaches from k - 0.5 to k + 0.5
    assert {(int(r), int(c)) for r, c in np.argwhere(labels)} == expected
    assert set(np.unique(labels)) == {0, LEADS.index("V1") + 1}
    beyond = winner_labels((7, 4), [("V1", points)])
    assert {(int(r), int(c)) for r, c in np.argwhere(beyond)} == {(5, 2)}


def test_the_short_copy_of_a_lead_is_background() -> None:
    short = np.column_stack([np.full(10, 3.0), np.arange(10)])
    long = np.column_stack([np.full(40, 9.0), np.arange(40)])
    labels = winner_labels((12, 40), [("II", short), ("I", short + np.array([2, 0])), ("II", long)])
    assert not labels[3].any()
    assert (labels[9] == LEADS.index("II") + 1).all()
    assert labels[5, :9].any()


def test_a_gap_in_the_points_is_not_bridged() -> None:
    points = np.column_stack([np.full(6, 3.0), np.arange(6.0)])
    points[3] = np.nan
    assert np.flatnonzero(winner_labels((6, 8), [("I", points)])[3]).tolist() == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("angle", [-7.0, 0.0, 3.0, 31.5])
def test_the_angle_follows_from_equal_steps_of_time(angle: float) -> None:
    rng = np.random.default_rng(0)
    upright = [
        np.column_stack([100 + rng.normal(0, 5, 200).cumsum(), 10 + 0.4 * np.arange(200)]) for _ in range(3)
    ]
    turn = np.deg2rad(angle)
    # Counter-clockwise on screen: what lies right goes up, row less.
    turned = [p @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) for p in upright]
    traces = [("I", np.round(points, 2)) for points in turned]
    assert turn_of(traces) == pytest.approx(angle, abs=0.05)


def test_a_page_comes_upright_with_its_points() -> None:
    image = np.full((120, 160), 255, np.uint8)
    points = np.column_stack([np.full(50, 40.0), np.arange(50.0) + 60])
    turn = cv2.getRotationMatrix2D((79.5, 59.5), 8.0, 1.0)
    leaning = (points[:, ::-1] @ turn[:, :2].T + turn[:, 2])[:, ::-1]
    image[tuple(np.rint(leaning).astype(int).T)] = 0
    upright, [(_, back)] = turn_upright(image, [("I", leaning)], 8.0)
    np.testing.assert_allclose(back, points, atol=1e-6)
    near = cv2.erode(upright, np.ones((3, 3), np.uint8))
    assert (near[tuple(np.rint(back).astype(int).T)] == 0).mean() > 0.95


@pytest.mark.skipif(not KIT.is_dir(), reason="the development data are not here")
def test_a_page_by_the_kit_has_the_winners_labels() -> None:
    image, labels = kit_page(KIT / "clean" / "00009_hr.json")
    assert image.shape[:2] == labels.shape
    # 13,381 with the short copy of II, which is background.
    assert np.count_nonzero(labels) == 12_537
    assert not (labels[:1300] == LEADS.index("II") + 1).any()


@pytest.mark.slow
@pytest.mark.skipif(not KIT.is_dir(), reason="the development data are not here")
def test_the_winners_labels_and_method_reach_what_perfect_masks_reach() -> None:
    pytest.importorskip("ecg_lab")
    from ecg_hough.datasets.kit_pages import read_kit_page
    from ecg_hough.scores.metrics import challenge_snr
    from ecg_lab.methods import METHODS
    from ecg_lab.methods.common import Options

    scores = []
    for name in ("00009_hr", "00252_hr"):
        image, labels = kit_page(KIT / "clean" / f"{name}.json")
        truth = read_kit_page(KIT / "clean" / f"{name}.json").signals
        assert truth is not None
        signals = METHODS["krones2024"].run(image, labels, Options()).signals
        scores.append(np.mean([challenge_snr(truth[k], signals[k], 500) for k in range(12)]))
    assert np.mean(scores) == pytest.approx(20.64, abs=0.05)


@pytest.mark.skipif(not KIT.is_dir(), reason="the development data are not here")
@pytest.mark.parametrize("profile", ["rot", "severe"])
def test_a_page_that_was_turned_after_plotting_comes_upright(profile: str) -> None:
    sidecar = sorted((KIT / profile).glob("*.json"))[0]
    assert json.loads(sidecar.read_text())["rotate"] > 0
    image, labels = kit_page(sidecar)
    grey = cv2.GaussianBlur(image.min(axis=2), (0, 0), 1.0).astype(float)
    rows, cols = np.nonzero(labels)
    inside = (rows > 12) & (rows < grey.shape[0] - 12)
    rows, cols = rows[inside], cols[inside]
    beside = np.maximum(grey[rows - 10, cols], grey[rows + 10, cols])
    assert (grey[rows, cols] < beside).mean() > 0.8
