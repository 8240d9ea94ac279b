"""Recalibrated trust: an offset is found where there is one, and little happens where there are few pages."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from ecg_hough.signals.trust import TrustModel
from ecg_hough.training.trust_recalibration import JudgedPage, recalibrate


def pages(n: int, off: float, seed: int = 0) -> list[JudgedPage]:
    """Pages of 12 leads whose log odds are said to be by so much more than they are."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        true = expit(rng.normal(1.0, 1.5, 12))
        out.append(JudgedPage(expit(logit(true) + off), rng.random(12) < true))
    return out


def test_an_offset_is_found() -> None:
    found = recalibrate(pages(24, 1.5))
    assert found is not None
    assert found.offset == pytest.approx(-1.5, abs=0.5)
    assert found.is_better
    assert (found.pages, found.leads) == (24, 288)


def test_few_pages_change_little() -> None:
    one_lead = [JudgedPage(one.probability[:1], one.right[:1]) for one in pages(4, 1.5)]
    few = recalibrate(one_lead)
    assert few is not None
    assert abs(few.offset) < 0.7
    assert recalibrate(one_lead[:3]) is None
    right = recalibrate(pages(12, 0.0))
    assert right is not None
    assert abs(right.offset) < 0.5


def test_the_model_of_a_recalibration_gives_its_probabilities() -> None:
    found = recalibrate(pages(8, 1.0))
    assert found is not None
    model = TrustModel({}, (1.2, -0.1), 0.9)
    before, after = model.probability([{}]), found.of(model).probability([{}])
    assert after == pytest.approx(expit(found.factor * logit(before) + found.offset), abs=1e-3)
    assert found.of(model).limit == 0.9
