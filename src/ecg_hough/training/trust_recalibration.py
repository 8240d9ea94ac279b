"""The model of trust, recalibrated on the leads of corrected pages.

In: by page, what speaks for and against its leads, and which were right as a person left them. Out: the model
with another factor and offset of its log odds. Both stay near the shipped ones while there are few leads; a
page's leads err together, and count less than as many pages. Which pages were corrected does not matter: that
riskier ones are looked at first changes how many are wrong, not how many are at a probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from ecg_hough.signals.trust import TrustModel

FACTOR_SD, OFFSET_SD = 0.3, 1.0
"""Prior standard deviation of the logarithm of the factor, and of the offset, about 1 and 0."""
LEADS_ALIKE = 3.0
"""So many leads of a page count as one."""
PAGES_MIN = 4
"""Pages without which nothing is recalibrated."""
LEAST_GAIN = 0.001
"""Mean log loss, nats, by which pages that are left out must be judged better."""
SURE = 1e-4
"""Probabilities are kept so far from 0 and 1."""


@dataclass(frozen=True)
class JudgedPage:
    """The leads of a page that were read: (n,) probability that each is right, and whether it was."""

    probability: NDArray[np.float64]
    right: NDArray[np.bool_]


@dataclass(frozen=True)
class Recalibration:
    """Another factor and offset of the log odds, and what they are worth.

    Attributes:
        factor, offset: applied to the log odds that the model gives so far.
        loss_before, loss_after: mean log loss of leads, of pages left out in turn, in nats.
        pages, leads: that it was fitted to.
    """

    factor: float
    offset: float
    loss_before: float
    loss_after: float
    pages: int
    leads: int

    @property
    def is_better(self) -> bool:
        """Whether pages that were left out are judged better by it."""
        return self.loss_after < self.loss_before - LEAST_GAIN

    def of(self, model: TrustModel) -> TrustModel:
        """The model, recalibrated."""
        factor, offset = model.calibration
        new = (round(self.factor * factor, 4), round(self.factor * offset + self.offset, 4))
        return replace(model, calibration=new)


def recalibrate(pages: Sequence[JudgedPage]) -> Recalibration | None:
    """The recalibration of greatest posterior probability; None of fewer than `PAGES_MIN` pages."""
    pages = [page for page in pages if page.right.size]
    if len(pages) < PAGES_MIN:
        return None
    before, after = [], []
    for k, page in enumerate(pages):
        factor, offset = _fit([*pages[:k], *pages[k + 1 :]])
        before.append(_losses(page, 1.0, 0.0))
        after.append(_losses(page, factor, offset))
    factor, offset = _fit(pages)
    leads = np.concatenate(before)
    return Recalibration(
        factor, offset, float(leads.mean()), float(np.concatenate(after).mean()), len(pages), leads.size
    )


def _fit(pages: Sequence[JudgedPage]) -> tuple[float, float]:
    def loss(v: NDArray[np.float64]) -> float:
        factor, offset = float(np.exp(v[0])), float(v[1])
        seen = sum(float(_losses(page, factor, offset).sum()) for page in pages) / LEADS_ALIKE
        return seen + 0.5 * float((v[0] / FACTOR_SD) ** 2 + (v[1] / OFFSET_SD) ** 2)

    found = minimize(loss, np.zeros(2), method="L-BFGS-B").x
    return math.exp(float(found[0])), float(found[1])


def _losses(page: JudgedPage, factor: float, offset: float) -> NDArray[np.float64]:
    """(n,) log loss of every lead."""
    p = np.clip(expit(factor * logit(np.clip(page.probability, SURE, 1 - SURE)) + offset), SURE, 1 - SURE)
    return -np.log(np.where(page.right, p, 1.0 - p))
