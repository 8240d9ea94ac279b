"""Masks: ink goes to its own row, by class where rows cross and by distance where names are wrong."""

from dataclasses import replace

import numpy as np

from drawn_page import drawn_page
from ecg_hough.elements import LeadPanel, PageLayout
from ecg_hough.paper import LEADS
from ecg_hough.traces.masks import row_masks


def test_ink_goes_to_its_own_row():
    drawn = drawn_page()
    masks = row_masks(drawn.probabilities, drawn.layout)
    assert masks.shape == (4, 2, 704, 704)
    # Lead II is in the second row and in the rhythm strip: each keeps its own copy.
    lead_ii = drawn.probabilities[LEADS.index("II") + 1]
    assert (masks[1, 0] * lead_ii).sum() > 0.15 * lead_ii.sum()
    assert (masks[3, 0] * lead_ii).sum() > 0.6 * lead_ii.sum()
    ink = 1 - drawn.probabilities[0]
    assert np.abs(masks[:, 0].sum(axis=0) - ink).max() < 0.35


SIDE, LEVELS = 120, (40, 80)


def two_rows(*, upper: str = "I", lower: str = "II") -> PageLayout:
    """Two rows over the whole canvas, level but for the lower one's QRS complex."""
    paths = np.repeat(np.array(LEVELS, float)[:, None], SIDE, axis=1)
    paths[1, 60:63] = 50.0
    panels = tuple(
        LeadPanel(lead, k, 0, False, 0.0, float(SIDE), paths[k], 1.0) for k, lead in enumerate((upper, lower))
    )
    return PageLayout(panels, None, 0.0, 1.0, 40.0)


def traces_of(upper: str, lower: str) -> np.ndarray:
    """(13, SIDE, SIDE) of two lines; the lower one's QRS complex reaches over the upper line."""
    probabilities = np.zeros((1 + len(LEADS), SIDE, SIDE), np.float32)
    probabilities[1 + LEADS.index(upper), LEVELS[0] - 1 : LEVELS[0] + 2] = 1.0
    probabilities[1 + LEADS.index(lower), LEVELS[1] - 1 : LEVELS[1] + 2] = 1.0
    probabilities[:, 20:79, 60:63] = 0.0
    probabilities[1 + LEADS.index(lower), 20:79, 60:63] = 1.0
    probabilities[0] = 1.0 - probabilities[1:].sum(axis=0)
    return probabilities


def test_a_tall_wave_is_its_row_s_by_its_class() -> None:
    masks = row_masks(traces_of("I", "II"), two_rows())
    assert masks.shape == (2, 2, SIDE, SIDE)
    assert masks[1, 0, 45:70, 60:63].min() > 0.6
    assert masks[1, 0, LEVELS[0], 60:63].min() > 0.2  # where it crosses the upper row's path
    assert masks[0, 0, LEVELS[0], 10:50].min() > 0.95
    ink = 1.0 - traces_of("I", "II")[0]
    np.testing.assert_allclose(masks[:, 0].sum(axis=0), ink, atol=1e-5)
    np.testing.assert_allclose(masks[:, 1], ink - masks[:, 0], atol=1e-5)


def test_a_misnamed_trace_remains_with_the_row_it_runs_along() -> None:
    # Both rows look like lead II to the network; the layout has the upper one as I.
    masks = row_masks(traces_of("II", "II"), two_rows())
    assert masks[0, 0, LEVELS[0], 10:50].min() > 0.95
    assert masks[1, 0, LEVELS[0], 10:50].max() < 0.05


def test_a_row_without_a_panel_keeps_its_ink() -> None:
    both = two_rows()
    alone = replace(both, panels=both.panels[:1])
    probabilities = traces_of("I", "II")
    lower = slice(LEVELS[1] - 1, LEVELS[1] + 2), slice(5, 55)
    assert row_masks(probabilities, alone)[0, 0][lower].min() > 0.9  # nobody else is there to claim it
    masks = row_masks(probabilities, replace(alone, unplaced=(np.full(SIDE, float(LEVELS[1])),)))
    assert masks.shape == (1, 2, SIDE, SIDE)
    assert masks[0, 0][lower].max() < 0.01
    assert masks[0, 1][lower].min() > 0.99
    assert masks[0, 0, LEVELS[0], 10:50].min() > 0.95
