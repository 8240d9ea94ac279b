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

from ecg_hough.numeric import peak_offset
from ecg_hough.output.read_back import read_leads, record_stems, resample_lead
from ecg_hough.paper import LEADS

if TYPE_CHECKING:
    import pandas as pd

WRONG_SNR_DB, WRONG_GAIN, WRONG_START_S = 10.0, 0.08, 0.02
MAX_SHIFT_S = 0.5
SAMPLES_MIN = 20
"""Fewest samples in common that are compared."""


@dataclass(frozen=True)
class ComparedLead:
    """One lead against the truth, any offset allowed.

    Attributes:
        free_snr_db: without a shift in time; aligned_snr_db: after the best one.
        start_s: that shift, positive = late; gain: slope of the estimate against the truth after it.
    """

    free_snr_db: float
    aligned_snr_db: float
    start_s: float
    gain: float

    @property
    def is_wrong(self) -> bool:
        """Whether shape, gain or time are wrong; a lead that was not read is."""
        right = self.aligned_snr_db >= WRONG_SNR_DB and abs(self.gain - 1.0) <= WRONG_GAIN
        return not (right and abs(self.start_s) <= WRONG_START_S)


def compare_lead(reference: NDArray[np.float64], estimate: NDArray[np.float64], fs: float) -> ComparedLead:
    """Compare a lead with the truth at every shift of whole samples up to half a second.

    The SNR is alpha * 10 log10(mean(ref^2) / var(ref - est)) over the samples finite in both, alpha their
    share of the reference's finite samples; the shift is refined by a parabola.

    Args:
        reference, estimate: mV at fs, NaN where nothing is printed or read.
    """
    est = np.full(reference.size, np.nan)
    est[: min(est.size, estimate.size)] = estimate[: est.size]
    ref_seen, est_seen = np.isfinite(reference), np.isfinite(est)
    ref, given = np.where(ref_seen, reference, 0.0), np.where(est_seen, est, 0.0)
    n_fft, reach = 1 << int(np.ceil(np.log2(2 * est.size))), round(MAX_SHIFT_S * fs)
    lags = np.arange(-reach, reach + 1)

    def products(a: NDArray, b: NDArray) -> NDArray[np.float64]:
        """Sum of a[t] * b[t + lag] for every lag."""
        spectrum = np.conj(np.fft.rfft(a, n_fft)) * np.fft.rfft(b, n_fft)
        return np.asarray(np.fft.irfft(spectrum, n_fft)[lags])

    n = np.maximum(products(ref_seen * 1.0, est_seen * 1.0).round(), 1.0)
    power, both = products(ref**2, est_seen * 1.0) / n, products(ref, given) / n
    ref_mean, est_mean = products(ref, est_seen * 1.0) / n, products(ref_seen * 1.0, given) / n
    error = power + products(ref_seen * 1.0, given**2) / n - 2.0 * both - (ref_mean - est_mean) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = n / ref_seen.sum() * 10.0 * np.log10(power / np.maximum(error, 1e-12))
    snr = np.where((n >= SAMPLES_MIN) & np.isfinite(snr), snr, 0.0)
    k = int(snr.argmax())
    off = float(peak_offset(*-error[k - 1 : k + 2])) if 0 < k < lags.size - 1 else 0.0
    variance = max(float(power[k] - ref_mean[k] ** 2), 1e-12)
    gain = float(both[k] - ref_mean[k] * est_mean[k]) / variance
    return ComparedLead(float(snr[reach]), float(snr[k]), (float(lags[k]) + off) / fs, gain)


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
