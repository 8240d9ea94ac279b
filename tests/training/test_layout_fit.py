"""Weights of the evidence for a layout, fitted to measured pages."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_hough.signals.choose_layout import WEIGHTS
from ecg_hough.training.layout_fit import MeasuredPage, cross_validated, fit_weights, share_right


def measured_pages(true_weights: tuple[float, ...], *, seed: int = 0, n: int = 60) -> list[MeasuredPage]:
    """Pages of six candidates each; the true one is that which `true_weights` make likeliest."""
    rng = np.random.default_rng(seed)
    out = []
    for features in rng.normal(size=(n, 6, 4)):
        odds = features @ np.array(true_weights)
        out.append((features, odds == odds.max()))
    return out


def test_the_weights_that_made_the_pages_are_found() -> None:
    true = (-3.0, 2.0, 4.0, -1.0)
    pages = measured_pages(true)
    fitted = fit_weights(pages)
    assert share_right(pages, np.array(WEIGHTS)) < 0.5
    assert share_right(pages, fitted) > 0.95
    assert np.dot(fitted, true) / np.linalg.norm(fitted) / np.linalg.norm(true) > 0.95


def test_without_pages_the_weights_stay() -> None:
    assert fit_weights([]) == pytest.approx(np.array(WEIGHTS), abs=1e-3)


@pytest.mark.slow
def test_other_pages_tell_chance_from_knowledge() -> None:
    assert cross_validated(measured_pages(WEIGHTS)) > 0.9
    rng = np.random.default_rng(1)
    chance = [(features, rng.permutation(true)) for features, true in measured_pages(WEIGHTS)]
    assert cross_validated(chance) < 0.5
