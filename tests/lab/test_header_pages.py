"""Counting what is read and blanked on pages with known headers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_hough.clinical import QUANTITIES, Header, Measurement
from ecg_lab.header_pages import READ_PROFILES, count_blanked, count_values, header_pages, shown_values


@pytest.mark.slow
def test_pages_are_counted_by_their_truth() -> None:
    one, other = header_pages(2, 9000)
    assert (one.header.language, other.header.language) == ("en", "de")
    assert (one.profile, other.profile) == READ_PROFILES[:2]
    shown = shown_values(one)
    assert shown
    assert shown.items() <= one.header.values.items()
    right = [Measurement(name, value, QUANTITIES[name].unit) for name, value in shown.items()]
    assert count_values(one, Header(measurements=tuple(right)))["right"] == len(shown)
    wrong = replace(right[0], value=right[0].value + 1)
    counted = count_values(one, Header(measurements=(wrong, *right[2:])))
    assert (counted["right"], counted["wrong"]) == (len(shown) - 2, 1)
    assert count_values(one, None) == {"shown": len(shown), "right": 0, "wrong": 0, "pages": 1, "refused": 1}


def test_blanked_words_and_touched_traces() -> None:
    (one,) = header_pages(1, 9000)
    shape = one.page.image.shape[:2]
    nothing, everything = (count_blanked(one, np.full(shape, value)) for value in (False, True))
    assert nothing["private"] == everything["private"] == everything["covered"] > 0
    assert nothing["covered"] == nothing["leads touched"] == nothing["samples touched"] == 0
    assert everything["samples touched"] == everything["samples"] > 0
    assert everything["leads touched"] == everything["leads"]
