import importlib
from types import SimpleNamespace

import numpy as np
import pytest

from ecg_hough.cores import Clock
from ecg_hough.elements import Box


@pytest.mark.parametrize(("grid_inside", "taken"), [(False, "whole"), (True, "part")])
def test_a_sheet_without_a_grid_is_no_page_where_the_picture_shows_one(grid_inside, taken, monkeypatch):
    """A frame of strokes looks like a sheet, and what it holds like leads, on a page of few leads."""
    module = importlib.import_module("ecg_hough.layout.find_page")
    grids = {"whole": True, "part": grid_inside}
    coherence = {"whole": 1.4, "part": 2.8}
    parts = {"whole": Box(0, 0, 1400, 3300), "part": Box(500, 1100, 1000, 2000)}

    def look(picture, framed, part, clock):
        name = next(name for name, box in parts.items() if box == part)
        geometry = SimpleNamespace(grid_found=grids[name])
        return SimpleNamespace(name=name, part=part, geometry=geometry, coherence=coherence[name])

    monkeypatch.setattr(module, "_look_at", look)
    monkeypatch.setattr(module, "_smaller", lambda page: parts["part"] if page.name == "whole" else None)
    picture = np.zeros((1400, 3300, 3), np.uint8)
    page = module._closest_look(picture, picture, Clock())
    assert page.name == taken
