"""The page as it was found: whether its millimetres are printed or assumed."""

from dataclasses import replace

import pytest

from drawn_page import drawn_page


@pytest.mark.parametrize("found", [True, False])
def test_millimetres_come_from_a_printed_grid_or_not(found: bool) -> None:
    sheet = drawn_page().sheet
    assert replace(sheet, geometry=replace(sheet.geometry, grid_found=found)).has_grid is found
