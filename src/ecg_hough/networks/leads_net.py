"""The leads network: for every canvas pixel, which lead it belongs to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_hough.networks.canvas import Canvas
from ecg_hough.networks.runtime import Network

LEADS_NETWORK = "leads"


def lead_probabilities(canvas: Canvas, network: Network) -> NDArray[np.float32]:
    """Class probabilities of a canvas.

    Args:
        canvas: the page on it; network: the leads network, whose labels are checked when it is loaded.

    Returns:
        (1 + len(LEADS), rows, cols), the background first, then `paper.LEADS`; they sum to 1.
    """
    logits = network.run(canvas.image.astype(np.float32).transpose(2, 0, 1)[None] / 255.0)[0]
    logits -= logits.max(axis=0, keepdims=True)
    np.exp(logits, out=logits)
    return logits / logits.sum(axis=0, keepdims=True)
