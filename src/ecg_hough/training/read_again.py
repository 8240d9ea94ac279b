"""A page read again with other weights, as `digitize` reads it, with the probabilities of its leads.

In: a page and a folder of weights. Out: signals, and how likely each lead is right.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.networks.runtime import TRUST_NAME, use_weights, weights_file
from ecg_hough.paper import LEADS
from ecg_hough.review.corrections import Reread
from ecg_hough.review.engine import reading_of
from ecg_hough.review.places import How
from ecg_hough.signals.calibrate import calibrate
from ecg_hough.signals.quality import judge
from ecg_hough.signals.trust import evidence_of, page_evidence, shipped_model

Floats = NDArray[np.float64]


def read_page_again(path: Path, number: int, how: How, weights: Path | None) -> tuple[Floats | None, Floats]:
    """A page as weights read it: (12, N) mV, None where it is refused, and (12,) probability that each lead
    is right, NaN where it is not found."""
    nothing = np.full(len(LEADS), np.nan)
    use_weights(weights)
    try:
        reading = reading_of(path, number, how)
        found, placed = reading.found(Reread()), reading.placed(Reread(), None, None)
        result = calibrate(
            found.rows.beside_bars, placed.base, fs=how.fs, fused_leads=how.options.lead_fusion
        )
        stages = (found.sheet, found.rows, placed.chosen, placed.base, placed.scale)
        of_page = page_evidence(*stages, result)
        evidence = evidence_of(found.sheet, found.rows, placed.base, placed.scale, result, of_page)
        model = shipped_model(weights_file(TRUST_NAME))
        probability = model.probability([evidence[lead] for lead in LEADS])
        here = np.array([status.found for status in result.statuses])
        probability = np.where(here, probability, np.nan)
        try:
            judge(*stages, result)
        except PageError:
            return None, probability
        return result.signals, probability
    except PageError:
        return None, nothing
    finally:
        use_weights(None)
