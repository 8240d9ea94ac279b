import numpy as np
import pytest

from ecg_hough.page_map import turn_back


@pytest.mark.parametrize("turns", range(4))
def test_turn_back_inverts_a_quarter_turn(turns):
    image = np.arange(6 * 9).reshape(6, 9)
    upright = np.rot90(image, -turns)
    rows, cols = (a.ravel() for a in np.indices(upright.shape))
    back = turn_back(np.column_stack([rows, cols]), turns, image.shape)
    assert (image[back[:, 0], back[:, 1]] == upright[rows, cols]).all()
