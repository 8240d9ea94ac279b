"""Column centroids: the baseline read-out finds the pen under a coarse mask."""

import numpy as np

from ecg_hough.traces.centroid import centroid_rows


def test_centroid_of_a_drawn_line():
    strip = np.full((64, 100, 3), 255, np.uint8)
    centre = 30 + 10 * np.sin(np.arange(100) / 9)
    for c, r in enumerate(centre):
        strip[round(r) - 1 : round(r) + 2, c] = 20
    strip[:, 60:75] = 255  # a gap
    own = np.zeros((64, 100), np.float32)
    own[10:50] = 1.0
    rows, _, presence = centroid_rows(strip, own)
    seen = presence > 0.5
    assert not seen[2 * 64 : 2 * 71].any()
    assert seen[: 2 * 55].all()
    at = np.arange(100).repeat(2) + np.tile([-0.25, 0.25], 100)
    assert np.abs(rows - (30 + 10 * np.sin(at / 9)))[seen].max() < 2.5
    assert np.median(np.abs(rows - (30 + 10 * np.sin(at / 9)))[seen]) < 0.4


def test_centroid_is_not_drawn_to_grid_and_letters_under_the_mask():
    strip = np.full((200, 480, 3), 255, np.uint8)
    strip[::8] = strip[:, ::8] = (255, 200, 200)
    strip[::40] = strip[:, ::40] = (225, 40, 40)  # as dark as a pen's rim in grey
    centre = 110 + 25 * np.sin(np.arange(480) / 15)
    for c, r in enumerate(centre):
        strip[round(r) - 1 : round(r) + 2, c] = 10
    strip[60:78, 40:44] = strip[60:78, 52:56] = strip[67:71, 44:52] = 0  # a name above the trace
    own = np.zeros((200, 480), np.float32)
    for c, r in enumerate(centre):
        own[max(0, round(r) - 18) : round(r) + 18, c] = 1.0
    own[55:90, 36:60] = 1.0
    rows, _, presence = centroid_rows(strip, own)
    off = np.abs(rows - np.repeat(centre, 2))
    assert (presence > 0.5).all()
    assert off.max() < 1.5
    assert np.sqrt(np.mean(off**2)) < 0.7


def test_no_centroid_without_ink():
    plain = np.full((64, 100, 3), 250, np.uint8)
    own = np.zeros((64, 100), np.float32)
    assert not centroid_rows(plain, own)[2].any()
    own[20:40] = 1.0
    assert not centroid_rows(plain, own)[2].any()


def test_a_light_spot_in_the_stroke_is_no_gap() -> None:
    strip = np.full((64, 200, 3), 255, np.uint8)
    strip[30:33] = 10
    strip[:, 100:102] = 255
    own = np.zeros((64, 200), np.float32)
    own[20:44] = 1.0
    rows, spread, presence = centroid_rows(strip, own)
    assert presence.all()
    np.testing.assert_allclose(rows, 31.0, atol=0.01)
    inked = np.r_[:200, 204:400]
    np.testing.assert_allclose(spread[inked], np.sqrt(2 / 3), atol=0.01)
