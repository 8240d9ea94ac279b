"""What weights are worth: pages read again with them, against what people left and against true records.

In: a folder of weights, pages that a person corrected, and a standard set with its truth. Out: `Figures`, by
which new weights are taken or left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_hough.output.read_back import read_leads
from ecg_hough.paper import LEADS
from ecg_hough.review.places import How
from ecg_hough.scores.metrics import challenge_snr
from ecg_hough.scores.right_leads import compare_lead
from ecg_hough.training.corrected_pages import CorrectedPage
from ecg_hough.training.read_again import read_page_again
from ecg_hough.training.trust_recalibration import JudgedPage

SNR_MOST_DB = 40.0
"""Of a lead: more says nothing, as of one that nobody touched and that is read as before."""
LEAST_GAIN_DB, STANDARD_LOSS_DB = 0.1, 0.1
"""Least gain on corrected leads for which weights are exchanged, and most that the standard set may lose."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
"""Of the pictures of a standard set."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StandardPage:
    """A page of the standard set: its file, (12, N) true mV with NaN where not printed, and Hz."""

    path: Path
    signals: Floats
    fs: float


@dataclass(frozen=True)
class Figures:
    """Of weights.

    Attributes:
        corrected_db: mean Challenge SNR of the leads that a person changed, against what the person left.
        wrong, leads: leads that are read wrongly, of all on those pages.
        standard_db: mean Challenge SNR of the standard set.
        pages, standard_pages: their numbers.
    """

    corrected_db: float
    wrong: int
    leads: int
    standard_db: float
    pages: int
    standard_pages: int

    def is_better_than(self, old: Figures) -> bool:
        """Whether weights with these figures replace those with the others."""
        return (
            self.corrected_db >= old.corrected_db + LEAST_GAIN_DB
            and self.wrong <= old.wrong
            and self.standard_db >= old.standard_db - STANDARD_LOSS_DB
        )


def standard_pages(folder: Path) -> list[StandardPage]:
    """Pages of a folder whose true WFDB records lie beside them, or in its folder `truth`.

    Raises:
        ValueError: no such page.
    """
    out = []
    for path in sorted(folder.glob("*")):
        headers = (place / f"{path.stem}.hea" for place in (folder, folder / "truth"))
        header = next((one for one in headers if one.is_file()), None)
        if path.suffix.lower() in SUFFIXES and header is not None:
            leads, fs = read_leads(header.with_suffix(""))
            n = max(lead.size for lead in leads.values())
            signals = np.full((len(LEADS), n), np.nan)
            for k, lead in enumerate(LEADS):
                signals[k, : leads[lead].size] = leads.get(lead, np.full(n, np.nan))
            out.append(StandardPage(path, signals, fs))
    if not out:
        raise ValueError(
            f"a standard set must hold pages with their true records (STEM.hea); {folder} has none. Draw one"
            " with ecg-hough render -n 12 -o standard, or give another with --standard"
        )
    return out


def measure(
    weights: Path | None,
    pages: Sequence[CorrectedPage],
    standard: Sequence[StandardPage],
    on_page: Callable[[], object] = lambda: None,
) -> tuple[Figures, list[JudgedPage]]:
    """Figures of weights, and how their leads are judged.

    Args:
        weights: folder; None takes the shipped ones.
        pages: corrected or accepted by people; standard: with known truth.
    """
    touched_db, wrong, judged, n_leads = [], 0, [], 0
    for page in pages:
        read, probability = read_page_again(page.path, page.number, page.how, weights)
        snr_db, is_wrong, is_right = compared(page.signals, read, page.how.fs)
        printed = np.isfinite(snr_db)
        touched_db += snr_db[printed & page.touched].tolist()
        wrong += int(is_wrong[printed].sum())
        n_leads += int(printed.sum())
        known = np.isfinite(probability)
        judged.append(JudgedPage(probability[known], is_right[known]))
        on_page()
    standard_db = []
    for one in standard:
        read, _ = read_page_again(one.path, 1, How(fs=round(one.fs)), weights)
        standard_db += compared(one.signals, read, one.fs)[0].tolist()
        on_page()
    figures = Figures(
        _mean(touched_db), wrong, n_leads, _mean(standard_db), len(pages), len(standard)
    )  # fmt: skip
    return figures, judged


def _mean(values: Sequence[float]) -> float:
    known = np.array(values)[np.isfinite(values)] if len(values) else np.zeros(0)
    return round(float(known.mean()), 3) if known.size else 0.0


def compared(
    truth: Floats, read: Floats | None, fs: float
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """(12,) Challenge SNR, dB, NaN of leads that are not there; whether each is wrong, and whether right."""
    snr_db = np.full(len(LEADS), np.nan)
    wrong, right = np.zeros(len(LEADS), bool), np.zeros(len(LEADS), bool)
    for k, true in enumerate(truth):
        if not np.isfinite(true).any():
            continue
        snr_db[k], wrong[k] = 0.0, True
        if read is not None and np.isfinite(read[k]).any():
            value = challenge_snr(true, read[k], fs)
            snr_db[k] = SNR_MOST_DB if np.isnan(value) else min(SNR_MOST_DB, value)
            one = compare_lead(true, read[k], fs)
            wrong[k], right[k] = one.is_wrong, one.is_right
    return snr_db, wrong, right
