"""The warp of a camera and what it adds to the pixels."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.render.camera import apply_warp, expose, make_warp
from ecg_hough.render.style import CameraStyle

SHAPE = (300, 400)


@pytest.mark.parametrize(
    "style",
    [
        CameraStyle(rotation_deg=7.0),
        CameraStyle(tilt_deg=(12.0, -9.0), keep_size=False, margin=0.05),
        CameraStyle(curl_mm=2.0, lens=0.02, rotation_deg=-3.0),
    ],
)
def test_sheet_and_image_are_inverse_to_each_other(style: CameraStyle) -> None:
    warp = make_warp(SHAPE, 4.0, style, np.random.default_rng(1))
    points = np.random.default_rng(2).uniform(0, 1, (50, 2)) * SHAPE
    np.testing.assert_allclose(warp.to_sheet(warp.to_image(points)), points, atol=0.02)


def test_pixels_go_where_the_warp_says() -> None:
    sheet = np.full((*SHAPE, 3), 255, np.uint8)
    sheet[140:149, 250:259] = 0
    style = CameraStyle(rotation_deg=10.0, background="white")
    warp = make_warp(SHAPE, 4.0, style, np.random.default_rng(0))
    image = apply_warp(sheet, warp, style, np.random.default_rng(0))
    centroid = np.argwhere(image[..., 0] < 128).mean(axis=0)
    np.testing.assert_allclose(centroid, warp.to_image(np.array([144.0, 254.0])), atol=0.3)
    # Counter-clockwise: what is right of the centre moves up.
    assert centroid[0] < 144


def test_a_plain_camera_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    rng = np.random.default_rng(0)
    warp = make_warp(SHAPE, 4.0, CameraStyle(), rng)
    np.testing.assert_array_equal(
        expose(apply_warp(image, warp, CameraStyle(), rng), CameraStyle(), rng), image
    )


def test_exposure_darkens_greys_and_thresholds() -> None:
    image = np.full((*SHAPE, 3), (200, 180, 160), np.uint8)
    rng = np.random.default_rng(0)
    assert expose(image, CameraStyle(brightness=-30), rng).mean() == pytest.approx(150, abs=1)
    assert expose(image, CameraStyle(shadow=0.5), rng).mean() < 180
    grey = expose(image, CameraStyle(grey=True), rng)
    assert (grey[..., 0] == grey[..., 2]).all()
    assert set(np.unique(expose(image, CameraStyle(threshold=True, noise=20.0), rng))) <= {0, 255}
