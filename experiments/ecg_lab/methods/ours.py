"""This package's own pipeline under the methods' one signature; see `ecg_hough.pipeline`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_hough.output.ecg import Ecg
from ecg_hough.pipeline import digitize
from ecg_lab.methods.common import Options


def run(image: NDArray[np.uint8], labels: NDArray[np.uint8] | None, options: Options) -> Ecg:
    """Digitise one page (rows, cols, 3); the layout is found, not taken from the options, `labels` not used.

    Raises:
        PageError: the page cannot be digitised.
    """
    return digitize(image, fs=options.fs, speed_mm_s=options.speed_mm_s, gain_mm_mv=options.gain_mm_mv)
