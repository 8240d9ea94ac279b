"""Steps of the method that can be omitted, and the check of a user's numbers."""

from __future__ import annotations

import math

import pytest

from ecg_hough.options import CENTROID, READOUTS, SHIPPED, Options, check_arguments


def test_each_read_out_has_options_of_its_own() -> None:
    assert READOUTS == {"trace": SHIPPED, "centroid": CENTROID}
    assert all(options.readout == name for name, options in READOUTS.items())


def test_an_unknown_read_out_is_refused() -> None:
    with pytest.raises(ValueError, match="readout must be trace or centroid; got 'mask'"):
        Options(readout="mask")


@pytest.mark.parametrize("value", [0.0, -25.0, math.inf, math.nan])
def test_numbers_must_be_positive_and_finite(value: float) -> None:
    check_arguments(fs=500, speed_mm_s=None)
    with pytest.raises(ValueError, match="speed_mm_s must be positive and finite"):
        check_arguments(fs=500, speed_mm_s=value)
