import numpy as np

from ecg_hough.image.colours import darkest_of, grey_of, lightest_of


def test_measures_of_a_pink_grid_and_of_black_ink() -> None:
    image = np.array([[[255, 150, 160], [20, 10, 30]]], np.uint8)
    assert lightest_of(image).tolist() == [[255, 30]]
    assert darkest_of(image).tolist() == [[150, 10]]
    grey = grey_of(image)
    assert grey.shape == (1, 2)
    assert 150 < grey[0, 0] < 255


def test_a_grey_image_stays_as_it_is() -> None:
    grey = np.array([[7, 200]], np.uint8)
    for measure in (darkest_of, grey_of, lightest_of):
        assert measure(grey).tolist() == [[7, 200]]
