"""Fit of the strips' weights: made-up measurements give weights that name strips right."""

from __future__ import annotations

import numpy as np

from ecg_hough.training.strip_fit import MeasuredStrips, draw_page, fit_weights, share_right

LEADS = 8


def made_up_pages(n: int, seed: int) -> list[MeasuredStrips]:
    """Pages of two strips whose copies are the nearest, of which half have a printed name."""
    rng = np.random.default_rng(seed)
    pages = []
    for _ in range(n):
        true = rng.choice(LEADS, 2, replace=False)
        features = np.zeros((2, LEADS, 3))
        features[:, :, 0] = rng.normal(0.5, 0.3, (2, LEADS))
        features[[0, 1], true, 0] += 1.0
        if rng.random() < 0.5:
            features[[0, 1], true, 1] = 1.0
        features[[0, 1], rng.choice(LEADS, 2), 2] = 1.0
        pages.append(MeasuredStrips(features, true))
    return pages


def test_weights_follow_the_evidence() -> None:
    weights = fit_weights(made_up_pages(100, 0))
    assert weights[0] > 1.0
    assert weights[1] > 1.0
    assert abs(weights[2]) < 1.0
    others = made_up_pages(100, 1)
    assert share_right(others, weights) > 0.95 > 0.4 > share_right(others, np.array([0.0, 0.0, 1.0]))


def test_pages_are_drawn_by_their_seed() -> None:
    page, again = draw_page(3), draw_page(3)
    assert np.array_equal(page.image, again.image)
    assert 1 <= len(page.layout.rhythm) == sum(panel.rhythm for panel in page.panels) <= 3
