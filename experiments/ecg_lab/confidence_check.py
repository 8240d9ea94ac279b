"""Whether the expected errors are true: rendered pages enter; how often errors keep to them leaves.

Pages of all profiles are rendered from held-out or generated signals, digitised, and every sample's error is
compared with what was expected of it. Absolute errors: millivolts and seconds as read, nothing aligned.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.errors import PageError
from ecg_hough.paper import LEADS
from ecg_hough.pipeline import digitize
from ecg_hough.render import render_page
from ecg_hough.render.ecg_model import generate_ecg
from ecg_hough.scores.metrics import challenge_snr
from ecg_lab.published import RESULTS, results_path

PUBLISHED = RESULTS / "confidence.json"
INTERVAL = 0.9
INTERVAL_SD = 1.645
"""Half the width of the 90% interval of a normal error, in standard deviations."""
SD_BINS_MV = (0.0, 0.05, 0.07, 0.1, 0.2, 0.5, np.inf)
SHARES = (1.0, 0.9, 0.75, 0.5, 0.25)
"""Shares of the leads, surest first, whose score is tabled."""


@dataclass
class _Samples:
    """Errors and expected errors of the samples met so far, mV."""

    profile: list[str] = field(default_factory=list)
    error: list[NDArray[np.float64]] = field(default_factory=list)
    sd: list[NDArray[np.float64]] = field(default_factory=list)


def default_results(n: int, seed: int) -> Path:
    """Where the figures go if no place is named: over the published ones only with all of their pages."""

    def covers(published: Path) -> bool:
        figures = json.loads(published.read_text(encoding="utf-8"))
        return bool(seed == figures["seed"] and n >= figures["pages"])

    return results_path(PUBLISHED, covers)


def check_confidence(
    n: int = 40,
    *,
    seed: int = 4000,
    records: list[Path] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Coverage of the 90% intervals and the score of the surest leads, ready for JSON.

    Args:
        n: pages; seed: of the first one.
        records: WFDB records (without suffix) that no network was trained on; generated ECGs where None or
            empty, and on every third page.
        on_progress: called with (pages done, pages).

    Returns:
        "pages", "refused" (page errors), "misunderstood" (scale or column order not as printed; their samples
        count all the same), "coverage" of all samples, "profiles" and "sd_bins" (share of samples, coverage,
        root mean square error in mV), "surest_leads" (share, mean aligned Challenge SNR in dB).
    """
    samples = _Samples()
    scores: list[tuple[float, float]] = []
    refused = misunderstood = 0
    for k in range(n):
        signals, fs = _signals(k, seed, records or [])
        page = render_page(signals, fs, seed=seed + k, profile="mixed")
        try:
            ecg = digitize(page.image, fs=fs)
        except PageError:
            refused += 1
            continue
        finally:
            if on_progress is not None:
                on_progress(k + 1, n)
        sheet = page.style["sheet"]
        if (ecg.speed_mm_s, ecg.gain_mm_mv) != (sheet["speed_mm_s"], sheet["gain_mm_mv"]):
            misunderstood += 1
        size = min(ecg.signals.shape[1], page.signals.shape[1])
        for lead in range(len(LEADS)):
            true, read, sd = page.signals[lead, :size], ecg.signals[lead, :size], ecg.sd_mv[lead, :size]
            both = np.isfinite(true) & np.isfinite(read)
            if not both.any():
                continue
            samples.profile.append(str(page.style["profile"]))
            samples.error.append(np.abs(read - true)[both])
            samples.sd.append(sd[both])
            scores.append((ecg.lead_status[lead].confidence, challenge_snr(true, read, fs)))
    if not scores:
        raise ValueError(f"at least one of the {n} pages must be readable; none was")
    return _summary(samples, scores) | {
        "pages": n, "seed": seed, "refused": refused, "misunderstood": misunderstood,
    }  # fmt: skip


def _signals(k: int, seed: int, records: list[Path]) -> tuple[NDArray[np.float64], int]:
    if records and k % 3:
        from ecg_hough.datasets.split import read_signals

        return read_signals(records[(seed + k) % len(records)])
    ecg = generate_ecg(seed + k)
    return ecg.signals, ecg.fs


def _summary(samples: _Samples, scores: list[tuple[float, float]]) -> dict[str, Any]:
    error, sd = np.concatenate(samples.error), np.concatenate(samples.sd)
    profile = np.repeat(np.array(samples.profile), [part.size for part in samples.error])
    confidence, snr = np.array(scores).T
    order = np.argsort(-confidence, kind="stable")
    bins = [
        {
            "sd_mv": [low, high if np.isfinite(high) else None],
            **_figures(error, sd, (sd >= low) & (sd < high)),
        }
        for low, high in pairwise(SD_BINS_MV)
    ]
    return {
        "interval": INTERVAL,
        "coverage": _figures(error, sd, np.ones(error.size, bool))["coverage"],
        "profiles": {str(name): _figures(error, sd, profile == name) for name in np.unique(profile)},
        "sd_bins": bins,
        "surest_leads": [
            {
                "share": share,
                "challenge_snr_db": float(np.nanmean(snr[order[: max(1, round(share * snr.size))]])),
            }
            for share in SHARES
        ],
    }


def _figures(
    error: NDArray[np.float64], sd: NDArray[np.float64], of: NDArray[np.bool_]
) -> dict[str, float | None]:
    if not of.any():
        return {"samples_share": 0.0, "coverage": None, "rms_mv": None}
    return {
        "samples_share": float(of.mean()),
        "coverage": float(np.mean(error[of] <= INTERVAL_SD * sd[of])),
        "rms_mv": float(np.sqrt(np.mean(error[of] ** 2))),
    }
