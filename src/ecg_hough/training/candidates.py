"""Networks that may replace the one so far: the trained one, and its means with the old one.

In: the run folder of `trace_train`, and the weights that it started from. Out: a folder of weights for each.
A mean is often better than either (Wortsman et al. 2022, arXiv 2203.05482): the trained one may have
forgotten too much, and the even mean learnt too little.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ecg_hough.networks.runtime import TRUST_NAME
from ecg_hough.traces.tiles import TRACE_NETWORK

SHARES = {"trained": 1.0, "mostly-trained": 0.75, "mean": 0.5}
"""Candidates, and their share of the trained weights; the old ones have the rest."""


def candidates(run: Path, start: Path, work: Path, trust: Path) -> dict[str, Path]:
    """Folders below `work` with the network of each candidate.

    Args:
        run: of `trace_train`; start: the weights that it started from.
        trust: the model of trust so far, with which candidates are judged.
    """
    import torch

    from ecg_hough.training.export_weights import write_network
    from ecg_hough.training.exported import load_exported
    from ecg_hough.training.trace_run import read_trace_run

    out = {}
    for name, share in SHARES.items():
        out[name] = work / name
        out[name].mkdir(parents=True, exist_ok=True)
        shutil.copyfile(trust, out[name] / TRUST_NAME)
        if (out[name] / f"{TRACE_NETWORK}.json").is_file():
            continue
        trained, before = read_trace_run(run), read_trace_run(run).network
        load_exported(before, start)
        with torch.no_grad():
            for mine, its in zip(trained.network.parameters(), before.parameters(), strict=True):
                mine.mul_(share).add_(its, alpha=1.0 - share)
        write_network(trained, out[name], TRACE_NETWORK)
    return out
