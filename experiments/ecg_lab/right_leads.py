"""Which leads of predicted records are right: their time, gain and shape apart from their zero line.

In: predicted and true WFDB records, and the predictions' JSON. Out: a row a lead, and what is wrong how
often, at which status. A lead is wrong if its SNR is below 10 dB after the best shift, its gain is
off by more than 8 %, or it starts more than 20 ms early or late.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecg_hough.output.read_back import read_leads, record_stems, resample_lead
from ecg_hough.paper import LEADS
from ecg_hough.scores.right_leads import compare_lead

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PredictedPage:
    """A page of a folder of predictions beside its truth.

    Attributes:
        stem: of its files, below the folders; fs: Hz of both.
        true, read: mV by lead, NaN where nothing is printed or read.
        report: the page's JSON; None where there is none, as the page was refused.
    """

    stem: Path
    fs: float
    true: dict[str, NDArray[np.float64]]
    read: dict[str, NDArray[np.float64]]
    report: dict[str, Any] | None

    def status(self, lead: str) -> str:
        """A lead's status, or "refused"."""
        found = {one["lead"]: one["status"] for one in self.report["lead_status"]} if self.report else {}
        return found.get(lead, "refused")

    @property
    def printed(self) -> tuple[str, ...]:
        """Leads that the page shows."""
        return tuple(lead for lead in LEADS if lead in self.true and np.isfinite(self.true[lead]).any())


def predicted_pages(predictions: Path, truth: Path) -> Iterator[PredictedPage]:
    """All pages of which there is a true record.

    Raises:
        ValueError: a folder is missing, or the truth holds no record.
    """
    for stem in record_stems(predictions, truth):
        true, fs = read_leads(truth / stem)
        page_json = predictions / f"{stem}.json"
        if not page_json.is_file():
            yield PredictedPage(stem, fs, true, {}, None)
            continue
        found, read_fs = read_leads(predictions / stem)
        read = {lead: resample_lead(found[lead], read_fs, fs) for lead in LEADS if lead in found}
        yield PredictedPage(stem, fs, true, read, json.loads(page_json.read_bytes()))


def compare_folders(predictions: Path, truth: Path) -> pd.DataFrame:
    """A row for every printed lead: page, lead, the figures of `ComparedLead`, wrong, status, grid.

    Raises:
        ValueError: a folder is missing, or the truth holds no record.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for page in predicted_pages(predictions, truth):
        for lead in page.printed:
            compared = compare_lead(page.true[lead], page.read.get(lead, np.zeros(0)), page.fs)
            rows.append(
                {
                    "page": page.stem.as_posix(),
                    "lead": lead,
                    "free_snr_db": compared.free_snr_db,
                    "aligned_snr_db": compared.aligned_snr_db,
                    "start_ms": 1000.0 * compared.start_s,
                    "gain": compared.gain,
                    "wrong": compared.is_wrong,
                    "read": page.report is not None,
                    "status": page.status(lead),
                    "grid": page.report is not None and page.report["px_per_mm"] is not None,
                }
            )
    return pd.DataFrame(rows)


def summary(leads: pd.DataFrame) -> dict[str, float]:
    """What is right over all leads of pages on which a grid was found."""
    on_grid = leads[leads["grid"]]
    start, ok, right = on_grid["start_ms"].abs(), on_grid["status"] == "ok", ~on_grid["wrong"]
    return {
        "pages read": float(leads.loc[leads["read"], "page"].nunique()),
        "pages with a grid": float(on_grid["page"].nunique()),
        "leads there": float(len(on_grid)),
        "SNR without shift, dB": float(on_grid["free_snr_db"].mean()),
        "SNR after the best shift, dB": float(on_grid["aligned_snr_db"].mean()),
        "start error, median, ms": float(start.median()),
        "start error, 95th percentile, ms": float(start.quantile(0.95)),
        "wrong leads": float(on_grid["wrong"].sum()),
        "leads at ok": float(ok.sum()),
        "wrong leads at ok": float((on_grid["wrong"] & ok).sum()),
        "right leads at check, share": float((right & ~ok).sum() / max(1, right.sum())),
    }
