"""The leads network: what it is given, and probabilities from its logits."""

from __future__ import annotations

import numpy as np

from ecg_hough.networks.canvas import to_canvas
from ecg_hough.networks.leads_net import lead_probabilities
from ecg_hough.paper import LEADS

BACKGROUND_LOGIT, LEAD_LOGIT = 2.0, 3.0


class FirstChannelIsV1:
    """Stands in for the network: V1 where red is bright, background elsewhere; keeps what it was given."""

    def run(self, batch: np.ndarray) -> np.ndarray:
        self.batch = batch
        logits = np.full((1, 1 + len(LEADS), *batch.shape[2:]), -50.0, np.float32)
        logits[:, 0] = BACKGROUND_LOGIT
        logits[0, 1 + LEADS.index("V1")][batch[0, 0] > 0.5] = LEAD_LOGIT
        return logits


def test_probabilities_are_the_softmax_over_background_and_leads() -> None:
    page = np.zeros((704, 704, 3), np.uint8)
    page[:, :300] = (255, 51, 0)
    network = FirstChannelIsV1()
    got = lead_probabilities(to_canvas(page), network)
    assert network.batch.shape == (1, 3, 704, 704)
    assert network.batch.dtype == np.float32
    np.testing.assert_allclose(network.batch[0, :, 10, 10], (1.0, 0.2, 0.0), atol=1e-6)
    assert got.shape == (13, 704, 704)
    np.testing.assert_allclose(got.sum(axis=0), 1.0, atol=1e-5)
    share = 1.0 / (1.0 + np.exp(BACKGROUND_LOGIT - LEAD_LOGIT))
    np.testing.assert_allclose(got[1 + LEADS.index("V1"), :, :300], share, atol=1e-5)
    np.testing.assert_allclose(got[0, :, 300:], 1.0, atol=1e-5)
