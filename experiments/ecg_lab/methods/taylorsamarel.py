"""taylorsamarel's V2: a CNN that sees the whole page at 1024 x 768 and answers with the twelve waveforms.

Kaggle notebook of PhysioNet's digitisation contest, 2025/26. What was taken, what departs and what was not
available is in `ecg_lab.networks.whole_page`, which has the network and its training.

Nothing is found on the page: not its angle, nor its grid, nor its leads. So nothing can fail, either, and any
picture gives twelve waveforms; a page whose pixels are all alike is refused.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import ecg_hough
from ecg_hough.errors import PageError
from ecg_hough.output.ecg import Ecg
from ecg_hough.paper import LEADS
from ecg_hough.record import LeadStatus
from ecg_lab.methods.common import Options
from ecg_lab.networks.peers import load_peer
from ecg_lab.networks.whole_page import LAYOUT, as_seen, as_signals, places_s

NAME = "taylorsamarel-v2"


def run(image: NDArray[np.uint8], labels: NDArray[np.uint8] | None, options: Options) -> Ecg:
    """Digitise one page (rows, cols, 3); `labels` is not used.

    Raises:
        PageError: another layout than 3x4 with lead II below, a blank page, or the network is not there.
    """
    if options.layout.rows != LAYOUT.rows or options.layout.rhythm != LAYOUT.rhythm:
        raise PageError(
            "layout", f"the network knows one layout, 3x4+1 with lead II below; got {options.layout.name}"
        )
    if np.ptp(image) == 0:
        raise PageError("page", "a page must show something; all of its pixels are alike")
    network = load_peer(NAME)
    signals = as_signals(network.run(as_seen(image)[None])[0], options.fs)
    places = places_s()
    return Ecg(
        signals=signals,
        fs=options.fs,
        confidence=np.isfinite(signals).astype(float),
        sd_mv=np.full(signals.shape, np.nan),
        lead_status=tuple(
            LeadStatus(lead, True, None, 1.0, places[lead][0], sum(places[lead])) for lead in LEADS
        ),
        angle_deg=0.0,
        quarter_turns=0,
        px_per_mm=None,
        layout=LAYOUT.name,
        speed_mm_s=options.speed_mm_s,
        gain_mm_mv=options.gain_mm_mv,
        warnings=(),
        traces=(),
        quality=1.0,
        versions={"ecg_hough": ecg_hough.__version__, "method": NAME, "network": network.version},
        seconds={},
        source="array",
    )
