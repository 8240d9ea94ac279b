"""Where a row's strip lies: tall enough for its waves, whatever specks there are."""

import numpy as np

from drawn_page import drawn_page
from ecg_hough.geometry.strips import STRIP_PX_PER_MM, StripFrame
from ecg_hough.traces.frame import inside_image, row_frame, taller


def test_a_deep_wave_has_room_in_its_strip():
    drawn = drawn_page()
    own = np.zeros(drawn.probabilities.shape[1:], np.float32)
    own[200:203, 50:600] = 1.0  # the row's line
    own[200:320, 300:303] = 1.0  # 45 mm down
    own[190:200, 298:300] = 1.0
    frame = row_frame(own, (50.0, 600.0), drawn.page.page_map, drawn.canvas)
    y, _ = drawn.page.page_map.to_mm(*drawn.canvas.to_page(np.array([[190.0, 299.0], [319.0, 301.0]])).T)
    assert frame.y_mm < y[0] - 1.0
    assert frame.y_mm + frame.shape[0] / STRIP_PX_PER_MM > y[1] + 1.0
    assert frame.shape[0] % 64 == 0
    # A speck next to the panels moves nothing, and one farther off than any wave next to nothing.
    own[640:644, 2:14] = 1.0
    assert row_frame(own, (50.0, 600.0), drawn.page.page_map, drawn.canvas) == frame
    own[660:662, 420:432] = 1.0
    moved = row_frame(own, (50.0, 600.0), drawn.page.page_map, drawn.canvas)
    assert abs(moved.y_mm - frame.y_mm) < 5.0
    assert moved.shape[0] <= frame.shape[0]


def test_columns_beyond_the_image_are_not_inside() -> None:
    row, col = np.mgrid[:9, -3:5].astype(np.float32)
    assert inside_image((row + 10, col), (40, 3)).tolist() == [False] * 3 + [True] * 3 + [False] * 2
    assert not inside_image((row + 36, col), (40, 3)).any()


def test_a_taller_strip_shows_the_same_places():
    frame = row_frame_of_level()
    more = taller(frame, 64, 128)
    assert more.shape == (frame.shape[0] + 192, frame.shape[1])
    at = np.array([[10.0, 20.0]])
    assert np.allclose(more.to_mm(at + np.array([64.0, 0.0])), frame.to_mm(at))


def row_frame_of_level() -> StripFrame:
    drawn = drawn_page()
    own = np.zeros(drawn.probabilities.shape[1:], np.float32)
    own[200:203, 50:600] = 1.0
    return row_frame(own, (50.0, 600.0), drawn.page.page_map, drawn.canvas)
